"""Peers: how an operator asks the others, over HTTP.

One question at a time to each, since the questions of a session are numbered
upwards (post/link.py). No answer in time is no answer: whether to ask again is
for whoever asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Self

from backchannel.encoding import Value
from backchannel.errors import RefusedError, UsageError
from backchannel.post import link
from backchannel.post.rounds import Operator

if TYPE_CHECKING:
    import aiohttp

AT_MOST: Final = 30.0  # seconds that a question may take
GREETING_ROOM: Final = 16 * 1024  # bytes of an answer to a greeting, with some to spare
_UNSAID: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Peers:
    """The other operators, as this one asks them."""

    def __init__(self, machine: Operator, now: Callable[[], int]) -> None:
        self._machine = machine
        self._now = now
        self._turns: dict[str, asyncio.Lock] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Imported here: it takes a quarter of a second, and tickets need none of it.
        import aiohttp  # noqa: PLC0415

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_UNSAID,
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, peer: str, request: Value, *, within: float) -> Any:
        """Ask *peer*; None if there is no answer within so many seconds."""
        try:
            async with asyncio.timeout(min(within, AT_MOST)), self._turns.setdefault(peer, asyncio.Lock()):
                return await self._ask(peer, request)
        except TimeoutError:
            # A late answer would be to a question that is not asked any more.
            self._machine.unlink(peer)
            return None

    async def _ask(self, peer: str, request: Value) -> Any:
        try:
            url, limit = self._where(peer)
            if not self._machine.linked(peer):
                greeting, private = self._machine.greet(peer)
                answer = await self._post(f"{url}/greeting", greeting.encode(), GREETING_ROOM)
                if answer is None:
                    return None
                self._machine.welcomed(greeting, answer, private)
            number, message = self._machine.request(peer, request)
            answer = await self._post(f"{url}/link", message, limit)
            if answer is not None:
                return self._machine.reply(peer, number, answer, self._now())
        except (RefusedError, UsageError):
            pass
        # It was started again, or somebody is between us: a new session, at the next question.
        self._machine.unlink(peer)
        return None

    async def _post(self, url: str, body: bytes, limit: int) -> bytes | None:
        import aiohttp  # noqa: PLC0415

        assert self._session is not None  # entered before it is used
        try:
            async with self._session.post(url, data=body, allow_redirects=False) as response:
                length = response.content_length
                if response.status != 200 or length is None or length > limit:
                    return None
                return await response.content.readexactly(length)
        except (aiohttp.ClientError, asyncio.IncompleteReadError, OSError):
            return None

    def _where(self, peer: str) -> tuple[str, int]:
        """The address of *peer* by the newest charter that has it, and how long its answers may be."""
        for signed in reversed(self._machine.charters):
            for seat in signed.charter.seats:
                if seat.name == peer:
                    return seat.url.rstrip("/"), link.message_limit(signed.charter)
        raise UsageError(f"there is no operator called {peer}")
