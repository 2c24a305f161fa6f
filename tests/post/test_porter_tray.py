"""The porter, as playbooks: what its desk says to it, and what it says to its desk, day by day."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backchannel.keys import Digest
from backchannel.post import tray
from backchannel.post.charter import SignedCharter
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.lines import MAX_QUEUED
from backchannel.post.porter import COME, DAY, ENVELOPES, LINES, MAX_COME, OUT, Kind
from backchannel.post.transfer import MAX_ENVELOPE
from backchannel.post.tray import FromDesk, LineName
from tests.post.stage import (
    DIGEST,
    ENVELOPE,
    M,
    anna,
    begun,
    friend,
    line,
    porter,
    reports,
    says,
    until,
    visited,
)
from tests.simulation.office import TRAY, Carrier, Generator, World


@pytest.fixture
def world() -> World:
    """An office of two operators, and anna's porter, whose visits collect."""
    world = World()
    visited(world, world.enrol("anna"))
    return world


# The desk's file.


def test_a_file_is_taken_once_and_an_older_one_is_reported(world: World) -> None:
    carrier = anna(world)
    friend(world, 5)
    world.turn()
    assert porter(carrier).keeping.heard == 5
    world.turn()
    assert reports(carrier) == {}
    old = says(world, carrier, 4)
    assert old.lines == ()
    world.turn()
    assert reports(carrier) == {(Kind.OLD_TRAY, ""): 1}
    assert set(porter(carrier).lines) == {M}
    assert porter(carrier).keeping.heard == 5
    friend(world, 6, lines=())
    world.turn()
    assert set(porter(carrier).lines) == set()


@pytest.mark.parametrize("file", [b"", bytes(100), bytes(TRAY)])
def test_a_file_that_does_not_open_is_reported_and_changes_nothing(world: World, file: bytes) -> None:
    friend(world)
    world.turn()
    anna(world).file = file
    world.turn()
    assert reports(anna(world)) == {(Kind.SHUT_TRAY, ""): 1}
    assert set(porter(anna(world)).lines) == {M}


def test_the_porters_own_file_is_none_of_the_desk(world: World) -> None:
    world.turn()
    anna(world).file = anna(world).written
    world.turn()
    assert reports(anna(world)) == {(Kind.SHUT_TRAY, ""): 1}


def test_what_is_sealed_and_is_no_file_is_reported(world: World) -> None:
    friend(world, lines=(line(b"m", 9, place=64),))
    world.turn()
    assert reports(anna(world)) == {(Kind.SHUT_TRAY, ""): 1}
    assert set(porter(anna(world)).lines) == set()


def test_a_missing_file_is_nothing_to_report(world: World) -> None:
    anna(world).file = None
    world.turn()
    assert reports(anna(world)) == {}


def test_the_porters_files_are_numbered_upwards_and_say_what_it_has_heard(world: World) -> None:
    before = anna(world).said()
    friend(world, 3)
    world.turn()
    after = anna(world).said()
    assert (after.number, after.heard, after.round) == (before.number + 1, 3, world.round)
    assert after.mailbox == anna(world).mailbox
    assert SignedCharter.decode(after.charter) == world.signed
    assert after.effective == 1005
    assert [(each.name, each.waiting, each.roots) for each in after.lines] == [(M, 3, (-1, 0))]


def test_an_envelope_is_taken_once(world: World) -> None:
    friend(world, 1)
    world.turn()
    friend(world, 2)
    world.turn()
    out = porter(anna(world)).lines[M].out
    assert [each.name for each in out.queue] == [DIGEST]
    assert anna(world).shelf.get(OUT, DIGEST) == ENVELOPE


def test_an_envelope_that_waits_already_is_not_too_much(world: World) -> None:
    big = bytes(MAX_QUEUED // 4)
    friend(world, 1, envelopes=((M, big[:-200_000]),))
    world.turn()
    machine = porter(anna(world))
    out = replace(machine.lines[M].out, queue=(replace(machine.lines[M].out.queue[0], size=MAX_QUEUED),))
    machine._lines = {M: replace(machine.lines[M], out=out)}
    friend(world, 2, envelopes=((M, big[:-200_000]),))
    world.turn()
    assert reports(anna(world)) == {}


def test_one_envelope_for_two_lines_is_carried_once(world: World) -> None:
    friend(
        world,
        lines=(line(b"m", 9, place=0), line(b"n", 8, place=1)),
        envelopes=((M, ENVELOPE), (LineName(b"n" * 12), ENVELOPE)),
    )
    world.run(3)
    assert {name: len(each.out.queue) for name, each in porter(anna(world)).lines.items()} == {M: 1, b"n" * 12: 0}


def desk_file(world: World, said: FromDesk, size: int = 4 * 1024 * 1024) -> None:
    anna(world).file = tray.seal(said, anna(world).key, size, random=Generator("desk"), cipher=ReplyCipher())


def test_an_envelope_that_is_too_large_is_reported_and_not_taken(world: World) -> None:
    lines = (line(b"m", 9),)
    desk_file(world, FromDesk(1, 0, lines, ((M, bytes(MAX_ENVELOPE + 1)), (M, bytes(MAX_ENVELOPE)))))
    world.turn()
    assert reports(anna(world)) == {(Kind.TOO_MUCH, ""): 1}
    assert [each.size for each in porter(anna(world)).lines[M].out.queue] == [MAX_ENVELOPE]


def test_more_than_may_wait_is_reported_and_taken_when_there_is_room(world: World) -> None:
    lines, half = (line(b"m", 9),), MAX_QUEUED // 2
    envelopes = ((M, bytes(half)), (M, b"\x01" * half), (M, b"\x02"))
    desk_file(world, FromDesk(1, 0, lines, envelopes))
    world.turn()
    assert reports(anna(world)) == {(Kind.TOO_MUCH, ""): 1}
    assert porter(anna(world)).lines[M].out.load == MAX_QUEUED
    machine = porter(anna(world))
    machine._lines = {M: replace(machine.lines[M], out=replace(machine.lines[M].out, queue=()))}
    desk_file(world, FromDesk(2, 0, lines, envelopes[2:]))
    world.turn()
    assert porter(anna(world)).lines[M].out.load == 1


def test_an_envelope_for_a_line_that_is_not_there_is_passed_over(world: World) -> None:
    friend(world, lines=())
    world.turn()
    assert porter(anna(world)).lines == {}
    assert anna(world).shelf.names(OUT) == []


def test_a_line_that_is_withdrawn_is_gone_with_its_envelopes_and_roots(world: World) -> None:
    friend(world, 1)
    world.turn()
    shelf = anna(world).shelf
    assert (len(shelf.names(OUT)), shelf.names(LINES)) == (1, [M])
    says(world, anna(world), 2)
    world.turn()
    assert (shelf.names(OUT), shelf.names(LINES)) == ([], [])
    world.restart_carrier("anna")
    assert porter(anna(world)).lines == {}


def test_an_envelope_that_moves_to_another_line_is_kept(world: World) -> None:
    friend(world, 1)
    world.turn()
    friend(world, 2, lines=(line(b"n", 9),), envelopes=((LineName(b"n" * 12), ENVELOPE),))
    world.run(2)
    assert anna(world).shelf.get(OUT, DIGEST) == ENVELOPE
    assert set(porter(anna(world)).lines) == {b"n" * 12}


def test_an_envelope_that_need_not_be_carried_is_forgotten_if_nothing_of_it_has_left(world: World) -> None:
    place = world.round % 2
    friend(world, 1, lines=(line(b"m", 9, place=place),))
    begun(world)
    friend(world, 2, lines=(line(b"m", 9, place=place),), envelopes=(), dropped=(DIGEST, Digest(bytes(32))))
    begun(world)
    assert porter(anna(world)).lines[M].out.queue == ()
    assert anna(world).shelf.names(OUT) == []


def test_an_envelope_of_which_something_has_left_is_carried_to_its_end(world: World) -> None:
    place = (world.round + 1) % 2
    friend(world, 1, lines=(line(b"m", 9, place=place),))
    world.turn()
    friend(world, 2, lines=(line(b"m", 9, place=place),), envelopes=(), dropped=(DIGEST,))
    world.turn()
    assert [each.name for each in porter(anna(world)).lines[M].out.queue] == [DIGEST]
    assert anna(world).shelf.get(OUT, DIGEST) == ENVELOPE


# What has come, and what has arrived.


def pair() -> tuple[World, Carrier, Carrier]:
    """Anna and mikhail, each with an envelope for the other."""
    world = World()
    one, other = world.enrol("anna"), world.enrol("mikhail", "east")
    roots = ((-1, b"1" * 32), (0, b"0" * 32))
    says(
        world,
        one,
        1,
        lines=(line(b"m", other.mailbox, place=0, their_place=1, roots=roots),),
        envelopes=((M, ENVELOPE),),
    )
    back = line(b"a", one.mailbox, place=1, their_place=0, sending=-1, reading=(0,), roots=roots)
    says(world, other, 1, lines=(back,), envelopes=((LineName(b"a" * 12), ENVELOPE[::-1]),))
    return world, one, other


def test_two_letters_cross() -> None:
    world, one, other = pair()
    until(world, lambda: one.said().envelopes and other.said().envelopes and one.said().carried)
    assert one.said().envelopes == ((M, ENVELOPE[::-1]),)
    assert other.said().envelopes == ((b"a" * 12, ENVELOPE),)
    assert one.said().carried == (DIGEST,)
    assert one.shelf.names(OUT) == []
    assert reports(one) == reports(other) == {}


def test_what_has_come_is_said_until_the_desk_has_read_the_file_that_said_so() -> None:
    world, one, other = pair()
    until(world, lambda: one.said().envelopes)
    come = one.said().number
    until(world, lambda: one.said().carried)
    carried = one.said().number
    assert come < carried
    lines = (line(b"m", other.mailbox, place=0, their_place=1),)
    expected = (
        (come - 1, ((M, ENVELOPE[::-1]),), (DIGEST,)),
        (come, (), (DIGEST,)),
        (carried - 1, (), (DIGEST,)),
        (carried, (), ()),
    )
    for number, (heard, envelopes, arrived) in enumerate(expected, 2):
        says(world, one, number, heard=heard, lines=lines)
        world.turn()
        assert (one.said().envelopes, one.said().carried) == (envelopes, arrived)
        assert len(one.shelf.names(COME)) == len(envelopes)


def test_while_very_many_letters_of_one_wait_for_the_desk_no_more_are_taken_and_none_is_lost() -> None:
    world, one, other = pair()
    machine = porter(one)
    waiting = range(1, 1 + MAX_COME)
    one.shelf.commit({(COME, number.to_bytes(8)): b"unread" for number in waiting})
    machine._keeping = replace(machine.keeping, come=dict.fromkeys(waiting, (M, 1)), next_come=1 + MAX_COME)
    world.run(20)
    assert machine.keeping.next_come == 1 + MAX_COME
    assert machine.lines[M].coming.base == 0
    assert not other.said().carried
    assert one.said().carried == (DIGEST,)  # what goes the other way goes on
    machine._keeping = replace(machine.keeping, come={})
    until(world, lambda: other.said().carried)
    assert one.said().envelopes == ((M, ENVELOPE[::-1]),)


def test_what_no_file_has_said_yet_is_not_forgotten_whatever_the_desk_has_heard() -> None:
    world, one, other = pair()
    until(world, lambda: porter(one).keeping.arrived)
    assert porter(one).keeping.come
    machine = porter(one)
    machine._keeping = replace(machine.keeping, arrived={DIGEST: 0}, come={1: (M, 0)})
    lines = (line(b"m", other.mailbox, place=0, their_place=1),)
    says(world, one, 2, heard=machine.keeping.number, lines=lines)
    world.turn()
    assert (one.said().carried, one.said().envelopes) == ((DIGEST,), ((M, ENVELOPE[::-1]),))


def test_what_has_arrived_is_not_carried_again_before_the_desk_knows_it() -> None:
    world, one, other = pair()
    until(world, lambda: one.said().carried)
    lines = (line(b"m", other.mailbox, place=0, their_place=1),)
    says(world, one, 2, lines=lines, envelopes=((M, ENVELOPE),))
    world.turn()
    assert porter(one).lines[M].out.queue == ()


def test_an_envelope_comes_after_its_line_was_withdrawn_for_nobody() -> None:
    world, one, _ = pair()
    world.fate = lambda event: event.body
    until(world, lambda: porter(one).keeping.collecting)
    asked = porter(one).keeping.collecting
    while asked is None or not any(name for _, name in asked.queries):
        world.turn()
        asked = porter(one).keeping.last
    says(world, one, 2)
    world.run(2)
    assert porter(one).lines == {}
    assert porter(one).keeping.come == {}
    assert reports(one) == {}


def _come(world: World, *envelopes: bytes) -> None:
    """Envelopes that have come for anna, as if they had."""
    machine, shelf = porter(anna(world)), anna(world).shelf
    come = dict.fromkeys(range(1, len(envelopes) + 1), (M, 0))
    shelf.commit({(COME, at.to_bytes(8)): raw for at, raw in enumerate(envelopes, 1)})
    machine._keeping = replace(machine.keeping, come=come, next_come=len(envelopes) + 1)


def test_what_has_no_room_waits_for_its_turn(world: World) -> None:
    big, small = b"b" * (TRAY - 60_000), b"s" * 100_000
    _come(world, big, small, b"tiny")
    world.turn()
    # The second does not fit beside the first, the third does.
    first = anna(world).said()
    assert [raw for _, raw in first.envelopes] == [big, b"tiny"]
    assert [since for _, since in porter(anna(world)).keeping.come.values()] == [first.number, 0, first.number]
    says(world, anna(world), 1, heard=first.number)
    world.turn()
    assert [raw for _, raw in anna(world).said().envelopes] == [small]


def test_what_falls_out_of_a_file_counts_as_not_said(world: World) -> None:
    _come(world, b"1" * 100_000, b"2" * 100_000)
    world.turn()
    first = anna(world).said()
    assert len(first.envelopes) == 2
    # A charter to be asked about takes the room of the second.
    machine = porter(anna(world))
    machine._keeping = replace(machine.keeping, asking=bytes(60_000))
    world.turn()
    assert [len(raw) for _, raw in anna(world).said().envelopes] == [100_000]
    # The desk has read the second file only, which did not have it.
    says(world, anna(world), 1, heard=first.number + 1)
    machine._keeping = replace(machine.keeping, asking=b"")
    world.turn()
    assert [raw for _, raw in anna(world).said().envelopes] == [b"2" * 100_000]


def test_envelopes_however_small_do_not_make_a_file_that_the_desk_refuses(world: World) -> None:
    _come(world, *(bytes([1]) for _ in range(ENVELOPES + 10)))
    world.turn()
    assert len(anna(world).said().envelopes) == ENVELOPES
    says(world, anna(world), 1, heard=anna(world).said().number)
    world.turn()
    assert len(anna(world).said().envelopes) == 10


def test_reports_do_not_crowd_out_letters(world: World) -> None:
    machine = porter(anna(world))
    day = world.now // DAY
    many = {(day - at % 80, kind.value, f"{'x' * 60}-{at}"): at for at in range(500) for kind in Kind}
    machine._keeping = replace(machine.keeping, reports=many)
    _come(world, b"1" * 180_000)
    world.turn()
    said = anna(world).said()
    assert [len(raw) for _, raw in said.envelopes] == [180_000]
    assert len(said.reports) == TRAY // 8 // 192
    assert {each.day for each in said.reports} == {day, day - 1}
    assert len(machine.keeping.reports) == 500 * len(Kind)


def test_a_charter_to_ask_about_that_has_no_room_is_left_out(world: World) -> None:
    machine = porter(anna(world))
    machine._keeping = replace(machine.keeping, asking=bytes(TRAY))
    world.turn()
    assert anna(world).said().asking == b""


# Days.


def test_what_is_more_than_ninety_days_past_is_forgotten(world: World) -> None:
    machine = porter(anna(world))
    day = world.now // DAY
    old, kept = day - 90, day - 89
    machine._keeping = replace(
        machine.keeping,
        reports={(old, "did not reply", "west"): 1, (kept, "did not reply", "west"): 2},
        attendance={old: (1, 1), kept: (2, 2)},
    )
    world.turn()
    assert set(machine.keeping.reports) == {(kept, "did not reply", "west")}
    assert set(machine.keeping.attendance) == {kept, day}


def test_what_concerns_tables_that_are_served_no_more_is_forgotten(world: World) -> None:
    world.run(40)
    keeping, oldest = porter(anna(world)).keeping, world.round - 24 - 2
    assert min(keeping.closed) == min(keeping.deposits) == oldest
    assert len(keeping.deposits) == 27


def test_reports_are_counted_by_day_and_operator(world: World) -> None:
    world.fate = lambda event: None if event.sender == "east" and event.kind == "visit-reply" else event.body
    world.run(3)
    assert anna(world).said().reports[0].count == 2
    assert reports(anna(world)) == {(Kind.NO_REPLY, "east"): 3}


def test_the_keys_of_rounds_that_are_over_are_erased(world: World) -> None:
    friend(world, lines=(line(b"m", 9, place=0, their_place=1),))
    world.run(8)
    roots = porter(anna(world)).lines[M].roots
    with pytest.raises(Exception, match="erased"):
        roots[0].key(world.round if world.round % 2 == 0 else world.round - 1)
    with pytest.raises(Exception, match="erased"):
        roots[-1].key(world.round - 4)
    roots[-1].key(world.round - 1)
