import contextlib
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel import encoding
from backchannel.errors import MalformedError, UsageError
from backchannel.keys import Digest
from backchannel.letters import Empty, Item, Letter, Moved, Unknown, pack, unpack
from backchannel.letters import item as items
from tests.letters.strategies import letters

kinds = st.text("abc019 -", min_size=1, max_size=64)
moves = st.builds(
    Moved, st.integers(0, 63), st.integers(1, 2**20 - 1), st.builds(Digest, st.binary(min_size=32, max_size=32))
)
every_item = st.one_of(letters, st.just(Empty()), moves, st.builds(Unknown, kinds, st.binary(max_size=80)))


def packed(data: bytes, size: int | None = None, level: int = 9) -> bytes:
    return (len(data) if size is None else size).to_bytes(8) + zlib.compress(data, level)


EMPTY = encoding.encode(("empty", b""))


@given(every_item)
def test_what_is_packed_is_unpacked(item: Item) -> None:
    assert unpack(pack(item)) == item


@given(every_item)
def test_what_is_encoded_is_decoded(item: Item) -> None:
    assert items.decode(items.encode(item)) == item


@given(st.binary(max_size=64), st.integers(0, 80))
def test_any_bytes_are_an_item_or_malformed(data: bytes, size: int) -> None:
    for attempt in (data, size.to_bytes(8) + data, packed(data), packed(data, size)):
        with contextlib.suppress(MalformedError):
            assert isinstance(unpack(attempt), Letter | Empty | Moved | Unknown)


@given(st.sampled_from(["letter", "moved"]), st.binary(max_size=64))
def test_any_payload_is_what_its_kind_says_or_malformed(kind: str, payload: bytes) -> None:
    with contextlib.suppress(MalformedError):
        items.decode(encoding.encode((kind, payload)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "shorter than its size"),
        (bytes(7), "shorter than its size"),
        ((2**63).to_bytes(8), "states more than"),
        (bytes(8) + b"no stream", "not a zlib stream"),
        (packed(EMPTY)[:-1], "cut short"),
        (len(EMPTY).to_bytes(8), "cut short"),
        (packed(EMPTY, len(EMPTY) - 1), "larger than it states"),
        (packed(EMPTY, 0), "larger than it states"),
        (packed(EMPTY, len(EMPTY) + 1), "smaller than it states"),
        (packed(EMPTY) + b"\0", "bytes after its end"),
        (packed(EMPTY)[:-1] + b"\0", "not a zlib stream"),  # its checksum
        (packed(EMPTY + b"\0"), "encoding has bytes after its end"),
        (packed(encoding.encode("empty")), "not a kind and a payload"),
        (packed(encoding.encode(("empty",))), "not a kind and a payload"),
        (packed(encoding.encode(("empty", b"", b""))), "more values than"),
        (packed(encoding.encode(("empty", 0))), "not a kind and a payload"),
        (packed(encoding.encode(("empty", b"x"))), "an empty item has a payload"),
        (packed(encoding.encode(("Letter", b""))), "kind is not"),
        (packed(encoding.encode(("", b""))), "kind is not"),
        (packed(encoding.encode(("letter", b""))), "encoding is shorter"),
    ],
)
def test_each_way_an_item_fails_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        unpack(data)


def test_a_bomb_is_not_expanded_past_what_it_states() -> None:
    bomb = packed(bytes(50_000_000), size=1000)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedError, match="larger than it states"):
            unpack(bomb)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1_000_000
    with pytest.raises(MalformedError, match="states more than"):
        unpack(packed(bytes(50_000_000)))


def test_the_limit_is_the_callers_to_lower() -> None:
    unpack(pack(Empty()), len(EMPTY))
    with pytest.raises(MalformedError, match=f"more than {len(EMPTY) - 1} bytes"):
        unpack(pack(Empty()), len(EMPTY) - 1)


def test_a_kind_from_a_later_version_is_kept_as_it_came() -> None:
    data = encoding.encode(("initialled text", b"\xff"))
    assert items.encode(items.decode(data)) == data


@pytest.mark.parametrize("kind", ["letter", "empty", "", "Copy", "a" * 65, "a\n"])
def test_a_kind_that_is_known_or_none_is_not_unknown(kind: str) -> None:
    with pytest.raises(UsageError):
        Unknown(kind, b"")


def test_bulk_is_packed_as_prose_is() -> None:
    bulk = Unknown("bulk", bytes(range(256)) * 5000)
    assert unpack(pack(bulk)) == bulk
