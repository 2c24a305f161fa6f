"""The database file: SQLCipher as the store wants it, and its size in steps.

Everything particular to SQLCipher is here: the settings, what its errors mean to
a person, and the filler that keeps the file at a multiple of the step, so that
its size says nothing until the step (docs/spec/desk.md §4.1, §7). What the
tables hold is the store's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

from sqlcipher3 import dbapi2 as sqlcipher  # no type information of its own: Any below

from backchannel import files
from backchannel.desk.header import PAGE_SIZE, DeskKey
from backchannel.encoding import framed
from backchannel.errors import LockedError, UnavailableError
from backchannel.keys import derive

# Specification constants (docs/spec/desk.md §4.1).
TABLES: Final = (
    "CREATE TABLE state (one INTEGER PRIMARY KEY, number INTEGER, fresh BLOB, previous BLOB, count INTEGER, fold BLOB, code BLOB)",
    "CREATE TABLE catalogue (row INTEGER PRIMARY KEY, room TEXT, name BLOB, number INTEGER, tag BLOB)",
    "CREATE TABLE body (row INTEGER PRIMARY KEY, bytes BLOB)",
    "CREATE TABLE filler (row INTEGER PRIMARY KEY, zeros BLOB)",
)

# What SQLCipher keeps of each page for its nonce and code, and what SQLite then
# puts of a long value on each page that it overflows to (fileformat2 §1.6).
USABLE_SIZE: Final = PAGE_SIZE - 80
OVERFLOW_SIZE: Final = USABLE_SIZE - 4
# Any value of this size more leaves between 479 and 3,981 bytes in the row
# itself, so that it takes exactly the overflow pages it is meant to take; six
# such rows fit on the one page of the filler's own.
ROW_PART: Final = 600
MAX_FILLING: Final = 200_000  # pages; SQLite's values end at 10⁹ bytes
# SQLite never uses the page in which its locks lie; where the file crosses it,
# one page less is to be filled.
LOCK_PAGE: Final = 0x40000000 // PAGE_SIZE + 1
GROWTH_CACHE: Final = 32 * 1024  # pages: 128 MiB, while a step is added

SETTINGS: Final = (
    "cipher_compatibility = 4",  # a later SQLCipher's defaults do not decide what this file is
    # Off: the bodies and the key pass through Python, which neither locks nor
    # wipes memory; locking SQLCipher's part of it would protect nothing.
    "cipher_memory_security = OFF",
    "temp_store = MEMORY",
    "locking_mode = EXCLUSIVE",
    # The journal is as encrypted as the database, and empty between commits. A
    # write-ahead log would show page numbers and counters in clear for ever.
    "journal_mode = TRUNCATE",
    # FULL: with TRUNCATE, the sync after the truncation is what makes a commit
    # durable. EXTRA would add the sync of a folder from which nothing is deleted.
    "synchronous = FULL",
    "fullfsync = ON",  # where a plain sync stops at the drive's cache (macOS)
    "secure_delete = ON",
    "trusted_schema = OFF",
    "cell_size_check = ON",
    "mmap_size = 0",
)

# A journal that ends so names another journal, which SQLite would open and, in
# the end, delete: any file its owner can delete. We never write such a one.
JOURNAL_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")

DAMAGED: Final = "a page of this desk's database is damaged"


class Pages:
    """An open database; at most one transaction at a time."""

    __slots__ = ("_connection", "_path", "_step")

    def __init__(self, path: Path, step: int, connection: Any) -> None:
        self._path = path
        self._step = step
        self._connection = connection

    @classmethod
    def create(cls, path: Path, key: DeskKey, *, step: int) -> Self:
        """Make a database of one step, empty tables in it.

        Raises:
            UnavailableError: If the disk is full, forbids it or fails.
        """
        # By us first: SQLite would give it to the group too, and gives the
        # journal what it finds here.
        files.replace(path, b"")
        pages = cls(path, step, _connect(path, key))
        with pages.transaction():
            for table in TABLES:
                pages.run(table)
        pages.grow()
        return pages

    @classmethod
    def open(cls, path: Path, key: DeskKey, *, step: int) -> Self:
        """Open the database, roll back what a crash left half done, and lock it.

        Raises:
            LockedError: If it is missing, damaged, cut short or not this desk's.
            UnavailableError: If another process has it, or it cannot be read.
        """
        _check_files(path)
        pages = cls(path, step, _connect(path, key))
        try:
            with _opening():
                # Takes the lock, which locking_mode then keeps, and reads the first page.
                pages._connection.execute("BEGIN EXCLUSIVE").execute("COMMIT")
                size = pages.count() * PAGE_SIZE
            if size != path.stat().st_size or size % step != 0:
                raise LockedError("this desk's database does not have the size it should have")
            # The list of free pages: the only thing in the file that no row
            # answers for (half a millisecond).
            pages._check("quick_check(sqlite_schema)")
        except BaseException:
            pages.close()
            raise
        return pages

    def count(self) -> int:
        """How many pages the file has."""
        return self._number("page_count")

    def free(self) -> int:
        """How many of them hold nothing."""
        return self._number("freelist_count")

    def age(self) -> int:
        """What :meth:`set_age` wrote on the first page."""
        return self._number("user_version")

    def set_age(self, number: int) -> None:
        """Mark the first page, which holds the list of free ones, as of *number* (31 bits)."""
        self.run(f"PRAGMA user_version = {number}")

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read rows.

        Raises:
            LockedError: If a page that was read is damaged.
            UnavailableError: If the disk does not answer.
        """
        with _reading():
            rows: list[tuple[Any, ...]] = self._connection.execute(sql, values).fetchall()
            return rows

    def run(self, sql: str, *values: object) -> None:
        """Carry out one statement of the transaction."""
        with _writing():
            self._connection.execute(sql, values)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: commits at the end, rolls back on any exception.

        Raises:
            LockedError: If a page that it needs is damaged.
            UnavailableError: If the disk is full or fails. Whether the commit
                stands is then for :meth:`query` to say.
        """
        try:
            # Inside: an interrupt may come between this and what follows it.
            self.run("BEGIN IMMEDIATE")
            yield
            self.run("COMMIT")
        except BaseException:
            self.roll_back()
            raise

    def roll_back(self) -> None:
        """End the transaction if there still is one: SQLite ends it itself on most errors."""
        with contextlib.suppress(sqlcipher.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def grow(self) -> None:
        """Add what is missing to a multiple of the step; a whole step if nothing is.

        A value is written that takes all free pages and the new ones, and is
        deleted again; ``secure_delete`` writes the pages once more as zeros,
        each encrypted under a nonce of its own. So a page that was never used
        looks like one that is.
        """
        step, count = self._step // PAGE_SIZE, self.count()
        target = (count // step + 1) * step
        filling = target - count + self.free() - (count < LOCK_PAGE <= target)
        # All of it in the cache, so that each page is written once and not twice
        # (measured: 0.7 s less per 64 MiB).
        self._connection.execute(f"PRAGMA cache_size = {min(filling + 1000, GROWTH_CACHE)}")
        try:
            with self.transaction():
                for row in range(0, filling, MAX_FILLING):
                    size = min(filling - row, MAX_FILLING) * OVERFLOW_SIZE + ROW_PART
                    self.run("INSERT INTO filler VALUES (?, zeroblob(?))", row, size)
                self.run("DELETE FROM filler")
                assert self.count() == target, "the filler is miscounted"
        finally:
            self._connection.execute("PRAGMA cache_size = -8000")

    def check(self) -> None:
        """Read every page that holds anything, and the list of those that do not.

        Raises:
            LockedError: If a page is damaged, or does not fit the others.
        """
        # What is in the cache would be believed without a look at the disk.
        self.query("PRAGMA shrink_memory")
        self._check("integrity_check(1)")

    def close(self) -> None:
        self.roll_back()
        with contextlib.suppress(sqlcipher.Error):
            self._connection.close()

    def _check(self, pragma: str) -> None:
        if self.query(f"PRAGMA {pragma}") != [("ok",)]:
            raise LockedError(DAMAGED)

    def _number(self, pragma: str) -> int:
        ((number,),) = self.query(f"PRAGMA {pragma}")
        return int(number)


def journal_of(path: Path) -> Path:
    """Where SQLite keeps what a commit replaces until the commit stands."""
    return path.with_name(path.name + "-journal")


def _check_files(path: Path) -> None:
    """What must be seen before SQLite looks: it would make a desk of nothing."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise LockedError("this desk's database is missing") from None
    if size < PAGE_SIZE:
        raise LockedError("this desk's database is cut short")
    with contextlib.suppress(FileNotFoundError), journal_of(path).open("rb") as journal:
        journal.seek(0, os.SEEK_END)
        journal.seek(max(0, journal.tell() - len(JOURNAL_MAGIC)))
        if journal.read() == JOURNAL_MAGIC:
            raise LockedError("this desk's journal is not this desk's")


def _connect(path: Path, key: DeskKey) -> Any:
    (derived,) = derive(b"", key, framed(b"backchannel/v1/desk/database"), count=1)
    uri = path.absolute().as_uri() + "?mode=rw"
    with _opening():
        connection = sqlcipher.connect(uri, uri=True, isolation_level=None, timeout=0)
        try:
            # Before the key: its log is about keys and pages, and goes to stderr.
            connection.execute("PRAGMA cipher_log_level = NONE")
            connection.execute(f"PRAGMA key = \"x'{derived.hex()}'\"")
            for setting in SETTINGS:
                connection.execute(f"PRAGMA {setting}")
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def _opening() -> Iterator[None]:
    try:
        yield
    except sqlcipher.DatabaseError as error:
        # The key was right, the header vouches for it.
        if _code(error) == sqlcipher.SQLITE_NOTADB:
            raise LockedError("this desk's database is damaged, or is another desk's") from None
        raise _translated(error) from None


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except sqlcipher.ProgrammingError:
        raise  # a fault of ours
    except sqlcipher.DatabaseError as error:
        # A page put back from another time may name tables that are not there,
        # or hold text that is none: SQLite calls that an error of the statement.
        if _code(error) in (0, sqlcipher.SQLITE_ERROR):
            raise LockedError(DAMAGED) from None
        raise _translated(error) from None


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except sqlcipher.Error as error:
        # A limit on the size of files is an I/O error to SQLite, and the disk
        # being full is one too where a quota or a network says it late.
        if _code(error) in (sqlcipher.SQLITE_FULL, sqlcipher.SQLITE_IOERR):
            raise UnavailableError("the disk is full, or does not take what is written: nothing was changed") from None
        raise _translated(error) from None


def _translated(error: Exception) -> Exception:
    match _code(error):
        case sqlcipher.SQLITE_CORRUPT | sqlcipher.SQLITE_NOTADB:
            return LockedError(DAMAGED)
        case sqlcipher.SQLITE_BUSY | sqlcipher.SQLITE_LOCKED:
            return UnavailableError("this desk is open in another process")
        case sqlcipher.SQLITE_READONLY | sqlcipher.SQLITE_CANTOPEN | sqlcipher.SQLITE_PERM:
            return UnavailableError("this desk's folder cannot be written in")
        case sqlcipher.SQLITE_IOERR | sqlcipher.SQLITE_FULL:
            return UnavailableError("the disk of this desk fails, or is full")
        case sqlcipher.SQLITE_NOMEM:
            return UnavailableError("there is not enough memory")
        case _:
            return error


def _code(error: Exception) -> int:
    """SQLite's primary result code: the low byte of the extended one."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
