"""The charters that an operator goes by, and its keys in each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.encoding import decode
from backchannel.errors import RefusedError, VerificationError
from backchannel.keys import Digest
from backchannel.post.charter import SignedCharter
from backchannel.post.charters import CHARTERS, Charters, OperatorKeys
from backchannel.post.shelf import Changes
from tests.post.stage import encodings, following, read
from tests.simulation.office import Generator, MemoryShelf, World, make_keys, seats


@pytest.fixture(scope="module")
def world() -> World:
    return World()


KEYS = make_keys("west", Generator("keys"))


def west(world: World, *more: OperatorKeys) -> Charters:
    """An operator's charters on a shelf of its own, with the first adopted."""
    shelf = MemoryShelf()
    charters = Charters(shelf, (*world.houses["west"].keys, *more))
    adopt(charters, shelf, world.signed)
    return charters


def adopt(charters: Charters, shelf: MemoryShelf, signed: SignedCharter) -> None:
    assert charters.check(signed)
    changes: Changes = {}
    charters.keep(signed, changes)
    shelf.commit(changes)
    charters.add(signed)


def rotated(world: World, rounds: int = 50) -> tuple[SignedCharter, OperatorKeys]:
    """A charter that follows, in which west has other keys and east has gone for north."""
    new, north = make_keys("west", Generator("new")), make_keys("north", Generator("north"))
    follows = following(world, rounds).charter
    charter = replace(follows, seats=seats((new, north), world.kem), shares=())
    return SignedCharter(charter).sign(new.signer).sign(north.signer), new


def test_the_first_charter_has_a_seat_for_its_keys(world: World) -> None:
    charters = west(world)
    assert charters.newest == world.charter
    assert charters.name == "west"
    assert charters.operators == {"west", "east"}
    seat = charters.seat(world.charter)
    assert seat is not None
    assert seat.name == "west"


def test_a_first_charter_without_a_seat_for_its_keys_is_refused(world: World) -> None:
    with pytest.raises(RefusedError, match="no seat for the keys of west"):
        Charters(MemoryShelf(), (KEYS,)).check(world.signed)


def test_a_charter_that_somebody_has_not_signed_is_refused(world: World) -> None:
    unsigned = SignedCharter(world.charter)
    for signed, names in (
        (unsigned, "west, east"),
        (unsigned.sign(world.houses["west"].keys[0].signer), "east"),
    ):
        with pytest.raises(RefusedError, match=f"not signed by {names}"):
            Charters(MemoryShelf(), world.houses["west"].keys).check(signed)


def test_a_charter_that_was_adopted_is_not_new(world: World) -> None:
    assert west(world).check(world.signed) is False


def test_what_follows_is_adopted_and_what_does_not_is_not(world: World) -> None:
    charters = west(world)
    follows = following(world, 50)
    assert charters.check(follows) is True
    stranger = SignedCharter(replace(follows.charter, predecessor=Digest(bytes(32))))
    for house in world.houses.values():
        stranger = stranger.sign(house.keys[0].signer)
    with pytest.raises(VerificationError, match="does not follow the newest"):
        charters.check(stranger)
    shelf = charters._shelf
    assert isinstance(shelf, MemoryShelf)
    adopt(charters, shelf, follows)
    with pytest.raises(VerificationError, match="does not follow the newest"):
        charters.check(following(world, 70))


def test_they_are_read_from_the_shelf_oldest_first(world: World) -> None:
    charters = west(world)
    shelf, follows = charters._shelf, following(world, 50)
    assert isinstance(shelf, MemoryShelf)
    adopt(charters, shelf, follows)
    again = Charters(shelf, world.houses["west"].keys)
    assert again.all == charters.all == [world.signed, follows]
    assert again.newest == follows.charter
    assert shelf.names(CHARTERS) == [signed.charter.numbers.first.to_bytes(8) for signed in again.all]


def test_a_round_and_an_instant_belong_to_the_newest_charter_that_has_begun(world: World) -> None:
    charters = west(world)
    follows = following(world, 50, period=30_000)
    shelf = charters._shelf
    assert isinstance(shelf, MemoryShelf)
    adopt(charters, shelf, follows)
    first, start = follows.charter.numbers.first, follows.charter.numbers.start
    assert charters.of(first - 1) == charters.of(0) == world.charter
    assert charters.of(first) == follows.charter
    assert charters.at(start - 1) == charters.at(0) == world.charter
    assert charters.at(start) == follows.charter
    assert charters.round_at(start - 1) == first - 1
    assert charters.round_at(start + 30_000) == first + 1


def test_keys_are_found_by_the_seat_that_has_them(world: World) -> None:
    follows, new = rotated(world)
    charters = west(world, new)
    shelf = charters._shelf
    assert isinstance(shelf, MemoryShelf)
    adopt(charters, shelf, follows)
    assert charters.seat(world.charter) == world.houses["west"].keys[0]
    assert charters.seat(follows.charter) == new
    assert charters.operators == {"west", "east", "north"}
    # East is spoken to under the charter that it has a seat in, north under the other.
    assert charters.with_peer("east") == world.charter
    assert charters.with_peer("north") == follows.charter
    with pytest.raises(RefusedError, match="no operator called south"):
        charters.with_peer("south")


def test_without_the_keys_of_a_seat_there_is_no_charter_with_a_peer(world: World) -> None:
    follows, _ = rotated(world)
    charters = west(world)
    shelf = charters._shelf
    assert isinstance(shelf, MemoryShelf)
    adopt(charters, shelf, follows)
    assert charters.seat(follows.charter) is None
    with pytest.raises(RefusedError, match="no operator called north"):
        charters.with_peer("north")


def test_a_charter_is_forgotten_when_its_last_round_is_long_over(world: World) -> None:
    charters = west(world)
    follows = following(world, 50)
    shelf, first = charters._shelf, follows.charter.numbers.first
    assert isinstance(shelf, MemoryShelf)
    adopt(charters, shelf, follows)
    changes: Changes = {}
    charters.forget(first, changes)
    assert (len(charters.all), changes) == (2, {})
    charters.forget(first + 1, changes)
    assert charters.all == [follows]
    assert changes == {(CHARTERS, world.numbers.first.to_bytes(8)): None}
    charters.forget(first + 10_000, changes)
    assert charters.all == [follows]


# Keys.


def test_keys_are_stored_as_they_are() -> None:
    assert OperatorKeys.decode(KEYS.encode()) == KEYS
    assert "west" not in repr(KEYS)


@given(st.binary(max_size=60) | encodings(decode(KEYS.encode())))
@example(b"\x81" * 100)
def test_any_encoding_is_keys_or_malformed(data: bytes) -> None:
    keys = read(OperatorKeys.decode, data)
    assert keys is None or keys.encode() == data
