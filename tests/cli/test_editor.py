"""The user's editor: what is typed in it is in memory, and is not lost, whatever ends the call.

Most of it runs here, on a stage. What signals do is shown of a process of its
own on a terminal of its own, with a folder that stands in for the one in memory.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backchannel import files
from backchannel.cli.editor import KEPT, PREFIX
from backchannel.desk.desk import Desk
from backchannel.errors import RefusedError, UnavailableError
from tests.cli.stage import Stage

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")

ROOT = Path(__file__).parents[2]
PASSPHRASE = "seven grey herons on the ice"
TEXT = "The weir at Kalm was closed on Sunday."
WRITES = f"printf '{TEXT}\\n' >> \"$1\"\n"
# The first terminal that the leader of a session opens is its /dev/tty.
PROGRAM = f"""
import os, sys
os.close(os.open(os.ttyname(2), os.O_RDWR))
from pathlib import Path
from backchannel.cli import editor
from backchannel.cli.app import main
from tests.cli.stage import Stage
editor.GRACE = float(os.environ["GRACE"])
stage = Stage(Path(os.environ["HOME"]), seed="terminal", passphrase={PASSPHRASE!r}, editor=os.environ["EDITOR"])
sys.exit(main(sys.argv[1:], edge=stage.edge))
"""


@pytest.fixture
def desk(stage: Stage) -> Stage:
    """A stage with a desk, and somebody to write to."""
    stage.passphrase = PASSPHRASE
    assert stage.run("init", "--name", "Anna Reuter").code == 0
    assert stage.run("card", "--for", "Mikhail Orlov", "-o", "a.card").code == 0
    return stage


def memory(stage: Stage) -> Path:
    folder = stage.edge.memory
    assert folder is not None
    return folder


def script(text: str, name: str = "editor.sh") -> str:
    """An editor that does *text*, as EDITOR names it."""
    path = Path.cwd() / name
    path.write_text(text)
    return shlex.join(["sh", str(path)])


def draft(stage: Stage) -> str:
    """The text of draft 1."""
    (stored,) = json.loads(stage.run("list", "--json").out)["drafts"]
    assert stored["draft"] == 1
    return stage.run("read", "--draft", "1", "--text").out


# --- the folder

LOOKS = """
import json, os, stat, sys
from pathlib import Path
letter = Path(sys.argv[-1])
seen = {"file": stat.S_IMODE(letter.stat().st_mode), "folder": stat.S_IMODE(letter.parent.stat().st_mode)}
seen |= {"letter": str(letter), "beside": os.listdir(letter.parent), "start": letter.read_text()}
Path("seen.json").write_text(json.dumps(seen))
"""


def test_the_file_is_alone_in_a_folder_in_memory_for_its_owner_only_and_goes_with_it(desk: Stage) -> None:
    Path("looks.py").write_text(LOOKS)
    desk.editor = shlex.join([sys.executable, "looks.py"])
    before = os.umask(0)
    try:
        assert desk.run("write", "Mikhail").err.endswith("nothing was written\n")
    finally:
        os.umask(before)
    seen = json.loads(Path("seen.json").read_text())
    assert (seen["file"], seen["folder"]) == (0o600, 0o700)
    assert seen["beside"] == ["letter.txt"]
    assert seen["start"].startswith("From: Anna Reuter\nTo: Mikhail Orlov\n")
    letter = Path(seen["letter"])
    assert letter.parent.parent == memory(desk)
    assert list(memory(desk).iterdir()) == []


def test_what_the_editor_leaves_beside_the_file_goes_too(desk: Stage) -> None:
    desk.editor = script(WRITES + 'cp "$1" "$1~"; mkdir "$1.d"; cp "$1" "$1.d/"\n')
    assert desk.run("write", "Mikhail").code == 0
    assert list(memory(desk).iterdir()) == []


def test_a_file_that_was_emptied_replaces_no_draft(desk: Stage) -> None:
    desk.editor = script(WRITES)
    assert desk.run("write", "Mikhail").code == 0
    for emptied in (': > "$1"\n', "printf ' \\n\\n' > \"$1\"\n"):
        desk.editor = script(emptied)
        result = desk.run("write", "--draft", "1")
        assert (result.code, result.err) == (2, "backchannel: error: nothing was written\n")
    assert TEXT in draft(desk)


# --- what a killed call has left


def stale(stage: Stage, name: str) -> Path:
    folder = memory(stage) / (PREFIX + name)
    folder.mkdir(mode=0o700)
    (folder / "letter.txt").write_text("Somebody was at work here.")
    return folder


def test_a_folder_that_a_killed_call_has_left_goes_with_the_next(desk: Stage) -> None:
    left = stale(desk, "left")
    desk.editor = script(WRITES)
    assert desk.run("write", "Mikhail").code == 0
    assert not left.exists()


def test_a_folder_that_somebody_is_at_work_in_does_not(desk: Stage) -> None:
    left = stale(desk, "held")
    desk.editor = script(WRITES)
    with files.hold(left):
        assert desk.run("write", "Mikhail").code == 0
        assert (left / "letter.txt").exists()
    assert desk.run("write", "Mikhail").code == 0
    assert not left.exists()


def test_nothing_is_removed_through_a_link_nor_what_bears_another_name(desk: Stage) -> None:
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (memory(desk) / f"{PREFIX}link").symlink_to(elsewhere.resolve())
    (memory(desk) / f"{PREFIX}file").touch()
    (memory(desk) / "others").mkdir()
    desk.editor = script(WRITES)
    assert desk.run("write", "Mikhail").code == 0
    assert (elsewhere / "kept").exists()
    assert {path.name for path in memory(desk).iterdir()} == {f"{PREFIX}link", f"{PREFIX}file", "others"}


# --- what cannot be kept as it should


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Half a letter.", "the editor failed with 3"),
        ("From: Anna\nHalf a letter.", "line 2: neither a field nor the blank line that ends them"),
    ],
)
def test_what_was_written_before_the_editor_failed_is_a_draft(desk: Stage, text: str, said: str) -> None:
    desk.editor = script(f"printf '{text}\\n' > \"$1\"; exit 3\n")
    result = desk.run("write", "Mikhail")
    assert result.code in (3, 4)
    assert f"error: {said}; what you wrote is kept as draft 1\n" in result.err
    desk.editor = script('cp "$1" opened.txt\n')
    desk.run("write", "--draft", "1")
    assert Path("opened.txt").read_text().endswith("Half a letter.\n")
    assert list(memory(desk).iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnavailableError("cannot write desk.db: the disk is full"), "cannot write desk.db: the disk is full"),
        (RefusedError("this desk is an old copy"), "this desk is an old copy"),
        (OSError(28, "No space left on device"), "no space left on device"),
        (ValueError("a secret"), "a fault of backchannel itself: ValueError"),
    ],
)
def test_what_the_desk_cannot_take_stays_in_memory_and_is_named(
    desk: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def full(*_: object) -> None:
        raise error

    desk.editor = script(WRITES)
    with monkeypatch.context() as patch:
        patch.setattr(Desk, "commit", full)
        result = desk.run("write", "Mikhail")
    (folder,) = memory(desk).iterdir()
    assert result.code != 0
    assert result.err == f"backchannel: error: {said}; what you wrote is still in {folder}/letter.txt, in memory\n"
    assert folder.name.startswith(KEPT)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert TEXT in (folder / "letter.txt").read_text()
    # It stays until its owner has it elsewhere: the next call may be theirs, to try again.
    assert desk.run("write", "Mikhail").code == 0
    assert desk.run("write", "Mikhail", str(folder / "letter.txt")).code == 0
    assert TEXT in (folder / "letter.txt").read_text()


def test_where_nothing_was_written_nothing_stays(desk: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.editor = "true"
    monkeypatch.setattr(Desk, "commit", None)
    assert desk.run("write", "Mikhail").code == 2
    assert list(memory(desk).iterdir()) == []


# --- which editor, and how it is called


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of editors before all others, each of which notes what it is called with."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def install(folder: Path, name: str, *links: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > '{folder}/called'\n")
    program.chmod(0o755)
    for link in links:
        (folder / link).symlink_to(program)


def called(stage: Stage, programs: Path, editor: str) -> list[str]:
    """What *editor* is called with, but for the file, which comes last."""
    stage.editor = editor
    stage.run("write", "Mikhail")
    *words, file = (programs / "called").read_text().splitlines()
    assert file.startswith(f"{memory(stage)}/{PREFIX}")
    assert file.endswith("/letter.txt")
    return words


QUIET = ["-n", "-i", "NONE", "-c", "set noundofile nobackup nowritebackup noswapfile"]


@pytest.mark.parametrize(
    ("program", "name", "words"),
    [
        ("vim", "vim", QUIET),
        ("vim.basic", "vim", QUIET),
        ("vim.basic", "vi", QUIET),
        ("vim.tiny", "editor", QUIET),
        ("nvim", "nvim", QUIET),
        ("nvim", "vi", QUIET),
        ("gvim", "gvim", ["-f", *QUIET]),
        ("vim.gtk3", "gvim", ["-f", *QUIET]),
        ("vim.gtk3", "vim", QUIET),
        ("nano", "nano", []),
        ("ed", "ed", []),
        ("busybox", "vi", []),
        ("emacsclient", "emacsclient", []),
    ],
)
def test_vim_is_told_to_write_nowhere_else_by_whatever_name_it_goes(
    desk: Stage, programs: Path, program: str, name: str, words: list[str]
) -> None:
    install(programs, program, *{name} - {program})
    assert called(desk, programs, name) == words
    assert called(desk, programs, str(programs / name)) == words
    assert called(desk, programs, f"{name} -R") == ["-R", *words]


def test_an_editor_may_have_arguments_and_stand_in_a_folder_with_a_space(desk: Stage, programs: Path) -> None:
    folder = programs / "my editors"
    folder.mkdir()
    install(programs, "plain")
    (folder / "plain").symlink_to(programs / "plain")
    assert called(desk, programs, f"'{folder}/plain' --wait \"a b\" c\\ d") == ["--wait", "a b", "c d"]


@pytest.mark.parametrize("editor", ["no-such-editor", "/no/such/editor -w", "'vim", '"', " "])
def test_an_editor_that_is_not_there_is_named_and_nothing_is_left(desk: Stage, editor: str) -> None:
    desk.editor = editor
    result = desk.run("write", "Mikhail")
    assert (result.code, result.err) == (3, f"backchannel: error: there is no editor {editor}\n")
    assert list(memory(desk).iterdir()) == []


def test_an_editor_that_is_no_program_is_an_error_and_no_fault(desk: Stage, programs: Path) -> None:
    (programs / "text").write_text("not a program")
    (programs / "text").chmod(0o755)
    desk.editor = "text"
    assert desk.run("write", "Mikhail").code == 3
    assert list(memory(desk).iterdir()) == []


# --- signals


class Writing:
    """A call of write in a process of its own, on a terminal of its own."""

    def __init__(self, editor: str, *, grace: float = 60) -> None:
        self.shown = b""
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "write", "Mikhail"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
                "TERM": "xterm",
                "EDITOR": editor,
                "GRACE": str(grace),
                "NO_COLOR": "1",
            },
        )
        os.close(theirs)
        self.open = True

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + 60
        while text not in self.shown:
            ready, _, _ = select.select([self.ours], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"not shown in time: {text!r} in {self.shown!r}"
            self.shown += os.read(self.ours, 4096)

    def type(self, text: bytes) -> None:
        os.write(self.ours, text)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def hang_up(self) -> None:
        os.close(self.ours)
        self.open = False

    def end(self) -> int:
        """Wait until it ends; its exit code."""
        if not self.open:
            return self.process.wait(60)
        deadline = time.monotonic() + 60
        while True:
            ready, _, _ = select.select([self.ours], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"it does not end: {self.shown!r}"
            try:
                chunk = os.read(self.ours, 4096)
            except OSError:  # the other end is closed
                chunk = b""
            if not chunk:
                return self.process.wait(60)
            self.shown += chunk

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.open:
            self.hang_up()


@pytest.fixture
def calls() -> Iterator[list[Writing]]:
    begun: list[Writing] = []
    yield begun
    for call in begun:
        call.close()


@pytest.fixture
def write(desk: Stage, calls: list[Writing]) -> Callable[[str], Writing]:
    """Begin to write with the editor that a script is; it has said that it is ready."""

    def begin(text: str) -> Writing:
        call = Writing(script(WRITES + text), grace=0.5 if text == STUBBORN else 60)
        calls.append(call)
        call.wait_for(b"ready")
        assert len(list(memory(desk).iterdir())) == 1
        return call

    return begin


SLEEPS = "echo ready; exec sleep 60\n"
# One that takes its time to end, and saves what was typed before it does.
LINGERS = """trap 'until test -e signalled; do sleep 0.05; done; printf "More." >> "$1"; exit 0' TERM
echo ready; while :; do sleep 0.05; done
"""
STUBBORN = "trap '' TERM HUP\necho ready; while :; do sleep 0.05; done\n"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT])
def test_what_was_written_before_a_signal_that_ends_the_call_is_a_draft(
    desk: Stage, write: Callable[[str], Writing], number: int
) -> None:
    call = write(SLEEPS)
    call.signal(number)
    assert call.end() == 3
    assert b"the editor was stopped; what you wrote is kept as draft 1" in call.shown
    assert TEXT in draft(desk)
    assert list(memory(desk).iterdir()) == []


def test_what_the_editor_saves_while_it_ends_is_in_it_and_more_signals_do_not_hurry_it(
    desk: Stage, write: Callable[[str], Writing]
) -> None:
    call = write(LINGERS)
    # As a shell does, that was told of the closed terminal by the system, as we were.
    for _ in range(3):
        call.signal(signal.SIGHUP)
        time.sleep(0.1)
    Path("signalled").touch()
    assert call.end() == 3
    assert draft(desk).endswith(f"{TEXT} More.\n")
    assert list(memory(desk).iterdir()) == []


@pytest.mark.parametrize("name", ["letter.txt.save", "#letter.txt#"])
def test_what_nano_or_emacs_put_beside_the_file_when_ended_is_taken(
    desk: Stage, write: Callable[[str], Writing], name: str
) -> None:
    ends = f"""trap 'cp "$1" saved; printf "More." >> saved; mv saved "${{1%/*}}/{name}"; exit 1' TERM HUP\n"""
    call = write(f"{ends}echo ready; while :; do sleep 0.05; done\n")
    call.signal(signal.SIGTERM)
    assert call.end() == 3
    assert draft(desk).endswith(f"{TEXT} More.\n")
    assert list(memory(desk).iterdir()) == []


def test_it_is_not_when_the_editor_was_left_by_its_user(desk: Stage) -> None:
    desk.editor = script(f"""{WRITES}printf 'From: A\\n\\nMore.' > "${{1%/*}}/#letter.txt#"\n""")
    assert desk.run("write", "Mikhail").code == 0
    assert draft(desk).endswith(f"{TEXT}\n")


def test_an_editor_that_does_not_end_is_ended(desk: Stage, write: Callable[[str], Writing]) -> None:
    call = write(STUBBORN)
    call.signal(signal.SIGTERM)
    assert call.end() == 3
    assert TEXT in draft(desk)
    assert list(memory(desk).iterdir()) == []


def test_a_terminal_that_closes_loses_nothing(desk: Stage, write: Callable[[str], Writing]) -> None:
    call = write(SLEEPS)
    call.hang_up()
    call.end()
    assert TEXT in draft(desk)
    assert list(memory(desk).iterdir()) == []


def test_a_signal_before_anything_was_written_leaves_nothing(desk: Stage, calls: list[Writing]) -> None:
    call = Writing(script(SLEEPS))
    calls.append(call)
    call.wait_for(b"ready")
    call.signal(signal.SIGTERM)
    assert call.end() == 1
    assert b"the editor was stopped, and nothing was written" in call.shown
    assert json.loads(desk.run("list", "--json").out)["drafts"] == []
    assert list(memory(desk).iterdir()) == []


def test_the_terminals_interrupt_is_the_editors_alone(desk: Stage, write: Callable[[str], Writing]) -> None:
    call = write('trap \'printf "More." >> "$1"; exit 0\' INT\necho ready; while :; do sleep 0.05; done\n')
    call.type(b"\x03")
    assert call.end() == 0
    assert b"draft 1 to Mikhail Orlov" in call.shown
    assert draft(desk).endswith(f"{TEXT} More.\n")


def test_an_editor_that_the_interrupt_ends_has_failed(desk: Stage, write: Callable[[str], Writing]) -> None:
    call = write(SLEEPS)
    call.type(b"\x03")
    assert call.end() == 3
    assert b"the editor failed with -2; what you wrote is kept as draft 1" in call.shown
    assert TEXT in draft(desk)


def test_what_a_call_that_is_killed_leaves_goes_with_the_next(desk: Stage, write: Callable[[str], Writing]) -> None:
    call = write(SLEEPS)
    call.process.kill()
    call.end()
    (left,) = memory(desk).iterdir()
    assert TEXT in (left / "letter.txt").read_text()
    desk.editor = script(WRITES)
    assert desk.run("write", "Mikhail").code == 0
    assert list(memory(desk).iterdir()) == []
