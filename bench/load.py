"""Visits under attack: an operator's process answers honest porters alone, and while strangers do their worst.

Two operators serve an office of 200 desks on loopback, as processes of their
own; one is measured. What strangers do is what they can do without a key:
connections without a word above the cap, heads and bodies that drip in, and
boxes of the right size full of nothing, each of which costs a decapsulation.
All of it is bounded in number and time. A reply is due at its visit's instant
and the hold; what is claimed is that it comes within :data:`TOLERANCE` of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from backchannel.encoding import encode
from backchannel.kem import PrivateKey
from backchannel.office.folder import Folder, seat_of
from backchannel.office.service import SPARE_FILES
from backchannel.post import retrieval
from backchannel.post import visit as visits
from backchannel.post.charter import Charter, Numbers, Share, SignedCharter
from backchannel.post.charters import OperatorKeys
from backchannel.post.ciphers import Ciphers
from backchannel.post.days import DAYS
from backchannel.post.members import MEMBERS
from backchannel.post.rounds import Operator
from backchannel.post.visit import DayKey, ReplyKey, Visit, VisitKey

TOLERANCE: Final = 250  # ms after its instant that a reply may come
DESKS: Final = 200
QUIET: Final = range(2, 5)  # rounds in which nobody else calls
STORMY: Final = range(6, 9)  # and in which everybody does
CAP: Final = 512  # connections that the operator may have
NUMBERS: Final = Numbers(capacity=256, period=5_000, hold=400, window=24, day=1_440, enrolment=1)
LEAD: Final = 6_000  # ms until the first round: to start both, and to make the boxes

# What a stranger sends, at most, a second.
FLOOD: Final = 400  # connections without a word
DRIPS: Final = 150  # heads and as many bodies, at once, a byte every tenth of a second
GARBAGE: Final = 100  # boxes


def run() -> list[tuple[str, str]]:
    """Three quiet rounds and three stormy ones: what became of the visits, and what the operator took."""
    with tempfile.TemporaryDirectory() as folder:
        office = Office(Path(folder))
        boxes = office.boxes([*QUIET, *STORMY])
        with office.serving("east"), office.serving("west") as west:
            quiet = asyncio.run(_visited(office, boxes, QUIET, west.pid))
            with office.attacked(STORMY):
                stormy = asyncio.run(_visited(office, boxes, STORMY, west.pid))
    ratio = statistics.median(stormy.took) / statistics.median(quiet.took)
    return [
        (f"of {quiet.sent} visits to an operator alone, within {TOLERANCE} ms", quiet.line()),
        (f"of {stormy.sent} while strangers make {office.suffered}", stormy.line()),
        ("from a visit's instant to its reply, median, against that alone", f"{ratio:.2f}"),
    ]


@dataclass
class Outcome:
    """What became of the visits of some rounds."""

    sent: int = 0
    took: list[float] = field(default_factory=list)  # ms from the visit's instant to its reply
    memory: int = 0  # KiB, the most that was seen

    def line(self) -> str:
        late = sorted(each - NUMBERS.hold for each in self.took)
        there = sum(each <= TOLERANCE for each in late)
        return (
            f"{there / self.sent:.1%} come ({statistics.median(late):.0f} ms late in the median, "
            f"{late[len(late) * 99 // 100]:.0f} in the last hundredth; {self.memory // 1024} MiB)"
        )


class Office:
    """Two operators in a folder, and the desks that they have admitted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ciphers = Ciphers.real()
        self.suffered = ""  # what strangers did
        self.ports = dict(zip(("west", "east"), _ports(2), strict=True))
        self.folders = {name: Folder(root / name) for name in self.ports}
        keys = {name: folder.make_keys(name, os.urandom) for name, folder in self.folders.items()}
        self.charter = self._drafted(keys)
        signed = SignedCharter(self.charter)
        for each in keys.values():
            signed = signed.sign(each.signer)
        (root / "office.charter").write_bytes(signed.encode())
        self.keys = {mailbox: VisitKey.draw(os.urandom) for mailbox in range(1, DESKS + 1)}
        for name in self.ports:
            self._admit(name, signed)

    def _drafted(self, keys: dict[str, OperatorKeys]) -> Charter:
        numbers = replace(NUMBERS, start=_now() + LEAD)
        seats = tuple(
            seat_of(keys[name], f"http://127.0.0.1:{port}", self.ciphers.kem) for name, port in self.ports.items()
        )
        return Charter("load", seats, (Share("west", 1, NUMBERS.capacity - 1, 0),), numbers)

    def _admit(self, name: str, signed: SignedCharter) -> None:
        """Have every desk admitted at *name*, and its keys of the day made."""
        with self.folders[name].shelf() as shelf:
            machine = Operator(shelf, self.folders[name].keys(), self.ciphers, random=os.urandom)
            machine.adopt(signed)
            machine.begin(_now())
            shelf.commit({(MEMBERS, at.to_bytes(8)): encode((bytes(key), 0)) for at, key in self.keys.items()})
            raw = shelf.get(DAYS, bytes(8))
        if name == "west":
            assert raw is not None
            (seat,) = self.folders[name].keys()
            public = self.ciphers.kem.public(PrivateKey(raw))
            self.day = DayKey.make(0, public, charter=self.charter, operator=name, signer=seat.signer)

    def boxes(self, rounds: list[int]) -> dict[tuple[int, int], bytes]:
        """The visits of all desks to west in *rounds*, each of which collects what the last one asked for."""
        return {(number, mailbox): self._box(number, mailbox) for number in rounds for mailbox in self.keys}

    def _box(self, number: int, mailbox: int) -> bytes:
        charter = self.charter
        shares = tuple(
            retrieval.split(
                mailbox,
                charter.numbers.capacity,
                operators=2,
                explicit=charter.explicit(number, query),
                random=os.urandom,
                stream=self.ciphers.stream,
            )[0]
            for query in range(charter.numbers.reads)
        )
        visit = Visit(
            mailbox,
            number,
            (number - 1, False),
            more=False,
            key=ReplyKey.draw(os.urandom),
            deposit=os.urandom(charter.numbers.packet),
            shares=shares,
        )
        return visits.seal(
            visit,
            self.keys[mailbox],
            self.day.key,
            charter=charter,
            operator="west",
            kem=self.ciphers.kem,
            random=os.urandom,
        )

    @contextlib.contextmanager
    def serving(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "backchannel.office.cli", "--folder", str(self.root / name), "serve"]
        command += [str(self.root / "office.charter"), "--listen", f"127.0.0.1:{self.ports[name]}"]
        # So few files that the flood is above what it may have.
        limited = ["sh", "-c", f'ulimit -n {CAP + SPARE_FILES} && exec "$@"', "sh", *command]
        with _process(limited) as process:
            yield process

    @contextlib.contextmanager
    def attacked(self, rounds: range) -> Iterator[None]:
        """Strangers in a process of their own, until the last of *rounds* is over."""
        until = self.charter.begins(rounds[-1] + 1)
        size = visits.request_size(self.charter, rounds[0], 0, more=False)
        command = [sys.executable, "-m", "bench.load", str(self.ports["west"]), str(size), str(until)]
        with _process(command, stdout=subprocess.PIPE) as process:
            yield
            self.suffered = process.communicate(timeout=30)[0].decode().strip()


@contextlib.contextmanager
def _process(command: list[str], stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


# Honest porters.


async def _visited(office: Office, boxes: dict[tuple[int, int], bytes], rounds: range, process: int) -> Outcome:
    """Make the visits of *rounds*, each at its instant."""
    outcome = Outcome()
    watching = asyncio.create_task(_watch(process, outcome))
    try:
        visiting = [
            _visit(office, boxes[number, mailbox], office.charter.instant(mailbox, number))
            for number in rounds
            for mailbox in office.keys
        ]
        outcome.sent = len(visiting)
        outcome.took = [took for took in await asyncio.gather(*visiting) if took is not None]
    finally:
        watching.cancel()
    return outcome


async def _visit(office: Office, box: bytes, instant: int) -> float | None:
    """Milliseconds from its instant to its reply; None if there is none."""
    await asyncio.sleep((instant - _now()) / 1000)
    reply = visits.reply_size(office.charter, more=False)
    try:
        async with asyncio.timeout(NUMBERS.period / 1000):
            reader, writer = await asyncio.open_connection("127.0.0.1", office.ports["west"])
            with contextlib.closing(writer):
                writer.write(_head("visit", len(box)) + box)
                raw = await reader.read(-1)
    except (OSError, TimeoutError):
        return None
    return _now() - instant if len(raw.partition(b"\r\n\r\n")[2]) == reply else None


async def _watch(process: int, outcome: Outcome) -> None:
    """Look at a process's memory while this is not cancelled."""
    while True:
        found = await asyncio.to_thread(
            subprocess.run, ["ps", "-o", "rss=", "-p", str(process)], check=True, capture_output=True
        )
        outcome.memory = max(outcome.memory, int(found.stdout))
        await asyncio.sleep(0.5)


# Strangers.


class Strangers:
    """Who has no key, and what they have done."""

    def __init__(self, port: int, size: int) -> None:
        self.port = port
        self.head, self.body = _head("visit", size), os.urandom(size)
        self.done: Counter[str] = Counter()

    async def until(self, instant: int) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8 * CAP), hard))
        kinds = [self._every(1 / FLOOD, "silent connections", b"")]
        kinds += [self._every(1 / GARBAGE, "boxes of nothing", self.head + self.body)]
        for _ in range(DRIPS):
            kinds.append(self._drip("heads that drip in", b"", b"POST /visit HTTP/1.1\r\nCookie: " + b"x" * 8000))
            kinds.append(self._drip("bodies that drip in", self.head, self.body))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*kinds), max(0.0, (instant - _now()) / 1000))
        print(", ".join(f"{count:,} {what}" for what, count in sorted(self.done.items())))

    async def _every(self, pause: float, what: str, raw: bytes) -> None:
        """Say *raw* again and again, so far apart, or as soon as there is room for another."""
        under_way: set[asyncio.Task[None]] = set()
        while True:
            if len(under_way) < 2 * CAP:
                under_way.add(asyncio.create_task(self._say(what, raw)))
            under_way = {each for each in under_way if not each.done()}
            await asyncio.sleep(pause)

    async def _say(self, what: str, raw: bytes) -> None:
        """Connect, say *raw*, and wait for whatever comes."""
        with contextlib.suppress(OSError):
            reader, writer = await self._connect(what)
            with contextlib.closing(writer):
                writer.write(raw)
                await reader.read(-1)

    async def _drip(self, what: str, whole: bytes, rest: bytes) -> None:
        """Say *whole* and then *rest* byte by byte, and again whenever it is cut off."""
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await self._connect(what)
                with contextlib.closing(writer):
                    writer.write(whole)
                    for at in range(len(rest)):
                        writer.write(rest[at : at + 1])
                        await asyncio.sleep(0.1)
                        if reader.at_eof() or writer.is_closing():
                            break
            await asyncio.sleep(0.1)

    async def _connect(self, what: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        found = await asyncio.open_connection("127.0.0.1", self.port)
        self.done[what] += 1
        return found


def _head(kind: str, length: int) -> bytes:
    return f"POST /{kind} HTTP/1.1\r\nHost: west\r\nContent-Length: {length}\r\n\r\n".encode()


def _now() -> int:
    return time.time_ns() // 1_000_000


def _ports(count: int) -> list[int]:
    """Ports that are free now."""
    with contextlib.ExitStack() as bound:
        sockets = [bound.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    if len(sys.argv) == 1:
        for claim, measured in run():
            print(f"{claim}: {measured}")
    else:
        to, size, until = map(int, sys.argv[1:])
        asyncio.run(Strangers(to, size).until(until))
