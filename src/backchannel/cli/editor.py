"""The user's editor, on a file that is only ever in memory.

What is typed there exists nowhere else until the desk has it, so it outlives an
editor that fails, a terminal that closes and a signal; and it must not outlive
the call: the folder goes with it, and one that a killed call has left goes with
the next. What an editor writes elsewhere of its own accord is switched off
where we know how (docs/using/command-line.md).
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from backchannel.cli.edge import Edge
from backchannel.cli.visible import one_line
from backchannel.desk import files
from backchannel.errors import BackchannelError, UnavailableError, UsageError

PREFIX: Final = "backchannel-"
# Swap files, registers, undo files and backups; -c comes after the user's own settings.
_QUIET_VIM: Final = ("-n", "-i", "NONE", "-c", "set noundofile nobackup nowritebackup noswapfile")
_ENDING: Final = (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT)


@dataclass(frozen=True, slots=True)
class Edited:
    """What the editor left: the bytes of the file, and what went wrong, if anything did."""

    raw: bytes
    trouble: str


class _StoppedError(Exception):
    """A signal came that ends this process."""


@contextlib.contextmanager
def editing(edge: Edge, start: str) -> Iterator[Edited]:
    """Let the user's editor write on *start*, and keep the file until the block is done.

    If the block cannot keep what was written, the file stays, and the error names it.

    Raises:
        UsageError: If there is no editor.
        UnavailableError: If there is no file system in memory, or no letter was left.
    """
    if edge.editor is None:
        raise UsageError("no editor: set EDITOR, or name a file, or write to standard input (-)")
    if edge.memory is None:
        raise UnavailableError("no file system in memory for the editor: name a file, or write to standard input (-)")
    _sweep(edge.memory)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=edge.memory))
    hold = files.hold(folder)
    keep = False
    try:
        path = folder / "letter.txt"
        path.touch(mode=0o600)
        path.write_text(start, encoding="utf-8")
        trouble = _run(edge.editor, path)
        if not path.exists():
            raise UnavailableError("the editor has left no letter in its place")
        try:
            yield Edited(path.read_bytes(), trouble)
        except UnavailableError as error:
            keep = True
            error.message += f"; what you wrote is still in {path}, in memory"
            raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        hold.release()


def _run(editor: str, path: Path) -> str:
    """Run *editor* on *path*; what went wrong, or nothing."""
    words = shlex.split(editor)
    if not words or shutil.which(words[0]) is None:
        raise UnavailableError(f"there is no editor {one_line(editor)}")
    process = None
    # The terminal's interrupt is the editor's; what ends this process must end
    # it after the file has been read.
    before = {number: signal.signal(number, _stop) for number in _ENDING}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen([*words, *_quiet(words[0]), str(path)])
        code = process.wait()
    except _StoppedError:
        if process is not None:
            process.terminate()
            process.wait()
        return "the editor was stopped"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return f"the editor failed with {code}" if code else ""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _StoppedError


def _quiet(command: str) -> tuple[str, ...]:
    """What keeps this editor from writing beside its file."""
    name = Path(shutil.which(command) or command).resolve().name
    if name.startswith("gvim"):
        return ("-f", *_QUIET_VIM)
    return _QUIET_VIM if name.startswith(("vim", "nvim")) else ()


def _sweep(memory: Path) -> None:
    """Remove what a killed call has left; a folder that is held is somebody's at work."""
    for folder in memory.glob(f"{PREFIX}*"):
        with contextlib.suppress(BackchannelError, OSError):
            files.hold(folder).release()
            shutil.rmtree(folder)
