"""Vectors of docs/spec/charter.md: `python -m tests.vectors.make_charter` writes them.

`value` is what is encoded: a list is an array, a text is a text, and bytes are
{"hex": ...}; {"shake": [text, size]}, that much of SHAKE-256 of the text;
{"encoding": value}; {"public": name}, the signing key whose seeds are SHAKE-256
of the name; or {"signature": name}, its signature, "flip" the offset of a byte
whose lowest bit is changed. {"times": [n, value]} is an array. A refused vector is named after the number in §5 of its one
failure; `then` says what was done to the bytes. Signatures are drawn with
randomness that nobody gives, so those of `charter/recorded/` were made once.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import cbor2

from backchannel.post.charter import LABEL_SIGNED, Charter, SignedCharter
from backchannel.signing import Signer, SigningKey
from tests.peer import post_peer as peer
from tests.vectors.collection import HERE, Vector, write

RECORDED: Final = HERE / "charter" / "recorded" / "signatures.json"
TERMS: Final = b"backchannel/v1/charter/terms".hex()
SIGNERS: Final = ("west", "east", "north", "foreign")  # of the seed SHAKE-256 of the name
SEATS: Final[list[Any]] = [
    [name, f"https://{name}.example", {"shake": [f"{name} signing", 1984]}, {"shake": [f"{name} sealing", 1216]}]
    for name in ("west", "east")
]
NUMBERS: Final = [256, 4096, 60_000, 8, 2, 8, 1440, 2000, 1440, 1440, 1000, 1_900_000_000_000]
GOOD: Final[list[Any]] = [
    {"hex": TERMS},
    "office",
    SEATS,
    [["west", 1, 128, 16], ["east", 129, 127, 0]],
    NUMBERS,
    {"hex": ""},
]
ROUNDS: Final = (0, 1, 999, 1000, 1001, 1002, 1009, 1439, 1440, 2440, 2441, 123_456, 2**32 - 1)
MAILBOXES: Final = (1, 2, 255)


@cache
def signer(name: str) -> Signer:
    return Signer.of(SigningKey(shake(name, SigningKey.size)))


def raw(value: Any) -> bytes:
    """The bytes of a value."""
    return cbor2.dumps(_plain(value), canonical=True)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    return next(make(value) for name, make in _MAKERS.items() if name in value)


def _signature(value: Any) -> bytes:
    signature = bytearray.fromhex(json.loads(RECORDED.read_text())[value["signature"]])
    if "flip" in value:
        signature[value["flip"]] ^= 1
    return bytes(signature)


_MAKERS: Final[dict[str, Callable[[Any], Any]]] = {
    "hex": lambda value: bytes.fromhex(value["hex"]),
    "shake": lambda value: shake(*value["shake"]),
    "encoding": lambda value: raw(value["encoding"]),
    "public": lambda value: signer(value["public"]).public,
    "signature": _signature,
    "times": lambda value: value["times"][0] * [value["times"][1]],
}


def shake(text: str, size: int) -> bytes:
    return hashlib.shake_256(text.encode()).digest(size)


def made(vector: Vector) -> bytes:
    """The bytes of *vector*, as they come."""
    data = raw(vector["value"])
    for what, at in vector.get("then", ()):
        if what == "cut":
            data = data[:at]
        elif what == "lengthened":
            data += bytes(at)
        else:
            old, new = map(bytes.fromhex, at)
            assert data.count(old) == 1
            data = data.replace(old, new)
    return data


def vectors() -> dict[str, Vector]:
    terms = {f"accepted-terms-{name}": accepting(value) for name, value in ACCEPTED.items()}
    refused = {f"refused-terms-{name}": {"value": value, "reason": int(name[0])} for name, value in REFUSED.items()}
    forms = {f"refused-terms-{name}": {"value": GOOD, "then": then, "reason": 1} for name, then in FORMS.items()}
    return terms | refused | forms | _files()


def accepting(value: list[Any]) -> Vector:
    data = raw(value)
    charter = Charter.decode(data)
    return {"value": value, "sha256": hashlib.sha256(data).hexdigest(), "digest": charter.digest.hex()} | _clock(
        charter
    )


def _clock(charter: Charter) -> Vector:
    return {
        "instants": [
            [
                number,
                charter.begins(number),
                charter.agreed_by(number),
                [charter.instant(mailbox, number) for mailbox in MAILBOXES],
            ]
            for number in ROUNDS
        ],
        "rounds": [
            [now, charter.round_at(now)]
            for offset in (-120_001, -1, 0, 1, 59_999, 60_000, 10**11)
            for now in [charter.numbers.start + offset]
        ],
        "days": [[number, charter.day_of(number), charter.effective(number)] for number in ROUNDS],
        "tables": [[number, charter.tables(number, more=True), charter.explicit(number, 0)] for number in ROUNDS],
    }


def _with(at: tuple[int, ...], new: Any) -> list[Any]:
    """The good charter with the field of that path changed."""
    value = copy.deepcopy(GOOD)
    field: Any = value
    for step in at[:-1]:
        field = field[step]
    field[at[-1]] = new
    return value


def _numbers(**changed: int) -> list[Any]:
    numbers = dict(zip(peer.NUMBERS, NUMBERS, strict=True)) | changed
    return _with((4,), list(numbers.values()))


def _seats(count: int) -> list[Any]:
    seats = [
        [f"operator-{at}", f"http://[::1]:80{at}/post", {"shake": [f"{at} signing", 1984]}, {"shake": [f"{at}", 1216]}]
        for at in range(count)
    ]
    return _with((2,), seats)


LONGEST: Final = "a" * 64
LEAST_SHARES: Final = [["west", at, 1, 1] for at in range(1, 65)]
LOWEST: Final = [8, 256, 200, 1, 1, 1, 1, 0, 1, 1, 0, 0]
HIGHEST: Final = [
    2**20,
    65_536,
    86_400_000,
    64,
    8,
    64,
    2**20,
    3_600_000,
    2**20,
    2**20,
    2**32 - 1,
    253_402_300_799_999,
]

ACCEPTED: Final[dict[str, list[Any]]] = {
    "two-operators": GOOD,
    "eight-operators": _seats(8),
    "with-a-predecessor": _with((5,), {"shake": ["predecessor", 32]}),
    "no-shares": _with((3,), []),
    "sixty-four-shares": _with((3,), LEAST_SHARES),
    "share-up-to-the-last-mailbox": _with((3,), [["west", 255, 1, 1]]),
    "longest-name": _with((1,), LONGEST),
    "name-of-one-letter": _with((1,), "a"),
    "longest-address": _with((2, 0, 1), "http://west.example/" + "p" * 235),
    "lowest-numbers": [*GOOD[:3], [], LOWEST, GOOD[5]],
    "highest-numbers": [*GOOD[:4], HIGHEST, GOOD[5]],
    "period-that-five-does-not-divide": _numbers(period=59_999),
    "one-block": _numbers(window=8),
    "one-old-table": _numbers(catch_up=1),
    "hold-of-a-tenth": _numbers(hold=6_000),
}

REFUSED: Final[dict[str, Any]] = {
    "1-too-large": [*GOOD[:5], {"shake": ["", 131_068]}],
    "1-too-many-values": _with((3,), {"times": [4097, 0]}),
    "2-not-an-array": "charter",
    "2-five-fields": GOOD[:5],
    "2-seven-fields": [*GOOD, 0],
    "2-another-label": _with((0,), {"hex": LABEL_SIGNED.hex()}),
    "2-name-as-bytes": _with((1,), {"hex": "6f"}),
    "2-operators-no-array": _with((2,), 2),
    "2-operator-of-three-fields": _with((2, 0), SEATS[0][:3]),
    "2-operator-name-a-number": _with((2, 0, 0), 7),
    "2-address-as-bytes": _with((2, 0, 1), {"hex": b"http://west".hex()}),
    "2-signing-key-one-byte-short": _with((2, 0, 2), {"shake": ["west signing", 1983]}),
    "2-signing-key-as-numbers": _with((2, 0, 2), {"times": [1984, 1]}),
    "2-sealing-key-one-byte-long": _with((2, 0, 3), {"shake": ["west sealing", 1217]}),
    "2-sealing-key-as-text": _with((2, 0, 3), "k" * 1216),
    "2-shares-no-array": _with((3,), 0),
    "2-share-of-three-fields": _with((3, 0), ["west", 1, 128]),
    "2-share-of-a-number": _with((3, 0, 0), 1),
    "2-share-from-an-array": _with((3, 0, 1), []),
    "2-eleven-numbers": [*GOOD[:4], NUMBERS[:11], GOOD[5]],
    "2-thirteen-numbers": [*GOOD[:4], [*NUMBERS, 0], GOOD[5]],
    "2-number-as-text": _with((4, 0), "256"),
    "2-predecessor-of-31-bytes": _with((5,), {"shake": ["predecessor", 31]}),
    "2-predecessor-zero": _with((5,), 0),
    "2-predecessor-an-empty-text": _with((5,), ""),
    "2-predecessor-as-numbers": _with((5,), {"times": [32, 7]}),
    **{
        f"3-{name.replace('_', '-')}-below-its-bound": [
            *GOOD[:3],
            [],
            [*LOWEST[:at], low - 1, *LOWEST[at + 1 :]],
            GOOD[5],
        ]
        for at, (name, low) in enumerate(zip(peer.NUMBERS, LOWEST, strict=True))
        if low
    },
    **{
        f"3-{name.replace('_', '-')}-above-its-bound": [
            *GOOD[:4],
            [*HIGHEST[:at], high + 1, *HIGHEST[at + 1 :]],
            GOOD[5],
        ]
        for at, (name, high) in enumerate(zip(peer.NUMBERS, HIGHEST, strict=True))
    },
    "4-capacity-no-multiple-of-eight": _numbers(capacity=260),
    "4-window-no-multiple-of-catch-up": _numbers(window=1441),
    "4-hold-over-a-tenth": _numbers(hold=6_001),
    "5-one-operator": _seats(1),
    "5-nine-operators": _seats(9),
    "5-two-operators-of-one-name": _with((2, 1, 0), "west"),
    "5-two-operators-of-one-signing-key": _with((2, 1, 2), {"shake": ["west signing", 1984]}),
    "6-name-empty": _with((1,), ""),
    "6-name-of-65-letters": _with((1,), LONGEST + "a"),
    "6-name-with-a-capital": _with((1,), "Office"),
    "6-name-with-a-blank": _with((1,), "the office"),
    "6-name-with-a-hyphen-first": _with((1,), "-office"),
    "6-name-with-a-hyphen-last": _with((1,), "office-"),
    "6-name-with-a-line-feed": _with((1,), "office\n"),
    "6-name-of-a-digit-that-is-not-ascii": _with((1,), "office\u0661"),
    "6-operator-name-empty": _with((2, 1, 0), ""),
    "6-issuer-with-a-dot": _with((3, 1, 0), "east.example"),
    "6-address-of-another-scheme": _with((2, 0, 1), "ftp://west.example"),
    "6-address-without-a-host": _with((2, 0, 1), "https://"),
    "6-address-with-a-user": _with((2, 0, 1), "https://anna@west.example"),
    "6-address-with-a-query": _with((2, 0, 1), "https://west.example/?a"),
    "6-address-with-a-line-feed": _with((2, 0, 1), "https://west.example\n"),
    "6-address-of-256-characters": _with((2, 0, 1), "http://west.example/" + "p" * 236),
    "7-sixty-five-shares": _with((3,), [*LEAST_SHARES, ["east", 65, 1, 1]]),
    "7-share-with-mailbox-zero": _with((3, 0, 1), 0),
    "7-share-of-no-mailbox": _with((3, 0), ["west", 1, 0, 0]),
    "7-shares-that-overlap": _with((3, 0, 2), 129),
    "7-shares-out-of-order": _with((3,), GOOD[3][::-1]),
    "7-share-beyond-the-last-mailbox": _with((3, 1, 2), 128),
    "7-quorum-over-its-share": _with((3, 0, 3), 129),
}
FORMS: Final[dict[str, list[Any]]] = {
    "1-nothing": [["cut", 0]],
    "1-cut-short": [["cut", -1]],
    "1-a-byte-after-the-end": [["lengthened", 1]],
    "1-a-number-not-in-its-shortest-form": [["replaced", ["190100191000", "1a00000100191000"]]],
    "1-a-type-that-is-not-used": [["replaced", ["666f6666696365", "f6"]]],
}


def signed_terms() -> list[Any]:
    """The good charter, its operators' keys real ones; north is not among them."""
    value = copy.deepcopy(GOOD)
    for seat in value[2]:
        seat[2] = {"public": seat[0]}
    return value


def _entry(name: str) -> list[Any]:
    return [{"public": name}, {"signature": name}]


def _file(*names: str) -> list[Any]:
    return [{"hex": LABEL_SIGNED.hex()}, {"encoding": signed_terms()}, [_entry(name) for name in names]]


def _flipped(at: int) -> list[Any]:
    """The file of both, the byte at *at* of east's signature altered."""
    value = _file("west", "east")
    value[2][1][1]["flip"] = at
    return value


def _field(at: int, new: Any) -> list[Any]:
    value = _file("west", "east")
    value[at] = new
    return value


def _of_another() -> list[Any]:
    value = _file("west", "east")
    value[2][1][0] = _entry("north")[0]
    return value


def _over_another() -> list[Any]:
    value = _file("west", "east")
    value[1]["encoding"][1] = "another"
    return value


SIGNED: Final[dict[str, Callable[[], list[Any]]]] = {
    "signed-by-all": lambda: _file("west", "east"),
    "in-another-order": lambda: _file("east", "west"),
    "signed-by-none": _file,
    "one-missing": lambda: _file("east"),
    "with-a-foreign-one": lambda: _file("west", "east", "foreign"),
}
REFUSED_FILES: Final[dict[str, Callable[[], Any]]] = {
    "1-charter-too-large": lambda: _field(1, {"shake": ["", 131_068]}),
    "1-too-many-values": lambda: _field(2, {"times": [52, 0]}),
    "1-charter-no-encoding": lambda: _field(1, {"hex": "ff"}),
    "2-not-an-array": lambda: 7,
    "2-two-fields": lambda: _file("west")[:2],
    "2-another-label": lambda: _field(0, {"hex": TERMS}),
    "2-charter-a-number": lambda: _field(1, 7),
    "2-charter-an-array": lambda: _field(1, [0x61, 0xFF]),
    "2-charter-a-text": lambda: _field(1, "charter"),
    "2-signatures-no-array": lambda: _field(2, 0),
    "2-signature-without-its-key": lambda: _field(2, [[_entry("west")[1]]]),
    "2-signature-one-byte-short": lambda: _field(2, [[_entry("west")[0], {"shake": ["", 3372]}]]),
    "2-key-one-byte-long": lambda: _field(2, [[{"shake": ["", 1985]}, _entry("west")[1]]]),
    "4-charter-that-does-not-fit": lambda: _field(1, {"encoding": _numbers(hold=6_001)}),
    "8-two-of-one-key": lambda: _file("west", "west"),
    "9-first-byte-of-ed25519-altered": lambda: _flipped(0),
    "9-last-byte-of-ed25519-altered": lambda: _flipped(63),
    "9-first-byte-of-ml-dsa-altered": lambda: _flipped(64),
    "9-last-byte-of-ml-dsa-altered": lambda: _flipped(-1),
    "9-of-another-key": _of_another,
    "9-over-another-charter": _over_another,
}


def _files() -> dict[str, Vector]:
    vectors: dict[str, Vector] = {}
    for name, make in SIGNED.items():
        value = make()
        file = SignedCharter.decode(raw(value))
        vectors[f"accepted-file-{name}"] = {
            "value": value,
            "digest": file.charter.digest.hex(),
            "signers": [hashlib.sha256(key).hexdigest() for key, _ in file.signatures],
            "missing": list(file.missing),
        }
    refused = {
        f"refused-file-{name}": {"value": make(), "reason": int(name[0])} for name, make in REFUSED_FILES.items()
    }
    return vectors | refused


def record() -> None:
    """Sign the charter of the files, if nobody has."""
    if RECORDED.exists():
        return
    RECORDED.parent.mkdir(parents=True, exist_ok=True)
    body = raw(signed_terms())
    made = {name: signer(name).sign(LABEL_SIGNED, body).hex() for name in SIGNERS}
    RECORDED.write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    record()
    write("charter", vectors())
