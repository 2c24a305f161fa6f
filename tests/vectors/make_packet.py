"""Vectors of docs/spec/packet.md: `python -m tests.vectors.make_packet` writes them.

Keys: `root`, the first round `since` which they are kept, the `nodes` (depth,
prefix, node), and `keys` of rounds. A row is of 256 bytes: `noise` is what is
drawn for it, `content` the base, bitmap, number, kind and fragment inside. A
refused vector is named after the number in §4 of its one failure.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from backchannel.keys import Digest
from backchannel.post import packet
from backchannel.post.ciphers import PacketCipher
from backchannel.post.packet import Content, Fragment, RoundKeys, RowKey
from tests.peer import post_peer as peer
from tests.vectors.collection import Vector, write

ROOT: Final = bytes(range(32))
CHARTER: Final = Digest(b"\x43" * 32)
MAILBOX: Final = 200
READER: Final = 201
ROUND: Final = 27_000_001
NOISE: Final = hashlib.shake_256(b"noise").digest(256)
SIZE: Final = 256 - 28
ROOM: Final = SIZE - 35

KEYS: Final[dict[str, tuple[int, tuple[int, ...]]]] = {
    "all": (0, (0, 1, ROUND, 2**32 - 1)),
    "since-one": (1, (1, 2, ROUND, 2**32 - 1)),
    "since-today": (ROUND, (ROUND, ROUND + 1, ROUND + 43_200)),
    "since-the-middle": (2**31, (2**31, 2**31 + 1)),
    "since-the-last": (2**32 - 1, (2**32 - 1,)),
    "since-never": (2**32, ()),
}
ROWS: Final[dict[str, list[Any]]] = {
    "nothing": [0, 0, 0, 0, b""],
    "acknowledgements-only": [7, 0b101, 0, 0, b""],
    "fragment": [7, 0, 3, 1, b"a fragment"],
    "last-fragment": [0, 0, 4, 2, b"the last"],
    "fragment-that-fills-its-packet": [2**64 - 1, 2**128 - 1, 2**64 - 1, 1, b"f" * ROOM],
    "fragment-of-one-byte": [1, 1, 0, 1, b"f"],
    "fragment-of-zeros": [0, 0, 1, 2, bytes(9)],
}
PLAIN: Final = peer.content([7, 5, 3, 1, b"a fragment"], SIZE)


def _flip(data: bytes, at: int, bit: int = 1) -> bytes:
    out = bytearray(data)
    out[at] ^= bit
    return bytes(out)


def _content(*fields: Any) -> dict[str, Any]:
    return {"row": sealed(peer.content([*fields], SIZE))}


def sealed(plain: bytes, root: bytes = ROOT, number: int = ROUND) -> bytes:
    return peer.seal(plain, peer.row_key(root, number), NOISE, CHARTER, MAILBOX, READER)


REFUSED: Final[dict[str, dict[str, Any]]] = {
    "1-round-before": {"since": ROUND + 1},
    "1-round-too-large": {"round": 2**32},
    "2-dummy": {"row": NOISE},
    "2-zeros": {"row": bytes(256)},
    "2-nothing": {"row": b""},
    "2-nonce-and-no-tag": {"row": NOISE[:27]},
    "2-nonce-altered": {"row": _flip(sealed(PLAIN), 0)},
    "2-content-altered": {"row": _flip(sealed(PLAIN), 12)},
    "2-last-byte-of-content-altered": {"row": _flip(sealed(PLAIN), -17)},
    "2-tag-altered": {"row": _flip(sealed(PLAIN), -1)},
    "2-one-byte-short": {"row": sealed(PLAIN)[:-1]},
    "2-another-round": {"round": ROUND + 1},
    "2-another-root": {"root": ROOT[::-1]},
    "2-another-mailbox": {"mailbox": MAILBOX + 1},
    "2-another-reader": {"reader": READER + 1},
    "2-another-charter": {"charter": CHARTER[:31] + b"D"},
    "3-content-empty": {"row": sealed(b"")},
    "3-content-of-34-bytes": {"row": sealed(PLAIN[:34])},
    "4-kind-3": _content(7, 5, 3, 3, b"a fragment"),
    "4-kind-255": _content(7, 5, 3, 255, b"a fragment"),
    "5-fragment-one-byte-longer-than-its-packet": {
        "row": sealed(PLAIN[:33] + (ROOM + 1).to_bytes(2, "big") + b"f" * ROOM)
    },
    "5-longest-length": {"row": sealed(PLAIN[:33] + b"\xff\xff" + b"f" * ROOM)},
    "6-byte-after-the-fragment": {"row": sealed(_flip(PLAIN, 45))},
    "6-byte-at-the-end": {"row": sealed(_flip(PLAIN, -1))},
    "6-byte-where-there-is-no-fragment": {"row": sealed(_flip(peer.content([7, 5, 0, 0, b""], SIZE), 40))},
    "7-no-fragment-with-a-length": _content(7, 5, 0, 0, b"f"),
    "7-no-fragment-with-a-number": _content(7, 5, 1, 0, b""),
    "7-fragment-of-no-bytes": _content(7, 5, 3, 1, b""),
    "7-last-fragment-of-no-bytes": _content(7, 5, 3, 2, b""),
}


def vectors() -> dict[str, Vector]:
    keys = {f"accepted-keys-{name}": _keys(since, rounds) for name, (since, rounds) in KEYS.items()}
    rows = {f"accepted-row-{name}": _row(fields) for name, fields in ROWS.items()}
    refused = {f"refused-{name}": _refused(name, case) for name, case in REFUSED.items()}
    return keys | rows | refused


def as_content(fields: list[Any]) -> Content:
    base, bitmap, number, kind, fragment = fields
    return Content(base, bitmap, Fragment(number, fragment, kind == 2) if kind else None)


def _keys(since: int, rounds: tuple[int, ...]) -> Vector:
    kept = RoundKeys.of(ROOT).since(since)
    return {
        "root": ROOT.hex(),
        "since": since,
        "nodes": [[depth, prefix, node.hex()] for depth, prefix, node in kept.nodes],
        "keys": [[number, kept.key(number).hex()] for number in rounds],
    }


def _row(fields: list[Any]) -> Vector:
    key = RoundKeys.of(ROOT).key(ROUND)
    row = packet.seal(as_content(fields), key, NOISE, where=(CHARTER, MAILBOX, READER), cipher=PacketCipher())
    return _where() | {
        "key": RowKey(key).hex(),
        "noise": NOISE.hex(),
        "content": [*map(str, fields[:3]), fields[3], fields[4].hex()],  # numbers larger than JSON's
        "row": row.hex(),
    }


def _where() -> Vector:
    return {
        "root": ROOT.hex(),
        "since": 0,
        "round": ROUND,
        "charter": CHARTER.hex(),
        "mailbox": MAILBOX,
        "reader": READER,
    }


def _refused(name: str, case: dict[str, Any]) -> Vector:
    told = {field: value.hex() if isinstance(value, bytes) else value for field, value in case.items()}
    return _where() | {"row": sealed(PLAIN).hex()} | told | {"reason": int(name[0])}


if __name__ == "__main__":
    write("packet", vectors())
