"""An operator's shelf: SQLite, and beside it a file for each large or mortal thing.

What an operator's machine commits is all there or not at all, and stands when
the commit returns (post/shelf.py). Two rooms are files: tables, because they are
large, and keys of the day, because SQLite and backups forget nothing. A file is
written under a name that nobody has had, durably, before the transaction that
says that it is there; so the transaction alone decides, and what a crash left
over is swept away when the shelf is next opened.

Several processes may have one shelf open: one serves, others give out tickets.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from backchannel import files
from backchannel.errors import UnavailableError
from backchannel.post.days import DAYS
from backchannel.post.rounds import TABLES

# Implementation constants.
DATABASE: Final = "office.sqlite"
FOLDERS: Final = {TABLES: "tables", DAYS: "keys-of-the-day"}
MORTAL: Final = DAYS  # the room whose files are overwritten before they are removed
TAG: Final = "CACHEDIR.TAG"
PATIENCE: Final = 10_000  # ms that one process waits for another's commit
MAX_FILE: Final = 2**32

SCHEMA: Final = """
create table if not exists shelf (
    room text not null, name blob not null, body blob not null, primary key (room, name)
) without rowid;
create table if not exists files (
    id integer primary key autoincrement, room text not null, name blob not null, unique (room, name)
);
"""

# bford.info/cachedir: what tar --exclude-caches, restic, borg and others leave out.
NOT_FOR_BACKUP: Final = b"""Signature: 8a477f597d28d172789f06886806bc55
# The keys of the day of a post office, each erased when its day is over.
# No backup may hold them: who has one later, and the traffic of its day, reads
# from that day's visits who asked for which rows. After a restore the operator
# makes new ones by itself.
"""


class DiskShelf:
    """From (room, name) to bytes, in a folder."""

    def __init__(self, folder: Path, database: sqlite3.Connection) -> None:
        """Use :meth:`open`."""
        self._folder = folder
        self._database = database
        # The thread that computes reads here, while the one that serves commits.
        self._lock = threading.RLock()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the shelf in *folder*, or make it.

        Raises:
            UnavailableError: If the disk fails, or is full.
        """
        for name in FOLDERS.values():
            files.make_folder(folder / name)
        # Two that make one shelf at once would be in each other's way.
        with files.hold(folder / FOLDERS[TABLES], wait=True):
            tag = folder / FOLDERS[MORTAL] / TAG
            if files.read(tag, len(NOT_FOR_BACKUP)) != NOT_FOR_BACKUP:
                files.replace(tag, NOT_FOR_BACKUP)
            with _told("open the shelf"):
                shelf = cls(folder, _connect(folder / DATABASE))
            try:
                shelf._sweep()
            except BaseException:
                shelf.close()
                raise
        return shelf

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, room: str, name: bytes) -> bytes | None:
        if room in FOLDERS:
            number = self._number(room, name)
            # None if it has been removed since, or a restore has left it out.
            return None if number is None else files.read(self._path(room, number), MAX_FILE)
        with self._lock, _told("read the shelf"):
            row = self._database.execute("select body from shelf where room = ? and name = ?", (room, name)).fetchone()
        return None if row is None else bytes(row[0])

    def names(self, room: str) -> list[bytes]:
        with self._lock, _told("read the shelf"):
            if room not in FOLDERS:
                rows = self._database.execute("select name from shelf where room = ? order by name", (room,))
                return [bytes(name) for (name,) in rows]
            rows = self._database.execute("select name, id from files where room = ? order by name", (room,))
            there = set(os.listdir(self._folder / FOLDERS[room]))  # noqa: PTH208 - names are all that is wanted
            return [bytes(name) for name, number in rows if str(number) in there]

    def commit(self, changes: Mapping[tuple[str, bytes], bytes | None]) -> None:
        written: list[Path] = []
        gone: list[tuple[str, Path]] = []
        with self._lock:
            try:
                with _told("write the shelf"), self._transaction():
                    for (room, name), body in changes.items():
                        if room in FOLDERS:
                            self._put_file(room, name, body, written=written, gone=gone)
                        else:
                            self._put(room, name, body)
            except BaseException:
                for path in written:
                    files.remove(path)
                raise
            # Whatever of this a crash prevents, the next sweep does.
            for room, path in gone:
                _discard(room, path)

    def _put(self, room: str, name: bytes, body: bytes | None) -> None:
        if body is None:
            self._database.execute("delete from shelf where room = ? and name = ?", (room, name))
        else:
            self._database.execute("insert or replace into shelf values (?, ?, ?)", (room, name, bytes(body)))

    def _put_file(
        self, room: str, name: bytes, body: bytes | None, *, written: list[Path], gone: list[tuple[str, Path]]
    ) -> None:
        before = self._number(room, name)
        if before is not None:
            gone.append((room, self._path(room, before)))
            self._database.execute("delete from files where id = ?", (before,))
        if body is not None:
            number = self._database.execute("insert into files (room, name) values (?, ?)", (room, name)).lastrowid
            assert number is not None  # an insert has one
            path = self._path(room, number)
            written.append(path)
            files.replace(path, body)

    def _number(self, room: str, name: bytes) -> int | None:
        with self._lock, _told("read the shelf"):
            row = self._database.execute("select id from files where room = ? and name = ?", (room, name)).fetchone()
        return None if row is None else int(row[0])

    def _path(self, room: str, number: int) -> Path:
        return self._folder / FOLDERS[room] / str(number)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is done in it, or nothing; no other process commits meanwhile."""
        self._database.execute("begin immediate")
        try:
            yield
            self._database.execute("commit")
        except BaseException:
            # SQLite may have rolled back by itself, as it does on a full disk.
            if self._database.in_transaction:
                self._database.execute("rollback")
            raise

    def _sweep(self) -> None:
        """Remove the files that no transaction says are there: a crash left them."""
        # In a transaction: what another process has written and not committed is not left over.
        with self._lock, _told("open the shelf"), self._transaction():
            for room, folder in FOLDERS.items():
                rows = self._database.execute("select id from files where room = ?", (room,))
                known = {str(number) for (number,) in rows} | {TAG}
                for path in (self._folder / folder).iterdir():
                    if path.name not in known:
                        _discard(room, path)


def _connect(path: Path) -> sqlite3.Connection:
    # SQLite would make it with whatever the umask leaves.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, files.FILE_MODE))
    database = sqlite3.connect(path, timeout=PATIENCE / 1000, isolation_level=None, check_same_thread=False)
    try:
        # A reader never waits for a writer, nor a writer for a reader.
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        database.execute("pragma secure_delete = on")
        database.executescript(SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _discard(room: str, path: Path) -> None:
    """Remove a file; a key of the day is first overwritten, for what that is worth on the disk it is on."""
    if room == MORTAL:
        with contextlib.suppress(OSError), path.open("r+b") as file:
            file.write(bytes(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
    files.remove(path)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what SQLite and the system say into one line for a person."""
    try:
        yield
    except sqlite3.Error as error:
        full = "full" in str(error)
        raise UnavailableError(f"cannot {what}: {'the disk is full' if full else str(error)}") from None
    except OSError as error:
        raise UnavailableError(f"cannot {what}: {(error.strerror or 'it failed').lower()}") from None
