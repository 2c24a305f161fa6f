"""Vectors of docs/spec/encoding.md: `python -m tests.vectors.make_encoding` writes them."""

from __future__ import annotations

from typing import Any, Final

from backchannel.encoding import Value, decode, encode
from backchannel.errors import MalformedError
from tests.vectors.collection import Vector, write


def _nested(levels: int) -> Value:
    return (_nested(levels - 1),) if levels > 1 else ()


ACCEPTED: Final[dict[str, Value]] = {
    "zero": 0,
    "integer-in-the-first-byte": 23,
    "integer-in-one-byte": 24,
    "integer-in-two-bytes": 256,
    "integer-in-four-bytes": 65_536,
    "integer-in-eight-bytes": 2**32,
    "largest-integer": 2**64 - 1,
    "no-bytes": b"",
    "bytes": b"\x00\xff",
    "twenty-four-bytes": bytes(24),
    "empty-text": "",
    "text": "Reuter \u2014 \u041e\u0440\u043b\u043e\u0432 \U0001f30a",
    "text-that-is-not-normalised": "e\u0301",
    "empty-array": (),
    "array": (1, b"\x02", "3", (4, ())),
    "sixteen-levels": _nested(16),
}
REFUSED: Final = {
    "nothing": "",
    "shorter-integer-than-it-says": "19 01",
    "fewer-bytes-than-it-says": "42 61",
    "fewer-items-than-it-says": "82 01",
    "huge-length": "9b ff ff ff ff ff ff ff ff",
    "bytes-after-the-end": "01 00",
    "negative-integer": "20",
    "map": "a0",
    "tag": "c0 00",
    "simple-value": "f5",
    "reserved-length": "1c",
    "indefinite-length": "9f ff",
    "one-byte-where-none-is-needed": "18 17",
    "two-bytes-where-one-is-enough": "19 00 ff",
    "four-bytes-where-two-are-enough": "1a 00 00 ff ff",
    "eight-bytes-where-four-are-enough": "1b 00 00 00 00 ff ff ff ff",
    "text-that-is-not-utf-8": "61 ff",
    "text-with-a-surrogate": "63 ed a0 80",
    "text-not-the-shortest-utf-8": "62 c0 80",
    "seventeen-levels": "81 " * 17 + "00",
}


def vectors() -> dict[str, Vector]:
    """Each value with its bytes, and each refusal with its reason."""
    accepted = {
        f"accepted-{name}": {"bytes": encode(value).hex(), "value": as_json(value)} for name, value in ACCEPTED.items()
    }
    refused = {name: bytes.fromhex(data) for name, data in REFUSED.items()}
    return accepted | {
        f"refused-{name}": {"bytes": data.hex(), "reason": _reason(data)} for name, data in refused.items()
    }


def as_json(value: Value) -> Any:
    """*value* with its types told apart; an integer is text, for readers whose numbers are floating."""
    match value:
        case int():
            return {"integer": str(value)}
        case bytes():
            return {"bytes": value.hex()}
        case str():
            return {"text": value}
        case tuple():
            return [as_json(item) for item in value]


def _reason(data: bytes) -> str:
    try:
        decode(data)
    except MalformedError as error:
        return error.message
    raise AssertionError("a refusal that is none")


if __name__ == "__main__":
    write("encoding", vectors())
