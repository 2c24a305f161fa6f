"""What packing and unpacking a pouch costs, against the cipher and the MAC it cannot do without."""

from __future__ import annotations

import hmac
import statistics
import time
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from backchannel.pouch import SIZES, pack, unpack
from backchannel.pouch.pouch import HEAD_SIZE, SLOT_SIZE

# Two passes are the least there can be, one each way; the rest is copies, and
# fresh pages for them, which in the largest pouch are most of what it costs.
CLAIM: Final = 8.0
KEY: Final = bytes(range(32))
ROUNDS: Final = {64 * 1024: 45, 512 * 1024: 25, 4 * 1024 * 1024: 9, 64 * 1024 * 1024: 3}


def run() -> list[tuple[str, str]]:
    """The claims of this file and what was measured: medians of interleaved rounds."""
    return [
        (
            f"a pouch of {_kib(size)} is packed and unpacked in at most {CLAIM:.0f} passes of ChaCha20 and HMAC",
            _measure(size),
        )
        for size in SIZES
    ]


def _measure(size: int) -> str:
    # The randomness is made beforehand: its cost is the operating system's.
    random = bytes(size)
    envelope = bytes(size // SLOT_SIZE * SLOT_SIZE - SLOT_SIZE - HEAD_SIZE)
    ratios, seconds = [], []
    for _ in range(ROUNDS[size]):
        bare = _seconds(lambda: _pass(random))
        seconds.append(_seconds(lambda: _there_and_back(envelope, random)))
        ratios.append(seconds[-1] / bare)
    median, took = statistics.median(ratios), statistics.median(seconds)
    return f"{median:.2f} ({min(ratios):.2f} to {max(ratios):.2f}; {took * 1000:,.1f} ms)"


def _there_and_back(envelope: bytes, random: bytes) -> None:
    pouch = pack([envelope], KEY, lambda size: random[:size])
    assert unpack(pouch, [KEY]).envelopes == (envelope,)


def _pass(data: bytes) -> None:
    sealed = Cipher(ChaCha20(KEY, bytes(16)), None).encryptor().update(data)
    hmac.digest(KEY, sealed, "sha256")


def _seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()  # of this process alone, whatever else runs
    work()
    return time.process_time() - begin


def _kib(size: int) -> str:
    return f"{size // 1024} KiB" if size < 1024 * 1024 else f"{size // 1024**2} MiB"


if __name__ == "__main__":
    for claim, measured in run():
        print(f"{claim}: {measured}")
