"""Vectors of docs/spec/retrieval.md: `python -m tests.vectors.make_retrieval` writes them.

`table` is [text, rows that are there]: row i is SHAKE-256 of the text and i,
each as long as `packet`, or zero. `seeds` are drawn in this order; `explicit`
is the operator that gets the vector.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np

from backchannel.post import retrieval
from backchannel.post.ciphers import QueryStream
from backchannel.post.kernels.product import product
from tests.vectors.collection import Vector, write

QUERIES: Final[dict[str, dict[str, Any]]] = {
    "two-operators": {},
    "two-operators-vector-to-the-second": {"explicit": 1},
    "three-operators": {"operators": 3},
    "three-operators-vector-to-the-last": {"operators": 3, "explicit": 2},
    "four-operators-vector-to-the-third": {"operators": 4, "explicit": 2},
    "first-row": {"row": 0},
    "last-row": {"row": 255},
    "row-that-is-not-there": {"row": 200},
    "smallest-table": {"rows": 8, "row": 7, "there": [0, 7]},
    "table-with-nothing-in-it": {"there": []},
    "one-row": {"there": [37]},
    "odd-packets": {"packet": 257},
}
USUAL: Final[dict[str, Any]] = {"operators": 2, "explicit": 0, "rows": 256, "row": 37, "packet": 64}
THERE: Final = [1, 2, 7, 8, 36, 37, 38, 128, 254, 255]


def vectors() -> dict[str, Vector]:
    return {f"accepted-{name}": _query(name, case) for name, case in QUERIES.items()}


def seeds(name: str, count: int) -> list[bytes]:
    return [hashlib.sha256(f"{name} {at}".encode()).digest() for at in range(count)]


def table(vector: Vector) -> list[bytes]:
    """All rows of *vector*'s table."""
    text, there = vector["table"]
    size = vector["packet"]
    return [
        hashlib.shake_256(f"{text} {at}".encode()).digest(size) if at in there else bytes(size)
        for at in range(vector["rows"])
    ]


def answered(vector: Vector, shares: list[bytes]) -> list[bytes]:
    """What the operators' code answers."""
    rows, there = table(vector), vector["table"][1]
    present = np.array(there, np.intp)
    packed = np.frombuffer(b"".join(rows[at] for at in there), np.uint8).reshape(len(there), vector["packet"])
    out = []
    for at, share in enumerate(shares):
        explicit = at == vector["explicit"]
        vector_ = retrieval.expand(share, vector["rows"], explicit=explicit, stream=QueryStream())
        out.append(product(np.frombuffer(vector_, np.uint8).reshape(1, -1), packed, present)[0].tobytes())
    return out


def split(vector: Vector) -> list[bytes]:
    drawn = iter(vector["seeds"])
    return retrieval.split(
        vector["row"],
        vector["rows"],
        operators=vector["operators"],
        explicit=vector["explicit"],
        random=lambda _: bytes.fromhex(next(drawn)),
        stream=QueryStream(),
    )


def _query(name: str, case: dict[str, Any]) -> Vector:
    vector: Vector = USUAL | {field: value for field, value in case.items() if field != "there"}
    vector |= {"table": ["row", case.get("there", THERE)]}
    vector |= {"seeds": [seed.hex() for seed in seeds(name, vector["operators"] - 1)]}
    shares = split(vector)
    answers = answered(vector, shares)
    return vector | {
        "shares": [share.hex() for share in shares],
        "answers": [answer.hex() for answer in answers],
        "found": retrieval.combine(answers).hex(),
    }


if __name__ == "__main__":
    write("retrieval", vectors())
