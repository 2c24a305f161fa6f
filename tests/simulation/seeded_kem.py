"""A KEM whose every byte comes from the test's own generator.

HPKE with X-Wing draws its randomness where a test cannot reach, so two runs
of one history never have the same bytes. This stand-in has the sizes of the
real one (docs/spec/ratchet.md §2) and none of its strength: the public key
and the bytes on the wire are all it takes to open a box. It lives in tests,
and never in the package, for that reason.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from backchannel.errors import MalformedError, VerificationError
from backchannel.kem import PrivateKey, PublicKey
from backchannel.keys import Random

ENCAPSULATION_SIZE: Final = 1120
TAG_SIZE: Final = 16

LABEL: Final = b"backchannel-tests/seeded-kem/public"
NONCE: Final = bytes(12)  # a key depends on 1,120 fresh bytes, so it seals once


class SeededKem:
    """Correct, deterministic in the bytes it is given, and NOT secure: anyone with the public key opens its boxes."""

    def generate(self, random: Random) -> tuple[PrivateKey, PublicKey]:
        """Draw 96 bytes; return (private key, public key)."""
        private = PrivateKey.draw(random)
        return private, self.public(private)

    def public(self, private: bytes) -> PublicKey:
        """Return the public key, 1,216 bytes, of *private*."""
        return PublicKey(hashlib.shake_256(LABEL + private).digest(PublicKey.size))

    def check(self, public: bytes) -> None:
        """Check that *public* is a public key.

        Raises:
            MalformedError: If it has another length than a public key.
        """
        if len(public) != PublicKey.size:
            raise MalformedError(f"public key is {len(public)} bytes, which no public key is")

    def seal(self, public: bytes, info: bytes, plaintext: bytes, random: Random) -> bytes:
        """Draw 1,120 bytes; return them, then *plaintext* sealed, with its 16-byte tag."""
        encapsulation = random(ENCAPSULATION_SIZE)
        return encapsulation + ChaCha20Poly1305(_key(public, encapsulation, info)).encrypt(NONCE, plaintext, None)

    def open(self, private: bytes, info: bytes, box: bytes) -> bytes:
        """Return what *box* was sealed from.

        Raises:
            VerificationError: If it was not sealed to *private* under *info*.
        """
        if len(box) < ENCAPSULATION_SIZE + TAG_SIZE:
            raise VerificationError("this box does not open")
        encapsulation, sealed = box[:ENCAPSULATION_SIZE], box[ENCAPSULATION_SIZE:]
        try:
            return ChaCha20Poly1305(_key(self.public(private), encapsulation, info)).decrypt(NONCE, sealed, None)
        except InvalidTag:
            raise VerificationError("this box does not open") from None


def _key(public: bytes, encapsulation: bytes, info: bytes) -> bytes:
    # The first two have one length each, so nothing else joins to the same bytes.
    return hashlib.sha256(public + encapsulation + info).digest()
