"""The tray: two files of one size, and what is in them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.encoding import decode, encode
from backchannel.errors import MalformedError, UsageError, VerificationError
from backchannel.keys import Digest
from backchannel.post import tray
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.tray import FromDesk, FromPorter, LineName, PairingKey
from tests.post.stage import bent, encodings, read
from tests.simulation.office import Generator
from tests.vectors.make_tray import DESK, EMPTY, KEY, PORTER, SIZE, file

SAID = (DESK, EMPTY, PORTER)


@pytest.mark.parametrize("said", SAID)
def test_what_one_says_the_other_reads(said: FromDesk | FromPorter) -> None:
    opening = tray.open_from_desk if isinstance(said, FromDesk) else tray.open_from_porter
    assert opening(file(said), KEY, cipher=ReplyCipher()) == said


def test_a_file_is_of_one_size_whatever_is_in_it() -> None:
    assert {len(file(said)) for said in SAID} == {SIZE}


def test_two_files_that_say_the_same_share_nothing() -> None:
    made = [tray.seal(DESK, KEY, SIZE, random=Generator(at), cipher=ReplyCipher()) for at in range(2)]
    assert not any(made[0][at : at + 8] == made[1][at : at + 8] for at in range(0, SIZE, 8))


def test_a_file_draws_thirty_two_bytes_whatever_is_in_it() -> None:
    for said in SAID:
        drawn: list[int] = []

        def random(size: int, drawn: list[int] = drawn) -> bytes:
            drawn.append(size)
            return bytes(size)

        tray.seal(said, KEY, SIZE, random=random, cipher=ReplyCipher())
        assert drawn == [32]


def test_what_does_not_fit_is_said_and_not_cut() -> None:
    size = len(DESK.encode()) + tray.OVERHEAD
    assert tray.room(size) == len(DESK.encode())
    assert len(file(DESK, size)) == size
    with pytest.raises(UsageError, match="more than the tray holds"):
        file(DESK, size - 1)


def test_a_file_of_another_pairing_or_of_its_own_writer_is_none() -> None:
    with pytest.raises(VerificationError):
        tray.open_from_desk(file(DESK), PairingKey(bytes(32)), cipher=ReplyCipher())
    with pytest.raises(VerificationError):
        tray.open_from_desk(file(PORTER), KEY, cipher=ReplyCipher())
    with pytest.raises(VerificationError):
        tray.open_from_porter(file(DESK), KEY, cipher=ReplyCipher())


@given(st.binary(max_size=200))
def test_any_bytes_are_no_file(data: bytes) -> None:
    with pytest.raises(VerificationError):
        tray.open_from_desk(data, KEY, cipher=ReplyCipher())


@given(st.binary(max_size=120) | encodings(decode(DESK.encode())))
@example(b"\x81" * 100)
@example(encode((2**64 - 1, 2**64 - 1, (), (), (), b"")))
@example(DESK.encode())
def test_any_encoding_is_what_a_desk_says_or_malformed(data: bytes) -> None:
    said = read(FromDesk.decode, data)
    assert said is None or said.encode() == data


@given(st.binary(max_size=120) | encodings(decode(PORTER.encode())))
@example(b"\x81" * 100)
@example(PORTER.encode())
@example(encode((*decode(PORTER.encode())[:7], (b"\x01\x02\x03",), *decode(PORTER.encode())[8:])))  # type: ignore[index]
def test_any_encoding_is_what_a_porter_says_or_malformed(data: bytes) -> None:
    said = read(FromPorter.decode, data)
    assert said is None or said.encode() == data


@given(st.data())
def test_no_line_of_a_desk_is_beyond_its_bounds(data: st.DataObject) -> None:
    value = decode(DESK.encode())
    assert isinstance(value, tuple)
    lines = data.draw(bent(value[2]))
    try:
        said = FromDesk.decode(encode((1, 0, lines, (), (), b"")))
    except (MalformedError, ValueError):
        return
    assert len({line.name for line in said.lines}) == len(said.lines) <= tray.MAX_LINES
    for line in said.lines:
        assert 0 < line.mailbox < 2**20
        assert 0 <= line.place < 64
        assert 0 <= line.their_place < 64
        assert -1 <= line.sending < 2**48
        assert len(line.reading) <= 16
        assert all(len(root) == 32 for _, root in line.roots)


def test_a_file_with_more_values_than_any_desk_writes_is_malformed() -> None:
    few = FromDesk(1, 0, (), (), (Digest(bytes(32)),) * (tray.MAX_VALUES - 6))
    assert FromDesk.decode(few.encode()) == few
    with pytest.raises(MalformedError):
        FromDesk.decode(FromDesk(1, 0, (), (), (Digest(bytes(32)),) * tray.MAX_VALUES).encode())


def test_the_name_of_a_line_has_twelve_bytes() -> None:
    for size in (0, 11, 13):
        with pytest.raises(ValueError, match="12 bytes"):
            LineName(bytes(size))
