"""The bytes of the two cards (docs/spec/card.md §1, §2)."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.encoding import Value, decode, encode
from backchannel.errors import MalformedError, UsageError, VerificationError
from backchannel.kem import Kem, PublicKey, XWing
from backchannel.keys import Digest
from backchannel.seal import card as cards
from backchannel.seal.card import Answer, Card, Carriage, Terms
from backchannel.seal.state import HalfSecret
from tests.seal.meeting_desks import KEM, Desk

TERMS = Terms("Ada", "Ben", 2_000_000_000)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(cards.is_name).filter(bool)
DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
PLACES, MAILBOXES = st.integers(0, 63), st.integers(1, 2**20 - 1)
EXPIRIES = st.integers(0, cards.MAX_EXPIRY)
CARDS = st.builds(
    Card,
    st.binary(min_size=1216, max_size=1216).map(PublicKey),
    st.binary(min_size=32, max_size=32).map(HalfSecret),
    st.builds(
        Terms, NAMES, NAMES, EXPIRIES, st.none() | st.builds(Carriage, PLACES, MAILBOXES, DIGESTS), st.none() | DIGESTS
    ),
)
FIELDS = ["label", "key", "half", "holder", "reader", "expires", "carriage", "archive"]
BARE = Terms("", "", 5)


def first_card(terms: Terms = TERMS) -> bytes:
    return cards.make(terms, kem=KEM, random=Desk("maker").draw)[0].encode(cards.LABEL_FIRST)


def with_field(field: str, value: Value) -> bytes:
    values = decode(first_card())
    assert isinstance(values, tuple)
    at = FIELDS.index(field)
    return encode((*values[:at], value, *values[at + 1 :]))


@given(CARDS)
@settings(max_examples=50, deadline=None)
def test_a_card_decodes_to_what_was_encoded_and_to_nothing_under_another_label(card: Card) -> None:
    assert cards.read(card.encode(cards.LABEL_FIRST), KEM) == card
    with pytest.raises(MalformedError):
        Card.decode(card.encode(cards.LABEL_FIRST), cards.LABEL_OPENED)


@given(CARDS)
@settings(max_examples=50, deadline=None)
def test_the_largest_answering_card_opens_to_the_same_size_as_any(card: Card) -> None:
    private, public = KEM.generate(Desk("reader").draw)
    carried, opened = cards.seal_answer(card, b"first", to=public, kem=KEM, random=Desk("sealer").draw)
    assert (len(carried), len(opened)) == (3250, 2048)
    answer = cards.read(carried, KEM)
    assert isinstance(answer, Answer)
    assert cards.open_answer(answer, private, KEM) == (card, opened)


def test_names_and_places_of_full_length_fit_both_cards() -> None:
    long = "é" * 100
    terms = Terms(long, long, cards.MAX_EXPIRY, Carriage(63, 2**20 - 1, Digest(bytes(32))), Digest(b"a" * 32))
    card, _ = cards.make(terms, kem=KEM, random=Desk("maker").draw)
    assert cards.read(card.encode(cards.LABEL_FIRST), KEM) == card
    private, public = KEM.generate(Desk("reader").draw)
    carried, _ = cards.seal_answer(card, b"first", to=public, kem=KEM, random=Desk("sealer").draw)
    answer = cards.read(carried, KEM)
    assert isinstance(answer, Answer)
    assert cards.open_answer(answer, private, KEM)[0] == card


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: first_card()[:60] + tail))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_card_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        cards.read(data, KEM)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("label", b"backchannel/v1/card/opened"), ("label", "backchannel/v1/card/first"),
        ("key", bytes(1215)), ("key", bytes(1217)), ("key", "a" * 1216),
        ("half", bytes(31)), ("half", bytes(33)), ("half", 7),
        ("holder", b"Ada"), ("holder", "a" * 201), ("holder", "é" * 101), ("holder", "A\x1b[2J"), ("holder", "A\n"),
        ("reader", b"Ben"), ("reader", "b" * 201), ("reader", "B\x7f"), ("reader", "B\x00"), ("reader", "B\x85"),
        ("expires", b""), ("expires", "never"), ("expires", ()),
        ("carriage", b""), ("carriage", (1, 2)), ("carriage", (1, 2, bytes(31))), ("carriage", (1, 2, bytes(33))),
        ("carriage", (b"", 2, bytes(32))), ("carriage", (1, b"", bytes(32))), ("carriage", (1, 2, bytes(32), 3)),
        ("archive", bytes(31)), ("archive", bytes(33)), ("archive", ()),
    ],
)  # fmt: skip
def test_a_card_with_one_field_of_another_shape_is_no_card(field: str, value: Value) -> None:
    with pytest.raises(MalformedError, match=r"^this is not a card, or it has been altered$"):
        cards.read(with_field(field, value), KEM)


@pytest.mark.parametrize("change", ["fewer", "more"])
def test_a_card_with_fewer_or_more_fields_is_no_card(change: str) -> None:
    values = decode(first_card())
    assert isinstance(values, tuple)
    with pytest.raises(MalformedError, match="not a card"):
        cards.read(encode(values[:-1] if change == "fewer" else (*values, 0)), KEM)


def test_a_file_larger_than_any_card_is_not_even_parsed() -> None:
    with pytest.raises(MalformedError, match=r"^this is not a card$"):
        cards.read(bytes(cards.MAX_CARD + 1), KEM)
    # One byte smaller, and it is the encoding that finds fault.
    with pytest.raises(MalformedError, match="bytes after its end"):
        cards.read(bytes(cards.MAX_CARD), KEM)


@pytest.mark.parametrize("terms", [Terms("Ada", "", 5), Terms("", "Ben", 5)])
def test_a_card_that_names_only_one_of_two_is_no_card(terms: Terms) -> None:
    raw = Card(PublicKey(bytes(1216)), HalfSecret(bytes(32)), terms).encode(cards.LABEL_FIRST)
    with pytest.raises(MalformedError, match=r"^this card names only one of two$"):
        cards.read(raw, KEM)


def test_a_bare_card_names_nobody() -> None:
    read = cards.read(first_card(BARE), KEM)
    assert isinstance(read, Card)
    assert read.terms.bare
    assert not TERMS.bare


NO_NAMES = [
    *("a" * 201, "é" * 101, "tab\there", "escape\x1b", "\ud800", "a line\u2028b", " before", "after "),
    *("Jose\u0301", "A\u200dnna", "A\u00adnna", "A\u202ennA", "Anna\u3164", "Anna\ufe0f"),  # twins of other names
    *("\u0631\u0636\u0627\u200c", "\u200c\u0631\u0636\u0627"),  # a joiner joins two
]


@pytest.mark.parametrize("name", ["José", "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "क्\u200dष", "王小明", ""])
def test_a_name_as_people_write_it_can_stand_on_a_card(name: str) -> None:
    assert cards.is_name(name)


def test_names_that_people_would_take_for_one_are_one() -> None:
    assert cards.fold("Zoë  MARTIN") == cards.fold("zoe\u0308 Martin")
    assert cards.fold("\u0639\u0644\u06cc\u200c\u0631\u0636\u0627") == cards.fold(
        "\u0639\u0644\u06cc\u0631\u0636\u0627"
    )
    assert cards.fold("Straße") == cards.fold("STRASSE")
    assert cards.fold("Anna") != cards.fold("Anne")


def test_an_expiry_that_no_calendar_has_is_no_card() -> None:
    card, _ = cards.make(replace(TERMS, expires=cards.MAX_EXPIRY), kem=KEM, random=Desk("maker").draw)
    assert cards.read(card.encode(cards.LABEL_FIRST), KEM) == card
    late = replace(card, terms=replace(TERMS, expires=cards.MAX_EXPIRY + 1))
    with pytest.raises(MalformedError):
        cards.read(late.encode(cards.LABEL_FIRST), KEM)


@pytest.mark.parametrize("name", NO_NAMES)
def test_nobody_makes_a_card_with_a_name_that_cannot_stand_on_it(name: str) -> None:
    for terms in (Terms(name, "Ben", 5), Terms("Ada", name, 5)):
        with pytest.raises(UsageError, match="one line of at most 200 bytes, without characters that are not seen"):
            cards.make(terms, kem=KEM, random=Desk("maker").draw)


@pytest.mark.parametrize("key", [b"\xff" * 1184 + b"\x09" + bytes(31), None])
def test_a_key_that_nothing_can_be_sealed_to_is_no_card(key: bytes | None) -> None:
    kem: Kem = XWing()
    _, good = kem.generate(Desk("maker").draw)
    # Coefficients beyond the modulus; and a point of low order, whose secret everybody knows.
    bad = PublicKey(key or good[:1184] + bytes(32))
    with pytest.raises(MalformedError, match=r"^public key is not well formed$"):
        cards.read(Card(bad, HalfSecret(bytes(32)), TERMS).encode(cards.LABEL_FIRST), kem)


def opened_otherwise(opened: bytes) -> None:
    """Open an answering card whose box was sealed around *opened*."""
    private, public = KEM.generate(Desk("reader").draw)
    name = Digest(bytes(32))
    box = KEM.seal(public, name, opened, Desk("sealer").draw)
    cards.open_answer(Answer(name, box), private, KEM)


def padded(raw: bytes, size: int = 2048) -> bytes:
    return (len(raw).to_bytes(4) + raw).ljust(size, b"\0")


def raw_answer(terms: Terms = TERMS, label: bytes = cards.LABEL_OPENED, key: bytes = bytes(1216)) -> bytes:
    return Card(PublicKey(key), HalfSecret(bytes(32)), terms).encode(label)


def test_an_answering_card_that_was_sealed_as_it_should_be_opens() -> None:
    opened_otherwise(padded(raw_answer()))


RAW = raw_answer()


@pytest.mark.parametrize(
    "opened",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(padded(RAW, 2047), id="one byte short"),
        pytest.param(padded(RAW, 2049), id="one byte long"),
        pytest.param(padded(RAW)[:-1] + b"\1", id="a last byte that is not zero"),
        pytest.param((len(RAW).to_bytes(4) + RAW + b"\1").ljust(2048, b"\0"), id="a byte behind the card"),
        pytest.param(((len(RAW) + 1).to_bytes(4) + RAW).ljust(2048, b"\0"), id="a length one more"),
        pytest.param(((len(RAW) - 1).to_bytes(4) + RAW).ljust(2048, b"\0"), id="a length one less"),
        pytest.param((b"\xff\xff\xff\xff" + RAW).ljust(2048, b"\0"), id="a length past the end"),
        pytest.param(padded(raw_answer(label=cards.LABEL_FIRST)), id="a first card inside"),
        pytest.param(padded(raw_answer(Terms("Ada", "", 5))), id="no reader"),
        pytest.param(padded(raw_answer(Terms("", "Ben", 5))), id="no holder"),
        pytest.param(padded(raw_answer(Terms("", "", 5))), id="no names"),
    ],
)
def test_an_answering_card_that_opens_to_something_else_has_the_one_message_of_not_opening(opened: bytes) -> None:
    with pytest.raises(VerificationError, match=r"^this answering card does not open: it was altered on its way$"):
        opened_otherwise(opened)


def test_an_answering_card_with_a_key_of_low_order_has_the_same_message() -> None:
    kem = XWing()
    private, public = kem.generate(Desk("reader").draw)
    bad = raw_answer(key=public[:1184] + bytes(32))
    name = Digest(bytes(32))
    box = kem.seal(public, name, padded(bad), Desk("sealer").draw)
    with pytest.raises(VerificationError, match=r"^this answering card does not open: it was altered on its way$"):
        cards.open_answer(Answer(name, box), private, kem)


def test_the_one_who_answers_draws_keys_then_half_then_the_box() -> None:
    desk = Desk("maker")
    card, private = cards.make(TERMS, kem=KEM, random=desk.draw)
    _, opened = cards.seal_answer(card, b"first", to=KEM.generate(desk.draw)[1], kem=KEM, random=desk.draw)
    assert [len(drawn) for drawn in desk.drawn] == [96, 32, 96, 1120]
    assert desk.drawn[0] == private
    assert desk.drawn[1] == card.half
    assert bytes(card.half) in opened
