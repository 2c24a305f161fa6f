"""Types for keys, digests and ids, and the few ways one is made from another.

Two 32-byte strings that must not be swapped have two types, and their length is
checked when they are made, so that everything behind may index without asking.
The primitives themselves are pyca ``cryptography``'s and the standard library's
hashes; this module only frames what goes into them (docs/spec/encoding.md §4).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backchannel.encoding import framed

Random: TypeAlias = Callable[[int], bytes]
"""A source of randomness: the number of bytes wanted in, as many bytes out."""

KEY_SIZE: Final = 32


class Fixed(bytes):
    """Bytes of one length, told apart from other bytes by their type."""

    size: ClassVar[int] = KEY_SIZE
    __slots__ = ()

    def __new__(cls, value: bytes) -> Self:
        if len(value) != cls.size:
            raise ValueError(f"{cls.__name__} is {cls.size} bytes, not {len(value)}")
        # As a view, since an array of small integers, which an encoding may hold, would make bytes too.
        return super().__new__(cls, memoryview(value))

    @classmethod
    def draw(cls, random: Random) -> Self:
        """Draw a fresh one from *random*."""
        return cls(random(cls.size))


class Secret(Fixed):
    """A key: it never shows itself in a traceback or a log."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


class Digest(Fixed):
    """A SHA-256 digest."""

    __slots__ = ()


class LetterId(Fixed):
    """The random name of a letter, the same at both desks."""

    __slots__ = ()


class ReleaseSeed(Secret):
    """What a letter's commitment is salted from (docs/spec/commitment.md)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """What one Argon2id derivation costs (RFC 9106): memory in KiB, passes, lanes."""

    memory: int
    passes: int
    lanes: int


# RFC 9106 §4 recommends 64 MiB where memory is short; a desk is opened a few
# times a day on a machine with gigabytes, and check words are worth the second.
FULL_COST: Final = Cost(memory=256 * 1024, passes=3, lanes=4)


def sha256(*parts: bytes | str | int) -> Digest:
    """SHA-256 over the framed *parts*, the first of which is a label."""
    return Digest(hashlib.sha256(framed(*parts)).digest())


def mac(key: bytes, *parts: bytes | str | int) -> bytes:
    """HMAC-SHA-256 (RFC 2104) under *key* over the framed *parts*: 32 bytes."""
    return hmac.digest(key, framed(*parts), "sha256")


def equal(a: bytes, b: bytes) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(a, b)


def derive(salt: bytes, ikm: bytes, info: bytes, *, count: int) -> list[bytes]:
    """HKDF-SHA-512 (RFC 5869) cut into *count* keys of 32 bytes."""
    out = HKDF(hashes.SHA512(), KEY_SIZE * count, salt, info).derive(ikm)
    return [out[i : i + KEY_SIZE] for i in range(0, len(out), KEY_SIZE)]


def stretch(secret: bytes, salt: bytes, cost: Cost) -> bytes:
    """Argon2id (RFC 9106) of *secret*: 32 bytes, after about a second at full cost."""
    # Imported here: most commands of a session never derive.
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415

    return Argon2id(
        salt=salt,
        length=KEY_SIZE,
        iterations=cost.passes,
        lanes=cost.lanes,
        memory_cost=cost.memory,
    ).derive(secret)
