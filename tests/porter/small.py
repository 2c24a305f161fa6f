"""A porter for tests that no operator ever answers: a charter, a pairing, a cheap store, a clock that is told."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from backchannel import files
from backchannel.keys import Cost
from backchannel.porter import store
from backchannel.porter.clock import Clock
from backchannel.porter.run import Passed, Rounds, Talk, Tray
from backchannel.porter.store import Lodge, Means
from backchannel.porter.visits import Span
from backchannel.post import tray
from backchannel.post.charter import Charter, Numbers, Seat, Share, SignedCharter
from backchannel.post.ciphers import Ciphers
from backchannel.post.enrolment import Ticket
from backchannel.post.keeping import Pairing
from backchannel.post.porter import Errand
from backchannel.post.tray import DESK_FILE, PORTER_FILE, FromDesk, FromPorter, PairingKey
from tests.simulation.office import Generator, make_keys

COST = Cost(memory=8, passes=1, lanes=1)
STEP = 256 * 1024
TRAY = 256 * 1024
PASSPHRASE = "by the sea"
CIPHERS = Ciphers.real()
KEY = PairingKey(hashlib.sha256(b"pairing").digest())
NUMBERS = Numbers(capacity=16, packet=512, places=2, catch_up=2, window=24, first=1_000, start=1_950_000_000_000)
PERIOD = NUMBERS.period


@cache
def pairing(port: int = 9, *, numbers: Numbers = NUMBERS) -> Pairing:
    """Of mailbox 3, with two operators that would listen on *port*."""
    keys = [make_keys(name, Generator("small", name)) for name in ("west", "east")]
    seats = tuple(
        Seat(k.name, f"http://127.0.0.1:{port}", k.signer.public, CIPHERS.kem.public(k.sealing)) for k in keys
    )
    signed = SignedCharter(Charter("small", seats, (Share("west", 1, 7, 1),), numbers))
    for key in keys:
        signed = signed.sign(key.signer)
    return Pairing(signed, 3, Ticket(bytes(32)), KEY, TRAY)


def means(root: Path) -> Means:
    return Means(os.urandom, CIPHERS, root / "counters")


def create(root: Path, made: Pairing | None = None) -> Lodge:
    return store.create(root / "porter", PASSPHRASE, made or pairing(), means=means(root), cost=COST, step=STEP)


def reopen(root: Path, passphrase: str = PASSPHRASE) -> Lodge:
    return store.open(root / "porter", passphrase, means=means(root))


def desk_file(number: int) -> bytes:
    said = FromDesk(number, 0, (), ())
    return tray.seal(said, KEY, TRAY, random=os.urandom, cipher=CIPHERS.replies)


def said(folder: Path) -> FromPorter:
    return tray.open_from_porter((folder / PORTER_FILE).read_bytes(), KEY, cipher=CIPHERS.replies)


def put(folder: Path, number: int) -> None:
    files.replace(folder / DESK_FILE, desk_file(number))


@dataclass
class ToldClock:
    """A clock that goes on when somebody waits for it, and jumps when it is told to."""

    time: int
    waiting: list[list[int]] = field(default_factory=list)  # when each who waits is to be woken
    jumps: dict[int, int] = field(default_factory=dict)  # passing the one instant it is the other at once

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.time, self.sleep)

    async def sleep(self, seconds: float) -> None:
        until = self.time + max(1, round(seconds * 1000))
        entry = [until]
        self.waiting.append(entry)
        # Everybody else has a turn first; then whoever is to be woken first moves the clock.
        await asyncio.sleep(0)
        while entry[0] > self.time and entry is not min(self.waiting, key=lambda each: each[0]):  # noqa: ASYNC110
            await asyncio.sleep(0)
        self.waiting.remove(entry)
        self._pass(entry[0])

    def _pass(self, until: int) -> None:
        self.time = max(self.time, until)
        for at, to in sorted(self.jumps.items()):
            if self.time >= at:
                del self.jumps[at]
                self.time = to
                for entry in self.waiting:
                    entry[0] = min(entry[0], to)
                return


@dataclass
class Scene:
    """A porter in its rounds, whose errands nobody does and whose clock is told."""

    root: Path
    clock: ToldClock
    made: list[tuple[int, Sequence[Errand], Span]] = field(default_factory=list)
    written: list[tuple[int, bytes]] = field(default_factory=list)
    passed: list[Passed] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    @property
    def tray(self) -> Path:
        return self.root / "tray"

    async def make(self, errands: Sequence[Errand], span: Span) -> dict[int, bytes]:
        self.made.append((self.clock.time, errands, span))
        while span.begins <= self.clock.time < span.ends:
            await self.clock.clock.pause(span.ends - self.clock.time)
        return {}

    async def go(self, rounds: int) -> None:
        """Open the porter and let it pass so many rounds."""
        hand = ThreadPoolExecutor(1)
        lodge = hand.submit(reopen, self.root).result()
        scene = self

        class Recording(Tray):
            async def write(self, file: bytes, *, patience: int) -> None:
                scene.written.append((scene.clock.time, file))
                await super().write(file, patience=patience)

        talk = Talk(self.passed.append, self.warned.append)
        exchanged = Recording(self.tray, self.warned.append)
        try:
            await Rounds(lodge, exchanged, clock=self.clock.clock, make=self.make, talk=talk, hand=hand).go(rounds)
        finally:
            hand.submit(lodge.close).result()
            hand.shutdown()
            exchanged.close()

    def rounds(self) -> list[int]:
        return [each.round for each in self.passed]


def scene(root: Path, *, begins: int = NUMBERS.start, numbers: Numbers = NUMBERS) -> Scene:
    create(root, pairing(numbers=numbers)).close()
    (root / "tray").mkdir()
    return Scene(root, ToldClock(begins))


def every_half_second(**changes: int) -> Numbers:
    return replace(NUMBERS, **({"period": 500, "hold": 50} | changes))
