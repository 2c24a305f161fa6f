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
SLOT_SIZE: Final = 8 * 1024  # an envelope and its head start at a multiple of this
HEAD_SIZE: Final = 16  # the envelope's length in 4 bytes, and 12 that vouch for it
SIZES: Final = (64 * 1024, 512 * 1024, 4 * 1024 * 1024, 64 * 1024 * 1024)
CAPACITY: Final = SIZES[-1] - FRAME_SIZE - HEAD_SIZE  # of the largest, but for the head that ends its row

LABEL_KEYS: Final = b"backchannel/v1/pouch/keys"
LABEL_NUMBER: Final = b"backchannel/v1/pouch/number"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was in a pouch: envelopes, and whether its seal was whole.

    Behind a broken seal an envelope is of the length it was packed with, and
    may have been altered: each stands for itself.
    """

    envelopes: tuple[bytes, ...]
    whole: bool


class ForeignPouchError(VerificationError):
    """No key that was tried has packed this pouch."""


def room_for(size: int) -> int:
    """How much of a pouch's :data:`CAPACITY` an envelope of *size* bytes takes."""
    return _next_slot(HEAD_SIZE + size)


def pack(envelopes: Sequence[bytes], key: bytes, random: Random) -> bytes:
    """Pack *envelopes* under a pouch *key*; none at all makes a cover pouch.

    Draws 32 bytes, then as many as the content has room for.

    Raises:
        UsageError: If they do not fit into the largest pouch.
    """
    assert all(envelopes)  # an empty one would end the row
    needed = sum(room_for(len(envelope)) for envelope in envelopes) + HEAD_SIZE
    size = next((size for size in SIZES if needed <= size - FRAME_SIZE), None)
    if size is None:
        raise UsageError("these letters are too large for one pouch")
    seed = random(SEED.stop)
    keys = _keys(seed, key)
    # Random first, and the envelopes laid over it: the slack is then random
    # without anybody having to find it.
    content = bytearray(random(size - FRAME_SIZE))
    at = 0
    for envelope in (*envelopes, b""):
        content[at : at + HEAD_SIZE + len(envelope)] = _head(keys.head, at, len(envelope)) + envelope
        at += room_for(len(envelope))
    out = seed + keys.tag + _stream(keys.cipher, content)
    return out + hmac.digest(keys.mac, out, "sha256")


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
        made = _keys(pouch[SEED], key)
        if equal(made.tag, pouch[TAG]):
            break
    else:
        raise ForeignPouchError("this pouch is not for this desk, or its key is gone")
    view = memoryview(pouch)  # the largest is worth not copying
    whole = equal(hmac.digest(made.mac, view[: MAC.start], "sha256"), pouch[MAC])
    return Unpacked(tuple(_row(_stream(made.cipher, view[CONTENT]), made.head)), whole)


def seal_number(pouch: bytes) -> str:
    """The number that a courier can sign for: three groups of four digits."""
    number = int.from_bytes(hashlib.sha256(LABEL_NUMBER + pouch).digest()[:5])
    text = f"{number % 10**12:012}"
    return "-".join((text[:4], text[4:8], text[8:]))


@dataclass(frozen=True, slots=True, repr=False)
class _Keys:
    cipher: bytes
    mac: bytes
    head: bytes
    tag: bytes


def _keys(seed: bytes, key: bytes) -> _Keys:
    cipher, mac, head, tag = derive(seed, key, LABEL_KEYS, count=4)
    return _Keys(cipher, mac, head, tag[: TAG.stop - TAG.start])


def _stream(key: bytes, data: bytes | bytearray | memoryview) -> bytes:
    # The key is fresh with every seed, so counter and nonce may be zero.
    return Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(data)


def _head(key: bytes, at: int, size: int) -> bytes:
    raw = size.to_bytes(4)
    return raw + hmac.digest(key, at.to_bytes(4) + raw, "sha256")[: HEAD_SIZE - 4]


def _row(content: bytes, key: bytes) -> Iterator[bytes]:
    """The envelopes, up to the head that ends the row.

    A head is believed only if the packer made it for this very place. Without
    that, one bit altered by a courier would make an envelope of every run of
    random bytes that could be a length, and 1.4 GB of the largest pouch.
    """
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4])
        start, end = at + HEAD_SIZE, at + HEAD_SIZE + size
        if end > len(content) or not equal(_head(key, at, size), content[at:start]):
            at += SLOT_SIZE
        elif size:
            yield content[start:end]
            at += room_for(size)
        else:
            return


def _next_slot(at: int) -> int:
    return -(-at // SLOT_SIZE) * SLOT_SIZE
