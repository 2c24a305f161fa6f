"""From round to round, whatever clock, folder and disk do: under a clock that is told."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backchannel import files
from backchannel.desk.store import Store
from backchannel.errors import LockedError, UnavailableError
from backchannel.porter import run
from backchannel.porter.clock import TICK
from backchannel.porter.run import Passed, Tray
from backchannel.post.tray import DESK_FILE, PORTER_FILE
from tests.porter.small import NUMBERS, PERIOD, TRAY, Scene, desk_file, pairing, put, reopen, said, scene
from tests.simulation.crash import unsynced

FIRST, START = NUMBERS.first, NUMBERS.start
CHARTER = pairing().charter.charter


@pytest.fixture(autouse=True)
def disk() -> Iterator[None]:
    with unsynced():
        yield


def go(here: Scene, rounds: int) -> None:
    asyncio.run(asyncio.wait_for(here.go(rounds), 60))


def test_each_round_is_started_at_its_start_and_its_file_written_a_tenth_later(tmp_path: Path) -> None:
    here = scene(tmp_path, begins=START - 5 * PERIOD)
    go(here, 4)
    assert here.rounds() == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]
    assert [instant for instant, _ in here.written] == [START + n * PERIOD + PERIOD // 10 for n in range(4)]
    for number, (instant, errands, span) in enumerate(here.made):
        assert instant == START + number * PERIOD
        assert {errand.instant for errand in errands} == {CHARTER.instant(3, FIRST + number)}
        assert (span.begins, span.ends) == (instant, instant + PERIOD - PERIOD // 50)
    assert here.passed[0].next == CHARTER.instant(3, FIRST + 1)
    assert not here.warned


def test_a_porter_that_starts_in_the_middle_of_a_round_waits_for_the_next(tmp_path: Path) -> None:
    here = scene(tmp_path, begins=START + PERIOD // 5)
    go(here, 2)
    assert here.rounds() == [FIRST + 1, FIRST + 2]
    assert here.written[0][0] == START + PERIOD + PERIOD // 10


def test_a_porter_that_starts_again_in_a_round_does_not_start_the_round_again(tmp_path: Path) -> None:
    here = scene(tmp_path)
    go(here, 1)
    here.clock.time = START + PERIOD // 10
    go(here, 1)
    assert here.rounds() == [FIRST, FIRST + 1]
    assert here.made[1][0] == START + PERIOD


@pytest.mark.parametrize("at", [PERIOD // 20, PERIOD // 2, PERIOD - 1])
@pytest.mark.parametrize("where", [PERIOD // 20, PERIOD // 2])
def test_a_clock_that_jumps_ahead_goes_on_with_the_round_that_it_then_is(tmp_path: Path, at: int, where: int) -> None:
    here = scene(tmp_path)
    here.clock.jumps[START + PERIOD + at] = START + 100 * PERIOD + where
    go(here, 4)
    first = FIRST + 100 if where < PERIOD // 5 else FIRST + 101
    assert here.rounds() == [FIRST, FIRST + 1, first, first + 1]
    # By then it is too late for what the round before had prepared.
    assert all(span.begins <= instant < span.ends for instant, _, span in here.made)
    assert {(instant - START) % PERIOD for instant, _ in here.written} == {PERIOD // 10}
    assert not here.warned


def test_a_clock_that_is_set_back_makes_no_round_twice_and_says_so_once(tmp_path: Path) -> None:
    here = scene(tmp_path)
    here.clock.jumps[START + 3 * PERIOD + 1_000] = START + 500
    go(here, 5)
    assert here.rounds() == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3, FIRST + 4]
    assert here.made[-1][0] == START + 4 * PERIOD
    assert [text for text in here.warned if "clock" in text] == [
        "this machine's clock is behind the last round of visits: there are none until it is not"
    ]


def test_nobody_waits_long_without_looking_at_the_clock(tmp_path: Path) -> None:
    here, longest = scene(tmp_path), 0.0
    sleep = here.clock.sleep

    async def timed(seconds: float) -> None:
        nonlocal longest
        longest = max(longest, seconds)
        await sleep(seconds)

    here.clock.sleep = timed  # type: ignore[method-assign]
    go(here, 2)
    assert longest <= TICK / 1000


def test_the_desks_file_is_read_at_the_start_of_each_round_and_answered(tmp_path: Path) -> None:
    here = scene(tmp_path)
    put(here.tray, 1)
    go(here, 1)
    assert said(here.tray).heard == 1
    put(here.tray, 2)
    go(here, 1)
    assert said(here.tray).heard == 2
    assert (here.tray / PORTER_FILE).stat().st_size == TRAY


def test_a_porter_that_is_locked_away_from_its_folder_goes_on_and_says_so_once(tmp_path: Path) -> None:
    here = scene(tmp_path)
    here.tray.rmdir()
    go(here, 3)
    assert here.rounds() == [FIRST, FIRST + 1, FIRST + 2]
    assert all(errands for _, errands, _ in here.made)
    (line,) = here.warned
    assert line.startswith("there is no folder tray to write porter.tray in: ")
    here.tray.mkdir()
    go(here, 1)
    assert said(here.tray).round == FIRST + 3


@pytest.mark.parametrize("what", ["folder", "full"])
def test_a_file_that_cannot_be_replaced_costs_no_visit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    here = scene(tmp_path)
    if what == "folder":
        (here.tray / PORTER_FILE).mkdir()
        (here.tray / PORTER_FILE / "in it").touch()
    else:
        real = files.stage

        def full(path: Path, data: bytes, *, overwrite: bool = False) -> files.Staged:
            if path.name == PORTER_FILE:
                raise UnavailableError("cannot write porter.tray: the disk is full")
            return real(path, data, overwrite=overwrite)

        monkeypatch.setattr(files, "stage", full)
    go(here, 2)
    assert all(errands for _, errands, _ in here.made)
    (line,) = here.warned
    assert line.startswith("cannot write porter.tray: ")
    assert line.endswith(": the desk hears nothing meanwhile, and nothing is lost")
    assert not list(here.tray.glob(".*"))


def test_a_folder_that_does_not_answer_holds_up_no_visit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = replace(NUMBERS, period=1_000, hold=50)
    here = scene(tmp_path, numbers=numbers)
    put(here.tray, 1)
    read = run._read

    def slow(path: Path, size: int) -> bytes | None:
        time.sleep(0.3)
        return read(path, size)

    monkeypatch.setattr(run, "_read", slow)
    go(here, 2)
    assert all(errands for _, errands, _ in here.made)
    assert here.warned[0].startswith("the tray's folder does not answer: ")


@pytest.mark.parametrize("what", ["nothing", "link", "folder", "pipe", "no folder", "dangling link"])
def test_what_is_no_plain_file_is_no_file(tmp_path: Path, what: str) -> None:
    folder, elsewhere = tmp_path / "tray", tmp_path / "secret"
    elsewhere.write_bytes(b"what somebody would like to have read")
    if what != "no folder":
        folder.mkdir()
    path = folder / DESK_FILE
    if what == "link":
        path.symlink_to(elsewhere)
    elif what == "dangling link":
        path.symlink_to(tmp_path / "nothing")
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    warned: list[str] = []
    shown = Tray(folder, warned.append)
    assert asyncio.run(shown.read(TRAY, patience=1_000)) is None
    assert not warned
    shown.close()


@pytest.mark.parametrize("size", [0, 1, TRAY - 1, TRAY, TRAY + 1, 4 * TRAY])
def test_of_the_desks_file_a_byte_more_than_its_size_is_read_at_most(tmp_path: Path, size: int) -> None:
    (tmp_path / DESK_FILE).write_bytes(bytes(size))
    shown = Tray(tmp_path, print)
    assert asyncio.run(shown.read(TRAY, patience=1_000)) == bytes(min(size, TRAY + 1))
    shown.close()


@pytest.mark.parametrize("wrong", ["longer", "shorter", "rubbish", "empty"])
def test_a_file_that_is_not_the_desks_is_reported_and_changes_nothing(tmp_path: Path, wrong: str) -> None:
    here = scene(tmp_path)
    data = desk_file(1)
    data = {"longer": data + b"!", "shorter": data[:-1], "rubbish": os.urandom(TRAY), "empty": b""}[wrong]
    (here.tray / DESK_FILE).write_bytes(data)
    go(here, 1)
    assert said(here.tray).heard == 0
    assert "a file of the desk does not open" in [report.kind for report in said(here.tray).reports]
    assert all(errands for _, errands, _ in here.made)


def test_a_store_whose_disk_is_full_costs_a_round_and_sends_nothing_that_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = scene(tmp_path)
    commit, calls = Store.commit, 0

    def full(self: Store, changes: dict[tuple[str, bytes], bytes | None]) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:  # the start of the second round
            raise UnavailableError("the disk is full, or does not take what is written: nothing was changed")
        commit(self, changes)

    monkeypatch.setattr(Store, "commit", full)
    go(here, 2)
    assert here.rounds() == [FIRST, FIRST + 2]
    (line,) = here.warned
    assert line.endswith("nothing was changed: this round is lost, and no letter")


def test_a_store_that_must_be_opened_again_stops_the_porter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = scene(tmp_path)

    def cut_off(self: Store, _: object) -> None:
        self._cut_off = True
        self._check_usable()

    monkeypatch.setattr(Store, "commit", cut_off)
    with pytest.raises(UnavailableError, match="this porter must be opened again"):
        go(here, 1)
    assert not here.made


def test_a_damaged_store_stops_the_porter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = scene(tmp_path)

    def damaged(_: Store, __: object) -> None:
        raise LockedError("a page of this desk's database is damaged")

    monkeypatch.setattr(Store, "commit", damaged)
    with pytest.raises(LockedError, match="a page of this porter's database is damaged"):
        go(here, 1)


def test_a_line_of_a_round_says_who_was_visited_and_who_replied() -> None:
    visited = Passed(1234, (("west", "visit"), ("east", "visit")), 2, 0)
    assert visited.line("14:21") == "round 1234: visited west, east; 2 of 2 replied; next at 14:21"
    mixed = Passed(7, (("west", "visit"), ("east", "key"), ("west", "charter"), ("east", "charter")), 3, 0)
    assert mixed.line("9:00") == (
        "round 7: visited west; asked east for the key of the day; "
        "asked west, east for a charter that follows; 3 of 4 replied; next at 9:00"
    )
    assert Passed(8, (), 0, 0).line("9:01") == "round 8: no visit; next at 9:01"


def test_what_was_committed_at_the_end_is_there_when_the_porter_is_opened_again(tmp_path: Path) -> None:
    here = scene(tmp_path)
    go(here, 2)
    with reopen(tmp_path) as lodge:
        assert lodge.porter.keeping.round == FIRST + 2
        # Two rounds of which no operator replied.
        assert sum(lodge.porter.keeping.reports.values()) == 4
