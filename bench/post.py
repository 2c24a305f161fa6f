"""What one round costs an operator: the operators' own code, visits made up, one process a size.

Every desk takes part, asks about the newest table and collects what it asked in
the round before. Its queries are answered in as many batches as a clock makes
while visits come. What is shown is processor time of this operator alone, the
network's and the other operator's not counted; memory is the largest that the
process ever had, the other's rows and the making of visits included.

    python -m bench.post 1000

shows one size, and the two constants of post/plan.py that it would have.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from unittest.mock import patch

from backchannel.encoding import encode
from backchannel.kem import PrivateKey, XWing
from backchannel.office.clock import BATCHES
from backchannel.post import retrieval, rounds
from backchannel.post import visit as visits
from backchannel.post.charter import AGREEMENT, MARGIN, Charter, Numbers, Seat, Share, SignedCharter
from backchannel.post.charters import OperatorKeys
from backchannel.post.ciphers import Ciphers
from backchannel.post.kernels.product import product
from backchannel.post.members import MEMBERS
from backchannel.post.rounds import Operator
from backchannel.post.settling import Settling
from backchannel.post.visit import ReplyKey, Visit, VisitKey
from backchannel.signing import Signer

T = TypeVar("T")
SIZES: Final = (100, 1_000, 10_000)
FIRST: Final = 1_000
START: Final = 1_950_000_000_000


class Shelf:
    """A shelf in memory."""

    def __init__(self) -> None:
        self.bodies: dict[tuple[str, bytes], bytes] = {}

    def get(self, room: str, name: bytes) -> bytes | None:
        return self.bodies.get((room, name))

    def names(self, room: str) -> list[bytes]:
        return sorted(name for r, name in self.bodies if r == room)

    def commit(self, changes: Mapping[tuple[str, bytes], bytes | None]) -> None:
        for name, body in changes.items():
            if body is None:
                self.bodies.pop(name, None)
            else:
                self.bodies[name] = bytes(body)


class Stopwatch:
    """Processor time of this process, added up by what it went into."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)

    def timed(self, what: str, function: Callable[..., T], *arguments: object, **named: object) -> T:
        begin = time.process_time()
        try:
            return function(*arguments, **named)
        finally:
            self.spent[what] += time.process_time() - begin


@dataclass
class Measured:
    """One round, in seconds and bytes."""

    desks: int
    rows: int  # that were gone through, over all queries
    spent: Mapping[str, float]
    request: int
    reply: int
    memory: int  # MiB

    def line(self) -> str:
        visits, settling, answers = (self.spent[what] for what in ("visits", "settling", "answers"))
        return (
            f"{visits + settling + answers:.1f} s: visits {visits:.1f}, settling {settling:.2f}, answers {answers:.1f}; "
            f"{self.request / 1000:.1f} kB there and {self.reply / 1000:.1f} kB back a visit; {self.memory:,} MiB"
        )

    def constants(self) -> str:
        spent = self.spent["product"]
        visit = (self.spent["visits"] + self.spent["settling"] + self.spent["answers"] - spent) / self.desks
        speed = self.rows / 8 * Numbers().packet / spent
        return f"a visit {visit * 1000:.2f} ms, the product {speed / 1e9:.2f} GB/s"


def run() -> list[tuple[str, str]]:
    """A line for each size."""
    found = []
    for desks in SIZES:
        child = subprocess.run(
            [sys.executable, "-m", "bench.post", str(desks)], check=True, capture_output=True, text=True
        )
        found.append((f"a round of {desks:,} desks takes one operator on one core", child.stdout.splitlines()[0]))
    return found


def measure(desks: int) -> Measured:
    """One round with so many desks, at the first of two operators."""
    capacity = 1 << (desks + 1).bit_length()
    keys = [OperatorKeys(name, Signer.draw(os.urandom), PrivateKey.draw(os.urandom)) for name in ("west", "east")]
    kem = XWing()
    seats = tuple(Seat(k.name, f"http://{k.name}.test", k.signer.public, kem.public(k.sealing)) for k in keys)
    numbers = Numbers(capacity=capacity, first=FIRST, start=START)
    signed = SignedCharter(Charter("bench", seats, (Share("west", 1, capacity - 1, 0),), numbers))
    for each in keys:
        signed = signed.sign(each.signer)
    charter, shelf = signed.charter, Shelf()
    secrets = {mailbox: VisitKey.draw(os.urandom) for mailbox in range(1, desks + 1)}
    shelf.commit({(MEMBERS, m.to_bytes(8)): encode((bytes(key), FIRST)) for m, key in secrets.items()})
    machine = Operator(shelf, (keys[0],), Ciphers.real(), random=os.urandom)
    machine.adopt(signed)
    machine.begin(charter.begins(FIRST) - 1)

    watch = Stopwatch()
    _round(machine, charter, secrets, FIRST, watch=watch)
    _settle(machine, charter, FIRST, watch)
    watch.spent.clear()
    with patch.object(rounds, "product", partial(watch.timed, "product", product)):
        _round(machine, charter, secrets, FIRST + 1, watch=watch)
    _settle(machine, charter, FIRST + 1, watch)
    return Measured(
        desks,
        desks * numbers.reads * desks,
        watch.spent,
        visits.request_size(charter, FIRST, 0, more=False),
        visits.reply_size(charter, more=False),
        _peak(),
    )


def _round(machine: Operator, charter: Charter, secrets: dict[int, VisitKey], number: int, *, watch: Stopwatch) -> None:
    """Every desk makes its visit, and its queries are answered."""
    ciphers, now = Ciphers.real(), charter.begins(number + 1) - 1
    seat = machine._charters.seat(charter)  # noqa: SLF001 - no other says what it seals to without being asked
    assert seat is not None
    day = machine._days.public(charter.day_of(number), charter, seat).key  # noqa: SLF001
    batch = -(-len(secrets) * AGREEMENT * MARGIN // ((AGREEMENT * MARGIN - AGREEMENT - MARGIN) * BATCHES))
    answered = 0
    for mailbox, key in secrets.items():
        shares = tuple(
            retrieval.split(
                1 + mailbox % len(secrets),
                charter.numbers.capacity,
                operators=2,
                explicit=charter.explicit(number, query),
                random=os.urandom,
                stream=ciphers.stream,
            )[0]
            for query in range(charter.numbers.reads)
        )
        row = os.urandom(charter.numbers.packet)
        visit = Visit(
            mailbox, number, (number - 1, False), more=False, key=ReplyKey.draw(os.urandom), deposit=row, shares=shares
        )
        box = visits.seal(visit, key, day, charter=charter, operator="west", kem=ciphers.kem, random=os.urandom)
        assert watch.timed("visits", machine.visit, box, now) is not None
        if mailbox % batch == 0:
            answered += watch.timed("answers", machine.compute, number)
    assert answered + watch.timed("answers", machine.compute, number) == len(secrets)


def _settle(machine: Operator, charter: Charter, number: int, watch: Stopwatch) -> None:
    """Come to a table with an operator that was given the same."""
    here = watch.timed("settling", machine.settle, number)
    assert here is not None
    there = Settling(charter, "east", number, here.roster, dict(here.rows))
    for asked in ("list", "table"):
        for each, other in ((here, there), (there, here)):
            for peer, request in each.requests():
                answer = other.given() if asked == "list" else (_described(other),)
                if each is here:
                    watch.timed("settling", each.heard, peer, request, answer)
                else:
                    each.heard(peer, request, answer)
    watch.timed("settling", here.given)
    assert here.done
    watch.timed("settling", machine.settled, number, charter.begins(number + 1))


def _described(settling: Settling) -> bytes:
    assert settling.descriptor is not None
    return settling.descriptor.encode()


def _peak() -> int:
    """The most memory that this process ever had, in MiB; getrusage would count what its parent had at the fork."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[0]) // 1024


if __name__ == "__main__":
    measured = measure(int(sys.argv[1]))
    print(measured.line())
    print(measured.constants())
