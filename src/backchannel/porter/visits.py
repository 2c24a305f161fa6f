"""Visits: the errands of a round on the wire, each at its instant.

Whoever watches the wire sees connections to the operators at public instants,
each with one request of a public size; so here are the other things that it
must not tell more by (docs/spec/round.md §5):

 * a connection is fresh, and for one errand
 * its head has the same lines in the same order, and none that names this program
 * an errand is done once or not at all: nothing is tried again, nothing is followed
 * of an answer its size is read at most, until the end of the round at the latest;
   whatever is wrong with it, it is no reply
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp_socks import ProxyConnector
from yarl import URL

from backchannel.errors import UsageError
from backchannel.porter.clock import TICK, Clock
from backchannel.post.porter import Errand

# What aiohttp would add of its own.
UNSAID: Final = ("User-Agent", "Accept", "Accept-Encoding")
_PROXY: Final = re.compile(r"socks5h?://([^@/\s]+@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}/?")


@dataclass(frozen=True, slots=True)
class Span:
    """The time of a round that errands have, in ms."""

    begins: int
    ends: int  # what has not come by then is no reply
    grace: int  # how late an errand may leave; later than that it is not done


class Visits:
    """What does errands, directly or through a SOCKS5 proxy, which then resolves the names too."""

    def __init__(self, clock: Clock, *, proxy: str = "") -> None:
        """Raise UsageError if *proxy* is no address of one."""
        if proxy and not _PROXY.fullmatch(proxy):
            raise UsageError("a proxy is socks5://HOST:PORT, such as socks5://127.0.0.1:9050")
        self._clock = clock
        self._proxy = re.sub("^socks5h:", "socks5:", proxy)

    async def make(self, errands: Sequence[Errand], span: Span) -> dict[int, bytes]:
        """Do *errands*; the replies that came, by index, each of the size that it must have."""
        tasks = [asyncio.create_task(self._do(errand, span)) for errand in errands]
        try:
            # Waited for by the clock, not by a timer: that stands still while the machine sleeps.
            while any(not task.done() for task in tasks) and span.begins <= (now := self._clock.now()) < span.ends:
                await asyncio.wait(tasks, timeout=min(TICK, span.ends - now) / 1000)
        finally:
            for task in tasks:
                task.cancel()
            replies = await asyncio.gather(*tasks, return_exceptions=True)
        return {index: reply for index, reply in enumerate(replies) if isinstance(reply, bytes)}

    async def _do(self, errand: Errand, span: Span) -> bytes | None:
        await self._clock.until(errand.instant)
        if self._clock.now() - errand.instant > span.grace:
            return None
        try:
            return await self._post(errand)
        except Exception:  # noqa: BLE001 - a network has more ways to fail than can be listed, and all mean this
            return None

    async def _post(self, errand: Errand) -> bytes | None:
        session = aiohttp.ClientSession(
            connector=self._connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=UNSAID,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            trust_env=False,
        )
        url = URL(f"{errand.url.rstrip('/')}/{errand.kind}", encoded=True)
        async with session, session.post(url, data=io.BytesIO(errand.body), allow_redirects=False) as response:
            if response.status != 200:
                return None
            return await _exactly(response.content, errand.reply_size)

    def _connector(self) -> aiohttp.BaseConnector:
        if self._proxy:
            return ProxyConnector.from_url(self._proxy, rdns=True, force_close=True, use_dns_cache=False)
        return aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver(), force_close=True, use_dns_cache=False)


async def _exactly(content: aiohttp.StreamReader, size: int) -> bytes | None:
    """What *content* is, if it is of *size*; no more than one byte beyond that is read."""
    read = bytearray()
    while len(read) <= size:
        part = await content.read(size + 1 - len(read))
        if not part:
            break
        read += part
    return bytes(read) if len(read) == size else None
