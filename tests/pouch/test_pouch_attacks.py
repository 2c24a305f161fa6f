"""What a stranger sees of a pouch, what a courier can do to one, and what a packer who holds the key can."""

import hashlib
import hmac
import random as generators
import tracemalloc
import zlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.pouch import pack, unpack
from backchannel.pouch.pouch import HEAD_SIZE, SIZES, SLOT_SIZE
from tests.peer import pouch_peer as peer

KEY = bytes(range(32))
LEAST = 2592
CONTENT_SIZE = SIZES[0] - 80


class Recorder:
    """A generator that writes down what it gave."""

    def __init__(self, seed: int) -> None:
        self.generator = generators.Random(seed)
        self.given: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        self.given.append(self.generator.randbytes(size))
        return self.given[-1]


def letters(count: int, size: int = LEAST) -> list[bytes]:
    return [hashlib.shake_256(b"%d" % number).digest(size) for number in range(count)]


@pytest.mark.parametrize("packed", [[], letters(1), letters(3), letters(1, 57_328)], ids=["cover", "1", "3", "full"])
def test_every_byte_of_a_pouch_is_the_generators_or_a_keyed_functions(packed: list[bytes]) -> None:
    random = Recorder(1)
    pouch = pack(packed, KEY, random)
    seed, fill = random.given
    assert (len(seed), len(fill)) == (32, CONTENT_SIZE)
    assert pouch[:32] == seed
    k_c, k_m, k_h, tag = peer.keys(seed, KEY)
    assert pouch[32:48] == tag
    assert pouch[-32:] == hmac.digest(k_m, pouch[:-32], "sha256")
    stream = peer.chacha20(k_c, bytes(CONTENT_SIZE))
    content = bytes(a ^ b for a, b in zip(pouch[48:-32], stream, strict=True))
    at = 0
    for envelope in [*packed, b""]:
        head = peer.head(k_h, at, len(envelope))
        end = at + HEAD_SIZE + len(envelope)
        following = at + SLOT_SIZE * peer.slots(envelope) if envelope else CONTENT_SIZE
        assert content[at:end] == head + envelope
        assert content[end:following] == fill[end:following]
        at = following


def test_the_same_letters_in_two_pouches_share_nothing() -> None:
    packed = letters(3)
    pouches = [pack(packed, KEY, Recorder(seed)) for seed in (1, 2)]
    windows = [{pouch[at : at + 8] for at in range(len(pouch) - 7)} for pouch in pouches]
    assert not windows[0] & windows[1]
    # Nor does a pouch share anything with what it carries.
    inside = {letter[at : at + 8] for letter in packed for at in range(len(letter) - 7)}
    assert not inside & (windows[0] | windows[1])


def test_a_pouch_has_one_size_with_nothing_one_or_seven_letters() -> None:
    assert {len(pack(letters(count), KEY, Recorder(count))) for count in range(8)} == {SIZES[0]}


def test_a_pouch_has_other_bytes_everywhere_under_another_key() -> None:
    one, other = (pack(letters(1), key, Recorder(1)) for key in (KEY, bytes(32)))
    assert one[:32] == other[:32]  # the same generator
    assert not {one[at : at + 8] for at in range(32, len(one) - 7)} & {
        other[at : at + 8] for at in range(len(other) - 7)
    }


@pytest.mark.parametrize("count", [0, 1, 7], ids=["cover", "one letter", "seven letters"])
def test_a_pouch_neither_shrinks_nor_leans_to_any_byte(count: int) -> None:
    # A smoke test, with a seed: the proof is above, where every byte is accounted for.
    # A text as a letter would shrink to nothing and lean far beyond any of these bounds.
    letter = b"It is a plain letter, and says the same thing over and over. " * 40
    pouch = pack([letter] * count, KEY, Recorder(count))
    assert len(zlib.compress(pouch, 9)) > len(pouch)
    counts = Counter(pouch)
    expected = len(pouch) / 256
    chi_square = sum((counts[byte] - expected) ** 2 / expected for byte in range(256))
    assert 170 < chi_square < 360  # 255 degrees of freedom: seven in a million lie outside


def test_the_control_of_that_smoke_test_is_caught() -> None:
    pouch = bytearray(pack([], KEY, Recorder(1)))
    pouch[48 : 48 + 4096] = bytes(4096)
    assert len(zlib.compress(bytes(pouch), 9)) < len(pouch)


def craft(content: bytes) -> bytes:
    """A pouch with *content* and a whole seal, as only a holder of the key makes it."""
    seed = bytes(32)
    k_c, k_m, _, tag = peer.keys(seed, KEY)
    out = seed + tag + peer.chacha20(k_c, content)
    return out + peer.mac(k_m, out)


def heads(*places: tuple[int, int]) -> bytes:
    """Content with heads made for these (place, length), over bytes that are no head."""
    _, _, k_h, _ = peer.keys(bytes(32), KEY)
    content = bytearray(b"\xaa" * CONTENT_SIZE)
    for at, length in places:
        content[at : at + HEAD_SIZE] = peer.head(k_h, at, length)
    return bytes(content)


LENGTHS = st.integers(0, 2**32 - 1) | st.integers(0, CONTENT_SIZE) | st.sampled_from(
    [0, 1, SLOT_SIZE - 16, SLOT_SIZE - 15, CONTENT_SIZE - 16, CONTENT_SIZE - 15, CONTENT_SIZE, 2**31, 2**32 - 1]
)  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 7), LENGTHS), max_size=12), st.booleans())
@settings(max_examples=150)
def test_no_packer_gets_a_byte_into_two_envelopes(slots: list[tuple[int, int]], whole: bool) -> None:  # noqa: FBT001
    pouch = craft(heads(*((slot * SLOT_SIZE, length) for slot, length in slots)))
    if not whole:
        pouch = pouch[:-1] + bytes([pouch[-1] ^ 1])
    found = unpack(pouch, [KEY])
    assert found.whole == whole
    assert len(found.envelopes) <= 8
    assert sum(len(envelope) + HEAD_SIZE for envelope in found.envelopes) <= CONTENT_SIZE
    assert (list(found.envelopes), whole) == peer.unpack(pouch, [KEY])


def test_a_length_that_runs_past_the_end_is_no_envelope_and_one_that_ends_there_is() -> None:
    for length, expected in ((CONTENT_SIZE - 16, 1), (CONTENT_SIZE - 15, 0), (2**32 - 1, 0)):
        assert len(unpack(craft(heads((0, length))), [KEY]).envelopes) == expected
    last = 7 * SLOT_SIZE
    for length, expected in ((SLOT_SIZE - 80 - 16, 1), (SLOT_SIZE - 80 - 15, 0)):
        assert len(unpack(craft(heads((last, length))), [KEY]).envelopes) == expected


def test_a_head_that_was_made_for_another_place_is_not_believed() -> None:
    content = bytearray(heads((SLOT_SIZE, 100)))
    moved = content[SLOT_SIZE : SLOT_SIZE + HEAD_SIZE]
    content[2 * SLOT_SIZE : 2 * SLOT_SIZE + HEAD_SIZE] = moved
    assert unpack(craft(bytes(content)), [KEY]).envelopes == (b"\xaa" * 100,)


def test_a_head_is_believed_only_if_all_its_bytes_are_right() -> None:
    for at in range(HEAD_SIZE):
        content = bytearray(heads((0, 100)))
        content[at] ^= 1
        assert unpack(craft(bytes(content)), [KEY]).envelopes == ()


def test_what_stands_between_slots_or_after_the_end_of_the_row_is_no_envelope() -> None:
    assert unpack(craft(heads((4096, 100))), [KEY]).envelopes == ()
    assert unpack(craft(heads((0, 0), (SLOT_SIZE, 100))), [KEY]).envelopes == ()
    assert unpack(craft(heads((0, 3 * SLOT_SIZE), (SLOT_SIZE, 100))), [KEY]).envelopes[1:] == ()


def test_one_bit_altered_in_a_large_pouch_costs_no_more_than_the_pouch() -> None:
    # Before a length was vouched for, this made candidates of twenty times the size of the largest pouch.
    letter = generators.Random(1).randbytes(3_900_000)
    pouch = bytearray(pack([letter], KEY, Recorder(1)))
    pouch[48] ^= 1
    arrived = bytes(pouch)
    tracemalloc.start()
    found = unpack(arrived, [KEY])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.envelopes, found.whole) == ((), False)
    assert peak < 4 * len(arrived)


def test_a_courier_who_swaps_two_slots_gains_nothing() -> None:
    packed = letters(2)
    pouch = pack(packed, KEY, Recorder(1))
    first, second = pouch[48 : 48 + SLOT_SIZE], pouch[48 + SLOT_SIZE : 48 + 2 * SLOT_SIZE]
    found = unpack(pouch[:48] + second + first + pouch[48 + 2 * SLOT_SIZE :], [KEY])
    assert (found.envelopes, found.whole) == ((), False)


def test_two_pouches_cannot_be_joined_to_a_third() -> None:
    one, other = (pack(letters(2), KEY, Recorder(seed)) for seed in (1, 2))
    for at in (48, 48 + SLOT_SIZE, len(one) - 32):
        found = unpack(one[:at] + other[at:], [KEY])
        assert not found.whole
        assert set(found.envelopes) <= set(letters(2))
