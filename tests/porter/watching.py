"""What whoever serves a folder sees of it: every opening, reading, writing and renaming, with its instant.

The system says so itself (inotify(7)); equal events that follow one another are
one, as the system too has it when nobody reads in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

KINDS = {
    0x1: "read", 0x2: "written", 0x4: "attributes", 0x8: "closed", 0x10: "closed unwritten", 0x20: "opened",
    0x40: "renamed from", 0x80: "renamed to", 0x100: "made", 0x200: "removed",
}  # fmt: skip


@dataclass
class Folder:
    """A folder that is watched."""

    path: Path
    now: Callable[[], int]
    events: list[tuple[int, str, str, int]] = field(default_factory=list)  # instant, kind, name, size after renaming

    def take(self, descriptor: int) -> None:
        data, instant = os.read(descriptor, 65_536), self.now()
        while data:
            _, mask, _, size = struct.unpack_from("iIII", data)
            name, data = data[16 : 16 + size].rstrip(b"\0").decode(), data[16 + size :]
            kind = KINDS[mask & 0x3FF]
            length = (self.path / name).stat().st_size if kind == "renamed to" else 0
            if not name or (self.events and self.events[-1][1:3] == (kind, name)):
                continue  # the folder itself, which the test's own looking opens
            self.events.append((instant, kind, name, length))


@contextlib.contextmanager
def watched(path: Path, now: Callable[[], int]) -> Iterator[Folder]:
    """Watch *path* while the loop runs."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    assert descriptor >= 0
    assert libc.inotify_add_watch(descriptor, os.fsencode(path), sum(KINDS)) >= 0
    folder, loop = Folder(path, now), asyncio.get_running_loop()
    loop.add_reader(descriptor, folder.take, descriptor)
    try:
        yield folder
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
