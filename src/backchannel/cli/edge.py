"""The edge: the clock, the generator and the environment of the command line.

Everything behind takes time, randomness and costs as arguments; this module is
where they come from. A test or the demo makes another :class:`Edge` with a
clock of its own, a seeded generator and cheap costs. Nothing a user can set
makes one cheaper or weaker: no option, no variable, no file.
"""

from __future__ import annotations

import os
import sys
import time  # noqa: TID251 - this is the edge
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from backchannel.kem import Kem
    from backchannel.keys import Cost, Random

STEP: Final = 64 * 1024 * 1024  # bytes by which a desk's file grows (docs/spec/desk.md)


@dataclass(frozen=True, slots=True)
class Edge:
    """What a verb has from outside itself."""

    now: Callable[[], int]  # seconds since 1970, UTC
    clock: Callable[[], int]  # milliseconds, for a porter, whose visits have their instants
    local: Callable[[int], datetime]  # such seconds as the user's calendar and clock have them
    random: Random
    kem: Kem
    cost: Cost  # Argon2id of the passphrase
    words_cost: Cost  # Argon2id of the check words
    step: int  # bytes of filler added to a desk at a time
    counters: Path  # folder of the counters that tell a restored desk
    desk: Path  # the desk when none is named
    memory: Path | None  # folder on a memory file system, for the editor's file
    editor: str | None  # command line of the user's editor
    columns: Callable[[], int]  # width of the terminal
    hidden: Callable[[str], str | None]  # asks without echo; None when nobody is there

    @classmethod
    def here(cls) -> Edge:
        """The edge of this machine, this user and this terminal."""
        # Imported here: keys brings the cryptography library, which neither
        # the table of verbs nor a usage error needs.
        from backchannel.kem import XWing  # noqa: PLC0415
        from backchannel.keys import FULL_COST  # noqa: PLC0415

        return cls(
            now=lambda: int(time.time()),
            clock=lambda: time.time_ns() // 1_000_000,
            local=_local,
            random=os.urandom,  # noqa: TID251 - this is the edge
            kem=XWing(),
            cost=FULL_COST,
            words_cost=FULL_COST,
            step=STEP,
            counters=_folder("XDG_STATE_HOME", ".local/state") / "backchannel",
            desk=_default_desk(),
            memory=memory_folder(),
            editor=os.environ.get("VISUAL") or os.environ.get("EDITOR"),
            columns=_columns,
            hidden=_ask_hidden,
        )


def memory_folder(mounts: Path = Path("/proc/mounts"), folder: Path = Path("/dev/shm")) -> Path | None:  # noqa: S108
    """*folder*, if it really is a memory file system that can be written to.

    On a disk the editor's file would be what a desk exists to avoid. A tmpfs may
    be swapped out, which encrypted swap answers (docs/threat-model.md).
    """
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    kinds = [fields[2] for fields in map(str.split, lines) if len(fields) > 2 and fields[1] == str(folder)]
    # The last mount on a folder hides the earlier ones.
    if not kinds or kinds[-1] not in ("tmpfs", "ramfs") or not os.access(folder, os.W_OK | os.X_OK):
        return None
    return folder


def wants_colour(stream: TextIO) -> bool:
    """Whether *stream* is a terminal whose owner has not declined colour (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def wants_traceback() -> bool:
    """Whether the user asked for the traceback of a fault, which may show names."""
    return bool(os.environ.get("BACKCHANNEL_TRACEBACK"))


def _local(seconds: int) -> datetime:
    from datetime import datetime  # noqa: PLC0415

    return datetime.fromtimestamp(seconds).astimezone()


def _default_desk() -> Path:
    if named := os.environ.get("BACKCHANNEL_DESK"):
        return Path(named)
    return _folder("XDG_DATA_HOME", ".local/share") / "backchannel" / "desk"


def _folder(variable: str, default: str) -> Path:
    # The XDG base directory specification has relative paths ignored.
    named = os.environ.get(variable, "")
    return Path(named) if os.path.isabs(named) else Path.home() / default  # noqa: PTH117 - of a string


def _columns() -> int:
    import shutil  # noqa: PLC0415

    return shutil.get_terminal_size().columns


def _ask_hidden(prompt: str) -> str | None:
    import getpass  # noqa: PLC0415

    # getpass falls back to an echoing standard input: ask only where it will not.
    if not _has_terminal():
        return None
    try:
        return getpass.getpass(prompt)
    except EOFError:
        return None


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return sys.stdin is not None and sys.stdin.isatty()
    return True
