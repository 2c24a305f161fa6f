"""Swap the two sides in a history and the result is swapped (docs/spec/ratchet.md §9).

One schedule is played twice: the side called 0 is first the maker of the first
card, then the maker of the second. Shown is, of schedules with loss,
reordering, repetition, damage, waiting:

 * from the very start, whoever writes first: the same letters open at the same
   events, with the same numbers and items, and the rest is refused at the same
   events. (Which refusal a letter gets whose key is gone, "already here", "no
   key" or "expired", and an altered copy of one, "damaged" besides, tells
   whether its turn is complete, and the two cuts into turns differ while the
   first letters cross: who owns turn 0 differs.)
 * after a first exchange (side 0 writes, 1 reads and answers, 0 reads), and now
   with copies of desks and old copies put back as well: the very same
   refusals and reasons for freezing, and states of the same shape, every turn
   one lower where side 0 is the second.
"""

from __future__ import annotations

import random as generators
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from backchannel.errors import RefusedError
from backchannel.seal import ratchet
from backchannel.seal.state import State
from tests.peer.side_by_side import DAY, GONE, KEPT, START, kind, meet, stream
from tests.simulation.seeded_kem import SeededKem

KEM = SeededKem()
Event: TypeAlias = "tuple[str, int, int]"  # what happens, to which desk, with which letter
EXCHANGE: list[Event] = [
    ("write", 0, 0),
    ("deliver", 1, 0),
    ("write", 1, 0),
    ("deliver", 0, 0),
    ("back up", 0, 0),
    ("back up", 1, 0),
]


@dataclass
class Play:
    """A schedule as it is played; *first* is the side that made the first card."""

    first: int

    def __post_init__(self) -> None:
        roles = meet("symmetry")
        self.sides = [0, 1]
        self.states = [roles[0 if side == self.first else 1].ours for side in self.sides]
        self.backup = list(self.states)
        self.letters: list[list[bytes]] = [[], []]  # by reading side
        self.now = START
        self.outcomes: list[Any] = []

    def play(self, schedule: list[Event]) -> Play:
        for number, (what, who, pick) in enumerate(schedule):
            desk = who % len(self.states)
            try:
                self.outcomes.append(self._event(what, desk, pick, number))
            except RefusedError as error:
                self.outcomes.append(kind(error))
        return self

    def _event(self, what: str, desk: int, pick: int, number: int) -> Any:
        side = self.sides[desk]
        match what:
            case "write":
                self.states[desk], envelope = ratchet.write(
                    self.states[desk], b"item %d" % number, kem=KEM, random=stream(number), now=self.now
                )
                self.letters[1 - side].append(envelope)
            case "deliver" | "damage" if self.letters[side]:
                envelope = self.letters[side][pick % len(self.letters[side])]
                if what == "damage":
                    at = pick % len(envelope)
                    envelope = envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]
                opened = ratchet.read(self.states[desk], envelope, kem=KEM, now=self.now)
                self.states[desk] = opened.state
                return opened.index, opened.item, opened.seen, opened.state.frozen
            case "wait":
                self.now += (3600, DAY, 40 * DAY, KEPT + 1)[pick % 4]
            case "copy" if len(self.states) < 4:
                self.states.append(self.states[desk])
                self.sides.append(side)
            case "back up":
                self.backup[side] = self.states[desk]
            case "restore":
                self.states[side] = self.backup[side]
        return None

    def shapes(self) -> list[Any]:
        return [shape(state, 1 if self.first == 0 else 0) for state in self.states]


def shape(state: State, shift: int) -> Any:
    """All of a state that is no key, with turns counted from the first letter's."""

    def turns(of: Any) -> list[Any]:
        return sorted(turn - shift for turn in of if turn >= shift)

    tx = state.tx
    return (
        state.turn - shift,
        state.private is None,
        (tx.turn - shift, tx.chain is None, tx.n, tx.pn) if tx and tx.turn >= shift else None,
        sorted((t - shift, r.chain is None, r.n, r.base) for t, r in state.rx.items() if t >= shift),
        sorted((t - shift, n, date) for (t, n), (_, date) in state.skipped.items()),
        len(state.chain),
        sorted(state.claims),
        state.seen,
        sorted((at.turn - shift, at.n) for at in state.opened.values()),
        turns(state.pouch_keys),
        turns(state.roots),
        state.frozen,
    )


def schedule(seed: int, *, copies: bool) -> list[Event]:
    chance = generators.Random(seed)
    events = {"write": 40, "deliver": 50, "damage": 3, "wait": 6}
    if copies:
        events |= {"copy": 1, "back up": 2, "restore": 2}
    kinds = chance.choices(list(events), list(events.values()), k=80)
    return [(what, chance.randrange(12 if copies else 2), chance.randrange(1 << 16)) for what in kinds]


def blurred(events: list[Event], outcomes: list[Any]) -> list[Any]:
    """The outcomes, but for what a letter whose key is gone, or an altered copy, is called."""
    return [
        "refused" if outcome in (GONE | {"damaged"} if what == "damage" else GONE) else outcome
        for (what, _, _), outcome in zip(events, outcomes, strict=True)
    ]


def same_from_the_start(seed: int) -> None:
    events = schedule(seed, copies=False)
    one, other = (Play(first).play(events) for first in (0, 1))
    assert blurred(events, one.outcomes) == blurred(events, other.outcomes)


def same_after_an_exchange(seed: int) -> None:
    one, other = (Play(first).play(EXCHANGE + schedule(seed, copies=True)) for first in (0, 1))
    assert one.outcomes == other.outcomes
    assert one.shapes() == other.shapes()


@pytest.mark.parametrize("seed", range(25))
def test_the_same_letters_open_whoever_made_the_first_card(seed: int) -> None:
    same_from_the_start(seed)


@pytest.mark.parametrize("seed", range(25))
def test_after_one_exchange_everything_is_the_same_whoever_made_the_first_card(seed: int) -> None:
    same_after_an_exchange(seed)


@pytest.mark.long
def test_thousands_of_histories_are_the_same_whoever_made_the_first_card() -> None:
    for seed in range(1000, 3500):
        try:
            same_from_the_start(seed)
            same_after_an_exchange(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error
