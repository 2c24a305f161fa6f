"""What sealing and opening a letter costs, against one bare HPKE box of the same item."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Final

from backchannel.kem import XWing
from backchannel.letters import pack, unpack
from backchannel.seal import ratchet
from backchannel.seal.state import HalfSecret, State, Transcript
from bench.letters import november

# A letter within a turn takes no KEM step, and is then cheaper than a box; one
# that begins a turn makes a key pair besides the box and checks the peer's.
IN_TURN: Final = 1.25
NEW_TURN: Final = 4.0
WHOLE: Final = 15.0  # most of it is zlib at its highest level
ITEM: Final = os.urandom(40 * 1024)  # the letter of 9 November 1961 is of this size
ROUNDS: Final = 101
KEM: Final = XWing()


def run() -> list[tuple[str, str]]:
    """The claims of this file and what was measured: medians of interleaved rounds."""
    first, second = _met()
    private, public = KEM.generate(os.urandom)
    bare, within, turns, whole = [], [], [], []
    letter = november()
    for number in range(ROUNDS):
        bare.append(_seconds(lambda: KEM.open(private, b"info", KEM.seal(public, b"info", ITEM, os.urandom))))
        # The side that wrote last goes on in its turn; then the other answers.
        writer, reader = (first, second) if number % 2 else (second, first)
        within.append(_seconds(lambda: _cross(reader, writer)))  # noqa: B023 (called at once)
        turns.append(_seconds(lambda: _cross(writer, reader)))  # noqa: B023 (called at once)
        whole.append(_seconds(lambda: unpack(_cross(writer, reader, pack(letter)))))  # noqa: B023 (called at once)
    return [
        (f"a letter of 40 kB within a turn costs at most {IN_TURN:g} bare HPKE boxes", _against(bare, within)),
        (f"a letter of 40 kB that begins a turn costs at most {NEW_TURN:g} bare HPKE boxes", _against(bare, turns)),
        (
            f"the letter of 9 November, compressed, sealed, opened and decoded, costs at most {WHOLE:g} bare HPKE boxes",
            _against(bare, whole),
        ),
    ]


class _Desk:
    def __init__(self, state: State) -> None:
        self.state = state


def _met() -> tuple[_Desk, _Desk]:
    private, public = KEM.generate(os.urandom)
    secrets = ratchet.Secrets(Transcript(bytes(32)), HalfSecret(bytes(32)), HalfSecret(bytes(32)))
    first = _Desk(ratchet.start(secrets, answer=public, private=None, now=0))
    second = _Desk(ratchet.start(secrets, answer=public, private=private, now=0))
    _cross(first, second)
    return first, second


def _cross(writer: _Desk, reader: _Desk, item: bytes = ITEM) -> bytes:
    """Seal one letter and open it."""
    writer.state, envelope = ratchet.write(writer.state, item, kem=KEM, random=os.urandom, now=0)
    opened = ratchet.read(reader.state, envelope, kem=KEM, now=0)
    reader.state = opened.state
    return opened.item


def _against(bare: list[float], measured: list[float]) -> str:
    ratios = sorted(one / other for one, other in zip(measured, bare, strict=True))
    low, high = ratios[len(ratios) // 20], ratios[-len(ratios) // 20]
    took = statistics.median(measured) * 1000
    against = statistics.median(bare) * 1000
    return f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f}; {took:.2f} ms against {against:.2f} ms)"


def _seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()  # of this process alone, whatever else runs
    work()
    return time.process_time() - begin


if __name__ == "__main__":
    for claim, measured in run():
        print(f"{claim}: {measured}")
