"""Vectors of docs/spec/tray.md: `python -m tests.vectors.make_tray` writes them.

`said` is what a file says, as the array of §2, bytes in hexadecimal behind `h:`.
The files are of 2,048 bytes, far less than a pairing allows: the form is the same.
A refused one is named after the number in §5 of its one failure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import cbor2

from backchannel.keys import Digest
from backchannel.post import tray
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.tray import (
    FromDesk,
    FromPorter,
    LineName,
    LineStatus,
    LineTerms,
    OperatorStatus,
    PairingKey,
    Report,
)
from tests.vectors.collection import Vector, write

KEY: Final = PairingKey(b"\x42" * 32)
OTHER: Final = PairingKey(b"\x43" * 32)
SEED: Final = bytes(range(32))
SIZE: Final = 2048
M, A = LineName(b"m" * 12), LineName(b"a" * 12)

EMPTY: Final = FromDesk(1, 0, (), ())
DESK: Final = FromDesk(
    7,
    41,
    (
        LineTerms(M, 9, 0, 1, 4, (3, 5), ((3, b"\x33" * 32), (4, b"\x44" * 32))),
        LineTerms(A, 2**20 - 1, 63, 63, -1, (), ((-1, b"\x55" * 32),)),
    ),
    ((M, b"an envelope"), (A, b"another"), (M, b"a third")),
    (Digest(b"\x77" * 32),),
    b"a charter file",
)
PORTER: Final = FromPorter(
    number=42,
    heard=7,
    round=1010,
    charter=b"a charter file",
    mailbox=3,
    effective=1005,
    copy=True,
    attendance=((20_000, 1440, 1438), (20_001, 12, 12)),
    envelopes=((M, b"a reply"),),
    carried=(Digest(b"\x88" * 32),),
    lines=(LineStatus(M, 12, 1009, (3, 4)), LineStatus(A, 0, 0, (-1,))),
    operators=(OperatorStatus("west", 1010, 2**40 + 12, (2, 5)), OperatorStatus("east", 0, 2**40 - 7, ())),
    reports=(Report(20_000, "did not reply", "east", 2), Report(20_001, "rounds are void", "", 1)),
    asking=b"another charter file",
)
NEW: Final = FromPorter(1, 0, 1000, b"", 0, 0, False, (), (), (), (), (), ())  # noqa: FBT003 - all of it in order


def vectors() -> dict[str, Vector]:
    accepted = {f"accepted-{name}": _accepted(said, size) for name, (said, size) in ACCEPTED.items()}
    return accepted | {f"refused-{name}": make() | {"reason": int(name[0])} for name, make in REFUSED.items()}


ACCEPTED: Final[dict[str, tuple[FromDesk | FromPorter, int]]] = {
    "desk-empty": (EMPTY, SIZE),
    "desk": (DESK, SIZE),
    "desk-that-just-fits": (EMPTY, tray.OVERHEAD + len(EMPTY.encode())),
    "porter": (PORTER, SIZE),
    "porter-new": (NEW, SIZE),
}


def plain(value: Any) -> Any:
    """An array as JSON has it."""
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    return f"h:{value.hex()}" if isinstance(value, bytes) else value


def array(value: Any) -> Any:
    """The inverse of :func:`plain`."""
    if isinstance(value, list):
        return [array(each) for each in value]
    return bytes.fromhex(value[2:]) if isinstance(value, str) and value.startswith("h:") else value


def file(said: FromDesk | FromPorter, size: int = SIZE) -> bytes:
    return tray.seal(said, KEY, size, random=lambda _: SEED, cipher=ReplyCipher())


def _accepted(said: FromDesk | FromPorter, size: int) -> Vector:
    return {
        "whose": "desk" if isinstance(said, FromDesk) else "porter",
        "pairing": KEY.hex(),
        "seed": SEED.hex(),
        "said": plain(cbor2.loads(said.encode())),
        "file": file(said, size).hex(),
    }


def _file(said: FromDesk | FromPorter, change: Callable[[bytes], bytes], **fields: str) -> Callable[[], Vector]:
    whose = "desk" if isinstance(said, FromDesk) else "porter"
    return lambda: {"whose": whose, "pairing": KEY.hex(), "file": change(file(said)).hex()} | fields


def _flip(at: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        out = bytearray(data)
        out[at] ^= 1
        return bytes(out)

    return change


def _content(whose: str, content: bytes) -> Callable[[], Vector]:
    """A file of whoever holds the key, with any content."""

    def make() -> Vector:
        label = tray.LABEL_DESK if whose == "desk" else tray.LABEL_PORTER
        body = content.ljust(SIZE - 48, b"\0")
        sealed = ReplyCipher().seal(tray._key(SEED, KEY, label), bytes(12), body, b"")
        return {"whose": whose, "pairing": KEY.hex(), "file": (SEED + sealed).hex()}

    return make


def _raw(whose: str, raw: bytes) -> Callable[[], Vector]:
    return _content(whose, len(raw).to_bytes(4) + raw)


def _desk(at: int, value: Any) -> Callable[[], Vector]:
    said = list(cbor2.loads(DESK.encode()))
    said[at] = value
    return _raw("desk", cbor2.dumps(said))


def _line(at: int, value: Any) -> Callable[[], Vector]:
    line = list(cbor2.loads(DESK.encode())[2][0])
    line[at] = value
    return _desk(2, [line])


def _porter(at: int, value: Any) -> Callable[[], Vector]:
    said = list(cbor2.loads(PORTER.encode()))
    said[at] = value
    return _raw("porter", cbor2.dumps(said))


# An encoding that fills its file to the last byte.
FULL: Final = FromDesk(1, 0, (), (), (), bytes(tray.room(SIZE) - 9)).encode()
LINE: Final = cbor2.loads(DESK.encode())[2][0]
REFUSED: Final[dict[str, Callable[[], Vector]]] = {
    "1-empty": _file(DESK, lambda _: b""),
    "1-of-52-bytes": _file(DESK, lambda data: data[:52]),
    "2-of-53-bytes": _file(DESK, lambda data: data[:53]),
    "2-another-pairing": _file(DESK, lambda data: data, pairing=OTHER.hex()),
    "2-the-porters-own-file": _file(PORTER, lambda data: data, whose="desk"),
    "2-the-desks-own-file": _file(DESK, lambda data: data, whose="porter"),
    "2-seed-altered": _file(DESK, _flip(0)),
    "2-content-altered": _file(DESK, _flip(32)),
    "2-last-byte-altered": _file(DESK, _flip(-1)),
    "2-one-byte-long": _file(DESK, lambda data: data + b"\0"),
    "3-length-beyond-the-end": _content("desk", (SIZE - 51).to_bytes(4)),
    "3-length-one-beyond-a-full-file": _content("desk", (len(FULL) + 1).to_bytes(4) + FULL),
    "4-no-encoding": _raw("desk", b""),
    "4-a-byte-after-its-end": _raw("desk", EMPTY.encode() + b"\0"),
    "4-not-an-array": _raw("desk", cbor2.dumps(7)),
    "4-five-values": _raw("desk", cbor2.dumps([1, 0, [], [], []])),
    "4-a-type-that-is-not-used": _raw("desk", cbor2.dumps([1, 0, [], [], [], None])),
    "4-number-not-a-number": _desk(0, b"\x01"),
    "4-number-of-49-bits": _desk(0, 2**48),
    "4-heard-not-a-number": _desk(1, []),
    "4-lines-not-an-array": _desk(2, 0),
    "4-lines-too-many": _desk(2, [[i.to_bytes(12, "big"), 1, 0, 0, 0, [], []] for i in range(257)]),
    "4-two-lines-of-one-name": _desk(2, [LINE, LINE]),
    "4-line-of-six-values": _desk(2, [LINE[:6]]),
    "4-line-name-of-11-bytes": _line(0, b"m" * 11),
    "4-line-name-an-array-of-numbers": _line(0, [109] * 12),
    "4-line-of-mailbox-0": _line(1, 0),
    "4-line-of-a-mailbox-above-all": _line(1, 2**20),
    "4-line-at-place-64": _line(2, 64),
    "4-line-at-their-place-64": _line(3, 64),
    "4-line-sending-not-a-number": _line(4, "5"),
    "4-line-reading-too-many": _line(5, list(range(17))),
    "4-line-reading-not-a-number": _line(5, [b""]),
    "4-line-roots-too-many": _line(6, [[i, bytes(32)] for i in range(17)]),
    "4-line-root-of-31-bytes": _line(6, [[5, bytes(31)]]),
    "4-line-root-an-array-of-numbers": _line(6, [[5, [0] * 32]]),
    "4-envelope-empty": _desk(3, [[b"m" * 12, b""]]),
    "4-envelope-a-text": _desk(3, [[b"m" * 12, "an envelope"]]),
    "4-dropped-of-31-bytes": _desk(4, [bytes(31)]),
    "4-charter-a-text": _desk(5, ""),
    "4-porter-number-not-a-number": _porter(0, []),
    "4-porter-heard-not-a-number": _porter(1, ""),
    "4-porter-round-of-49-bits": _porter(2, 2**48),
    "4-porter-charter-a-number": _porter(3, 0),
    "4-porter-mailbox-above-all": _porter(4, 2**20),
    "4-porter-effective-not-a-number": _porter(5, b""),
    "4-porter-copy-of-2": _porter(6, 2),
    "4-porter-attendance-of-two-values": _porter(7, [[20_000, 1]]),
    "4-porter-attendance-not-a-number": _porter(7, [[20_000, 1, b""]]),
    "4-porter-envelope-empty": _porter(8, [[b"m" * 12, b""]]),
    "4-porter-carried-of-33-bytes": _porter(9, [bytes(33)]),
    "4-porter-lines-too-many": _porter(10, [[b"m" * 12, 0, 0, []]] * 257),
    "4-porter-line-waiting-not-a-number": _porter(10, [[b"m" * 12, b"", 0, []]]),
    "4-porter-line-roots-too-many": _porter(10, [[b"m" * 12, 0, 0, [0] * 17]]),
    "4-porter-operator-not-a-name": _porter(11, [[b"west", 0, 0, []]]),
    "4-porter-operator-of-a-long-name": _porter(11, [["w" * 256, 0, 0, []]]),
    "4-porter-operator-counts-not-numbers": _porter(11, [["west", 0, 0, [""]]]),
    "4-porter-report-of-no-kind": _porter(12, [[20_000, 1, "east", 2]]),
    "4-porter-report-of-no-operator": _porter(12, [[20_000, "did not reply", b"", 2]]),
    "4-porter-report-of-no-count": _porter(12, [[20_000, "did not reply", "east", "2"]]),
    "4-porter-asking-a-text": _porter(13, ""),
}


def example() -> dict[str, bytes]:
    """The values of §6."""
    made = file(EMPTY, 256)
    return {
        "key": tray._key(SEED, KEY, tray.LABEL_DESK),
        "said": EMPTY.encode(),
        "file at 32": made[32:64],
        "tag": made[-16:],
    }


if __name__ == "__main__":
    write("tray", vectors())
