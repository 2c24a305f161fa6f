"""What the commitment of a letter costs, against the HMACs it cannot do without."""

from __future__ import annotations

import hmac
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from backchannel.keys import LetterId, ReleaseSeed
from backchannel.letters import Head, Letter, Paragraph, Text, commit

# Specification: 3n-2 HMACs for a text of n units. All else may cost 0.7 of them.
CLAIM: Final = 1.7
ROUNDS: Final = 9

_CORPUS: Final = Path(__file__).parents[2] / "shared" / "corpus" / "khrushchev-1961-11-09.txt"
_WORDS: Final = 6500  # of the same length as that letter, where it is not at hand


def run() -> list[tuple[str, str]]:
    """The claims of this file and what was measured: medians of interleaved rounds."""
    letter = _letter()
    count = sum(3 * text.units - 2 for text in commit(letter).texts)
    ratios = []
    for _ in range(ROUNDS):
        bare = _seconds(lambda: _hmacs(count))
        ratios.append(_seconds(lambda: commit(letter)) / bare)
    median = statistics.median(ratios)
    measured = f"{median:.2f} ({min(ratios):.2f} to {max(ratios):.2f}; {count:,} HMACs)"
    return [(f"the letter root costs at most {CLAIM} times its own HMACs", measured)]


def _letter() -> Letter:
    text = _CORPUS.read_text() if _CORPUS.exists() else "\n\n".join(["A word is one unit. " * 20] * (_WORDS // 100))
    paragraphs = tuple(Paragraph(" ".join(part.split("\n"))) for part in text.split("\n\n"))
    return Letter(LetterId(bytes(32)), ReleaseSeed(bytes(32)), Head(), (Text(blocks=paragraphs),))


def _hmacs(count: int) -> None:
    key, message = bytes(32), b"\0\0\0\x20backchannel/v1/commitment/right."
    for _ in range(count):
        hmac.digest(key, message, "sha256")


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    for claim, measured in run():
        print(f"{claim}: {measured}")
