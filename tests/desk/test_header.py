import hashlib
import struct
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.desk import header
from backchannel.desk.header import HEADER_SIZE, MAX_STEP, MIN_STEP, DeskKey, Fresh, Header, Lock, Mark
from backchannel.encoding import framed
from backchannel.errors import LockedError, UnavailableError, UsageError
from backchannel.keys import Cost, Random
from tests.desk.small import COST

SPEC = Path(__file__).parents[2] / "docs/spec/desk.md"
MARK = Mark(17, Fresh(b"f" * 16))
KEY = DeskKey(b"k" * 32)
PASSPHRASE = "Pitsunda, by the sea"


def counting(start: int = 0) -> Random:
    """Bytes that count: what an example is made with."""
    state = start

    def random(size: int) -> bytes:
        nonlocal state
        state += size
        return bytes((state - size + n) % 256 for n in range(size))

    return random


def make(passphrase: str = PASSPHRASE, cost: Cost = COST, step: int = MIN_STEP) -> bytes:
    random = counting()
    lock = Lock.make(KEY, passphrase, cost=cost, step=step, random=random)
    return Header.seal(lock, MARK, KEY, random=random).encode()


def with_checksum(body: bytes) -> bytes:
    """What someone writes who knows how a checksum is made."""
    return body + hashlib.sha256(framed(b"backchannel/v1/desk/checksum", body)).digest()


def altered(offset: int, data: bytes) -> bytes:
    body = make()[:-32]
    return with_checksum(body[:offset] + data + body[offset + len(data) :])


def test_a_header_gives_back_the_key_the_step_and_the_mark() -> None:
    found = Header.decode(make())
    key = found.lock.open(PASSPHRASE)
    assert key == KEY
    assert found.mark(key) == MARK
    assert (found.lock.cost, found.lock.step) == (COST, MIN_STEP)
    assert found.encode() == make()


def test_a_header_has_one_size_whatever_it_holds() -> None:
    lock = Lock.make(KEY, "x" * 1000, cost=Cost(512, 3, 4), step=MAX_STEP, random=counting())
    big = Header.seal(lock, Mark(2**64 - 1, Fresh(bytes(16))), KEY, random=counting()).encode()
    assert len(big) == len(make()) == HEADER_SIZE == 204


def test_the_example_in_the_specification_is_this_header() -> None:
    block = SPEC.read_text().split("<!-- example header -->")[1].split("```")[1]
    assert bytes.fromhex(block) == make()


@pytest.mark.parametrize("offset", range(HEADER_SIZE))
def test_one_flipped_bit_anywhere_is_damage(offset: int) -> None:
    data = bytearray(make())
    data[offset] ^= 1 << (offset % 8)
    with pytest.raises(LockedError, match=r"^this desk's header is damaged$"):
        Header.decode(bytes(data))


@pytest.mark.parametrize("size", range(HEADER_SIZE))
def test_a_header_that_ends_early_is_cut_short(size: int) -> None:
    with pytest.raises(LockedError, match="cut short"):
        Header.decode(make()[:size])


@pytest.mark.parametrize("data", [make() + b"\0", b"Dear sir, " * 40, b"%PDF-1.7"])
def test_another_file_is_no_header(data: bytes) -> None:
    with pytest.raises(LockedError, match="is not a header of a desk"):
        Header.decode(data)


def test_another_file_with_the_right_checksum_is_no_header() -> None:
    with pytest.raises(LockedError, match="is not a header of a desk"):
        Header.decode(altered(0, b"Backchannel desk"))


def test_another_version_is_named_as_that() -> None:
    with pytest.raises(LockedError, match="another version"):
        Header.decode(altered(16, struct.pack(">I", 2)))


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        pytest.param(20, struct.pack(">I", 4 * 1024 * 1024 + 1), id="memory"),
        pytest.param(20, struct.pack(">I", 7), id="too little memory for its lanes"),
        pytest.param(24, struct.pack(">I", 65), id="passes"),
        pytest.param(24, struct.pack(">I", 0), id="no pass"),
        pytest.param(28, struct.pack(">I", 65), id="lanes"),
        pytest.param(28, struct.pack(">I", 0), id="no lane"),
        pytest.param(32, struct.pack(">Q", MAX_STEP + 4096), id="step"),
        pytest.param(32, struct.pack(">Q", 0), id="no step"),
        pytest.param(32, struct.pack(">Q", MIN_STEP + 1), id="half a page"),
    ],
)
def test_what_a_header_asks_for_is_bounded_before_it_is_done(offset: int, value: bytes) -> None:
    with pytest.raises(LockedError, match="asks for more than any desk needs"):
        Header.decode(altered(offset, value))


def test_a_wrong_passphrase_is_a_wrong_passphrase() -> None:
    with pytest.raises(LockedError, match=r"^wrong passphrase$"):
        Header.decode(make()).lock.open("Pitsunda, by the Sea")


@pytest.mark.parametrize("offset", [24, 32 + 5, 40, 71, 72, 119])
def test_a_lock_altered_together_with_its_checksum_does_not_open(offset: int) -> None:
    flipped = bytes([make()[offset] ^ 2])
    with pytest.raises(LockedError, match=r"^(wrong passphrase|this desk's header asks)"):
        Header.decode(altered(offset, flipped)).lock.open(PASSPHRASE)


@pytest.mark.parametrize("offset", [120, 132, 171])
def test_a_mark_altered_together_with_its_checksum_does_not_open(offset: int) -> None:
    found = Header.decode(altered(offset, bytes([make()[offset] ^ 2])))
    with pytest.raises(LockedError, match="was altered"):
        found.mark(found.lock.open(PASSPHRASE))


def test_the_mark_of_one_lock_does_not_open_under_another() -> None:
    other = Lock.make(KEY, "another", cost=COST, step=MIN_STEP, random=counting(9))
    body = other.encode() + Header.decode(make()).sealed
    with pytest.raises(LockedError, match="was altered"):
        Header.decode(with_checksum(body)).mark(KEY)


def test_two_keyboards_that_compose_letters_differently_open_the_same_desk() -> None:
    composed, decomposed = unicodedata.normalize("NFC", "Хрущёв"), unicodedata.normalize("NFD", "Хрущёв")
    assert composed != decomposed
    assert Header.decode(make(composed)).lock.open(decomposed) == KEY


def test_passphrases_that_look_different_are_different() -> None:
    with pytest.raises(LockedError):
        Header.decode(make("ﬁnal²")).lock.open("final2")


@pytest.mark.parametrize(("passphrase", "message"), [("", "is empty"), ("\ud800", "is not text")])
def test_what_is_no_passphrase_is_said(passphrase: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(passphrase)
    with pytest.raises(UsageError, match=message):
        Header.decode(make()).lock.open(passphrase)


@pytest.mark.parametrize(
    ("cost", "step"), [(Cost(7, 1, 1), MIN_STEP), (Cost(8, 65, 1), MIN_STEP), (COST, MIN_STEP - 4096), (COST, 100_000)]
)
def test_a_desk_that_would_not_open_is_not_made(cost: Cost, step: int) -> None:
    with pytest.raises(UsageError, match="out of bounds"):
        make(cost=cost, step=step)


def test_too_little_memory_is_not_a_wrong_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> bytes:
        raise MemoryError

    found = Header.decode(make())
    monkeypatch.setattr(header, "stretch", none_left)
    with pytest.raises(UnavailableError, match="not enough memory"):
        found.lock.open(PASSPHRASE)


@given(st.binary(max_size=HEADER_SIZE + 40) | st.binary(min_size=172, max_size=172).map(with_checksum))
def test_any_bytes_are_a_header_or_a_locked_desk(data: bytes) -> None:
    try:
        found = Header.decode(data)
    except LockedError:
        return
    assert found.encode() == data
