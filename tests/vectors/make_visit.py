"""Vectors of docs/spec/visit.md: `python -m tests.vectors.make_visit` writes them.

Every vector is in one office, `OFFICE`: two operators of 16 mailboxes, packets
of 256 bytes, two reads, blocks of two; its keys are filler, and so are those of
the day, which nobody checks here. `request` is what a visit seals; what is
sealed under a KEM is in the tests. Refused are requests, replies and answers,
each named after the number in §6 of its one failure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from backchannel.kem import PublicKey
from backchannel.keys import Digest, mac
from backchannel.post import visit as visits
from backchannel.post.charter import Charter, Numbers, Seat, Share
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.visit import Answers, DayKey, Descriptor, Reply, ReplyKey, Visit, VisitKey
from backchannel.signing import Signature, VerifyingKey
from tests.vectors.collection import Vector, write

NUMBERS: Final = Numbers(
    capacity=16, packet=256, places=2, reads=2, catch_up=2, window=24, day=100, enrolment=4, first=1000
)
CHARTER: Final = Charter(
    "example",
    tuple(
        Seat(name, f"http://{name}.example", VerifyingKey(fill * 1984), PublicKey(fill * 1216))
        for name, fill in (("west", b"\x01"), ("east", b"\x02"))
    ),
    (Share("west", 1, 7, 2), Share("east", 8, 7, 2)),
    NUMBERS,
)
OFFICE: Final[dict[str, Any]] = {
    "charter": CHARTER.digest.hex(),
    "operators": ["west", "east"],
    "N": 16,
    "P": 256,
    "q": 2,
    "c": 2,
    "shares": 2,
}
VISIT_KEY: Final = VisitKey(b"\x11" * 32)
REPLY_KEY: Final = ReplyKey(b"\x22" * 32)
TOMORROW: Final = DayKey(11, PublicKey(b"\x44" * 1216), Signature(b"\x55" * 3373))


def fill(name: str, size: int) -> bytes:
    return hashlib.shake_256(name.encode()).digest(size)


def visit(
    operator: str, *, number: int = 1010, collect: tuple[int, bool] | None = (1009, False), more: bool = False
) -> Visit:
    sizes = visits.share_sizes(CHARTER, number, CHARTER.seat(operator), more=more)
    shares = tuple(fill(f"share {at}", size) for at, size in enumerate(sizes))
    return Visit(3, number, collect, more, REPLY_KEY, fill("deposit", 256), shares)


def described(rows: dict[int, bytes], number: int = 1009) -> Descriptor:
    return visits.describe(CHARTER, number, roster=b"\x58\x00", rows=sorted(rows.items()))


ROWS: Final = {1: fill("row 1", 256), 3: fill("deposit", 256)}
ANSWERS: Final = Answers((described(ROWS),), (fill("answer 0", 256), fill("answer 1", 256)))
MORE_ANSWERS: Final = Answers(
    (described(ROWS), visits.void(CHARTER, 1004), described({}, 1005)),
    (fill("answer 0", 256), fill("answer 1", 256), bytes(256), bytes(256), bytes(256), bytes(256)),
)


def vectors() -> dict[str, Vector]:
    accepted = {f"accepted-{name}": OFFICE_OF | make() for name, make in ACCEPTED.items()}
    return accepted | {f"refused-{name}": OFFICE_OF | _refused(name, make()) for name, make in REFUSED.items()}


OFFICE_OF: Final[Vector] = {"office": OFFICE}


def asked(operator: str, said: Visit) -> Vector:
    return {
        "operator": operator,
        "visit": {
            "mailbox": said.mailbox,
            "round": said.round,
            "collect": said.collect[0] + 1 if said.collect else 0,
            "collected_more": int(bool(said.collect and said.collect[1])),
            "more": int(said.more),
            "key": said.key.hex(),
            "deposit": said.deposit.hex(),
            "shares": [share.hex() for share in said.shares],
        },
        "visit_key": VISIT_KEY.hex(),
    }


def _request(operator: str, **changes: Any) -> Callable[[], Vector]:
    def make() -> Vector:
        said = visit(operator, **changes)
        return asked(operator, said) | {"request": said.encode(VISIT_KEY, CHARTER, operator).hex()}

    return make


def _reply(operator: str, seen: int, answers: bytes) -> Callable[[], Vector]:
    def make() -> Vector:
        said, reply = visit(operator), Reply(answers, seen, 1_950_000_612_345, (2, 5), TOMORROW)
        sealed = visits.seal_reply(reply, said, charter=CHARTER, operator=operator, cipher=ReplyCipher())
        return asked(operator, said) | {
            "seen": seen,
            "time": reply.time,
            "admitted": list(reply.admitted),
            "tomorrow": TOMORROW.encode().hex(),
            "answers": answers.hex(),
            "reply": sealed.hex(),
        }

    return make


def _answers(operator: str, answers: Answers, *, more: bool) -> Callable[[], Vector]:
    def make() -> Vector:
        said = visit(operator, more=more)
        sealed = visits.seal_answers(answers, said, charter=CHARTER, operator=operator, cipher=ReplyCipher())
        return asked(operator, said) | {
            "descriptors": [each.encode().hex() for each in answers.descriptors],
            "rows": [row.hex() for row in answers.rows],
            "answers": sealed.hex(),
        }

    return make


def _table(rows: dict[int, bytes]) -> Callable[[], Vector]:
    return lambda: {
        "round": 1009,
        "roster": "5800",
        "rows": {str(mailbox): row.hex() for mailbox, row in rows.items()},
        "descriptor": described(rows).encode().hex(),
    }


def _void(number: int) -> Callable[[], Vector]:
    return lambda: {"void": number, "descriptor": visits.void(CHARTER, number).encode().hex()}


def _day_key() -> Vector:
    return {
        "operator": "west",
        "day": TOMORROW.day,
        "key": TOMORROW.key.hex(),
        "signature": TOMORROW.signature.hex(),
        "day_key": TOMORROW.encode().hex(),
    }


ACCEPTED: Final[dict[str, Callable[[], Vector]]] = {
    "first-visit": _request("west", collect=None),
    "visit-that-collects": _request("west"),
    "visit-to-the-other-operator": _request("east"),
    "visit-of-the-next-round": _request("west", number=1011, collect=(1010, False)),
    "visit-that-collects-old-tables": _request("west", collect=(1009, True)),
    "visit-about-old-tables": _request("east", more=True),
    "visit-in-the-last-round-of-all": _request("west", number=2**32 - 1, collect=(0, False)),
    "visit-that-collects-of-round-0": _request("west", collect=(0, False)),
    "reply": _reply("west", 1010, fill("answers", 648)),
    "reply-to-a-first-visit": _reply("east", 0, fill("answers", 648)),
    "answers": _answers("west", ANSWERS, more=False),
    "answers-about-old-tables": _answers("east", MORE_ANSWERS, more=True),
    "table": _table(ROWS),
    "table-without-rows": _table({}),
    "void-table": _void(1009),
    "void-table-before-round-0": _void(-3),
    "day-key": _day_key,
}


def _refused(name: str, vector: Vector) -> Vector:
    return vector | {"reason": int(name.partition("-")[0])}


def _bent(at: int, value: bytes, *, more: bool = False) -> Callable[[], Vector]:
    """A right request with *value* at offset *at*, under a right code: the failure is the field's."""

    def make() -> Vector:
        said = visit("west", collect=None, more=more)
        raw = bytearray(said.encode(VISIT_KEY, CHARTER, "west"))
        raw[at : at + len(value)] = value
        return {"operator": "west", "visit_key": VISIT_KEY.hex(), "request": _coded(bytes(raw[:-32])).hex()}

    return make


def _coded(body: bytes) -> bytes:
    return body + mac(VISIT_KEY, visits.LABEL_MAC, CHARTER.digest, "west", body)


def _as(change: Callable[[bytes], bytes], **keys: str) -> Callable[[], Vector]:
    def make() -> Vector:
        raw = change(visit("west").encode(VISIT_KEY, CHARTER, "west"))
        return {"operator": "west", "visit_key": VISIT_KEY.hex(), "request": raw.hex()} | keys

    return make


def _at_the_other() -> Vector:
    said = replace(visit("west"), shares=visit("east").shares)
    return {"operator": "east", "visit_key": VISIT_KEY.hex(), "request": said.encode(VISIT_KEY, CHARTER, "west").hex()}


def _flip(data: bytes, at: int) -> bytes:
    out = bytearray(data)
    out[at] ^= 1
    return bytes(out)


def _spoilt(accepted: str, field: str, change: Callable[[bytes], bytes]) -> Callable[[], Vector]:
    def make() -> Vector:
        vector = ACCEPTED[accepted]()
        return vector | {field: change(bytes.fromhex(vector[field])).hex()}

    return make


def _sealed(key: int, content: bytes, field: str) -> Callable[[], Vector]:
    """Whatever *content* an operator seals as a reply (key 0) or as answers (key 1)."""

    def make() -> Vector:
        said = visit("west")
        sealed = ReplyCipher().seal(visits._keys(said, CHARTER, "west")[key], bytes(12), content, b"")
        return asked("west", said) | {field: sealed.hex()}

    return make


REFUSED: Final[dict[str, Callable[[], Vector]]] = {
    "3-flag-of-2": _bent(25, b"\x02", more=True),
    "3-flag-of-what-is-collected-of-2": _bent(16, (1010).to_bytes(8) + b"\x02"),
    "3-flag-without-anything-collected": _bent(24, b"\x01"),
    "4-round-of-33-bits": _bent(8, (2**32).to_bytes(8)),
    "4-collects-its-own-round": _bent(16, (1011).to_bytes(8)),
    "5-empty": _as(lambda _: b""),
    "5-shorter-than-a-head": _as(lambda raw: raw[:57]),
    "5-one-byte-short": _as(lambda raw: _coded(raw[:-33])),
    "5-one-byte-long": _as(lambda raw: _coded(raw[:-32] + b"\0")),
    "5-shares-of-old-tables-not-there": _bent(25, b"\x01"),
    "5-shares-of-the-next-round": _as(
        lambda _: _coded(replace(visit("west"), shares=visit("west").shares[:1] * 2).encode(VISIT_KEY, CHARTER, "west")[:-32])
    ),
    "8-code-altered": _as(lambda raw: _flip(raw, -1)),
    "8-deposit-altered": _as(lambda raw: _flip(raw, 58)),
    "8-share-altered": _as(lambda raw: _flip(raw, -33)),
    "8-mailbox-altered": _as(lambda raw: _flip(raw, 7)),
    "8-another-visit-key": _as(lambda raw: raw, visit_key="00" * 32),
    "8-code-for-the-other-operator": _at_the_other,
    "10-reply-altered": _spoilt("reply", "reply", lambda raw: _flip(raw, 0)),
    "10-reply-cut-short": _spoilt("reply", "reply", lambda raw: raw[:-1]),
    "10-reply-empty": _spoilt("reply", "reply", lambda _: b""),
    "10-reply-that-is-answers": _spoilt("reply", "reply", lambda _: bytes.fromhex(ACCEPTED["answers"]()["answers"])),
    "10-reply-without-a-key": _sealed(0, bytes(16 + 8 + 4596), "reply"),
    "11-answers-altered": _spoilt("answers", "answers", lambda raw: _flip(raw, -1)),
    "11-answers-random": _spoilt("answers", "answers", lambda raw: fill("random", len(raw))),
    "11-answers-that-are-a-reply": _spoilt(
        "answers", "answers", lambda _: bytes.fromhex(ACCEPTED["reply"]()["reply"])
    ),
    "11-answers-one-row-short": _sealed(1, ANSWERS.encode()[:-256], "answers"),
    "11-answers-one-byte-long": _sealed(1, ANSWERS.encode() + b"\0", "answers"),
    "11-answers-about-old-tables": _sealed(1, MORE_ANSWERS.encode(), "answers"),
}  # fmt: skip


def example() -> dict[str, bytes]:
    """The values of §8."""
    said = visit("west")
    raw = said.encode(VISIT_KEY, CHARTER, "west")
    k_reply, k_answers = visits._keys(said, CHARTER, "west")
    sealed = visits.seal_answers(ANSWERS, said, charter=CHARTER, operator="west", cipher=ReplyCipher())
    return {
        "charter": CHARTER.digest,
        "request at 0": raw[:58],
        "at 314": raw[314:-32],
        "code": raw[-32:],
        "info": Digest(hashlib.sha256(visits._info(CHARTER, "west", 10)).digest()),
        "k_reply": k_reply,
        "k_answers": k_answers,
        "descriptor at 0": ANSWERS.descriptors[0].encode()[:48],
        "roster": ANSWERS.descriptors[0].roster,
        "rows": ANSWERS.descriptors[0].encode()[80:],
        "answers at 0": sealed[:32],
        "tag": sealed[-16:],
    }


if __name__ == "__main__":
    write("visit", vectors())
