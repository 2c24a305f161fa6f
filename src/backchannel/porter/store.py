"""What a porter is kept in: an encrypted store of its own, made as a desk's is.

It holds what the porter must have to go on, and nothing that reads a letter:
packet roots, envelopes as bytes, the keys of its visits (docs/spec/tray.md §4).
An old copy of it does not visit. It would repeat rounds that another has made,
which the operators would see, and its owner never.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from backchannel.desk.store import DATABASE_NAME, DEFAULT_STEP, HEADER_NAME, Store
from backchannel.errors import BackchannelError, RefusedError, UnavailableError, UsageError
from backchannel.keys import Cost, Random
from backchannel.post.ciphers import Ciphers
from backchannel.post.keeping import Pairing
from backchannel.post.porter import KEEPING, Porter, Started

OLD_COPY: Final = "this porter is an old copy, or was moved: it visits no more, and its desk has to join anew"


@dataclass(frozen=True, slots=True)
class Means:
    """What a porter has from this edge."""

    random: Random
    ciphers: Ciphers
    counters: Path  # folder of the counters that tell an old copy


class Lodge:
    """A porter and the store that it is kept in, open.

    Used in the thread that opened it, and in no other: SQLite keeps to that.
    """

    __slots__ = ("_store", "porter")

    def __init__(self, store: Store, porter: Porter) -> None:
        self._store = store
        self.porter = porter

    @property
    def usable(self) -> bool:
        """Whether the store goes on after a disk that failed, or has to be opened again."""
        try:
            self._store.names(KEEPING)
        except UnavailableError:
            return False
        return True

    def start(self, now: int, file: bytes | None) -> Started | None:
        """Start a round, as Porter.start.

        Raises:
            RefusedError: If another copy of this store was used meanwhile.
            UnavailableError: If the disk is full or fails; nothing may be sent then.
            LockedError: If a page of the store is damaged.
        """
        with self._working():
            return self.porter.start(now, file)

    def hear(self, replies: Mapping[int, bytes], now: int) -> None:
        """Take what came back, as Porter.hear; raises what :meth:`start` does."""
        with self._working():
            self.porter.hear(replies, now)

    def change_passphrase(self, passphrase: str, *, cost: Cost) -> None:
        """Have the store opened by another passphrase from now on.

        Raises:
            UsageError: If it is empty.
            UnavailableError: If the disk is full or fails.
        """
        with self._working():
            self._store.change_passphrase(passphrase, cost=cost)

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        try:
            with _of_a_porter():
                yield
        except RefusedError:
            if self._store.restored:
                raise _old_copy() from None
            raise


def create(
    folder: Path, passphrase: str, pairing: Pairing, *, means: Means, cost: Cost, step: int = DEFAULT_STEP
) -> Lodge:
    """Make a porter of *pairing* in *folder*, which is absent or empty.

    Raises:
        UsageError: If something is there already, or the passphrase is empty.
        UnavailableError: If the disk is full, forbids it or fails.
    """
    with _of_a_porter():
        store = Store.create(folder, passphrase, random=means.random, cost=cost, step=step, counters=means.counters)
        try:
            return Lodge(store, Porter.create(store, pairing, means.ciphers, means.random))
        except BaseException:
            store.close()
            raise


def open(folder: Path, passphrase: str, *, means: Means) -> Lodge:  # noqa: A001 - the pair of create
    """Open the porter in *folder*, to visit.

    Raises:
        UsageError: If there is none.
        LockedError: If the passphrase is wrong, or the store damaged.
        UnavailableError: If another process has it open, or the disk fails.
        RefusedError: If it is an old copy.
    """
    if not is_one(folder):
        raise UsageError("there is no porter in this folder")
    with _of_a_porter():
        store = Store.open(folder, passphrase, random=means.random, counters=means.counters)
    try:
        if store.restored:
            raise _old_copy()
        with _of_a_porter():
            return Lodge(store, Porter(store, means.ciphers, means.random))
    except BaseException:
        store.close()
        raise


def is_one(folder: Path) -> bool:
    """Whether there is a porter in *folder*, or what is left of one."""
    return (folder / HEADER_NAME).exists() or (folder / DATABASE_NAME).exists()


def _old_copy() -> RefusedError:
    return RefusedError(OLD_COPY, hint="backchannel join CHARTER --ticket-file FILE")


@contextlib.contextmanager
def _of_a_porter() -> Iterator[None]:
    """What the store says of a desk is true of the porter that it keeps here."""
    try:
        yield
    except BackchannelError as error:
        raise type(error)(error.message.replace("desk", "porter")) from None
