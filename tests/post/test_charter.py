"""The charter (docs/spec/charter.md): its bounds, its clock, its signatures and what follows it."""

from __future__ import annotations

import contextlib
import copy
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from backchannel.encoding import decode, encode
from backchannel.errors import MalformedError, UsageError, VerificationError
from backchannel.kem import PublicKey
from backchannel.keys import Cost, Digest
from backchannel.post.charter import (
    BOUNDS,
    LABEL_SIGNED,
    MAX_CHARTER,
    MAX_NAME,
    MAX_OPERATORS,
    MAX_SHARES,
    MAX_URL,
    Charter,
    Numbers,
    Seat,
    Share,
    SignedCharter,
)
from backchannel.post.keeping import NOTICE, successor
from backchannel.signing import Signature, Signer, VerifyingKey
from tests.peer import post_peer as peer
from tests.simulation.office import Generator
from tests.vectors import make_charter

SIGNERS = {name: Signer.draw(Generator("charter", name)) for name in ("west", "east", "north", "south")}
FIRST, START = 1_000, 1_900_000_000_000


def seat(name: str, signer: Signer | None = None) -> Seat:
    key = (signer or SIGNERS[name]).public
    return Seat(name, f"https://{name}.example", key, PublicKey(make_charter.shake(name, 1216)))


def charter(*names: str, numbers: Numbers | None = None, **fields: Any) -> Charter:
    seats = tuple(seat(name) for name in names or ("west", "east"))
    return Charter("office", seats, (), numbers or Numbers(first=FIRST, start=START), **fields)


def signed(unsigned: Charter, *names: str) -> SignedCharter:
    file = SignedCharter(unsigned)
    for name in names:
        file = file.sign(SIGNERS[name])
    return file


CHARTER = charter()

clocks = st.builds(
    lambda c, blocks, period, first, reads: Numbers(
        period=period, hold=period // 10, catch_up=c, window=c * blocks, first=first, reads=reads
    ),
    st.integers(1, 64),
    st.integers(1, 200),
    st.integers(200, 100_000),
    st.integers(0, 2**32 - 1),
    st.integers(1, 8),
)


# §1 Fields and bounds.


@pytest.mark.parametrize("name", BOUNDS)
def test_a_number_is_within_its_bounds(name: str) -> None:
    low, high = BOUNDS[name]
    for number in (low - 1, high + 1):
        with pytest.raises(UsageError, match=f"{name} is a number from {low:,} to {high:,}"):
            replace(Numbers(), **{name: number}).check()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (Numbers(capacity=260), "capacity is a multiple of 8"),
        (Numbers(window=1441), "window is a multiple of catch_up"),
        (Numbers(hold=6_001), "hold is at most a tenth of a period"),
    ],
)
def test_numbers_fit_each_other(numbers: Numbers, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        charter(numbers=numbers)


def test_what_does_not_fit_is_told_to_who_drafts_it() -> None:
    west, east = seat("west"), seat("east")
    for seats, message in {
        (west,): "2 to 8 operators",
        (west, replace(seat("east"), name="west")): "of different names",
        (west, replace(east, signing=west.signing)): "two operators have one key",
        (west, replace(east, url="east.example")): "east has an address that is none",
        (west, replace(east, name="East")): "small letters",
    }.items():
        with pytest.raises(UsageError, match=message):
            replace(CHARTER, seats=seats)
    for shares, message in {
        (Share("west", 0, 1, 1),): "from 1 to below",
        (Share("west", 1, 256, 1),): "from 1 to below",
        (Share("west", 1, 2, 3),): "a quorum",
        tuple(Share("west", at, 1, 1) for at in range(1, 66)): "at most 64 shares",
    }.items():
        with pytest.raises(UsageError, match=message):
            replace(CHARTER, shares=shares)


def test_the_largest_charter_with_all_its_signatures_fits_a_file() -> None:
    seats = tuple(
        Seat(
            f"{at:0{MAX_NAME}}",
            "http://a/".ljust(MAX_URL, "a"),
            VerifyingKey(bytes([at]) * VerifyingKey.size),
            PublicKey(bytes(PublicKey.size)),
        )
        for at in range(MAX_OPERATORS)
    )
    shares = tuple(Share(seats[0].name, 2**19 + at, 1, 1) for at in range(MAX_SHARES))
    numbers = Numbers(**{name: high for name, (_, high) in BOUNDS.items()})
    largest = Charter("a" * MAX_NAME, seats, shares, numbers, Digest(bytes(32)))
    assert Charter.decode(largest.encode()) == largest
    signatures = tuple((VerifyingKey(bytes([at]) * 1984), Signature(bytes(3373))) for at in range(2 * MAX_OPERATORS))
    data = SignedCharter(largest, signatures).encode()
    assert len(data) <= MAX_CHARTER
    with pytest.raises(VerificationError):  # and not that it is malformed
        SignedCharter.decode(data)
    more = (*signatures, (VerifyingKey(b"m" * 1984), Signature(bytes(3373))))
    with pytest.raises(MalformedError):
        SignedCharter.decode(SignedCharter(largest, more).encode())


def paths(value: Any) -> list[tuple[int, ...]]:
    """Of every value inside *value*."""
    if not isinstance(value, tuple):
        return [()]
    return [(), *((at, *rest) for at, each in enumerate(value) for rest in paths(each))]


GOOD: Any = decode(make_charter.raw(make_charter.GOOD))
leaves = st.one_of(
    st.integers(0, 300),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=33),
    st.sampled_from([1984, 1216, 32]).map(bytes),
    st.text(max_size=9),
    st.sampled_from(["west", "east-2", "-", "http://a", "https://a/b", "a" * 64, "a" * 65]),
)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=5).map(tuple), max_leaves=9)


def put(value: Any, path: tuple[int, ...], new: Any) -> Any:
    if not path:
        return new
    at, *rest = path
    return (*value[:at], put(value[at], tuple(rest), new), *value[at + 1 :])


@given(st.sampled_from(paths(GOOD)), values)
@settings(max_examples=400, deadline=None)
def test_a_charter_with_any_field_changed_is_one_to_both_implementations_or_to_neither(
    path: tuple[int, ...], new: Any
) -> None:
    data = encode(put(GOOD, path, new))
    try:
        ours = Charter.decode(data)
    except MalformedError:
        with pytest.raises(peer.Refusal):
            peer.judge(data)
        return
    assert ours.encode() == data
    assert ours.digest == peer.digest(peer.judge(data))


@given(st.binary(max_size=200), st.integers(0, 7000), st.integers(0, 7000))
@settings(max_examples=300, deadline=None)
@example(b"", 0, 7000)
def test_any_bytes_are_a_charter_or_malformed(new: bytes, at: int, end: int) -> None:
    good = make_charter.raw(make_charter.GOOD)
    for data in (new, good[:at] + new + good[end:]):
        with contextlib.suppress(MalformedError):
            assert Charter.decode(data).encode() == data


@given(values)
@settings(max_examples=200, deadline=None)
def test_any_value_in_the_place_of_a_file_is_refused(new: Any) -> None:
    body = CHARTER.encode()
    for value in (new, (LABEL_SIGNED, new, ()), (LABEL_SIGNED, body, new), (LABEL_SIGNED, body, (new,))):
        if value != (LABEL_SIGNED, body, ()):
            with pytest.raises((MalformedError, VerificationError)):
                SignedCharter.decode(encode(value))


def test_every_field_is_in_the_digest() -> None:
    plain = [*make_charter.GOOD[:3], [["west", 1, 100, 16]], *make_charter.GOOD[4:]]
    digests = {Charter.decode(make_charter.raw(plain)).digest}
    changed = 0
    for path, new in [
        ((1,), "other"),
        ((2, 0, 0), "north"),
        ((2, 0, 1), "http://west.example"),
        ((2, 0, 2), {"shake": ["another", 1984]}),
        ((2, 0, 3), {"shake": ["another", 1216]}),
        *[((3, 0, at), new) for at, new in enumerate(("north", 2, 99, 15))],
        *[((4, at), new) for at, new in enumerate((512, 4097, 60_001, 9, 3, 16, 2880, 1999, 1, 1, 1001, 1))],
        ((5,), {"shake": ["predecessor", 32]}),
    ]:
        value = copy.deepcopy(plain)
        field: Any = value
        for step in path[:-1]:
            field = field[step]
        field[path[-1]] = new
        digests.add(Charter.decode(make_charter.raw(value)).digest)
        changed += 1
    assert len(digests) == 1 + changed


def test_an_operator_is_found_by_its_name_and_a_share_by_its_mailbox() -> None:
    shares = (Share("west", 1, 10, 1), Share("east", 20, 5, 1))
    shared = replace(CHARTER, shares=shares)
    assert [shared.seat("west"), shared.seat("east"), shared.operators] == [0, 1, 2]
    with pytest.raises(UsageError, match="no operator called north"):
        shared.seat("north")
    found = [shared.share_of(mailbox) for mailbox in (0, 1, 10, 11, 19, 20, 24, 25)]
    assert found == [None, shares[0], shares[0], None, None, shares[1], shares[1], None]


# §2 The clock.


@given(clocks, st.integers(-5, 10_000), st.integers(1, 2**20))
def test_a_round_is_agreed_on_visited_and_left_in_its_turn(numbers: Numbers, offset: int, mailbox: int) -> None:
    office = charter(numbers=numbers)
    number = numbers.first + offset
    begins, ends = office.begins(number), office.begins(number + 1)
    assert ends - begins == numbers.period
    assert [office.round_at(at) for at in (begins - 1, begins, ends - 1, ends)] == [
        number - 1,
        number,
        number,
        number + 1,
    ]
    instant = office.instant(mailbox, number)
    assert begins + numbers.period // 5 == office.agreed_by(number) <= instant
    # The last fifth has no visits, and a reply leaves in the round of its visit.
    assert instant < ends - numbers.period // 5
    assert instant + numbers.hold < ends
    # Whatever the round, a mailbox is visited at one place in it.
    assert office.instant(mailbox, number + 1) - ends == instant - begins


def test_visits_are_spread_over_their_phase_and_another_charter_spreads_them_otherwise() -> None:
    office, other = charter(), replace(charter(), name="other")
    places = [office.instant(mailbox, FIRST) - START for mailbox in range(1, 2001)]
    quarters = [sum(12_000 + 9_000 * at <= place < 12_000 + 9_000 * (at + 1) for place in places) for at in range(4)]
    assert sum(quarters) == 2000
    assert min(quarters) > 400
    moved = [other.instant(mailbox, FIRST) - START for mailbox in range(1, 2001)]
    assert sum(a == b for a, b in zip(places, moved, strict=True)) < 20


@given(st.integers(0, 2**32), st.integers(1, 2**20))
def test_an_enrolment_takes_effect_at_the_next_multiple(number: int, every: int) -> None:
    effective = charter(numbers=Numbers(enrolment=every)).effective(number)
    assert number < effective <= number + every
    assert effective % every == 0


@given(st.integers(0, 2**32), st.integers(1, 2**20))
def test_a_day_is_so_many_rounds_from_the_first_round_of_all(number: int, day: int) -> None:
    office = charter(numbers=Numbers(day=day))
    assert office.day_of(number) * day <= number < (office.day_of(number) + 1) * day


@pytest.mark.parametrize("names", [("west", "east"), ("west", "east", "north"), tuple(SIGNERS)], ids=len)
def test_every_operator_gets_the_vector_in_its_turn(names: tuple[str, ...]) -> None:
    office, k = charter(*names), len(names)
    for number in range(FIRST, FIRST + 10):
        assert sorted(office.explicit(number, query) for query in range(k)) == list(range(k))
        assert office.explicit(number + 1, 0) == office.explicit(number, 1)


def served(numbers: Numbers, since: int, rounds: int) -> dict[int, list[int]]:
    """Every table, and the rounds in which it was served as an old one."""
    office, out = charter(numbers=numbers), dict[int, list[int]]()
    for number in range(since, since + rounds):
        for table in office.block(number):
            out.setdefault(table, []).append(number)
    return out


@given(st.integers(1, 12), st.integers(1, 15), st.integers(0, 2**31))
@settings(max_examples=150, deadline=None)
@example(8, 180, 27_000_000)
@example(1, 1, 0)
@example(64, 1, 5)
def test_every_table_is_served_once_as_the_newest_and_c_times_as_an_old_one(c: int, blocks: int, first: int) -> None:
    window = c * blocks
    numbers = Numbers(catch_up=c, window=window, first=0)
    office, out = charter(numbers=numbers), served(numbers, first, 3 * (window + 2 * c))
    for table in range(first, first + window):
        assert len(out[table]) == c
        # Each block once in every W/c rounds, none before it is old, none after it is gone.
        assert {later - earlier for earlier, later in zip(out[table], out[table][1:], strict=False)} <= {blocks}
        assert table + 2 <= min(out[table])
        assert max(out[table]) <= table + window + c
        assert all(office.readable(table, number) for number in out[table])


@given(clocks, st.integers(0, 2**31))
def test_a_round_asks_about_the_newest_table_and_about_one_block(numbers: Numbers, number: int) -> None:
    office, reads = charter(numbers=numbers), numbers.reads
    plain, more = office.tables(number, more=False), office.tables(number, more=True)
    assert plain == [number - 1] * reads
    assert more[:reads] == plain
    block = office.block(number)
    assert len(block) == numbers.catch_up
    assert more[reads:] == [table for table in block for _ in range(reads)]
    assert block.stop <= number - 1
    assert block.start % numbers.catch_up == 0


def test_a_table_is_readable_from_the_round_after_it_until_it_is_gone() -> None:
    office = charter(numbers=Numbers(window=16, catch_up=8, first=FIRST))
    assert [office.readable(FIRST + 100, FIRST + 100 + age) for age in (-1, 0, 1, 24, 25)] == [
        False,
        False,
        True,
        True,
        False,
    ]
    # There is none before the first.
    assert [office.readable(FIRST + at, FIRST + 10) for at in (-1, 0)] == [False, True]


# §3 Signatures.


def test_a_charter_says_which_operators_have_not_signed() -> None:
    assert signed(CHARTER).missing == ("west", "east")
    assert signed(CHARTER, "east").missing == ("west",)
    assert signed(CHARTER, "east", "west").missing == ()
    assert signed(CHARTER, "north", "south").missing == ("west", "east")
    assert signed(CHARTER, "west").signed_by(CHARTER.seats[:1])
    assert not signed(CHARTER, "west").signed_by(CHARTER.seats)


def test_a_file_is_decoded_as_it_was_signed_in_any_order_and_with_foreign_signatures() -> None:
    for names in ((), ("west",), ("west", "east"), ("east", "west"), ("north", "east", "south", "west")):
        file = signed(CHARTER, *names)
        assert SignedCharter.decode(file.encode()) == file


def test_who_has_signed_does_not_sign_again() -> None:
    once = signed(CHARTER, "west")
    assert once.sign(SIGNERS["west"]) is once


def test_two_copies_of_a_charter_are_joined_and_two_charters_are_not() -> None:
    west, both = signed(CHARTER, "west"), signed(CHARTER, "north", "west", "east")
    joined = west.joined(both)
    assert [key for key, _ in joined.signatures] == [SIGNERS[name].public for name in ("west", "north", "east")]
    assert SignedCharter.decode(joined.encode()) == joined
    assert joined.joined(west) == joined
    with pytest.raises(VerificationError, match="two different charters"):
        west.joined(signed(replace(CHARTER, name="other"), "east"))


def test_one_wrong_signature_refuses_the_whole_file() -> None:
    file = signed(CHARTER, "west", "east")
    for at in range(2):
        entries = list(file.signatures)
        key, signature = entries[at]
        entries[at] = key, Signature(signature[:-1] + bytes([signature[-1] ^ 1]))
        with pytest.raises(VerificationError, match="not what it claims"):
            SignedCharter.decode(SignedCharter(CHARTER, tuple(entries)).encode())
    swapped = tuple((key, file.signatures[1 - at][1]) for at, (key, _) in enumerate(file.signatures))
    with pytest.raises(VerificationError):
        SignedCharter.decode(SignedCharter(CHARTER, swapped).encode())


def test_a_signature_is_over_this_charter_and_under_this_label() -> None:
    other = signed(replace(CHARTER, name="other"), "west")
    with pytest.raises(VerificationError):
        SignedCharter.decode(SignedCharter(CHARTER, other.signatures).encode())
    key = SIGNERS["west"]
    under = ((key.public, key.sign(b"backchannel/v1/another/label", CHARTER.encode())),)
    with pytest.raises(VerificationError):
        SignedCharter.decode(SignedCharter(CHARTER, under).encode())


def test_a_file_from_the_own_store_is_not_verified_again_and_has_its_form_all_the_same() -> None:
    file = SignedCharter(CHARTER, ((SIGNERS["west"].public, Signature(bytes(3373))),))
    assert SignedCharter.kept(file.encode()) == file
    with pytest.raises(VerificationError):
        SignedCharter.decode(file.encode())
    for data in (b"", file.encode()[:-1], file.encode() + b"\0", CHARTER.encode(), bytes(MAX_CHARTER + 1)):
        with pytest.raises(MalformedError):
            SignedCharter.kept(data)


def test_two_signatures_of_one_key_refuse_the_file() -> None:
    entry = signed(CHARTER, "west").signatures
    with pytest.raises(MalformedError):
        SignedCharter.decode(SignedCharter(CHARTER, entry * 2).encode())


def test_check_words_are_of_the_charter_and_of_nothing_else() -> None:
    cost = Cost(8, 1, 1)
    words = CHARTER.check_string(cost)
    assert (len(words), words) == (32, charter().check_string(cost))
    assert words != replace(CHARTER, name="other").check_string(cost)
    assert words != CHARTER.check_string(Cost(8, 2, 1))


# §4 Amendments.

NOW = START + 10_000_000
LATER = FIRST + math.ceil((NOW + NOTICE - START) / 60_000)


def following(first: int = LATER, *, predecessor: Digest = CHARTER.digest, **numbers: int) -> Charter:
    after = Numbers(first=first, start=CHARTER.begins(first))
    return charter("west", "north", numbers=replace(after, **numbers), predecessor=predecessor)


def test_a_charter_that_all_of_both_have_signed_is_followed_unasked() -> None:
    assert successor(signed(following(), "west", "north", "east"), CHARTER, now=NOW, asked=False)
    assert successor(signed(following(capacity=512, places=9), "west", "north", "east"), CHARTER, now=NOW, asked=False)


def test_without_the_lost_operator_or_at_short_notice_its_owner_is_asked() -> None:
    lost = signed(following(), "west", "north")
    soon = signed(following(LATER - 1), "west", "north", "east")
    for file in (lost, soon):
        assert not successor(file, CHARTER, now=NOW, asked=False)
        assert successor(file, CHARTER, now=NOW, asked=True)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (following(predecessor=Digest(bytes(32))), "follows another"),
        (following(start=CHARTER.begins(LATER) + 1), "does not begin where a round"),
        (following(FIRST), "does not begin where a round"),
        (following(capacity=248), "fewer mailboxes"),
        (following(places=7), "fewer mailboxes or places"),
        (following(packet=4097), "packets of another size"),
        (following(day=1439), "counts days otherwise"),
        (following(FIRST + 1), "has begun already"),
    ],
)
def test_a_charter_that_does_not_continue_the_one_before_is_not_followed(after: Charter, message: str) -> None:
    with pytest.raises((UsageError, VerificationError), match=message):
        successor(signed(after, "west", "north", "east"), CHARTER, now=NOW, asked=True)


def test_a_charter_that_one_of_its_own_operators_has_not_signed_is_not_followed() -> None:
    with pytest.raises(VerificationError, match="not signed by north"):
        successor(signed(following(), "west", "east"), CHARTER, now=NOW, asked=True)


@given(st.integers(0, 2**20))
def test_a_round_is_at_one_instant_under_a_charter_and_the_one_that_follows_it(offset: int) -> None:
    assume(offset)
    after = following(FIRST + offset)
    assert after.begins(FIRST + offset + 7) == CHARTER.begins(FIRST + offset + 7)
