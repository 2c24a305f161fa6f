"""Vectors of docs/spec/round.md: `python -m tests.vectors.make_round` writes them.

Greetings, sessions, questions and answers of the link, and the settling of three
honest operators' lists. Signatures are filler: pyca draws while it signs, so
what a signature rejects is in the tests. A refused vector is named after the
number in §7 of its one failure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from backchannel.kem import PublicKey
from backchannel.keys import Digest
from backchannel.post import settling
from backchannel.post.charter import Charter, Seat
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.link import Greeting, LinkSecret, Session
from backchannel.post.settling import Settling
from backchannel.signing import Signature, VerifyingKey
from tests.vectors import make_visit
from tests.vectors.collection import Vector, write

CHARTER: Final = Charter(
    "example",
    (*make_visit.CHARTER.seats, Seat("north", "http://north.example", VerifyingKey(b"\x03" * 1984), PublicKey(bytes(1216)))),
    make_visit.CHARTER.shares,
    make_visit.NUMBERS,
)  # fmt: skip
GREETING: Final = Greeting(CHARTER.digest, "west", "east", PublicKey(b"\x44" * 1216), Signature(b"\x55" * 3373))
SECRET: Final = LinkSecret(b"\x66" * 32)
QUESTION: Final = ("rows", 1009, (1, 3))
ANSWER: Final = (b"\x01" * 256, b"")
TIME: Final = 1_950_000_612_345


def vectors() -> dict[str, Vector]:
    accepted = {f"accepted-{name}": make() for name, make in ACCEPTED.items()}
    return accepted | {f"refused-{name}": make() | {"reason": int(name[0])} for name, make in REFUSED.items()}


def greeted(greeting: Greeting = GREETING) -> Vector:
    return {
        "charter": greeting.charter.hex(),
        "sender": greeting.sender,
        "receiver": greeting.receiver,
        "key": greeting.key.hex(),
        "secret": SECRET.hex(),
    }


def session(count: int = 0) -> Session:
    made = Session.of(SECRET, GREETING, "east")
    made.count = count
    return made


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return f"h:{value.hex()}" if isinstance(value, bytes) else value


def _greeting() -> Vector:
    return greeted() | {"signature": GREETING.signature.hex(), "greeting": GREETING.encode().hex()}


def _session() -> Vector:
    made = session()
    return greeted() | {"session": made.id.hex(), "asking": made.asking.hex(), "answering": made.answering.hex()}


def _question(number: int, asked: Any) -> Callable[[], Vector]:
    return lambda: (
        greeted()
        | {
            "number": number,
            "asked": plain(asked),
            "question": session(number - 1).ask(asked, ReplyCipher()).hex(),
        }
    )


def _answer(number: int, said: Any) -> Callable[[], Vector]:
    return lambda: (
        greeted()
        | {
            "number": number,
            "time": TIME,
            "said": plain(said),
            "answer": session().answer(number, (TIME, said), ReplyCipher()).hex(),
        }
    )


def lists() -> dict[str, tuple[bytes, dict[int, bytes]]]:
    """What three operators were given: mailbox 1 at all, 2 at two, 3 at one, 4 with two rows, 5 of no member at one."""
    row = {at: make_visit.fill(f"row {at}", 256) for at in range(1, 6)}
    return {
        "west": (b"\x7c\x00", {1: row[1], 2: row[2], 4: row[4], 5: row[5]}),
        "east": (b"\x78\x00", {1: row[1], 2: row[2], 4: row[5]}),
        "north": (b"\x7d\x00", {1: row[1], 3: row[3], 5: row[5]}),
    }


def settled() -> dict[str, Settling]:
    """Three honest operators, one step after the other until all is agreed."""
    made = {
        name: Settling(CHARTER, name, 1009, roster, dict(rows)) for name, (roster, rows) in lists().items()
    }  # fmt: skip
    for _ in range(5):
        for one in made.values():
            for peer, request in one.requests():
                one.heard(peer, request, _told(made[peer], request))
    return made


def _told(one: Settling, request: Any) -> Any:
    match request:
        case ("list", _):
            return one.given()
        case ("rows", _, mailboxes):
            return tuple(one.rows.get(mailbox, b"") for mailbox in mailboxes)
        case _:
            return (one.descriptor.encode(),) if one.descriptor else settling.NOT_YET


def _settling() -> Vector:
    done = settled()["west"]
    assert done.descriptor is not None
    assert done.table is not None
    return {
        "charter": CHARTER.digest.hex(),
        "round": 1009,
        "N": 16,
        "lists": {
            name: {"roster": roster.hex(), "rows": {str(m): row.hex() for m, row in rows.items()}}
            for name, (roster, rows) in lists().items()
        },
        "digests": {str(m): settling.digest(m, row).hex() for m, row in lists()["west"][1].items()},
        "roster": done.roster.hex(),
        "table": sorted(done.table),
        "descriptor": done.descriptor.encode().hex(),
    }


ACCEPTED: Final[dict[str, Callable[[], Vector]]] = {
    "greeting": _greeting,
    "session": _session,
    "question": _question(1, QUESTION),
    "question-of-a-high-number": _question(2**40, ("list", 1009)),
    "answer": _answer(1, ANSWER),
    "answer-too-early": _answer(2, settling.NOT_YET),
    "answer-void": _answer(3, settling.VOID),
    "settling": _settling,
}


def _raw(change: Callable[[bytes], bytes]) -> Callable[[], Vector]:
    return lambda: {"greeting": change(GREETING.encode()).hex()}


def _greets(receiver: str = "east", **fields: Any) -> Callable[[], Vector]:
    """A greeting of another form than it claims, as *receiver* would get it."""
    said: dict[str, Any] = {"charter": CHARTER.digest, "sender": "west", "receiver": "east"} | fields
    made = Greeting(said["charter"], said["sender"], said["receiver"], GREETING.key, GREETING.signature)
    return lambda: {"at": receiver, "of": CHARTER.digest.hex(), "greeting": made.encode().hex()}


def _asked(change: Callable[[bytes], bytes], last: int = 0) -> Callable[[], Vector]:
    return lambda: greeted() | {"last": last, "question": change(session(3).ask(QUESTION, ReplyCipher())).hex()}


def _said(change: Callable[[bytes], bytes], number: int = 4) -> Callable[[], Vector]:
    return lambda: (
        greeted()
        | {
            "number": number,
            "answer": change(session().answer(4, (TIME, ANSWER), ReplyCipher())).hex(),
        }
    )


def _flip(at: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        out = bytearray(data)
        out[at] ^= 1
        return bytes(out)

    return change


def _sealed(value: Any) -> Callable[[], Vector]:
    return lambda: greeted() | {"number": 4, "answer": session().answer(4, value, ReplyCipher()).hex()}


REFUSED: Final[dict[str, Callable[[], Vector]]] = {
    "1-greeting-empty": _raw(lambda _: b""),
    "1-greeting-of-more-than-8-KiB": _raw(lambda raw: raw + bytes(8193 - len(raw))),
    "1-greeting-a-byte-long": _raw(lambda raw: raw + b"\0"),
    "1-greeting-cut-short": _raw(lambda raw: raw[:-1]),
    "1-greeting-of-another-label": _raw(lambda raw: raw.replace(b"/greeting", b"/meetings")),
    "1-greeting-with-a-key-of-1215-bytes": _raw(
        lambda raw: raw.replace(b"\x59\x04\xc0" + b"\x44" * 1216, b"\x59\x04\xbf" + b"\x44" * 1215)
    ),
    "2-greeting-of-another-charter": _greets(charter=Digest(bytes(32))),
    "2-greeting-for-another": _greets("north"),
    "2-greeting-of-nobody": _greets(sender="south"),
    "2-greeting-of-oneself": _greets(sender="east"),
    "5-question-shorter-than-a-head-and-a-tag": _asked(lambda raw: raw[:39]),
    "5-question-altered": _asked(_flip(-1)),
    "5-question-of-another-number": _asked(_flip(23)),
    "5-question-of-another-session": _asked(_flip(0)),
    "6-question-again": _asked(lambda raw: raw, last=4),
    "6-question-older-than-the-last": _asked(lambda raw: raw, last=5),
    "7-answer-altered": _said(_flip(0)),
    "7-answer-to-another-number": _said(lambda raw: raw, number=5),
    "7-answer-empty": _said(lambda _: b""),
    "7-answer-without-a-time": _sealed((ANSWER,)),
    "7-answer-with-a-time-of-bytes": _sealed((b"", ANSWER)),
    "7-answer-not-an-array": _sealed(TIME),
}


def example() -> dict[str, bytes]:
    """The values of §8."""
    made = session()
    done = settled()["west"].descriptor
    assert done is not None
    return {
        "charter": CHARTER.digest,
        "session": made.id,
        "k_ask": made.asking,
        "k_answer": made.answering,
        "question 1": session().ask(("list", 1009), ReplyCipher()),
        "answer 1": session().answer(1, (TIME, settling.NOT_YET), ReplyCipher()),
        "row of 1": settling.digest(1, make_visit.fill("row 1", 256)),
        "roster": done.roster,
        "rows": done.digest,
    }


if __name__ == "__main__":
    write("round", vectors())
