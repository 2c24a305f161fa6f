"""The observer finds what differs, whatever it is, and where nothing does it draws lots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from backchannel.cli.demo_control import DESKS, PAIRS, at_least
from backchannel.cli.observer import Sight, suspects
from backchannel.cli.seeded import Seeded

ROUNDS = 4
PAIR = (4, 11)
RUNS = 300
Change = Callable[[Sight], Sight | None]


def equal_sights(draw: Seeded) -> list[Sight]:
    """Views of desks that differ in nothing but what is drawn."""
    return [
        Sight(desk, at, draw.below(30), 5_000, draw(1_024), (draw(32), draw(32)))
        for at in range(ROUNDS)
        for desk in range(DESKS)
    ]


def noticed(change: Change, *, whose: Callable[[int], bool] = PAIR.__contains__, seed: int = 1) -> tuple[int, int]:
    """Whom it names when *change* is made to all sights of some desks."""
    changed = [change(each) if whose(each.desk) else each for each in equal_sights(Seeded(seed))]
    return suspects([each for each in changed if each is not None], range(DESKS), lots=Seeded(seed, "lots"))


def others(desk: int) -> bool:
    return desk not in PAIR


LEAKS: dict[str, Change] = {
    "one visit fewer": lambda sight: None if sight.round == 2 else sight,
    "no visit": lambda _: None,
    "later visits": lambda sight: replace(sight, late=sight.late + 200),
    "larger visits": lambda sight: replace(sight, size=sight.size + 1),
    "a repeated row": lambda sight: replace(sight, row=bytes([sight.desk]) + b"the same row for ever" * 50),
    "rows that compress": lambda sight: replace(sight, row=(b"Dear Mr. Orlov, " * 99)[:1_024]),
    "a few zeros": lambda sight: replace(sight, row=bytes(200) + sight.row[200:]),
    "a share that is not masked": lambda sight: replace(sight, shares=(b"\x80" + bytes(31), sight.shares[1])),
}


@pytest.mark.parametrize("change", LEAKS.values(), ids=LEAKS)
def test_it_names_the_two_that_differ(change: Change) -> None:
    assert noticed(change) == PAIR


@pytest.mark.parametrize("change", LEAKS.values(), ids=LEAKS)
def test_it_names_the_two_that_do_not_where_all_others_are_changed(change: Change) -> None:
    assert noticed(change, whose=others) == PAIR


def test_it_notices_visits_that_are_as_many_and_at_other_times() -> None:
    def move(sight: Sight) -> Sight:
        return replace(sight, round=sight.round + 1)

    assert noticed(move) == PAIR


def test_it_names_each_pair_as_seldom_as_lots_do_where_nothing_differs() -> None:
    named = Counter(suspects(equal_sights(Seeded(at)), range(DESKS), lots=Seeded(at, "lots")) for at in range(RUNS))
    assert at_least(named[PAIR], RUNS, 1 / PAIRS) > 0.001
    # Nobody is named for being first, or last: the expected number is 37.5, by a binomial of 1 in 8.
    each = Counter(desk for pair in named.elements() for desk in pair)
    assert all(15 < each[desk] < 62 for desk in range(DESKS))


def test_lots_decide_where_nothing_at_all_differs() -> None:
    sights = [Sight(desk, at, 0, 5_000) for desk in range(DESKS) for at in range(ROUNDS)]
    named = {suspects(sights, range(DESKS), lots=Seeded(at)) for at in range(40)}
    assert len(named) > 20
    assert suspects(sights, range(DESKS), lots=Seeded(7)) == suspects(sights, range(DESKS), lots=Seeded(7))
    assert suspects([], range(DESKS), lots=Seeded(7)) == suspects(sights, range(DESKS), lots=Seeded(7))


def test_a_seed_draws_the_same_and_another_draws_others() -> None:
    assert [Seeded(1)(9), Seeded(1).of("a").below(9)] == [Seeded(1)(9), Seeded(1, "a").below(9)]
    assert len({Seeded(1)(9), Seeded(2)(9), Seeded(1, "a")(9), Seeded(1, "b")(9)}) == 4
    assert sorted(Seeded(3).shuffled(range(50))) == list(range(50)) != Seeded(3).shuffled(range(50))
