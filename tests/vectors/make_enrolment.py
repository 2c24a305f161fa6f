"""Vectors of docs/spec/enrolment.md: `python -m tests.vectors.make_enrolment` writes them.

The office is that of the vectors of visits; the KEM is the seeded one, with the
bytes of `encapsulation`. A reply is given by its content without the zeros
behind it, its size and its SHA-256, a charter file by its size and SHA-256. A refused one is named after the number in
§6 of its one failure; of 3 and 4, which need members, the tests have the cases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from backchannel.kem import PrivateKey
from backchannel.post import enrolment
from backchannel.post.charter import Charter, Seat
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.enrolment import Enrolment, Ticket, TicketLine
from backchannel.post.visit import ReplyKey, VisitKey
from tests.simulation.seeded_kem import SeededKem
from tests.vectors import make_visit
from tests.vectors.collection import Vector, write

PRIVATE: Final = PrivateKey(bytes(range(96)))
CHARTER: Final = Charter(
    "example",
    tuple(
        Seat(seat.name, seat.url, seat.signing, SeededKem().public(PRIVATE)) for seat in make_visit.CHARTER.seats
    ),
    make_visit.CHARTER.shares,
    make_visit.NUMBERS,
)  # fmt: skip
OFFICE: Final[Vector] = {"office": make_visit.OFFICE | {"charter": CHARTER.digest.hex()}}
TICKET: Final = Ticket(b"\x66" * 32)
KEY: Final = ReplyKey(b"\x22" * 32)
ENCAPSULATION: Final = make_visit.fill("encapsulation", 1120)
ENROLMENT: Final = Enrolment(3, TICKET.token(3, "west"), VisitKey(b"\x11" * 32))
KEYS: Final = make_visit.TOMORROW.encode() * 2


def vectors() -> dict[str, Vector]:
    accepted = {f"accepted-{name}": OFFICE | make() for name, make in ACCEPTED.items()}
    refused = {f"refused-{name}": OFFICE | make() | {"reason": int(name[0])} for name, make in REFUSED.items()}
    return accepted | refused


def shown(file: bytes) -> list[Any]:
    return [len(file), hashlib.sha256(file).hexdigest()]


def asked(kind: str, body: bytes) -> bytes:
    return enrolment.seal(
        kind, body, KEY, charter=CHARTER, operator="west", kem=SeededKem(), random=lambda _: ENCAPSULATION
    )


def _ticket(operator: str) -> Callable[[], Vector]:
    def make() -> Vector:
        token = TICKET.token(3, operator)
        return {
            "ticket": TICKET.hex(),
            "mailbox": 3,
            "operator": operator,
            "token": token.hex(),
            "lodged": token.lodged().hex(),
        }

    return make


def _line(charter: str, mailbox: int) -> Callable[[], Vector]:
    line = TicketLine(charter, mailbox, TICKET)
    return lambda: {"charter": charter, "mailbox": mailbox, "ticket": TICKET.hex(), "line": line.format()}


def _request(kind: str, body: bytes) -> Callable[[], Vector]:
    return lambda: {
        "kind": kind,
        "body": body.hex(),
        "key": KEY.hex(),
        "private": PRIVATE.hex(),
        "encapsulation": ENCAPSULATION.hex(),
        "box": asked(kind, body).hex(),
    }


def _reply(kind: str, content: bytes, says: Any) -> Callable[[], Vector]:
    def make() -> Vector:
        sealed = enrolment.seal_reply(kind, content, KEY, cipher=ReplyCipher())
        return {
            "kind": kind,
            "key": KEY.hex(),
            "content": content.hex(),
            "says": says,
            "reply": {"size": len(sealed), "sha256": hashlib.sha256(sealed).hexdigest()},
        }

    return make


ACCEPTED: Final[dict[str, Callable[[], Vector]]] = {
    "ticket-at-one-operator": _ticket("west"),
    "ticket-at-the-other": _ticket("east"),
    "line": _line("example", 3),
    "line-of-the-highest-mailbox": _line("a-b", 2**20 - 1),
    "request-to-enrol": _request("enrol", ENROLMENT.encode()),
    "request-for-keys": _request("key", b""),
    "request-for-a-charter": _request("charter", b""),
    "enrolled": _reply("enrol", enrolment.encode_enrolled(1012), 1012),
    "enrolled-from-round-0": _reply("enrol", enrolment.encode_enrolled(0), 0),
    "enrolled-from-the-last-round": _reply("enrol", enrolment.encode_enrolled(2**32 - 1), 2**32 - 1),
    "not-enrolled": _reply("enrol", enrolment.encode_enrolled(None), None),
    "keys": _reply("key", KEYS, [KEYS[:4597].hex(), KEYS[4597:].hex()]),
    "charter": _reply("charter", enrolment.encode_charter(b"a charter file"), shown(b"a charter file")),
    "no-charter": _reply("charter", enrolment.encode_charter(b""), shown(b"")),
    "largest-charter": _reply("charter", (128 * 1024 - 4).to_bytes(4), shown(bytes(128 * 1024 - 4))),
}


def _box(change: Callable[[bytes], bytes], **fields: str) -> Callable[[], Vector]:
    def make() -> Vector:
        box = change(asked("enrol", ENROLMENT.encode()))
        return {"kind": "enrol", "private": PRIVATE.hex(), "box": box.hex()} | fields

    return make


def _sealed(size: int) -> bytes:
    """A box that opens, to something of another size."""
    to = CHARTER.seats[0].sealing
    return SeededKem().seal(to, enrolment._info("enrol", CHARTER, "west"), bytes(size), lambda _: ENCAPSULATION)


def _bad_reply(kind: str, content: bytes, **spoilt: Any) -> Callable[[], Vector]:
    return lambda: {"kind": kind, "key": KEY.hex(), "content": content.hex()} | spoilt


def _bad_line(line: str) -> Callable[[], Vector]:
    return lambda: {"line": line}


LINE: Final = TicketLine("example", 3, TICKET).format()
REFUSED: Final[dict[str, Callable[[], Vector]]] = {
    "1-box-empty": _box(lambda _: b""),
    "1-box-one-byte-short": _box(lambda box: box[:-1]),
    "1-box-one-byte-long": _box(lambda box: box + b"\0"),
    "1-box-sealed-of-a-byte-less": _box(lambda _: _sealed(71 + 32)),
    "1-box-sealed-of-a-byte-more": _box(lambda _: _sealed(72 + 33)),
    "2-box-altered": _box(lambda box: box[:-1] + bytes([box[-1] ^ 1])),
    "2-box-to-another-key": _box(lambda box: box, private="00" * 96),
    "2-box-of-another-kind": _box(lambda box: box, kind="key"),
    "5-reply-one-byte-short": _bad_reply("enrol", enrolment.encode_enrolled(1), cut=1),
    "5-reply-altered": _bad_reply("enrol", enrolment.encode_enrolled(1), flip=0),
    "5-reply-of-another-kind": _bad_reply("enrol", enrolment.encode_enrolled(1), opened_as="key"),
    "5-reply-under-another-key": _bad_reply("key", KEYS, opened_with="00" * 32),
    "6-round-of-33-bits": _bad_reply("enrol", (2**32 + 1).to_bytes(8)),
    "6-charter-longer-than-its-room": _bad_reply("charter", (128 * 1024 - 3).to_bytes(4)),
    "7-line-empty": _bad_line(""),
    "7-line-of-two-parts": _bad_line(LINE.partition(" ")[2]),
    "7-line-of-four-parts": _bad_line(LINE + " a"),
    "7-line-with-a-letter-wrong": _bad_line(LINE[:-1] + ("a" if LINE[-1] != "a" else "b")),
    "7-line-one-letter-short": _bad_line(LINE[:-1]),
    "7-line-of-another-charter": _bad_line(LINE.replace("example", "examples")),
    "7-line-of-another-mailbox": _bad_line(LINE.replace(" 3 ", " 4 ")),
    "7-line-with-a-zero-in-front": _bad_line(LINE.replace(" 3 ", " 03 ")),
    "7-line-with-a-mailbox-of-letters": _bad_line(LINE.replace(" 3 ", " x ")),
    "7-line-with-a-digit-that-base32-has-not": _bad_line(LINE[:-1] + "1"),
    "7-line-of-mailbox-0": _bad_line(TicketLine("example", 0, TICKET).format()),
    "7-line-of-a-mailbox-above-all": _bad_line(TicketLine("example", 2**20, TICKET).format()),
}


def example() -> dict[str, str]:
    """The values of §7."""
    reply = enrolment.seal_reply("enrol", enrolment.encode_enrolled(1012), KEY, cipher=ReplyCipher())
    return {
        "token at west": ENROLMENT.token.hex(),
        "lodged there": ENROLMENT.token.lodged().hex(),
        "body": ENROLMENT.encode().hex(),
        "reply": reply.hex(),
        "line": LINE,
    }


if __name__ == "__main__":
    write("enrolment", vectors())
