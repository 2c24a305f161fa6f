"""Plain files: the one place that writes any.

A file is written beside its target, made durable, and renamed over it, so that
after a crash there is the old one or the new one and never a part of either
(docs/spec/desk.md §5). :func:`stage` does the first half, so that whatever can
fail for want of space fails before the state is committed; ``publish`` does
the second. What the bytes are is not its business.

Every call goes through the module's own name ``os``: the crash tests put a
recorder there (tests/simulation/crash.py).
"""
# ruff: noqa: PTH102, PTH104, PTH108, PTH123 - pathlib would go to an os of its own

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from backchannel.errors import UnavailableError, UsageError

# Implementation constants.
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# A file system without locks, or without a way to sync a folder, says one of these.
_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS})


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that is complete and durable, under a name nobody looks for yet."""

    path: Path
    temporary: Path
    overwrite: bool

    def publish(self) -> None:
        """Give the file its name, durably.

        Raises:
            UsageError: If something else took the name in the meantime; the
                staged file is gone then.
            UnavailableError: If the disk fails.
        """
        if not self.overwrite and os.path.lexists(self.path):
            self.discard()
            raise UsageError(f"{self.path.name} exists already")
        with _writing(self.path):
            os.rename(self.temporary, self.path)
            sync_folder(self.path.parent)

    def discard(self) -> None:
        """Remove the file; nothing of it stays behind."""
        remove(self.temporary)


class Hold:
    """A folder that nobody else can hold until this is released, or gone.

    It also lets go when it is collected: an interrupt may come at any line, and
    a lock that it left behind would have this very process wait for itself.
    """

    __slots__ = ("_descriptors",)

    def __init__(self, descriptor: int) -> None:
        self._descriptors = [descriptor]

    def release(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()


def stage(path: Path, data: bytes, *, overwrite: bool = False) -> Staged:
    """Write *data* durably beside *path*, to be published or discarded later.

    Raises:
        UsageError: If *path* exists and *overwrite* is not set, or its folder does not.
        UnavailableError: If the disk is full, forbids it or fails; nothing stays behind.
    """
    if not overwrite and os.path.lexists(path):
        raise UsageError(f"{path.name} exists already")
    staged = Staged(path, staging_name(path), overwrite)
    try:
        with _writing(path):
            _write(staged.temporary, data)
    except BaseException:
        staged.discard()
        raise
    return staged


def replace(path: Path, data: bytes) -> None:
    """Put *data* in the place of what *path* holds, if anything: all of it, or nothing.

    Raises:
        UsageError: If the folder of *path* does not exist.
        UnavailableError: If the disk is full, forbids it or fails.
    """
    staged = stage(path, data, overwrite=True)
    try:
        staged.publish()
    except BaseException:
        staged.discard()
        raise


def remove(path: Path) -> None:
    """Remove the file *path*, if it is there and can be."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def discard_staged(path: Path) -> None:
    """Remove what a crash may have left staged for *path*."""
    Staged(path, staging_name(path), overwrite=True).discard()


def read(path: Path, limit: int) -> bytes | None:
    """Read *path*, at most one byte more than *limit*; None if there is no such file.

    Raises:
        UnavailableError: If it is there and cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnavailableError(f"cannot read {path.name}: {_reason(error)}") from None


def make_folder(path: Path) -> None:
    """Make *path*, and what is missing above it, for its owner alone.

    Raises:
        UsageError: If something that is not a folder is in the way.
        UnavailableError: If the disk is full, forbids it or fails.
    """
    if path.is_dir():
        return
    with _writing(path):
        make_folder(path.parent)
        # Another process may have made it since: that is as good.
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, FOLDER_MODE)
        sync_folder(path.parent)


def rename_folder(old: Path, new: Path) -> None:
    """Give the folder *old* the name *new*, which is free or an empty folder.

    Raises:
        UnavailableError: If the disk fails, or *new* is neither.
    """
    with _writing(new):
        os.rename(old, new)
        sync_folder(new.parent)


def remove_folder(path: Path) -> None:
    """Remove *path* and what is in it, if it is there."""
    shutil.rmtree(path, ignore_errors=True)


def staging_name(path: Path) -> Path:
    """Where a file or folder waits before it is called *path*.

    Always the same name, so that what a power failure left there is replaced by
    the next attempt and does not pile up.
    """
    return path.with_name(f".{path.name}.part")


def hold(folder: Path, *, wait: bool = False, busy: str = "this desk is open in another process") -> Hold:
    """Hold *folder* against every other holder until released or until this process ends.

    The lock is on the folder itself (flock(2)): it needs no file of its own, is
    gone with the process however that ends, and unlike a POSIX record lock is
    not lost when somebody in this process reads and closes a file.

    Raises:
        UnavailableError: If another holds it and *wait* is not set, which is said as *busy*; or it cannot be opened.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UnavailableError(f"cannot open the folder {folder.name}: {_reason(error)}") from None
    held = Hold(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise UnavailableError(busy) from None
    except OSError as error:
        # Without folder locks, the lock of the database is the one that is left.
        if error.errno not in _UNSUPPORTED:
            raise UnavailableError(f"cannot lock the folder {folder.name}: {_reason(error)}") from None
    return held


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    # What lies there is ours, from before a crash. O_EXCL then makes sure that
    # we write to a file just made, and not through a link that somebody put there.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the system says into one line for a person."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"there is no folder {path.parent.name} to write {path.name} in") from None
    except OSError as error:
        raise UnavailableError(f"cannot write {path.name}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    if error.errno in _FULL:
        return "the disk is full"
    if error.errno in _FORBIDDEN:
        return "not allowed"
    return (error.strerror or "it failed").lower()
