"""Visits, enrolments, trays and the link once more, as straight lines, from docs/spec/ and from nothing else.

visit.md §1 to §3 (V), enrolment.md §1 to §5 (E), tray.md §1 to §3 (T), round.md
§2, §3 (R). An office is a dictionary: charter (its digest), operators (names),
N, P, q, c, shares (how many). The KEM is an argument, as on the pages.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any, Protocol

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from backchannel.errors import VerificationError
from tests.peer.card_peer import hkdf

LABEL = b"backchannel/v1/"
DAY_KEY = 8 + 1216 + 3373
KINDS = {"enrol": b"enrolment/request", "key": b"enrolment/key", "charter": b"enrolment/successor"}
SIZES = {"enrol": 44, "key": 2 * DAY_KEY + 28, "charter": 131_100}


class Kem(Protocol):
    def seal(self, public: Any, info: bytes, plaintext: bytes, random: Any) -> bytes: ...
    def open(self, private: Any, info: bytes, box: bytes) -> bytes: ...


class Refusal(Exception):  # noqa: N818 (an answer, not a fault)
    """A reason of a page, by its number."""

    def __init__(self, reason: int) -> None:
        super().__init__(f"reason {reason}")
        self.reason = reason


def number(value: int, size: int = 8) -> bytes:
    return value.to_bytes(size, "big")


def read(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "big")


def framed(*parts: bytes | str | int) -> bytes:
    raw = [number(p) if isinstance(p, int) else p.encode() if isinstance(p, str) else p for p in parts]
    return b"".join(number(len(part), 4) + part for part in raw)


def H(label: bytes, *parts: bytes | str | int) -> bytes:  # noqa: N802 (the page's letter)
    return hashlib.sha256(framed(LABEL + label, *parts)).digest()


def MAC(key: bytes, label: bytes, *parts: bytes | str | int) -> bytes:  # noqa: N802
    return hmac.new(key, framed(LABEL + label, *parts), hashlib.sha256).digest()


def shut(key: bytes, data: bytes, nonce: int = 0, associated: bytes = b"") -> bytes:
    return ChaCha20Poly1305(key).encrypt(number(nonce, 12), data, associated)


def opened(key: bytes, data: bytes, reason: int, nonce: int = 0, associated: bytes = b"") -> bytes:
    try:
        return ChaCha20Poly1305(key).decrypt(number(nonce, 12), data, associated)
    except (InvalidTag, ValueError):
        raise Refusal(reason) from None


# V§1


def share_sizes(office: dict[str, Any], operator: str, round_: int, more: int) -> list[int]:
    k, me = len(office["operators"]), office["operators"].index(operator)
    queries = office["q"] * (1 + office["c"] * more)
    return [office["N"] // 8 if (round_ + j) % k == me else 32 for j in range(queries)]


def request(office: dict[str, Any], operator: str, visit: dict[str, Any], visit_key: bytes) -> bytes:
    body = number(visit["mailbox"]) + number(visit["round"]) + number(visit["collect"])
    body += bytes([visit["collected_more"], visit["more"]]) + visit["key"] + visit["deposit"]
    body += b"".join(visit["shares"])
    return bytes(body) + MAC(visit_key, b"visit/mac", office["charter"], operator, body)


def read_request(office: dict[str, Any], operator: str, raw: bytes, visit_key: bytes) -> dict[str, Any]:
    """The request, or the reason of V§6 for which it is refused."""
    if len(raw) < 58:
        raise Refusal(5)
    mailbox, round_, collect, asked, more = read(raw, 0), read(raw, 8), read(raw, 16), raw[24], raw[25]
    if asked > 1 or more > 1 or (asked and not collect):
        raise Refusal(3)
    if round_ >= 2**32 or collect > round_:
        raise Refusal(4)
    sizes = share_sizes(office, operator, round_, more)
    end = 58 + office["P"] + sum(sizes)
    if len(raw) != end + 32:
        raise Refusal(5)
    if raw[end:] != MAC(visit_key, b"visit/mac", office["charter"], operator, raw[:end]):
        raise Refusal(8)
    shares, at = [], 58 + office["P"]
    for size in sizes:
        shares.append(raw[at : at + size])
        at += size
    return {
        "mailbox": mailbox,
        "round": round_,
        "collect": collect,
        "collected_more": asked,
        "more": more,
        "key": raw[26:58],
        "deposit": raw[58 : 58 + office["P"]],
        "shares": shares,
    }


# V§2


def visit_info(office: dict[str, Any], operator: str, day: int) -> bytes:
    return framed(LABEL + b"visit/request", office["charter"], operator, day)


def day_key_said(office: dict[str, Any], operator: str, day: int, key: bytes) -> bytes:
    return framed(office["charter"], operator, day, key)


# V§3


def reply_keys(office: dict[str, Any], operator: str, visit: dict[str, Any]) -> list[bytes]:
    info = framed(LABEL + b"visit/keys", office["charter"], operator, visit["mailbox"], visit["round"])
    return hkdf(b"", bytes(visit["key"]), info, 2)


def reply(office: dict[str, Any], operator: str, visit: dict[str, Any], said: dict[str, Any]) -> bytes:
    content = number(said["seen"]) + number(said["time"]) + b"".join(number(each, 4) for each in said["admitted"])
    return shut(reply_keys(office, operator, visit)[0], content + said["tomorrow"] + said["answers"])


def read_reply(office: dict[str, Any], operator: str, visit: dict[str, Any], sealed: bytes) -> dict[str, Any]:
    content = opened(reply_keys(office, operator, visit)[0], sealed, 10)
    head = 16 + 4 * office["shares"]
    if len(content) < head + DAY_KEY:
        raise Refusal(10)
    return {
        "seen": read(content, 0),
        "time": read(content, 8),
        "admitted": [read(content, at, 4) for at in range(16, head, 4)],
        "tomorrow": content[head : head + DAY_KEY],
        "answers": content[head + DAY_KEY :],
    }


def descriptor(charter: bytes, round_: int, N: int, roster: bytes, rows: dict[int, bytes]) -> bytes:  # noqa: N803
    table = b"visit/table"
    joined = b"".join(H(table, mailbox, row) for mailbox, row in sorted(rows.items()))
    head = charter + number(round_) + number(N) + H(table, "roster", roster)
    return head + number(len(rows)) + H(table, joined)


def void(charter: bytes, round_: int, N: int) -> bytes:  # noqa: N803
    return charter + number(max(round_, 0)) + number(N) + bytes(32 + 8 + 32)


def answers(
    office: dict[str, Any], operator: str, visit: dict[str, Any], found: tuple[list[bytes], list[bytes]]
) -> bytes:
    return shut(reply_keys(office, operator, visit)[1], b"".join(found[0]) + b"".join(found[1]))


def read_answers(
    office: dict[str, Any], operator: str, visit: dict[str, Any], sealed: bytes
) -> tuple[list[bytes], list[bytes]]:
    raw = opened(reply_keys(office, operator, visit)[1], sealed, 11)
    tables, P = 1 + office["c"] * visit["more"], office["P"]  # noqa: N806
    end = 120 * tables
    if len(raw) != end + office["q"] * tables * P:
        raise Refusal(11)
    return [raw[at : at + 120] for at in range(0, end, 120)], [raw[at : at + P] for at in range(end, len(raw), P)]


# E


def token(ticket: bytes, mailbox: int, operator: str) -> bytes:
    return MAC(ticket, b"enrolment/token", mailbox, operator)


def lodged(shown: bytes) -> bytes:
    return H(b"enrolment/lodged", shown)


def ticket_line(charter: str, mailbox: int, ticket: bytes) -> str:
    check = H(b"enrolment/ticket", charter, mailbox, ticket)[:3]
    return f"{charter} {mailbox} {base64.b32encode(ticket + check).decode().lower()}"


def asking_info(office: dict[str, Any], operator: str, kind: str) -> bytes:
    return framed(LABEL + KINDS[kind], office["charter"], operator)


def read_asking(
    office: dict[str, Any], operator: str, kind: str, box: bytes, private: bytes, kem: Kem
) -> tuple[bytes, bytes]:
    if len(box) != 1240:
        raise Refusal(1)
    try:
        raw = kem.open(private, asking_info(office, operator, kind), box)
    except VerificationError:
        raise Refusal(2) from None
    return raw[:72], raw[72:]


def told_keys(kind: str, key: bytes) -> list[bytes]:
    return hkdf(b"", key, framed(LABEL + b"enrolment/reply", kind), 2)


def tell(kind: str, key: bytes, content: bytes) -> bytes:
    filled, (sealing, naming) = content.ljust(SIZES[kind] - 28, b"\0"), told_keys(kind, key)
    nonce = MAC(naming, b"enrolment/reply", filled)[:12]
    return nonce + shut(sealing, filled, int.from_bytes(nonce))


def read_told(kind: str, key: bytes, sealed: bytes) -> Any:
    """An effective round or None, two keys of the day, or a charter file."""
    if len(sealed) != SIZES[kind]:
        raise Refusal(5)
    content = opened(told_keys(kind, key)[0], sealed[12:], 5, int.from_bytes(sealed[:12]))
    if kind == "key":
        return content[:DAY_KEY], content[DAY_KEY:]
    if kind == "charter":
        size = read(content, 0, 4)
        if size > len(content) - 4:
            raise Refusal(6)
        return content[4 : 4 + size]
    round_ = read(content, 0)
    if round_ > 2**32:
        raise Refusal(6)
    return round_ - 1 if round_ else None


# T


def file_key(seed: bytes, pairing: bytes, whose: str) -> bytes:
    return hkdf(seed, pairing, framed(LABEL + b"tray/" + whose.encode()), 1)[0]


def file(seed: bytes, pairing: bytes, whose: str, said: list[Any], size: int) -> bytes:
    raw = cbor2.dumps(said)
    content = (number(len(raw), 4) + raw).ljust(size - 48, b"\0")
    return seed + shut(file_key(seed, pairing, whose), content)


def read_file(data: bytes, pairing: bytes, whose: str) -> Any:
    if len(data) <= 52:
        raise Refusal(1)
    content = opened(file_key(data[:32], pairing, whose), data[32:], 2)
    size = read(content, 0, 4)
    if size > len(content) - 4:
        raise Refusal(3)
    try:
        said = cbor2.loads(content[4 : 4 + size])
    except (cbor2.CBORError, UnicodeDecodeError, ValueError):
        raise Refusal(4) from None
    right = is_from_desk(said) if whose == "desk" else is_from_porter(said)
    if cbor2.dumps(said) != content[4 : 4 + size] or not right:
        raise Refusal(4)
    return said


def is_(value: Any, *shape: Any) -> bool:
    """Whether *value* is an array of *shape*, each item said by a function."""
    return isinstance(value, list) and len(value) == len(shape) and all(s(v) for s, v in zip(shape, value, strict=True))


def many(shape: Any, most: int = 2**20) -> Any:
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(shape, value))


def below(end: int, least: int = 0) -> Any:
    return lambda value: type(value) is int and least <= value < end


def raw_of(size: int | None = None) -> Any:
    return lambda value: isinstance(value, bytes) and size in (None, len(value))


def text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 255


COUNT = below(2**48)


def envelope(value: Any) -> bool:
    return is_(value, raw_of(12), lambda raw: isinstance(raw, bytes) and raw != b"")


def line(value: Any) -> bool:
    def root(pair: Any) -> bool:
        return is_(pair, COUNT, raw_of(32))

    place = below(64)
    turns = many(COUNT, 16)
    return is_(value, raw_of(12), below(2**20, 1), place, place, COUNT, turns, many(root, 16))


def is_from_desk(said: Any) -> bool:
    shape = COUNT, COUNT, many(line, 256), many(envelope), many(raw_of(32)), raw_of()
    return is_(said, *shape) and len({each[0] for each in said[2]}) == len(said[2])


def is_from_porter(said: Any) -> bool:
    def status(value: Any) -> bool:
        return is_(value, raw_of(12), COUNT, COUNT, many(COUNT, 16))

    def operator(value: Any) -> bool:
        return is_(value, text, COUNT, COUNT, many(COUNT))

    def report(value: Any) -> bool:
        return is_(value, COUNT, text, text, COUNT)

    def day(value: Any) -> bool:
        return is_(value, COUNT, COUNT, COUNT)

    head = COUNT, COUNT, COUNT, raw_of(), below(2**20), COUNT, below(2), many(day)
    tail = many(envelope), many(raw_of(32)), many(status, 256), many(operator), many(report), raw_of()
    return is_(said, *head, *tail)


# R


def greeting_said(charter: bytes, sender: str, receiver: str, key: bytes) -> bytes:
    return framed(charter, sender, receiver, key)


def greeting(said: tuple[bytes, str, str, bytes], signature: bytes) -> bytes:
    return cbor2.dumps([LABEL + b"link/greeting", *said, signature])


def session(secret: bytes, said: bytes) -> tuple[bytes, bytes, bytes]:
    """Its sixteen bytes, the key of questions and the key of answers."""
    name = H(b"link/keys", said)
    ask, answer = hkdf(name, secret, LABEL + b"link/keys", 2)
    return name[:16], ask, answer


def question(made: tuple[bytes, bytes, bytes], n: int, asked: Any) -> bytes:
    head = made[0] + number(n)
    return head + shut(made[1], cbor2.dumps(asked), n, head)


def read_question(made: tuple[bytes, bytes, bytes], last: int, message: bytes) -> Any:
    if len(message) < 40 or message[:16] != made[0]:
        raise Refusal(5)
    n = read(message, 16)
    asked = cbor2.loads(opened(made[1], message[24:], 5, n, message[:24]))
    if n <= last:
        raise Refusal(6)
    return asked


def answer(made: tuple[bytes, bytes, bytes], n: int, time: int, said: Any) -> bytes:
    return shut(made[2], cbor2.dumps([time, said]), n)


def read_answer(made: tuple[bytes, bytes, bytes], n: int, sealed: bytes) -> Any:
    value = cbor2.loads(opened(made[2], sealed, 7, n))
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], int)):
        raise Refusal(7)
    return value


def row_digest(mailbox: int, row: bytes) -> bytes:
    return H(b"round/row", mailbox, row)


def settled(
    me: tuple[bytes, dict[int, bytes]], others: list[tuple[bytes, dict[int, bytes]]]
) -> tuple[bytes, dict[int, bytes | None]]:
    """R§3 of honest lists, each a roster and rows: the roster of the round and its rows, None where it has to be asked for."""
    lists = [me, *others]
    roster = bytes(_all(bits) for bits in zip(*(each[0] for each in lists), strict=True))
    rows: dict[int, bytes | None] = {}
    for mailbox in sorted({m for _, given in lists for m in given}):
        named = {row_digest(mailbox, given[mailbox]) for _, given in lists if mailbox in given}
        if len(named) == 1 and roster[mailbox // 8] >> (7 - mailbox % 8) & 1:
            rows[mailbox] = me[1].get(mailbox)
    return roster, rows


def _all(bits: tuple[int, ...]) -> int:
    out = 255
    for each in bits:
        out &= each
    return out
