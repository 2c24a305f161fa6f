"""An operator that keeps what it opens: what the demo's two are, to show what they see.

    python -m backchannel.cli.curious FOLDER CHARTER PORT SEEN

It is the product's operator, down to what it keeps on its disk, but for the
file SEEN: there goes, of every box that it opens, when it came, how large it
was and what was in it. An operator that is run by somebody curious can be just
this, and nobody would notice. It stops when its standard input ends, and so does
not outlive whoever started it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from backchannel.cli.observer import Sight
from backchannel.encoding import decode, encode
from backchannel.errors import BackchannelError, MalformedError
from backchannel.kem import Kem, PrivateKey, PublicKey
from backchannel.keys import Random
from backchannel.office.edge import Edge
from backchannel.office.folder import Folder
from backchannel.office.run import run
from backchannel.post import retrieval
from backchannel.post.charter import Charter
from backchannel.post.ciphers import Stream
from backchannel.post.visit import Visit

LENGTH: Final = 4  # bytes, before each entry of the file


@dataclass(frozen=True, slots=True)
class Opened:
    """A box that an operator has opened."""

    time: int  # ms, when it had come
    size: int  # bytes, as it came
    content: bytes

    def sight(self, charter: Charter, operator: str, stream: Stream) -> Sight | None:
        """The visit that it was, or None if it was something else."""
        try:
            visit = Visit.decode(self.content, charter, operator)
        except MalformedError:
            return None
        me, rows = charter.seat(operator), charter.numbers.capacity
        vectors = tuple(
            retrieval.expand(share, rows, explicit=charter.explicit(visit.round, at) == me, stream=stream)
            for at, share in enumerate(visit.shares)
        )
        late = self.time - charter.instant(visit.mailbox, visit.round)
        return Sight(visit.mailbox, visit.round, late, self.size, visit.deposit, vectors)


class Curious:
    """A KEM whose owner keeps what it opens."""

    def __init__(self, kem: Kem, keep: Callable[[int, bytes], None]) -> None:
        self._kem = kem
        self._keep = keep

    def generate(self, random: Random) -> tuple[PrivateKey, PublicKey]:
        return self._kem.generate(random)

    def public(self, private: PrivateKey) -> PublicKey:
        return self._kem.public(private)

    def check(self, public: PublicKey) -> None:
        self._kem.check(public)

    def seal(self, public: PublicKey, info: bytes, plaintext: bytes, random: Random) -> bytes:
        return self._kem.seal(public, info, plaintext, random)

    def open(self, private: PrivateKey, info: bytes, box: bytes) -> bytes:
        content = self._kem.open(private, info, box)
        self._keep(len(box), content)
        return content


def read(path: Path) -> Iterator[Opened]:
    """What was kept in a file."""
    data, at = path.read_bytes() if path.exists() else b"", 0
    while at + LENGTH <= len(data):
        end = at + LENGTH + int.from_bytes(data[at : at + LENGTH])
        if end > len(data):  # it was killed as it wrote
            return
        value: Any = decode(data[at + LENGTH : end])
        yield Opened(*value)
        at = end


async def serve(folder: Path, charter: Path, port: int, seen: Path) -> None:
    """Serve until standard input ends, or a signal says so."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), stop.set)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    edge = Edge.here()
    with seen.open("ab", buffering=0) as file:

        def keep(size: int, content: bytes) -> None:
            entry = encode((edge.now(), size, content))
            file.write(len(entry).to_bytes(LENGTH) + entry)

        curious = replace(edge, ciphers=replace(edge.ciphers, kem=Curious(edge.ciphers.kem, keep)))
        await run(Folder(folder), curious, charter=charter, listen=("127.0.0.1", port), stop=stop)


def main(arguments: list[str]) -> int:
    """Serve until told to stop; the exit code."""
    folder, charter, port, seen = arguments
    try:
        asyncio.run(serve(Path(folder), Path(charter), int(port), Path(seen)))
    except BackchannelError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
