"""Lines: what the porter keeps of one correspondent."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.encoding import decode
from backchannel.errors import MalformedError, VerificationError
from backchannel.keys import Digest
from backchannel.post import packet
from backchannel.post.ciphers import PacketCipher
from backchannel.post.lines import Line
from backchannel.post.packet import Content, Fragment, RoundKeys
from backchannel.post.transfer import Incoming, Outgoing
from backchannel.post.tray import LineTerms
from tests.post.stage import encodings, line, read
from tests.simulation.office import Generator

CIPHER = PacketCipher()
CHARTER = Digest(b"c" * 32)
NOISE = Generator("noise")(256)
ENVELOPE = Generator("envelope")(600)
DIGEST = Digest(hashlib.sha256(ENVELOPE).digest())
ROOTS = ((-1, b"1" * 32), (0, b"0" * 32))


def ours(**changes: object) -> Line:
    """A line that sends under turn 0 and reads under -1, with one envelope to carry."""
    terms = line(b"m", 9, roots=ROOTS, **changes)
    made = Line.new(terms).agreed(terms, since=100)
    return replace(made, out=made.out.put(DIGEST, len(ENVELOPE), room=packet.room(256)))


def theirs() -> Line:
    terms = line(b"a", 3, sending=-1, reading=(0,), roots=ROOTS)
    return Line.new(terms).agreed(terms, since=100)


def laid(one: Line, number: int, mailbox: int = 3) -> tuple[Line, bytes]:
    return one.packet(number, NOISE, where=(CHARTER, mailbox, 9), envelope=lambda _: ENVELOPE, cipher=CIPHER)


def opened(one: Line, row: bytes, number: int, mailbox: int = 3) -> tuple[Line, tuple[Digest, ...], tuple[bytes, ...]]:
    return one.read(row, number, where=(CHARTER, mailbox, 9), cipher=CIPHER)


def test_an_envelope_goes_over_and_its_arrival_comes_back() -> None:
    one, other = ours(), theirs()
    got: list[bytes] = []
    for number in range(100, 104):
        one, row = laid(one, number)
        other, arrived, whole = opened(other, row, number)
        assert arrived == ()
        got += whole
    assert got == [ENVELOPE]
    assert other.heard == 104
    other, row = laid(other, 104, 9)
    one, arrived, whole = opened(one, row, 104, 9)
    assert (arrived, whole) == ((DIGEST,), ())
    assert (one.out.queue, one.heard) == ((), 105)


def test_with_nothing_to_carry_there_is_a_packet_all_the_same() -> None:
    other, row = laid(theirs(), 100, 9)
    one, arrived, whole = opened(ours(), row, 100, 9)
    assert (arrived, whole) == ((), ())
    assert one.heard == 101
    assert len(row) == len(NOISE)
    assert row != NOISE
    assert other.out.sent == ()


def test_the_key_of_a_row_is_gone_once_it_is_laid() -> None:
    one, _ = laid(ours(), 100)
    with pytest.raises(VerificationError, match="erased"):
        one.roots[0].key(100)
    one.roots[0].key(101)
    # A clock that goes back gets noise, and nothing counts as sent.
    again, row = laid(one, 100)
    assert (again, row) == (one, NOISE)


def test_without_a_root_the_row_is_the_noise() -> None:
    one = ours(sending=2)
    assert laid(one, 100) == (one, NOISE)


def test_a_row_of_another_round_or_mailbox_or_line_is_no_packet() -> None:
    _, row = laid(ours(), 100)
    opened(theirs(), row, 100)
    for number, mailbox in ((101, 3), (100, 4)):
        with pytest.raises(VerificationError, match="no packet"):
            opened(theirs(), row, number, mailbox)
    with pytest.raises(VerificationError, match="no packet"):
        opened(ours(), row, 100)
    for rubbish in (NOISE, bytes(256)):
        with pytest.raises(VerificationError, match="no packet"):
            opened(theirs(), rubbish, 100)


def test_a_root_that_is_not_here_yet_is_passed_over() -> None:
    _, row = laid(ours(), 100)
    other = replace(theirs(), reading=(4, 2, 0))
    assert opened(other, row, 100)[0].heard == 101
    with pytest.raises(VerificationError, match="no packet"):
        opened(replace(other, reading=(4, 2)), row, 100)


def test_a_packet_that_is_made_wrong_is_told_from_none() -> None:
    raw = bytearray(Content(0, 0, None).encode(256 - packet.OVERHEAD))
    raw[-1] = 1
    key = RoundKeys.of(b"0" * 32).key(100)
    row = bytes(12) + CIPHER.seal(key, bytes(12), bytes(raw), packet._associated((CHARTER, 3, 9)))
    with pytest.raises(MalformedError):
        opened(theirs(), row, 100)


def test_a_root_carries_one_way() -> None:
    # What is sealed under the root of a turn is read by its owner alone, who does not write under it.
    one, other = ours(), theirs()
    assert (one.sending, one.reading) == (0, (-1,))
    assert (other.sending, other.reading) == (-1, (0,))
    _, row = laid(one, 100)
    with pytest.raises(VerificationError):
        opened(one, row, 100)


def test_new_terms_keep_the_roots_that_are_used_as_they_are_and_drop_the_others() -> None:
    one, _ = laid(ours(), 100)
    terms = line(b"m", 9, place=1, their_place=0, sending=0, reading=(-1, 1), roots=((0, b"x" * 32), (1, b"2" * 32)))
    after = one.agreed(terms, since=103)
    assert (after.mailbox, after.place, after.their_place, after.reading) == (9, 1, 0, (-1, 1))
    assert after.roots[0] == one.roots[0]  # not another in its place, and not its past
    assert after.roots[-1] == one.roots[-1]
    assert after.roots[1] == RoundKeys.of(b"2" * 32).since(103)
    assert after.out == one.out
    later = after.agreed(replace(terms, sending=2, reading=(1,), roots=()), since=103)
    assert set(later.roots) == {1}


def test_who_has_moved_has_another_porter_and_both_streams_begin_anew() -> None:
    one, row = laid(ours(), 100)
    other, _, _ = opened(theirs(), row, 100)
    assert other.coming.base == 1
    moved = other.agreed(line(b"a", 4, sending=-1, reading=(0,)), since=101)
    assert (moved.mailbox, moved.coming, moved.out, moved.roots) == (4, Incoming(), Outgoing(), other.roots)
    assert one.agreed(line(b"m", 9), since=101).out == one.out


def test_roots_are_kept_from_the_round_that_is_told_on() -> None:
    with pytest.raises(VerificationError, match="erased"):
        ours().roots[0].key(99)
    ours().roots[0].key(100)


def test_what_will_not_be_read_again_is_erased_and_what_will_be_sent_is_not() -> None:
    one = ours().forgotten(200)
    with pytest.raises(VerificationError, match="erased"):
        one.roots[-1].key(199)
    one.roots[-1].key(200)
    one.roots[0].key(100)


def full() -> Line:
    one, row = laid(ours(), 100)
    other, _, _ = opened(theirs(), row, 100)
    _, row = laid(other, 101, 9)
    one, _, _ = opened(one, row, 101, 9)
    ahead, _ = one.coming.take(Fragment(3, b"ahead", last=True))
    return replace(one, coming=ahead)


def test_a_line_is_stored_as_it_is() -> None:
    for one in (full(), ours(), theirs(), Line.new(line(b"m", 9, roots=()))):
        assert Line.decode(one.encode()) == one


@given(st.binary(max_size=120) | encodings(decode(full().encode())))
@example(b"\x81" * 100)
@example(b"")
def test_any_encoding_is_a_line_or_malformed(data: bytes) -> None:
    assert isinstance(read(Line.decode, data), Line | None)


def test_a_line_of_terms_has_neither_roots_nor_letters() -> None:
    terms: LineTerms = line(b"m", 9)
    made = Line.new(terms)
    assert (made.roots, made.out.queue, made.coming.base, made.heard) == ({}, (), 0, 0)
    assert (made.name, made.mailbox, made.place, made.their_place) == (terms.name, 9, 0, 1)
