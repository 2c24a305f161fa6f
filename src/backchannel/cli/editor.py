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

from backchannel import files
from backchannel.cli.edge import Edge
from backchannel.cli.visible import one_line
from backchannel.errors import BackchannelError, UnavailableError, UsageError

PREFIX: Final = "backchannel-"
KEPT: Final = "kept-by-"  # before it, where the desk could not take what was written: no call removes that
GRACE: Final = 5  # seconds that an editor has to end when it is told to
# Swap files, registers, undo files and backups; -c comes after the user's own settings.
_QUIET_VIM: Final = ("-n", "-i", "NONE", "-c", "set noundofile nobackup nowritebackup noswapfile")
# Where nano and emacs, when they are ended, put what was not saved.
_UNSAVED: Final = ("letter.txt.save", "#letter.txt#")
_ENDING: Final = (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT)


@dataclass(frozen=True, slots=True)
class Edited:
    """What the editor left: the bytes of the file, whether they say anything new, and what went wrong, if anything did."""

    raw: bytes
    written: bool
    trouble: str


class _StoppedError(Exception):
    """A signal came that ends this process."""


@dataclass(slots=True)
class _Ending:
    """Whether a signal came that ends this process; while *waits*, it is raised, and once."""

    came: bool = False
    waits: bool = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
        if self.waits:
            self.waits = False
            raise _StoppedError


@contextlib.contextmanager
def editing(edge: Edge, start: str) -> Iterator[Edited]:
    """Let the user's editor write on *start*, and keep the file until the block is done.

    If the block fails to keep what was written, the file stays, and the error names it.

    Raises:
        UsageError: If there is no editor.
        UnavailableError: If there is no file system in memory, or no letter was left.
    """
    if edge.editor is None:
        raise UsageError("no editor: set EDITOR, or name a file, or write to standard input (-)")
    if edge.memory is None:
        raise UnavailableError("no file system in memory for the editor: name a file, or write to standard input (-)")
    _sweep(edge.memory)
    # Until the desk has the letter, no signal may end this process between two lines.
    with _undisturbed() as ending:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=edge.memory))
        hold = files.hold(folder)
        try:
            path = folder / "letter.txt"
            path.touch(mode=0o600)
            path.write_text(start, encoding="utf-8")
            trouble = _run(edge.editor, path, ending)
            if not path.exists():
                raise UnavailableError("the editor has left no letter in its place")
            if ending.came:
                path = next((unsaved for name in _UNSAVED if (unsaved := folder / name).is_file()), path)
            raw = path.read_bytes()
            # A file that was emptied is how one thinks better of it: no draft is replaced by nothing.
            written = raw != start.encode() and bool(raw.strip())
            try:
                yield Edited(raw, written, trouble)
            except Exception as error:
                if written:
                    kept = folder.rename(folder.with_name(KEPT + folder.name)) / path.name
                    error.add_note(f"what you wrote is still in {kept}, in memory")
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            hold.release()


@contextlib.contextmanager
def _undisturbed() -> Iterator[_Ending]:
    """Have the terminal's interrupt do nothing here, and signals that end this process end the editor."""
    ending = _Ending()
    # A handler, even of nothing, is not inherited: what is ignored would be, and
    # the interrupt is the editor's.
    before = {signal.SIGINT: signal.signal(signal.SIGINT, _nothing)}
    try:
        for number in _ENDING:
            before[number] = signal.signal(number, ending)
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass


def _run(editor: str, path: Path, ending: _Ending) -> str:
    """Run *editor* on *path*; what went wrong, or nothing."""
    try:
        words = shlex.split(editor)
    except ValueError:  # a quotation that does not end
        words = []
    if not words or shutil.which(words[0]) is None:
        raise UnavailableError(f"there is no editor {one_line(editor)}")
    process = subprocess.Popen([*words, *_quiet(words[0]), str(path)])
    try:
        ending.waits = True
        if ending.came:
            raise _StoppedError
        code = process.wait()
        ending.waits = False
    except _StoppedError:
        # Another signal does not hurry it: a shell passes on the one that its terminal sent us already.
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return "the editor was stopped"
    return f"the editor failed with {code}" if code else ""


def _quiet(command: str) -> tuple[str, ...]:
    """What keeps this editor from writing beside its file."""
    called = Path(shutil.which(command) or command)
    name = called.resolve().name
    # Debian's gvim is a link to vim.gtk3, which goes by the name that it is called by.
    if called.name.startswith("gvim") or name.startswith("gvim"):
        return ("-f", *_QUIET_VIM)
    return _QUIET_VIM if name.startswith(("vim", "nvim")) else ()


def _sweep(memory: Path) -> None:
    """Remove what a killed call has left; a folder that is held is somebody's at work."""
    for folder in memory.glob(f"{PREFIX}*"):
        with contextlib.suppress(BackchannelError, OSError), files.hold(folder):
            shutil.rmtree(folder)
