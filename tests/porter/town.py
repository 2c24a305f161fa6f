"""A post office on loopback: operators' machines behind sockets that record every byte, and porters that are real.

The servers here are a few lines of their own, so that what is recorded is what
was on the wire. The clock is the machine's, moved so that any two towns live
through the same rounds: what one history shows can be held against another.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backchannel import files
from backchannel.keys import Cost
from backchannel.porter import run, store
from backchannel.porter.clock import Clock
from backchannel.porter.run import Passed, Talk
from backchannel.porter.store import Means
from backchannel.post import tray
from backchannel.post.charter import Charter, Numbers, Seat, Share, SignedCharter
from backchannel.post.ciphers import Ciphers
from backchannel.post.keeping import Pairing
from backchannel.post.rounds import Operator
from backchannel.post.tray import DESK_FILE, PORTER_FILE, FromDesk, FromPorter, LineName, LineTerms, PairingKey
from tests.simulation.office import Generator, MemoryShelf, make_keys

NUMBERS = Numbers(
    capacity=16,
    packet=512,
    period=1_000,
    places=2,
    reads=2,
    catch_up=2,
    window=24,
    hold=50,
    day=1_440,
    enrolment=2,
    first=1_000,
    start=1_950_000_000_000,
)
COST = Cost(memory=8, passes=1, lanes=1)
STEP = 256 * 1024
TRAY = 256 * 1024
PASSPHRASE = "by the sea"
NAMES = ("west", "east")
CIPHERS = Ciphers.real()
LEAD = 1_000  # ms before the first round at which a town opens
ROOTS = (b"0" * 32, b"1" * 32)


@dataclass(frozen=True)
class Call:
    """One request, as the wire has it."""

    operator: str
    mailbox: int  # known to the test by the instant
    round: int
    head: bytes
    size: int
    scheduled: int  # ms since the round began
    late: int  # ms after that at which it came in
    replied: int  # bytes

    def without_instant(self) -> Call:
        return replace(self, late=0)


class Sockets:
    """A listening socket for each operator."""

    def __init__(self, address: str = "127.0.0.1", ports: dict[str, int] | None = None) -> None:
        self.address = address
        self.town: Town | None = None
        self.ports = ports or {}
        self._servers: list[asyncio.Server] = []

    async def listen(self) -> None:
        for name in NAMES:

            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name) -> None:
                try:
                    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                        assert self.town is not None
                        await self.town.serve(name, reader, writer)
                finally:
                    writer.close()

            server = await asyncio.start_server(connected, self.address, self.ports.get(name, 0))
            self.ports[name] = server.sockets[0].getsockname()[1]
            self._servers.append(server)

    async def close(self) -> None:
        for server in self._servers:
            server.close()
            await server.wait_closed()


@dataclass
class Home:
    """Whoever has a porter: its store, its tray, and what was heard of it."""

    town: Town
    name: str
    mailbox: int
    key: PairingKey
    folder: Path
    passed: list[Passed] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    @property
    def tray(self) -> Path:
        return self.folder / "tray"

    def means(self) -> Means:
        return Means(os.urandom, CIPHERS, self.folder / "counters")

    def write(self, said: FromDesk) -> None:
        """What the desk writes when it is opened and when it is locked."""
        sealed = tray.seal(said, self.key, TRAY, random=os.urandom, cipher=CIPHERS.replies)
        files.replace(self.tray / DESK_FILE, sealed)

    def said(self) -> FromPorter:
        return tray.open_from_porter((self.tray / PORTER_FILE).read_bytes(), self.key, cipher=CIPHERS.replies)

    async def carry(self, rounds: int | None = None, *, proxy: str = "") -> None:
        talk = Talk(self.passed.append, self.warned.append)
        await run.carry(
            self.folder / "porter",
            PASSPHRASE,
            self.tray,
            means=self.means(),
            clock=self.town.clock,
            talk=talk,
            proxy=proxy,
            rounds=rounds,
        )


class Town:
    """Two operators and their porters, over real HTTP."""

    def __init__(self, sockets: Sockets, folder: Path, *, numbers: Numbers = NUMBERS, host: str = "127.0.0.1") -> None:
        self.calls: list[Call] = []
        self.homes: dict[str, Home] = {}
        self.shift = 0
        self.clock = Clock(self.now, asyncio.sleep)
        self.fate: Callable[[str, str, bytes], bytes | None] = lambda _name, _kind, reply: reply
        self._folder = folder
        keys = [make_keys(name, Generator("town", name)) for name in NAMES]
        seats = tuple(
            Seat(k.name, f"http://{host}:{sockets.ports[k.name]}", k.signer.public, CIPHERS.kem.public(k.sealing))
            for k in keys
        )
        share = (numbers.capacity - 1) // len(NAMES)
        shares = tuple(Share(name, 1 + at * share, share, 1) for at, name in enumerate(NAMES))
        signed = SignedCharter(Charter("town", seats, shares, numbers))
        for key in keys:
            signed = signed.sign(key.signer)
        self.signed = signed
        self.operators = {
            key.name: Operator(MemoryShelf(), (key,), CIPHERS, random=Generator("town", key.name, "machine"))
            for key in keys
        }
        for operator in self.operators.values():
            operator.adopt(signed)
            operator.begin(self.charter.numbers.start - LEAD)
        sockets.town = self

    @property
    def charter(self) -> Charter:
        return self.signed.charter

    def now(self) -> int:
        return time.time_ns() // 1_000_000 - self.shift

    def move_in(self, name: str, issuer: str) -> Home:
        """Give *name* a ticket, a porter on a disk, and a tray."""
        ((mailbox, ticket),) = self.operators[issuer].issue(1)
        self._talk()
        key = PairingKey(hashlib.sha256(name.encode()).digest())
        home = self.homes[name] = Home(self, name, mailbox, key, self._folder / name)
        home.tray.mkdir(parents=True)
        pairing = Pairing(self.signed, mailbox, ticket, key, TRAY)
        store.create(home.folder / "porter", PASSPHRASE, pairing, means=home.means(), cost=COST, step=STEP).close()
        return home

    @contextlib.asynccontextmanager
    async def open(self, *, before: int = LEAD) -> AsyncIterator[None]:
        """Let its clock begin, *before* the first round, and the operators work."""
        self.shift = time.time_ns() // 1_000_000 - (self.charter.numbers.start - before)
        working = asyncio.create_task(self._work())
        try:
            yield
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working

    async def until(self, number: int) -> None:
        """Wait for round *number* to begin."""
        await self.clock.until(self.charter.begins(number))

    # The operators.

    async def serve(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came = self.now()
        head = await reader.readuntil(b"\r\n\r\n")
        size, kind = int(_SIZE.findall(head)[0]), _KIND.findall(head)[0].decode()
        body = await reader.readexactly(size)
        reply = self.fate(name, kind, await self._answer(name, kind, body))
        if reply is not None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply)
            await writer.drain()
        number = self.charter.round_at(came)
        instants = {self.charter.instant(home.mailbox, number): home.mailbox for home in self.homes.values()}
        # Whose it is the network tells by its address; this by the nearest instant before.
        scheduled = max(instant for instant in instants if instant <= came)
        self.calls.append(
            Call(
                name,
                instants[scheduled],
                number,
                head,
                size,
                scheduled - self.charter.begins(number),
                came - scheduled,
                len(reply or b""),
            )
        )

    async def _answer(self, name: str, kind: str, body: bytes) -> bytes:
        operator = self.operators[name]
        if kind != "visit":
            return operator.ask(kind, body, self.now()) or b""
        replying = operator.visit(body, self.now())
        if replying is None:
            return b""
        await self.clock.until(replying.instant)
        return replying.body

    async def _work(self) -> None:
        number = self.charter.numbers.first
        while True:
            await self.until(number)
            if number > self.charter.numbers.first:
                self._settle(number - 1)
            await self.clock.until(self.charter.begins(number + 1) - self.charter.numbers.period // 20)
            for operator in self.operators.values():
                operator.compute(number)
            number += 1

    def _settle(self, number: int) -> None:
        for _ in range(4):
            for name, operator in self.operators.items():
                if settling := operator.settle(number):
                    for peer, request in settling.requests():
                        settling.heard(peer, request, self._ask(name, peer, request))
        self._talk()
        for operator in self.operators.values():
            operator.settled(number, self.now())

    def _talk(self) -> None:
        for name, operator in self.operators.items():
            for peer, request in operator.errands():
                self._ask(name, peer, request)
                operator.told(peer, request)

    def _ask(self, name: str, peer: str, request: Any) -> Any:
        one, other = self.operators[name], self.operators[peer]
        if not one.linked(peer):
            greeting, private = one.greet(peer)
            answer = other.greeted(greeting.encode())
            assert answer is not None
            one.welcomed(greeting, answer, private)
        number, message = one.request(peer, request)
        answer = other.serve(message, self.now())
        assert answer is not None
        return one.reply(peer, number, answer, self.now())


def acquaint(one: Home, other: Home, *, envelopes: tuple[bytes, ...] = (), number: int = 1) -> None:
    """Both desks are opened and locked: *one* writes under turn 0, which *other* reads."""
    _line(one, other, number=number, place=0, sending=0, reading=(-1,), envelopes=envelopes)
    _line(other, one, number=number, place=1, sending=-1, reading=(0,), envelopes=())


def _line(
    home: Home,
    to: Home,
    *,
    number: int,
    place: int,
    sending: int,
    reading: tuple[int, ...],
    envelopes: tuple[bytes, ...],
) -> None:
    name = LineName(hashlib.sha256((home.name + to.name).encode()).digest()[:12])
    roots = tuple((turn, ROOTS[turn]) for turn in (-1, 0))
    terms = LineTerms(name, to.mailbox, place, 1 - place, sending, reading, roots)
    home.write(FromDesk(number, 0, (terms,), tuple((name, envelope) for envelope in envelopes)))


_SIZE = re.compile(rb"\r\nContent-Length: (\d+)\r\n")
_KIND = re.compile(rb"^POST /(\w+) HTTP/1.1\r\n")
