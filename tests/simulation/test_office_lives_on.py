"""An office that lives on: operators come, go, fail and are restored, everything about it changes, and no letter is lost.

Rounds last a day here where seven days' notice has to pass, and a minute elsewhere.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest

from backchannel.errors import VerificationError
from backchannel.keys import Digest
from backchannel.post import visit as visits
from backchannel.post.charter import Charter, Numbers, Share, SignedCharter
from backchannel.post.charters import OperatorKeys
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.porter import Kind, Porter
from backchannel.post.rounds import NOTES, SEEN, TABLES, Operator, notes
from backchannel.post.tray import FromDesk, LineName, LineTerms
from tests.simulation.office import SMALL, Carrier, Generator, House, World, make_keys, seats

DAILY = replace(SMALL, period=86_400_000, day=2, enrolment=1)


@dataclass
class Desk:
    """A desk that is opened and locked again in every round, and keeps count."""

    world: World
    carrier: Carrier
    place: int
    number: int = 0
    lines: list[LineTerms] = field(default_factory=list)
    waiting: list[bytes] = field(default_factory=list)  # not yet carried
    got: list[bytes] = field(default_factory=list)
    agreed: bytes = b""  # a charter file

    def meets(self, other: Desk, generation: int = 0) -> None:
        """Correspond with *other* under new keys; those before, if any, are over."""
        roots = tuple(
            (turn, hashlib.sha256(f"{min(self.place, other.place)} {generation} {turn}".encode()).digest())
            for turn in (-1, 0)
        )
        send = 0 if self.place < other.place else -1
        name = LineName(f"{other.place} {generation}".encode().ljust(12))
        self.lines = [LineTerms(name, other.carrier.mailbox, self.place, other.place, send, (-1 - send,), roots)]

    def writes(self, letter: bytes) -> None:
        self.waiting.append(letter)

    def opens(self) -> None:
        """Read the porter's file, and write the own."""
        heard = 0
        if self.carrier.written is not None:
            said = self.carrier.said()
            heard = said.number
            self.got += [envelope for _, envelope in said.envelopes]
            self.waiting = [each for each in self.waiting if Digest(hashlib.sha256(each).digest()) not in said.carried]
        self.number += 1
        envelopes = tuple((self.lines[0].name, each) for each in self.waiting) if self.lines else ()
        said_now = FromDesk(self.number, heard, tuple(self.lines), envelopes, charter=self.agreed)
        self.world.write_tray(self.carrier, said_now)


def letter(of: str, number: int, size: int = 700) -> bytes:
    return hashlib.shake_256(f"letter {number} of {of}".encode()).digest(size)


def pair(world: World, one: str | None = None, other: str | None = None) -> tuple[Desk, Desk]:
    """Two desks that correspond; who gave them their tickets."""
    anna, mikhail = Desk(world, world.enrol("anna", one), 0), Desk(world, world.enrol("mikhail", other), 1)
    anna.meets(mikhail)
    mikhail.meets(anna)
    return anna, mikhail


def run(world: World, desks: Iterable[Desk], rounds: int) -> None:
    for _ in range(rounds):
        for desk in desks:
            desk.opens()
        world.turn()


def machine(world: World, name: str) -> Operator:
    found = world.houses[name].machine
    assert found is not None
    return found


def noted(world: World, name: str) -> Counter[str]:
    shelf, counted = world.houses[name].shelf, Counter[str]()
    for raw in shelf.names(NOTES):
        counted += Counter(notes(shelf.get(NOTES, raw)))
    return counted


def told(*desks: Desk) -> set[tuple[str, str]]:
    return {(report.kind, report.operator) for desk in desks for report in desk.carrier.said().reports}


# Amendments.


def amended(world: World, keys: tuple[OperatorKeys, ...], first: int, **changes: object) -> SignedCharter:
    """The charter that follows the newest, of the operators that *keys* are of; none has signed it."""
    old = world.signed.charter
    numbers, shares = replace(old.numbers, first=first, start=old.begins(first)), old.shares
    if "numbers" in changes:
        numbers = replace(numbers, **changes["numbers"])  # type: ignore[arg-type]
    if "shares" in changes:
        shares = (*shares, *changes["shares"])  # type: ignore[misc]
    return SignedCharter(Charter("sim", seats(keys, world.kem), shares, numbers, old.digest))


def signed(charter: SignedCharter, *keys: OperatorKeys) -> SignedCharter:
    for each in keys:
        charter = charter.sign(each.signer)
    return charter


def adopt(world: World, charter: SignedCharter, keys: Iterable[OperatorKeys]) -> None:
    """Every operator of the office takes the charter, with the keys that it brings; those who are new start."""
    for each in keys:
        house = world.houses.setdefault(each.name, House(each.name, ()))
        if each not in house.keys:
            house.keys = (*house.keys, each)
            if house.machine is not None or not house.shelf.bodies:
                world.open_house(house)
                if house.shelf.bodies:
                    machine(world, each.name).begin(world.now)
    for name, house in world.houses.items():
        if house.machine is not None:
            new = not house.shelf.bodies
            machine(world, name).adopt(charter)
            if new:
                machine(world, name).begin(world.now)
    for name in world.houses:
        world.talk(name)
    world.signed = charter


@dataclass
class Story:
    """Two who write to each other every eight days, whatever becomes of the office."""

    world: World
    desks: list[Desk]
    sent: tuple[list[bytes], list[bytes]] = field(default_factory=lambda: ([], []))

    def goes_on(self, rounds: int) -> None:
        for _ in range(rounds):
            if self.world.round % 8 == 0:
                self.writes("letter", size=700)
            run(self.world, self.desks, 1)

    def writes(self, what: str, size: int, of: Iterable[int] = (0, 1)) -> None:
        for at in of:
            written = letter(f"{what} {at}", self.world.round, size)
            self.desks[at].writes(written)
            self.sent[at].append(written)

    def follows(self) -> None:
        """Go on into the newest charter."""
        self.goes_on(self.world.signed.charter.numbers.first - self.world.round)
        self.world.charter = self.world.signed.charter
        self.goes_on(4)

    def arrives(self) -> None:
        """Write no more until all has come."""
        while any(desk.waiting for desk in self.desks):
            run(self.world, self.desks, 1)

    def heirs(self) -> None:
        """The first one's laptop dies, with the porter on it: another mailbox, another porter, new keys."""
        world, (gone, other) = self.world, self.desks
        del world.carriers["anna"]
        machine(world, "west").retire(gone.carrier.mailbox)
        ((mailbox, ticket),) = machine(world, "west").issue(1)
        world.talk("west")
        assert mailbox != gone.carrier.mailbox
        heir = Desk(world, world.carrier("anna again", mailbox, ticket), 0, got=gone.got)
        heir.meets(other, generation=1)
        other.meets(heir, generation=1)
        self.desks[0] = heir


def test_operators_numbers_keys_and_mailboxes_change_and_every_letter_arrives_once() -> None:
    world = World(numbers=DAILY)
    story = Story(world, [*pair(world, "west", "east")])
    story.goes_on(8)
    # A third operator, twice the mailboxes, and new keys for the two that there were.
    before = [house.keys[0] for house in world.houses.values()]
    west, east, north = after = tuple(make_keys(name, Generator("second", name)) for name in ("west", "east", "north"))
    shares = (Share("north", 16, 8, 1), Share("west", 24, 8, 0))
    second = amended(world, after, world.round + 12, numbers={"capacity": 32}, shares=shares)
    second = signed(second, *after, *before)
    adopt(world, second, after)
    story.goes_on(6)
    # Everybody has heard of it, and has a place with the newcomer before it begins.
    for desk in story.desks:
        assert desk.carrier.said().charter == second.encode()
        assert desk.carrier.machine
        assert desk.carrier.machine.keeping.standings["north"].enrolled
    story.follows()
    assert {operator.heard for desk in story.desks for operator in desk.carrier.said().operators} == {world.round}
    # The newcomer stays, and an old one goes: it has been replaced.
    third = signed(amended(world, (west, north), world.round + 12), west, east, north)
    adopt(world, third, (west, north))
    story.follows()
    world.houses["east"].machine = None
    visited = {e.receiver for e in world.trace if e.kind == "visit" and e.instant > third.charter.numbers.start}
    assert visited == {"west", "north"}
    # A mailbox is retired and replaced while a letter to it is half there.
    story.arrives()
    story.writes("long letter", size=2_600, of=[1])
    run(world, story.desks, 5)
    assert story.desks[1].waiting
    story.heirs()
    story.goes_on(8)
    story.arrives()
    run(world, story.desks, 1)
    heir, other = story.desks
    assert (Counter(other.got), Counter(heir.got)) == tuple(map(Counter, story.sent))
    assert len(story.sent[0]) >= 6
    # Two operators took new keys and started again with them: the round that they were in was void.
    restarts = {(Kind.GARBLED.value, "west"), (Kind.GARBLED.value, "east"), (Kind.VOID.value, "")}
    assert told(other) <= restarts
    assert told(heir) == set()
    # It was started twice, and one round was void by it.
    assert noted(world, "west")["this operator was started in it"] == 3


def test_a_charter_that_all_have_signed_is_followed_by_porters_that_nobody_asks() -> None:
    world = World(numbers=DAILY)
    anna, mikhail = pair(world)
    run(world, (anna, mikhail), 6)
    keys = tuple(house.keys[0] for house in world.houses.values())
    second = signed(amended(world, keys, world.round + 12, numbers={"capacity": 64}), *keys)
    adopt(world, second, keys)
    run(world, (anna, mikhail), 3)
    assert [desk.carrier.said().asking for desk in (anna, mikhail)] == [b"", b""]
    assert [desk.carrier.said().charter for desk in (anna, mikhail)] == [second.encode()] * 2
    # Until it begins nothing about a visit is other than it was.
    before = visits.request_size(world.charter, world.round, 0, more=False)
    assert {
        len(e.body) for e in world.trace if e.kind == "visit" and e.instant > world.charter.begins(world.round)
    } <= {
        before + difference
        for difference in (0, visits.request_size(world.charter, world.round, 1, more=False) - before)
    }


def test_a_mailbox_that_a_coming_charter_adds_is_written_to_and_read_once_it_is_there() -> None:
    world = World(numbers=DAILY)
    anna, mikhail = pair(world)
    run(world, (anna, mikhail), 6)
    keys = tuple(house.keys[0] for house in world.houses.values())
    second = signed(
        amended(world, keys, world.round + 10, numbers={"capacity": 32}, shares=(Share("east", 16, 16, 0),)), *keys
    )
    adopt(world, second, keys)
    run(world, (anna, mikhail), 10)
    world.charter = second.charter
    given = machine(world, "east").issue(8 - 1 + 1)  # the seven of its first share, and one of the second
    world.talk("east")
    assert given[-1][0] == 16
    olga = Desk(world, world.carrier("olga", *given[-1]), 1)
    anna.meets(olga, generation=2)
    olga.meets(anna, generation=2)
    anna.writes(letter("anna", 1))
    olga.writes(letter("olga", 1))
    run(world, (anna, mikhail, olga), 14)
    assert (anna.got, olga.got) == ([letter("olga", 1)], [letter("anna", 1)])


# Operators that are down, or come back as they were.


def test_while_an_operator_is_down_rounds_are_void_and_what_is_owed_arrives_when_it_is_back() -> None:
    world = World()
    anna, mikhail = pair(world)
    desks = (anna, mikhail)
    for number in range(3):
        anna.writes(letter("anna", number))
        mikhail.writes(letter("mikhail", number))
    run(world, desks, 7)
    world.houses["east"].machine = None
    down = world.round + 1
    run(world, desks, 6)
    # Porters go on at the other, in every round, at their instants; what is void is named.
    instants = [e.instant for e in world.trace if e.sender == "anna" and e.receiver == "west" and e.kind == "visit"]
    assert instants[-6:] == [world.charter.instant(anna.carrier.mailbox, down + at) for at in range(6)]
    assert noted(world, "west")["east did not answer"] == 6
    assert (Kind.NO_REPLY.value, "east") in told(*desks)
    assert (Kind.NO_REPLY.value, "west") not in told(*desks)
    half = list(anna.got)
    run(world, desks, 1)
    assert anna.got == half
    world.restart_house("east")
    run(world, desks, 40)
    assert anna.got == [letter("mikhail", number) for number in range(3)]
    assert mikhail.got == [letter("anna", number) for number in range(3)]
    assert anna.waiting == mikhail.waiting == []


@pytest.mark.parametrize("old", [0, 6], ids=["restarted", "restored"])
def test_an_operator_that_starts_again_answers_no_visit_of_the_round_that_it_was_in(old: int) -> None:
    world = World()
    anna, mikhail = pair(world)
    run(world, (anna, mikhail), 8 - old)
    house = world.houses["east"]
    copy = dict(house.shelf.bodies)
    run(world, (anna, mikhail), old)
    # A second porter with her keys prepares another visit for the coming round.
    store = replace(anna.carrier.shelf, bodies=dict(anna.carrier.shelf.bodies))
    twin = Porter(store, world.ciphers, Generator("twin"))
    begins = world.charter.begins(world.round + 1)
    started = twin.start(begins, None)
    assert started is not None
    run(world, (anna, mikhail), 1)
    number = world.round
    (sent,) = [
        event
        for event in world.trace
        if (event.sender, event.receiver, event.kind) == ("anna", "east", "visit") and event.instant >= begins
    ]
    before = machine(world, "east").visit(sent.body, world.now)
    assert before is not None
    if old:
        house.shelf.bodies = copy
    world.restart_house("east")
    other = next(errand.body for errand in started.errands if errand.operator == "east")
    assert other != sent.body
    replies = [machine(world, "east").visit(body, world.now) for body in (sent.body, other, sent.body)]
    # All are answered, in size, and none with what was asked.
    assert [len(reply.body) for reply in replies if reply is not None] == [len(before.body)] * 3
    assert len({before.body, *(reply.body for reply in replies if reply is not None)}) == 4
    asked = anna.carrier.machine.keeping.last if anna.carrier.machine else None
    assert asked is not None
    assert asked.round == number
    mine = visits.Visit(anna.carrier.mailbox, number, None, asked.more, asked.keys["east"], b"", ())
    for reply in replies:
        assert reply is not None
        with pytest.raises(VerificationError):
            visits.open_reply(reply.body, mine, charter=world.charter, operator="east", cipher=ReplyCipher())
    assert machine(world, "east").compute(number) == 0
    assert machine(world, "east").settle(number) is None


def test_an_operator_that_is_restored_voids_rounds_never_repeats_them_and_agrees_again_later() -> None:
    world = World()
    anna, mikhail = pair(world)
    desks = (anna, mikhail)
    for number in range(3):
        anna.writes(letter("anna", number))
        mikhail.writes(letter("mikhail", number))
    run(world, desks, 8)
    house = world.houses["east"]
    copy = dict(house.shelf.bodies)
    run(world, desks, 6)
    house.shelf.bodies = copy
    world.restart_house("east")
    lost = world.round
    run(world, desks, 1)
    assert noted(world, "west")["east holds the round to be void"] == 1
    run(world, desks, 45)
    assert anna.got == [letter("mikhail", number) for number in range(3)]
    assert mikhail.got == [letter("anna", number) for number in range(3)]
    # A table that was lost is not made again, and all that came since is the same at both.
    west = world.houses["west"].shelf
    assert house.shelf.get(TABLES, lost.to_bytes(8)) is None
    assert west.names(TABLES) == house.shelf.names(TABLES)
    assert len(west.names(TABLES)) == world.numbers.window + world.numbers.catch_up + 1
    assert west.items(TABLES) == house.shelf.items(TABLES)
    assert west.names("members") == house.shelf.names("members")
    assert west.get(SEEN, b"") == house.shelf.get(SEEN, b"")
    # It has nothing of what it was asked when it stopped; nobody is accused of anything else.
    assert told(*desks) <= {
        (Kind.VOID.value, ""),
        (Kind.UNEQUAL.value, ""),
        (Kind.GARBLED.value, "east"),
        (Kind.ALTERED.value, ""),
        (Kind.MISSING.value, ""),
    }


def test_a_restart_between_rounds_is_told_as_nothing_worse_than_answers_that_are_gone_and_a_round_that_is_void() -> (
    None
):
    world = World()
    anna, mikhail = pair(world)
    anna.writes(letter("anna", 1))
    run(world, (anna, mikhail), 8)
    world.restart_house("east")
    run(world, (anna, mikhail), 12)
    assert mikhail.got == [letter("anna", 1)]
    assert told(anna, mikhail) == {(Kind.GARBLED.value, "east"), (Kind.VOID.value, "")}


# Charters that are asked about, and those that are refused.


def test_a_charter_that_a_lost_operator_could_not_sign_is_asked_about_and_followed_once_its_owner_agrees() -> None:
    world = World(numbers=DAILY)
    anna, mikhail = pair(world, "west", "west")
    olga = Desk(world, world.enrol("olga", "west"), 0)
    desks = (anna, mikhail, olga)
    run(world, desks, 6)
    world.houses["east"].machine = None  # for ever
    anna.writes(letter("anna", 1))
    mikhail.writes(letter("mikhail", 1))
    west, north = world.houses["west"].keys[0], make_keys("north", Generator("new", "north"))
    second = signed(amended(world, (west, north), world.round + 12), west, north)
    adopt(world, second, (west, north))
    run(world, desks, 3)
    assert [desk.carrier.said().asking for desk in desks] == [second.encode()] * 3
    assert not any(desk.carrier.said().charter == second.encode() for desk in desks)
    for desk in (anna, mikhail):
        desk.agreed = second.encode()
    run(world, desks, second.charter.numbers.first - world.round)
    world.charter = second.charter
    run(world, desks, 10)
    assert (anna.got, mikhail.got) == ([letter("mikhail", 1)], [letter("anna", 1)])
    assert [desk.carrier.said().asking for desk in desks] == [b"", b"", second.encode()]
    assert [desk.carrier.said().charter == second.encode() for desk in desks] == [True, True, False]


Changed = dict[str, object]

REFUSED: dict[str, Changed] = {
    "another predecessor": {"predecessor": Digest(b"?" * 32)},
    "no predecessor": {"predecessor": None},
    "fewer mailboxes": {"capacity": 8},
    "fewer places": {"places": 1},
    "packets of another size": {"packet": 1_024},
    "another length of day": {"day": 4},
    "from a round that has begun": {"first": -1},
    "from the round that it is": {"first": 0},
    "not where a round begins": {"start": 1},
    "without a signature of its own": {"unsigned": True},
}


def offered(world: World, how: Changed, *, ahead: int = 12) -> bytes:
    """A charter to follow the newest, signed by all but for what is wrong with it."""
    old, keys = world.signed.charter, [house.keys[0] for house in world.houses.values()]
    first = world.round + int(str(how["first"])) if "first" in how else world.round + ahead
    start = old.begins(first) + (1 if "start" in how else 0)
    known = {k: v for k, v in how.items() if k in {"capacity", "places", "packet", "day"}}
    numbers: Numbers = replace(old.numbers, first=first, start=start, **known)  # type: ignore[arg-type]
    predecessor = how.get("predecessor", old.digest)
    assert predecessor is None or isinstance(predecessor, Digest)
    shares = () if "capacity" in how else old.shares
    made = SignedCharter(Charter("sim", old.seats, shares, numbers, predecessor))
    return signed(made, *keys[: 1 if "unsigned" in how else None]).encode()


@pytest.mark.parametrize("how", REFUSED.values(), ids=REFUSED)
def test_a_charter_is_refused_though_its_owner_agrees(how: Changed) -> None:
    world = World(numbers=DAILY)
    anna, _ = pair(world)
    run(world, (anna,), 4)
    anna.agreed = offered(world, how)
    run(world, (anna,), 2)
    assert anna.carrier.said().charter == world.signed.encode()
    assert anna.carrier.said().asking == b""
    # It goes on under the charter that it has.
    last = [e.kind for e in world.trace if e.sender == "anna" and e.instant >= world.charter.begins(world.round)]
    assert last[:2] == ["visit", "visit"]


@pytest.mark.parametrize(("ahead", "asked"), [(8, True), (9, False)], ids=["a millisecond less", "seven days"])
def test_a_charter_less_than_seven_days_off_is_asked_about(ahead: int, *, asked: bool) -> None:
    world = World(numbers=DAILY)
    anna, _ = pair(world)
    run(world, (anna,), 5)
    # Mailbox 1 asks in every odd round, and hears at its end, a millisecond before the next.
    assert (anna.carrier.mailbox, world.round) == (1, 1_004)
    file = offered(world, {}, ahead=ahead)
    for name in world.houses:
        machine(world, name).adopt(SignedCharter.decode(file))
    run(world, (anna,), 2)
    said = anna.carrier.said()
    assert said.asking == (file if asked else b"")
    assert said.charter == (world.signed.encode() if asked else file)
