"""One operator's service on loopback, before a simulated office of two, at an instant of a test's choosing.

What knocks is a raw socket: a test says every byte that is sent, and sees every
byte that comes back.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from backchannel.office.service import Limits, Service
from backchannel.post.porter import Errand
from backchannel.post.rounds import Operator
from tests.simulation.office import World

T = TypeVar("T")
PATIENCE = 20.0  # seconds until a test gives up; nothing that is right takes so long


def request(kind: str, body: bytes, *, path: str | None = None) -> bytes:
    """A request as a porter sends it."""
    return head(kind if path is None else path, len(body)) + body


def head(kind: str, length: int) -> bytes:
    return f"POST /{kind} HTTP/1.1\r\nHost: west.test\r\nContent-Length: {length}\r\n\r\n".encode()


@dataclass
class Stand:
    """A simulated office in the visiting phase of a round, and one of its operators on the network."""

    service: Service
    world: World
    errands: dict[str, Errand]  # by desk, its visit of this round
    port: int
    now: int
    said: list[str] = field(default_factory=list)

    @property
    def machine(self) -> Operator:
        return self.service.machine

    @property
    def held(self) -> int:
        service = self.service
        return len(service.unfinished) + len(service.refused) + len(service.heard)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, raw: bytes) -> bytes:
        """Send *raw* on a connection of its own, and what comes back until it is closed."""
        reader, writer = await self.connect()
        writer.write(raw)
        try:
            return await self.rest(reader)
        finally:
            writer.close()

    async def rest(self, reader: asyncio.StreamReader) -> bytes:
        """All that comes until the connection is closed."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await reader.read()
        except ConnectionResetError:
            return b""

    async def visit(self, desk: str = "anna") -> bytes:
        return await self.send(request("visit", self.errands[desk].body))

    async def until(self, what: Callable[[], bool]) -> None:
        """Let the service work until *what* is so."""
        async with asyncio.timeout(PATIENCE):
            while not what():  # noqa: ASYNC110 - what the service does sets no event
                await asyncio.sleep(0.005)


@asynccontextmanager
async def standing(limits: Limits | None = None, *, early: int = 0) -> AsyncIterator[Stand]:
    """A stand in a round in which anna and mikhail take part, *early* milliseconds before anna's reply is due."""
    world, errands = an_office()
    stand: Any = None
    said: list[str] = []
    machine = world.houses["west"].machine
    assert machine is not None
    service = Service(machine, lambda: stand.now, say=said.append, limits=limits or Limits(head_time=60, body_time=60))
    server = await service.listen("127.0.0.1", 0)
    due = max(errand.instant for errand in errands.values()) + world.numbers.hold
    stand = Stand(service, world, errands, server.sockets[0].getsockname()[1], due - early, said)
    async with server:
        yield stand
        service.close()
        await asyncio.sleep(0)


def an_office() -> tuple[World, dict[str, Errand]]:
    """An office in the middle of a round, and what each porter would send west in it."""
    world = World()
    carriers = [world.enrol("anna"), world.enrol("mikhail", "east")]
    world.run(8)
    world.round += 1
    world.now = world.charter.begins(world.round)
    for carrier in carriers:
        world.start(carrier)
    world.agree(world.round - 1)
    errands = {}
    for carrier in carriers:
        assert carrier.started is not None
        (errands[carrier.name],) = [
            each for each in carrier.started.errands if each.kind == "visit" and each.operator == "west"
        ]
    return world, errands


def staged(test: Callable[[], Awaitable[T]]) -> T:
    """Run a test that is a coroutine."""

    async def run() -> T:
        return await test()

    return asyncio.run(run())
