"""The ciphers of the post office, each an argument of what uses it.

A test puts others in their place, whose output it has drawn itself, and so
accounts for every byte that leaves a porter (docs/spec/visit.md §7). These are
pyca's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from backchannel.errors import VerificationError
from backchannel.kem import Kem, XWing

TAG_SIZE: Final = 16
NONCE_SIZE: Final = 12


class Aead(Protocol):
    """An authenticated cipher with nonces of 12 bytes and tags of 16."""

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Seal *plaintext*: 16 bytes longer."""

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        """Open *sealed*, or raise VerificationError."""


class Stream(Protocol):
    """A stream cipher under a key that is used once."""

    def apply(self, seed: bytes, data: bytes) -> bytes:
        """XOR *data* with the stream of *seed*."""


class PacketCipher:
    """AES-256-GCM-SIV (RFC 8452): one key may seal twice, in a round that a restored porter repeats."""

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        return AESGCMSIV(key).encrypt(nonce, plaintext, associated)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        try:
            return AESGCMSIV(key).decrypt(nonce, sealed, associated)
        except (InvalidTag, ValueError):
            raise VerificationError(_SHUT) from None


class ReplyCipher:
    """ChaCha20-Poly1305 (RFC 8439)."""

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        return ChaCha20Poly1305(key).encrypt(nonce, plaintext, associated)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        try:
            return ChaCha20Poly1305(key).decrypt(nonce, sealed, associated)
        except (InvalidTag, ValueError):
            raise VerificationError(_SHUT) from None


class QueryStream:
    """ChaCha20 (RFC 8439), counter and nonce zero."""

    def apply(self, seed: bytes, data: bytes) -> bytes:
        return Cipher(ChaCha20(seed, bytes(16)), mode=None).encryptor().update(data)


@dataclass(frozen=True, slots=True)
class Ciphers:
    """All that the post office needs of cryptography, besides hashes."""

    kem: Kem
    packets: Aead
    replies: Aead
    stream: Stream

    @classmethod
    def real(cls) -> Ciphers:
        """The ones that ship."""
        return cls(XWing(), PacketCipher(), ReplyCipher(), QueryStream())


_SHUT: Final = "this does not open"
