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
ROUNDS: Final = 15

_CORPUS: Final = Path(__file__).parents[2] / "shared" / "corpus" / "khrushchev-1961-11-09.txt"
_WORDS: Final = 6500  # of the same length as that letter, where it is not at hand


def run() -> list[tuple[str, str]]:
    """The claims of this file and what was measured in interleaved rounds: of all, and of the least disturbed."""
    letter = november()
    count = sum(3 * text.units - 2 for text in commit(letter).texts)
    rounds = [(_seconds(lambda: _hmacs(count)), _seconds(lambda: commit(letter))) for _ in range(ROUNDS)]
    median = statistics.median(whole / bare for bare, whole in rounds)
    best = min(whole for _, whole in rounds) / min(bare for bare, _ in rounds)
    measured = f"median {median:.2f}, best against best {best:.2f} ({count:,} HMACs, {ROUNDS} rounds)"
    return [(f"the letter root costs at most {CLAIM} times its own HMACs", measured)]


def november() -> Letter:
    """The letter of 9 November 1961, or one of its length where it is not at hand."""
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
