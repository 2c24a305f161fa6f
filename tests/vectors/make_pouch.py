"""Vectors of docs/spec/pouch.md: `python -m tests.vectors.make_pouch` writes them.

A pouch is at least 64 KiB of random bytes, so a vector says how it is made, and
what comes out: the randomness of the content is SHAKE-256 of `fill`, as long as
it has to be; `envelopes` are each [fill, size], likewise. After packing, `size`
cuts or lengthens the pouch with zeros, and `flips` are offsets of bytes whose
lowest bit is changed. `placed` are [offset, length] of heads that a packer who
holds the key has put where no honest one does.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

from backchannel import pouch as pouches
from backchannel.errors import RefusedError
from backchannel.pouch import pouch as inside
from tests.vectors.collection import Vector, write

KEY: Final = bytes(range(32))
OTHER: Final = bytes(range(32, 64))
SLOT: Final = inside.SLOT_SIZE
SMALLEST: Final = inside.SIZES[0]

ACCEPTED: Final[dict[str, dict[str, Any]]] = {
    "cover": {"sizes": []},
    "one-envelope": {"sizes": [2592]},
    "envelope-of-one-byte": {"sizes": [1]},
    "three-envelopes": {"sizes": [2592, 20_000, 3000]},
    "envelope-that-fills-its-slot": {"sizes": [SLOT - 16, 2592]},
    "envelope-one-byte-over-its-slot": {"sizes": [SLOT - 15, 2592]},
    "envelope-that-fills-its-pouch": {"sizes": [7 * SLOT - 16]},
    "envelope-one-byte-over-its-pouch": {"sizes": [7 * SLOT - 15]},
    "second-key": {"sizes": [2592], "tried": [OTHER, KEY]},
    "broken-mac": {"sizes": [2592, 2592], "flips": [SMALLEST - 1]},
    "broken-length": {"sizes": [2592, 2592], "flips": [48 + 3]},
    "broken-length-check": {"sizes": [2592, 2592], "flips": [48 + 15]},
    "broken-envelope": {"sizes": [2592, 2592], "flips": [48 + 16]},
    "broken-slack": {"sizes": [2592, 2592], "flips": [48 + SLOT - 1]},
    "broken-end-of-the-row": {"sizes": [2592, 2592], "flips": [48 + 2 * SLOT]},
    "no-end-of-the-row": {"sizes": [2592], "placed": [[SLOT, 2**32 - 1]]},
    "length-past-the-end": {"sizes": [2592], "placed": [[0, SMALLEST - 80 - 15]]},
    "length-to-the-end": {"sizes": [2592], "placed": [[0, SMALLEST - 80 - 16]]},
    "head-inside-an-envelope": {"sizes": [3 * SLOT], "placed": [[SLOT, 100]]},
    "envelope-after-the-end-of-the-row": {"sizes": [2592], "placed": [[2 * SLOT, 100]]},
}
REFUSED: Final[dict[str, dict[str, Any]]] = {
    "1-empty": {"sizes": [2592], "size": 0},
    "1-one-byte-short": {"sizes": [2592], "size": SMALLEST - 1},
    "1-one-byte-long": {"sizes": [2592], "size": SMALLEST + 1},
    "2-another-key": {"sizes": [2592], "tried": [OTHER]},
    "2-no-key": {"sizes": [2592], "tried": []},
    "2-broken-seed": {"sizes": [2592], "flips": [31]},
    "2-broken-tag": {"sizes": [2592], "flips": [47]},
}


def vectors() -> dict[str, Vector]:
    accepted = {f"accepted-{name}": _accepted(name, recipe) for name, recipe in ACCEPTED.items()}
    return accepted | {f"refused-{name}": _refused(name, recipe) for name, recipe in REFUSED.items()}


def fill(seed: str, size: int) -> bytes:
    return hashlib.shake_256(bytes.fromhex(seed)).digest(size)


def envelopes(vector: Vector) -> list[bytes]:
    return [fill(seed, size) for seed, size in vector["envelopes"]]


def spoiled(pouch: bytes, vector: Vector) -> bytes:
    """*pouch* as it arrives."""
    out = bytearray(pouch)
    for at in vector.get("flips", ()):
        out[at] ^= 1
    size = vector.get("size", len(pouch))
    return bytes(out[:size].ljust(size, b"\0"))


def placed(pouch: bytes, vector: Vector) -> bytes:
    """*pouch* with the heads of a packer who holds the key and does not follow the page, and a seal that is whole."""
    if "placed" not in vector:
        return pouch
    keys = inside._keys(pouch[:32], bytes.fromhex(vector["key"]))
    content = bytearray(inside._stream(keys.cipher, pouch[48:-32]))
    for at, length in vector["placed"]:
        content[at : at + 16] = inside._head(keys.head, at, length)
    out = pouch[:48] + inside._stream(keys.cipher, bytes(content))
    return out + hmac.digest(keys.mac, out, "sha256")


def _recipe(name: str, recipe: dict[str, Any]) -> Vector:
    sizes, tried = recipe["sizes"], recipe.get("tried", [KEY])
    vector: Vector = {
        "seed": hashlib.sha256(name.encode()).hexdigest(),
        "key": KEY.hex(),
        "fill": name.encode().hex(),
        "envelopes": [[f"{number:02x}", size] for number, size in enumerate(sizes)],
        "tried": [key.hex() for key in tried],
    }
    return vector | {name: recipe[name] for name in ("placed", "flips", "size") if name in recipe}


def made(vector: Vector) -> bytes:
    """The pouch of *vector*, as it arrives."""
    draws = iter((bytes.fromhex(vector["seed"]),))
    pouch = pouches.pack(
        envelopes(vector), KEY, lambda size: next(draws, b"") or fill(vector["fill"], size)
    )  # fmt: skip
    return spoiled(placed(pouch, vector), vector)


def _accepted(name: str, recipe: dict[str, Any]) -> Vector:
    vector = _recipe(name, recipe)
    pouch = made(vector)
    found = pouches.unpack(pouch, [bytes.fromhex(key) for key in vector["tried"]])
    return vector | {
        "pouch": {
            "size": len(pouch),
            "first": pouch[:64].hex(),
            "mac": pouch[-32:].hex(),
            "sha256": hashlib.sha256(pouch).hexdigest(),
            "number": pouches.seal_number(pouch),
        },
        "whole": found.whole,
        "opens": [[len(envelope), hashlib.sha256(envelope).hexdigest()] for envelope in found.envelopes],
    }


def _refused(name: str, recipe: dict[str, Any]) -> Vector:
    vector = _recipe(name, recipe)
    pouch = made(vector)
    try:
        pouches.unpack(pouch, [bytes.fromhex(key) for key in vector["tried"]])
    except RefusedError as error:
        return vector | {
            "sha256": hashlib.sha256(pouch).hexdigest(),
            "reason": int(name[0]),
            "message": error.message,
        }
    raise AssertionError(f"{name} is no refusal")


if __name__ == "__main__":
    write("pouch", vectors())
