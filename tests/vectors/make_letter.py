"""Vectors of docs/spec/letter.md: `python -m tests.vectors.make_letter` writes them."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any, Final

from backchannel.encoding import Value, encode
from backchannel.errors import MalformedError
from backchannel.keys import LetterId, ReleaseSeed
from backchannel.letters import (
    Citation,
    Enclosure,
    Head,
    Items,
    Letter,
    Paragraph,
    Role,
    SignatureState,
    Text,
    unpack,
)
from tests.vectors.collection import Vector, write

ID: Final = LetterId(bytes(range(32)))
OTHER: Final = LetterId(bytes(range(32, 64)))
SEED: Final = ReleaseSeed(bytes(range(64, 96)))

SMALLEST: Final = Letter(ID, SEED, Head(), (Text(),))
EXAMPLE: Final = Letter(
    id=ID,
    seed=SEED,
    head=Head(
        "Anna Reuter", "Mikhail Orlov", "16 October 2031", "Norderhaven", "A. R.", SignatureState.INITIALLED, "draft"
    ),
    texts=(
        Text(
            salutation="Dear Mr. Orlov,",
            blocks=(Paragraph("One thing.\nAnd another:"), Items(("the weir;", "the gauges."))),
            close="Yours,",
        ),
        Text(Role.COURTESY_TRANSLATION, "ru", blocks=(Paragraph("Одно."),)),
    ),
    answers=(OTHER,),
    citations=(Citation(OTHER, 0, 2, 9),),
    enclosures=(Enclosure("gauges.csv", "text/csv", b"1,2\n"),),
)
ACCEPTED: Final = {
    "smallest": SMALLEST,
    "every-part": EXAMPLE,
    "every-role": dataclasses.replace(SMALLEST, texts=tuple(Text(role) for role in Role)),
    "signed": dataclasses.replace(SMALLEST, head=Head(state=SignatureState.SIGNED)),
    "typed": dataclasses.replace(SMALLEST, head=Head(state=SignatureState.TYPED)),
    "eight-texts": dataclasses.replace(SMALLEST, texts=(Text(),) * 8),
    "empty-paragraph": dataclasses.replace(SMALLEST, texts=(Text(blocks=(Paragraph(""), Items(("",)))),)),
    "tab-and-line-feed": dataclasses.replace(SMALLEST, texts=(Text(close="\t\n"),)),
    "not-normalised": dataclasses.replace(SMALLEST, texts=(Text(close="e\u0301 \u00e9"),)),
    "citation-to-the-last-unit": dataclasses.replace(SMALLEST, citations=(Citation(OTHER, 7, 0, 2**64 - 1),)),
}

_HEAD: Final[tuple[Value, ...]] = ("", "", "", "", "", "unsigned", "")
_TEXT: Final[tuple[Value, ...]] = ("original", "en", "", (), "")


def _letter(**parts: Value) -> bytes:
    whole: dict[str, Value] = {
        "id": ID, "seed": SEED, "head": _HEAD, "texts": (_TEXT,), "answers": (), "citations": (), "enclosures": (),
    }  # fmt: skip
    return encode(tuple((whole | parts).values()))


def _text(index: int, part: Value) -> bytes:
    return _letter(texts=((*_TEXT[:index], part, *_TEXT[index + 1 :]),))


def _head(index: int, part: Value) -> bytes:
    return _letter(head=(*_HEAD[:index], part, *_HEAD[index + 1 :]))


REFUSED: Final = {
    "not-seven-parts": encode((ID, SEED)),
    "id-of-31-bytes": _letter(id=bytes(31)),
    "seed-of-33-bytes": _letter(seed=bytes(33)),
    "head-of-six-fields": _letter(head=_HEAD[:6]),
    "unknown-signature-state": _head(5, "sealed"),
    "head-field-of-two-lines": _head(0, "Anna\nReuter"),
    "head-field-with-white-space-around-it": _head(0, "Anna Reuter "),
    "head-field-of-1025-bytes": _head(6, "x" * 1025),
    "head-field-with-an-escape": _head(3, "\x1b[2J"),
    "no-text": _letter(texts=()),
    "nine-texts": _letter(texts=(_TEXT,) * 9),
    "text-of-four-parts": _letter(texts=(_TEXT[:4],)),
    "unknown-role": _text(0, "copy"),
    "language-that-is-no-tag": _text(1, "en_GB"),
    "block-that-is-neither": _text(3, (0,)),
    "list-of-no-items": _text(3, ((),)),
    "list-in-a-list": _text(3, (("a", ("b",)),)),
    "paragraph-with-an-escape": _text(3, ("\x1b[2J",)),
    "list-item-with-a-carriage-return": _text(3, (("\r",),)),
    "salutation-with-a-c1-control": _text(2, "\u009b2J"),
    "close-with-a-delete": _text(4, "\u007f"),
    "answer-of-no-id": _letter(answers=(b"",)),
    "sixty-five-answers": _letter(answers=(OTHER,) * 65),
    "citation-of-three-parts": _letter(citations=((OTHER, 0, 0),)),
    "citation-of-a-ninth-text": _letter(citations=((OTHER, 8, 0, 0),)),
    "citation-backwards": _letter(citations=((OTHER, 0, 2, 1),)),
    "enclosure-of-two-parts": _letter(enclosures=(("a", "a/b"),)),
    "enclosure-without-a-name": _letter(enclosures=(("", "a/b", b""),)),
    "enclosure-named-as-a-folder": _letter(enclosures=(("..", "a/b", b""),)),
    "enclosure-named-by-a-path": _letter(enclosures=(("../.profile", "a/b", b""),)),
    "enclosure-named-by-a-backslash": _letter(enclosures=(("..\\a", "a/b", b""),)),
    "enclosure-named-to-be-read-backwards": _letter(enclosures=(("map\u202egnp.exe", "a/b", b""),)),
    "enclosure-name-of-256-bytes": _letter(enclosures=(("a" * 256, "a/b", b""),)),
    "enclosure-without-a-media-type": _letter(enclosures=(("a", "text", b""),)),
    "two-enclosures-of-one-name": _letter(enclosures=(("a", "a/b", b""), ("A", "a/b", b""))),
    "sixty-five-enclosures": _letter(enclosures=tuple((str(n), "a/b", b"") for n in range(65))),
}

_EMPTY: Final = encode(("empty", b""))


def _packed(data: bytes, size: int | None = None) -> bytes:
    # Level 0: what a library makes of it is then the same in all of them.
    return (len(data) if size is None else size).to_bytes(8) + zlib.compress(data, 0)


def _moved(*parts: Value) -> bytes:
    return _packed(encode(("moved", encode(parts))))


ITEMS: Final = {
    "accepted-item-letter": _packed(encode(("letter", SMALLEST.encode()))),
    "accepted-item-empty": _packed(_EMPTY),
    "accepted-item-moved": _moved(3, 70_000, bytes(32)),
    "accepted-item-of-a-later-kind": _packed(encode(("initialled text", b"\x00"))),
    "refused-item-shorter-than-its-size": bytes(7),
    "refused-item-that-states-too-much": _packed(_EMPTY, 2**62),
    "refused-item-not-a-stream": bytes(8) + b"letter",
    "refused-item-with-a-wrong-checksum": _packed(_EMPTY)[:-1] + b"\xff",
    "refused-item-cut-short": _packed(_EMPTY)[:-1],
    "refused-item-larger-than-stated": _packed(_EMPTY, len(_EMPTY) - 1),
    "refused-item-smaller-than-stated": _packed(_EMPTY, len(_EMPTY) + 1),
    "refused-item-with-bytes-after-its-end": _packed(_EMPTY) + b"\x00",
    "refused-item-without-a-payload": _packed(encode(("empty",))),
    "refused-item-empty-with-a-payload": _packed(encode(("empty", b"\x00"))),
    "refused-item-moved-to-no-place": _moved(64, 70_000, bytes(32)),
    "refused-item-moved-to-mailbox-0": _moved(3, 0, bytes(32)),
    "refused-item-moved-to-no-mailbox": _moved(3, 2**20, bytes(32)),
    "refused-item-moved-to-no-charter": _moved(3, 70_000, bytes(31)),
    "refused-item-moved-with-a-fourth-part": _moved(3, 70_000, bytes(32), 1),
    "refused-item-kind-with-a-capital": _packed(encode(("Letter", b""))),
}


def vectors() -> dict[str, Vector]:
    """Each letter with its bytes, each refusal with its reason, and so for packed items."""
    accepted = {
        f"accepted-{name}": {"bytes": letter.encode().hex(), "letter": as_json(letter)}
        for name, letter in ACCEPTED.items()
    }
    refused = {f"refused-{name}": {"bytes": data.hex(), "reason": _reason(data)} for name, data in REFUSED.items()}
    return accepted | refused | {name: _item(data) for name, data in ITEMS.items()}


def as_json(part: Any) -> Any:
    """A letter, or a draft, as JSON: bytes are hexadecimal, a paragraph has a text and a list has items."""
    if isinstance(part, bytes):
        return bytes(part).hex()
    if dataclasses.is_dataclass(part):
        return {field.name: as_json(getattr(part, field.name)) for field in dataclasses.fields(part)}
    return [as_json(item) for item in part] if isinstance(part, tuple) else part


def _reason(data: bytes) -> str:
    try:
        Letter.decode(data)
    except MalformedError as error:
        return error.message
    raise AssertionError("a refusal that is none")


def _item(data: bytes) -> Vector:
    try:
        item = unpack(data)
    except MalformedError as error:
        return {"packed": data.hex(), "reason": error.message}
    return {"packed": data.hex(), "item": as_json(item)}


if __name__ == "__main__":
    write("letter", vectors())
