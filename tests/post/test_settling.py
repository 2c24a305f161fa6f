"""Settling (docs/spec/round.md §3): operators come to one table or to none, whatever one of them says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.encoding import Value, decode, encode
from backchannel.keys import sha256
from backchannel.post.charter import Charter
from backchannel.post.link import ROWS_AT_ONCE
from backchannel.post.settling import NOT_YET, VOID, Settling, Why, digest, in_roster
from tests.simulation.office import SMALL, Generator, make_keys, seats
from tests.simulation.seeded_kem import SeededKem

NAMES: Final = ("west", "east", "north")
NUMBER: Final = 1_010
SIZE: Final = SMALL.packet


def office(k: int = 3, capacity: int = 16) -> Charter:
    keys = [make_keys(name, Generator(name)) for name in NAMES[:k]]
    return Charter("settling", seats(keys, SeededKem()), (), replace(SMALL, capacity=capacity))


CHARTERS: Final = {k: office(k) for k in (2, 3)}


def roster(*mailboxes: int, capacity: int = 16) -> bytes:
    bits = sum(1 << (capacity - 1 - mailbox) for mailbox in mailboxes)
    return bits.to_bytes(capacity // 8)


def row(name: object) -> bytes:
    return Generator("row", name)(SIZE)


EVERYBODY: Final = roster(1, 2, 3, 4)


def settling(me: str, rows: dict[int, bytes], *, k: int = 2, members: bytes = EVERYBODY) -> Settling:
    return Settling(CHARTERS[k], me, NUMBER, members, dict(rows))


def told(by: Settling, request: tuple[Any, ...]) -> Any:
    """What an honest operator answers, as it comes over the link."""
    match request:
        case ("list", _):
            answer: Value = by.given()
        case ("rows", _, mailboxes):
            answer = tuple(by.rows.get(mailbox, b"") for mailbox in mailboxes)
        case _:
            answer = VOID if by.failed else (by.descriptor.encode(),) if by.descriptor else NOT_YET
    return decode(encode(answer))


def settle(*all_: Settling, turns: int = 4) -> None:
    """Let honest operators talk until nobody asks."""
    by_name = {each.me: each for each in all_}
    for _ in range(turns):
        for each in all_:
            for peer, request in each.requests():
                each.heard(peer, request, told(by_name[peer], request))


# What stands.


@pytest.mark.parametrize("k", [2, 3])
def test_operators_that_were_given_the_same_have_one_table(k: int) -> None:
    rows = {1: row(1), 4: row(4)}
    all_ = [settling(name, rows, k=k) for name in NAMES[:k]]
    settle(*all_)
    assert all(each.done for each in all_)
    assert all(each.table == rows for each in all_)
    assert len({each.descriptor for each in all_}) == 1
    assert all(each.descriptor and each.descriptor.present == 2 and not each.requests() for each in all_)


@pytest.mark.parametrize("k", [2, 3])
def test_a_row_that_was_given_to_one_is_had_by_all(k: int) -> None:
    all_ = [settling(name, {at: row(at)}, k=k) for at, name in enumerate(NAMES[:k], 1)]
    settle(*all_)
    assert all(each.done for each in all_)
    assert all(each.table == {at: row(at) for at in range(1, k + 1)} for each in all_)


def test_a_round_in_which_nobody_handed_in_stands() -> None:
    west, east = settling("west", {}), settling("east", {})
    settle(west, east)
    assert west.done
    assert west.table == {}
    assert west.descriptor == east.descriptor


def test_a_row_of_which_two_were_given_different_bytes_is_nobodys() -> None:
    west, east = settling("west", {1: row(1), 2: row(2)}), settling("east", {1: row("other"), 2: row(2)})
    settle(west, east)
    assert west.done
    assert east.done
    assert west.table == east.table == {2: row(2)}


def test_who_is_no_member_at_one_operator_has_no_row_at_any() -> None:
    west = settling("west", {1: row(1), 2: row(2)})
    east = settling("east", {2: row(2)}, members=roster(2, 3))
    settle(west, east)
    assert west.done
    assert west.table == east.table == {2: row(2)}
    assert west.roster == east.roster == roster(2, 3)


def test_more_rows_than_are_asked_for_at_once_are_asked_for_in_turn() -> None:
    charter = office(2, capacity=4_096)
    members = bytes([0x7F] + [0xFF] * (4_096 // 8 - 1))
    rows = {mailbox: bytes([mailbox % 256]) * SIZE for mailbox in range(1, ROWS_AT_ONCE + 300)}
    west = Settling(charter, "west", NUMBER, members, {})
    east = Settling(charter, "east", NUMBER, members, rows)
    settle(west, east, turns=1)
    sizes = []
    while west.descriptor is None:
        ((peer, request),) = west.requests()
        asked: Any = request[2]
        sizes.append(len(asked))
        west.heard(peer, request, told(east, request))
    assert sizes == [ROWS_AT_ONCE, 299]
    assert west.table == rows


def test_it_asks_the_same_again_until_it_is_answered() -> None:
    west = settling("west", {1: row(1)}, k=3)
    assert west.requests() == west.requests() == [(peer, ("list", NUMBER)) for peer in ("east", "north")]
    west.heard("east", ("list", NUMBER), NOT_YET)
    assert len(west.requests()) == 2
    west.heard("east", ("list", NUMBER), settling("east", {}, k=3).given())
    assert west.requests() == [("north", ("list", NUMBER))]


def test_the_first_list_of_an_operator_is_its_list() -> None:
    west = settling("west", {}, k=3)
    west.heard("east", ("list", NUMBER), settling("east", {1: row(1)}, k=3).given())
    west.heard("east", ("list", NUMBER), settling("east", {}, k=3).given())
    west.heard("north", ("list", NUMBER), settling("north", {}, k=3).given())
    assert west.wanted == {1: ["east"]}


# What is void.


def test_an_operator_that_holds_the_round_to_be_void_makes_it_void() -> None:
    for request in (("list", NUMBER), ("rows", NUMBER, (1,)), ("table", NUMBER)):
        west = settling("west", {})
        west.heard("east", request, VOID)
        assert west.failed == (Why.VOID, "east")
        assert west.requests() == []
        assert not west.done


def test_another_table_makes_it_void_and_the_name_is_noted() -> None:
    west, east = settling("west", {1: row(1)}), settling("east", {1: row(1)})
    settle(west, east, turns=1)
    assert west.descriptor
    other = replace(west.descriptor, present=3)
    west.heard("east", ("table", NUMBER), (other.encode(),))
    assert west.failed == (Why.OTHER, "east")
    assert told(west, ("table", NUMBER)) == VOID


def test_silence_makes_it_void_and_who_was_silent_is_named() -> None:
    west = settling("west", {}, k=3)
    west.heard("east", ("list", NUMBER), settling("east", {}, k=3).given())
    assert west.give_up() == (Why.SILENT, "north")
    # And where it was silent about its table.
    west, east, north = (settling(name, {}, k=3) for name in NAMES)
    for other in (east, north):
        west.heard(other.me, ("list", NUMBER), other.given())
    settle(east, north, west, turns=1)
    west.agreed = {"north"}
    assert west.give_up() == (Why.SILENT, "east")


def test_rows_that_are_not_shown_in_time_make_it_void_by_the_name_of_who_said_it_had_them() -> None:
    west = settling("west", {})
    west.heard("east", ("list", NUMBER), settling("east", {1: row(1)}).given())
    assert west.give_up() == (Why.SILENT, "east")
    assert west.give_up() == (Why.SILENT, "east")


@pytest.mark.parametrize(
    "shown",
    [b"", row("other"), row(1)[:-1], row(1) + b"x", 1, "x" * SIZE, (), (row(1),)],
    ids=lambda shown: type(shown).__name__,
)
def test_a_row_that_is_not_the_one_it_was_said_to_be_makes_it_void(shown: Value) -> None:
    west = settling("west", {})
    west.heard("east", ("list", NUMBER), settling("east", {1: row(1)}).given())
    west.heard("east", ("rows", NUMBER, (1,)), (shown,))
    assert west.failed == (Why.LIED, "east")


def test_a_row_that_is_a_text_with_the_digest_of_its_bytes_is_no_row() -> None:
    text = "x" * SIZE
    assert digest(1, text) == digest(1, text.encode())  # type: ignore[arg-type]
    west = settling("west", {})
    west.heard("east", ("list", NUMBER), settling("east", {1: text.encode()}).given())
    west.heard("east", ("rows", NUMBER, (1,)), (text,))
    assert west.failed == (Why.LIED, "east")


def test_a_row_that_one_operator_does_not_show_is_had_from_the_next() -> None:
    west, north = settling("west", {}, k=3), settling("north", {1: row(1)}, k=3)
    # East says that it was given the row, too.
    for other in (settling("east", {1: row(1)}, k=3), north):
        west.heard(other.me, ("list", NUMBER), other.given())
    assert west.requests() == [("east", ("rows", NUMBER, (1,)))]
    west.heard("east", ("rows", NUMBER, (1,)), (b"",))
    assert west.failed is None
    assert west.requests() == [("north", ("rows", NUMBER, (1,)))]
    # What east says afterwards is not asked for any more.
    west.heard("east", ("rows", NUMBER, (1,)), (row(1),))
    assert west.table == {}
    west.heard("north", ("rows", NUMBER, (1,)), told(north, ("rows", NUMBER, (1,))))
    assert west.table == {1: row(1)}


def test_after_it_is_void_nothing_is_heard_any_more() -> None:
    west, east = settling("west", {1: row(1)}), settling("east", {1: row(1)})
    west.heard("east", ("list", NUMBER), VOID)
    west.heard("east", ("list", NUMBER), east.given())
    assert west.failed == (Why.VOID, "east")
    assert west.table is None


def test_who_has_no_seat_is_not_heard() -> None:
    west = settling("west", {})
    west.heard("nobody", ("list", NUMBER), settling("east", {}).given())
    west.heard("west", ("list", NUMBER), VOID)
    assert west.lists == {}
    assert west.failed is None


# Whatever another operator says.

BAD_LISTS: Final[dict[str, Value]] = {
    "a number": 2**64 - 1,
    "a text": "list",
    "bytes": b"\0\0",
    "one value": (EVERYBODY,),
    "three values": (EVERYBODY, (), ()),
    "a roster of another size": (EVERYBODY + b"\0", ()),
    "a roster that is a text of its size": ("ab", ()),
    "a roster that is an array of its size": ((0, 1), ()),
    "rows that are a number": (EVERYBODY, 7),
    "a row that is a number": (EVERYBODY, (7,)),
    "a row of three": (EVERYBODY, ((1, bytes(32), 0),)),
    "a mailbox that is a text": (EVERYBODY, (("1", bytes(32)),)),
    "a mailbox that is bytes": (EVERYBODY, ((b"1", bytes(32)),)),
    "a mailbox that is an array": (EVERYBODY, (((), bytes(32)),)),
    "mailbox 0": (EVERYBODY, ((0, bytes(32)),)),
    "a mailbox beyond the last": (EVERYBODY, ((16, bytes(32)),)),
    "the largest number for a mailbox": (EVERYBODY, ((2**64 - 1, bytes(32)),)),
    "a mailbox that is not in its roster": (EVERYBODY, ((5, bytes(32)),)),
    "a digest that is too short": (EVERYBODY, ((1, bytes(31)),)),
    "a digest that is a number": (EVERYBODY, ((1, 2**40),)),
    "a digest that is a text": (EVERYBODY, ((1, "x" * 32),)),
    "a digest that is an array": (EVERYBODY, ((1, (1,) * 32),)),
    "thousands of rows": (EVERYBODY, tuple((mailbox, bytes(32)) for mailbox in range(5_000))),
}


@pytest.mark.parametrize("answer", BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_list_that_is_none_is_as_no_answer(answer: Value) -> None:
    west = settling("west", {1: row(1)})
    west.heard("east", ("list", NUMBER), answer)
    assert west.lists == {}
    assert west.requests() == [("east", ("list", NUMBER))]
    assert west.give_up() == (Why.SILENT, "east")


values: st.SearchStrategy[Value] = st.recursive(
    st.one_of(
        st.integers(0, 2**64 - 1),
        st.integers(0, 20),
        st.binary(max_size=40),
        st.sampled_from([bytes(32), EVERYBODY, row(1), "x" * SIZE, b"x" * SIZE]),
        st.text(max_size=5),
    ),
    lambda inner: st.lists(inner, max_size=5).map(tuple),
    max_leaves=20,
)
names = st.one_of(
    st.just(bytes(32)), st.sampled_from([digest(mailbox, row(mailbox)) for mailbox in range(1, 5)]), values
)
lists = st.tuples(
    st.one_of(st.just(EVERYBODY), st.binary(min_size=2, max_size=2), values),
    st.one_of(st.lists(st.tuples(st.one_of(st.integers(0, 20), values), names), max_size=8).map(tuple), values),
)
rows_ = st.lists(st.one_of(st.sampled_from([row(mailbox) for mailbox in range(1, 5)]), values), max_size=6).map(tuple)


@given(st.lists(st.one_of(values, lists, rows_), min_size=1, max_size=6), st.sampled_from([2, 3]))
@settings(max_examples=300)
def test_whatever_another_operator_answers_the_round_is_settled_or_void(answers: list[Value], k: int) -> None:
    west = settling("west", {1: row(1), 2: row(2)}, k=k)
    honest = settling("north", {1: row(1), 3: row(3)}, k=k)
    for answer in answers:
        for peer, request in west.requests():
            west.heard(peer, request, decode(encode(answer)) if peer == "east" else told(honest, request))
    if not west.done:
        why, peer = west.give_up()
        assert why in Why
        assert peer in west.peers
    # What it would write down is bytes of the right size, of mailboxes that there are.
    assert all(in_roster(EVERYBODY, mailbox) for mailbox in west.table or ())
    assert all(type(each) is bytes and len(each) == SIZE for each in (west.table or {}).values())
    assert len(west.wanted) < 16
    assert not west.done or west.descriptor is not None


@given(st.one_of(values, lists, rows_, st.sampled_from([VOID, NOT_YET])), st.sampled_from(["list", "rows", "table"]))
@settings(max_examples=200)
def test_one_answer_of_any_shape_at_any_time_does_no_more_than_make_the_round_void(answer: Value, what: str) -> None:
    west, east, north = (settling(name, {at: row(at)}, k=3) for at, name in enumerate(NAMES, 1))
    for _ in range(3):
        asked = [request for peer, request in west.requests() if peer == "east" and request[0] == what]
        for request in asked:
            west.heard("east", request, decode(encode(answer)))
        settle(north, west, east, turns=1)
    settle(west, east, north)
    assert west.done or west.give_up()[1] in west.peers
    assert not west.done or west.table == {1: row(1), 2: row(2), 3: row(3)} or what == "list"


def test_a_roster_names_mailboxes_by_their_bits_and_there_is_no_mailbox_0() -> None:
    assert [mailbox for mailbox in range(-20, 40) if in_roster(b"\xff\x01", mailbox)] == [1, 2, 3, 4, 5, 6, 7, 15]
    assert digest(1, b"x") != digest(2, b"x") != sha256(b"x")


def test_an_operator_that_lies_in_its_lists_exhausts_nobody() -> None:
    # As long as a message between operators may be: the list is read once, and not kept.
    west = settling("west", {})
    many = tuple((mailbox, bytes(32)) for mailbox in range(100_000))
    west.heard("east", ("list", NUMBER), (EVERYBODY, many))
    assert west.lists == {}
    repeated = tuple((1, bytes([at % 256]) * 32) for at in range(10_000))
    west.heard("east", ("list", NUMBER), (EVERYBODY, repeated))
    assert len(west.wanted) == 1
