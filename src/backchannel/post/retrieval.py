"""Retrieval: asking for one row of a table so that nobody learns which.

Chor, Goldreich, Kushilevitz and Sudan 1995: a query is k shares that XOR to the
unit vector of the row, each alone uniform; an answer is share times table over
GF(2); the k answers XOR to the row. One share is a vector, the others are seeds
of it (docs/spec/retrieval.md). The product itself is kernels/product.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from backchannel.keys import Random
from backchannel.post.ciphers import Stream

# Specification constant (docs/spec/retrieval.md §1).
SEED_SIZE: Final = 32


def share_size(rows: int, *, explicit: bool) -> int:
    """How many bytes a share of a query into a table of *rows* takes."""
    return rows // 8 if explicit else SEED_SIZE


def split(row: int, rows: int, *, operators: int, explicit: int, random: Random, stream: Stream) -> list[bytes]:
    """The shares of a query for *row*, one an operator; the one at *explicit* is the vector.

    Draws 32 bytes for each of the other operators, in order.
    """
    vector = bytearray(rows // 8)
    vector[row // 8] = 0x80 >> row % 8
    shares = [b"" if at == explicit else random(SEED_SIZE) for at in range(operators)]
    masked = bytes(vector)
    for at, seed in enumerate(shares):
        if at != explicit:
            masked = stream.apply(seed, masked)
    shares[explicit] = masked
    return shares


def expand(share: bytes, rows: int, *, explicit: bool, stream: Stream) -> bytes:
    """The vector that a share stands for."""
    return share if explicit else stream.apply(share, bytes(rows // 8))


def combine(answers: Sequence[bytes]) -> bytes:
    """The row, from the answers of all operators."""
    size = len(answers[0])
    total = 0
    for answer in answers:
        total ^= int.from_bytes(answer)
    return total.to_bytes(size)
