"""What a desk keeps of a correspondence: its encoding (docs/spec/ratchet.md §4)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.encoding import Value, decode, encode
from backchannel.errors import MalformedError
from backchannel.kem import PrivateKey
from backchannel.seal.state import FIRST, SECOND, ChainKey, RootKey, State, owner
from tests.peer.side_by_side import START, Desk, meet


def states() -> dict[str, State]:
    """A state with something in every field, and those that follow a meeting."""
    first, second = meet("state")
    fresh = {"first": first.ours, "second": second.ours}
    letters = [first.write(b"item", seed=number, now=START) for number in range(3)]
    second.read(letters[2], now=START)
    first.read(second.write(b"item", seed=3, now=START), now=START)
    full = Desk(second.ours, second.theirs)
    full.read(first.write(b"item", seed=4, now=START), now=START)
    return fresh | {"full": full.ours, "writing": first.ours}


STATES = states()


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_state_decodes_to_itself(state: State) -> None:
    assert State.decode(state.encode()) == state


def test_a_copy_shares_nothing_that_changes() -> None:
    state = STATES["full"]
    before = state.encode()
    copy = state.copy()
    assert copy == state
    assert copy.tx
    copy.tx.n += 1
    for rx in copy.rx.values():
        rx.n += 1
    for kept in (copy.rx, copy.chain, copy.claims, copy.skipped, copy.opened, copy.pouch_keys, copy.roots):
        assert kept
        kept.clear()
    assert state.encode() == before


def test_turns_alternate() -> None:
    assert [owner(turn) for turn in range(-1, 4)] == [FIRST, SECOND, FIRST, SECOND, FIRST]


def test_no_key_shows_itself() -> None:
    text = repr(STATES["writing"])
    for key in (RootKey(bytes(32)), ChainKey(bytes(32)), PrivateKey(bytes(96))):
        assert repr(key) == str(key) == f"<{type(key).__name__}>"
    state = STATES["writing"]
    for secret in (state.root, state.private, state.next_header_key):
        assert secret
        assert repr(bytes(secret)) not in text


VALUES: st.SearchStrategy[Value] = st.recursive(
    st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=40), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=6).map(tuple),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_state_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        State.decode(data)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(STATES)), st.integers(0, 16), VALUES)
def test_any_value_in_any_field_is_a_state_or_malformed(name: str, at: int, value: Value) -> None:
    fields = decode(STATES[name].encode())
    assert isinstance(fields, tuple)
    with contextlib.suppress(MalformedError):
        State.decode(encode((*fields[:at], value, *fields[at + 1 :])))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(STATES)), st.integers(0), st.binary(max_size=5))
def test_a_state_with_any_bytes_in_it_changed_is_a_state_or_malformed(name: str, at: int, noise: bytes) -> None:
    data = STATES[name].encode()
    at %= len(data)
    with contextlib.suppress(MalformedError):
        State.decode(data[:at] + noise + data[at + len(noise) :])


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_a_state_cut_short_is_malformed(cut: int) -> None:
    with pytest.raises(MalformedError):
        State.decode(STATES["full"].encode()[:cut])
