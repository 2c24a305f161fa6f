"""Signatures of institutions (docs/spec/charter.md §3): both halves hold, or neither counts."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.encoding import framed
from backchannel.errors import VerificationError
from backchannel.signing import Signature, Signer, SigningKey, VerifyingKey, verify

LABEL, MESSAGE = b"backchannel/v1/test/one", b"what is signed"
SEEDS = bytes(range(64))
SIGNER, OTHER = Signer.of(SigningKey(SEEDS)), Signer.of(SigningKey(SEEDS[::-1]))
GOOD = SIGNER.sign(LABEL, MESSAGE)


def test_what_was_signed_is_verified() -> None:
    verify(SIGNER.public, LABEL, MESSAGE, GOOD)
    verify(SIGNER.public, LABEL, b"", SIGNER.sign(LABEL, b""))


def test_a_signer_is_made_of_its_64_bytes_alone() -> None:
    drawn: list[int] = []

    def random(size: int) -> bytes:
        drawn.append(size)
        return SEEDS

    assert Signer.draw(random).public == SIGNER.public
    assert drawn == [64]
    assert SIGNER.public != OTHER.public
    assert (SigningKey.size, VerifyingKey.size, Signature.size) == (64, 1984, 3373)


def test_the_halves_are_those_of_the_page() -> None:
    ed, ml = Ed25519PrivateKey.from_private_bytes(SEEDS[:32]), MLDSA65PrivateKey.from_seed_bytes(SEEDS[32:])
    assert SIGNER.public == ed.public_key().public_bytes_raw() + ml.public_key().public_bytes_raw()
    said = framed(LABEL, MESSAGE)
    assert GOOD[:64] == ed.sign(said)
    ml.public_key().verify(GOOD[64:], said)


@pytest.mark.parametrize(
    ("key", "label", "message", "signature"),
    [
        (OTHER.public, LABEL, MESSAGE, GOOD),
        (SIGNER.public, LABEL + b"s", MESSAGE, GOOD),
        (SIGNER.public, LABEL[:-1], LABEL[-1:] + MESSAGE, GOOD),
        (SIGNER.public, LABEL, MESSAGE + b".", GOOD),
        (SIGNER.public, LABEL, b"", GOOD),
        (SIGNER.public, LABEL, MESSAGE, SIGNER.sign(LABEL, b"another")),
        (SIGNER.public, LABEL, MESSAGE, Signature(bytes(3373))),
    ],
    ids=["key", "label", "label and message", "message", "no message", "signature", "zeros"],
)
def test_another_than_was_signed_is_not_verified(
    key: VerifyingKey, label: bytes, message: bytes, signature: Signature
) -> None:
    with pytest.raises(VerificationError, match="not what it claims to be"):
        verify(key, label, message, signature)


def test_either_half_alone_proves_nothing() -> None:
    forged = OTHER.sign(LABEL, MESSAGE)
    for mixed in (GOOD[:64] + forged[64:], forged[:64] + GOOD[64:]):
        with pytest.raises(VerificationError):
            verify(SIGNER.public, LABEL, MESSAGE, Signature(mixed))
    for key in (SIGNER.public[:32] + OTHER.public[32:], OTHER.public[:32] + SIGNER.public[32:]):
        with pytest.raises(VerificationError):
            verify(VerifyingKey(key), LABEL, MESSAGE, GOOD)


@given(st.integers(0, 8 * 3373 - 1))
@settings(max_examples=60, deadline=None)
def test_no_bit_of_a_signature_may_be_altered(bit: int) -> None:
    altered = int.from_bytes(GOOD) ^ 1 << bit
    with pytest.raises(VerificationError):
        verify(SIGNER.public, LABEL, MESSAGE, Signature(altered.to_bytes(3373)))


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_bytes_in_the_place_of_key_and_signature_are_refused_and_no_other_error(seed: int) -> None:
    key, made = (hashlib.shake_256(f"{seed} {size}".encode()).digest(size) for size in (1984, 3373))
    for tried in (key, b"\xff" * 1984, SIGNER.public):  # the second is no point of the curve
        with pytest.raises(VerificationError):
            verify(VerifyingKey(tried), LABEL, MESSAGE, Signature(made))


def test_a_signing_key_does_not_show_itself() -> None:
    assert repr(SIGNER.key) == "<SigningKey>"
    assert SEEDS.hex() not in repr(SIGNER)
