"""What a thief reads who copies an unlocked desk once, and from where on nothing (docs/spec/ratchet.md §7)."""

from __future__ import annotations

import pytest

from tests.peer.side_by_side import START, Desk, meet
from tests.peer.thief import Thief


class Pair:
    """Two desks whose letters arrive at once, unless somebody holds them back."""

    def __init__(self) -> None:
        self.desks = meet("theft")
        self.count = 0

    def write(self, who: int) -> bytes:
        self.count += 1
        return self.desks[who].write(b"item", seed=self.count, now=START)

    def read(self, who: int, envelope: bytes) -> None:
        self.desks[who].read(envelope, now=START)

    def exchange(self, who: int) -> bytes:
        envelope = self.write(who)
        self.read(1 - who, envelope)
        return envelope


def thief_of(desk: Desk) -> Thief:
    return Thief(desk.theirs, desk.kem)


@pytest.mark.parametrize("victim", [0, 1])
def test_who_steals_after_the_victim_wrote_reads_its_turn_and_the_answer_and_nothing_after(victim: int) -> None:
    pair = Pair()
    for who in (victim, 1 - victim):
        pair.exchange(who)
    old = pair.exchange(victim)
    thief = thief_of(pair.desks[victim])
    assert not thief.reads(old)
    assert thief.reads(pair.exchange(victim))
    assert thief.reads(pair.exchange(1 - victim))
    assert thief.reads(pair.exchange(1 - victim))
    for _ in range(2):
        # The victim's next turn: he sees that it is one of theirs, and where it stands.
        healed = pair.exchange(victim)
        assert thief.recognises(healed)
        assert not thief.reads(healed)
    for who in (1 - victim, victim, 1 - victim):
        assert not thief.recognises(pair.exchange(who))


@pytest.mark.parametrize("victim", [0, 1])
def test_who_steals_after_the_victim_read_reads_the_rest_of_that_turn_and_nothing_after(victim: int) -> None:
    pair = Pair()
    for who in (victim, 1 - victim, victim):
        pair.exchange(who)
    old = pair.exchange(1 - victim)
    thief = thief_of(pair.desks[victim])
    assert not thief.reads(old)
    assert thief.reads(pair.exchange(1 - victim))
    healed = pair.exchange(victim)
    assert thief.recognises(healed)
    assert not thief.reads(healed)
    for who in (1 - victim, victim, 1 - victim):
        assert not thief.recognises(pair.exchange(who))


def test_who_steals_reads_what_had_not_come_yet() -> None:
    pair = Pair()
    pair.exchange(0)
    late, lost, here = (pair.write(1) for _ in range(3))
    pair.read(0, here)
    thief = thief_of(pair.desks[0])
    assert not thief.reads(here)
    pair.read(0, late)
    assert thief.reads(late)
    assert thief.reads(lost)
    # What the desk itself has read in the meantime is out of a second thief's reach.
    second = thief_of(pair.desks[0])
    assert not second.reads(late)
    assert second.reads(lost)


def test_crossing_letters_of_the_turn_before_are_read_too_while_their_chain_is_open() -> None:
    pair = Pair()
    pair.exchange(1)
    pair.exchange(0)
    thief = thief_of(pair.desks[0])
    crossing = pair.write(1)
    assert thief.reads(crossing)


def test_a_second_desk_that_was_never_copied_gives_a_thief_nothing_to_go_on_with() -> None:
    # The thief of one desk who comes again gets the same again, never more of the past.
    pair = Pair()
    past = [pair.exchange(who) for who in (0, 1, 0, 1)]
    for desk in pair.desks:
        thief = thief_of(desk)
        assert not any(thief.reads(envelope) for envelope in past)
