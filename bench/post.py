"""What one round costs an operator: the operators' own code, visits made up, one process a size.

The product is NumPy's here, by lookup: its speed is for another day, its share
of the round is what is shown. Memory is the largest the process ever had, the
made-up visits included, which a real operator receives one by one.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Final

from backchannel.encoding import encode
from backchannel.kem import PrivateKey, XWing
from backchannel.post import retrieval
from backchannel.post import visit as visits
from backchannel.post.charter import Charter, Numbers, Seat, Share, SignedCharter
from backchannel.post.charters import OperatorKeys
from backchannel.post.ciphers import Ciphers
from backchannel.post.members import MEMBERS
from backchannel.post.rounds import Operator
from backchannel.post.settling import Settling
from backchannel.post.shelf import Changes
from backchannel.post.visit import ReplyKey, Visit, VisitKey
from backchannel.signing import Signer

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

    def commit(self, changes: Changes) -> None:
        for name, body in changes.items():
            if body is None:
                self.bodies.pop(name, None)
            else:
                self.bodies[name] = bytes(body)


@dataclass
class Measured:
    desks: int
    visits: float  # seconds, all visits of the round
    settling: float
    answers: float
    request: int  # bytes
    reply: int
    memory: int  # MiB

    def line(self) -> str:
        total = self.visits + self.settling + self.answers
        return (
            f"{total:.1f} s: visits {self.visits:.1f}, settling {self.settling:.2f}, answers {self.answers:.1f}; "
            f"{self.request / 1000:.1f} kB there and {self.reply / 1000:.1f} kB back a visit; {self.memory:,} MiB"
        )


def run() -> list[tuple[str, str]]:
    """A line for each size."""
    found = []
    for desks in SIZES:
        child = subprocess.run(
            [sys.executable, "-m", "bench.post", str(desks)], check=True, capture_output=True, text=True
        )
        found.append((f"a round of {desks:,} desks takes one operator on one core", child.stdout.strip()))
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

    _round(machine, charter, secrets, FIRST)
    settling, spent = time.perf_counter(), 0.0
    _settle(machine, charter, FIRST)
    spent = time.perf_counter() - settling
    visiting = _round(machine, charter, secrets, FIRST + 1)
    computing = time.perf_counter()
    assert machine.compute(FIRST + 1) == desks
    computed = time.perf_counter() - computing
    return Measured(
        desks,
        visiting,
        spent,
        computed,
        visits.request_size(charter, FIRST, 0, more=False),
        visits.reply_size(charter, more=False),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


def _round(machine: Operator, charter: Charter, secrets: dict[int, VisitKey], number: int) -> float:
    """Every desk makes its visit; the seconds that the operator was at work."""
    spent, ciphers = 0.0, Ciphers.real()
    seat = machine._charters.seat(charter)
    assert seat is not None
    day = machine._days.public(charter.day_of(number), charter, seat).key
    now = charter.begins(number + 1) - 1
    for mailbox, key in secrets.items():
        shares = [
            retrieval.split(
                1 + mailbox % len(secrets),
                charter.numbers.capacity,
                operators=2,
                explicit=charter.explicit(number, query),
                random=os.urandom,
                stream=ciphers.stream,
            )[0]
            for query in range(charter.numbers.reads)
        ]
        row = os.urandom(charter.numbers.packet)
        visit = Visit(
            mailbox, number, None, more=False, key=ReplyKey.draw(os.urandom), deposit=row, shares=tuple(shares)
        )
        box = visits.seal(visit, key, day, charter=charter, operator="west", kem=ciphers.kem, random=os.urandom)
        begin = time.perf_counter()
        assert machine.visit(box, now) is not None
        spent += time.perf_counter() - begin
    return spent


def _settle(machine: Operator, charter: Charter, number: int) -> None:
    """Come to a table with an operator that was given the same."""
    here = machine.settle(number)
    assert here is not None
    there = Settling(charter, "east", number, here.roster, dict(here.rows))
    for each, other in ((here, there), (there, here)):
        for peer, request in each.requests():
            each.heard(peer, request, other.given())
    for each, other in ((here, there), (there, here)):
        assert other.descriptor is not None
        for peer, request in each.requests():
            each.heard(peer, request, (other.descriptor.encode(),))
    assert here.done
    machine.settled(number, charter.begins(number + 1))


if __name__ == "__main__":
    print(measure(int(sys.argv[1])).line())
