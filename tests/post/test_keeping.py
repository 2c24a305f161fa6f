"""What a porter keeps, how it is stored, and which charter follows which."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backchannel.encoding import decode, encode
from backchannel.errors import MalformedError, UsageError, VerificationError
from backchannel.kem import PublicKey
from backchannel.keys import Digest
from backchannel.post.charter import SignedCharter
from backchannel.post.enrolment import Ticket
from backchannel.post.keeping import LABEL_PAIRING, MIN_TRAY, NOTICE, Asked, Keeping, Pairing, Standing, successor
from backchannel.post.tray import LineName, PairingKey
from backchannel.post.visit import ReplyKey, VisitKey
from tests.post.stage import WEEK, encodings, following, read
from tests.simulation.office import World

WORLD = World()
PAIRING = Pairing(WORLD.signed, 3, Ticket(b"t" * 32), PairingKey(b"k" * 32), MIN_TRAY)
NEW = Keeping((WORLD.signed,), PAIRING, {})
FULL = Keeping(
    (WORLD.signed,),
    PAIRING,
    {
        "west": Standing(VisitKey(b"w" * 32), 1005, ((0, PublicKey(b"p" * 1216)),), 1010, -7, (2, 5)),
        "east": Standing(VisitKey(b"e" * 32)),
    },
    round=1011,
    last=Asked(1010, True, {"west": ReplyKey(b"r" * 32)}, ((1009, b"m" * 12), (-3, b""))),  # noqa: FBT003 - in order
    collecting=Asked(1009, False, {}, ()),  # noqa: FBT003 - in order
    before=1010,
    closed=frozenset((1007, 1008)),
    deposits={1010: Digest(b"d" * 32)},
    copy=True,
    number=7,
    heard=3,
    arrived={Digest(b"a" * 32): 6, Digest(b"b" * 32): 0},
    come={4: (LineName(b"m" * 12), 5), 5: (LineName(b"n" * 12), 0)},
    next_come=6,
    reports={(20_000, "did not reply", "west"): 2},
    attendance={20_000: (1440, 1439)},
    asking=b"a charter file",
)


# The store.


@pytest.mark.parametrize("keeping", [NEW, FULL], ids=["new", "full"])
def test_it_is_stored_as_it_is(keeping: Keeping) -> None:
    assert Keeping.decode(keeping.encode()) == keeping


@settings(max_examples=50)
@given(st.binary(max_size=60) | encodings(decode(FULL.encode())))
@example(b"\x81" * 100)
@example(encode((0,) * 18))
def test_any_encoding_is_a_store_or_refused(data: bytes) -> None:
    assert isinstance(read(Keeping.decode, data, signed=True), Keeping | None)


@pytest.mark.parametrize("at", range(18))
def test_a_store_with_another_thing_in_any_place_is_a_store_or_malformed(at: int) -> None:
    value: Any = decode(FULL.encode())
    for other in (2**64 - 1, b"\x00", "a text", ((),), ((0, 0, 0, 0),)):
        read(Keeping.decode, encode((*value[:at], other, *value[at + 1 :])))


def test_a_visit_was_about_its_tables() -> None:
    assert FULL.last is not None
    assert FULL.last.tables == {1009, -3}


def test_keys_of_days_past_are_dropped_when_another_comes() -> None:
    one, other, third = (PublicKey(fill * 1216) for fill in (b"1", b"2", b"3"))
    standing = Standing(VisitKey(bytes(32))).with_day(4, one).with_day(5, other)
    assert (standing.day(4), standing.day(5), standing.day(6)) == (one, other, None)
    later = standing.with_day(6, third)
    assert (later.day(4), later.day(5), later.day(6)) == (None, other, third)
    assert standing.with_day(5, third).days == ((4, one), (5, third))


def test_it_takes_part_from_the_latest_round_of_all() -> None:
    def enrolled(west: int, east: int) -> int | None:
        standings = {name: replace(FULL.standings[name], enrolled=at) for name, at in (("west", west), ("east", east))}
        return replace(FULL, standings=standings).effective(WORLD.charter)

    assert enrolled(1005, 1009) == 1008
    assert enrolled(1, 1) == 0
    assert enrolled(1005, 0) is None
    assert FULL.mailbox == 3


def test_the_charter_of_a_round_is_the_newest_that_has_begun() -> None:
    follows = following(WORLD, 50)
    both = replace(FULL, charters=(WORLD.signed, follows))
    first = follows.charter.numbers.first
    assert both.charter(first - 1) == WORLD.charter
    assert both.charter(first) == both.charter(first + 1000) == follows.charter
    assert both.charter(0) == WORLD.charter


# The pairing (docs/spec/tray.md §3).


def pairing(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "label": LABEL_PAIRING,
        "charter": WORLD.signed.encode(),
        "mailbox": 3,
        "ticket": b"t" * 32,
        "key": b"k" * 32,
        "size": MIN_TRAY,
    }
    return encode(tuple((fields | changes).values()))


def test_a_pairing_is_the_array_of_the_page() -> None:
    assert PAIRING.encode() == pairing()
    assert Pairing.decode(pairing()) == PAIRING


@pytest.mark.parametrize("mailbox", [1, 15])
def test_a_mailbox_of_the_charter_can_be_paired(mailbox: int) -> None:
    assert Pairing.decode(pairing(mailbox=mailbox)).mailbox == mailbox


@pytest.mark.parametrize("size", [MIN_TRAY, 2**26])
def test_a_tray_is_within_its_bounds(size: int) -> None:
    assert Pairing.decode(pairing(size=size)).size == size


@pytest.mark.parametrize(
    "changes",
    [
        {"label": b"backchannel/v1/tray/porters"},
        {"charter": b""},
        {"charter": 7},
        {"mailbox": 0},
        {"mailbox": 16},
        {"mailbox": b"\x03"},
        {"ticket": bytes(31)},
        {"ticket": (1,) * 32},
        {"key": bytes(33)},
        {"size": MIN_TRAY - 1},
        {"size": 2**26 + 1},
        {"size": ""},
        {"more": 0},
    ],
    ids=str,
)
def test_what_is_no_pairing_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        Pairing.decode(pairing(**changes))


def test_a_pairing_whose_charter_has_a_wrong_signature_is_refused() -> None:
    key, signature = WORLD.signed.signatures[0]
    wrong = replace(WORLD.signed, signatures=((key, type(signature)(bytes(len(signature)))),))
    with pytest.raises(VerificationError):
        Pairing.decode(pairing(charter=wrong.encode()))


@settings(max_examples=50)
@given(st.binary(max_size=60) | encodings(decode(PAIRING.encode())))
@example(b"\x81" * 100)
def test_any_encoding_is_a_pairing_or_refused(data: bytes) -> None:
    assert isinstance(read(Pairing.decode, data, signed=True), Pairing | None)


# Which charter follows (docs/spec/charter.md §4).


def follows(signed: SignedCharter, *, now: int | None = None, asked: bool = False) -> bool:
    return successor(signed, WORLD.charter, now=WORLD.now if now is None else now, asked=asked)


def test_what_all_have_signed_follows_with_seven_days_notice() -> None:
    signed = following(WORLD, 2 * WEEK)
    start = signed.charter.numbers.start
    assert follows(signed, now=start - NOTICE)
    assert not follows(signed, now=start - NOTICE + 1)
    assert follows(signed, now=start - 1, asked=True)


def test_what_an_operator_of_the_old_one_has_not_signed_needs_the_owner() -> None:
    signed = following(WORLD, 2 * WEEK)
    alone = replace(
        signed, charter=replace(signed.charter, seats=signed.charter.seats[:1] + _other_seat()), signatures=()
    )  # fmt: skip
    alone = alone.sign(WORLD.houses["west"].keys[0].signer).sign(_OTHER.signer)
    assert alone.missing == ()
    assert not follows(alone)
    assert follows(alone, asked=True)


_OTHER = World(k=3).houses["north"].keys[0]


def _other_seat() -> tuple[Any, ...]:
    return (replace(WORLD.charter.seats[1], name="north", signing=_OTHER.signer.public),)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"capacity": 8}, "fewer mailboxes"),
        ({"places": 1}, "fewer mailboxes or places"),
        ({"packet": 1024}, "packets of another size"),
        ({"packet": 256}, "packets of another size"),
        ({"day": 1_441}, "counts days otherwise"),
    ],
)
def test_what_takes_away_or_counts_otherwise_does_not_follow(changes: dict[str, Any], why: str) -> None:
    signed = following(WORLD, 2 * WEEK)
    numbers = replace(signed.charter.numbers, **changes)
    charter = replace(signed.charter, numbers=numbers, shares=())
    for house in WORLD.houses.values():
        charter_signed = SignedCharter(charter).sign(house.keys[0].signer)
        signed = charter_signed if house.name == "west" else signed.joined(charter_signed)
    with pytest.raises(UsageError, match=why):
        follows(signed, asked=True)


@pytest.mark.parametrize(
    "changes", [{"capacity": 32}, {"places": 3}, {"period": 30_000}, {"reads": 3}, {"catch_up": 4}], ids=str
)
def test_what_gives_more_follows(changes: dict[str, Any]) -> None:
    assert follows(following(WORLD, 2 * WEEK, **changes))


def test_what_begins_between_two_rounds_or_before_the_old_one_does_not_follow() -> None:
    signed = following(WORLD, 2 * WEEK)
    numbers = signed.charter.numbers
    for wrong in (
        replace(numbers, start=numbers.start + 1),
        replace(numbers, first=numbers.first + 1),
        replace(numbers, first=WORLD.numbers.first, start=WORLD.numbers.start),
    ):
        other = SignedCharter(replace(signed.charter, numbers=wrong))
        for house in WORLD.houses.values():
            other = other.sign(house.keys[0].signer)
        with pytest.raises(UsageError, match="begin where a round"):
            follows(other, asked=True)


def test_what_has_begun_already_does_not_follow() -> None:
    signed = following(WORLD, 50)
    start = signed.charter.numbers.start
    assert follows(signed, now=start - 1, asked=True)
    with pytest.raises(UsageError, match="begun already"):
        follows(signed, now=start, asked=True)


def test_what_follows_another_or_is_not_signed_by_its_own_does_not_follow() -> None:
    signed = following(WORLD, 2 * WEEK)
    with pytest.raises(VerificationError, match="follows another"):
        follows(SignedCharter(replace(signed.charter, predecessor=Digest(bytes(32)))), asked=True)
    with pytest.raises(VerificationError, match="not signed by east"):
        follows(following(WORLD, 2 * WEEK, signers=("west",)), asked=True)
