"""The desk's header: the small file that a passphrase opens.

It holds the desk key, wrapped under the stretched passphrase, and the mark of
the newest commit, sealed under the desk key. It is 204 bytes, always, and is
replaced as a whole at every commit. A checksum over all of it tells damage
from a wrong passphrase; it authenticates nothing, the two seals do
(docs/spec/desk.md §3). Where the file lies is not this module's business.
"""

from __future__ import annotations

import hashlib
import struct
import unicodedata
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from backchannel.encoding import framed
from backchannel.errors import LockedError, UnavailableError, UsageError
from backchannel.keys import Cost, Fixed, Random, Secret, derive, equal, stretch

# Specification constants (docs/spec/desk.md §3). Changing one is a new version.
MAGIC: Final = b"backchannel desk"
VERSION: Final = 1
CLEAR: Final = struct.Struct(">16sIIIIQ32s48s")  # magic, version, memory, passes, lanes, step, salt, wrapped key
SEALED: Final = struct.Struct(">12s40s")  # nonce, sealed mark
MARK: Final = struct.Struct(">Q16s")  # number, fresh
CHECKSUM_SIZE: Final = 32
HEADER_SIZE: Final = CLEAR.size + SEALED.size + CHECKSUM_SIZE

# A header comes from a disk that others may have written: what it asks for is
# bounded before any of it is paid.
MAX_MEMORY: Final = 4 * 1024 * 1024  # KiB, 4 GiB
MAX_PASSES: Final = 64
MAX_LANES: Final = 64
PAGE_SIZE: Final = 4096
MIN_STEP: Final = 16 * PAGE_SIZE
MAX_STEP: Final = 512 * 1024 * 1024


class DeskKey(Secret):
    """The random key that everything at a desk is under."""

    __slots__ = ()


class Salt(Fixed):
    """What makes a passphrase's stretched key different at every desk and change."""

    __slots__ = ()


class Fresh(Fixed):
    """Random bytes that no other commit has, of this desk or of a copy of it."""

    size = 16
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """Which commit it is: its number, and what tells it from another copy's same number."""

    number: int
    fresh: Fresh

    @classmethod
    def first(cls, random: Random) -> Self:
        return cls(0, Fresh.draw(random))

    def next(self, random: Random) -> Mark:
        return Mark(self.number + 1, Fresh.draw(random))


@dataclass(frozen=True, slots=True)
class Lock:
    """The part of the header that a passphrase opens, and the step, in clear beside it."""

    cost: Cost
    step: int
    salt: Salt
    wrapped: bytes

    @classmethod
    def make(cls, key: DeskKey, passphrase: str, *, cost: Cost, step: int, random: Random) -> Self:
        """Wrap *key* under *passphrase*.

        Raises:
            UsageError: If the passphrase is empty or no text, or cost or step out of bounds.
            UnavailableError: If there is not the memory that *cost* asks for.
        """
        if not _reasonable(cost, step):
            raise UsageError("the cost or the step of a desk is out of bounds")
        salt = Salt.draw(random)
        # A fixed nonce: the salt is drawn for this one wrapping, so the stretched
        # key never seals anything else.
        wrapped = _stretched(passphrase, salt, cost).encrypt(bytes(12), key, _clear(cost, step, salt))
        return cls(cost, step, salt, wrapped)

    def open(self, passphrase: str) -> DeskKey:
        """Unwrap the desk key.

        Raises:
            LockedError: If the passphrase is wrong.
            UnavailableError: If there is not the memory that the header asks for.
        """
        stretched = _stretched(passphrase, self.salt, self.cost)
        try:
            return DeskKey(stretched.decrypt(bytes(12), self.wrapped, _clear(self.cost, self.step, self.salt)))
        except InvalidTag:
            raise LockedError("wrong passphrase") from None

    def encode(self) -> bytes:
        return _clear(self.cost, self.step, self.salt) + self.wrapped


@dataclass(frozen=True, slots=True)
class Header:
    """A header as it lies on the disk: intact, and not yet believed."""

    lock: Lock
    sealed: bytes

    @classmethod
    def seal(cls, lock: Lock, mark: Mark, key: DeskKey, *, random: Random) -> Self:
        """Make the header of the commit *mark*."""
        # Drawn, not counted: a restored copy may come to the same number twice.
        nonce = random(12)
        plain = MARK.pack(mark.number, mark.fresh)
        return cls(lock, nonce + _mark_cipher(key).encrypt(nonce, plain, lock.encode()))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Parse a header read from the disk.

        Raises:
            LockedError: For each reason in docs/spec/desk.md §3.2: it is cut short,
                no header, of a newer version, damaged, or asks for too much.
        """
        # 1. Its length. What is at hand says which of the two mistakes it is.
        if len(data) < HEADER_SIZE and MAGIC.startswith(data[: len(MAGIC)]):
            raise LockedError("this desk's header is cut short")
        if len(data) != HEADER_SIZE:
            raise LockedError("this desk's header is not a header of a desk")
        # 2. The checksum, before any field is used: behind it, a refusal is
        #    about what somebody wrote and not about what a disk lost.
        body, checksum = data[:-CHECKSUM_SIZE], data[-CHECKSUM_SIZE:]
        if not equal(_checksum(body), checksum):
            raise LockedError("this desk's header is damaged")
        magic, version, memory, passes, lanes, step, salt, wrapped = CLEAR.unpack_from(body)
        if magic != MAGIC:
            raise LockedError("this desk's header is not a header of a desk")
        if version != VERSION:
            raise LockedError("this desk was made by another version of backchannel")
        # 3. Bounds, before any memory is taken.
        cost = Cost(memory, passes, lanes)
        if not _reasonable(cost, step):
            raise LockedError("this desk's header asks for more than any desk needs")
        return cls(Lock(cost, step, Salt(salt), wrapped), body[CLEAR.size :])

    def encode(self) -> bytes:
        body = self.lock.encode() + self.sealed
        return body + _checksum(body)

    def mark(self, key: DeskKey) -> Mark:
        """Open the mark.

        Raises:
            LockedError: If it was not sealed under *key* with this very lock.
        """
        nonce, sealed = SEALED.unpack(self.sealed)
        try:
            plain = _mark_cipher(key).decrypt(nonce, sealed, self.lock.encode())
        except InvalidTag:
            # The checksum was right: the parts of two headers, put together by hand.
            raise LockedError("this desk's header was altered") from None
        number, fresh = MARK.unpack(plain)
        return Mark(number, Fresh(fresh))


def _reasonable(cost: Cost, step: int) -> bool:
    return (
        1 <= cost.lanes <= MAX_LANES
        and 1 <= cost.passes <= MAX_PASSES
        and 8 * cost.lanes <= cost.memory <= MAX_MEMORY  # RFC 9106 §3.1: 8 KiB a lane at least
        and MIN_STEP <= step <= MAX_STEP
        and step % PAGE_SIZE == 0
    )


def _stretched(passphrase: str, salt: Salt, cost: Cost) -> ChaCha20Poly1305:
    # NFC, as RFC 8265 §4.2.2 has it for passwords: two keyboards that write the
    # same letters differently open the same desk. Not NFKC, which would make
    # one passphrase of texts that their owner sees to differ.
    try:
        secret = unicodedata.normalize("NFC", passphrase).encode()
    except UnicodeEncodeError:
        raise UsageError("the passphrase is not text") from None
    if not secret:
        raise UsageError("the passphrase is empty")
    try:
        stretched = stretch(secret, salt, cost)
    except MemoryError:
        raise UnavailableError("there is not enough memory to open this desk") from None
    (key,) = derive(salt, stretched, framed(b"backchannel/v1/desk/wrap"), count=1)
    return ChaCha20Poly1305(key)


def _clear(cost: Cost, step: int, salt: Salt) -> bytes:
    packed = CLEAR.pack(MAGIC, VERSION, cost.memory, cost.passes, cost.lanes, step, salt, b"")
    return packed[:-_WRAPPED_SIZE]


def _mark_cipher(key: DeskKey) -> ChaCha20Poly1305:
    (sealing,) = derive(b"", key, framed(b"backchannel/v1/desk/mark"), count=1)
    return ChaCha20Poly1305(sealing)


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(framed(b"backchannel/v1/desk/checksum", body)).digest()


_WRAPPED_SIZE: Final = 48  # a key and the tag of the AEAD
