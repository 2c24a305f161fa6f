"""The control: builds that leak are found out in every run, and the real one no oftener than by lots."""

from __future__ import annotations

from itertools import product

import pytest

from backchannel.cli.demo_control import (
    BUILDS,
    NAMES,
    PAIRS,
    ROUNDS,
    VISITED,
    Office,
    Outcome,
    Run,
    Visitless,
    Zeros,
    at_least,
    chance,
    control,
)
from backchannel.cli.observer import Sight
from backchannel.cli.seeded import Seeded
from backchannel.post.porter import Porter

RARE = 0.001  # how improbable a result of the real build may be


@pytest.fixture(scope="module")
def office() -> Office:
    return Office.found(Seeded(1, "office"))


def play(office: Office, build: type[Porter], seed: int, to: str = "west") -> Run:
    return office.play(build, Seeded(seed), to=to)


def of(run: Run, desk: int) -> list[Sight]:
    return [sight for sight in run.sights if sight.desk == desk]


@pytest.mark.parametrize("build", BUILDS.values())
def test_in_every_run_of_every_build_two_letters_cross(office: Office, build: type[Porter]) -> None:
    assert play(office, build, 2).crossed


@pytest.mark.parametrize("build", [Visitless, Zeros])
@pytest.mark.parametrize("to", NAMES)
def test_the_two_are_named_in_every_run_of_a_build_that_leaks(office: Office, build: type[Porter], to: str) -> None:
    for seed in (1, 2):
        run = play(office, build, seed, to)
        assert run.named == run.pair


def test_on_the_real_build_every_desk_comes_in_every_round_with_as_many_bytes(office: Office) -> None:
    run = play(office, Porter, 3)
    for desk in office.porters:
        assert [sight.round for sight in of(run, desk)] == list(range(VISITED, VISITED + ROUNDS))
    assert len({sight.size for sight in run.sights}) == 1
    assert {sight.late for sight in run.sights} == {0}


def test_the_leaks_are_what_they_are_said_to_be(office: Office) -> None:
    run = play(office, Visitless, 3)
    assert {sight.desk for sight in run.sights} == set(run.pair)
    run = play(office, Zeros, 3)
    assert {any(any(sight.row) for sight in of(run, desk)) for desk in set(office.porters) - set(run.pair)} == {False}
    assert all(any(any(sight.row) for sight in of(run, desk)) for desk in run.pair)


def test_the_same_seed_gives_the_same_runs_and_the_same_control(office: Office) -> None:
    assert play(office, Porter, 4) == play(office, Porter, 4)
    heard: list[Outcome] = []
    assert control(6, 1, heard.append) == control(6, 1, lambda _: None) == heard
    assert [outcome.build for outcome in heard] == list(BUILDS)


def test_on_the_real_build_the_two_are_named_no_oftener_than_by_lots() -> None:
    *leaky, real = control(7, 5, lambda _: None)
    assert [outcome.both for outcome in leaky] == [5, 5]
    assert real.luck > RARE


@pytest.mark.long
def test_in_many_runs_the_two_are_named_no_oftener_than_by_lots(office: Office) -> None:
    runs = [play(office, Porter, 1_000 + at, NAMES[at % 2]) for at in range(400)]
    right = [len({*run.pair} & {*run.named}) for run in runs]
    assert at_least(right.count(2), len(runs), 1 / PAIRS) > RARE
    assert at_least(len(runs) - right.count(0), len(runs), chance_of_one()) > RARE


def chance_of_one() -> float:
    both, one = chance([Outcome("", 1, 0, 0)])
    return both + one


def test_what_lots_do_is_counted_as_the_pairs_are() -> None:
    pairs = [{one, other} for one in range(16) for other in range(one)]
    right = [len(pair & {0, 1}) for pair in pairs]
    assert chance([Outcome("", 240, 0, 0)]) == (240 * right.count(2) / PAIRS, 240 * right.count(1) / PAIRS)
    tosses = [sum(each) for each in product((0, 1), repeat=6)]
    for hits in range(7):
        assert at_least(hits, 6, 0.5) == sum(each >= hits for each in tosses) / 64
