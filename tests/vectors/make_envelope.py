"""Vectors of docs/spec/envelope.md: `python -m tests.vectors.make_envelope` writes them.

`keys` are header keys by turn, `MK` the message key. An envelope that is too
large to stand here is given by its `size`: as many zeros. A refused envelope is
named after the number in §5 of its one failure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from backchannel.kem import PublicKey
from backchannel.keys import Digest
from backchannel.seal import envelope as envelopes
from backchannel.seal.envelope import Body, Header, HeaderKey, MessageKey, Opening
from tests.peer import ratchet_peer as peer
from tests.vectors.collection import Vector, write

HK: Final = HeaderKey(b"\x55" * 32)
MK: Final = MessageKey(b"\x66" * 32)
R: Final = b"\x33" * 32
KEYS: Final = {4: HK.hex(), 6: "77" * 32}
HEADER: Final = Header(4, 2, 7, Opening(bytes(range(256)) * 4 + bytes(144), PublicKey(b"\x44" * 1216)))
BODY: Final = Body(12, Digest(b"\x88" * 32), 9, Digest(b"\x99" * 32), b"an item")


def vectors() -> dict[str, Vector]:
    accepted = {f"accepted-{name}": accepting(header, body) for name, (header, body) in ACCEPTED.items()}
    return accepted | {f"refused-{name}": refusing(name, make()) for name, make in REFUSED.items()}


def sealed(header: Header = HEADER, body: Body = BODY) -> bytes:
    return envelopes.seal(header, body, keys=(HK, MK), random=lambda _: R)


def accepting(header: Header, body: Body) -> Vector:
    return {
        "keys": KEYS,
        "MK": MK.hex(),
        "R": R.hex(),
        "header": {
            "turn": header.turn,
            "n": header.n,
            "pn": header.pn,
            "ct": header.opening.box.hex(),
            "pk": header.opening.public.hex(),
        },
        "body": [body.index, body.before.hex(), body.seen, body.seen_chain.hex(), body.item.hex()],
        "envelope": sealed(header, body).hex(),
    }


def refusing(name: str, case: dict[str, Any]) -> Vector:
    keys = {"keys": KEYS, "MK": MK.hex()}
    return keys | case | {"reason": int(name.partition("-")[0])}


ACCEPTED: Final[dict[str, tuple[Header, Body]]] = {
    "letter": (HEADER, BODY),
    "empty-item": (HEADER, Body(1, BODY.before, 0, BODY.seen_chain, b"")),
    "turn-0": (Header(4, 0, 0, Opening(bytes(1168), HEADER.opening.public)), BODY),
    "largest-numbers": (
        Header(4, 2**64 - 1, 2**64 - 1, HEADER.opening),
        Body(2**64 - 1, BODY.before, 2**64 - 1, BODY.seen_chain, b""),
    ),
}


def _flip(at: int) -> Callable[[], dict[str, Any]]:
    def make() -> dict[str, Any]:
        data = bytearray(sealed())
        data[at] ^= 1
        return {"envelope": data.hex()}

    return make


def _size(size: int) -> Callable[[], dict[str, Any]]:
    return lambda: {"size": size}


def _under(**keys: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"envelope": sealed().hex()} | keys


def _body(plain: bytes) -> Callable[[], dict[str, Any]]:
    def make() -> dict[str, Any]:
        start = sealed()[:2472]
        key, commit = peer.KDF(peer.head(start), MK, peer.ENVELOPE + b"body", 2)
        start += commit
        return {"envelope": (start + ChaCha20Poly1305(key).encrypt(bytes(12), plain, start)).hex()}

    return make


def _values(at: int, value: object) -> Callable[[], dict[str, Any]]:
    values: list[object] = [12, b"\x88" * 32, 9, b"\x99" * 32, b"an item"]
    values[at] = value
    return _body(cbor2.dumps(values))


GOOD: Final = cbor2.dumps([12, b"\x88" * 32, 9, b"\x99" * 32, b"an item"])

REFUSED: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "1-one-byte-too-short": _size(2591),
    "1-one-byte-too-long": _size(44 * 1024 * 1024 + 1),
    "2-no-key-of-ours": _under(keys={4: "00" * 32}),
    "2-no-keys": _under(keys={}),
    "2-random-string-altered": _flip(0),
    "2-tag-altered": _flip(47),
    "3-header-altered": _flip(48),
    "3-header-mac-altered": _flip(2471),
    "3-header-of-another-turn": _under(keys={5: HK.hex()}),
    "4-commitment-altered": _flip(2472),
    "4-another-message-key": _under(MK="00" * 32),
    "5-body-altered": _flip(2504),
    "5-body-mac-altered": _flip(-1),
    "5-body-cut-short": lambda: {"envelope": sealed()[:-1].hex()},
    "6-number-0": _values(0, 0),
    "6-number-not-an-integer": _values(0, b"12"),
    "6-link-of-31-bytes": _values(1, b"\x88" * 31),
    "6-link-a-text": _values(1, "8" * 32),
    "6-seen-not-an-integer": _values(2, []),
    "6-seen-link-of-33-bytes": _values(3, b"\x99" * 33),
    "6-item-a-text": _values(4, "an item"),
    "6-four-values": _body(cbor2.dumps([12, b"\x88" * 32, 9, b"\x99" * 32])),
    "6-six-values": _body(cbor2.dumps([12, b"\x88" * 32, 9, b"\x99" * 32, b"an item", b""])),
    "6-not-an-array": _body(cbor2.dumps(bytes(72))),
    "6-a-byte-after-its-end": _body(GOOD + b"\0"),
    "6-not-the-shortest": _body(GOOD.replace(b"\x85\x0c", b"\x85\x18\x0c")),
}


if __name__ == "__main__":
    write("envelope", vectors())
