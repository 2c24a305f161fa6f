"""The demo as a process: what it shows, how long it takes, how much memory, and that nothing is left of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from backchannel.cli.edge import memory_folder

if not Path("/proc/self/smaps_rollup").exists() or memory_folder() is None:
    pytest.skip("this system has no /proc or no file system in memory", allow_module_level=True)

ROOT = Path(__file__).parents[1]
SEED, RUNS = 5, 3
MEMORY = 300_000_000  # bytes, of all its processes together
WHOLE = 60  # seconds that the whole of it may take
PATIENCE = 150  # seconds after which a test gives up on a machine that is busy
WORDS = "Take it as time.", "There is no design in it"
NO_NUMPY = "import sys; sys.modules['numpy'] = None; from backchannel.cli import main; sys.exit(main(['demo']))"


@dataclass(frozen=True)
class Shown:
    """What a run of the demo showed, and took."""

    out: str
    err: str
    seconds: float
    memory: int  # bytes, at most, of all its processes and of the files that it has in memory


class Running:
    """A demo that runs, in a home of its own."""

    def __init__(
        self, folder: Path, *arguments: str, program: tuple[str, ...] = ("-m", "backchannel.cli", "demo")
    ) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        self.began = time.monotonic()
        self.errors = folder / "err"
        self.output = folder / "out"
        with self.errors.open("wb") as err, self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                start_new_session=True,
                env=kept | {"HOME": str(folder), "TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT / "src")},
            )
        self.family = {self.process.pid}
        self.folders: set[Path] = set()
        self.memory = 0

    def until(self, words: str | None) -> None:
        """Watch it until it has said *words*, or has ended."""
        while self.process.poll() is None and (words is None or words not in self.errors.read_text()):
            assert time.monotonic() - self.began < PATIENCE, self.errors.read_text()
            self.look()
            time.sleep(0.1)
        assert words is None or words in self.errors.read_text(), self.errors.read_text()

    def look(self) -> None:
        found = [pid for pid in self.family if alive(pid)]
        for pid in found:
            self.family |= children(pid)
        mine = {
            folder for folder in stages(self.temporary) if any(folder.name.encode() in command(p) for p in self.family)
        }
        self.folders |= mine
        files = sum(map(taken, mine))
        self.memory = max(self.memory, sum(map(resident, self.family)) + files)

    def left(self) -> list[str]:
        """What there still is of it, once it has had a moment."""
        until = time.monotonic() + 10
        while any(map(alive, self.family)) and time.monotonic() < until:
            time.sleep(0.05)
        processes = [command(pid).decode() for pid in self.family if alive(pid)]
        return [
            *processes,
            *(str(folder) for folder in self.folders if folder.exists()),
            *(path.name for path in self.temporary.iterdir()),
        ]

    def end(self) -> None:
        for pid in [pid for pid in self.family if alive(pid)]:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> set[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return {int(child) for task in tasks for child in (task / "children").read_text().split()}
    except OSError:
        return set()


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""


def resident(pid: int) -> int:
    """What a process has in memory: pages that it shares with others count for each."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def stages(temporary: Path) -> list[Path]:
    places = [temporary, memory_folder() or temporary]
    return [folder for place in places for folder in place.glob("backchannel-demo-*")]


def taken(folder: Path) -> int:
    """The bytes that the files in a folder take; some of them are just being replaced."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(base, name).lstat().st_blocks * 512
    return total


def played(folder: Path, *arguments: str) -> Shown:
    running = Running(folder, *arguments)
    try:
        running.until(None)
        out, err = running.output.read_text(), running.errors.read_text()
        assert running.process.returncode == 0, err
        assert running.folders, "its folder was never seen"
        assert len(running.family) == 3, "two operators, and itself"
        assert running.left() == []
        return Shown(out, err, time.monotonic() - running.began, running.memory)
    finally:
        running.end()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return played(tmp_path_factory.mktemp("demo"), "--seed", str(SEED), "--runs", str(RUNS))


def test_it_says_what_is_cheap_in_it(shown: Shown) -> None:
    first = shown.err.splitlines()[0]
    for words in ("two operators", "16 desks", "rounds last a second", "keys are stretched cheaply", "demo only"):
        assert words in first


def test_two_letters_are_read_on_the_other_desks_beside_what_others_can_know(shown: Shown) -> None:
    letters = re.split("── A letter", shown.out.partition("── All desks")[0])[1:]
    assert len(letters) == 2
    said = shown.out.rpartition("It was ")[2].partition(".")[0].split(" and ")
    for letter, words in zip(sorted(letters, key=lambda text: WORDS[0] not in text), WORDS, strict=True):
        assert words in " ".join(" ".join(line[:43] for line in letter.splitlines()).split())
        assert f"{said[0]} to {said[1]}" in letter or f"{said[1]} to {said[0]}" in letter
        rounds = re.findall(r"16 \S ([\d,]+)\s+16 \S ([\d,]+)", letter)
        assert rounds
        assert all(west == east for west, east in rounds)
        assert len({west for west, _ in rounds}) == 2  # of admission, and of visits


def test_all_desks_are_shown_as_both_operators_saw_them(shown: Shown) -> None:
    picture = shown.out.partition("── All desks")[2].partition("Each tile")[0].splitlines()
    names = [name for line in picture if line.startswith("      ") and line[6:7].isalpha() for name in line.split()]
    assert len(set(names)) == 16
    for label in ("row", "west", "east"):
        tiles = [line[6:] for line in picture if line.startswith(label)]
        assert len(tiles) == 2
        # Eight tiles of drawn bits are not the same in any place.
        assert all(len({line[at : at + 8] for at in range(0, 72, 9)}) == 8 for line in tiles)
    assert re.search(r"west had \d+ visits of each, of [\d,]+ bytes", shown.out)
    assert "Which two wrote?" in shown.out


def test_the_observer_names_the_two_wherever_a_build_leaks_and_no_oftener_than_lots_where_none_does(
    shown: Shown,
) -> None:
    table = re.findall(
        r"^(leaks: .*?|the real one|drawing lots.*?) {2,}(\d+) +([\d.]+) +([\d.]+)", shown.out, re.MULTILINE
    )
    assert [(name.split(":")[0], int(runs)) for name, runs, _, _ in table] == [
        ("leaks", RUNS), ("leaks", RUNS), ("the real one", RUNS), ("drawing lots, on average", RUNS),
    ]  # fmt: skip
    assert [int(row[2]) for row in table[:2]] == [RUNS, RUNS]
    assert int(table[2][2]) <= 1


def test_the_same_seed_lets_the_same_two_write_and_plays_the_same_control(shown: Shown, tmp_path: Path) -> None:
    again = json.loads(played(tmp_path, "--seed", str(SEED), "--runs", str(RUNS), "--json").out)
    assert f"It was {' and '.join(again['pair'])}." in shown.out
    assert {again["letters"][0]["from"], again["letters"][0]["to"]} == set(again["pair"])
    for outcome in again["control"]:
        line = next(line for line in shown.out.splitlines() if line.startswith(outcome["build"]))
        assert line.split()[-3:] == [str(outcome[what]) for what in ("runs", "both", "one")]


def test_it_stays_within_its_memory(shown: Shown) -> None:
    print(f"{shown.memory / 1e6:.0f} MB, {shown.seconds:.0f} s")
    assert shown.memory <= MEMORY


@pytest.mark.long
def test_the_whole_of_it_stays_within_its_time_and_memory(tmp_path: Path) -> None:
    whole = played(tmp_path, "--seed", "1")
    print(f"{whole.memory / 1e6:.0f} MB, {whole.seconds:.0f} s")
    assert whole.seconds <= WHOLE
    assert whole.memory <= MEMORY


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", ["desks are made", "round 1,00"])
def test_nothing_is_left_of_one_that_was_stopped_in_the_middle(tmp_path: Path, number: int, words: str) -> None:
    running = Running(tmp_path)
    try:
        running.until(words)
        running.look()
        for _ in range(3):
            running.process.send_signal(number)
            time.sleep(0.05)
        assert running.process.wait(30) == 130
        running.look()
        assert running.left() == []
        assert "Traceback" not in running.errors.read_text()
        assert "fault" not in running.errors.read_text()
    finally:
        running.end()


def test_no_operator_outlives_one_that_was_killed(tmp_path: Path) -> None:
    running = Running(tmp_path)
    try:
        running.until("round 1,000")
        running.look()
        assert len(running.family) == 3
        running.process.kill()
        running.process.wait()
        assert [what for what in running.left() if not what.startswith(("/dev/shm", "backchannel-demo"))] == []
    finally:
        running.end()


def test_without_numpy_it_says_what_is_missing(tmp_path: Path) -> None:
    running = Running(tmp_path, program=("-c", NO_NUMPY))
    try:
        assert running.process.wait(PATIENCE) == 3
        assert running.errors.read_text().splitlines() == [
            "backchannel: error: the demo runs two operators, and these need NumPy, which is not installed here",
            "backchannel: hint: pip install 'backchannel[operator]'",
        ]
    finally:
        running.end()
