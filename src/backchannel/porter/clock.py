"""The clock by which a porter keeps its rounds.

It is the machine's own, which jumps when it is set, and when the machine was
asleep. So nobody waits on it for long without looking at it again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

TICK: Final = 1_000  # ms; for so long at most is a jump not noticed


@dataclass(frozen=True, slots=True)
class Clock:
    """What tells the time, and what waits."""

    now: Callable[[], int]  # ms since 1970, UTC
    sleep: Callable[[float], Awaitable[None]]  # seconds

    async def until(self, instant: int) -> None:
        """Wait until *instant*, or return at once if it has passed."""
        while (left := instant - self.now()) > 0:
            await self.pause(left)

    async def pause(self, left: int) -> None:
        """Wait *left* ms, or as long as nobody may wait without looking at the clock."""
        await self.sleep(min(left, TICK) / 1000)
