"""Charter, packet and shares once more, as straight lines, from docs/spec/ and from nothing else.

charter.md §1, §2; packet.md §1, §2; retrieval.md §1, §2. A charter is its array,
as the page lists it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import reduce
from typing import Any

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from tests.peer.pouch_peer import chacha20

LABEL = b"backchannel/v1/"
NUMBERS = [
    "capacity",
    "packet",
    "period",
    "places",
    "reads",
    "catch_up",
    "window",
    "hold",
    "day",
    "enrolment",
    "first",
    "start",
]
LEAST = [8, 256, 200, 1, 1, 1, 1, 0, 1, 1, 0, 0]
MOST = [2**20, 2**16, 86_400_000, 64, 8, 64, 2**20, 3_600_000, 2**20, 2**20, 2**32 - 1, 253_402_300_799_999]


class Refusal(Exception):  # noqa: N818 (an answer, not a fault)
    """A reason of the page's last section but one, by its number."""

    def __init__(self, reason: int) -> None:
        super().__init__(f"reason {reason}")
        self.reason = reason


def framed(*parts: bytes | str | int) -> bytes:
    out = b""
    for part in parts:
        raw = part.to_bytes(8, "big") if isinstance(part, int) else part.encode() if isinstance(part, str) else part
        out += len(raw).to_bytes(4, "big") + raw
    return out


def H(label: bytes, *parts: bytes | int) -> bytes:  # noqa: N802 (the page's letter)
    return hashlib.sha256(framed(LABEL + label, *parts)).digest()


# charter.md


def encode(charter: list[Any]) -> bytes:
    return cbor2.dumps(charter, canonical=True)


def decode(data: bytes, values: int) -> Any:
    if len(data) > 131_068:
        raise Refusal(1)
    try:
        value = cbor2.loads(data)
    except (cbor2.CBORDecodeError, UnicodeDecodeError, ValueError):
        raise Refusal(1) from None
    if encode(value) != data or count(value) > values:
        raise Refusal(1)
    return value


def count(value: Any) -> int:
    """How many values are inside, all of the four types."""
    if isinstance(value, list):
        return sum(1 + count(each) for each in value)
    if type(value) not in {int, bytes, str} or (type(value) is int and value < 0):
        raise Refusal(1)
    return 0


def digest(charter: list[Any]) -> bytes:
    return H(b"charter/terms", encode(charter))


def judge(data: bytes) -> list[Any]:
    """§1, §5: the charter, or the reason it is refused for."""
    charter = decode(data, 4096)
    if not _typed(charter):
        raise Refusal(2)
    _, name, operators, shares, numbers, _ = charter
    if any(not low <= n <= high for low, n, high in zip(LEAST, numbers, MOST, strict=True)):
        raise Refusal(3)
    n = dict(zip(NUMBERS, numbers, strict=True))
    if n["capacity"] % 8 or n["window"] % n["catch_up"] or n["hold"] > n["period"] / 10:
        raise Refusal(4)
    if not 2 <= len(operators) <= 8 or any(len({o[at] for o in operators}) < len(operators) for at in (0, 2)):
        raise Refusal(5)
    names = [name, *(o[0] for o in operators), *(share[0] for share in shares)]
    if not all(re.fullmatch(r"(?!-)[a-z0-9-]{1,64}(?<!-)", each) for each in names):
        raise Refusal(6)
    if not all(
        len(o[1]) <= 255 and re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+(/[\w.~/-]*)?", o[1], re.ASCII)
        for o in operators
    ):
        raise Refusal(6)
    used: list[int] = [0]
    for _, first, many, quorum in shares:
        if first <= used[-1] or many < 1 or quorum > many:
            raise Refusal(7)
        used.append(first + many - 1)
    if len(shares) > 64 or used[-1] >= n["capacity"]:
        raise Refusal(7)
    return charter  # type: ignore[no-any-return]


def _typed(value: Any) -> bool:
    if not isinstance(value, list) or [type(each) for each in value] != [bytes, str, list, list, list, bytes]:
        return False
    label, _, operators, shares, numbers, before = value
    if label != LABEL + b"charter/terms" or len(before) not in (0, 32) or [type(n) for n in numbers] != [int] * 12:
        return False
    if any(not isinstance(o, list) or [type(each) for each in o] != [str, str, bytes, bytes] for o in operators):
        return False
    if any((len(o[2]), len(o[3])) != (1984, 1216) for o in operators):
        return False
    return all(isinstance(s, list) and [type(each) for each in s] == [str, int, int, int] for s in shares)


def judge_file(data: bytes) -> list[Any]:
    """§3, §5: the charter and who has signed it, or the reason it is refused for."""
    value = decode(data, 51)
    if not isinstance(value, list) or [type(each) for each in value] != [bytes, bytes, list]:
        raise Refusal(2)
    label, body, signatures = value
    if label != LABEL + b"charter/signed" or any(
        not isinstance(s, list) or [type(each) for each in s] != [bytes, bytes] or [*map(len, s)] != [1984, 3373]
        for s in signatures
    ):
        raise Refusal(2)
    charter = judge(body)
    if len({key for key, _ in signatures}) < len(signatures):
        raise Refusal(8)
    for key, signature in signatures:
        said = framed(label, body)
        try:
            Ed25519PublicKey.from_public_bytes(key[:32]).verify(signature[:64], said)
            MLDSA65PublicKey.from_public_bytes(key[32:]).verify(signature[64:], said)
        except Exception:  # noqa: BLE001 (whatever it is, it does not hold)
            raise Refusal(9) from None
    return [charter, *(key for key, _ in signatures)]


class Clock:
    """§2, of a charter."""

    def __init__(self, charter: list[Any]) -> None:
        self.n = dict(zip(NUMBERS, charter[4], strict=True))
        self.k, self.digest = len(charter[2]), digest(charter)

    def begins(self, r: int) -> int:
        return int(self.n["start"] + (r - self.n["first"]) * self.n["period"])

    def round_at(self, t: int) -> int:
        return int(self.n["first"] + (t - self.n["start"]) // self.n["period"])

    def agreed_by(self, r: int) -> int:
        return int(self.begins(r) + self.n["period"] // 5)

    def instant(self, m: int, r: int) -> int:
        x = int.from_bytes(H(b"charter/instant", self.digest, m)[:8], "big")
        return int(self.agreed_by(r) + x * (self.n["period"] - 2 * (self.n["period"] // 5)) // 2**64)

    def day_of(self, r: int) -> int:
        return int(r // self.n["day"])

    def effective(self, r: int) -> int:
        return int((r // self.n["enrolment"] + 1) * self.n["enrolment"])

    def block(self, r: int) -> list[int]:
        c, w = self.n["catch_up"], self.n["window"]
        holds = (r - 1) // c
        (b,) = (b for b in range(holds - w // c, holds) if b % (w // c) == r % (w // c))
        return list(range(b * c, b * c + c))

    def tables(self, r: int, *, more: bool) -> list[int]:
        return [table for table in [r - 1, *(self.block(r) if more else [])] for _ in range(self.n["reads"])]

    def readable(self, table: int, r: int) -> bool:
        return bool(max(self.n["first"], r - self.n["window"] - self.n["catch_up"]) <= table < r)

    def explicit(self, r: int, j: int) -> int:
        return (r + j) % self.k


# packet.md


def child(node: bytes, bit: int) -> bytes:
    return hmac.new(node, framed(LABEL + b"packet/tree", bit), hashlib.sha256).digest()


def row_key(root: bytes, r: int) -> bytes:
    return reduce(child, (int(bit) for bit in f"{r:032b}"), root)


def nodes(root: bytes, since: int) -> list[tuple[int, int, bytes]]:
    """The fewest nodes that cover all rounds from *since* on: depth, prefix, node; the lowest rounds first."""
    found: list[tuple[int, int, bytes]] = []

    def walk(depth: int, prefix: int, node: bytes) -> None:
        first, last = prefix << (32 - depth), ((prefix + 1) << (32 - depth)) - 1
        if first >= since:
            found.append((depth, prefix, node))
        elif last >= since:
            walk(depth + 1, 2 * prefix, child(node, 0))
            walk(depth + 1, 2 * prefix + 1, child(node, 1))

    walk(0, 0, root)
    return found


def content(fields: list[Any], size: int) -> bytes:
    base, bitmap, number, kind, fragment = fields
    head = base.to_bytes(8, "big") + bitmap.to_bytes(16, "big") + number.to_bytes(8, "big")
    return bytes(head + bytes([kind]) + len(fragment).to_bytes(2, "big") + fragment).ljust(size, b"\0")


def judge_content(data: bytes) -> list[Any]:
    """§1, §4: base, bitmap, number, kind and fragment."""
    if len(data) < 35:
        raise Refusal(3)
    base, bitmap, number = (int.from_bytes(data[a:b], "big") for a, b in ((0, 8), (8, 24), (24, 32)))
    kind, length = data[32], int.from_bytes(data[33:35], "big")
    if kind > 2:
        raise Refusal(4)
    if length > len(data) - 35:
        raise Refusal(5)
    if data[35 + length :].strip(b"\0"):
        raise Refusal(6)
    if (kind == 0 and (number or length)) or (kind != 0 and not length):
        raise Refusal(7)
    return [base, bitmap, number, kind, data[35 : 35 + length]]


def seal(plain: bytes, key: bytes, noise: bytes, charter: bytes, *mailboxes: int) -> bytes:
    return noise[:12] + AESGCMSIV(key).encrypt(noise[:12], plain, framed(LABEL + b"packet/row", charter, *mailboxes))


def judge_row(row: bytes, key: bytes, charter: bytes, *mailboxes: int) -> list[Any]:
    try:
        plain = AESGCMSIV(key).decrypt(row[:12], row[12:], framed(LABEL + b"packet/row", charter, *mailboxes))
    except (InvalidTag, ValueError):
        raise Refusal(2) from None
    return judge_content(plain)


# retrieval.md


def xor(*parts: bytes) -> bytes:
    return bytes(reduce(lambda a, b: a ^ b, column) for column in zip(*parts, strict=True))


def unit(row: int, rows: int) -> bytes:
    return int("".join("1" if at == row else "0" for at in range(rows)), 2).to_bytes(rows // 8, "big")


def shares(row: int, rows: int, e: int, seeds: list[bytes]) -> list[bytes]:
    """§1: *seeds* are those of the other operators, in order."""
    vectors = [chacha20(seed, bytes(rows // 8)) for seed in seeds]
    return [*seeds[:e], xor(unit(row, rows), *vectors), *seeds[e:]]


def answer(vector: bytes, table: list[bytes]) -> bytes:
    """§2."""
    bits = "".join(f"{byte:08b}" for byte in vector)
    picked = [row for bit, row in zip(bits, table, strict=True) if bit == "1"]
    return xor(bytes(len(table[0])), *picked)
