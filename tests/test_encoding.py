import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.encoding import MAX_DEPTH, Value, decode, encode, framed
from backchannel.errors import MalformedError

integers = st.integers(0, 2**64 - 1)
lengths = st.sampled_from([0, 1, 23, 24, 255, 256, 65_535, 65_536])
leaves = st.one_of(integers, st.binary(max_size=30), st.text(max_size=30), lengths.map(bytes), lengths.map("x".__mul__))
values: st.SearchStrategy[Value] = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=6).map(tuple), max_leaves=20
)


def as_ours(value: object) -> Value:
    """What cbor2 made of bytes, in our types; fails on what we do not have."""
    match value:
        case bool() | float() | None:
            raise TypeError
        case int() if value >= 0:
            return value
        case bytes() | str():
            return value
        case list() | tuple():
            return tuple(as_ours(item) for item in value)
    raise TypeError


@given(values)
def test_what_is_encoded_is_decoded(value: Value) -> None:
    assert decode(encode(value)) == value


@given(values)
def test_encoding_is_what_a_canonical_peer_writes(value: Value) -> None:
    assert encode(value) == cbor2.dumps(value, canonical=True)


@given(values)
def test_a_peer_reads_what_is_encoded(value: Value) -> None:
    assert as_ours(cbor2.loads(encode(value))) == value


@pytest.mark.parametrize("bits", [0, 4, 5, 8, 16, 32, 63])
@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_integers_at_the_edges_are_as_short_as_a_peer_makes_them(bits: int, offset: int) -> None:
    value = max(0, (1 << bits) + offset)
    assert encode(value) == cbor2.dumps(value, canonical=True)
    assert decode(encode(value)) == value


@given(st.one_of(st.binary(max_size=64), values.map(encode)), st.integers(0, 63), st.integers(0, 255))
@example(b"", 0, 0)
def test_any_bytes_are_a_value_that_encodes_to_them_or_malformed(data: bytes, at: int, change: int) -> None:
    data = data[:at] + bytes([change]) + data[at + 1 :]
    try:
        value = decode(data)
    except MalformedError:
        return
    assert encode(value) == data
    assert as_ours(cbor2.loads(data)) == value


def test_a_value_has_at_most_as_many_others_inside_as_its_format_says() -> None:
    data = encode((1, (2, 3), (4,)))
    assert decode(data, values=6) == (1, (2, 3), (4,))
    with pytest.raises(MalformedError, match="more values than its format"):
        decode(data, values=5)


def test_sixteen_levels_are_decoded_and_seventeen_are_not() -> None:
    assert decode(b"\x81" * MAX_DEPTH + b"\0") is not None
    with pytest.raises(MalformedError, match="more than 16 levels"):
        decode(b"\x81" * (MAX_DEPTH + 1) + b"\0")
    # However deep, the refusal is no recursion.
    with pytest.raises(MalformedError, match="more than 16 levels"):
        decode(b"\x81" * 1_000_000)


def test_sixteen_levels_are_encoded_and_seventeen_are_our_fault() -> None:
    value: Value = 0
    for _ in range(MAX_DEPTH):
        value = (value,)
    assert decode(encode(value)) == value
    with pytest.raises(ValueError, match="more than 16 levels"):
        encode((value,))


@pytest.mark.parametrize("value", [-1, 2**64, True, 1.5, None, [1], {"a": 1}, bytearray(b"x"), "\ud800", ("a", None)])
def test_what_has_no_encoding_is_our_fault(value: Value) -> None:
    with pytest.raises(ValueError):
        encode(value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "shorter than it says"),
        ("18", "shorter than it says"),
        ("1b00000000000000", "shorter than it says"),
        ("8100ff", "bytes after its end"),
        ("8201", "shorter than it says"),
        ("4261", "shorter than it says"),
        ("1817", "not the shortest"),
        ("1900ff", "not the shortest"),
        ("1a0000ffff", "not the shortest"),
        ("1b00000000ffffffff", "not the shortest"),
        ("580161", "not the shortest"),
        ("20", "type that is not used"),
        ("a0", "type that is not used"),
        ("c000", "type that is not used"),
        ("f5", "type that is not used"),
        ("1c", "unused or indefinite length"),
        ("5fff", "unused or indefinite length"),
        ("9fff", "unused or indefinite length"),
        ("61ff", "text is not UTF-8"),
        ("63eda080", "text is not UTF-8"),
        ("62c080", "text is not UTF-8"),
    ],
)
def test_each_fault_is_refused_with_its_reason(data: str, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        decode(bytes.fromhex(data))


@pytest.mark.parametrize("head", ["9b", "5b", "7b"])
def test_a_huge_length_is_refused_before_anything_is_made_of_it(head: str) -> None:
    with pytest.raises(MalformedError, match="shorter than it says"):
        decode(bytes.fromhex(head + "ff" * 8))


parts = st.lists(st.one_of(st.binary(max_size=12), st.text(max_size=12), integers), max_size=5)


def as_bytes(part: bytes | str | int) -> bytes:
    return part.encode() if isinstance(part, str) else part.to_bytes(8) if isinstance(part, int) else part


@given(parts, parts)
def test_two_lists_of_parts_are_framed_alike_only_if_their_bytes_are(
    a: list[bytes | str | int], b: list[bytes | str | int]
) -> None:
    assert (framed(*a) == framed(*b)) == ([as_bytes(part) for part in a] == [as_bytes(part) for part in b])


def test_a_part_is_framed_by_its_length_and_a_number_is_eight_bytes() -> None:
    assert framed(b"ab", "\u00e9", 7) == bytes.fromhex("000000026162 00000002c3a9 000000080000000000000007")
