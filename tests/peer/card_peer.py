"""Cards, the meeting and its words once more, as a straight line.

Written from docs/spec/card.md (C) and docs/spec/ratchet.md §3 (R) and from
nothing else. A desk is a dictionary, in the shape in which a vector has it:

    me       the holder's name           to_me    whether a name on a card means them
    waiting  [{card, private, person}]   keys     SHA-256 of every public key made here
    spent    [{first, fate, answer}]     answer whole if "answered", its SHA-256 if "met"
    answered SHA-256 of every first card's key answered here

The KEM is an argument, as on the pages.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from dataclasses import dataclass
from typing import Any, Protocol

import cbor2
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from backchannel.errors import MalformedError, VerificationError
from backchannel.seal.wordlist import WORDS

CARD = b"backchannel/v1/card/"


class Kem(Protocol):
    def check(self, public: bytes) -> None: ...
    def open(self, private: bytes, info: bytes, box: bytes) -> bytes: ...


class Refusal(Exception):  # noqa: N818 (an answer, not a fault)
    """C§3: a card that is refused, and by which number."""

    def __init__(self, reason: int) -> None:
        super().__init__(f"reason {reason}")
        self.reason = reason


@dataclass
class Meeting:
    """C§4."""

    opened: bytes
    T: bytes
    roots: dict[str, bytes]


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def framed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def hkdf(salt: bytes, ikm: bytes, info: bytes, keys: int) -> list[bytes]:
    key = hmac.new(salt, ikm, "sha512").digest()
    out = block = b""
    while len(out) < 32 * keys:
        block = hmac.new(key, block + info + bytes([len(out) // 64 + 1]), "sha512").digest()
        out += block
    return [out[32 * i : 32 * i + 32] for i in range(keys)]


def decode(data: bytes) -> list[Any]:
    """The encoding: what cbor2 would have written the same way, of four types only."""
    try:
        value = cbor2.loads(data)
        if not plain(value) or cbor2.dumps(value) != data:
            raise ValueError
    except (cbor2.CBORDecodeError, cbor2.CBOREncodeError, ValueError, TypeError, OverflowError):
        raise ValueError from None
    if not isinstance(value, list):
        raise ValueError  # noqa: TRY004 (one error for all)
    return value


def plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(plain(item) for item in value)
    return isinstance(value, bytes | str) or (type(value) is int and value >= 0)


# --- C§1, C§2


def fields(data: bytes, label: bytes, kem: Kem) -> dict[str, Any]:
    found, key, half, holder, reader, expires, carriage, archive = decode(data)
    if found != CARD + label or not isinstance(key, bytes) or len(key) != 1216:
        raise ValueError
    if not isinstance(half, bytes) or len(half) != 32 or not isinstance(expires, int) or expires > 253402300799:
        raise ValueError
    for name in (holder, reader):
        if not isinstance(name, str) or len(name.encode()) > 200 or not may_stand(name):
            raise ValueError
    if carriage != []:
        place, mailbox, charter = carriage
        if not isinstance(place, int) or not isinstance(mailbox, int) or not isinstance(charter, bytes):
            raise ValueError
        if len(charter) != 32 or place > 63 or not 1 <= mailbox <= 1_048_575:
            raise ValueError
    if not isinstance(archive, bytes) or len(archive) not in (0, 32):
        raise ValueError
    try:
        kem.check(key)
    except MalformedError:
        raise ValueError from None
    return {"key": key, "half": half, "holder": holder, "reader": reader, "expires": expires}


def may_stand(name: str) -> bool:
    for i, c in enumerate(name):
        if c in "\u200c\u200d" and 0 < i < len(name) - 1:
            if all(unicodedata.category(beside) in ("Lo", "Lm", "Mn", "Mc") for beside in (name[i - 1], name[i + 1])):
                continue
            return False
        if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") or ord(c) in IGNORABLE:
            return False
    return unicodedata.normalize("NFC", name) == name == name.strip()


def same(one: str, other: str) -> bool:
    return folded(one) == folded(other)


def folded(name: str) -> list[str]:
    name = unicodedata.normalize("NFKC", name).replace("\u200c", "").replace("\u200d", "").casefold()
    return unicodedata.normalize("NFKC", name).split()


def first_card(key: bytes, half: bytes, names: tuple[str, str], expires: int, *rest: Any) -> bytes:
    carriage, archive = rest or ([], b"")
    return cbor2.dumps([CARD + b"first", key, half, *names, expires, carriage, archive])


# --- C§3


def answerable(data: bytes, desk: dict[str, Any], now: int, kem: Kem) -> dict[str, Any]:
    """The first card *data*, if this desk may answer it."""
    try:
        card = fields(data, b"first", kem)
        if (card["holder"] == "") != (card["reader"] == ""):
            raise ValueError
    except ValueError:
        raise Refusal(1) from None
    if sha(card["key"]) in desk["keys"]:
        raise Refusal(2)
    if sha(card["key"]) in desk["answered"]:
        raise Refusal(3)
    if card["expires"] <= now:
        raise Refusal(4)
    if card["reader"] and not desk["to_me"] and not same(card["reader"], desk["me"]):
        raise Refusal(5)
    for waiting in desk["waiting"]:
        if waiting["person"] == card["holder"] and sha(waiting["card"]) < sha(data):
            raise Refusal(6)
    return card


def completed(data: bytes, desk: dict[str, Any], now: int, kem: Kem) -> Meeting:
    """The meeting that the answering card *data* completes."""
    try:
        label, first, box = decode(data)
        if label != CARD + b"answer" or not isinstance(first, bytes) or not isinstance(box, bytes) or len(first) != 32:
            raise ValueError
    except ValueError:
        raise Refusal(7) from None
    waiting = awaited(first, data, desk)
    try:
        opened = kem.open(waiting["private"], first, box)
        size = int.from_bytes(opened[:4], "big")
        if len(opened) != 2048 or opened[4 + size :] != bytes(2048 - 4 - size):
            raise ValueError
        card = fields(opened[4 : 4 + size], b"opened", kem)
        if not card["holder"] or not card["reader"]:
            raise ValueError
    except (VerificationError, ValueError):
        raise Refusal(14) from None
    if min(card["expires"], fields(waiting["card"], b"first", kem)["expires"]) <= now:
        raise Refusal(13)
    if sha(card["key"]) in desk["keys"]:
        raise Refusal(15)
    return meeting(waiting["card"], data, opened)


def awaited(first: bytes, data: bytes, desk: dict[str, Any]) -> dict[str, Any]:
    """The card of this desk that *data* answers, if it still awaits one."""
    for spent in desk["spent"]:
        if spent["first"] == first:
            reasons = {"answered": 8 if spent["answer"] == data else 10, "withdrawn": 11, "expired": 13}
            raise Refusal(reasons.get(spent["fate"], 9 if spent["answer"] == sha(data) else 10))
    for waiting in desk["waiting"]:
        if sha(waiting["card"]) == first:
            found: dict[str, Any] = waiting
            return found
    raise Refusal(12)


# --- C§4


def meeting(first: bytes, answer: bytes, opened: bytes) -> Meeting:
    s1 = decode(first)[2]
    s2 = decode(opened[4 : 4 + int.from_bytes(opened[:4], "big")])[2]
    T = sha(framed(b"backchannel/v1/meeting/transcript", first, answer, opened))  # noqa: N806 (the page's letter)
    names = ["RK0", "CK0", "HK0", "HK1", "CAR-1", "CAR0"]
    keys = hkdf(T, framed(s1, s2), framed(b"backchannel/v1/ratchet/root", T), 6)  # R§3
    return Meeting(opened, T, dict(zip(names, keys, strict=True)))


def check(T: bytes, memory: int = 256 * 1024, passes: int = 3, lanes: int = 4) -> bytes:  # noqa: N803
    salt = sha(b"backchannel/v1/meeting/words")[:16]
    return Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory).derive(T)


def words(check: bytes) -> list[str]:
    bits = "".join(f"{byte:08b}" for byte in check[:11])
    return [WORDS[int(bits[at : at + 11], 2)] for at in range(0, 88, 11)]


def digits(check: bytes) -> list[str]:
    text = f"{int.from_bytes(check[11:32], 'big') % 10**30:030d}"
    return [text[at : at + 5] for at in range(0, 30, 5)]


# Default-ignorable, though letters or marks by category.
IGNORABLE = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180E, 0x180F, 0x3164, 0xFFA0}
IGNORABLE |= {*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
