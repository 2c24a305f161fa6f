"""Errands on the wire: one fresh connection each, at its instant, and whatever is wrong with the answer is no reply."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest

from backchannel.errors import UsageError
from backchannel.porter.clock import Clock
from backchannel.porter.visits import Span, Visits
from backchannel.post.porter import Errand

SIZE = 5_000
REPLY = bytes(range(250)) * 20
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def now() -> int:
    return time.time_ns() // 1_000_000


CLOCK = Clock(now, asyncio.sleep)


@dataclass
class Server:
    """One that records what came, and answers as it is told to."""

    answer: Answer
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    sent: int = 0
    port: int = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with closing(writer):
            while True:  # as one that keeps connections, for those who would send a second request
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head + await reader.readexactly(4))
                await self.answer(writer)


@contextlib.contextmanager
def closing(writer: asyncio.StreamWriter) -> Iterator[None]:
    try:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            yield
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Server]:
    server = Server(answer)
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


def says(data: bytes, *, end: bool = False) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if end:
            writer.close()

    return answer


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def resets(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def resets_in_the_middle(writer: asyncio.StreamWriter) -> None:
    writer.write(OK % SIZE + REPLY[:1000])
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()


async def says_nothing(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def drips(writer: asyncio.StreamWriter) -> None:
    writer.write(OK % SIZE)
    for byte in REPLY:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def drips_its_head(writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 1000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


WRONG = {
    "one byte long": says(OK % (SIZE + 1) + REPLY + b"!"),
    "one byte long, and no length": says(b"HTTP/1.1 200 OK\r\n\r\n" + REPLY + b"!", end=True),
    "one byte short": says(OK % (SIZE - 1) + REPLY[:-1]),
    "shorter than it says": says(OK % SIZE + REPLY[:-1], end=True),
    "empty": says(OK % 0),
    "no HTTP": says(REPLY, end=True),
    "a head of a megabyte": says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**20 + b"\r\n\r\n", end=True),
    "hangs up": hangs_up,
    "resets": resets,
    "resets in the middle": resets_in_the_middle,
    "says nothing": says_nothing,
    "drips": drips,
    "drips its head": drips_its_head,
    "not 200": says(b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: %d\r\n\r\n" % SIZE + REPLY),
    "206": says(b"HTTP/1.1 206 Part\r\nContent-Length: %d\r\n\r\n" % SIZE + REPLY),
    **{
        f"redirects with {code}": says(
            b"HTTP/1.1 %d Elsewhere\r\nLocation: /visit\r\nContent-Length: %d\r\n\r\n" % (code, SIZE) + REPLY
        )
        for code in (301, 302, 303, 307, 308)
    },
    "asks for a password": says(
        b'HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: %d\r\n\r\n' % SIZE + REPLY
    ),
}


def errand(port: int, *, kind: str = "visit", after: int = 50, host: str = "127.0.0.1") -> Errand:
    return Errand("west", f"http://{host}:{port}", kind, b"body", now() + after, SIZE)


def span(milliseconds: int = 400) -> Span:
    return Span(now() - 10, now() + milliseconds, grace=200)


@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_that_is_wrong_is_no_reply_and_nothing_is_tried_again(wrong: str) -> None:
    async def visit() -> tuple[dict[int, bytes], Server, int]:
        async with serving(WRONG[wrong]) as server, serving(says(OK % SIZE + REPLY)) as fine:
            begun = now()
            replies = await Visits(CLOCK).make([errand(server.port), errand(fine.port)], span())
            return replies, server, now() - begun

    replies, server, took = asyncio.run(visit())
    assert replies == {1: REPLY}  # the other operator's, which is none the worse for it
    assert took < 1_000
    assert server.connections == len(server.requests) == 1


def test_of_an_answer_without_end_no_more_is_taken_than_its_size_and_buffers() -> None:
    sent = 0

    async def floods(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65_536))
            await writer.drain()
            sent += 65_536

    async def visit() -> dict[int, bytes]:
        async with serving(floods) as server:
            return await Visits(CLOCK).make([errand(server.port)], span(3_000))

    begun = now()
    assert asyncio.run(visit()) == {}
    assert now() - begun < 1_000  # it is given up at once, not at the end of the round
    assert sent < 16 * 2**20


def test_nothing_that_an_operator_says_shows_in_the_next_head_or_keeps_a_connection() -> None:
    answer = says(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: who=anna; Max-Age=99999\r\nConnection: keep-alive\r\nETag: x\r\n"
        b"Accept-CH: UA\r\nAlt-Svc: clear\r\nStrict-Transport-Security: max-age=99999\r\nContent-Length: %d\r\n\r\n"
        % SIZE
        + REPLY
    )

    async def visit() -> Server:
        async with serving(answer) as server:
            visits = Visits(CLOCK)
            for _ in range(3):
                assert await visits.make([errand(server.port, after=0)], span()) == {0: REPLY}
            return server

    server = asyncio.run(visit())
    assert server.connections == 3
    assert set(server.requests) == {
        b"POST /visit HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 4\r\n"
        b"Content-Type: application/octet-stream\r\nConnection: close\r\n\r\nbody" % server.port
    }


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def visit() -> dict[int, bytes]:
        async with serving(says(OK % SIZE + REPLY)) as server:
            return await Visits(CLOCK).make([errand(server.port)], span())

    assert asyncio.run(visit()) == {0: REPLY}


def test_errands_leave_at_their_instants_and_not_before() -> None:
    instants: list[int] = []

    async def answer(writer: asyncio.StreamWriter) -> None:
        instants.append(now())
        await says(OK % SIZE + REPLY)(writer)

    async def visit() -> list[int]:
        async with serving(answer) as server:
            errands = [errand(server.port, after=after) for after in (300, 100, 200)]
            assert len(await Visits(CLOCK).make(errands, span())) == 3
            return sorted(each.instant for each in errands)

    scheduled = asyncio.run(visit())
    for instant, wanted in zip(instants, scheduled, strict=True):
        assert 0 <= instant - wanted <= 200  # as much as a visit may be late


def test_an_errand_whose_instant_has_passed_is_not_done() -> None:
    async def visit() -> tuple[dict[int, bytes], int]:
        async with serving(says(OK % SIZE + REPLY)) as server:
            return await Visits(CLOCK).make([errand(server.port, after=-201)], span()), server.connections

    assert asyncio.run(visit()) == ({}, 0)


@pytest.mark.parametrize("jump", [-60_000, 60_000])
def test_a_clock_that_jumps_out_of_the_round_ends_its_errands(jump: int) -> None:
    shift = 0
    clock = Clock(lambda: now() + shift, asyncio.sleep)

    async def visit() -> tuple[dict[int, bytes], int]:
        nonlocal shift
        async with serving(says_nothing) as server:
            waiting = [errand(server.port, after=0), errand(server.port, after=60_000)]
            going = asyncio.create_task(Visits(clock).make(waiting, span(90_000)))
            await asyncio.sleep(0.2)
            shift = jump + 40_000 * (jump > 0)
            return await asyncio.wait_for(going, 2), server.connections

    assert asyncio.run(visit()) == ({}, 1)


class Socks:
    """A SOCKS5 server (RFC 1928) that knows where names lead, which nobody else does."""

    def __init__(self, names: dict[bytes, int], *, user: bytes = b"") -> None:
        self.names = names
        self.user = user
        self.asked: list[tuple[int, bytes]] = []
        self.users: list[bytes] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            if await self._agree(reader, writer):
                await self._connect(reader, writer)

    async def _agree(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        method = 2 if self.user else 0
        assert version == 5
        writer.write(bytes([5, method if method in methods else 0xFF]))
        if not self.user:
            return method in methods
        _, size = await reader.readexactly(2)
        self.users.append(await reader.readexactly(size))
        await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(bytes([1, 0 if self.users[-1] == self.user else 1]))
        return self.users[-1] == self.user

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, command, _, kind = await reader.readexactly(4)
        size = {1: 4, 3: 0, 4: 16}[kind] or (await reader.readexactly(1))[0]
        name = await reader.readexactly(size)
        await reader.readexactly(2)
        self.asked.append((kind, name))
        assert (version, command) == (5, 1)
        if name not in self.names:
            writer.write(bytes([5, 4, 0, 1, *bytes(6)]))  # no such host
            return
        there, onward = await asyncio.open_connection("127.0.0.1", self.names[name])
        writer.write(bytes([5, 0, 0, 1, *bytes(6)]))
        await asyncio.gather(_pump(reader, onward), _pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with closing(writer):
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def proxying(socks: Socks) -> AsyncIterator[int]:
    listening = await asyncio.start_server(socks.connected, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await listening.wait_closed()


@pytest.mark.parametrize("user", [b"", b"anna"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_through_a_proxy_the_request_is_the_same_and_the_proxy_resolves_the_names(scheme: str, user: bytes) -> None:
    async def visit() -> tuple[Socks, Server]:
        async with serving(says(OK % SIZE + REPLY)) as server:
            socks = Socks({b"west.invalid": server.port}, user=user)
            async with proxying(socks) as port:
                login = f"{user.decode()}:x@" if user else ""
                visits = Visits(CLOCK, proxy=f"{scheme}://{login}127.0.0.1:{port}")
                errands = [errand(80, host="west.invalid"), errand(80, host="nowhere.invalid")]
                assert await visits.make(errands, span()) == {0: REPLY}
        return socks, server

    socks, server = asyncio.run(visit())
    assert sorted(socks.asked) == [(3, b"nowhere.invalid"), (3, b"west.invalid")]  # 3: as a name, once each
    assert socks.users == [user] * (2 if user else 0)
    (request,) = server.requests
    assert request == (
        b"POST /visit HTTP/1.1\r\nHost: west.invalid\r\nContent-Length: 4\r\n"
        b"Content-Type: application/octet-stream\r\nConnection: close\r\n\r\nbody"
    )


def test_without_its_proxy_a_porter_goes_nowhere() -> None:
    async def visit() -> tuple[dict[int, bytes], int]:
        async with serving(says(OK % SIZE + REPLY)) as server, serving(hangs_up) as gone:
            visits = Visits(CLOCK, proxy=f"socks5://127.0.0.1:{gone.port}")
            return await visits.make([errand(server.port)], span()), server.connections

    assert asyncio.run(visit()) == ({}, 0)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:3128", "socks4://127.0.0.1:1080", "127.0.0.1:9050", "socks5://x"])
def test_a_proxy_is_a_socks5_proxy_or_refused(proxy: str) -> None:
    with pytest.raises(UsageError, match="a proxy is socks5://HOST:PORT"):
        Visits(CLOCK, proxy=proxy)
