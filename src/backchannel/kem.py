"""The KEM: a box that only the holder of one private key opens.

It is an argument wherever it is used, because pyca's takes no randomness: what
surrounds it can then be tested with every byte accounted for. The one that
ships is HPKE (RFC 9180, base mode, single shot) over X-Wing, the hybrid of
ML-KEM-768 and X25519: whoever breaks one of the two has nothing yet.
"""

from __future__ import annotations

from typing import ClassVar, Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from backchannel.errors import MalformedError, VerificationError
from backchannel.keys import Fixed, Random, Secret

# Specification constants (docs/spec/ratchet.md §2).
ENCAPSULATION_SIZE: Final = 1120
BOX_OVERHEAD: Final = ENCAPSULATION_SIZE + 16
_MLKEM_SEED: Final = 64
_MLKEM_PUBLIC: Final = 1184


class PublicKey(Fixed):
    """An X-Wing public key: ML-KEM-768's 1,184 bytes and X25519's 32."""

    size: ClassVar[int] = 1216
    __slots__ = ()


class PrivateKey(Secret):
    """An X-Wing private key: ML-KEM-768's seed of 64 bytes and X25519's 32."""

    size: ClassVar[int] = 96
    __slots__ = ()


class Kem(Protocol):
    """What a ratchet and a meeting need of a KEM."""

    def generate(self, random: Random) -> tuple[PrivateKey, PublicKey]:
        """Make a key pair from 96 bytes of *random*."""

    def public(self, private: PrivateKey) -> PublicKey:
        """Give the public key of *private*."""

    def check(self, public: PublicKey) -> None:
        """Raise MalformedError unless *public* can be sealed to."""

    def seal(self, public: PublicKey, info: bytes, plaintext: bytes, random: Random) -> bytes:
        """Seal *plaintext*: ``BOX_OVERHEAD`` bytes longer."""

    def open(self, private: PrivateKey, info: bytes, box: bytes) -> bytes:
        """Open *box*, or raise VerificationError."""


class XWing:
    """X-Wing through pyca's HPKE. What it draws while sealing is pyca's own."""

    _suite: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)

    def generate(self, random: Random) -> tuple[PrivateKey, PublicKey]:
        private = PrivateKey.draw(random)
        return private, self.public(private)

    def public(self, private: PrivateKey) -> PublicKey:
        mlkem, x25519 = _private(private)
        return PublicKey(mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw())

    def check(self, public: PublicKey) -> None:
        try:
            _, x25519 = _public(public)
            # A point of low order would make the X25519 half a constant that
            # everybody knows; pyca refuses it only when a secret is agreed.
            _PROBE.exchange(x25519)
        except ValueError:
            raise MalformedError("public key is not well formed") from None

    def seal(self, public: PublicKey, info: bytes, plaintext: bytes, random: Random) -> bytes:
        del random  # pyca takes none
        return self._suite.encrypt(plaintext, MLKEM768X25519PublicKey(*_public(public)), info=info)

    def open(self, private: PrivateKey, info: bytes, box: bytes) -> bytes:
        try:
            return self._suite.decrypt(box, MLKEM768X25519PrivateKey(*_private(private)), info=info)
        except (InvalidTag, ValueError):
            raise VerificationError("this does not open") from None


def _private(key: PrivateKey) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    return (
        MLKEM768PrivateKey.from_seed_bytes(key[:_MLKEM_SEED]),
        X25519PrivateKey.from_private_bytes(key[_MLKEM_SEED:]),
    )


def _public(key: PublicKey) -> tuple[MLKEM768PublicKey, X25519PublicKey]:
    return (
        MLKEM768PublicKey.from_public_bytes(key[:_MLKEM_PUBLIC]),
        X25519PublicKey.from_public_bytes(key[_MLKEM_PUBLIC:]),
    )


_PROBE: Final = X25519PrivateKey.from_private_bytes(bytes(range(32)))
