"""Signatures of institutions: Ed25519 and ML-DSA-65 together, each over the same message.

Whoever breaks one of the two has forged nothing yet. What is signed in
Backchannel is public and says nothing of letters: a charter, a key of the day,
an operator's greeting to another (docs/spec/charter.md §3). What pyca draws
while it signs is its own.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import ClassVar, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from backchannel.encoding import framed
from backchannel.errors import VerificationError
from backchannel.keys import Fixed, Random, Secret

# Specification constants (docs/spec/charter.md §3).
_ED: Final = slice(0, 32)
_ED_SIGNATURE: Final = slice(0, 64)


class SigningKey(Secret):
    """Two seeds of 32 bytes: Ed25519's (RFC 8032) and ML-DSA-65's (FIPS 204)."""

    size: ClassVar[int] = 64
    __slots__ = ()


class VerifyingKey(Fixed):
    """Ed25519's 32 bytes and ML-DSA-65's 1,952."""

    size: ClassVar[int] = 32 + 1952
    __slots__ = ()


class Signature(Fixed):
    """Ed25519's 64 bytes and ML-DSA-65's 3,309."""

    size: ClassVar[int] = 64 + 3309
    __slots__ = ()


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """A signing key, and the public half that others know it by."""

    key: SigningKey
    public: VerifyingKey

    @classmethod
    def of(cls, key: SigningKey) -> Signer:
        ed, ml = _private(key)
        return cls(key, VerifyingKey(ed.public_key().public_bytes_raw() + ml.public_key().public_bytes_raw()))

    @classmethod
    def draw(cls, random: Random) -> Signer:
        return cls.of(SigningKey.draw(random))

    def sign(self, label: bytes, message: bytes) -> Signature:
        """Sign *message* as what *label* says it is."""
        ed, ml = _private(self.key)
        said = framed(label, message)
        return Signature(ed.sign(said) + ml.sign(said))


def verify(key: VerifyingKey, label: bytes, message: bytes, signature: Signature) -> None:
    """Return if both signatures are of *key*'s holder over *message* under *label*.

    Raises:
        VerificationError: If either is not; which of the two is not said.
    """
    said = framed(label, message)
    # Of the right length, which their types say, a key or a signature that is none is no other error.
    with contextlib.suppress(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(key[_ED]).verify(signature[_ED_SIGNATURE], said)
        MLDSA65PublicKey.from_public_bytes(key[_ED.stop :]).verify(signature[_ED_SIGNATURE.stop :], said)
        return
    raise VerificationError("a signature is not what it claims to be")


def _private(key: SigningKey) -> tuple[Ed25519PrivateKey, MLDSA65PrivateKey]:
    return (
        Ed25519PrivateKey.from_private_bytes(key[_ED]),
        MLDSA65PrivateKey.from_seed_bytes(key[_ED.stop :]),
    )
