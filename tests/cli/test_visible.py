# ruff: noqa: RUF001 - letters in their own scripts
from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.cli.visible import harmless, message_line, one_line, prose, runs_right_to_left

ESCAPE, BELL, C1, NEL, DEL = "\x1b", "\x07", "\x9b", "\x85", "\x7f"
OVERRIDE, ISOLATE, LINE_END, ZERO_WIDTH = "\u202e", "\u2068", "\u2028", "\u200b"


@pytest.mark.parametrize("name", ["Anna Reuter", "Никита", "李", "Zoë", "Anna-Lena O'Hara", "👩\u200d👧"])
def test_an_ordinary_name_is_shown_as_it_is(name: str) -> None:
    assert one_line(name) == name


@pytest.mark.parametrize("character", [ESCAPE, BELL, C1, NEL, DEL, "\n", "\t", OVERRIDE, ISOLATE, LINE_END, ZERO_WIDTH])
def test_what_could_draw_on_the_terminal_is_replaced_visibly(character: str) -> None:
    assert one_line(f"Anna{character}[2J") == "Anna\ufffd[2J"


def test_a_right_to_left_name_is_isolated_and_another_is_not() -> None:
    assert one_line("נועה") == "\u2068נועה\u2069"
    assert one_line("Noa") == "Noa"


def test_a_file_name_that_is_not_utf_8_is_shown() -> None:
    assert one_line(b"caf\xe9".decode(errors="surrogateescape")) == "caf\ufffd"


def test_marks_do_not_climb_into_the_line_above() -> None:
    assert harmless("a" + "\u0301" * 40) == "a" + "\u0301" * 4 + "\ufffd"
    assert harmless("\u0301a") == "\ufffda"


@given(st.text())
def test_one_line_is_one_line_and_never_acts(text: str) -> None:
    shown = one_line(text)
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert one_line(shown.strip("\u2068\u2069")) == shown


def test_an_error_message_keeps_the_isolates_of_a_name() -> None:
    assert message_line(f"no correspondent {one_line('נועה')}\nhere") == "no correspondent \u2068נועה\u2069 here"


def test_prose_keeps_its_line_breaks_and_loses_what_steers_the_terminal() -> None:
    assert prose("one\ntwo\u200bthree\tfour") == "one\ntwo\u200bthree four"
    assert prose(f"pay{OVERRIDE}001{ESCAPE}[1m") == "pay\ufffd001\ufffd[1m"
    assert prose("soft\u00adhyphen \u2067isolate\u2069") == "softhyphen isolate"


def test_the_first_strong_character_says_where_a_paragraph_starts() -> None:
    assert runs_right_to_left("12 - שלום hello")
    assert not runs_right_to_left("12 - hello שלום")
    assert not runs_right_to_left("12")
