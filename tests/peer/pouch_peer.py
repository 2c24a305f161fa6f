"""The pouch once more, as a straight line, from docs/spec/pouch.md and from nothing else."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from tests.peer.card_peer import hkdf

SIZES = (64 * 1024, 512 * 1024, 4 * 1024 * 1024, 64 * 1024 * 1024)


class Refusal(Exception):  # noqa: N818 (an answer, not a fault)
    """§5, by its number."""

    def __init__(self, reason: int) -> None:
        super().__init__(f"reason {reason}")
        self.reason = reason


def keys(R: bytes, key: bytes) -> tuple[bytes, bytes, bytes, bytes]:  # noqa: N803 (the page's letter)
    k_c, k_m, k_h, tag = hkdf(R, key, b"backchannel/v1/pouch/keys", 4)
    return k_c, k_m, k_h, tag[:16]


def chacha20(key: bytes, data: bytes) -> bytes:
    return Cipher(ChaCha20(key, bytes(16)), None).encryptor().update(data)


def mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def head(k_h: bytes, offset: int, length: int) -> bytes:
    raw = length.to_bytes(4, "big")
    return raw + mac(k_h, offset.to_bytes(4, "big") + raw)[:12]


def slots(envelope: bytes) -> int:
    return (16 + len(envelope) + 8191) // 8192


def pack(envelopes: list[bytes], key: bytes, R: bytes, fill: bytes) -> bytes:  # noqa: N803
    """§1, §2: *fill* is the randomness of the content, as much as the largest pouch may want."""
    used = 8192 * sum(map(slots, envelopes))
    size = min(size for size in SIZES if size - 80 >= used + 16)
    k_c, k_m, k_h, tag = keys(R, key)
    content = bytearray(fill[: size - 80])
    at = 0
    for envelope in envelopes:
        whole = head(k_h, at, len(envelope)) + envelope
        content[at : at + len(whole)] = whole
        at += 8192 * slots(envelope)
    content[at : at + 16] = head(k_h, at, 0)
    out = R + tag + chacha20(k_c, bytes(content))
    return out + mac(k_m, out)


def unpack(pouch: bytes, tried: list[bytes]) -> tuple[list[bytes], bool]:
    """§3, §5: the envelopes, and whether the seal is whole."""
    if len(pouch) not in SIZES:
        raise Refusal(1)
    for key in tried:
        k_c, k_m, k_h, tag = keys(pouch[:32], key)
        if pouch[32:48] == tag:
            break
    else:
        raise Refusal(2)
    content = chacha20(k_c, pouch[48:-32])
    found = []
    at = 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if content[at : at + 16] != head(k_h, at, length) or at + 16 + length > len(content):
            at += 8192
        elif length == 0:
            break
        else:
            found.append(content[at + 16 : at + 16 + length])
            at += 8192 * slots(found[-1])
    return found, pouch[-32:] == mac(k_m, pouch[:-32])


def number(pouch: bytes) -> str:
    """§4."""
    first = hashlib.sha256(b"backchannel/v1/pouch/number" + pouch).digest()[:5]
    text = f"{int.from_bytes(first, 'big') % 10**12:012d}"
    return f"{text[:4]}-{text[4:8]}-{text[8:]}"
