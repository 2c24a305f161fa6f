"""Nothing is lost: whatever network, power, clocks, disks and trays do, each letter is opened once, within a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from backchannel.cli import attendance
from backchannel.desk import post
from backchannel.desk.records import Stage
from backchannel.post.porter import Porter
from tests.simulation import histories
from tests.simulation.cheap import cheap
from tests.simulation.histories import ALARMS, History, Home, Weather, bound, numbers, sealed, settles
from tests.simulation.office import Crash, MemoryShelf

BATCH = 25
QUICK = range(0, 150, BATCH)
SEEDS = range(150, 2_150, BATCH)
LONG = range(10_000, 20_000, BATCH)
LATE = "their porter and yours were not online together for longer than rounds are kept"


def lost(first: int, count: int) -> list[str]:
    """What is wrong in the histories of these seeds, each with how to play it again."""
    wrong = []
    for seed in range(first, first + count):
        found = History(seed).play()
        wrong += [f"{'; '.join(found)}\nreplay: python -m tests.simulation.histories {seed}"] if found else []
    return wrong


@pytest.mark.parametrize("first", QUICK)
def test_every_letter_is_opened_once_within_the_bound_whatever_the_weather(first: int) -> None:
    assert not (wrong := lost(first, BATCH)), "\n".join(wrong)


@pytest.mark.long
@pytest.mark.parametrize("first", SEEDS)
def test_every_letter_is_opened_once_within_the_bound_in_two_thousand_histories(first: int) -> None:
    assert not (wrong := lost(first, BATCH)), "\n".join(wrong)


@pytest.mark.long
@pytest.mark.parametrize("first", LONG)
def test_every_letter_is_opened_once_within_the_bound_in_ten_thousand_histories(first: int) -> None:
    assert not (wrong := lost(first, BATCH)), "\n".join(wrong)


def test_a_history_is_the_same_in_every_run() -> None:
    one, other = History(7), History(7)
    assert one.play() == other.play() == []
    assert [home.shelf.bodies for home in one.homes] == [home.shelf.bodies for home in other.homes]
    assert one.took == other.took


def test_the_weather_of_some_seeds_has_each_mishap() -> None:
    drawn = [History(seed).weather for seed in range(BATCH)]
    for name in ("lost", "cut", "late", "twice", "again", "crash", "killed", "full", "skewed", "tray", "apart"):
        assert any(getattr(weather, name) for weather in drawn)
        assert not all(getattr(weather, name) for weather in drawn)


def test_letters_are_written_and_much_goes_wrong_in_the_weather() -> None:
    written, crashes, troubles = 0, 0, 0
    for seed in range(5):
        history = History(seed, Weather(lost=0.2, crash=0.05, full=0.05, tray=0.2))
        assert history.play() == []
        written += history.letters
        crashes += sum(
            house.machine is not None and house.machine._since > 1_001 for house in history.world.houses.values()
        )
        troubles += sum(len(home.troubles) for home in history.homes)
    assert written > 20
    assert crashes > 2
    assert troubles > 10


# What the harness would notice.


def _never_again(waiting: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    def once(desk: Any, member: Any, person: Any, state: Any) -> Iterator[Any]:
        for entry, body in waiting(desk, member, person, state):
            if entry.number not in member.listed:
                yield entry, body

    return once


def _early(take: Callable[..., Any]) -> Callable[..., Any]:
    def forgetful(self: Porter, *arguments: Any, **rest: Any) -> None:
        keeping = self.keeping
        take(self, *arguments, **rest)
        if self.random(1) < b"\x60":
            turn = arguments[0]
            turn.keeping = replace(turn.keeping, come=keeping.come)

    return forgetful


def test_a_desk_that_lists_a_letter_only_once_loses_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "_waiting", _never_again(post._waiting))
    assert any("sealed" in line for seed in range(6) for line in History(seed, Weather(tray=0.4)).play())


def test_a_porter_that_acknowledges_what_it_did_not_keep_loses_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Porter, "_take_row", _early(Porter._take_row))
    assert any("sealed" in line for seed in range(3) for line in History(seed, Weather()).play())


def test_a_letter_that_is_not_opened_is_noticed_when_the_bound_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "bound", lambda *_: 1)
    (line, *_) = History(3, Weather(sessions=0.9, letters=0.9)).play()
    assert line.startswith("after 1 rounds: ")


def test_the_alarms_that_have_no_honest_cause_are_noticed() -> None:
    history = History(1, Weather())
    assert history.play() == []
    carrier = history.homes[0].carrier
    assert carrier is not None
    assert carrier.machine is not None
    for kind in ALARMS:
        accused = replace(carrier.machine.keeping, reports={(1, kind.value, "east"): 1})
        carrier.machine._keeping = accused
        assert any(kind in line for line in history.check())


# Every commit, one after the other.


class Point:
    """One power failure: at a commit of a shelf, or at one renaming of a desk's file."""

    def __init__(self, at: int, when: str) -> None:
        self.at, self.when, self.count = at, when, 0

    def power(self, number: int) -> str:
        del number
        self.count += 1
        return self.when if self.count == self.at else ""

    def renaming(self) -> bool:
        self.count += 1
        return self.count == self.at


def short(actor: Callable[[History], MemoryShelf | None], point: Point) -> list[str]:
    """One letter each way, with one power failure: what is wrong in the end."""
    history = History(0, Weather(), desks=2, operators=2, places=1)
    with cheap(history.folders):
        history.settle_in()
        shelf = actor(history)
        if shelf is None:
            history.folders.crash = point.renaming
        else:
            shelf.crash = point.power
        left = after = settles(history.numbers) + 1  # what failed in the last round is done in the next
        for _ in range(bound(history.numbers, 2) + after):
            _wake(history)
            for home, other in history.pairs:
                _write_once(home, other.name)
            history._trays()
            history.world.turn()
            left -= all(home.texts(other.name) for home, other in history.pairs)
            if not left:
                break
        _wake(history)
        return history.check()


def _wake(history: History) -> None:
    for name, house in history.world.houses.items():
        if house.machine is None:
            history.world.restart_house(name)
    for name, carrier in history.world.carriers.items():
        if carrier.machine is None:
            history.world.restart_carrier(name)


def _write_once(home: Home, to: str) -> None:
    try:
        if home.exchange() is None or sealed(home, to):
            return
        home.send(to, f"{home.name} to {to}")
    except Crash:
        return
    home.exchange()


ACTORS: dict[str, Callable[[History], MemoryShelf | None]] = {
    "the first porter": lambda history: history.shelves[2],
    "the second porter": lambda history: history.shelves[3],
    "the first desk": lambda history: history.shelves[4],
    "the second desk": lambda history: history.shelves[5],
    "the first operator": lambda history: history.shelves[0],
    "the second operator": lambda history: history.shelves[1],
    "the folders": lambda _: None,
}


@pytest.mark.parametrize(
    ("actor", "when"), [(actor, when) for actor in ACTORS for when in ("before", "after")][:-1]
)  # the last has both in one
def test_power_may_fail_before_and_after_every_commit_and_nothing_is_lost(actor: str, when: str) -> None:
    at = 0
    while True:
        at += 1
        point = Point(at, when)
        assert not short(ACTORS[actor], point), f"{when} commit {at}"
        if point.count < at:
            break
    assert at > 10


# Beyond the window.


def notices(home: Home) -> list[str]:
    desk = home.desk()
    member = post.membership(desk)
    assert member is not None
    return [text for text, _ in attendance._of_letters(desk, member.terms, home.world.now)]


@pytest.mark.parametrize("both", [True, False])
def test_beyond_the_window_the_sender_is_told_and_the_letter_arrives_once_both_are_online(*, both: bool) -> None:
    history = History(0, Weather(), desks=2, operators=2)
    with cheap(history.folders):
        history.settle_in()
        anna, mikhail = history.homes
        for _ in range(6):
            history._quiet_round()
        history.world.carriers[mikhail.name].machine = None
        anna.send(mikhail.name, "is anybody there?")
        anna.exchange()
        assert anna.stages(mikhail.name) == [Stage.LEFT]
        for at in range(history.numbers.window):
            assert notices(anna) == []
            history._quiet_round()
            if both and at == 2:
                history.world.carriers[anna.name].machine = None
        history._quiet_round()
        (notice,) = notices(anna)
        assert notice == f"not carried to {mikhail.name} since they left: letter 1; {LATE}"
        for _ in range(history.numbers.catch_up + 2):
            history._quiet_round()
        assert mikhail.texts(anna.name) == []
        assert history.calm() == []
        assert mikhail.texts(anna.name) == ["is anybody there?"]
        assert anna.stages(mikhail.name) == [Stage.CARRIED]
        assert notices(anna) == []


def test_within_the_window_a_letter_is_read_late_though_its_sender_has_gone() -> None:
    history = History(0, Weather(), desks=2, operators=2)
    with cheap(history.folders):
        history.settle_in()
        anna, mikhail = history.homes
        for _ in range(6):
            history._quiet_round()
        carriers = history.world.carriers
        carriers[mikhail.name].machine = None
        anna.send(mikhail.name, "is anybody there?")
        anna.exchange()
        history._trays()
        for _ in range(history.numbers.places):
            history.world.turn()
        carriers[anna.name].machine = None
        history._quiet_round()
        history.world.restart_carrier(mikhail.name)
        for _ in range(history.numbers.window):
            history._quiet_round()
        assert mikhail.texts(anna.name) == ["is anybody there?"]


def test_the_bound_follows_from_the_charter() -> None:
    # One fragment, two places: three rounds of a clock that was ahead, one until operators take part, three to
    # enrol, one for a key, one for the desk's file, two turns of the places, two to ask and collect, one for the file.
    assert bound(numbers(places=2), 1) == 3 + 1 + 3 + 1 + 1 + 2 * 2 + 2 + 1
    assert bound(numbers(places=2), 11) - bound(numbers(places=2), 1) == 10 * 2
    assert settles(numbers(places=2)) == 2 + 2 + 3
