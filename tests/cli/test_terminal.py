from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
ROOT = Path(__file__).parents[2]
# The first terminal that the leader of a session opens is its /dev/tty.
PROGRAM = """
import os, sys
os.close(os.open(os.ttyname(2), os.O_RDWR))
from tests.cli import trial
trial.enlist()
sys.exit(trial.app.main())
"""


class Terminal:
    """A pseudo-terminal, and a call of the command line that runs on it."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.ours, self.theirs = pty.openpty()
        self.shown = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment},
        )

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + 20
        while text not in self.shown:
            ready, _, _ = select.select([self.ours], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"not shown in time: {text!r} in {self.shown!r}"
            self.shown += os.read(self.ours, 4096)

    def type(self, text: bytes) -> None:
        os.write(self.ours, text)

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.theirs)[3] & termios.ECHO)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminals(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Terminal]]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_a_passphrase_is_asked_for_on_the_terminal_and_not_echoed(terminals: list[Terminal]) -> None:
    terminal = Terminal("trial", "new")
    terminals.append(terminal)
    terminal.wait_for(b"ten words: ")
    assert not terminal.echoes
    terminal.type(b"opensesame\n")
    terminal.wait_for(b"again: ")
    terminal.type(b"opensesame\n")
    terminal.wait_for(b"10 characters")
    assert terminal.process.wait(20) == 0
    assert b"sesame" not in terminal.shown
    assert terminal.echoes


def test_an_interruption_at_the_prompt_leaves_the_terminal_as_it_was(terminals: list[Terminal]) -> None:
    terminal = Terminal("trial", "passphrase")
    terminals.append(terminal)
    terminal.wait_for(b"passphrase: ")
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.process.wait(20) == 130
    assert terminal.echoes
    assert b"error" not in terminal.shown


def test_a_terminal_has_colours_unless_its_owner_declines_them(terminals: list[Terminal]) -> None:
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        terminal = Terminal("trial", "locked", **environment)
        terminals.append(terminal)
        terminal.wait_for(b"wrong passphrase")
        assert (b"\x1b[" in terminal.shown) is coloured
