"""The desk's side of the tray: what it hands to its porter and when, what it erases, and what it makes of what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from backchannel.desk import carriage, introductions, post, records, writing
from backchannel.desk.carriage import Outcome
from backchannel.desk.post import Came, Exchanged, Membership
from backchannel.desk.records import Person, Stage
from backchannel.errors import MalformedError, NegativeError, RefusedError, UsageError
from backchannel.keys import Digest
from backchannel.letters import Enclosure
from backchannel.post import tray
from backchannel.post.charter import SignedCharter
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.enrolment import Ticket
from backchannel.post.lines import MAX_QUEUED
from backchannel.post.transfer import MAX_ENVELOPE
from backchannel.post.tray import DESK_FILE, PORTER_FILE, FromDesk, FromPorter, LineName, PairingKey
from backchannel.seal import ratchet
from backchannel.seal.card import Carriage
from tests.cli.stage import StageKem, furnish
from tests.desk.small import PASSPHRASE
from tests.desk.two_desks import ANNA, MIKHAIL, Side, Two, prose, strangers
from tests.porter.watching import watched
from tests.simulation.office import SMALL, Generator, MemoryShelf, World

SIZE = 256 * 1024  # of a tray
CIPHER = ReplyCipher()
KEM = StageKem()


def office(*, places: int = 2, reads: int = 2) -> World:
    return World(k=2, numbers=replace(SMALL, places=places, reads=reads, enrolment=1, packet=1024))


@dataclass
class Tray:
    """A desk in an office without a porter: the test is the porter."""

    side: Side
    world: World
    mailbox: int
    size: int = SIZE
    key: PairingKey = field(default_factory=lambda: PairingKey(bytes(32)))
    number: int = 0

    def join(self) -> Tray:
        self.folder.mkdir(exist_ok=True)
        ticket = Ticket(bytes(Ticket.size))
        pairing, changes = post.join(
            self.side.desk, self.world.signed, self.mailbox, ticket, folder=self.folder, size=self.size
        )
        assert (pairing.mailbox, pairing.ticket, pairing.size) == (self.mailbox, ticket, self.size)
        self.side.desk.commit(changes)
        self.key = pairing.key
        return self

    @property
    def folder(self) -> Path:
        return self.side.root / f"{self.side.name.split()[0]}.tray"

    @property
    def member(self) -> Membership:
        member = post.membership(self.side.desk)
        assert member is not None
        return member

    @property
    def line(self) -> LineName:
        return post.line_name(self.side.person)

    def exchange(self) -> Exchanged:
        return post.exchange(self.side.desk, now=self.side.now, cipher=CIPHER)

    def left(self) -> FromDesk:
        """What the desk's file says."""
        file = (self.folder / DESK_FILE).read_bytes()
        assert len(file) == self.size
        return tray.open_from_desk(file, self.key, cipher=CIPHER)

    def say(self, *envelopes: bytes, heard: int, number: int = 0, carried: tuple[bytes, ...] = ()) -> bytes:
        """Write the porter's file."""
        self.number = number or self.number + 1
        said = FromPorter(
            number=self.number,
            heard=heard,
            round=1_001,
            charter=self.world.signed.encode(),
            mailbox=self.mailbox,
            effective=0,
            copy=False,
            attendance=(),
            envelopes=tuple((self.line, envelope) for envelope in envelopes),
            carried=tuple(post.name_of(each) for each in carried),
            lines=(),
            operators=(),
            reports=(),
        )
        file = tray.seal(said, self.key, self.size, random=Generator(self.side.name, self.number), cipher=CIPHER)
        (self.folder / PORTER_FILE).write_bytes(file)
        return file

    def hear(self, *envelopes: bytes, carried: tuple[bytes, ...] = ()) -> Exchanged:
        """Let the porter have read all, and the desk have heard that."""
        self.say(*envelopes, heard=self.member.number, carried=carried)
        return self.exchange()

    def stages(self) -> list[Stage]:
        return [entry.stage for entry in self.side.listing() if entry.outgoing]


@contextmanager
def trays(root: Path, *, places: int = 2, reads: int = 2, size: int = SIZE) -> Iterator[tuple[Tray, Tray]]:
    """Two desks that have joined, met and compared words."""
    world = office(places=places, reads=reads)
    with strangers(root, kem=KEM) as two:
        one, other = Tray(two.first, world, 1, size).join(), Tray(two.second, world, 8, size).join()
        two.meet().compare()
        yield one, other


def two(one: Tray, other: Tray) -> Two:
    return Two(one.side, other.side, one.side.clock)


# The record.


def test_a_membership_is_read_as_it_was_written(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, _):
        member = replace(
            anna.member,
            number=7,
            heard=5,
            handed={(b"a line's name", -1): 6, (b"a line's name", 4): 7},
            listed={3: 7},
            agreed=b"a charter",
        )
        assert Membership.decode(member.encode()) == member
        assert (member.terms, member.tray) == (anna.world.charter, anna.folder)
        assert member.said() is None


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x81\x00", b"\x8d" + b"\x00" * 13])
def test_what_is_no_membership_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Membership.decode(data)


# Joining.


def test_a_desk_joins_with_a_charter_that_all_have_signed_and_a_mailbox_of_it(tmp_path: Path) -> None:
    world = office()
    with strangers(tmp_path, kem=KEM) as both:
        desk, ticket = both.first.desk, Ticket(bytes(Ticket.size))
        unsigned = SignedCharter(world.charter, world.signed.signatures[:1])
        with pytest.raises(RefusedError, match="not signed by east"):
            post.join(desk, unsigned, 1, ticket, folder=tmp_path, size=SIZE)
        with pytest.raises(UsageError, match="not for a mailbox"):
            post.join(desk, world.signed, 15, ticket, folder=tmp_path, size=SIZE)
        desk.store.restored = True
        with pytest.raises(RefusedError, match="old copy"):
            post.join(desk, world.signed, 1, ticket, folder=tmp_path, size=SIZE)
        desk.store.restored = False
        assert post.membership(desk) is None
        assert post.exchange(desk, now=both.first.now, cipher=CIPHER) == Exchanged()
        assert not list(tmp_path.glob("*.tray"))


def test_joining_again_is_a_new_time_with_a_new_key_and_tells_the_new_mailbox_in_a_letter(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        letter = anna.side.write(prose("on its way"))
        anna.exchange()
        anna.hear()
        assert anna.left().envelopes == ()
        before = anna.member
        anna.mailbox, anna.number = 2, 0
        anna.join()
        member = anna.member
        assert (member.epoch, member.mailbox, member.number, member.heard) == (before.epoch + 1, 2, 0, 0)
        assert member.key != before.key
        assert not member.handed
        assert not member.listed
        assert anna.side.person.mine == Carriage(before_place(mikhail), 2, anna.world.charter.digest)
        # The new porter has nothing of what the old one had.
        anna.exchange()
        assert [each for _, each in anna.left().envelopes] == [anna.side.envelope(letter.number)]
        sent = writing.send_moved(anna.side.desk, anna.side.person, now=anna.side.now)
        anna.side.desk.commit(sent.changes)
        assert mikhail.side.person.theirs == Carriage(before_place(mikhail), 1, anna.world.charter.digest)
        mikhail.side.receive(anna.side.pack(again=True))
        assert mikhail.side.person.theirs == anna.side.person.mine
        mikhail.exchange()
        assert [terms.mailbox for terms in mikhail.left().lines] == [2]


def before_place(mikhail: Tray) -> int:
    theirs = mikhail.side.person.theirs
    assert theirs is not None
    return theirs.place


def test_a_new_mailbox_that_comes_by_post_is_where_letters_go_from_then_on(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        anna.mailbox = 3
        anna.join()
        sent = writing.send_moved(anna.side.desk, anna.side.person, now=anna.side.now)
        anna.side.desk.commit(sent.changes)
        mikhail.exchange()
        mikhail.hear(anna.side.envelope(sent.entry.number))
        assert [terms.mailbox for terms in mikhail.left().lines] == [3]


# Reading.


def test_without_a_file_of_the_porter_the_desk_writes_its_own(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, _):
        assert anna.exchange() == Exchanged()
        assert (anna.left().number, anna.left().heard) == (1, 0)
        assert anna.exchange() == Exchanged()
        assert anna.left().number == 2


def test_what_comes_is_opened_once_and_said_to_be_heard(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        entry = mikhail.side.write(prose("by post"))
        envelope = mikhail.side.envelope(entry.number)
        file = anna.say(envelope, heard=0)
        (came,) = anna.exchange().came
        assert isinstance(came, Came)
        assert [arrival.outcome for arrival in came.opened.arrivals] == [Outcome.OPENED]
        assert "by post" in anna.side.text(1)
        assert anna.side.desk.entry(1).pouch == 0
        assert anna.left().heard == 1
        # The same file is read no more; what comes again in the next is known.
        assert anna.exchange() == Exchanged()
        (again,) = anna.hear(envelope).came
        assert [arrival.outcome for arrival in again.opened.arrivals] == [Outcome.ALREADY]
        assert (anna.left().heard, len(anna.side.listing())) == (2, 1)
        # Nor is an older one, which somebody put back.
        (anna.folder / PORTER_FILE).write_bytes(file)
        assert anna.exchange() == Exchanged()
        assert anna.left().heard == 2


@pytest.mark.parametrize("what", ["another pairing's", "garbled", "cut", "too long", "empty", "the desk's own"])
def test_a_file_that_is_not_its_porters_is_told_and_the_desks_is_written_all_the_same(
    tmp_path: Path, what: str
) -> None:
    with trays(tmp_path) as (anna, mikhail):
        anna.exchange()
        file = anna.say(heard=1)
        mikhail.number = 4
        makers: dict[str, Callable[[], bytes]] = {
            "another pairing's": lambda: mikhail.say(heard=1),
            "garbled": lambda: file[:9_000] + bytes([file[9_000] ^ 1]) + file[9_001:],
            "cut": lambda: file[:-1],
            "too long": lambda: file + b"\0",
            "empty": lambda: b"",
            "the desk's own": (anna.folder / DESK_FILE).read_bytes,
        }
        wrong = makers[what]()
        (anna.folder / PORTER_FILE).write_bytes(wrong)
        anna.side.write(prose("all the same"))
        exchanged = anna.exchange()
        assert exchanged == Exchanged((), "the porter's file in the tray does not open")
        assert (anna.left().number, anna.left().heard, len(anna.left().envelopes)) == (2, 0, 1)
        (anna.folder / PORTER_FILE).write_bytes(file)
        assert anna.exchange() == Exchanged()
        assert anna.left().heard == 1


@pytest.mark.parametrize("broken", ["no folder", "nothing can be written", "cannot be read"])
def test_a_tray_that_cannot_be_used_is_told_and_nothing_is_committed(tmp_path: Path, broken: str) -> None:
    with trays(tmp_path) as (anna, mikhail):
        anna.exchange()
        entry = mikhail.side.write(prose("it came all the same"))
        anna.side.write(prose("it waits"))
        commits, kept = anna.side.desk.store.commit_number, anna.member
        # As root no mode forbids anything; a folder in the way does.
        away = anna.folder.with_name("away")
        in_the_way = anna.folder / {"nothing can be written": ".desk.tray.part"}.get(broken, PORTER_FILE)
        if broken == "no folder":
            anna.folder.rename(away)
        else:
            in_the_way.mkdir()
        exchanged = anna.exchange()
        assert exchanged.came == ()
        assert exchanged.trouble.startswith("the tray cannot be used: ")
        if broken == "cannot be read":
            assert anna.stages() == [Stage.LEFT]  # and the own file is there
            assert len(anna.left().envelopes) == 1
            return
        assert (anna.side.desk.store.commit_number, anna.member) == (commits, kept)
        assert anna.stages() == [Stage.TRAY]
        if broken == "nothing can be written":
            anna.say(mikhail.side.envelope(entry.number), heard=1)
            exchanged = anna.exchange()
            assert [came.person.name for came in exchanged.came] == [MIKHAIL]
            assert exchanged.trouble == "the tray cannot be used: cannot write desk.tray: is a directory"
            assert anna.member.heard == 1
            in_the_way.rmdir()
        else:
            away.rename(anna.folder)
        assert anna.exchange().trouble == ""
        assert anna.stages() == [Stage.LEFT]


def test_what_came_from_each_is_told_as_theirs(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        one = mikhail.side.envelope(mikhail.side.write(prose("one")).number)
        two_ = mikhail.side.envelope(mikhail.side.write(prose("two")).number)
        (came,) = anna.hear(one, two_, b"rubbish").came
        assert came.person.name == MIKHAIL
        assert [arrival.outcome for arrival in came.opened.arrivals] == [
            Outcome.OPENED,
            Outcome.OPENED,
            Outcome.REFUSED,
        ]


def test_what_is_put_off_while_much_is_opened_is_opened_before_the_file_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carriage, "MAX_EXPANDED", 1)
    with trays(tmp_path) as (anna, mikhail):
        bodies = [mikhail.side.envelope(mikhail.side.write(prose(f"letter {n}")).number) for n in range(3)]
        assert len(anna.hear(*bodies).came) == 3
        assert ["letter" in anna.side.text(entry.number) for entry in anna.side.listing()] == [True] * 3


# Roots.


def roots(side: Side) -> list[bytes]:
    return list(side.state.roots.values())


def kept(side: Side, root: bytes) -> bool:
    return any(root in body for body in side.bodies().values())


def test_a_root_is_handed_until_the_porter_has_heard_it_and_then_is_gone(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, _):
        had = roots(anna.side)
        assert had
        for number in (1, 2, 3):
            anna.exchange()
            assert sorted(root for _, root in anna.left().lines[0].roots) == sorted(had)
            assert anna.left().number == number
        # The porter has read the file before the first that had them; then the first.
        anna.say(heard=0)
        anna.exchange()
        assert roots(anna.side) == had
        anna.say(heard=1)
        anna.exchange()
        assert roots(anna.side) == []
        assert not any(kept(anna.side, root) for root in had)
        assert anna.left().lines[0].roots == ()
        assert anna.member.handed == {}


def test_roots_of_a_new_turn_are_handed_with_the_letter_and_no_others_are_wanted(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        anna.exchange()
        anna.hear()
        before = anna.left().lines[0]
        anna.hear(mikhail.side.envelope(mikhail.side.write(prose("a turn")).number))
        # What is opened changes nothing that leaves; what is written does.
        assert anna.left().lines[0] == before
        answer = anna.side.envelope(anna.side.write(prose("an answer")).number)
        anna.exchange()
        assert (anna.left().lines[0].sending, anna.left().lines[0].reading) == (0, (1, -1))
        assert [turn for turn, _ in anna.left().lines[0].roots] == [1]  # the porter has the two before
        mikhail.hear(answer)
        anna.hear(mikhail.side.envelope(mikhail.side.write(prose("the next")).number))
        assert (anna.left().lines[0].sending, anna.left().lines[0].roots) == (0, ())
        anna.side.write(prose("and the one after"))
        anna.exchange()
        assert (anna.left().lines[0].sending, anna.left().lines[0].reading) == (2, (3, 1))
        assert [turn for turn, _ in anna.left().lines[0].roots] == [2, 3]


def test_roots_are_erased_though_the_two_have_met_again_since(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        had = roots(anna.side)
        anna.exchange()
        two(anna, mikhail).meet_again()
        anna.say(heard=1)
        anna.exchange()
        assert not any(kept(anna.side, root) for root in had)
        assert set(roots(anna.side)) & set(had) == set()
        assert [line for line, _ in anna.member.handed] == [anna.line] * len(roots(anna.side))


# Letters.


def test_a_letter_leaves_with_the_file_and_not_before_and_is_listed_until_it_is_heard(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, _):
        anna.exchange()
        entry = anna.side.write(prose("a letter"))
        envelope = anna.side.envelope(entry.number)
        assert anna.stages() == [Stage.TRAY]
        assert anna.left().envelopes == ()
        anna.side.clock.time += 100
        anna.exchange()
        assert anna.stages() == [Stage.LEFT]
        assert anna.left().envelopes == ((anna.line, envelope),)
        assert anna.side.desk.entry(1).left == anna.side.now
        left = anna.side.now
        anna.side.clock.time += 100
        anna.exchange()
        assert anna.left().envelopes == ((anna.line, envelope),)
        assert anna.side.desk.entry(1).left == left
        anna.say(heard=1)
        anna.exchange()
        assert anna.left().envelopes == ((anna.line, envelope),)
        anna.say(heard=2)
        anna.exchange()
        assert anna.left().envelopes == ()
        assert anna.member.listed == {}
        assert anna.stages() == [Stage.LEFT]


def test_a_letter_is_carried_when_the_porter_says_so_and_has_arrived_when_its_reader_does(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        envelope = anna.side.envelope(anna.side.write(prose("a letter")).number)
        anna.exchange()
        anna.hear(carried=(b"another", envelope))
        assert anna.stages() == [Stage.CARRIED]
        mikhail.hear(envelope)
        answer = mikhail.side.envelope(mikhail.side.write(prose("an answer")).number)
        anna.hear(answer)
        assert anna.stages() == [Stage.ARRIVED]
        # A porter that says it late takes nothing back, and of letters from others it says nothing.
        anna.hear(carried=(envelope, answer))
        assert anna.stages() == [Stage.ARRIVED]
        assert anna.side.listing()[-1].stage is Stage.RECEIVED


def test_what_came_with_word_of_its_arrival_in_one_file_is_both(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        envelope = anna.side.envelope(anna.side.write(prose("a letter")).number)
        anna.exchange()
        mikhail.hear(envelope)
        anna.hear(mikhail.side.envelope(mikhail.side.write(prose("an answer")).number), carried=(envelope,))
        assert anna.stages() == [Stage.ARRIVED]


def noise(size: int, seed: str = "") -> list[Enclosure]:
    return [Enclosure("noise.bin", "application/octet-stream", Generator("noise", seed)(size))]


def test_a_letter_that_is_too_large_waits_for_a_pouch(tmp_path: Path) -> None:
    with trays(tmp_path, size=2 * 1024 * 1024) as (anna, mikhail):
        large = anna.side.write(prose("large"), enclosures=noise(MAX_ENVELOPE))
        small = anna.side.write(prose("small"))
        anna.exchange()
        assert anna.stages() == [Stage.TRAY, Stage.LEFT]
        assert [each for _, each in anna.left().envelopes] == [anna.side.envelope(small.number)]
        assert post.estimate(anna.side.desk, anna.side.person, len(anna.side.envelope(large.number)), 0) is None
        assert len(mikhail.side.receive(anna.side.pack())) == 1
        assert anna.stages() == [Stage.LEFT, Stage.LEFT]


def test_no_more_waits_at_the_porter_than_it_takes(tmp_path: Path) -> None:
    with trays(tmp_path, size=2 * 1024 * 1024) as (anna, _):
        sizes = [
            len(anna.side.envelope(anna.side.write(prose("x"), enclosures=noise(300_000, str(n))).number))
            for n in range(4)
        ]
        assert sum(sizes[:3]) <= MAX_QUEUED < sum(sizes)
        first = anna.side.envelope(1)
        anna.exchange()
        assert anna.stages() == [Stage.LEFT] * 3 + [Stage.TRAY]
        # What the porter has heard is not listed any more, and still waits with it.
        anna.hear()
        assert anna.stages() == [Stage.LEFT] * 3 + [Stage.TRAY]
        assert anna.left().envelopes == ()
        anna.hear(carried=(first,))
        assert anna.stages() == [Stage.CARRIED, *[Stage.LEFT] * 3]
        assert len(anna.left().envelopes) == 1


def test_what_a_full_file_has_no_room_for_is_listed_in_a_later_one(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, _):
        bodies = []
        for n in range(4):
            entry = anna.side.write(prose("x"), enclosures=noise(80_000, str(n)))
            bodies.append(anna.side.envelope(entry.number))
        anna.exchange()
        assert [each for _, each in anna.left().envelopes] == bodies[:3]
        assert anna.stages() == [Stage.LEFT] * 3 + [Stage.TRAY]
        anna.hear()
        assert [each for _, each in anna.left().envelopes] == bodies[3:]


def test_a_letter_that_newer_ones_crowd_out_of_a_file_before_it_was_heard_is_not_forgotten(tmp_path: Path) -> None:
    """Anna comes before Mikhail in a third desk's file, and her letters were written after his."""
    with trays(tmp_path, places=4) as (anna, _):
        third = Side(tmp_path, "Zoe Quist", ANNA, anna.side.clock, kem=KEM).create()
        zoe = Tray(third, anna.world, 2).join()
        mikhail = Side(tmp_path, MIKHAIL, "Zoe Quist", anna.side.clock, kem=KEM, place="mikhail2").create()
        Tray(mikhail, anna.world, 9).join()
        for peer in (anna.side, mikhail):
            third.peer = peer.name
            before, peer.peer = peer.peer, third.name
            Two(third, peer, third.clock).meet().compare()
            peer.peer = before
        third.peer = MIKHAIL
        his = third.envelope(third.write(prose("his"), enclosures=noise(100_000)).number)
        third.peer = ANNA
        zoe.exchange()
        assert [each for _, each in zoe.left().envelopes] == [his]
        hers = [third.envelope(third.write(prose("hers"), enclosures=noise(100_000, str(n))).number) for n in range(2)]
        zoe.exchange()
        assert [each for _, each in zoe.left().envelopes] == hers
        # The porter missed the first file.
        zoe.say(heard=2)
        zoe.exchange()
        assert [each for _, each in zoe.left().envelopes] == [his]
        zoe.hear()
        assert zoe.left().envelopes == ()
        third.close()
        mikhail.close()


def test_a_pouch_works_beside_the_post_and_a_letter_is_opened_once(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        entry = anna.side.write(prose("by both"))
        envelope = anna.side.envelope(entry.number)
        anna.exchange()
        mikhail.hear(envelope)
        opened = mikhail.side.unpack(anna.side.pack(again=True))
        assert [arrival.outcome for arrival in opened.arrivals] == [Outcome.ALREADY]
        assert anna.side.envelope(entry.number) == envelope
        # The other way round, too.
        anna.side.write(prose("by hand first"))
        anna.exchange()
        second = anna.side.envelope(2)
        assert [a.outcome for a in mikhail.side.unpack(anna.side.pack(again=True)).arrivals] == [
            Outcome.ALREADY, Outcome.OPENED,
        ]  # fmt: skip
        (came,) = mikhail.hear(second).came
        assert [arrival.outcome for arrival in came.opened.arrivals] == [Outcome.ALREADY]
        assert [entry.outgoing for entry in mikhail.side.listing()] == [False, False]
        # The porter goes on with what it was told, until it says that it has heard.
        assert [each for _, each in anna.left().envelopes] == [envelope, second]


def test_what_left_by_hand_is_not_carried_by_post_too(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, _):
        anna.exchange()
        anna.side.write(prose("by hand"))
        anna.side.pack()
        anna.exchange()
        assert anna.left().envelopes == ()
        assert anna.side.desk.entry(1).posted == 0


def test_a_letter_under_keys_that_were_never_compared_leaves_when_its_owner_sends_it(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        two(anna, mikhail).meet_again()
        anna.side.send(anna.side.save(prose("to whoever it is")), uncompared=True)
        # Renewed once more without a comparison: it may be for somebody else.
        two(anna, mikhail).meet_again()
        anna.exchange()
        assert anna.left().envelopes == ()
        assert anna.stages() == [Stage.TRAY]


# Frozen, restored, met again.


def freeze(side: Side) -> None:
    state = ratchet.freeze(side.state, "by will")
    side.desk.commit({(records.KEYS, records_name(side)): state.encode()})


def records_name(side: Side) -> bytes:
    return side.person.id + side.person.generation.to_bytes(4)


def test_of_a_frozen_correspondence_nothing_more_is_handed_over_and_the_line_stays(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        anna.side.write(prose("before"))
        anna.exchange()
        anna.side.write(prose("it waits"))
        freeze(anna.side)
        anna.exchange()
        assert anna.left().envelopes == ()
        assert [line.name for line in anna.left().lines] == [anna.line]
        assert anna.stages() == [Stage.LEFT, Stage.TRAY]
        two(anna, mikhail).meet_again().compare()
        anna.exchange()
        assert len(anna.left().envelopes) == 2


def test_an_old_copy_of_a_desk_leaves_the_tray_alone(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        anna.exchange()
        anna.say(mikhail.side.envelope(mikhail.side.write(prose("not for a copy")).number), heard=1)
        before = {path: path.read_bytes() for path in anna.folder.iterdir()}
        anna.side.desk.store.restored = True
        assert anna.exchange() == Exchanged()
        assert {path: path.read_bytes() for path in anna.folder.iterdir()} == before
        assert anna.side.listing() == []
        anna.side.desk.store.restored = False
        assert len(anna.exchange().came) == 1


def test_meeting_again_moves_what_is_not_known_to_have_arrived_to_the_new_line(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        bodies = [anna.side.envelope(anna.side.write(prose(f"letter {n}")).number) for n in range(4)]
        anna.exchange()
        anna.hear(carried=(bodies[1],))
        mikhail.hear(*bodies[:1])
        anna.hear(mikhail.side.envelope(mikhail.side.write(prose("answer")).number))
        assert anna.stages() == [Stage.ARRIVED, Stage.CARRIED, Stage.LEFT, Stage.LEFT]
        before, place = anna.line, anna.side.person.mine
        two(anna, mikhail).meet_again().compare()
        anna.exchange()
        assert anna.line != before
        assert anna.side.person.mine == place
        assert [line.name for line in anna.left().lines] == [anna.line]
        assert anna.left().envelopes == tuple((anna.line, body) for body in bodies[1:])
        (came,) = mikhail.hear(*bodies[1:]).came
        assert [arrival.outcome for arrival in came.opened.arrivals] == [Outcome.OPENED] * 3
        anna.hear()
        assert anna.left().envelopes == ()


# Places.


def test_places_are_drawn_among_the_free_and_kept_when_two_meet_again(tmp_path: Path) -> None:
    world = office(places=3)
    with strangers(tmp_path, kem=KEM) as both:
        anna = Tray(both.first, world, 1).join()
        desk = both.first.desk
        found = set()
        for name in ("Mikhail Orlov", "Clara Voss", "Ivan Petrov"):
            both.first.card(name)
            waiting = desk.register.waiting.values()
            found = set(post._taken(desk))
            assert len(found) == len(waiting)
        assert found == {0, 1, 2}
        # None left: the card is for pouches alone.
        assert post.place_for(desk, Person(records.PersonId(bytes(8)), "Dora")) is None
        desk.commit(introductions.withdraw(desk, desk.person("Clara")))
        free = post.place_for(desk, Person(records.PersonId(bytes(8)), "Dora"))
        assert free is not None
        assert free.place in {0, 1, 2} - set(post._taken(desk))
        assert (free.mailbox, free.charter) == (1, world.charter.digest)
        assert anna.member.mailbox == 1


def test_without_a_free_place_two_write_by_hand(tmp_path: Path) -> None:
    with trays(tmp_path, places=1) as (anna, _):
        third = Side(tmp_path, "Zoe Quist", ANNA, anna.side.clock, kem=KEM).create()
        zoe = Tray(third, anna.world, 2).join()
        anna.side.peer = third.name
        Two(third, anna.side, third.clock).meet().compare()
        assert anna.side.person.mine is None
        assert third.person.theirs is None
        third.write(prose("by hand"))
        zoe.exchange()
        assert zoe.left().lines == ()
        assert third.listing()[0].stage is Stage.TRAY
        assert post.estimate(third.desk, third.person, 1_000, 0) is None
        anna.side.receive(third.pack())
        third.close()


def test_a_first_card_with_a_place_that_is_read_by_all_reads_is_refused(tmp_path: Path) -> None:
    with trays(tmp_path, places=4, reads=1) as (anna, mikhail):
        theirs = anna.side.person.theirs
        assert theirs is not None
        third = Side(tmp_path, "Zoe Quist", ANNA, anna.side.clock, kem=KEM).create()
        Tray(third, anna.world, 2).join()
        seen: set[bool] = set()
        while seen != {True, False}:
            card = third.card()
            (place,) = post._taken(third.desk)
            seen.add(place == theirs.place)
            if place == theirs.place:
                with pytest.raises(RefusedError, match="they are to make another"):
                    anna.side.introduced(card)
                third.desk.commit(introductions.withdraw(third.desk, third.person))
            else:
                terms = anna.side.introduced(card)
                third.introduced(terms.answer or b"")
                break
        if place != theirs.place:
            anna.side.peer = third.name
            assert anna.side.person.theirs == third.person.mine
        third.close()
        assert mikhail.side.person.theirs is not None


def test_an_answering_card_with_such_a_place_makes_a_correspondence_by_hand(tmp_path: Path) -> None:
    with trays(tmp_path, places=4, reads=1) as (anna, _):
        theirs = anna.side.person.theirs
        assert theirs is not None
        for n in range(40):
            name = f"Zoe {n}"
            third = Side(tmp_path, name, ANNA, anna.side.clock, kem=KEM, place=f"zoe{n}").create()
            Tray(third, anna.world, 2).join()
            anna.side.peer = name
            try:
                answer = third.answer(anna.side.card())
            finally:
                mine = third.person.mine
                third.close()
            anna.side.introduced(answer)
            assert mine is not None
            if mine.place == theirs.place:
                assert anna.side.person.theirs is None
                return
            assert anna.side.person.theirs == mine
            anna.side.desk.commit({(records.PEOPLE, anna.side.person.id): None})
        raise AssertionError


def test_a_place_under_another_offices_charter_takes_no_read(tmp_path: Path) -> None:
    with trays(tmp_path, reads=1) as (anna, _):
        theirs = anna.side.person.theirs
        assert theirs is not None
        somebody = Person(records.PersonId(bytes(8)), "Somebody")
        assert not post.readable(anna.side.desk, somebody, theirs)
        assert post.readable(anna.side.desk, anna.side.person, theirs)
        assert post.readable(anna.side.desk, somebody, replace(theirs, place=1 - theirs.place))
        assert post.readable(anna.side.desk, somebody, replace(theirs, charter=Digest(bytes(32))))


# With an office: what is promised, and what it takes.


@dataclass
class Carried:
    """A desk with a porter in an office."""

    tray: Tray

    def exchange(self) -> Exchanged:
        carrier = self.tray.world.carriers[self.tray.side.name]
        if carrier.written is not None:
            (self.tray.folder / PORTER_FILE).write_bytes(carrier.written)
        exchanged = self.tray.exchange()
        carrier.file = (self.tray.folder / DESK_FILE).read_bytes()
        return exchanged


@pytest.mark.parametrize("later", range(3))
@pytest.mark.parametrize("size", [0, 3_000])
def test_a_letter_leaves_and_is_there_when_it_was_promised_if_nothing_is_lost(
    tmp_path: Path, later: int, size: int
) -> None:
    world = office(places=3)
    with strangers(tmp_path, kem=KEM) as both:
        carried = []
        for each, issuer in zip(both, ("west", "east"), strict=True):
            carrier = world.enrol(each.name, issuer)
            ticket = carrier.machine.keeping.pairing.ticket  # type: ignore[union-attr]
            made = Tray(each, world, carrier.mailbox)
            made.folder.mkdir()
            pairing, changes = post.join(each.desk, world.signed, made.mailbox, ticket, folder=made.folder, size=SIZE)
            each.desk.commit(changes)
            made.key = pairing.key
            carrier.shelf = MemoryShelf()
            from backchannel.post.porter import Porter  # noqa: PLC0415

            assert world.ciphers is not None
            carrier.machine = Porter.create(carrier.shelf, pairing, world.ciphers, Generator(each.name))
            carrier.key = pairing.key
            carried.append(Carried(made))
        both.meet().compare()
        for _ in range(6 + later):
            world.turn()
            for each_ in carried:
                each_.exchange()
        anna, mikhail = carried
        entry = both.first.write(prose("a promise"), enclosures=noise(size) if size else [])
        body = both.first.envelope(entry.number)
        estimate = post.estimate(both.first.desk, both.first.person, len(body), world.now)
        assert estimate is not None
        assert estimate.packets == -(-len(body) // (1024 - 63))
        anna.exchange()
        before = len(world.trace)
        arrived = 0
        while not arrived:
            world.turn()
            said = world.carriers[both.second.name].said()
            arrived = world.charter.begins(world.round) if said.envelopes else 0
        assert arrived == estimate.there
        visits = [e.instant for e in world.trace[before:] if (e.sender, e.kind) == (both.first.name, "visit")]
        assert estimate.leaves in visits
        place = both.first.person.mine
        assert place is not None
        assert world.charter.round_at(estimate.leaves) % 3 == place.place
        mikhail.exchange()
        assert "a promise" in both.second.text(1)


def test_packets_that_wait_already_are_counted(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, _):
        now = anna.world.charter.begins(1_010)
        free = post.estimate(anna.side.desk, anna.side.person, 1_000, now)
        said = tray.open_from_porter(anna.say(heard=0), anna.key, cipher=CIPHER)
        waits = replace(
            said, lines=(tray.LineStatus(anna.line, 5, 0, ()), tray.LineStatus(LineName(bytes(12)), 9, 0, ()))
        )
        anna.side.desk.commit({(records.POST, b""): replace(anna.member, status=waits.encode()).encode()})
        queued = post.estimate(anna.side.desk, anna.side.person, 1_000, now)
        assert free is not None
        assert queued is not None
        assert queued.leaves == free.leaves
        assert queued.there - free.there == 5 * 2 * anna.world.numbers.period
        later = replace(said, effective=1_051)
        anna.side.desk.commit({(records.POST, b""): replace(anna.member, status=later.encode()).encode()})
        enrolled = post.estimate(anna.side.desk, anna.side.person, 1_000, now)
        assert enrolled is not None
        assert enrolled.leaves >= anna.world.charter.begins(1_050)


# A charter that follows.


def test_a_charter_that_the_porter_follows_is_followed_and_places_under_it_are_read(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, mikhail):
        world = anna.world
        numbers = replace(world.numbers, first=2_000, start=world.charter.begins(2_000))
        following = SignedCharter(replace(world.charter, numbers=numbers, predecessor=world.charter.digest))
        for house in world.houses.values():
            following = following.sign(house.keys[0].signer)
        anna.exchange()
        said = tray.open_from_porter(anna.say(heard=1), anna.key, cipher=CIPHER)
        asks = replace(said, number=2, asking=following.encode())
        with pytest.raises(NegativeError):
            post.agree(anna.side.desk)
        put(anna, asks)
        anna.exchange()
        signed, changes = post.agree(anna.side.desk)
        assert signed == following
        anna.side.desk.commit(changes)
        anna.exchange()
        assert anna.left().charter == following.encode()
        assert anna.member.charter == world.signed
        put(anna, replace(said, number=3, charter=following.encode()))
        anna.exchange()
        assert anna.member.charter == following
        assert anna.member.lineage == (world.charter.digest, following.charter.digest)
        assert anna.left().charter == b""
        assert len(anna.left().lines) == 1  # its card was of the charter before
        assert len(mikhail.member.lineage) == 1


def put(each: Tray, said: FromPorter) -> None:
    file = tray.seal(said, each.key, each.size, random=Generator("put", said.number), cipher=CIPHER)
    (each.folder / PORTER_FILE).write_bytes(file)


# What a folder shows.


def test_the_tray_is_written_at_opening_and_locking_only_with_letters_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = furnish(tmp_path, monkeypatch, seed="tray")
    stage.passphrase = PASSPHRASE
    world = office()
    home, elsewhere = stage.home, tmp_path / "elsewhere"
    elsewhere.mkdir()
    anna = Side(home, ANNA, MIKHAIL, kem=KEM, place="desk").create()
    mikhail = Side(elsewhere, MIKHAIL, ANNA, kem=KEM).create()
    desks = [Tray(anna, world, 1).join(), Tray(mikhail, world, 8).join()]
    Two(anna, mikhail, anna.clock).meet().compare()
    for each in (anna, mikhail):
        each.close()
    with_letters = (("write", MIKHAIL), ("send",), ("write", MIKHAIL), ("send",), ("list",))
    without = (("list",), ("people",), ("status",), ("list",), ("list",))

    async def session(calls: tuple[tuple[str, ...], ...]) -> list[tuple[str, str, int]]:
        with watched(desks[0].folder, lambda: 0) as folder:
            for call in calls:
                result = stage.run(*call, stdin=prose("a letter") if call[0] == "write" else "")
                assert result.code == 0, result.err
                await asyncio.sleep(0.02)
        return [event[1:] for event in folder.events]

    asyncio.run(session(without))
    one, other = asyncio.run(session(with_letters)), asyncio.run(session(without))
    assert one == other
    assert one.count(("renamed to", DESK_FILE, SIZE)) == 2 * len(without)
    assert {size for kind, _, size in one if kind == "renamed to"} == {SIZE}
    assert {name for _, name, _ in one} <= {DESK_FILE, f".{DESK_FILE}.part", PORTER_FILE}
    anna.reopen()
    assert [entry.stage for entry in anna.listing()] == [Stage.LEFT, Stage.LEFT]
    anna.close()


def test_names_of_envelopes_are_what_porters_know_them_by(tmp_path: Path) -> None:
    with trays(tmp_path) as (anna, _):
        envelope = anna.side.envelope(anna.side.write(prose("x")).number)
        assert post.name_of(envelope) == ratchet.digest(envelope)
        assert anna.side.desk.store.get(records.ENVELOPES, post.name_of(envelope)) == records.number_name(1)
