"""The product of queries and a table over GF(2), by the Method of Four Russians.

For each eight rows, the 256 sums of them are made once and then looked up by
each query's byte (Arlazarov, Dinic, Kronrod and Faradzhev 1970): a query costs
an eighth of the table. Only rows that are there are touched.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

# Implementation constant: queries beyond which making the 256 sums pays.
FEW: Final = 48

Bytes = NDArray[np.uint8]


def product(vectors: Bytes, rows: Bytes, present: NDArray[np.intp]) -> Bytes:
    """Multiply queries with a table.

    Args:
        vectors: The queries, Q by N/8 bytes, the first row in the highest bit.
        rows: The rows that are not zero, R by P bytes.
        present: Their indices in the table, R, ascending.

    Returns:
        The answers, Q by P bytes.
    """
    count, width = len(vectors), rows.shape[1]
    bits = np.unpackbits(vectors, axis=1)[:, present].astype(bool)
    # Words, not bytes: XOR is bound by memory either way, but not by so many steps.
    packed = _as_words(rows)
    out = np.zeros((count, packed.shape[1]), np.uint64)
    if count < FEW:
        for query in range(count):
            np.bitwise_xor.reduce(packed[bits[query]], axis=0, out=out[query])
    else:
        for at in range(0, len(packed), 8):
            _add(out, bits[:, at : at + 8], packed[at : at + 8])
    return out.view(np.uint8)[:, :width]


def _add(out: NDArray[np.uint64], bits: NDArray[np.bool_], eight: NDArray[np.uint64]) -> None:
    """Add to each query what it picks of at most eight rows."""
    sums = np.zeros((1, eight.shape[1]), np.uint64)
    for row in eight:
        sums = np.concatenate([sums, sums ^ row])
    index = bits @ (1 << np.arange(len(eight)))
    # In strips, so that what is looked up does not leave the cache between two queries.
    for at in range(0, len(out), _STRIP):
        out[at : at + _STRIP] ^= sums[index[at : at + _STRIP]]


def _as_words(rows: Bytes) -> NDArray[np.uint64]:
    spare = -rows.shape[1] % 8
    padded = np.pad(rows, ((0, 0), (0, spare))) if spare else np.ascontiguousarray(rows)
    return padded.view(np.uint64)


_STRIP: Final = 64
