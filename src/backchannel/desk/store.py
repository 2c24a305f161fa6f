"""The store: an encrypted, crash-safe map that notices being put back in time.

From (room, name) to bytes; what the bytes mean is written above it. A commit is
all or nothing and durable when it returns, in this order: **database, header,
counter** (docs/spec/desk.md §5). A crash between two of them is told from an old
copy, because the three name the same commit or neighbours. An old copy of the
whole folder reads and does not write, until it is adopted.

Randomness is an argument. One process at a time has a desk open.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

from backchannel import files
from backchannel.desk.catalogue import OLDER, Name, State, Step, TagKey
from backchannel.desk.counter import Counter
from backchannel.desk.header import HEADER_SIZE, DeskKey, Header, Lock, Mark
from backchannel.desk.pages import Pages
from backchannel.desk.tables import Tables, pages_for
from backchannel.errors import LockedError, RefusedError, UnavailableError, UsageError
from backchannel.keys import Cost, Random, equal

# Specification constants (docs/spec/desk.md §2).
HEADER_NAME: Final = "desk.head"
DATABASE_NAME: Final = "desk.db"

# Implementation constants.
DEFAULT_STEP: Final = 64 * 1024 * 1024
# Free pages wanted beyond those a commit's bytes take, for the trees above them:
# with fewer left, the next step is added first (tests/desk/test_store_size.py).
SPARE_PAGES: Final = 8
MAX_BODY: Final = 512 * 1024 * 1024  # bytes; SQLite's own limit is a little less than twice that
BATCH: Final = 200  # objects that one query reads, where many are read

RESTORED: Final = "this desk is an old copy, or was moved: it reads and does not write"
CUT_OFF: Final = "the disk failed in the middle of a commit: this desk must be opened again"

Unlock: TypeAlias = Callable[[Lock], DeskKey]


class Store:
    """A desk's disk, open.

    Attributes:
        restored: This folder is not the newest copy of the desk that this
            machine has seen: it reads, and only :meth:`adopt` writes.
        counter_missing: It is restored because this machine has never seen
            the desk, as when it was moved here.
    """

    __slots__ = (
        "_catalogue",
        "_counter",
        "_cut_off",
        "_folder",
        "_hold",
        "_key",
        "_lock",
        "_pages",
        "_random",
        "_state",
        "_tables",
        "_tag_key",
        "counter_missing",
        "restored",
    )

    def __init__(self, folder: Path, key: DeskKey, lock: Lock, *, random: Random, counters: Path) -> None:
        """Open the database behind an opened header; callers use :meth:`create` or :meth:`open`."""
        self._folder = folder
        self._key = key
        self._lock = lock
        self._random = random
        self._counter = Counter.of(key, counters)
        self._tag_key = TagKey.of(key)
        self._hold: files.Hold | None = None
        self._cut_off = False
        self.restored = False
        self.counter_missing = False
        self._pages = Pages.open(folder / DATABASE_NAME, key, step=lock.step)
        self._tables = Tables(self._pages, self._tag_key)
        try:
            self._state = self._tables.read_state()
            self._catalogue = self._tables.read_catalogue(self._state)
        except BaseException:
            self._pages.close()
            raise

    @classmethod
    def create(
        cls, folder: Path, passphrase: str, *, random: Random, cost: Cost, step: int = DEFAULT_STEP, counters: Path
    ) -> Self:
        """Make a new desk in *folder*, which is absent or empty, and open it.

        It is made beside *folder* and renamed at the end: there is a whole desk
        there or none. *step* is in bytes.

        Raises:
            UsageError: If something is there already, or an argument is out of bounds.
            UnavailableError: If the disk is full, forbids it or fails; nothing stays behind.
        """
        folder = folder.absolute()
        if (folder / HEADER_NAME).exists() or (folder / DATABASE_NAME).exists():
            raise UsageError("there is a desk in this folder already")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError("a desk needs a new or empty folder")
        key = DeskKey.draw(random)
        lock = Lock.make(key, passphrase, cost=cost, step=step, random=random)
        mark = Mark.first(random)
        files.make_folder(folder.parent)
        counter = Counter.of(key, counters)
        staging = files.staging_name(folder)
        files.remove_folder(staging)
        try:
            _lay_out(staging, State.empty(mark), key, lock=lock, random=random)
            counter.stage(mark).publish()
            files.rename_folder(staging, folder)
        except BaseException:
            files.remove_folder(staging)
            files.remove(counter.path)
            raise
        return cls._enter(folder, lambda _: key, random=random, counters=counters)

    @classmethod
    def open(cls, folder: Path, passphrase: str, *, random: Random, counters: Path) -> Self:
        """Open the desk in *folder*.

        Raises:
            UsageError: If there is no desk.
            LockedError: For each reason in docs/spec/desk.md §8: wrong passphrase,
                damage, or parts of different times.
            UnavailableError: If another process has it open, or the disk fails.
        """
        folder = folder.absolute()
        return cls._enter(folder, lambda lock: lock.open(passphrase), random=random, counters=counters)

    @property
    def commit_number(self) -> int:
        """How many commits this desk has had."""
        return self._state.mark.number

    @property
    def step(self) -> int:
        """The step of the database's size, in bytes."""
        return self._lock.step

    def get(self, room: str, name: bytes) -> bytes | None:
        """The bytes called *name* in *room*, as the newest commit left them; None if there are none.

        Raises:
            LockedError: If the page they are on is damaged, or of another time.
        """
        self._check_usable()
        entry = self._catalogue.get(room, name)
        return None if entry is None else self._tables.read_body((room, name), entry)

    def names(self, room: str) -> list[bytes]:
        """What there is in *room*, sorted."""
        self._check_usable()
        return self._catalogue.names(room)

    def items(self, room: str) -> Iterator[tuple[bytes, bytes]]:
        """The names in *room*, sorted, each with its bytes; raises what :meth:`get` raises."""
        names = self.names(room)
        for at in range(0, len(names), BATCH):
            batch = names[at : at + BATCH]
            entries = {name: entry for name in batch if (entry := self._catalogue.get(room, name))}
            found = self._tables.read_bodies(entries.values())
            for name, entry in entries.items():
                if self._catalogue.get(room, name) is entry:
                    self._check_usable()
                    yield name, self._tables.checked((room, name), entry, found.get(entry.row))
                # What was changed between two is read as it is now, what was deleted not at all.
                elif (body := self.get(room, name)) is not None:
                    yield name, body

    def commit(self, changes: Mapping[Name, bytes | None]) -> None:
        """Put the bytes of *changes* under their names, None to delete: all of it, durably, or nothing.

        Raises:
            UsageError: If an object is larger than 512 MiB.
            RefusedError: If this desk is restored, or has become so because
                another copy of it was used meanwhile.
            UnavailableError: If the disk is full or fails. Nothing is changed and
                the store goes on; or, where the disk failed after the commit
                stood, it says that the desk must be opened again.
            LockedError: If a page that had to be read is damaged.
        """
        self._check_usable()
        self._commit(changes, self._lock)

    def adopt(self, changes: Mapping[Name, bytes | None]) -> None:
        """Commit *changes* and take over the counter: from now on this copy is the desk.

        Whatever other copy there is becomes a restored one by this.

        Raises:
            UnavailableError: As :meth:`commit`.
            LockedError: As :meth:`commit`.
        """
        self._check_usable()
        self._commit(changes, self._lock, adopting=True)

    def change_passphrase(self, passphrase: str, *, cost: Cost | None = None) -> None:
        """Wrap the desk key anew, at *cost* or at what it cost before.

        It is a commit, so the header before it is told as old. Whoever has a
        copy of that header and the passphrase of then has the desk key still.

        Raises:
            UsageError: If the passphrase is empty or no text.
            RefusedError: If this desk is restored.
            UnavailableError: As :meth:`commit`.
        """
        self._check_usable()
        lock = Lock.make(self._key, passphrase, cost=cost or self._lock.cost, step=self._lock.step, random=self._random)
        self._commit({}, lock)

    def verify(self) -> None:
        """Read everything from the disk and hold it against the catalogue.

        Raises:
            LockedError: If a page is damaged, or of another time.
        """
        self._check_usable()
        self._pages.check()
        if self._tables.read_state() != self._state:
            raise LockedError(OLDER)
        self._tables.read_catalogue(self._state)
        for name, entry in self._catalogue.all():
            self._tables.read_body(name, entry)

    def close(self) -> None:
        """Close the desk, and let others open it. Again is no harm."""
        self._cut_off = True
        self._pages.close()
        if self._hold is not None:
            self._hold.release()
            self._hold = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @classmethod
    def _enter(cls, folder: Path, unlock: Unlock, *, random: Random, counters: Path) -> Self:
        if not folder.is_dir():
            raise UsageError("there is no desk in this folder", hint="backchannel init")
        # 1. Alone in the folder, before anything is read: a header read while
        #    another process commits would look like one put back.
        hold = files.hold(folder)
        try:
            # 2. The header, and through it the key.
            header = _read_header(folder)
            key = unlock(header.lock)
            mark = header.mark(key)
            # 3. The database agrees with itself, or this raises.
            store = cls(folder, key, header.lock, random=random, counters=counters)
            try:
                # 4. Header and database are of one time; 5. so is the counter.
                behind = store._check_header(mark)
                store._check_counter(behind=behind)
            except BaseException:
                store._pages.close()
                raise
        except BaseException:
            hold.release()
            raise
        store._hold = hold
        return store

    def _check_header(self, mark: Mark) -> bool:
        """Whether the header is one commit behind, as after a crash.

        It could also have been put back by one; rolling that forward gives its
        thief nothing, since all it holds besides the mark is what he copied.
        """
        state = self._state
        if mark == state.mark:
            return False
        if mark == Mark(state.mark.number - 1, state.previous):
            return True
        if mark.number < state.mark.number:
            raise LockedError("an old header of this desk was put back")
        if mark.number > state.mark.number:
            raise LockedError("an old database of this desk was put back")
        raise LockedError("this desk's header and database are from two copies of it")

    def _check_counter(self, *, behind: bool) -> None:
        value = self._counter.read()
        before = Mark(self._state.mark.number - 1, self._state.previous) if self.commit_number else self._state.mark
        self.counter_missing = value is None
        if value is None or not (self._is_at(value, self._state.mark) or self._is_at(value, before)):
            # Nothing is written, not even what a crash left to write: this may
            # be a backup that somebody only looks into.
            self.restored = True
            return
        for path in (self._header_path, self._counter.path):
            files.discard_staged(path)
        if behind:
            files.replace(self._header_path, self._seal(self._lock, self._state.mark))
        if not self._is_at(value, self._state.mark):
            self._counter.stage(self._state.mark).publish()

    def _is_at(self, value: bytes, mark: Mark) -> bool:
        return equal(value, self._counter.value(mark))

    def _check_usable(self) -> None:
        if self._cut_off:
            raise UnavailableError(CUT_OFF if self._hold else "this desk is closed")

    def _commit(self, changes: Mapping[Name, bytes | None], lock: Lock, *, adopting: bool = False) -> None:
        if self.restored and not adopting:
            raise RefusedError(RESTORED, hint="backchannel status")
        mark = self._state.mark.next(self._random)
        plan = self._catalogue.plan(dict(changes), mark.number, self._tag_key)
        if any(len(step.body) > MAX_BODY for step in plan):
            raise UsageError("this is more than a desk holds in one piece")
        state = self._state.after(mark, plan)
        files.make_folder(self._counter.path.parent)
        # Two copies of one desk have two folders and one counter: whoever
        # commits second finds that it is no longer his.
        with files.hold(self._counter.path.parent, wait=True):
            if not adopting:
                self._check_still_newest()
            self._commit_in_order(state, plan, lock)
        self.restored = self.counter_missing = False

    def _check_still_newest(self) -> None:
        value = self._counter.read()
        if value is None or not self._is_at(value, self._state.mark):
            self.restored, self.counter_missing = True, value is None
            raise RefusedError(RESTORED, hint="backchannel status")

    def _commit_in_order(self, state: State, plan: list[Step], lock: Lock) -> None:
        # 1. Header and counter are written under other names first, so that a
        #    full disk is found while nothing has been changed.
        with contextlib.ExitStack() as undo:
            header = files.stage(self._header_path, self._seal(lock, state.mark), overwrite=True)
            undo.callback(header.discard)
            counter = self._counter.stage(state.mark)
            undo.callback(counter.discard)
            # 2. The database. From here on nothing else decides. Cut off until
            #    it is known which way: an interrupt may come between any two lines.
            self._cut_off = True
            try:
                self._make_room(plan)
                self._write(state, plan)
            except BaseException:
                self._cut_off = not self._is_where_it_was()
                raise
            undo.pop_all()
        # 3. Header, 4. counter. Should one fail, the next opening does it.
        header.publish()
        counter.publish()
        self._catalogue.carry_out(plan)
        self._state, self._lock = state, lock
        self._cut_off = False

    def _make_room(self, plan: list[Step]) -> None:
        needed = SPARE_PAGES + pages_for(plan)
        while self._pages.free() < needed:
            self._pages.grow()

    def _write(self, state: State, plan: list[Step]) -> None:
        while True:
            try:
                with self._pages.transaction():
                    size = self._pages.count()
                    self._tables.write(state, plan)
                    if self._pages.count() != size:
                        raise _GrownError
            except _GrownError:
                # The estimate was short. A file that grew by pages would show
                # how much was written: undo, add a step, do it again.
                self._pages.grow()
            else:
                return

    def _is_where_it_was(self) -> bool:
        """After a transaction that failed: did it fail before the commit stood?"""
        try:
            self._pages.roll_back()
            return self._tables.read_state() == self._state
        except (LockedError, UnavailableError):
            return False

    def _seal(self, lock: Lock, mark: Mark) -> bytes:
        return Header.seal(lock, mark, self._key, random=self._random).encode()

    @property
    def _header_path(self) -> Path:
        return self._folder / HEADER_NAME


class _GrownError(Exception):
    """A commit made the file longer."""


def _lay_out(folder: Path, state: State, key: DeskKey, *, lock: Lock, random: Random) -> None:
    files.make_folder(folder)
    pages = Pages.create(folder / DATABASE_NAME, key, step=lock.step)
    try:
        with pages.transaction():
            Tables(pages, TagKey.of(key)).write_state(state)
    finally:
        pages.close()
    files.replace(folder / HEADER_NAME, Header.seal(lock, state.mark, key, random=random).encode())


def _read_header(folder: Path) -> Header:
    data = files.read(folder / HEADER_NAME, HEADER_SIZE)
    if data is not None:
        return Header.decode(data)
    if (folder / DATABASE_NAME).exists():
        raise LockedError("this desk's header is missing")
    raise UsageError("there is no desk in this folder", hint="backchannel init")
