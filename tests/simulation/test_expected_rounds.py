"""How many rounds a packet takes, all places taken and a fifth of what is sent lost (docs/spec/transfer.md §5).

Every desk writes to as many others as it has places, all at once, at places
drawn by chance, so that every phase of two places to each other occurs.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random as generators
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest

from backchannel.post import packet
from backchannel.post.tray import FromDesk, LineName, LineTerms
from tests.simulation.office import SMALL, Carrier, Event, World

PLACES: Final = 4
LOSS: Final = 0.2
K: Final = 2
NUMBERS: Final = replace(SMALL, places=PLACES, packet=256)
ROOM: Final = packet.room(NUMBERS.packet)
# What is lost, and how likely a slot succeeds then (§5).
REPLIES: Final = ("visit-reply",)
BOTH: Final = ("visit", "visit-reply")
SUCCESS: Final = {REPLIES: (1 - LOSS) ** K, BOTH: (1 - LOSS**K) * (1 - LOSS) ** (3 * K)}


def one_packet(s: float) -> float:
    return PLACES / s + 2


def a_packet_of(count: int, s: float) -> float:
    harmonic = sum(1 / at for at in range(1, count + 1))
    return PLACES * (1 + harmonic / -math.log(1 - s)) + 2 / count


def places(random: generators.Random, desks: int) -> dict[tuple[int, int], int]:
    """The place at which each writes to each other: one line a place, and none that reads a place more than q times."""
    while True:
        drawn: dict[tuple[int, int], int] = {}
        for desk in range(desks):
            others = [other for other in range(desks) if other != desk]
            drawn |= {(desk, other): at for other, at in zip(others, random.sample(range(PLACES), PLACES), strict=True)}
        read = [[drawn[other, desk] for other in range(desks) if other != desk] for desk in range(desks)]
        if all(each.count(place) <= NUMBERS.reads for each in read for place in each):
            return drawn


def terms(carriers: list[Carrier], drawn: dict[tuple[int, int], int], desk: int, other: int) -> LineTerms:
    low, high = sorted((desk, other))
    roots = [hashlib.sha256(f"{low} {high} {way}".encode()).digest() for way in range(2)]
    sending, reading = (0, -1) if desk == low else (-1, 0)
    return LineTerms(
        LineName(f"to {other:9}".encode()),
        carriers[other].mailbox,
        drawn[desk, other],
        drawn[other, desk],
        sending,
        (reading,),
        ((-1, roots[0]), (0, roots[1])),
    )


def crowd(seed: int, lost: tuple[str, ...]) -> tuple[World, list[Carrier], list[tuple[LineTerms, ...]]]:
    """Desks that all write to each other, enrolled, before anything is lost; from now on a fifth is."""
    world, random = World(k=K, numbers=NUMBERS, seed=seed), generators.Random(seed)
    carriers = [world.enrol(f"desk {at}") for at in range(PLACES + 1)]
    drawn = places(random, len(carriers))
    lines = [
        tuple(terms(carriers, drawn, desk, other) for other in range(len(carriers)) if other != desk)
        for desk in range(len(carriers))
    ]
    world.run(2 * NUMBERS.enrolment + random.randrange(PLACES))
    assert all(carrier.said().attendance for carrier in carriers)

    def fate(event: Event) -> bytes | None:
        return None if event.kind in lost and random.random() < LOSS else event.body

    world.fate = fate
    return world, carriers, lines


def carried(seed: int, lost: tuple[str, ...], count: int) -> Iterator[int]:
    """For each line of a crowd, the rounds from when its porter had an envelope of *count* packets until it had come."""
    world, carriers, lines = crowd(seed, lost)
    for at, carrier in enumerate(carriers):
        # Each envelope its own, as large as so many packets.
        envelopes = tuple((line.name, (f"{at} {line.name!r}".encode()).ljust(count * ROOM, b".")) for line in lines[at])
        world.write_tray(carrier, FromDesk(1, 0, lines[at], envelopes))
    waiting = set(itertools.permutations(range(len(carriers)), 2))
    for rounds in itertools.count(1):
        world.turn()
        for desk, carrier in enumerate(carriers):
            assert carrier.machine is not None
            come = {int(line[3:]) for line, _ in carrier.machine.keeping.come.values()}
            for other in sorted(come):
                if (other, desk) in waiting:
                    waiting.remove((other, desk))
                    yield rounds
        if not waiting:
            return
        assert rounds < 500, "something is never carried"


@pytest.mark.parametrize(
    ("lost", "seeds"), [(REPLIES, 5), (BOTH, 3)], ids=["replies lost", "requests and replies lost"]
)
def test_a_packet_takes_no_more_rounds_than_are_expected(lost: tuple[str, ...], seeds: int) -> None:
    took = [rounds for seed in range(seeds) for rounds in carried(seed, lost, 1)]
    assert len(took) == seeds * (PLACES + 1) * PLACES
    mean = sum(took) / len(took)
    print(f"mean {mean:.2f}, at most {one_packet(SUCCESS[lost]):.2f}, worst {max(took)}")
    assert min(took) >= 3  # the row, the question, the answer
    assert mean <= one_packet(SUCCESS[lost])
    # And some were lost, and had to be sent again.
    assert max(took) > PLACES + 2


def test_without_loss_a_packet_is_there_two_rounds_after_its_place_comes() -> None:
    took = list(carried(0, (), 1))
    assert {*took} == {3, 4, 5, 6}
    assert max(took) == one_packet(1)


@pytest.mark.parametrize("count", [5])
def test_a_letter_of_many_packets_takes_no_more_rounds_a_packet_than_are_expected(count: int) -> None:
    took = [rounds / count for seed in range(2) for rounds in carried(seed, REPLIES, count)]
    mean = sum(took) / len(took)
    print(f"mean {mean:.2f} a packet, at most {a_packet_of(count, SUCCESS[REPLIES]):.2f}")
    assert PLACES <= mean <= a_packet_of(count, SUCCESS[REPLIES])


def test_the_numbers_of_the_page_are_those_of_its_formulas() -> None:
    assert SUCCESS[REPLIES] == pytest.approx(0.64)
    assert round(SUCCESS[BOTH], 2) == 0.25
    harmonic = sum(1 / at for at in range(1, 6))
    assert round(8 * (1 + harmonic / -math.log(1 - 0.64)) + 2 / 5) == 26
