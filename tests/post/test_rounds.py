"""The machine of an operator (docs/spec/round.md): tickets, members, days, tables, and how long it keeps what.

What it makes of a single visit is in tests/post/test_visit.py, how a round is
settled in tests/post/test_settling.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from backchannel.encoding import encode
from backchannel.errors import RefusedError, VerificationError
from backchannel.kem import PrivateKey
from backchannel.post import enrolment
from backchannel.post import visit as visits
from backchannel.post.charter import Charter, Share, SignedCharter
from backchannel.post.charters import OperatorKeys
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.days import DAYS
from backchannel.post.enrolment import Enrolment, Ticket
from backchannel.post.members import LODGED, LODGING, MEMBERS, RETIRED, RETIRING
from backchannel.post.rounds import NOTES, TABLES, Replying, notes
from backchannel.post.settling import NOT_YET, VOID, Settling, in_roster
from backchannel.post.visit import Reply, ReplyKey, Visit, VisitKey
from tests.post.stage import begun, operator, porter, reports, until, visited
from tests.simulation.office import SMALL, Carrier, Generator, World, make_keys, seats

SHORT: Final = replace(SMALL, window=8, day=6)
KEY: Final = VisitKey(b"k" * 32)
OTHER: Final = VisitKey(b"o" * 32)


def enrols(world: World, mailbox: int, ticket: Ticket, key: VisitKey = KEY, *, at: str = "west") -> int | None:
    """Show a ticket to one operator: the round from which it holds."""
    reply_key = ReplyKey(b"r" * 32)
    body = Enrolment(mailbox, ticket.token(mailbox, at), key).encode()
    box = enrolment.seal(
        "enrol", body, reply_key, charter=world.charter, operator=at, kem=world.kem, random=Generator("box")
    )
    sealed = operator(world, at).ask("enrol", box, world.now)
    assert sealed is not None
    return enrolment.decode_enrolled(enrolment.open_reply("enrol", sealed, reply_key, cipher=ReplyCipher()))


def issued(world: World, by: str = "west") -> tuple[int, Ticket]:
    (given,) = operator(world, by).issue(1)
    world.talk(by)
    return given


def visit(world: World, carrier: Carrier, *, at: str = "west", **changes: Any) -> tuple[Replying | None, Visit]:
    """A visit as the porter of *carrier* would make it, but for *changes*; its reply, and the visit."""
    charter, machine = world.charter, operator(world, at)
    sizes = visits.share_sizes(charter, world.round, charter.seat(at), more=changes.get("more", False))
    shares = tuple(Generator("shares", at)(size) for at, size in enumerate(sizes))
    row, key = bytes(charter.numbers.packet), ReplyKey(b"r" * 32)
    made = Visit(carrier.mailbox, world.round, None, more=False, key=key, deposit=row, shares=shares)
    made = replace(made, **changes)
    standing, day = porter(carrier).keeping.standings[at], charter.day_of(world.round)
    to = standing.day(day)
    assert to is not None
    random = Generator("visit", *changes.items())
    box = visits.seal(made, standing.key, to, charter=charter, operator=at, kem=world.kem, random=random)
    return machine.visit(box, world.now), made


def read(world: World, replying: Replying | None, of: Visit, *, at: str = "west") -> Reply:
    assert replying is not None
    return visits.open_reply(replying.body, of, charter=world.charter, operator=at, cipher=ReplyCipher())


# Tickets.


def test_a_ticket_gives_a_mailbox_at_every_operator_from_the_next_multiple_on() -> None:
    world = World()
    mailbox, ticket = issued(world)
    begun(world)
    number = world.round
    effective = [enrols(world, mailbox, ticket, at=at) for at in ("west", "east")]
    assert effective == [world.charter.effective(number)] * 2
    assert effective[0] is not None
    assert effective[0] > number
    assert effective[0] % world.numbers.enrolment == 0


def test_the_same_enrolment_again_gets_the_same_reply_and_a_ticket_used_again_gets_none() -> None:
    world = World()
    mailbox, ticket = issued(world)
    begun(world)
    first = enrols(world, mailbox, ticket)
    world.run(8)
    # The reply may have been lost; what it says does not move.
    assert enrols(world, mailbox, ticket) == first
    assert enrols(world, mailbox, ticket, OTHER) is None
    assert enrols(world, mailbox, ticket) == first
    # Another key has the mailbox at an operator that has seen neither: it is voided by the roster, never shared.
    assert enrols(world, mailbox, ticket, OTHER, at="east") is not None


def test_a_ticket_outlives_a_restart_and_so_does_who_used_it() -> None:
    world = World()
    mailbox, ticket = issued(world)
    begun(world)
    first = enrols(world, mailbox, ticket)
    for name in world.houses:
        world.restart_house(name)
    assert enrols(world, mailbox, ticket) == first
    assert enrols(world, mailbox, ticket, OTHER) is None
    assert enrols(world, mailbox, ticket, at="east") == first


def test_a_ticket_is_for_its_own_mailbox_and_another_is_for_none() -> None:
    world = World()
    mailbox, ticket = issued(world)
    other, _ = issued(world)
    begun(world)
    for number in (other, 0, 15, 2**64 - 1):
        assert enrols(world, number, ticket) is None
    assert enrols(world, mailbox, Ticket(bytes(32))) is None
    assert enrols(world, mailbox, ticket) is not None


def test_a_ticket_that_is_not_lodged_yet_is_good_at_its_issuer_only() -> None:
    world = World()
    ((mailbox, ticket),) = operator(world, "west").issue(1)
    begun(world)
    before = World(seed="not told")
    ((again, another),) = operator(before, "west").issue(1)
    assert enrols(before, again, another) is not None
    assert enrols(before, again, another, at="east") is None
    before.talk("west")
    assert enrols(before, again, another, at="east") is not None
    assert mailbox == again
    assert ticket != another


def test_a_retired_mailbox_has_no_owner_and_no_ticket_at_any_operator() -> None:
    world = World()
    anna = world.enrol("anna")
    visited(world, anna)
    ticket = porter(anna).keeping.pairing.ticket
    operator(world, "west").retire(anna.mailbox)
    world.talk("west")
    begun(world)
    for name in world.houses:
        replying, made = visit(world, anna, at=name)
        with pytest.raises(VerificationError):
            read(world, replying, made, at=name)
        assert enrols(world, anna.mailbox, ticket, at=name) is None
        assert enrols(world, anna.mailbox, ticket, porter(anna).keeping.standings[name].key, at=name) is None
        shelf = world.houses[name].shelf
        assert (shelf.names(MEMBERS), shelf.names(LODGED)) == ([], [])
        assert shelf.names(RETIRED) == [anna.mailbox.to_bytes(8)]


def test_a_mailbox_that_one_operator_has_retired_has_no_row_at_any_in_the_round_that_is_settled_next() -> None:
    world = World()
    anna, mikhail = world.enrol("anna"), world.enrol("mikhail")
    visited(world, anna, mikhail)
    number = world.round
    operator(world, "west").retire(anna.mailbox)  # and has told nobody yet
    world.turn()
    for name in world.houses:
        settling = operator(world, name).settle(number)
        assert settling is not None
        assert settling.done
        assert set(settling.table or ()) == {mikhail.mailbox}
        assert not in_roster(settling.roster, anna.mailbox)
    east = operator(world, "east").settle(number)
    assert east is not None
    assert set(east.rows) == {anna.mailbox, mikhail.mailbox}


def test_numbers_are_given_out_once_ever() -> None:
    world = World()
    west = operator(world, "west")
    given = [mailbox for mailbox, _ in west.issue(3)]
    west.retire(given[0])
    world.restart_house("west")
    west = operator(world, "west")
    given += [mailbox for mailbox, _ in west.issue(4)]
    assert given == list(world.charter.shares[0].mailboxes)
    with pytest.raises(RefusedError, match="0 mailboxes of west are left"):
        west.issue(1)


def test_tickets_are_given_out_of_the_own_shares_only_and_all_or_none() -> None:
    world = World()
    east = operator(world, "east")
    with pytest.raises(RefusedError, match="7 mailboxes of east are left"):
        east.issue(8)
    assert [mailbox for mailbox, _ in east.issue(7)] == list(world.charter.shares[1].mailboxes)
    assert len({ticket for _, ticket in operator(world, "west").issue(7)}) == 7


def test_only_who_gave_a_mailbox_out_retires_it_and_once() -> None:
    world = World()
    mailbox, _ = issued(world)
    with pytest.raises(RefusedError, match=f"east has given out no mailbox {mailbox}"):
        operator(world, "east").retire(mailbox)
    operator(world, "west").retire(mailbox)
    with pytest.raises(RefusedError, match="retired already"):
        operator(world, "west").retire(mailbox)


# What operators tell each other of tickets.


def test_errands_are_done_until_they_are_told_and_outlive_a_restart() -> None:
    world = World(k=3)
    west = operator(world, "west")
    ((mailbox, ticket),) = west.issue(1)
    assert sorted(peer for peer, _ in west.errands()) == ["east", "north"]
    world.restart_house("west")
    west = operator(world, "west")
    for peer, request in west.errands():
        assert request == ("lodge", ((mailbox, ticket.token(mailbox, peer).lodged()),))
        assert operator(world, peer).answer("west", request, world.now) == (1,)
        west.told(peer, request)
    assert west.errands() == []
    assert world.houses["west"].shelf.names(LODGING) == []


def test_a_mailbox_that_is_retired_before_it_was_lodged_is_not_lodged_any_more() -> None:
    world = World()
    west = operator(world, "west")
    ((mailbox, _),) = west.issue(1)
    west.retire(mailbox)
    assert west.errands() == [("east", ("retire", ((mailbox, b""),)))]
    world.talk("west")
    assert world.houses["west"].shelf.names(RETIRING) == []
    assert world.houses["east"].shelf.names(RETIRED) == [mailbox.to_bytes(8)]


@pytest.mark.parametrize("kind", ["lodge", "retire"])
def test_tickets_are_lodged_and_mailboxes_retired_only_by_the_operator_whose_they_are(kind: str) -> None:
    world = World(k=3)
    mailbox, ticket = issued(world)
    begun(world)
    north = operator(world, "north")
    mine, theirs = world.charter.shares[1].first, world.charter.shares[2].first
    before = dict(world.houses["north"].shelf.bodies)
    # East says something of west's mailboxes, of north's own, and of such as there are not.
    for number in (mailbox, mailbox + 1, theirs, 0, 15, 16, 2**64 - 1):
        north.answer("east", (kind, ((number, bytes(32)),)), world.now)
    assert world.houses["north"].shelf.bodies == before
    assert enrols(world, mailbox, ticket, at="north") is not None
    north.answer("east", (kind, ((mine, bytes(32)),)), world.now)
    room = {"lodge": LODGED, "retire": RETIRED}[kind]
    assert mine.to_bytes(8) in world.houses["north"].shelf.names(room)


def test_what_is_lodged_first_stands_and_nothing_is_lodged_for_what_is_retired() -> None:
    world = World()
    mailbox, ticket = issued(world)
    begun(world)
    east = operator(world, "east")
    assert east.answer("west", ("lodge", ((mailbox, bytes(32)),)), world.now) == (0,)
    assert enrols(world, mailbox, ticket, at="east") is not None
    east.answer("west", ("retire", ((mailbox, b""),)), world.now)
    assert east.answer("west", ("lodge", ((mailbox, bytes(32)),)), world.now) == (0,)
    assert enrols(world, mailbox, ticket, at="east") is None


@pytest.mark.parametrize(
    "told",
    [
        ("lodge", (("1", bytes(32)),)),
        ("lodge", ((b"1", bytes(32)),)),
        ("lodge", (((), bytes(32)),)),
        ("lodge", ((1, 2**40),)),
        ("lodge", ((1, "x" * 32),)),
        ("lodge", ((1, b""),)),
        ("lodge", (1, 2)),
        ("lodge", ("ab",)),
        ("lodge", 7),
        ("retire", (("1", b""),)),
        ("retire", (((), b""),)),
        ("retire", (1, 2)),
        ("retire", ("ab",)),
        ("retire", "ab"),
        ("lodge",),
        (),
        7,
        "lodge",
    ],
    ids=repr,
)
def test_what_is_no_errand_changes_nothing(told: Any) -> None:
    world = World()
    east, before = operator(world, "east"), dict(world.houses["east"].shelf.bodies)
    encode(east.answer("west", told, world.now))
    assert world.houses["east"].shelf.bodies == before


# Rounds, as the others may ask about them.


def test_a_round_is_told_of_once_it_is_over_and_not_for_long() -> None:
    world = World()
    world.enrol("anna")
    world.run(8)
    west, number, now = operator(world, "west"), world.round, world.charter.begins(world.round + 1)
    for kind in (("list", number), ("table", number), ("rows", number, (1,))):
        assert west.answer("east", kind, now - 1) == NOT_YET
    assert west.answer("east", ("list", number), now) not in (NOT_YET, VOID)
    assert west.answer("east", ("list", number - 1), now) not in (NOT_YET, VOID)
    assert west.answer("east", ("list", number - 2), now) == VOID
    for never in (0, 999, 2**64 - 1):
        assert west.answer("east", ("table", never), now) in (NOT_YET, VOID)


def test_no_more_rows_are_told_at_once_than_are_asked_for_at_once() -> None:
    world = World()
    world.enrol("anna")
    world.run(8)
    west, now = operator(world, "west"), world.charter.begins(world.round + 1)
    rows: Any = west.answer("east", ("rows", world.round, (1, 2, *range(5_000))), now)
    assert len(rows) == 1_024
    assert len(rows[0]) == world.numbers.packet
    assert set(rows[1:3]) == {b""}


def test_rounds_are_not_an_operators_before_it_begins_nor_those_that_it_began_in() -> None:
    world = World()
    world.enrol("anna")
    world.run(8)
    world.restart_house("west")
    west, now = operator(world, "west"), world.charter.begins(world.round + 1)
    assert west.settle(world.round) is None
    assert west.answer("east", ("list", world.round), now) == VOID
    assert west.settled(world.round, now).void
    assert isinstance(west.settle(world.round + 1), Settling)
    world.houses["east"].machine = None
    world.open_house(world.houses["east"])  # and not begun
    assert operator(world, "east").settle(world.round + 1) is None


def test_a_round_that_nobody_settled_is_void_and_what_became_of_each_is_noted() -> None:
    world = World()
    world.run(3)
    assert operator(world, "west").settled(world.round + 5, world.now).void
    counted = notes(world.houses["west"].shelf.get(NOTES, world.houses["west"].shelf.names(NOTES)[0]))
    assert counted == {"this operator was started in it": 2, "stands": 2}


def test_after_a_restart_as_many_members_are_counted_as_before() -> None:
    world = World()
    anna = world.enrol("anna")
    visited(world, anna)
    world.restart_house("west")
    world.run(4)
    assert {operator.admitted for operator in anna.said().operators} == {(1, 0)}
    assert not any("members" in kind for kind, _ in reports(anna))


# Queries and answers.


def test_answers_are_given_to_the_visit_that_collects_them_once_and_to_no_other() -> None:
    world = World()
    anna = world.enrol("anna")
    visited(world, anna)
    world.turn()
    # Her last visit, round before, was answered; what collects another visit gets as much noise.
    begun(world)
    last = porter(anna).keeping.collecting
    assert last is not None
    asked = Visit(anna.mailbox, last.round, None, last.more, last.keys["west"], b"", ())
    found = {"charter": world.charter, "operator": "west", "cipher": ReplyCipher()}
    copy = dict(operator(world, "west")._answers)
    for collect in ((last.round - 1, last.more), (last.round, not last.more), None):
        operator(world, "west")._answers = dict(copy)
        operator(world, "west")._rounds.clear()
        replying, made = visit(world, anna, collect=collect)
        reply = read(world, replying, made)
        more = bool(collect and collect[1])
        assert len(reply.answers) == visits.answers_size(world.charter, more=more)
        with pytest.raises(VerificationError):
            visits.open_answers(reply.answers, asked, **found)  # type: ignore[arg-type]
    operator(world, "west")._answers = dict(copy)
    for times in (0, 1):
        operator(world, "west")._rounds.clear()
        replying, made = visit(world, anna, collect=(last.round, last.more))
        reply = read(world, replying, made)
        if times == 0:
            answers = visits.open_answers(reply.answers, asked, **found)  # type: ignore[arg-type]
            assert answers.descriptors[0].round == last.round - 1
        else:
            with pytest.raises(VerificationError):
                visits.open_answers(reply.answers, asked, **found)  # type: ignore[arg-type]


def test_a_second_visit_of_a_round_leaves_the_first_ones_row_where_it_is() -> None:
    world = World()
    anna = world.enrol("anna")
    visited(world, anna)
    begun(world)
    row = Generator("row")(world.numbers.packet)
    for name in world.houses:
        replying, made = visit(world, anna, at=name, deposit=row)
        read(world, replying, made, at=name)
        visit(world, anna, at=name, deposit=bytes(world.numbers.packet), key=ReplyKey(b"s" * 32))
    settling = operator(world, "west").settle(world.round)
    assert settling is not None
    assert settling.rows == {anna.mailbox: row}
    assert operator(world, "west").compute(world.round) == 1
    assert operator(world, "west").compute(world.round) == 0


def test_the_last_round_that_a_mailbox_was_seen_in_outlives_a_restart() -> None:
    world = World()
    anna = world.enrol("anna")
    visited(world, anna)
    world.turn()
    seen = world.round
    world.turn()
    world.restart_house("west")
    world.turn()
    begun(world)
    replying, made = visit(world, anna)
    # Of the round it was started in it knows nothing; the porter's other operator does.
    assert read(world, replying, made).seen in (seen + 1, world.round)
    replying, made = visit(world, anna, at="east")
    assert read(world, replying, made, at="east").seen == world.round


# What goes with time.


def test_the_key_of_a_day_is_erased_when_the_day_is_over() -> None:
    world = World(numbers=SHORT)
    anna = world.enrol("anna")
    visited(world, anna)
    house = world.houses["west"]
    for _ in range(3 * SHORT.day):
        world.turn()
        days = [int.from_bytes(raw) for raw in house.shelf.names(DAYS)]
        assert set(days) <= {world.charter.day_of(world.round) + ahead for ahead in (0, 1)}
    # What was sealed to a key that is gone opens for nobody, this operator included.
    machine, day = operator(world, "west"), world.charter.day_of(world.round)
    old = next(e for e in world.trace if e.kind == "visit" and e.receiver == "west")
    assert world.charter.day_of(world.charter.round_at(old.instant)) < day
    kept = [PrivateKey(house.shelf.bodies[DAYS, raw]) for raw in house.shelf.names(DAYS)]
    for private in kept:
        with pytest.raises(VerificationError):
            visits.open(
                old.body,
                private,
                world.charter.day_of(world.charter.round_at(old.instant)),
                charter=world.charter,
                operator="west",
                kem=world.kem,
            )
    assert machine._days.private(day - 1) is None


def test_tables_go_with_the_window() -> None:
    world = World(numbers=SHORT)
    visited(world, world.enrol("anna"))
    world.run(30)
    for house in world.houses.values():
        tables = [int.from_bytes(raw) for raw in house.shelf.names(TABLES)]
        assert tables == list(range(world.round - SHORT.window - SHORT.catch_up - 1, world.round))


def test_answers_that_nobody_collects_go_with_the_window() -> None:
    world = World(numbers=SHORT)
    anna = world.enrol("anna")
    visited(world, anna)
    world.turn()
    anna.machine = None
    world.run(SHORT.window)
    assert set(operator(world, "west")._answers) == {anna.mailbox}
    world.run(SHORT.catch_up + 3)
    assert operator(world, "west")._answers == {}


def weight(value: Any, seen: set[int]) -> int:
    """How many things *value* holds."""
    if id(value) in seen or isinstance(value, (World, type)):
        return 0
    seen.add(id(value))
    if isinstance(value, (str, bytes, int, Generator)):
        return 1
    if isinstance(value, Mapping):
        return sum(weight(each, seen) for pair in value.items() for each in pair)
    if isinstance(value, (tuple, list, set, frozenset)) or type(value).__name__ == "deque":
        return sum(weight(each, seen) for each in value)
    names = getattr(value, "__dict__", None) or {
        name: getattr(value, name) for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())
    }
    return 1 + sum(weight(each, seen) for each in names.values())


@pytest.mark.parametrize("trouble", ["none", "void rounds", "lost replies"])
def test_an_operator_holds_no_more_after_many_rounds_than_after_some(trouble: str) -> None:
    world = World(numbers=SHORT)
    for name in ("anna", "mikhail", "olga"):
        world.enrol(name)
    if trouble == "void rounds":
        world.fate = lambda event: None if event.kind == "link" and world.round % 8 == 0 else event.body
    if trouble == "lost replies":
        world.fate = lambda event: None if event.kind == "visit-reply" and world.round % 3 else event.body
    sizes, bodies = [], []
    # The same point of a day, of a window and of the trouble.
    for _ in range(3):
        world.run(24)
        sizes.append([weight(operator(world, name), set()) for name in world.houses])
        bodies.append([len(house.shelf.bodies) for house in world.houses.values()])
    assert max(map(max, sizes)) - min(map(min, sizes[1:])) < 0.2 * max(map(max, sizes))
    assert all(after <= before * 1.05 + 8 for before, after in zip(sizes[0], sizes[2], strict=True))
    assert all(after <= before + 2 for before, after in zip(bodies[0], bodies[2], strict=True))


# Charters.


def test_a_charter_that_not_all_have_signed_is_refused_by_the_names_of_who_has_not() -> None:
    world = World()
    unsigned = replace(world.signed, signatures=world.signed.signatures[:1])
    house = replace(world.houses["west"], shelf=type(world.houses["west"].shelf)(), machine=None)
    world.open_house(house)
    assert house.machine is not None
    with pytest.raises(RefusedError, match="not signed by east"):
        house.machine.adopt(unsigned)
    assert house.shelf.bodies == {}


def test_an_operator_takes_no_first_charter_without_a_seat_and_no_other_that_does_not_follow() -> None:
    world = World()
    keys: tuple[OperatorKeys, ...] = (make_keys("south", Generator("south")), make_keys("north", Generator("north")))
    elsewhere = SignedCharter(Charter("elsewhere", seats(keys, world.kem), (), world.numbers))
    for each in keys:
        elsewhere = elsewhere.sign(each.signer)
    with pytest.raises(VerificationError, match="does not follow"):
        operator(world, "west").adopt(elsewhere)
    house = replace(world.houses["west"], shelf=type(world.houses["west"].shelf)(), machine=None)
    world.open_house(house)
    assert house.machine is not None
    with pytest.raises(RefusedError, match="no seat for the keys of west"):
        house.machine.adopt(elsewhere)
    # The same again is no change.
    commits = world.houses["west"].shelf.commits
    operator(world, "west").adopt(world.signed)
    assert world.houses["west"].shelf.commits == commits


def test_under_a_charter_with_other_shares_replies_have_their_size_from_its_first_round_on() -> None:
    world = World()
    anna = world.enrol("anna")
    visited(world, anna)
    old, first = world.charter, world.round + 4
    numbers = replace(old.numbers, first=first, start=old.begins(first), capacity=32)
    signed = SignedCharter(
        replace(old, numbers=numbers, shares=(*old.shares, Share("east", 16, 8, 0)), predecessor=old.digest)
    )
    for house in world.houses.values():
        signed = signed.sign(house.keys[0].signer)
    for name in world.houses:
        operator(world, name).adopt(signed)
    porter(anna)._keeping = replace(porter(anna).keeping, charters=(world.signed, signed))
    until(world, lambda: world.round == first)
    world.charter = signed.charter
    world.run(4)
    assert reports(anna) == {}
    assert {operator.admitted for operator in anna.said().operators} == {(1, 0, 0)}


def test_an_operator_that_has_left_starts_and_serves_nobody() -> None:
    world = World(k=3)
    before = world.charter
    first = before.numbers.first + 8
    numbers = replace(before.numbers, first=first, start=before.begins(first))
    signed = SignedCharter(Charter(before.name, before.seats[:2], before.shares, numbers, before.digest))
    for name in ("west", "east"):
        signed = signed.sign(world.houses[name].keys[0].signer)
    north = operator(world, "north")
    north.adopt(signed)
    days = dict(world.houses["north"].shelf.bodies)
    north.begin(before.begins(first + 3))
    assert [raw for room, raw in world.houses["north"].shelf.bodies if room == DAYS] == [
        raw for room, raw in days if room == DAYS
    ]
    assert north.settle(first + 4) is None
    assert north.visit(bytes(8_000), before.begins(first + 4)) is None
