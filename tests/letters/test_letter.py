import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel import encoding
from backchannel.encoding import Value
from backchannel.errors import BackchannelError, MalformedError, UsageError
from backchannel.keys import LetterId, ReleaseSeed
from backchannel.letters import (
    Block,
    Citation,
    Enclosure,
    Head,
    Items,
    Letter,
    Paragraph,
    Role,
    SignatureState,
    Text,
)
from backchannel.letters import letter as limits
from tests.letters.strategies import letters

ID = LetterId(b"i" * 32)
LETTER = Letter(ID, ReleaseSeed(b"s" * 32), Head("A", "B"), (Text(),))
HEAD: Value = ("A", "B", "", "", "", "unsigned", "")
TEXT: Value = ("original", "en", "", (), "")


def encoded(
    *,
    id: Value = ID,  # noqa: A002
    seed: Value = b"s" * 32,
    head: Value = HEAD,
    texts: Value = (TEXT,),
    answers: Value = (),
    citations: Value = (),
    enclosures: Value = (),
) -> bytes:
    return encoding.encode((id, seed, head, texts, answers, citations, enclosures))


@given(letters)
def test_what_is_encoded_is_decoded(letter: Letter) -> None:
    assert Letter.decode(letter.encode()) == letter


@given(st.one_of(st.binary(max_size=64), letters.map(Letter.encode)), st.integers(0, 400), st.integers(0, 255))
@example(encoded(), 0, 0x87)
def test_any_bytes_are_a_letter_that_encodes_to_them_or_malformed(data: bytes, at: int, change: int) -> None:
    at %= max(len(data), 1)
    data = data[:at] + bytes([change]) + data[at + 1 :]
    try:
        letter = Letter.decode(data)
    except MalformedError:
        return
    assert letter.encode() == data


simple = st.recursive(
    st.one_of(
        st.integers(0, 9), st.sampled_from([b"", ID]), st.sampled_from(["", "en", "original", "unsigned", "text/plain"])
    ),
    lambda inner: st.lists(inner, max_size=8).map(tuple),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("id", "seed", "head", "texts", "answers", "citations", "enclosures"), simple)
    )
)
def test_any_value_in_place_of_a_part_is_a_letter_or_malformed(parts: dict[str, Value]) -> None:
    data = encoded(**parts)
    try:
        letter = Letter.decode(data)
    except MalformedError:
        return
    assert letter.encode() == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "encoding is shorter than it says"),
        (encoded() + b"\0", "encoding has bytes after its end"),
        (encoding.encode(0), "not its seven parts"),
        (encoding.encode((ID, ID)), "not its seven parts"),
        (encoded(id="i"), "not its seven parts"),
        (encoded(id=b"i" * 31), "id is not 32 bytes"),
        (encoded(id=b"i" * 33), "id is not 32 bytes"),
        (encoded(seed=b"s" * 31), "seed is not 32 bytes"),
        (encoded(seed=b"s" * 33), "seed is not 32 bytes"),
        (encoded(head=()), "head is not seven texts"),
        (encoded(head=(*("",) * 5, "Signed", "")), "signature state is not one of the four"),
        (encoded(texts=(0,)), "a text is not role, language, salutation, blocks and close"),
        (encoded(texts=(("letter", "en", "", (), ""),)), "role is not one of the four"),
        (encoded(texts=(("original", "en", "", (0,), ""),)), "neither a paragraph nor a list"),
        (encoded(texts=(("original", "en", "", (("a", 0),), ""),)), "neither a paragraph nor a list"),
        (encoded(texts=(("original", "en", "", (((),),), ""),)), "neither a paragraph nor a list"),
        (encoded(answers=(0,)), "id is not 32 bytes"),
        (encoded(answers=(b"",)), "id is not 32 bytes"),
        (encoded(citations=((ID, 0, 0),)), "a citation is not id"),
        (encoded(citations=((b"", 0, 0, 0),)), "id is not 32 bytes"),
        (encoded(enclosures=(("a", "b/c", "d"),)), "an enclosure is not name"),
        (encoding.encode((0,) * limits.MAX_VALUES + (0,)), "more values than its format"),
        (bytes(limits.MAX_LETTER + 1), "a letter is larger than 40 MiB"),
    ],
)
def test_each_way_bytes_are_no_letter_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        Letter.decode(data)


def with_text(text: tuple[Value, ...]) -> bytes:
    return encoded(texts=(text,))


def of(count: int) -> list[Enclosure]:
    return [Enclosure(str(n), "a/b", b"") for n in range(count)]


FAULTS: list[tuple[str, Callable[[], object], bytes]] = [
    ("a paragraph holds the control character U[+]001B", lambda: Paragraph("\x1b[2J"), with_text(("original", "en", "", ("\x1b[2J",), ""))),
    ("a paragraph holds the control character U[+]000D", lambda: Paragraph("\r"), with_text(("original", "en", "", ("\r",), ""))),
    ("a paragraph holds the control character U[+]009B", lambda: Paragraph("\x9b"), with_text(("original", "en", "", ("\x9b",), ""))),
    ("a list item holds the control character U[+]0000", lambda: Items(("\0",)), with_text(("original", "en", "", (("\0",),), ""))),
    ("the salutation holds the control", lambda: Text(salutation="\x07"), with_text(("original", "en", "\x07", (), ""))),
    ("the close holds the control", lambda: Text(close="\x7f"), with_text(("original", "en", "", (), "\x7f"))),
    ("a list has no items", lambda: Items(()), with_text(("original", "en", "", ((),), ""))),
    ("the language is not a tag", lambda: Text(language=""), with_text(("original", "", "", (), ""))),
    ("the language is not a tag", lambda: Text(language="en\n"), with_text(("original", "en\n", "", (), ""))),
    ("the language is not a tag", lambda: Text(language="a" * 36), with_text(("original", "a" * 36, "", (), ""))),
    ("more than 16,384 paragraphs", lambda: Text(blocks=(Paragraph(""),) * 16_383), with_text(("original", "en", "", ("",) * 16_383, ""))),
    ("a text is larger than 4 MiB", lambda: Text(close="x" * 4 * 2**20), with_text(("original", "en", "", (), "x" * 4 * 2**20))),
    ("the sender is more than one line", lambda: Head("a\nb"), encoded(head=("a\nb", *("",) * 4, "unsigned", ""))),
    ("the date has white space around it", lambda: Head(date="1 "), encoded(head=("", "", "1 ", "", "", "unsigned", ""))),
    ("the caveat holds the control", lambda: Head(caveat="\x1b"), encoded(head=(*("",) * 5, "unsigned", "\x1b"))),
    ("the place is longer than 1,024 bytes", lambda: Head(place="\u00e9" * 513), encoded(head=("", "", "", "\u00e9" * 513, "", "unsigned", ""))),
    ("a letter has 0 texts", lambda: dataclasses.replace(LETTER, texts=()), encoded(texts=())),
    ("a letter has 9 texts", lambda: dataclasses.replace(LETTER, texts=(Text(),) * 9), encoded(texts=(TEXT,) * 9)),
    ("answers more than 64", lambda: dataclasses.replace(LETTER, answers=(ID,) * 65), encoded(answers=(ID,) * 65)),
    ("more than 1,024 citations", lambda: dataclasses.replace(LETTER, citations=(Citation(ID, 0, 0, 0),) * 1025), encoded(citations=((ID, 0, 0, 0),) * 1025)),
    ("more than 64 enclosures", lambda: dataclasses.replace(LETTER, enclosures=tuple(of(65))), encoded(enclosures=tuple((e.name, "a/b", b"") for e in of(65)))),
    ("the same name", lambda: dataclasses.replace(LETTER, enclosures=(Enclosure("a", "a/b", b""), Enclosure("A", "a/b", b""))), encoded(enclosures=(("a", "a/b", b""), ("A", "a/b", b"")))),
    ("a citation is of text 8", lambda: Citation(ID, 8, 0, 0), encoded(citations=((ID, 8, 0, 0),))),
    ("ends before it begins", lambda: Citation(ID, 0, 2, 1), encoded(citations=((ID, 0, 2, 1),))),
    ("media type", lambda: Enclosure("a", "text", b""), encoded(enclosures=(("a", "text", b""),))),
    ("media type", lambda: Enclosure("a", "text/plain\n", b""), encoded(enclosures=(("a", "text/plain\n", b""),))),
    ("an enclosure is larger than 16 MiB", lambda: Enclosure("a", "a/b", bytes(16 * 2**20 + 1)), encoded(enclosures=(("a", "a/b", bytes(16 * 2**20 + 1)),))),
    ("name is longer than 255 bytes", lambda: Enclosure("a" * 256, "a/b", b""), encoded(enclosures=(("a" * 256, "a/b", b""),))),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "make", "data"), FAULTS)
def test_each_limit_is_the_authors_fault_when_made_and_the_senders_when_decoded(
    reason: str, make: Callable[[], object], data: bytes
) -> None:
    with pytest.raises(UsageError, match=reason):
        make()
    with pytest.raises(MalformedError, match=reason):
        Letter.decode(data)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "..\\a",
        "/etc/passwd",
        "a\0",
        "a\nb",
        "a\tb",
        " a",
        "a ",
        "a\x1b",
        "exe.\u202egnp",
        *(f"a{chr(mark)}b" for mark in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))),
    ],
)
def test_a_name_that_is_not_a_plain_file_name_is_no_enclosures(name: str) -> None:
    with pytest.raises(UsageError):
        Enclosure(name, "a/b", b"")
    with pytest.raises(MalformedError):
        Letter.decode(encoded(enclosures=((name, "a/b", b""),)))


@pytest.mark.parametrize("name", ["a", "...", "map of the coast.png", "\u05de\u05e4\u05d4.pdf", "-rf", "a" * 255])
def test_a_plain_file_name_is(name: str) -> None:
    assert Enclosure(name, "image/png", b"").name == name


@pytest.mark.parametrize("character", ["\n", "\u2028", "\u2029"])
def test_a_field_of_the_head_is_one_line_by_anyones_reckoning(character: str) -> None:
    with pytest.raises(UsageError, match="more than one line"):
        Head(f"Anna{character}To: everybody")


@pytest.mark.parametrize("codepoint", [*range(0xA0), 0xD800, 0xDFFF])
def test_text_holds_no_control_character_but_line_feed_and_tab(codepoint: int) -> None:
    if 0x20 <= codepoint < 0x7F or chr(codepoint) in "\n\t":
        assert Paragraph(chr(codepoint)).text == chr(codepoint)
    else:
        with pytest.raises(UsageError, match=f"U\\+{codepoint:04X}"):
            Paragraph(chr(codepoint))


def test_a_letter_of_enclosures_within_their_limits_may_still_be_too_large() -> None:
    files = tuple(Enclosure(str(n), "a/b", bytes(16 * 2**20)) for n in range(3))
    with pytest.raises(UsageError, match="a letter is larger than 40 MiB"):
        dataclasses.replace(LETTER, enclosures=files)


def test_a_letter_at_every_limit_has_no_more_values_than_its_encoding_may() -> None:
    texts = limits.MAX_TEXTS * (1 + 5 + 2 * (limits.MAX_PARAGRAPHS - 2))  # each paragraph a list of one item
    others = limits.MAX_ANSWERS + 5 * limits.MAX_CITATIONS + 4 * limits.MAX_ENCLOSURES
    assert 7 + 7 + texts + others <= limits.MAX_VALUES


def test_the_largest_of_each_is_accepted() -> None:
    head = Head("a" * 1024)
    text = Text(blocks=(Paragraph(""),) * 16_382)
    letter = Letter(
        id=ID,
        seed=ReleaseSeed(bytes(32)),
        head=head,
        texts=(text,) + (Text(close="x" * (4 * 2**20 - 20)),) + (Text(),) * 6,
        answers=(ID,) * 64,
        citations=(Citation(ID, 7, 0, 2**64 - 1),) * 1024,
        enclosures=(Enclosure("big", "a/b", bytes(16 * 2**20)), *of(63)),
    )
    assert Letter.decode(letter.encode()) == letter


def test_a_body_paragraphs_number_in_the_margin_is_its_index() -> None:
    blocks: tuple[Block, ...] = (Paragraph("one"), Items(("two", "three")), Paragraph(""))
    assert Text(blocks=blocks).paragraphs == ("", "one", "two", "three", "", "")


def test_the_fields_of_the_head_are_in_the_order_of_the_headers_units() -> None:
    head = Head("sender", "recipient", "date", "place", "signature", SignatureState.TYPED, "caveat")
    assert head.fields == ("sender", "recipient", "date", "place", "signature", "typed", "caveat")


def test_refusals_say_nothing_of_what_the_letter_says() -> None:
    for make in (lambda: Paragraph("secret\x1b"), lambda: Head("secret "), lambda: Enclosure("secret/", "a/b", b"")):
        with pytest.raises(BackchannelError) as caught:
            make()
        assert "secret" not in caught.value.message


def test_the_seed_does_not_show_itself() -> None:
    assert "s" * 8 not in repr(LETTER)
    assert Role("working text") is Role.WORKING_TEXT
