"""The porter's rounds: at the start of each its tray, in the middle its visits, at the end what came back.

It runs whether its desk is open, locked or gone, for otherwise its owner's
habits would show in the visits. Two files in a folder are all that it and the
desk exchange; it reads the one and replaces the other once a round, at instants
that no letter moves. Neither a folder that is full, missing or slow nor an
operator that does not answer keeps it from going on with the round that it is
(docs/spec/tray.md §3).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from backchannel import files
from backchannel.errors import UnavailableError, UsageError
from backchannel.porter import store
from backchannel.porter.clock import Clock
from backchannel.porter.store import Lodge, Means
from backchannel.porter.visits import Span, Visits
from backchannel.post.charter import MARGIN, Charter
from backchannel.post.porter import Errand, Started
from backchannel.post.tray import DESK_FILE, PORTER_FILE

# Specification constants (docs/spec/tray.md §3).
WRITTEN: Final = 10  # after the first of so many parts of a round the porter's file is replaced

# Implementation constants.
HEARD: Final = 50  # before the last of so many parts of a round nothing more is waited for

T = TypeVar("T")
Make: TypeAlias = Callable[[Sequence[Errand], Span], Awaitable[dict[int, bytes]]]


@dataclass(frozen=True, slots=True)
class Passed:
    """A round that is over, as its owner is told of it: nothing here is about letters."""

    round: int
    errands: tuple[tuple[str, str], ...]  # operator, kind
    replied: int
    next: int  # ms, the instant of the next visit

    def line(self, when: str) -> str:
        """One line for a person, to whom the next visit is at *when*."""
        said = []
        for kind, words in _KINDS.items():
            names = ", ".join(operator for operator, asked in self.errands if asked == kind)
            said += [words.format(names)] if names else []
        said += [f"{self.replied} of {len(self.errands)} replied"] if said else ["no visit"]
        return f"round {self.round}: {'; '.join(said)}; next at {when}"


@dataclass(frozen=True, slots=True)
class Talk:
    """How a porter talks to whoever sits at its terminal."""

    tell: Callable[[Passed], None]
    warn: Callable[[str], None]


class Tray:
    """The folder that a porter and its desk exchange files in, which somebody else may serve.

    In a thread of its own, so that a folder that does not answer holds up nothing.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._warn = warn
        self._said: dict[str, str] = {}  # what was complained of, until it is better
        self._hand = ThreadPoolExecutor(1, "tray")

    async def read(self, size: int, *, patience: int) -> bytes | None:
        """The desk's file, at most a byte more than *size*; None if none can be had in *patience* ms."""
        return await self._within(patience, "read", lambda: _read(self._folder / DESK_FILE, size))

    async def write(self, file: bytes, *, patience: int) -> None:
        """Replace the porter's file as a whole; if that cannot be, say so."""
        await self._within(patience, "write", lambda: files.replace(self._folder / PORTER_FILE, file))

    def close(self) -> None:
        self._hand.shutdown(wait=False, cancel_futures=True)

    async def _within(self, patience: int, what: str, work: Callable[[], T]) -> T | None:
        try:
            async with asyncio.timeout(patience / 1000):
                done = await asyncio.get_running_loop().run_in_executor(self._hand, work)
        except TimeoutError:
            self._complain(what, "the tray's folder does not answer")
        except (UsageError, UnavailableError) as error:
            self._complain(what, error.message)
        else:
            self._said.pop(what, None)
            return done
        return None

    def _complain(self, what: str, text: str) -> None:
        # Once, and not every round until somebody comes.
        if text not in self._said.values():
            self._warn(f"{text}: the desk hears nothing meanwhile, and nothing is lost")
        self._said[what] = text


class Rounds:
    """One porter, going from round to round."""

    def __init__(
        self, lodge: Lodge, tray: Tray, *, clock: Clock, make: Make, talk: Talk, hand: ThreadPoolExecutor
    ) -> None:
        self._lodge = lodge
        self._tray = tray
        self._clock = clock
        self._make = make
        self._talk = talk
        self._hand = hand
        self._behind = False

    async def go(self, rounds: int | None = None) -> None:
        """Go on for ever, or for so many *rounds*.

        Raises:
            RefusedError: If another copy of the porter was used meanwhile.
            UnavailableError: If the disk failed so that the store has to be opened again.
            LockedError: If the store is damaged.
        """
        while rounds is None or rounds > 0:
            now = self._clock.now()
            charter = self._lodge.porter.charter_at(now)
            number = charter.round_at(now)
            # In the middle of a round it is too late for its start: the tray would tell.
            if now < charter.agreed_by(number) and await self._round(charter, number, now) and rounds:
                rounds -= 1
            if rounds != 0:
                await self._leave(number)

    async def _round(self, charter: Charter, number: int, now: int) -> bool:
        started = await self._start(charter, number, now)
        if started is None:
            return False
        begins, ends, period = charter.begins(number), charter.begins(number + 1), charter.numbers.period
        span = Span(begins, ends - period // HEARD, grace=period // MARGIN)
        writing = asyncio.create_task(self._write(started.file, begins + period // WRITTEN, span))
        try:
            replies = await self._make(started.errands, span)
            await writing
        finally:
            writing.cancel()
        await self._try(lambda: self._lodge.hear(replies, self._clock.now()))
        done = tuple((errand.operator, errand.kind) for errand in started.errands)
        following = charter.instant(self._lodge.porter.keeping.mailbox, number + 1)
        self._talk.tell(Passed(number, done, len(replies), following))
        return True

    async def _start(self, charter: Charter, number: int, now: int) -> Started | None:
        keeping, period = self._lodge.porter.keeping, charter.numbers.period
        behind = number < keeping.round - 1
        if behind and not self._behind:
            self._talk.warn("this machine's clock is behind the last round of visits: there are none until it is not")
        self._behind = behind
        if number < max(charter.numbers.first, keeping.round):
            return None
        file = await self._tray.read(keeping.pairing.size, patience=period // WRITTEN)
        return await self._try(lambda: self._lodge.start(now, file))

    async def _write(self, file: bytes, instant: int, span: Span) -> None:
        # Not when it is ready, which depends on what there was to prepare; and in this round or not at all.
        while span.begins <= (now := self._clock.now()) < instant:
            await self._clock.pause(instant - now)
        if span.begins <= now < span.ends:
            await self._tray.write(file, patience=span.ends - now)

    async def _leave(self, number: int) -> None:
        """Wait until it is another round than *number*, by whatever way the clock gets there."""
        while True:
            now = self._clock.now()
            charter = self._lodge.porter.charter_at(now)
            if charter.round_at(now) != number:
                return
            await self._clock.pause(charter.begins(number + 1) - now)

    async def _try(self, work: Callable[[], T]) -> T | None:
        """Let the machine work in its thread; a full disk costs a round, and no more."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._hand, work)
        except UnavailableError as error:
            if not await asyncio.get_running_loop().run_in_executor(self._hand, lambda: self._lodge.usable):
                raise
            self._talk.warn(f"{error.message}: this round is lost, and no letter")
            return None


async def carry(
    folder: Path,
    passphrase: str,
    tray: Path,
    *,
    means: Means,
    clock: Clock,
    talk: Talk,
    proxy: str = "",
    rounds: int | None = None,
) -> None:
    """Open the porter in *folder* and carry for its desk, for ever or for so many *rounds*.

    Raises:
        UsageError: If there is none, or *proxy* is no address of a proxy.
        LockedError, RefusedError, UnavailableError: As store.open and Rounds.go.
    """
    make = Visits(clock, proxy=proxy).make
    exchanged = Tray(tray, talk.warn)
    hand = ThreadPoolExecutor(1, "porter")
    opening: Future[Lodge] = hand.submit(lambda: store.open(folder, passphrase, means=means))
    try:
        lodge = await asyncio.wrap_future(opening)
        await Rounds(lodge, exchanged, clock=clock, make=make, talk=talk, hand=hand).go(rounds)
    finally:
        # In its own thread, after what that is at: a commit is not cut off.
        hand.submit(_close, opening)
        hand.shutdown()
        exchanged.close()


def run(
    folder: Path,
    passphrase: str,
    tray: Path,
    *,
    means: Means,
    clock: Clock,
    talk: Talk,
    proxy: str = "",
    rounds: int | None = None,
) -> None:
    """As :func:`carry`, until SIGTERM or SIGINT come; raises what that does."""

    async def until_told() -> None:
        task = asyncio.create_task(
            carry(folder, passphrase, tray, means=means, clock=clock, talk=talk, proxy=proxy, rounds=rounds)
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(until_told())


def _close(opening: Future[Lodge]) -> None:
    if opening.exception() is None:
        opening.result().close()


def _read(path: Path, size: int) -> bytes | None:
    """A plain file, at most a byte more than *size*; whatever else is there is no file.

    Whoever serves the folder may put a link there, to have something else of
    this machine's read, or a pipe, to have the porter wait for ever.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(size + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)


_KINDS: Final = {
    "visit": "visited {}",
    "enrol": "asked {} for admission",
    "key": "asked {} for the key of the day",
    "charter": "asked {} for a charter that follows",
}
