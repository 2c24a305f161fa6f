"""Real operators on loopback, with rounds of half a second, and what a test needs to make and visit them."""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from backchannel.keys import Cost
from backchannel.office.edge import Edge
from backchannel.office.folder import Folder, seat_of
from backchannel.office.run import run
from backchannel.post.charter import Charter, Numbers, Share, SignedCharter
from backchannel.post.enrolment import Ticket
from backchannel.post.keeping import Pairing
from backchannel.post.porter import Errand, Porter
from backchannel.post.rounds import NOTES, Operator, notes
from backchannel.post.tray import FromPorter, PairingKey, open_from_porter
from tests.office.stand import request
from tests.simulation.office import MemoryShelf

CHEAP: Final = Cost(memory=64, passes=1, lanes=1)
TRAY: Final = 256 * 1024
NUMBERS: Final = Numbers(
    capacity=16, packet=512, period=500, places=2, reads=2, catch_up=2, window=24, hold=50, day=1_440, enrolment=1
)


def an_edge(folder: Path) -> Edge:
    here = Edge.here()
    return Edge(here.now, here.random, here.ciphers, CHEAP, folder, "here.test")


def a_port() -> int:
    """A port that is free now, and not given out again soon."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@dataclass
class Quarter:
    """Two operators: their folders, keys and charter. Each runs when it is told to."""

    root: Path
    numbers: Numbers = NUMBERS
    names: tuple[str, ...] = ("west", "east")
    lead: int = 400  # ms until the first round
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.edge = an_edge(self.root / self.names[0])
        self.folders = {name: Folder(self.root / name) for name in self.names}
        self.ports = {name: a_port() for name in self.names}
        self.keys = {name: folder.make_keys(name, self.edge.random) for name, folder in self.folders.items()}
        self.file = self.root / "office.charter"
        self.sign(self.draft())

    def draft(self) -> Charter:
        kem = self.edge.ciphers.kem
        seats = tuple(seat_of(self.keys[n], f"http://127.0.0.1:{self.ports[n]}", kem) for n in self.names)
        each = (self.numbers.capacity - 1) // len(seats)
        shares = tuple(Share(name, 1 + at * each, each, 1) for at, name in enumerate(self.names))
        return Charter("quarter", seats, shares, replace(self.numbers, start=self.edge.now() + self.lead))

    def sign(self, charter: Charter, *names: str) -> None:
        self.signed = SignedCharter(charter)
        for name in names or self.names:
            self.signed = self.signed.sign(self.keys[name].signer)
        self.file.write_bytes(self.signed.encode())

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[None]:
        """While it lasts, these operators serve; all of them, if none is named."""
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(
                run(
                    self.folders[name],
                    self.edge,
                    charter=self.file,
                    listen=("127.0.0.1", self.ports[name]),
                    stop=stop,
                    say=self.said.append,
                )
            )
            for name in names or self.names
        ]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    def machine(self, name: str) -> Operator:
        """The machine of an operator in a process of its own, as a command that gives out tickets has it."""
        return Operator(
            self.folders[name].shelf(), self.folders[name].keys(), self.edge.ciphers, random=self.edge.random
        )

    def notes(self, name: str) -> dict[str, int]:
        """What became of the rounds at *name*."""
        counted: dict[str, int] = {}
        with self.folders[name].shelf() as shelf:
            for day in shelf.names(NOTES):
                for what, count in notes(shelf.get(NOTES, day)).items():
                    counted[what] = counted.get(what, 0) + count
        return counted

    @property
    def round(self) -> int:
        """The round that it is now."""
        return self.signed.charter.round_at(self.edge.now())

    async def until(self, what: Callable[[], bool], *, rounds: int = 120) -> None:
        """Wait until *what* is so, through so many rounds at most."""
        async with asyncio.timeout(rounds * self.numbers.period / 1000):
            while not what():  # noqa: ASYNC110 - what operators do sets no event
                await asyncio.sleep(0.02)

    async def until_round(self, number: int, part: float = 0.0) -> None:
        """Sleep until a part of round *number* is over."""
        charter = self.signed.charter
        due = charter.begins(number) + round(part * charter.numbers.period)
        await asyncio.sleep(max(0, due - self.edge.now()) / 1000)


class Visitor:
    """A porter that visits over HTTP, and has nothing to carry."""

    def __init__(self, quarter: Quarter, mailbox: int, ticket: Ticket) -> None:
        self.quarter = quarter
        self.key = PairingKey(hashlib.sha256(b"visitor").digest())
        pairing = Pairing(quarter.signed, mailbox, ticket, self.key, TRAY)
        self.machine = Porter.create(MemoryShelf(), pairing, quarter.edge.ciphers, quarter.edge.random)
        self.said: FromPorter | None = None

    @property
    def answered(self) -> int:
        """How many of its rounds all have answered."""
        return sum(answered for _, _, answered in self.said.attendance) if self.said else 0

    async def round(self, number: int) -> list[bytes | None]:
        """Make the errands of a round; what came back of each."""
        await self.quarter.until_round(number, 0.02)
        started = self.machine.start(self.quarter.edge.now(), None)
        assert started is not None
        self.said = open_from_porter(started.file, self.key, cipher=self.quarter.edge.ciphers.replies)
        replies = await asyncio.gather(*map(self._run, started.errands))
        await self.quarter.until_round(number, 0.9)
        heard = {index: reply for index, reply in enumerate(replies) if reply is not None}
        self.machine.hear(heard, self.quarter.edge.now())
        return replies

    async def _run(self, errand: Errand) -> bytes | None:
        await asyncio.sleep(max(0, errand.instant - self.quarter.edge.now()) / 1000)
        where = urlsplit(errand.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(request(errand.kind, errand.body))
        raw = await reader.read()
        writer.close()
        return raw.partition(b"\r\n\r\n")[2] or None
