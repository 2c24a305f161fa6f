"""Envelopes: a letter, sealed so that nothing of it can be recognised.

An envelope is a random string, a tag that finds its key, a sealed header and a
sealed body (docs/spec/envelope.md). This module seals and opens given the keys;
which keys, and what the header means, is the ratchet's business. Opening goes
in the order of the bytes: nothing of a part is looked at before its AEAD.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from backchannel.encoding import decode, encode
from backchannel.errors import MalformedError, VerificationError
from backchannel.kem import BOX_OVERHEAD, PublicKey
from backchannel.keys import Digest, Random, Secret, derive, equal

# Specification constants (docs/spec/envelope.md §1, §4).
TAG: Final = slice(32, 48)
HEADER: Final = slice(48, 48 + 2408 + 16)
COMMIT: Final = slice(2472, 2504)
BODY: Final = slice(2504, None)
MIN_SIZE: Final = BODY.start + 88  # the body of an empty item
MAX_SIZE: Final = 44 * 1024 * 1024
STEP_BOX_SIZE: Final = 32 + BOX_OVERHEAD

# Each key below seals exactly once: it comes from 32 fresh random bytes (the
# header's) or from a message key and those bytes (the body's).
NONCE: Final = bytes(12)

LABEL_HEAD: Final = b"backchannel/v1/envelope/head"
LABEL_BODY: Final = b"backchannel/v1/envelope/body"


class HeaderKey(Secret):
    """The key of the headers of one turn."""

    __slots__ = ()


class MessageKey(Secret):
    """The key of one letter."""

    __slots__ = ()


class NoKeyError(VerificationError):
    """None of the keys that were tried has made this envelope."""


class DamagedError(VerificationError):
    """The envelope does not open. One message, whatever the reason."""

    def __init__(self) -> None:
        super().__init__("this envelope does not open: it is damaged")


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a turn: its KEM step, and its owner's public key."""

    box: bytes
    public: PublicKey


@dataclass(frozen=True, slots=True)
class Header:
    """Where a letter stands: its turn, its number there, and the length of its writer's turn before."""

    turn: int
    n: int
    pn: int
    opening: Opening


@dataclass(frozen=True, slots=True)
class Body:
    """What a letter says, and what its writer has written and seen so far."""

    index: int
    before: Digest
    seen: int
    seen_chain: Digest
    item: bytes


def seal(header: Header, body: Body, *, keys: tuple[HeaderKey, MessageKey], random: Random) -> bytes:
    """Seal one envelope; draws 32 bytes."""
    header_key, message_key = keys
    seed = random(TAG.start)
    sealing, tag = derive(seed, header_key, LABEL_HEAD, count=2)
    out = seed + tag[: TAG.stop - TAG.start]
    out += ChaCha20Poly1305(sealing).encrypt(NONCE, _encode_header(header), out)
    sealing, commit = derive(head(out), message_key, LABEL_BODY, count=2)
    out += commit
    return out + ChaCha20Poly1305(sealing).encrypt(NONCE, _encode_body(body), out)


def open_header(envelope: bytes, keys: Iterable[tuple[int, HeaderKey]]) -> Header:
    """Find the key of *envelope* among those of some turns, and open its header.

    Raises:
        NoKeyError: If no key has made the envelope's tag.
        DamagedError: If it is no envelope, or its header does not open, or
            names another turn than that of its key.
    """
    if not MIN_SIZE <= len(envelope) <= MAX_SIZE:
        raise DamagedError
    turn, sealing = _find(envelope, keys)
    header = _decode_header(_open(sealing, envelope[HEADER], envelope[: HEADER.start]))
    if header.turn != turn:
        raise DamagedError
    return header


def open_body(envelope: bytes, key: MessageKey) -> Body:
    """Open the body of an envelope whose header has been opened.

    Raises:
        DamagedError: If it does not open under *key*, or is no body.
    """
    sealing, commit = derive(head(envelope), key, LABEL_BODY, count=2)
    if not equal(commit, envelope[COMMIT]):
        raise DamagedError
    return _decode_body(_open(sealing, envelope[BODY], envelope[: BODY.start]))


def head(envelope: bytes) -> Digest:
    """SHA-256 of everything before the commitment, which only a holder of the keys can make."""
    return Digest(hashlib.sha256(envelope[: COMMIT.start]).digest())


def _find(envelope: bytes, keys: Iterable[tuple[int, HeaderKey]]) -> tuple[int, bytes]:
    for turn, key in keys:
        sealing, tag = derive(envelope[: TAG.start], key, LABEL_HEAD, count=2)
        if equal(tag[: TAG.stop - TAG.start], envelope[TAG]):
            return turn, sealing
    raise NoKeyError("this envelope is not for this desk, or its keys are gone")


def _open(key: bytes, sealed: bytes, before: bytes) -> bytes:
    try:
        return ChaCha20Poly1305(key).decrypt(NONCE, sealed, before)
    except InvalidTag:
        raise DamagedError from None


def _encode_header(header: Header) -> bytes:
    numbers = b"".join(number.to_bytes(8) for number in (header.turn, header.n, header.pn))
    return numbers + header.opening.box + header.opening.public


def _decode_header(data: bytes) -> Header:
    turn, n, pn = (int.from_bytes(data[at : at + 8]) for at in (0, 8, 16))
    box, public = data[24 : 24 + STEP_BOX_SIZE], data[24 + STEP_BOX_SIZE :]
    return Header(turn, n, pn, Opening(box, PublicKey(public)))


def _encode_body(body: Body) -> bytes:
    return encode((body.index, body.before, body.seen, body.seen_chain, body.item))


def _decode_body(data: bytes) -> Body:
    try:
        value = decode(data)
    except MalformedError:
        raise DamagedError from None
    match value:
        case (int(index), bytes(before), int(seen), bytes(chain), bytes(item)) if (
            index > 0 and len(before) == len(chain) == Digest.size
        ):
            return Body(index, Digest(before), seen, Digest(chain), item)
    raise DamagedError
