"""Lying operators (docs/threat-model.md): each lie is harmless or refused, and told to the owner as what it is.

Every test lets one operator lie in one way for some rounds, beside an office in
which nobody lies, with equal generators. What all porters send must be equal in
the two, byte for byte, to the last round: a lie moves nothing. Afterwards every
letter has come, once, as it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from backchannel.errors import VerificationError
from backchannel.kem import PrivateKey
from backchannel.post import visit as visits
from backchannel.post.charter import Charter, Seat, SignedCharter
from backchannel.post.lines import Line
from backchannel.post.porter import DAY, Kind, Porter
from backchannel.post.rounds import NOTES, notes
from backchannel.post.tray import LineName
from backchannel.post.visit import Reply, Visit
from tests.simulation import liars
from tests.simulation.liars import Liar, LiarsWorld, came, correspond, letters
from tests.simulation.office import NAMES, SMALL, Carrier, Event, Generator, make_keys, seats

# A day of 16 rounds: the second begins with round 1,008, the third with 1,024.
NUMBERS = replace(SMALL, day=16)
COUNT = 2
LYING = range(1_006, 1_018)
ROUNDS = 36

Told = set[tuple[str, str]]
Network = Callable[[LiarsWorld], Callable[[Event], bytes | None]]


def office(
    liar: dict[str, type[Liar]], k: int, *, rounds: range = LYING, network: Network | None = None, count: int = COUNT
) -> LiarsWorld:
    """An office with three desks, two of which write to each other; mailboxes 1 and 2 are theirs."""
    world = LiarsWorld(k=k, numbers=NUMBERS, liars=liar, rounds=rounds)
    anna, mikhail = world.enrol("anna"), world.enrol("mikhail")
    world.enrol("olga", "east")
    if network:
        world.fate = network(world)
    correspond(world, anna, mikhail, count)
    return world


@cache
def honest(k: int, network: Network | None = None) -> LiarsWorld:
    world = office({}, k, network=network)
    world.run(ROUNDS)
    return world


def lied(
    lie: type[Liar], k: int = 2, *, rounds: range = LYING, network: Network | None = None, seat: int = -1
) -> tuple[LiarsWorld, Any]:
    """The office in which the operator of *seat* lies, after all its rounds; and the liar."""
    name = NAMES[:k][seat]
    world = office({name: lie}, k, rounds=rounds, network=network)
    world.run(ROUNDS)
    return world, world.liar(name)


def nothing_moved(world: LiarsWorld, beside: LiarsWorld) -> None:
    assert world.errands() == beside.errands()


def lines(world: LiarsWorld) -> list[Mapping[LineName, Line]]:
    """How far all porters are with what they carry."""
    return [carrier.machine.lines for carrier in world.carriers.values() if carrier.machine]


def all_came(world: LiarsWorld, count: int = COUNT) -> None:
    anna, mikhail = world.carriers["anna"], world.carriers["mikhail"]
    assert (came(anna), came(mikhail)) == (letters("mikhail", count), letters("anna", count))
    assert not came(world.carriers["olga"])


def harmless(lie: type[Liar], *told: tuple[Kind, str], k: int = 2) -> LiarsWorld:
    """What holds of every lie, and what owners are told of this one."""
    world, _ = lied(lie, k)
    nothing_moved(world, honest(k))
    all_came(world)
    assert world.told() == {(kind.value, operator) for kind, operator in told}
    return world


def day_notes(world: LiarsWorld, name: str) -> dict[str, int]:
    """What an operator noted, on all days."""
    counted: dict[str, int] = {}
    shelf = world.houses[name].shelf
    for raw in shelf.names(NOTES):
        for what, count in notes(shelf.get(NOTES, raw)).items():
            counted[what] = counted.get(what, 0) + count
    return counted


@pytest.mark.parametrize("k", [2, 3])
def test_without_a_lie_nobody_is_told_of_any(k: int) -> None:
    world = honest(k)
    all_came(world)
    assert world.told() == set()
    assert all(set(day_notes(world, name)) == {"stands", "this operator was started in it"} for name in NAMES[:k])


def test_a_network_that_loses_visits_is_told_as_what_it_is_and_no_operator_is_accused_of_another_thing() -> None:
    world = office({}, 2)
    # In every third round for longer than the window, so that every old table is asked for, to the last that is kept.
    world.fate = lambda event: None if event.sender == "anna" and world.round % 3 == 0 else event.body
    world.run(60)
    all_came(world)
    assert world.told() == {(Kind.NO_REPLY.value, "west"), (Kind.NO_REPLY.value, "east"), (Kind.MISSING.value, "")}


# Rows, on their way from one operator to the others.


def test_a_deposit_that_one_operator_drops_is_had_from_another() -> None:
    world = harmless(liars.DropsDeposits)
    # No row was late.
    assert lines(world) == lines(honest(2))


@pytest.mark.parametrize("k", [2, 3])
def test_a_deposit_that_is_altered_is_void_and_its_owner_is_told_that_it_is_missing(k: int) -> None:
    harmless(liars.AltersDeposits, (Kind.MISSING, ""), k=k)


def test_a_stale_row_instead_of_the_new_one_is_void_and_its_owner_is_told_that_it_is_missing() -> None:
    harmless(liars.HandsInStaleRows, (Kind.MISSING, ""))


def test_two_rows_that_are_swapped_are_void_and_their_owners_are_told_that_they_are_missing() -> None:
    world = harmless(liars.HandsInSwappedRows, (Kind.MISSING, ""))
    assert {name for name, c in world.carriers.items() if c.said().reports} == {"anna", "mikhail"}


def without_anna(world: LiarsWorld) -> Callable[[Event], bytes | None]:
    """A network that loses what anna sends in every other round of those in which an operator lies."""
    return lambda event: (
        None if event.sender == "anna" and world.round in LYING and world.round % 3 == 0 else event.body
    )


def test_an_absent_row_that_is_filled_with_rubbish_opens_for_nobody_and_its_owner_is_told() -> None:
    world, _ = lied(liars.FillsAbsentRows, network=without_anna)
    beside = honest(2, without_anna)
    nothing_moved(world, beside)
    all_came(world)
    lost = {(Kind.NO_REPLY.value, name) for name in NAMES[:2]}
    # She knows what she handed in; where nobody lies the row is missing, and here it is another.
    assert beside.told() == lost | {(Kind.MISSING.value, "")}
    assert (Kind.ALTERED.value, "") in world.told()
    assert world.told() <= lost | {(Kind.ALTERED.value, ""), (Kind.MISSING.value, "")}


@pytest.mark.parametrize("lie", [liars.WithholdsRows, liars.FillsAbsentRowsWithText], ids=["nothing", "a text"])
def test_a_row_that_an_operator_names_and_shows_something_else_for_makes_the_round_void(lie: type[Liar]) -> None:
    world, _ = lied(lie, network=without_anna)
    nothing_moved(world, honest(2, without_anna))
    all_came(world)
    assert (Kind.VOID.value, "") in world.told() or (Kind.UNEQUAL.value, "") in world.told()
    assert day_notes(world, "west")["east has not the rows that it said"] > 0


# Lists and descriptors.


def test_withheld_lists_make_rounds_void_and_everybody_is_told() -> None:
    world = harmless(liars.WithholdsLists, (Kind.VOID, ""))
    assert day_notes(world, "west")["east did not answer"] == len(LYING)


@pytest.mark.parametrize("k", [2, 3])
def test_withheld_descriptors_make_rounds_void_at_the_others_and_are_told_as_unequal_tables(k: int) -> None:
    world = harmless(liars.WithholdsDescriptors, (Kind.UNEQUAL, ""), k=k)
    assert day_notes(world, "west")[f"{NAMES[k - 1]} did not answer"] == len(LYING)


def test_rounds_that_one_operator_holds_to_be_void_are_void() -> None:
    world = harmless(liars.SaysVoid, (Kind.VOID, ""))
    assert day_notes(world, "west")["east holds the round to be void"] == len(LYING)


@pytest.mark.parametrize("k", [2, 3])
def test_unequal_descriptors_are_told_and_packets_are_judged_by_their_seals_alone(k: int) -> None:
    world = harmless(liars.DescribesUnequalTables, (Kind.UNEQUAL, ""), k=k)
    # The rows were right, so nothing was late: the liar may go on for ever.
    assert lines(world) == lines(honest(k))


def test_descriptors_that_are_hidden_behind_void_ones_are_told_as_unequal() -> None:
    harmless(liars.HidesDescriptors, (Kind.UNEQUAL, ""))


def test_a_descriptor_with_a_wrong_number_of_rows_is_told_by_the_name_of_its_operator() -> None:
    harmless(liars.SaysAnotherCapacity, (Kind.OTHER_TABLE, "east"), (Kind.UNEQUAL, ""))


def test_tables_that_are_split_among_honest_operators_are_void_to_both() -> None:
    world = harmless(liars.SplitsTables, (Kind.VOID, ""), k=3)
    split = ("has another table", "holds the round to be void")
    for name in ("west", "east"):
        noted = day_notes(world, name)
        assert sum(count for what, count in noted.items() if what.endswith(split)) == len(LYING)


# Answers.


def test_answers_from_a_stale_row_open_for_nobody_and_are_told_as_rows_that_are_others() -> None:
    harmless(liars.AnswersFromStaleRows, (Kind.ALTERED, ""), (Kind.MISSING, ""))


def test_answers_from_swapped_rows_open_for_nobody_and_are_told_as_rows_that_are_others() -> None:
    harmless(liars.AnswersFromSwappedRows, (Kind.ALTERED, ""))


def test_answers_without_a_row_open_for_nobody_and_are_told() -> None:
    harmless(liars.AnswersWithoutARow, (Kind.ALTERED, ""), (Kind.MISSING, ""))


@pytest.mark.parametrize("k", [2, 3])
def test_an_answer_to_another_query_opens_for_nobody_and_is_told(k: int) -> None:
    harmless(liars.AnswersAnotherQuery, (Kind.ALTERED, ""), (Kind.MISSING, ""), k=k)


@pytest.mark.parametrize("lie", [liars.GarblesAnswers, liars.AnswersAnotherVisit])
def test_answers_that_are_garbled_or_another_visits_are_told_by_the_name_of_their_operator(lie: type[Liar]) -> None:
    harmless(lie, (Kind.GARBLED, "east"))


@pytest.mark.parametrize("lie", [liars.AnswersFromSwappedRows, liars.GarblesAnswers, liars.AnswersAnotherQuery])
def test_while_a_liar_goes_on_for_ever_nothing_is_opened_wrongly(lie: type[Liar]) -> None:
    world, _ = lied(lie, rounds=range(1_005, 2_000))
    nothing_moved(world, honest(2))
    for mine, theirs in (("anna", "mikhail"), ("mikhail", "anna")):
        # Letters in order, whole, as far as any came.
        got = came(world.carriers[mine])
        assert got == letters(theirs, COUNT)[: len(got)]


# Visits.


@pytest.mark.parametrize("seat", [0, 1])
def test_a_visit_that_is_made_up_without_its_owners_key_is_refused_and_counts_for_nothing(seat: int) -> None:
    world, liar = lied(liars.Imitates, seat=seat)
    nothing_moved(world, honest(2))
    all_came(world)
    assert world.told() == set()
    # Refused as everything is: a reply of the usual size, which is random.
    sizes = {visits.reply_size(world.charter, more=more) for more in (False, True)}
    assert liar.replies
    assert all(reply is not None and len(reply.body) in sizes for reply in liar.replies)
    assert len({reply.body for reply in liar.replies}) == len(liar.replies)


@pytest.mark.parametrize("seat", [0, 1])
def test_a_visit_that_is_replayed_at_the_other_operator_is_closed_without_a_byte(seat: int) -> None:
    world, liar = lied(liars.Replays, seat=seat)
    nothing_moved(world, honest(2))
    all_came(world)
    assert world.told() == set()
    assert liar.replies
    assert not any(liar.replies)


# The rest of a reply.


@pytest.mark.parametrize("k", [2, 3])
def test_a_wrong_last_seen_is_told_by_the_name_of_its_operator_and_makes_no_porter_a_copy(k: int) -> None:
    world = harmless(liars.SaysALaterVisit, (Kind.SEEN, NAMES[k - 1]), k=k)
    assert not any(carrier.said().copy for carrier in world.carriers.values())


def test_a_wrong_time_is_told_by_the_name_of_its_operator() -> None:
    world = harmless(liars.SaysAnotherTime, (Kind.CLOCK, "east"))
    # The others' clocks are shown as they are.
    assert {o.name: o.clock > 2**40 for c in world.carriers.values() for o in c.said().operators} == {
        "west": False,
        "east": False,  # it has stopped lying
    }


def test_wrong_counts_of_members_are_told() -> None:
    harmless(liars.SaysAnotherCount, (Kind.COUNTS, ""))


def test_what_is_told_is_told_by_day_and_by_how_often() -> None:
    world = harmless(liars.SaysAnotherCount, (Kind.COUNTS, ""))
    reports = world.carriers["olga"].said().reports
    assert [(r.day, r.kind, r.count) for r in reports] == [(world.now // DAY, Kind.COUNTS.value, len(LYING))]


def test_a_second_key_of_one_day_is_told_and_the_first_stands() -> None:
    world, _ = lied(liars.SignsAnotherDayKey, rounds=range(1_010, 1_022))
    nothing_moved(world, honest(2))
    all_came(world)
    assert world.told() == {(Kind.WRONG_KEY.value, "east")}


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (liars.ForgesDayKeys, Kind.WRONG_KEY),
        (liars.HidesDayKeys, Kind.WRONG_KEY),
        (liars.SignsKeysOfOtherDays, Kind.CLOCK),  # its own, and of a day that is not
    ],
    ids=["forged", "absent", "of a day after"],
)
def test_without_a_good_key_of_the_day_every_porter_asks_for_it_and_for_nothing_else(
    lie: type[Liar], told: Kind
) -> None:
    # The keys of the third day are given out on the second, whose last round is 1,023.
    world, _ = lied(lie, rounds=range(1_007, 1_026))
    beside, midnight = honest(2), world.charter.begins(1_024)
    assert [e for e in world.errands() if e[0] < midnight] == [e for e in beside.errands() if e[0] < midnight]
    first = {(e[1], e[2], e[3]) for e in world.errands() if midnight <= e[0] < world.charter.begins(1_025)}
    assert first == {(who, name, kind) for who in world.carriers for name, kind in (("west", "visit"), ("east", "key"))}
    later, never = ({e[:4] for e in each.errands() if e[0] >= world.charter.begins(1_025)} for each in (world, beside))
    assert later == never
    all_came(world)
    assert world.told() == {(told.value, "east")}


def test_what_porters_ask_after_a_wrong_key_of_the_day_is_the_same_whatever_they_carry() -> None:
    heads = []
    for count in (COUNT, 0):
        world = office({"east": liars.ForgesDayKeys}, 2, rounds=range(1_007, 1_026))
        if count == 0:
            for carrier in world.carriers.values():
                carrier.file = None
        world.run(ROUNDS)
        heads.append([(*e[:4], len(e[4])) for e in world.errands()])
    assert heads[0] == heads[1]
    assert {head[3] for head in heads[0]} == {"enrol", "key", "visit", "charter"}


def test_a_key_of_the_day_that_is_another_at_each_porter_costs_a_day_with_its_operator_and_no_letter() -> None:
    # Its visits do not open at an honest machine: who signs two keys cuts itself off.
    world = office({"east": liars.SignsAnotherDayKey}, 2, rounds=range(1_007, 1_022), count=5)
    world.run(23)
    assert len(came(world.carriers["anna"])) < 5
    world.run(30)
    all_came(world, 5)
    assert world.told() == {(Kind.WRONG_KEY.value, "east"), (Kind.NO_REPLY.value, "east")}


# Charters.


def sent_charter(world: LiarsWorld, *, how: str) -> bytes:
    """A charter that a liar makes and sends: it has no keys but its own and those it invents."""
    invented = [make_keys(name, Generator("invented", name)) for name in ("west", "east")]
    old = world.charter
    first = old.numbers.first + 20_000  # in two weeks
    numbers = replace(old.numbers, first=first, start=old.begins(first))
    predecessor = None if how == "another predecessor" else old.digest
    made: tuple[Seat, ...] = old.seats if how == "unsigned" else seats(invented, world.kem)
    if how == "fewer mailboxes":
        numbers = replace(numbers, capacity=8)
    shares = () if how == "fewer mailboxes" else old.shares
    signed = SignedCharter(Charter("sim", made, shares, numbers, predecessor))
    if how != "unsigned":
        for keys in invented:
            signed = signed.sign(keys.signer)
    return b"\xff" + signed.encode() if how == "rubbish" else signed.encode()


@pytest.mark.parametrize("how", ["rubbish", "unsigned", "another predecessor", "fewer mailboxes"])
def test_a_charter_that_does_not_follow_is_told_by_the_name_of_its_operator(how: str) -> None:
    world = office({"east": liars.SendsCharters}, 2)
    world.liar("east").file = sent_charter(world, how=how)
    world.run(ROUNDS)
    nothing_moved(world, honest(2))
    all_came(world)
    assert world.told() == {(Kind.CHARTER.value, "east")}
    assert all(carrier.said().asking == b"" for carrier in world.carriers.values())


def test_a_charter_that_follows_and_is_not_signed_by_all_is_asked_about_and_not_followed() -> None:
    world = office({"east": liars.SendsCharters}, 2)
    world.liar("east").file = file = sent_charter(world, how="invented")
    world.run(ROUNDS)
    nothing_moved(world, honest(2))
    all_came(world)
    for carrier in world.carriers.values():
        assert (carrier.said().asking, carrier.said().charter) == (file, world.signed.encode())


# Copies.


class SaysALaterVisitToo(liars.SaysALaterVisit):
    """As its fellow says it."""

    def says(self, reply: Reply, visit: Visit) -> Reply:
        return super().says(reply, visit) if visit.mailbox == 1 else reply


@pytest.mark.parametrize("k", [2, 3])
def test_a_later_visit_that_all_operators_state_makes_a_porter_a_copy_that_lays_dummies(k: int) -> None:
    world = office(dict.fromkeys(NAMES[:k], SaysALaterVisitToo), k, rounds=range(1_008, 1_009))
    world.run(ROUNDS)
    assert {name for name, c in world.carriers.items() if c.said().copy} == {"anna"}
    assert world.told() == {(Kind.SEEN.value, name) for name in NAMES[:k]}
    # The rows of its place are noise from the next round on, and all else that it sends is as it was.
    mine, beside = opened(world, "anna"), opened(honest(k), "anna")
    assert mine.keys() == beside.keys()
    assert [replace(v, deposit=b"") for v in mine.values()] == [replace(v, deposit=b"") for v in beside.values()]
    differ = {number for number, _ in mine if mine[number, "west"].deposit != beside[number, "west"].deposit}
    assert differ == {number for number in range(1_009, 1_000 + ROUNDS) if number % NUMBERS.places == 0}
    assert [e for e in world.errands() if e[1] != "anna"] == [e for e in honest(k).errands() if e[1] != "anna"]
    heads = [[(*e[:4], len(e[4])) for e in each.errands()] for each in (world, honest(k))]
    assert heads[0] == heads[1]


def test_a_later_visit_that_all_but_one_state_makes_no_porter_a_copy() -> None:
    world = office(dict.fromkeys(NAMES[:2], SaysALaterVisitToo), 3, rounds=range(1_006, 1_022))
    world.run(ROUNDS)
    assert not any(carrier.said().copy for carrier in world.carriers.values())
    nothing_moved(world, honest(3))
    all_came(world)
    assert world.told() == {(Kind.SEEN.value, name) for name in NAMES[:2]}


def test_a_porter_that_was_really_copied_finds_out_and_goes_on_with_dummies() -> None:
    world = office({}, 2)
    world.run(8)
    anna = world.carriers["anna"]
    # Somebody has copied her store, and visits while she is away.
    thief = Carrier("thief", anna.mailbox, anna.key, replace(anna.shelf, bodies=dict(anna.shelf.bodies)))
    thief.machine = Porter(thief.shelf, world.ciphers, Generator("thief"))
    machine, anna.machine = anna.machine, None
    world.carriers["thief"] = thief
    world.run(1)
    del world.carriers["thief"]
    anna.machine = machine
    world.run(3)
    assert anna.said().copy
    assert world.told() >= {(Kind.SEEN.value, "west"), (Kind.SEEN.value, "east")}


def opened(world: LiarsWorld, name: str) -> dict[tuple[int, str], Visit]:
    """The visits of a porter, as their operators saw them."""
    found = {}
    for each in world.trace:
        if each.sender != name or each.kind != "visit":
            continue
        number = world.charter.round_at(each.instant)
        for private in world.day_keys[each.receiver]:
            try:
                visit, _ = visits.open(
                    each.body,
                    PrivateKey(private),
                    world.charter.day_of(number),
                    charter=world.charter,
                    operator=each.receiver,
                    kem=world.kem,
                )
            except VerificationError:
                continue
            found[number, each.receiver] = visit
    return found
