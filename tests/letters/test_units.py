import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.letters.units import SEPARATORS, segment, split
from tests.letters.strategies import NASTY, contents

texts = st.one_of(contents, st.text(NASTY, max_size=30))


@given(texts)
def test_the_units_of_a_paragraph_put_together_are_the_paragraph(text: str) -> None:
    assert "".join(split(text)) == text


@given(texts)
def test_a_unit_begins_where_a_separator_ends_and_nowhere_else(text: str) -> None:
    begins = [
        at
        for at in range(1, len(text))
        if text[at - 1] in SEPARATORS and text[at] not in SEPARATORS and text[:at].strip(SEPARATORS)
    ]
    lengths = [len(unit) for unit in split(text)]
    assert [sum(lengths[:n]) for n in range(1, len(lengths))] == begins


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("", [""]),
        (" ", [" "]),
        (" \u200b ", [" \u200b "]),
        ("one", ["one"]),
        ("one two", ["one ", "two"]),
        ("  one  two ", ["  one  ", "two "]),
        ("no\u00a0break\tor\nline", ["no\u00a0break\tor\nline"]),
        ("下流の\u200b水位", ["下流の\u200b", "水位"]),
        ("\u200b下流", ["\u200b下流"]),
    ],
)
def test_units_are_as_the_specification_says(text: str, units: list[str]) -> None:
    assert split(text) == units


def test_the_table_numbers_the_first_unit_of_each_paragraph() -> None:
    units, table = segment(["Dear Sir,", "", "one two three", "Yours"])
    assert units == ["Dear ", "Sir,", "", "one ", "two ", "three", "Yours"]
    assert table == (0, 2, 3, 6)


@pytest.mark.parametrize("text", [" " * 2_000_000, "a " * 1_000_000, " " * 1_000_000 + "a", "a" * 2_000_000])
def test_cutting_takes_time_in_proportion_whatever_the_text(text: str) -> None:
    assert sum(map(len, split(text))) == len(text)
