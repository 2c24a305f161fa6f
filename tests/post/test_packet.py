"""The packet (docs/spec/packet.md): its keys are erased, its content is one thing, and a row shows nothing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.errors import MalformedError, VerificationError
from backchannel.keys import Digest
from backchannel.post import packet
from backchannel.post.ciphers import PacketCipher
from backchannel.post.packet import DEPTH, Content, Fragment, NodeKey, RoundKeys, RowKey
from tests.peer import post_peer as peer
from tests.simulation.office import Generator

ROOT = bytes(range(32))
WHERE = Digest(b"c" * 32), 7, 9
CIPHER = PacketCipher()

numbers = st.one_of(st.integers(0, 2**DEPTH - 1), st.integers(0, 40), st.integers(2**DEPTH - 40, 2**DEPTH - 1))
contents = st.builds(
    Content,
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**128 - 1),
    st.none() | st.builds(Fragment, st.integers(0, 2**64 - 1), st.binary(min_size=1, max_size=193), last=st.booleans()),
)


# §2 Keys.


@given(numbers, numbers)
def test_keys_from_a_round_on_are_those_of_the_root_and_those_before_it_are_gone(since: int, number: int) -> None:
    kept = RoundKeys.of(ROOT).since(since)
    if number < since:
        with pytest.raises(VerificationError, match="was erased"):
            kept.key(number)
    else:
        assert kept.key(number) == peer.row_key(ROOT, number) == RoundKeys.of(ROOT).key(number)


@given(st.lists(numbers, min_size=1, max_size=6))
@example([5, 5, 4, 6])
def test_erasing_step_by_step_is_erasing_at_once_and_never_brings_back(steps: list[int]) -> None:
    kept = RoundKeys.of(ROOT)
    for step in steps:
        kept = kept.since(step)
    assert kept == RoundKeys.of(ROOT).since(max(steps))


@given(numbers)
@example(0)
@example(1)
@example(2**31)
def test_what_is_kept_covers_each_later_round_once_and_no_earlier_one(since: int) -> None:
    kept = RoundKeys.of(ROOT).since(since).nodes
    end = since
    for depth, prefix, _ in kept:
        assert prefix << (DEPTH - depth) == end
        end = (prefix + 1) << (DEPTH - depth)
    assert end == 2**DEPTH
    assert len(kept) <= DEPTH
    # The fewest: no two of them are the two children of one node.
    places = [(depth, prefix) for depth, prefix, _ in kept]
    assert not any(b == (a[0], a[1] ^ 1) and not a[1] & 1 for a, b in itertools.pairwise(places))


@given(numbers)
@example(0)
def test_keys_are_kept_as_one_string_and_come_back_the_same(since: int) -> None:
    kept = RoundKeys.of(ROOT).since(since)
    assert RoundKeys.decode(kept.encode()) == kept
    for cut in (1, 4, 5, 36):
        with pytest.raises(ValueError, match="NodeKey is 32 bytes"):
            RoundKeys.decode(kept.encode()[:-cut])


def test_no_node_that_is_kept_is_on_the_way_to_a_round_that_was_erased() -> None:
    since, kept = 1_000, RoundKeys.of(ROOT).since(1_000)
    above = {ROOT}
    for number in range(since):
        node = ROOT
        for at in reversed(range(DEPTH)):
            node = peer.child(node, number >> at & 1)
            above.add(node)
    assert not above & {bytes(node) for _, _, node in kept.nodes}


def test_a_porter_that_was_away_jumps_in_a_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, steps = RoundKeys.of(ROOT).since(27_000_000), 0
    child = packet._child

    def counted(node: NodeKey, bit: int) -> NodeKey:
        nonlocal steps
        steps += 1
        return child(node, bit)

    monkeypatch.setattr(packet, "_child", counted)
    kept.since(27_043_200).key(27_043_200)
    assert steps <= 2 * DEPTH


@pytest.mark.parametrize("number", [-1, 2**32, 2**40])
def test_a_round_that_is_none_has_no_key(number: int) -> None:
    with pytest.raises(VerificationError):
        RoundKeys.of(ROOT).key(number)


def test_after_the_last_round_nothing_is_kept() -> None:
    assert RoundKeys.of(ROOT).since(2**32).nodes == ()


def test_a_key_does_not_show_itself() -> None:
    kept = RoundKeys.of(ROOT).since(5)
    shown = repr(kept) + repr(kept.key(9))
    assert "NodeKey" in shown
    assert "RowKey" in shown
    assert "\\x" not in shown


# §1 Layout.


@given(contents, st.integers(256, 600))
def test_a_content_is_what_was_encoded_and_what_the_peer_reads(content: Content, size: int) -> None:
    data = content.encode(size - 28)
    assert len(data) == size - 28
    assert Content.decode(data) == content
    fragment = content.fragment or Fragment(0, b"", last=False)
    kind = 0 if not content.fragment else 2 if fragment.last else 1
    fields = [content.base, content.bitmap, fragment.number, kind, fragment.data]
    assert peer.judge_content(data) == fields
    assert data == peer.content(fields, size - 28)


@given(
    st.binary(max_size=60)
    | st.builds(
        lambda head, number, kind, size, rest: head + number.to_bytes(8) + bytes([kind]) + size.to_bytes(2) + rest,
        st.binary(min_size=24, max_size=24),
        st.integers(0, 1),
        st.integers(0, 3),
        st.integers(0, 6),
        st.lists(st.integers(0, 1), max_size=8).map(bytes),
    )
)
def test_any_bytes_are_a_content_or_malformed_to_both_implementations(data: bytes) -> None:
    try:
        content = Content.decode(data)
    except MalformedError:
        with pytest.raises(peer.Refusal):
            peer.judge_content(data)
        return
    assert content.encode(len(data)) == data
    peer.judge_content(data)


def test_a_packet_has_room_for_all_but_its_head_nonce_and_tag() -> None:
    assert packet.room(4096) == 4096 - 63
    full = Content(0, 0, Fragment(0, b"f" * packet.room(256), last=True))
    assert len(packet.seal(full, RowKey(ROOT), bytes(256), where=WHERE, cipher=CIPHER)) == 256
    over = Content(0, 0, Fragment(0, b"f" * (packet.room(256) + 1), last=True))
    with pytest.raises(AssertionError):
        packet.seal(over, RowKey(ROOT), bytes(256), where=WHERE, cipher=CIPHER)


@given(contents, numbers, st.sampled_from([256, 257, 512]))
def test_a_packet_and_a_dummy_are_as_large_and_draw_the_same(content: Content, number: int, size: int) -> None:
    noise = Generator(number)(size)
    row = packet.seal(content, RoundKeys.of(ROOT).key(number), noise, where=WHERE, cipher=CIPHER)
    assert len(row) == len(noise)
    assert row[:12] == noise[:12]
    assert packet.open(row, RoundKeys.of(ROOT).key(number), where=WHERE, cipher=CIPHER) == content
    with pytest.raises(VerificationError):
        packet.open(noise, RoundKeys.of(ROOT).key(number), where=WHERE, cipher=CIPHER)


def test_a_row_of_one_round_opens_in_no_other() -> None:
    keys, content = RoundKeys.of(ROOT), Content(1, 2, None)
    rows = [packet.seal(content, keys.key(at), bytes(256), where=WHERE, cipher=CIPHER) for at in range(8)]
    assert len(set(rows)) == 8
    for at, number in itertools.product(range(8), range(8)):
        if at == number:
            assert packet.open(rows[at], keys.key(number), where=WHERE, cipher=CIPHER) == content
        else:
            with pytest.raises(VerificationError):
                packet.open(rows[at], keys.key(number), where=WHERE, cipher=CIPHER)


def test_two_contents_under_one_key_and_one_nonce_say_only_whether_they_are_equal() -> None:
    # What a porter that was restored may do; under a mere stream cipher the sum of the rows were that of the contents.
    key, noise = RowKey(ROOT), Generator("restored")(256)
    contents = [Content(0, 0, Fragment(3, bytes([byte]) * 100, last=False)) for byte in (1, 2)]
    one, other = (packet.seal(content, key, noise, where=WHERE, cipher=CIPHER) for content in contents)
    assert one == packet.seal(contents[0], key, noise, where=WHERE, cipher=CIPHER)
    rows = peer.xor(one[12:-16], other[12:-16])
    plain = peer.xor(contents[0].encode(228), contents[1].encode(228))
    assert sum(a == b for a, b in zip(rows, plain, strict=True)) < 12
