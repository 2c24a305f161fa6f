# ruff: noqa: RUF001 - letters in their own scripts
from __future__ import annotations

import dataclasses

import pytest

from backchannel.cli.typeset import beside, in_bytes, page, table
from backchannel.cli.wrap import columns
from backchannel.keys import LetterId, ReleaseSeed
from backchannel.letters import Enclosure, Head, Items, Letter, Paragraph, Role, SignatureState, Text

RUSSIAN = Text(
    Role.ORIGINAL,
    "ru",
    "Дорогая госпожа Рейтер!",
    (Paragraph("Ваше письмо со мной здесь, у воды."), Items(("портовые сборы;", "маяк."))),
    "С уважением",
)
ENGLISH = Text(
    Role.COURTESY_TRANSLATION,
    "en",
    "Dear Miss Reuter,",
    (Paragraph("I have your letter with me here, by the water."), Items(("the harbour dues;", "the lighthouse."))),
    "With respect,",
)
HEAD = Head("Pavel Ostrov", "Anna Reuter", "14 September", "Gagra", "P. Ostrov", SignatureState.SIGNED, "Preliminary.")
LETTER = Letter(LetterId(bytes(32)), ReleaseSeed(bytes(32)), HEAD, (dataclasses.replace(ENGLISH, role=Role.ORIGINAL),))


def with_head(**fields: object) -> Letter:
    return dataclasses.replace(LETTER, head=dataclasses.replace(HEAD, **fields))  # type: ignore[arg-type]


def of(*blocks: Paragraph | Items) -> Letter:
    return dataclasses.replace(LETTER, head=Head(), texts=(Text(blocks=blocks),))


def test_a_letter_is_set_as_a_letter() -> None:
    assert page(LETTER, 50, answers=[3], cites=["3:1-2"]) == (
        "      Preliminary.\n"
        "      ────────────────────────────────────────────\n"
        "\n"
        "      Pavel Ostrov to Anna Reuter\n"
        "\n"
        "                               Gagra, 14 September\n"
        "\n"
        "      Dear Miss Reuter,\n"
        "\n"
        "   1  I have your letter with me here, by the\n"
        "      water.\n"
        "\n"
        "   2  – the harbour dues;\n"
        "\n"
        "   3  – the lighthouse.\n"
        "\n"
        "                            With respect,\n"
        "\n"
        "                            P. Ostrov\n"
        "\n"
        "      Answers letter 3.\n"
        "      Cites 3:1-2."
    )


def test_two_texts_stand_side_by_side_paragraph_by_paragraph() -> None:
    letter = dataclasses.replace(LETTER, head=Head(signature="P. Ostrov"), texts=(RUSSIAN, ENGLISH))
    assert beside(letter, 62) == (
        "      [original, ru]               [courtesy translation, en]\n"
        "\n"
        "      Дорогая госпожа Рейтер!      Dear Miss Reuter,\n"
        "\n"
        "   1  Ваше письмо со мной здесь,   I have your letter with me\n"
        "      у воды.                      here, by the water.\n"
        "\n"
        "   2  – портовые сборы;            – the harbour dues;\n"
        "\n"
        "   3  – маяк.                      – the lighthouse.\n"
        "\n"
        "      С уважением                  With respect,\n"
        "\n"
        "      P. Ostrov\n"
        "      [unsigned copy]"
    )


def test_a_text_with_fewer_paragraphs_leaves_its_column_empty() -> None:
    longer = dataclasses.replace(ENGLISH, blocks=(*ENGLISH.blocks, Paragraph("More.")))
    lines = beside(dataclasses.replace(LETTER, texts=(RUSSIAN, longer)), 60).splitlines()
    assert "   4                              More." in lines
    assert any("С уважением" in line and "With respect," in line for line in lines)


def test_what_does_not_fit_side_by_side_is_set_one_after_the_other() -> None:
    letter = dataclasses.replace(LETTER, texts=(RUSSIAN, ENGLISH))
    assert beside(letter, 50) == page(letter, 50)
    assert beside(LETTER, 100) == page(LETTER, 100)


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (SignatureState.INITIALLED, "[initialled]"),
        (SignatureState.TYPED, "[typed]"),
        (SignatureState.UNSIGNED, "[unsigned copy]"),
    ],
)
def test_a_signature_that_is_none_says_so(state: SignatureState, shown: str) -> None:
    lines = page(with_head(state=state), 80).splitlines()
    assert lines[-1].strip() == shown
    assert lines[-2].strip() == "P. Ostrov"


def test_an_empty_head_leaves_no_lines() -> None:
    assert page(of(Paragraph("Yes.")), 80) == "   1  Yes.\n\n" + " " * 39 + "[unsigned copy]"


def test_enclosures_are_listed_with_their_sizes() -> None:
    letter = dataclasses.replace(LETTER, enclosures=(Enclosure("chart.png", "image/png", bytes(2048)),))
    assert page(letter, 80).splitlines()[-1].strip() == "Encloses chart.png (image/png, 2.0 KiB)."


def test_a_right_to_left_paragraph_stands_at_the_right_margin() -> None:
    assert page(of(Paragraph("שלום")), 50).splitlines()[0] == "   1  " + " " * 40 + "שלום"
    assert page(of(Items(("שלום",))), 50).splitlines()[0] == "   1  " + " " * 38 + "שלום –"


def test_a_place_too_long_for_the_date_beside_it_has_a_line_of_its_own() -> None:
    lines = [line.strip() for line in page(with_head(place="P" * 40), 50).splitlines()]
    assert lines[lines.index("P" * 40) + 1] == "14 September"


def test_the_margin_is_as_wide_as_the_largest_number() -> None:
    lines = page(of(*[Paragraph("x")] * 1000), 60).splitlines()
    assert lines[0] == "     1  x"
    assert "  1000  x" in lines


def test_an_escape_sequence_in_a_letter_is_shown_and_not_obeyed() -> None:
    head = Head(sender="Eve\u202e", caveat="read\u202ethis")
    shown = page(dataclasses.replace(LETTER, head=head), 80)
    assert "\u202e" not in shown
    assert shown.count("\ufffd") == 2


@pytest.mark.parametrize("width", [1, 20, 60, 80, 100, 300])
@pytest.mark.parametrize("setting", [page, beside])
def test_no_line_is_wider_than_the_terminal(setting: type, width: int) -> None:
    words = "Antidisestablishmentarianism " * 9 + "お手紙は、電話の届かないこの水辺に" * 9
    texts = (Text(blocks=(Paragraph(words), Items((words, words)))), RUSSIAN)
    letter = dataclasses.replace(LETTER, head=dataclasses.replace(HEAD, caveat=words[:200]), texts=texts)
    assert max(map(columns, setting(letter, width).splitlines())) <= max(width, 16)


def test_a_table_is_aligned_by_what_is_seen() -> None:
    rows = [["1", "李", "sent"], ["12", "Anna Reuter", "read"]]
    assert table(rows, ["no", "who", ""], 80) == "no  who\n 1  李           sent\n12  Anna Reuter  read"


def test_a_table_is_cut_where_it_is_widest_and_says_so() -> None:
    rows = [["1", "a very long subject indeed", "sent"]]
    assert table(rows, ["", "", ""], 20) == "1  a very lon…  sent"
    assert table(rows, ["", "", ""], None) == "1  a very long subject indeed  sent"


def test_a_name_in_a_table_does_not_reorder_its_row() -> None:
    assert table([["נועה", "2"]], ["who", "letters"], None) == "who   letters\n\u2068נועה\u2069        2"


def test_an_empty_table_has_its_headings_only() -> None:
    assert table([], ["who", "since"], 80) == "who  since"
    assert table([], ["", ""], 80) == ""


def test_sizes_are_said_as_people_say_them() -> None:
    assert [in_bytes(size) for size in (1, 812, 12698, 3 * 2**20)] == ["1 byte", "812 bytes", "12.4 KiB", "3.0 MiB"]
