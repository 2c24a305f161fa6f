"""The clock: what an operator does at which part of a round.

While a round lasts, the queries that have come are answered in batches, in a
thread, since a product of matrices is all they are. When it is over, its table
is settled with the others within the agreement phase of the next. The two are
never at work at once, so what they share needs no lock; visits go on beside both
(docs/spec/round.md §1).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final

from backchannel.encoding import Value
from backchannel.errors import UnavailableError
from backchannel.office.peers import Peers
from backchannel.post.rounds import Operator
from backchannel.post.settling import Settling

# Implementation constants.
BATCHES: Final = 20  # in a round
PAUSES: Final = 200  # of a round's length, between two questions about one thing
SLICE: Final = 1_000  # ms that are slept at once: the clock may be set meanwhile


class Clock:
    """The rounds of one operator, turning until it is told to stop."""

    def __init__(
        self,
        machine: Operator,
        peers: Peers,
        now: Callable[[], int],
        *,
        say: Callable[[str], None],
        each: Callable[[], None] = lambda: None,
    ) -> None:
        self._machine = machine
        self._peers = peers
        self._now = now
        self._say = say
        self._each = each  # done once a round

    async def run(self, stop: asyncio.Event) -> None:
        """Turn until *stop* is set."""
        with ThreadPoolExecutor(1, thread_name_prefix="answers") as executor:
            number = self._begin()
            while await self._round(number, stop, executor):
                number = number + 1 if self._current() == number + 1 else self._begin()

    def _begin(self) -> int:
        """Take part from the next whole round; the round that it is now."""
        self._machine.begin(self._now())
        self._each()
        return self._current()

    def _current(self) -> int:
        """The round that it is now; the one before the first, as long as that has not begun."""
        now = self._now()
        charter = self._machine.charter_at(now)
        return max(charter.round_at(now), charter.numbers.first - 1)

    async def _round(self, number: int, stop: asyncio.Event, executor: Executor) -> bool:
        """One round, from its start to its end; whether there is to be another."""
        loop = asyncio.get_running_loop()
        ends = self._ends(number)
        settling = asyncio.create_task(self._settle(number - 1, executor))
        errands: asyncio.Task[None] | None = None
        try:
            while self._now() < ends:
                pause = max(1, self._machine.charter_at(self._now()).numbers.period // BATCHES)
                if await _set_within(stop, min(pause, SLICE, max(1, ends - self._now())) / 1000):
                    return False
                if self._current() < number:  # somebody has put the clock back
                    return True
                if settling.done():
                    if errands is None:
                        settling.result()
                        errands = asyncio.create_task(self._errands(ends))
                    await loop.run_in_executor(executor, self._machine.compute, number)
            await settling
        finally:
            await _ended(settling)
            await _ended(errands)
        return True

    def _ends(self, number: int) -> int:
        charter = self._machine.charter(number)
        if number < charter.numbers.first:
            return charter.numbers.start
        return charter.begins(number + 1)

    async def _settle(self, number: int, executor: Executor) -> None:
        """Come to a table for round *number* with the others, or to none when the time is over."""
        rest = asyncio.get_running_loop().run_in_executor(executor, self._machine.compute, number)
        settling = self._machine.settle(number)
        if settling is None:
            await rest
            return
        until = self._machine.charter(number + 1).agreed_by(number + 1)
        pause = settling.charter.numbers.period / PAUSES / 1000
        while not settling.done and not settling.failed and (left := until - self._now()) > 0:
            asked = settling.requests()
            await asyncio.gather(*(self._ask(settling, peer, request, left / 1000) for peer, request in asked))
            if settling.requests() == asked:
                await asyncio.sleep(pause)
        await rest
        try:
            self._machine.settled(number, self._now())
        except UnavailableError as error:
            # Not written: the others have the round's table, this one has none, and says so to porters.
            self._say(error.message)
        self._each()

    async def _ask(self, settling: Settling, peer: str, request: tuple[Value, ...], within: float) -> None:
        answer: Any = await self._peers.ask(peer, request, within=within)
        if answer is not None:
            settling.heard(peer, request, answer)

    async def _errands(self, until: int) -> None:
        """Tell the others what else there is to tell; who does not answer holds up nobody else's."""
        told: dict[str, list[tuple[Value, ...]]] = {}
        for peer, request in self._machine.errands():
            told.setdefault(peer, []).append(request)
        await asyncio.gather(*(self._tell(peer, requests, until) for peer, requests in told.items()))

    async def _tell(self, peer: str, requests: list[tuple[Value, ...]], until: int) -> None:
        for request in requests:
            left = until - self._now()
            # Nothing, or no number: it is to be told again.
            if left > 0 and await self._peers.ask(peer, request, within=left / 1000):
                try:
                    self._machine.told(peer, request)
                except UnavailableError as error:
                    self._say(error.message)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether *event* is set, or becomes so in the next *seconds*."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


async def _ended(task: asyncio.Task[None] | None) -> None:
    """Let *task* be over, whatever became of it; a fault of it was raised where it was awaited."""
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
