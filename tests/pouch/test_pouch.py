"""Packing and unpacking (docs/spec/pouch.md): what goes in comes out, and what does not belong is refused."""

import hashlib
import random as generators
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backchannel.errors import MalformedError, UsageError
from backchannel.pouch import CAPACITY, ForeignPouchError, Unpacked, pack, room_for, seal_number, unpack
from backchannel.pouch.pouch import HEAD_SIZE, SIZES, SLOT_SIZE

KEY = bytes(range(32))
OTHER = bytes(range(32, 64))
LEAST = 2592  # an envelope's


def source(seed: int) -> Callable[[int], bytes]:
    return generators.Random(seed).randbytes


def envelope(size: int, seed: int = 1) -> bytes:
    return hashlib.shake_256(f"envelope {seed}".encode()).digest(size)


@given(st.lists(st.integers(1, 20_000), max_size=8), st.integers(0, 99))
@settings(max_examples=60)
def test_what_is_packed_is_unpacked(sizes: list[int], seed: int) -> None:
    packed = [envelope(size, number) for number, size in enumerate(sizes)]
    pouch = pack(packed, KEY, source(seed))
    assert len(pouch) in SIZES
    assert unpack(pouch, [KEY]) == Unpacked(tuple(packed), whole=True)


def test_a_pouch_with_nothing_to_send_holds_nothing() -> None:
    assert unpack(pack([], KEY, source(1)), [KEY]) == Unpacked((), whole=True)


def test_a_hundred_letters_keep_their_order() -> None:
    packed = [envelope(LEAST, number) for number in range(100)]
    pouch = pack(packed, KEY, source(1))
    assert len(pouch) == 4 * 1024 * 1024
    assert unpack(pouch, [KEY]).envelopes == tuple(packed)


@pytest.mark.parametrize(
    ("slots", "size"), [(7, 64 * 1024), (63, 512 * 1024), (511, 4 * 1024 * 1024)], ids=["64 KiB", "512 KiB", "4 MiB"]
)
def test_a_pouch_is_the_smallest_that_holds_its_content(slots: int, size: int) -> None:
    full = envelope(slots * SLOT_SIZE - HEAD_SIZE)
    pouch = pack([full], KEY, source(1))
    assert (len(pouch), unpack(pouch, [KEY]).envelopes) == (size, (full,))
    over = full + b"!"
    pouch = pack([over], KEY, source(1))
    assert (len(pouch), unpack(pouch, [KEY]).envelopes) == (8 * size if size < 4_000_000 else 16 * size, (over,))
    # As many of the smallest envelopes as there are slots, and one more.
    assert len(pack([b"x"] * slots, KEY, source(1))) == size
    assert len(pack([b"x"] * (slots + 1), KEY, source(1))) > size


def test_an_envelope_that_fills_its_slot_leaves_the_next_slot_to_the_next() -> None:
    for first in (SLOT_SIZE - HEAD_SIZE, SLOT_SIZE - HEAD_SIZE + 1):
        packed = [envelope(first, 1), envelope(LEAST, 2)]
        assert unpack(pack(packed, KEY, source(1)), [KEY]).envelopes == tuple(packed)


@pytest.mark.parametrize("size", [1, LEAST, SLOT_SIZE - 16, SLOT_SIZE - 15, 2 * SLOT_SIZE - 16, 2 * SLOT_SIZE - 15])
def test_room_for_an_envelope_is_whole_slots_with_its_head(size: int) -> None:
    assert room_for(size) % SLOT_SIZE == 0
    assert 0 <= room_for(size) - size - HEAD_SIZE < SLOT_SIZE


def test_the_largest_pouch_holds_its_capacity_and_not_a_byte_more() -> None:
    largest = CAPACITY // SLOT_SIZE * SLOT_SIZE - HEAD_SIZE
    full = bytes(largest)
    pouch = pack([full], KEY, bytes)
    assert len(pouch) == SIZES[-1]
    assert unpack(pouch, [KEY]) == Unpacked((full,), whole=True)
    with pytest.raises(UsageError, match=r"^these letters are too large for one pouch$"):
        pack([bytes(largest + 1)], KEY, bytes)
    # Two may stand side by side that fit, and not that do not.
    assert room_for(largest) <= CAPACITY < room_for(largest) + room_for(1)
    with pytest.raises(UsageError):
        pack([full, b"x"], KEY, bytes)


def test_an_empty_envelope_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError):
        pack([b""], KEY, source(1))


@pytest.mark.parametrize("size", [0, 1, 47, 80, SIZES[0] - 1, SIZES[0] + 1, SIZES[1] - 1, SIZES[2] + 1])
def test_a_file_of_another_size_is_no_pouch(size: int) -> None:
    with pytest.raises(MalformedError) as refused:
        unpack(bytes(size), [KEY])
    assert refused.value.message == f"this is {size:,} bytes, which no pouch is"


def test_a_pouch_cut_short_is_no_pouch() -> None:
    pouch = pack([envelope(LEAST)], KEY, source(1))
    for size in (0, 1, 31, 32, 47, 48, 64, 8192, len(pouch) - 32, len(pouch) - 1):
        with pytest.raises(MalformedError):
            unpack(pouch[:size], [KEY])


@pytest.mark.parametrize("keys", [[], [OTHER], [OTHER, bytes(32)]])
def test_a_pouch_under_no_key_of_the_desk_is_for_somebody_else(keys: list[bytes]) -> None:
    with pytest.raises(ForeignPouchError) as refused:
        unpack(pack([envelope(LEAST)], KEY, source(1)), keys)
    assert refused.value.message == "this pouch is not for this desk, or its key is gone"


def test_a_desk_tries_all_its_keys() -> None:
    pouch = pack([envelope(LEAST)], KEY, source(1))
    assert unpack(pouch, [OTHER, KEY]) == unpack(pouch, [KEY, OTHER]) == unpack(pouch, iter([OTHER, KEY]))


def test_a_pouch_that_is_carried_twice_opens_twice() -> None:
    pouch = pack([envelope(LEAST)], KEY, source(1))
    assert unpack(pouch, [KEY]) == unpack(bytes(pouch), [KEY])


@given(st.binary(max_size=300) | st.sampled_from(SIZES[:2]).flatmap(lambda size: st.just(bytes(size))))
@example(b"")
def test_any_bytes_are_a_pouch_or_malformed_or_foreign(data: bytes) -> None:
    refused = ForeignPouchError if len(data) in SIZES else MalformedError
    with pytest.raises(refused):
        unpack(data, [KEY, OTHER])


@given(st.integers(0, SIZES[0] - 1), st.integers(1, 255), st.integers(0, 5))
@settings(max_examples=200)
def test_a_pouch_with_any_byte_altered_is_foreign_or_broken_and_keeps_what_is_whole(
    at: int, change: int, count: int
) -> None:
    packed = [envelope(LEAST, number) for number in range(count)]
    pouch = bytearray(pack(packed, KEY, source(count)))
    pouch[at] ^= change
    if at < 48:
        with pytest.raises(ForeignPouchError):
            unpack(bytes(pouch), [KEY])
        return
    found = unpack(bytes(pouch), [KEY])
    assert not found.whole
    slot, inside = divmod(at - 48, SLOT_SIZE)
    for number, one in enumerate(packed):
        hit = slot == number and inside < HEAD_SIZE + LEAST
        assert (one in found.envelopes) == (not hit)
    # A head that was hit hides its envelope; an envelope that was hit is there, altered.
    lost = slot < count and inside < HEAD_SIZE
    assert len(found.envelopes) == count - lost


class TestASealNumber:
    def test_is_twelve_digits_in_three_groups_from_the_bytes_alone(self) -> None:
        assert seal_number(bytes(64 * 1024)) == "5603-2505-9758"
        assert seal_number(b"") == "4442-3902-8279"

    def test_is_as_the_page_says(self) -> None:
        pouch = pack([], KEY, source(1))
        first = hashlib.sha256(b"backchannel/v1/pouch/number" + pouch).digest()[:5]
        digits = f"{int.from_bytes(first) % 10**12:012d}"
        assert seal_number(pouch).replace("-", "") == digits

    def test_has_zeros_in_front(self) -> None:
        small = next(data for data in (b"%d" % n for n in range(1000)) if seal_number(data).startswith("0"))
        assert len(seal_number(small)) == 14

    def test_differs_when_a_byte_does(self) -> None:
        pouch = pack([], KEY, source(1))
        assert len({seal_number(pouch), seal_number(pouch[:-1] + bytes([pouch[-1] ^ 1])), seal_number(pouch[:-1])}) == 3

    def test_differs_for_the_same_letters_packed_again(self) -> None:
        assert seal_number(pack([b"x"], KEY, source(1))) != seal_number(pack([b"x"], KEY, source(2)))
