"""The porter, as playbooks: when it starts a round, whom it asks what, which row it hands in, what it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from backchannel.errors import UsageError
from backchannel.post import enrolment, packet
from backchannel.post import visit as visits
from backchannel.post.ciphers import PacketCipher
from backchannel.post.packet import Fragment, RoundKeys
from backchannel.post.porter import Kind, Porter
from tests.post.stage import (
    ENVELOPE,
    M,
    Mouth,
    anna,
    begun,
    friend,
    keys_open_nothing,
    kinds,
    line,
    porter,
    reports,
    row_of,
    until,
    visited,
)
from tests.simulation.office import TRAY, Generator, MemoryShelf, World


@pytest.fixture
def world() -> World:
    """An office of two operators, and anna's porter, whose visits collect."""
    world = World()
    visited(world, world.enrol("anna"))
    return world


# The start of a round.


def test_a_round_is_started_once(world: World) -> None:
    begun(world)
    machine, commits = porter(anna(world)), anna(world).shelf.commits
    for now in (world.now, world.charter.begins(world.round), world.charter.begins(world.round + 1) - 1):
        assert machine.start(now, None) is None
    assert anna(world).shelf.commits == commits
    assert machine.start(world.charter.begins(world.round + 1), None) is not None


def test_what_was_prepared_is_heard_though_the_round_is_started_again(world: World) -> None:
    begun(world)
    assert porter(anna(world)).start(world.now, None) is None
    Mouth(world, anna(world)).speak()
    assert porter(anna(world)).keeping.standings["west"].heard == world.round + 1


def test_before_the_first_round_nothing_is_started() -> None:
    world = World()
    carrier = world.enrol("anna")
    assert porter(carrier).start(world.numbers.start - 1, None) is None


def test_a_round_that_is_started_late_gets_no_errands_and_still_a_file(world: World) -> None:
    world.round += 1
    last = porter(anna(world)).keeping.last
    started = porter(anna(world)).start(world.charter.agreed_by(world.round), None)
    assert started is not None
    assert (started.round, started.errands, len(started.file)) == (world.round, (), TRAY)
    assert porter(anna(world)).keeping.last == last


def test_in_the_last_moment_of_the_agreement_phase_it_still_gets_them(world: World) -> None:
    world.round += 1
    started = porter(anna(world)).start(world.charter.agreed_by(world.round) - 1, None)
    assert started is not None
    assert [errand.kind for errand in started.errands] == ["visit", "visit"]


def test_a_porter_that_was_killed_in_a_round_sends_nothing_in_it(world: World) -> None:
    begun(world)
    world.restart_carrier("anna")
    assert porter(anna(world)).start(world.now, None) is None
    porter(anna(world)).hear({0: b"", 1: b""}, world.now)
    assert porter(anna(world)).keeping.last == porter(anna(world)).keeping.last
    begun(world)
    assert [kind for kind, _ in kinds(anna(world))] == ["visit", "visit"]


def test_a_clock_that_goes_back_has_no_effect_before_it_has_caught_up(world: World) -> None:
    begun(world)
    for number in range(world.round - 5, world.round + 1):
        assert porter(anna(world)).start(world.charter.begins(number), None) is None


def test_all_errands_are_committed_before_the_first_leaves(world: World) -> None:
    world.round += 1
    shelf = anna(world).shelf
    started = porter(anna(world)).start(world.charter.begins(world.round), None)
    assert started is not None
    again = Porter(shelf, porter(anna(world))._ciphers, Generator("again"))
    assert again.keeping == porter(anna(world)).keeping
    assert again.keeping.round == world.round + 1
    assert set(again.keeping.last.keys if again.keeping.last else ()) == {"west", "east"}


def test_where_no_porter_was_made_there_is_none(world: World) -> None:
    with pytest.raises(UsageError, match="no porter here"):
        Porter(MemoryShelf(), porter(anna(world))._ciphers, Generator(0))


# Errands, in their order.


def test_errands_come_in_the_order_of_the_page() -> None:
    world = World()
    carrier = world.enrol("anna")
    seen = []
    for _ in range(6):
        world.turn()
        seen.append([kind for kind, _ in kinds(carrier)])
    # The mailbox is 1, and 1000 of 1440 is no day on which it asks for a charter.
    assert seen == [["enrol"] * 2, ["key"] * 2, [], [], ["visit"] * 2, ["visit"] * 2]


def test_errands_of_a_round_have_one_instant_and_know_their_replies(world: World) -> None:
    begun(world)
    started = anna(world).started
    assert started is not None
    assert {errand.instant for errand in started.errands} == {world.charter.instant(anna(world).mailbox, world.round)}
    assert {errand.reply_size for errand in started.errands} == {visits.reply_size(world.charter, more=False)}
    assert [errand.url for errand in started.errands] == ["http://west.test", "http://east.test"]


def test_whoever_has_not_enrolled_it_is_asked_again_and_the_others_are_not() -> None:
    world = World()
    carrier = world.enrol("anna")
    world.fate = lambda event: None if event.kind == "enrol-reply" and event.sender == "east" else event.body
    seen = []
    for _ in range(3):
        world.turn()
        seen.append(kinds(carrier))
    world.fate = lambda event: event.body
    for _ in range(2):
        world.turn()
        seen.append(kinds(carrier))
    west, east = "west", "east"
    assert seen == [
        [("enrol", west), ("enrol", east)],
        [("key", west), ("enrol", east)],
        [("enrol", east)],
        [("enrol", east)],
        [("visit", west), ("key", east)],
    ]
    until(world, lambda: [kind for kind, _ in kinds(carrier)] == ["visit", "visit"])


def test_an_operator_that_refuses_the_ticket_is_reported_and_asked_again() -> None:
    world = World()
    carrier = world.carrier("anna", 1, enrolment.Ticket(bytes(32)))
    world.run(2)
    assert reports(carrier) == {(Kind.REFUSED, "west"): 2, (Kind.REFUSED, "east"): 2}
    assert kinds(carrier) == [("enrol", "west"), ("enrol", "east")]


def test_once_in_a_day_it_asks_for_a_charter_whatever_else_it_asks(world: World) -> None:
    world = World(numbers=replace(world.numbers, day=5))
    carrier = world.enrol("anna")
    asked = []
    for _ in range(15):
        world.turn()
        if ("charter", "west") in kinds(carrier):
            asked.append(world.round)
            assert [kind for kind, _ in kinds(carrier)][-2:] == ["charter", "charter"]
    assert asked == [1001, 1006, 1011]


def test_on_a_new_day_its_key_is_there_already(world: World) -> None:
    world = World(numbers=replace(world.numbers, day=5))
    carrier = world.enrol("anna")
    seen = set()
    for _ in range(25):
        world.turn()
        if world.round >= 1006:
            seen |= {kind for kind, _ in kinds(carrier)}
    assert seen == {"visit", "charter"}
    assert reports(carrier) == {}


def test_after_a_day_away_it_asks_for_the_keys_again(world: World) -> None:
    world = World(numbers=replace(world.numbers, day=5))
    carrier = world.enrol("anna")
    visited(world, carrier)
    world.fate = lambda event: None if "anna" in {event.sender, event.receiver} else event.body
    world.run(11)
    world.fate = lambda event: event.body
    world.turn()
    assert "key" in {kind for kind, _ in kinds(carrier)}
    world.turn()
    assert {kind for kind, _ in kinds(carrier)} - {"charter"} == {"visit"}


# The row that is handed in.


def test_without_a_line_at_its_place_the_row_is_the_noise(world: World) -> None:
    friend(world, lines=(line(b"m", 9, place=(world.round + 2) % 2),))
    begun(world)
    assert row_of(world) == row_of(world, "east")
    keys_open_nothing(world)


def test_at_the_place_of_a_line_it_is_a_packet(world: World) -> None:
    friend(world, lines=(line(b"m", 9, place=(world.round + 1) % 2),))
    begun(world)
    key = RoundKeys.of(b"0" * 32).key(world.round)
    where = world.charter.digest, anna(world).mailbox, 9
    content = packet.open(row_of(world), key, where=where, cipher=PacketCipher())
    assert content.fragment == Fragment(0, ENVELOPE[: packet.room(512)], last=False)
    assert row_of(world) == row_of(world, "east")


def test_without_a_root_it_is_the_noise(world: World) -> None:
    place = (world.round + 1) % 2
    friend(world, lines=(line(b"m", 9, place=place, sending=2),))
    begun(world)
    keys_open_nothing(world)
    assert porter(anna(world)).lines[M].out.waiting == 3


def test_packet_and_dummy_draw_the_same() -> None:
    drawn = []
    for said in ((), (line(b"m", 9, place=0), line(b"n", 8, place=1))):
        world = World()
        visited(world, world.enrol("anna"))
        friend(world, lines=said, envelopes=tuple((each.name, ENVELOPE) for each in said[:1]))
        machine = porter(anna(world))
        sizes: list[int] = []
        generator: Callable[[int], bytes] = Generator("one")

        def random(size: int, sizes: list[int] = sizes, generator: Callable[[int], bytes] = generator) -> bytes:
            sizes.append(size)
            return generator(size)

        machine.random = random
        for _ in range(4):
            world.turn()
        drawn.append(sizes)
    assert drawn[0] == drawn[1]
    # Two reply keys, the noise, the order of the reads, a seed for each of two queries, two encapsulations, the file.
    assert drawn[0][:9] == [32, 32, 512, 8, 32, 32, 1120, 1120, 32]


def test_a_line_at_a_mailbox_that_is_not_there_yet_is_not_read(world: World) -> None:
    friend(world, lines=(line(b"m", 16, place=0, their_place=0), line(b"n", 9, place=1, their_place=1)))
    for _ in range(2):
        world.turn()
        last = porter(anna(world)).keeping.last
        assert last is not None
        wanted = b"n" * 12 if (world.round - 1) % 2 else b""
        assert sorted(last.queries) == sorted(((world.round - 1, wanted), (world.round - 1, b"")))


def test_a_table_is_read_for_the_lines_whose_place_it_is_up_to_the_reads(world: World) -> None:
    friend(world, lines=tuple(line(name, 9, place=at % 2, their_place=0) for at, name in enumerate((b"m", b"n", b"o"))))
    world.turn()
    world.turn()
    seen = [porter(anna(world)).keeping.last]
    world.turn()
    seen.append(porter(anna(world)).keeping.last)
    names = {tuple(sorted(name for _, name in each.queries)) for each in seen if each}
    assert names == {(b"m" * 12, b"n" * 12), (b"", b"")}


# Old tables.


def test_a_porter_that_was_away_asks_about_old_tables_until_all_are_read(world: World) -> None:
    last = porter(anna(world)).keeping.round
    world.round += 6
    more = []
    for _ in range(60):
        world.turn()
        asked = porter(anna(world)).keeping.last
        assert asked is not None
        more.append(asked.more)
    assert more[0]
    assert more.count(False) > 0
    assert not more[-1]
    closed = porter(anna(world)).keeping.closed
    assert closed >= set(range(world.round - 20, world.round - 2))
    assert last < world.round
    # What goes on being asked is the newest alone.
    assert reports(anna(world)).keys() <= {(Kind.VOID, "")}


def test_of_a_closed_table_only_the_own_row_is_read(world: World) -> None:
    friend(world, lines=(line(b"m", 9, place=0, their_place=0), line(b"n", 8, place=1, their_place=1)))
    world.round += 2
    for _ in range(30):
        before = porter(anna(world)).keeping
        world.turn()
        asked = porter(anna(world)).keeping.last
        assert asked is not None
        for table, name in asked.queries:
            if table in before.closed:
                assert name == b""


def test_a_table_is_closed_when_all_have_replied_and_not_before(world: World) -> None:
    begun(world)
    asked = porter(anna(world)).keeping.collecting
    assert asked is not None
    Mouth(world, anna(world)).speak(but=("east",))
    assert not asked.tables & porter(anna(world)).keeping.closed
    assert reports(anna(world)) == {(Kind.NO_REPLY, "east"): 1}
    begun(world)
    asked = porter(anna(world)).keeping.collecting
    assert asked is not None
    Mouth(world, anna(world)).speak()
    assert asked.tables <= porter(anna(world)).keeping.closed


def test_a_visit_that_did_not_hear_from_all_is_collected_once_and_then_asked_again(world: World) -> None:
    begun(world)
    Mouth(world, anna(world)).speak(but=("east",))
    begun(world)
    last = porter(anna(world)).keeping.last
    assert last is not None
    assert last.more
