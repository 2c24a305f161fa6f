"""X-Wing as it ships, and the seeded one of the tests, as a ratchet needs them (docs/spec/ratchet.md §2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.errors import MalformedError, VerificationError
from backchannel.kem import BOX_OVERHEAD, ENCAPSULATION_SIZE, Kem, PrivateKey, PublicKey, XWing
from tests.peer.side_by_side import stream
from tests.simulation.seeded_kem import SeededKem

KEMS: list[Kem] = [XWing(), SeededKem()]
XWING = XWing()
PRIVATE, PUBLIC = XWING.generate(stream("kem"))


@pytest.mark.parametrize("kem", KEMS, ids=lambda kem: type(kem).__name__)
def test_a_box_opens_under_its_key_and_info_alone(kem: Kem) -> None:
    private, public = kem.generate(stream(0))
    other, _ = kem.generate(stream(1))
    kem.check(public)
    assert kem.public(private) == public
    box = kem.seal(public, b"info", b"x" * 32, stream(2))
    assert len(box) == 32 + BOX_OVERHEAD == 1168
    assert kem.open(private, b"info", box) == b"x" * 32
    altered = box[:-1] + bytes([box[-1] ^ 1])
    for key, info, data in ((other, b"info", box), (private, b"other", box), (private, b"info", altered)):
        with pytest.raises(VerificationError):
            kem.open(key, info, data)


@pytest.mark.parametrize("kem", KEMS, ids=lambda kem: type(kem).__name__)
def test_a_key_pair_takes_96_bytes_and_no_other(kem: Kem) -> None:
    drawn: list[int] = []

    def random(size: int) -> bytes:
        drawn.append(size)
        return stream(0)(size)

    private, public = kem.generate(random)
    assert drawn == [96] == [len(private)]
    assert len(public) == 1216
    assert kem.generate(stream(0)) == (private, public)


# RFC 7748 §6.1: the points whose multiple is zero, whatever the scalar.
LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
]


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_point_of_low_order_is_not_well_formed(point: str) -> None:
    with pytest.raises(MalformedError, match="not well formed"):
        XWING.check(PublicKey(PUBLIC[:1184] + bytes.fromhex(point)))


@pytest.mark.parametrize("coefficient", [3329, 4095])
def test_a_coefficient_that_is_not_reduced_is_not_well_formed(coefficient: int) -> None:
    # FIPS 203 §7.2, the modulus check: two coefficients of 12 bits in three bytes.
    raw = (coefficient | coefficient << 12).to_bytes(3, "little")
    with pytest.raises(MalformedError, match="not well formed"):
        XWING.check(PublicKey(raw + PUBLIC[3:]))
    raw = (3328 | 3328 << 12).to_bytes(3, "little")
    XWING.check(PublicKey(raw + PUBLIC[3:]))


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_box_with_a_point_of_low_order_does_not_open(point: str) -> None:
    box = XWING.seal(PUBLIC, b"", b"x" * 32, stream(0))
    with pytest.raises(VerificationError):
        XWING.open(PRIVATE, b"", box[:1088] + bytes.fromhex(point) + box[ENCAPSULATION_SIZE:])


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=1300), st.binary(min_size=1100, max_size=1200)))
def test_garbage_does_not_open(garbage: bytes) -> None:
    for kem in KEMS:
        with pytest.raises(VerificationError):
            kem.open(PRIVATE, b"info", garbage)


@pytest.mark.parametrize("size", [95, 97])
def test_a_key_of_another_length_is_none(size: int) -> None:
    with pytest.raises(ValueError, match="PrivateKey is 96 bytes"):
        PrivateKey(bytes(size))
