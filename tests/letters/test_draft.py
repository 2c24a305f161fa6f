import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import MalformedError, UsageError
from backchannel.letters import (
    Block,
    Draft,
    Head,
    Items,
    Paragraph,
    Parsed,
    Passage,
    Role,
    SignatureState,
    Text,
    format_draft,
    format_passage,
    has_header,
    parse,
    parse_passage,
)
from tests.letters.strategies import NASTY, drafts, passages

TOP = "Signature: unsigned\nLanguage: en\nRole: original\n"


def blocks_of(body: str) -> tuple[Block, ...]:
    return parse(f"{TOP}\n{body}").draft.texts[0].blocks


def only(text: str) -> Draft:
    return Draft(Head(), (Text(blocks=(Paragraph(text),)),))


@given(drafts)
def test_what_is_written_is_read_back_without_a_change(draft: Draft) -> None:
    assert parse(format_draft(draft)) == Parsed(draft, ())


pieces = st.sampled_from(
    ["From", "To:", "Role: ", "Language: ru", "Close:", "Cites: 1:2", "Answers: 1", "===", "\n", "\n\n", "- ", "| ", "\\", "  ", "\t", "a", "\r\n", "\ufeff"]
)  # fmt: skip
anything = st.one_of(
    st.text(max_size=60), st.text(NASTY + "\n\r", max_size=60), st.lists(pieces, max_size=14).map("".join)
)


@given(anything)
def test_anything_is_a_draft_or_malformed_with_its_line(text: str) -> None:
    for attempt in (text, f"{TOP}\n{text}", f"{TOP}{text}", f"{TOP}\nbody\n===\n{text}"):
        try:
            parsed = parse(attempt)
        except MalformedError as error:
            assert error.message.startswith("line ")  # noqa: PT017 - one of two outcomes
            continue
        written = format_draft(parsed.draft)
        assert (written == attempt) == (parsed.changes == ())
        assert parse(written) == Parsed(parsed.draft, ())


@given(st.text(st.one_of(st.sampled_from(NASTY), st.characters(exclude_categories=("Cc", "Cs"))), max_size=80))
def test_text_is_normalised_once_and_never_again(text: str) -> None:
    composed = parse(f"{TOP}\n\\{text}\n").draft.texts[0].blocks[0]
    assert composed == Paragraph(unicodedata.normalize("NFC", text))
    # A draft that came to be otherwise is written as it is, and what reads it says so.
    if unicodedata.normalize("NFC", text) != text:
        assert parse(format_draft(only(text))).changes == ("letters composed (NFC)",)


def test_a_separator_may_have_blanks_behind_it_and_none_before() -> None:
    two = parse(f"{TOP}\nx\n\n=== \t\nLanguage: de\n")
    assert [text.language for text in two.draft.texts] == ["en", "de"]
    assert two.changes == ("layout",)
    assert blocks_of("x\n\n ===\n") == (Paragraph("x"), Paragraph("==="))


def test_a_character_that_is_another_in_compatibility_stays_what_it_is() -> None:
    assert blocks_of("\ufb01e\u0301\u00b2\n") == (Paragraph("\ufb01\u00e9\u00b2"),)


FULL = """\
From: Anna Reuter
To: Mikhail Orlov
Date: 16 October 2031
Place: Hyannis Port
Signed: Anna Reuter
Signature: typed
Caveat: preliminary
Answers: 3
Answers: 1
Cites: 3:12-14
Cites: 3.2:12
Encloses: map.png
Language: en
Role: original
Salutation: Dear Mr. Chairman,
Salutation:
Salutation: (in haste)
Close: Sincerely,

A paragraph.
| A second line.

- one
- two
  | broken

===
Language: ru
Role: courtesy translation

Абзац.

===
Language: de
Role: working text
"""


def test_every_field_and_block_has_its_place() -> None:
    draft = Draft(
        Head(
            "Anna Reuter",
            "Mikhail Orlov",
            "16 October 2031",
            "Hyannis Port",
            "Anna Reuter",
            SignatureState.TYPED,
            "preliminary",
        ),
        (
            Text(
                salutation="Dear Mr. Chairman,\n\n(in haste)",
                blocks=(Paragraph("A paragraph.\nA second line."), Items(("one", "two\nbroken"))),
                close="Sincerely,",
            ),
            Text(Role.COURTESY_TRANSLATION, "ru", blocks=(Paragraph("Абзац."),)),
            Text(Role.WORKING_TEXT, "de"),
        ),
        (3, 1),
        (Passage(3, 1, 12, 14), Passage(3, 2, 12, 12)),
        ("map.png",),
    )
    assert parse(FULL) == Parsed(draft, ())
    assert format_draft(draft) == FULL


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("plain", "plain"),
        ("", "\\"),
        (" a", "\\ a"),
        ("\ta", "\\\ta"),
        ("\\a", "\\\\a"),
        ("|a", "\\|a"),
        ("| a", "\\| a"),
        ("- a", "\\- a"),
        ("-\ta", "\\-\ta"),
        ("-", "\\-"),
        ("--", "--"),
        ("-a", "-a"),
        ("===", "\\==="),
        ("====", "\\===="),
        ("==", "=="),
        ("From: a", "From: a"),
        ("a \n b", "a \n|  b"),
        ("\n", "\\\n|"),
        ("a\n- b", "a\n| - b"),
    ],
)
def test_a_line_has_a_backslash_exactly_when_it_would_be_misread(content: str, line: str) -> None:
    assert format_draft(only(content)) == f"{TOP}\n{line}\n"
    assert parse(f"{TOP}\n{line}\n") == Parsed(only(content), ())


@pytest.mark.parametrize(
    ("body", "blocks"),
    [
        ("a\nb\nc\n", (Paragraph("a b c"),)),
        ("a  \n  b\n", (Paragraph("a b"),)),
        ("a\n\\ b\n", (Paragraph("a  b"),)),
        ("  a\n", (Paragraph("a"),)),
        ("a\n \t\nb\n", (Paragraph("a"), Paragraph("b"))),
        ("a", (Paragraph("a"),)),
        ("\n\n\na\n\n\n", (Paragraph("a"),)),
        ("a\n- b\n", (Paragraph("a"), Items(("b",)))),
        ("- a\nb\n", (Items(("a b",)),)),
        ("- a\n\n\n- b\n", (Items(("a",)), Items(("b",)))),
        ("-\n-   a\n", (Items(("", "a")),)),
        ("-\ta\n-\t\n", (Items(("a", "")),)),
        ("  - a\n    - b\n", (Items(("a", "b")),)),
        ("| a\n| b\n", (Paragraph("a\nb"),)),
        ("- a\n| b\n", (Items(("a\nb",)),)),
        ("|a\n", (Paragraph("|a"),)),
        ("====\n", (Paragraph("===="),)),
        ("中文\n中文\n", (Paragraph("中文中文"),)),
        ("中文。\n「中文\n", (Paragraph("中文。「中文"),)),
        ("中文\nword\n中文\n", (Paragraph("中文 word 中文"),)),
        ("한국어\n한국어\n", (Paragraph("한국어 한국어"),)),
        ("😀\n😀\n", (Paragraph("😀 😀"),)),
        ("か\n\u3099\n", (Paragraph("が"),)),
        ("ﾊﾝ\nｶｸ\n\uff11\uff12\n\uff13\n", (Paragraph("ﾊﾝｶｸ\uff11\uff12\uff13"),)),
        ("a\n\\\nb\n", (Paragraph("a b"),)),
        ("\\\nb\n", (Paragraph("b"),)),
    ],
)
def test_what_an_editor_made_of_it_is_read_and_said(body: str, blocks: tuple[Block, ...]) -> None:
    assert blocks_of(body) == blocks
    assert parse(f"{TOP}\n{body}").changes


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        (f"{TOP}\na\nb\nc\n", ("2 wrapped lines joined",)),
        (f"{TOP}\n- a\n  b\n", ("1 wrapped line joined",)),
        (f"{TOP}\n中\n文\n", ("1 wrapped line joined",)),
        (f"{TOP}\nか\n\u3099\n", ("1 wrapped line joined",)),
        (f"\ufeff{TOP}", ("byte order mark dropped",)),
        (TOP.replace("\n", "\r\n"), ("line ends",)),
        (TOP.replace("\n", "\r"), ("line ends",)),
        (f"{TOP}\ne\u0301\n", ("letters composed (NFC)",)),
        (f"{TOP}\na", ("layout",)),
        (f"\n\n{TOP}", ("layout",)),
        ("", ("layout",)),
        ("\n\n", ("layout",)),
        ("Language: en\n", ("layout",)),
        ("From:\nTo: \nCites:\nAnswers: ,\nEncloses:\nRole:\nSalutation:\n", ("layout",)),
        (f"\ufeff\r\n{TOP}\r\ne\u0301\r\nb\r\n", ("byte order mark dropped", "line ends", "letters composed (NFC)", "1 wrapped line joined", "layout")),
    ],
)  # fmt: skip
def test_each_change_is_named(text: str, changes: tuple[str, ...]) -> None:
    assert parse(text).changes == changes


@pytest.mark.parametrize("field", ["From", "To", "Date", "Place", "Signed", "Signature", "Caveat", "Language", "Role"])
def test_a_field_that_has_one_value_stands_once(field: str) -> None:
    with pytest.raises(MalformedError, match=f"line 2: {field} stands here a second time"):
        parse(f"{field}:\n{field}:\n")


@pytest.mark.parametrize("field", ["Answers: 1", "Cites: 1:1", "Encloses: a", "Salutation: a", "Close: a"])
def test_a_field_that_has_several_may_stand_again(field: str) -> None:
    parse(f"{field}\n{field}\n")


def test_fields_are_read_however_they_are_set() -> None:
    draft = parse("signature : TYPED\n\tROLE:\tWorking  Text\nTo:Anna \nCites: 1:2 \u2013 3, 2:4\nAnswers: 4,5\n").draft
    assert draft.head == Head(recipient="Anna", state=SignatureState.TYPED)
    assert draft.texts == (Text(Role.WORKING_TEXT),)
    assert draft.citations == (Passage(1, 1, 2, 3), Passage(2, 1, 4, 4))
    assert draft.answers == (4, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("From: a\nTo: b\n\nx\n===\nForm: x\n", 'line 6: unknown field "Form"'),
        ("Form: x\n", 'line 1: unknown field "Form"; did you mean "From"?'),
        ("subject: x\n", 'line 1: unknown field "subject"'),
        ("Dear Sir,\n", "line 1: neither a field nor the blank line that ends them"),
        ("From: a\nDear Mr. Orlov: you\n", "line 2: neither a field nor the blank line that ends them"),
        ("\n\nFrom: a\nFrom: b\n", "line 4: From stands here a second time"),
        ("Signature: yes\n", "line 1: a signature is signed, initialled, typed or unsigned"),
        ("\nRole: copy\n", "line 2: a role is original, translation, courtesy translation or working text"),
        ("From: a\nLanguage: en_GB\n", "line 2: the language is not a tag of 1 to 35 letters, digits and hyphens"),
        ("\n===\nFrom: a\n", "line 3: From belongs to the whole letter, at its top"),
        ("===\n\nDear Sir\n", "line 3: neither a field nor the blank line that ends them"),
        ("Cites: 3\n", "line 1: a passage is a letter and its paragraphs"),
        ("Cites: 3:4-2\n", "line 1: a passage ends before it begins"),
        ("Cites: 0:1\n", "line 1: letters are numbered from 1 to 999,999,999"),
        ("Cites: 1:0\n", "line 1: paragraphs are numbered from 1 to 999,999,999"),
        ("Cites: 1.9:1\n", "line 1: a letter's texts are numbered from 1 to 8"),
        ("Cites: 1:1\nCites: \u0661:1\n", "line 2: a passage is"),
        ("Answers: the last\n", "line 1: a letter is answered by its number, as the desk lists it"),
        ("Answers: 0\n", "line 1: letters are numbered from 1"),
        ("Answers: 1234567890\n", "line 1: a letter is answered by its number"),
        ("From: a\n\nx\x1b[2J\n", "line 3: the line holds the control character U+001B"),
        ("From: a\n\n\x0c\n", "line 3: the line holds the control character U+000C"),
        ("From: \ud800\n", "line 1: the line holds the control character U+D800"),
        (f"To: b\nFrom: {'a' * 1025}\n", "line 2: From is longer than 1,024 bytes"),
        (f"To: b\nEncloses: {'a' * 1025}\n", "line 2: Encloses is longer than 1,024 bytes"),
        ("===\n" * 8, "line 8: a letter has at most 8 texts"),
        ("From: a\n" + "Answers: 1\n" * 65, "line 66: a letter has at most 64 answers, not 65"),
        ("Cites: 1:1\n" * 1025, "line 1025: a letter has at most 1,024 citations, not 1,025"),
        ("Encloses: a\n" * 65, "line 65: a letter has at most 64 enclosures, not 65"),
        (f"To: b\n===\nLanguage: en\n\n{'x' * 4 * 2**20}\n", "line 2: a text is larger than 4 MiB"),
        ("Language: en\n" + "\nx\n" * 16_383, "line 1: a text has more than 16,384 paragraphs"),
        ("x" * (40 * 2**20 + 1), "line 1: this file is larger than any letter"),
    ],
)  # fmt: skip
def test_each_fault_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse(text)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Draft(Head(), ()),
        lambda: Draft(Head(), (Text(),) * 9),
        lambda: Draft(Head(), (Text(),), answers=(0,)),
        lambda: Draft(Head(), (Text(),), enclosures=("",)),
        lambda: Draft(Head(), (Text(),), enclosures=("a\nb",)),
        lambda: Passage(0, 1, 1, 1),
        lambda: Passage(1, 0, 1, 1),
        lambda: Passage(1, 1, 0, 1),
        lambda: Passage(1, 1, 2, 1),
        lambda: Passage(1, 1, 1, 10**9),
    ],
)
def test_a_draft_that_has_no_text_form_is_not_made(make: object) -> None:
    assert callable(make)
    with pytest.raises(UsageError):
        make()


def test_a_draft_has_as_many_of_each_as_a_letter() -> None:
    draft = Draft(Head(), (Text(),) * 8, (1,) * 64, (Passage(1, 1, 1, 1),) * 1024, ("a",) * 64)
    assert parse(format_draft(draft)) == Parsed(draft, ())


@given(passages)
def test_a_passage_is_written_as_it_is_read(passage: Passage) -> None:
    assert parse_passage(format_passage(passage)) == passage


@pytest.mark.parametrize(
    "text", ["", "3", "3:", ":3", "3:1x", "x3:1", "3:1-", "3:1-2-3", "-3:1", "3.:1", "3.1.1:1", "3:1;2"]
)
def test_what_only_begins_as_a_passage_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="a passage is a letter and its paragraphs"):
        parse_passage(text)


@pytest.mark.parametrize("text", ["From: a\n\nb", "\ufeff\r\n  signature : x", "Role:"])
def test_a_draft_with_a_field_on_top_has_a_header(text: str) -> None:
    assert has_header(text)


@pytest.mark.parametrize("text", ["", "Dear Sir,", "Dear Sir: you", "Subject: x", "From\n: a", "\n\n"])
def test_prose_alone_has_none(text: str) -> None:
    assert not has_header(text)


def test_a_paragraph_of_very_many_wrapped_lines_is_joined_at_once() -> None:
    # Each joined to a copy of all before it, a million lines took minutes.
    assert parse(f"{TOP}\n" + "x\n" * 100_000).changes == ("99,999 wrapped lines joined",)
