"""Words: what two people compare aloud, and what a passphrase is made of.

Both come from one list of 2,048 words that differ in their first four letters,
so that they survive a bad line and a foreign accent (docs/spec/card.md §4).
"""

from __future__ import annotations

import difflib
import hashlib
from typing import Final

from backchannel.errors import UsageError
from backchannel.keys import Cost, Random, equal, stretch
from backchannel.seal.state import Transcript
from backchannel.seal.wordlist import WORDS

# Specification constants (docs/spec/card.md §4).
CHECK_WORDS: Final = 8
PASSPHRASE_WORDS: Final = 10
WORD_BITS: Final = 11
DIGITS: Final = slice(11, 32)
GROUPS: Final = 6
GROUP_SIZE: Final = 5

LABEL_WORDS: Final = b"backchannel/v1/meeting/words"


def check_string(transcript: Transcript, cost: Cost) -> bytes:
    """The 32 bytes that words and digits are read from: about a second at full cost."""
    return stretch(transcript, hashlib.sha256(LABEL_WORDS).digest()[:16], cost)


def check_words(check: bytes) -> tuple[str, ...]:
    """The first 88 bits of *check* as eight words."""
    return _spell(check, CHECK_WORDS)


def check_digits(check: bytes) -> tuple[str, ...]:
    """Bytes 11 to 31 of *check* modulo 10³⁰ as six groups of five digits."""
    size = GROUPS * GROUP_SIZE
    text = str(int.from_bytes(check[DIGITS]) % 10**size).zfill(size)
    return tuple(text[at : at + GROUP_SIZE] for at in range(0, size, GROUP_SIZE))


def heard_right(check: bytes, heard: str) -> bool:
    """Whether *heard*, words or digits as somebody typed them, is *check* in full.

    Raises:
        UsageError: If it is not eight words of the list, nor thirty digits:
            then it was mistyped, and says nothing about the other desk.
    """
    compact = "".join(heard.split())
    if compact.isascii() and compact.isdigit():
        if len(compact) != GROUPS * GROUP_SIZE:
            raise UsageError(f"{GROUPS} groups of {GROUP_SIZE} digits are wanted, these are {len(compact)} digits")
        return equal(compact.encode(), "".join(check_digits(check)).encode())
    return equal(" ".join(_known(heard)).encode(), " ".join(check_words(check)).encode())


def passphrase(random: Random) -> str:
    """Ten words drawn at random: 110 bits, more than any Argon2id cost makes up for."""
    return " ".join(_spell(random(16), PASSPHRASE_WORDS))


def _spell(raw: bytes, count: int) -> tuple[str, ...]:
    number = int.from_bytes(raw) >> (8 * len(raw) - WORD_BITS * count)
    return tuple(WORDS[number >> (WORD_BITS * at) & (len(WORDS) - 1)] for at in reversed(range(count)))


def _known(heard: str) -> list[str]:
    words = heard.lower().split()
    for word in words:
        if word not in WORDS:
            near = difflib.get_close_matches(word, WORDS, n=1)
            meant = f": did they say “{near[0]}”?" if near else ""
            raise UsageError(f"“{word}” is not a word of the list{meant}")
    if len(words) != CHECK_WORDS:
        raise UsageError(f"all eight words are wanted, these are {len(words)}")
    return words
