"""The ciphers of the post office are those of their standards, and refuse in one way."""

from __future__ import annotations

import pytest

from backchannel.errors import VerificationError
from backchannel.kem import XWing
from backchannel.post.ciphers import NONCE_SIZE, TAG_SIZE, Aead, Ciphers, PacketCipher, QueryStream, ReplyCipher

KEY, NONCE = bytes(range(32)), bytes(range(12))
AEADS = pytest.mark.parametrize("cipher", [PacketCipher(), ReplyCipher()], ids=["packets", "replies"])


def test_packets_are_aes_256_gcm_siv_as_rfc_8452_has_it() -> None:
    # RFC 8452, C.2, the second.
    key, nonce = b"\x01" + bytes(31), b"\x03" + bytes(11)
    sealed = bytes.fromhex("c2ef328e5c71c83b843122130f7364b761e0b97427e3df28")
    plaintext = bytes.fromhex("0100000000000000")
    assert PacketCipher().seal(key, nonce, plaintext, b"") == sealed
    assert PacketCipher().open(key, nonce, sealed, b"") == plaintext


def test_replies_are_chacha20_poly1305_as_rfc_8439_has_it() -> None:
    # RFC 8439, 2.8.2.
    plaintext = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    key, nonce = bytes(range(0x80, 0xA0)), bytes.fromhex("070000004041424344454647")
    sealed = ReplyCipher().seal(key, nonce, plaintext, bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))
    assert sealed[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


def test_queries_are_the_stream_of_chacha20_from_its_start() -> None:
    # RFC 8439, A.1, the first: key, nonce and counter zero.
    stream = (
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    )
    assert QueryStream().apply(bytes(32), bytes(64)).hex() == stream
    data = bytes(range(64))
    assert QueryStream().apply(bytes(32), QueryStream().apply(bytes(32), data)) == data
    assert QueryStream().apply(KEY, b"") == b""


@AEADS
def test_what_is_sealed_opens_and_is_as_much_longer_as_is_said(cipher: Aead) -> None:
    assert (NONCE_SIZE, TAG_SIZE) == (12, 16)
    for size in (1, 15, 16, 17, 4096):
        sealed = cipher.seal(KEY, NONCE, bytes(size), b"with")
        assert len(sealed) == size + TAG_SIZE
        assert cipher.open(KEY, NONCE, sealed, b"with") == bytes(size)


@AEADS
def test_everything_that_does_not_open_is_refused_in_one_way(cipher: Aead) -> None:
    sealed = cipher.seal(KEY, NONCE, b"plaintext", b"with")
    for key, nonce, data, associated in (
        (KEY[::-1], NONCE, sealed, b"with"),
        (KEY, NONCE[::-1], sealed, b"with"),
        (KEY, NONCE, sealed[:-1], b"with"),
        (KEY, NONCE, bytes([sealed[0] ^ 1]) + sealed[1:], b"with"),
        (KEY, NONCE, sealed, b""),
        (KEY, NONCE, b"", b"with"),
        (KEY, NONCE, sealed[:15], b"with"),
        (KEY, NONCE[:5], sealed, b"with"),  # of a row that is cut short
        (KEY, b"", sealed, b"with"),
    ):
        with pytest.raises(VerificationError, match=r"^this does not open$"):
            cipher.open(key, nonce, data, associated)


def test_the_ones_that_ship_are_these() -> None:
    real = Ciphers.real()
    assert [type(each) for each in (real.kem, real.packets, real.replies, real.stream)] == [
        XWing,
        PacketCipher,
        ReplyCipher,
        QueryStream,
    ]
