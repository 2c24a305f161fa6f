from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backchannel.cli.wrap import columns, cut, fill, left, right

# Letters of no width, one and two columns, spaces, line breaks.
TEXTS = st.text(st.sampled_from("ab-—. \n\u200bé\u0301字。「」עЖ👩\u200d👧"), max_size=80)


def test_prose_is_broken_at_spaces() -> None:
    assert fill("the boats go out at five", 10) == ["the boats", "go out at", "five"]


def test_hard_breaks_are_kept_and_so_are_spaces_within_a_line() -> None:
    assert fill("one  two\n\n  three", 20) == ["one  two", "", "  three"]


def test_a_word_longer_than_the_line_is_broken() -> None:
    assert fill("a abcdefgh", 3) == ["a", "abc", "def", "gh"]


def test_a_line_may_end_after_a_dash_between_letters() -> None:
    assert fill("word—word well-known", 6) == ["word—", "word", "well-", "known"]
    assert fill("-5 1961-63", 5) == ["-5", "1961-", "63"]  # broken because it must be


def test_text_without_spaces_is_broken_at_any_character() -> None:
    assert fill("船は五時に出る", 6) == ["船は五", "時に出", "る"]


def test_a_line_of_such_text_does_not_start_with_a_stop() -> None:
    assert fill("船は五。時に「出", 6) == ["船は", "五。時", "に「出"]


def test_a_zero_width_space_is_where_a_line_may_end_and_is_not_shown() -> None:
    assert fill("ab\u200bcd\u200bef", 4) == ["abcd", "ef"]


def test_a_no_break_space_is_part_of_the_word() -> None:
    assert fill("on 5\u00a0May", 6) == ["on", "5\u00a0May"]


def test_a_letter_is_not_parted_from_its_accent() -> None:
    assert fill("e\u0301e\u0301e\u0301", 2) == ["e\u0301e\u0301", "e\u0301"]


@given(TEXTS, st.integers(2, 20))
def test_no_line_is_too_wide_and_no_letter_is_lost(text: str, width: int) -> None:
    lines = fill(text, width)
    assert all(columns(line) <= width for line in lines)
    assert [c for c in "".join(lines) if c != " "] == [c for c in text if c not in " \n\u200b"]


@given(TEXTS.filter(lambda text: "\n" not in text), st.integers(1, 20))
def test_what_is_cut_fits_and_says_that_it_is_cut(text: str, width: int) -> None:
    shown = cut(text, width)
    assert columns(shown) <= width
    assert shown == text or shown.endswith("…")


def test_cells_are_padded_by_what_they_take_on_the_screen() -> None:
    assert left("字", 4) == "字  "
    assert right("e\u0301", 3) == "  e\u0301"
