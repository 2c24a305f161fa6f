"""Pouches: what a courier carries, and what a stranger sees of it.

A pouch is random bytes of one of a few sizes, whatever is in it, so that
neither its length nor its bytes say anything (docs/spec/pouch.md). This module
packs and unpacks; it holds no state and does no I/O. What the envelopes inside
mean is not its business.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from backchannel.errors import MalformedError, UsageError, VerificationError
from backchannel.keys import Random, derive, equal

# Specification constants (docs/spec/pouch.md §1, §2). Changing one is a new version.
SEED: Final = slice(0, 32)
TAG: Final = slice(32, 48)
CONTENT: Final = slice(48, -32)
MAC: Final = slice(-32, None)
FRAME_SIZE: Final = 80  # everything but the content
SLOT_SIZE: Final = 8 * 1024  # an envelope starts at a multiple of this
SIZES: Final = (64 * 1024, 512 * 1024, 4 * 1024 * 1024, 64 * 1024 * 1024)
CAPACITY: Final = SIZES[-1] - FRAME_SIZE - 4  # of the largest, but for the zero length that ends its row

LABEL_KEYS: Final = b"backchannel/v1/pouch/keys"
LABEL_NUMBER: Final = b"backchannel/v1/pouch/number"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was in a pouch: envelopes, and whether its seal was whole.

    Behind a broken seal the envelopes are candidates only: each is tried.
    """

    envelopes: tuple[bytes, ...]
    whole: bool


class ForeignPouchError(VerificationError):
    """No key that was tried has packed this pouch."""


def room_for(size: int) -> int:
    """How much of a pouch's :data:`CAPACITY` an envelope of *size* bytes takes."""
    return _next_slot(4 + size)


def pack(envelopes: Sequence[bytes], key: bytes, random: Random) -> bytes:
    """Pack *envelopes* under a pouch *key*; none at all makes a cover pouch.

    Draws 32 bytes, then as many as the content has room for.

    Raises:
        UsageError: If they do not fit into the largest pouch.
    """
    needed = sum(room_for(len(envelope)) for envelope in envelopes) + 4
    size = next((size for size in SIZES if needed <= size - FRAME_SIZE), None)
    if size is None:
        raise UsageError("these letters are too large for one pouch")
    seed = random(SEED.stop)
    # Random first, and the envelopes laid over it: the slack is then random
    # without anybody having to find it.
    content = bytearray(random(size - FRAME_SIZE))
    at = 0
    for envelope in envelopes:
        content[at : at + 4] = len(envelope).to_bytes(4)
        content[at + 4 : at + 4 + len(envelope)] = envelope
        at = _next_slot(at + 4 + len(envelope))
    content[at : at + 4] = bytes(4)
    cipher_key, mac_key, tag = _keys(seed, key)
    out = seed + tag + _stream(cipher_key, bytes(content))
    return out + hmac.digest(mac_key, out, "sha256")


def unpack(pouch: bytes, keys: Iterable[bytes]) -> Unpacked:
    """Unpack a pouch with the first of *keys* that has packed it.

    Raises:
        MalformedError: If no pouch has this size.
        ForeignPouchError: If none of the keys has made its tag.
    """
    # Length first: everything after it may index without checking.
    if len(pouch) not in SIZES:
        raise MalformedError(f"this is {len(pouch):,} bytes, which no pouch is")
    for key in keys:
        cipher_key, mac_key, tag = _keys(pouch[SEED], key)
        if equal(tag, pouch[TAG]):
            break
    else:
        raise ForeignPouchError("this pouch is not for this desk, or its key is gone")
    content = _stream(cipher_key, pouch[CONTENT])
    if equal(hmac.digest(mac_key, pouch[: MAC.start], "sha256"), pouch[MAC]):
        return Unpacked(tuple(_row(content)), whole=True)
    return Unpacked(tuple(_candidates(content)), whole=False)


def seal_number(pouch: bytes) -> str:
    """The number that a courier can sign for: three groups of four digits."""
    number = int.from_bytes(hashlib.sha256(LABEL_NUMBER + pouch).digest()[:5])
    text = f"{number % 10**12:012}"
    return "-".join((text[:4], text[4:8], text[8:]))


def _next_slot(at: int) -> int:
    return -(-at // SLOT_SIZE) * SLOT_SIZE


def _keys(seed: bytes, key: bytes) -> tuple[bytes, bytes, bytes]:
    cipher_key, mac_key, tag = derive(seed, key, LABEL_KEYS, count=3)
    return cipher_key, mac_key, tag[: TAG.stop - TAG.start]


def _stream(key: bytes, data: bytes) -> bytes:
    # The key is fresh with every seed, so counter and nonce may be zero.
    return Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(data)


def _row(content: bytes) -> Iterator[bytes]:
    """The envelopes of an unbroken pouch, up to the zero length that ends them."""
    at = 0
    while envelope := _envelope_at(content, at):
        yield envelope
        at = _next_slot(at + 4 + len(envelope))


def _candidates(content: bytes) -> Iterator[bytes]:
    """Everything that could be an envelope, since a damaged length hides its successors."""
    for at in range(0, len(content), SLOT_SIZE):
        if envelope := _envelope_at(content, at):
            yield envelope


def _envelope_at(content: bytes, at: int) -> bytes:
    size = int.from_bytes(content[at : at + 4])
    return content[at + 4 : at + 4 + size] if size <= len(content) - at - 4 else b""
