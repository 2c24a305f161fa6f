"""Lines of text, measured as a terminal shows them.

A terminal shows a character in no, one or two columns, and several characters as
one; lines are broken between what it shows as one. Where the text has no spaces
it is broken at any such place.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from wcwidth import iter_graphemes, wcswidth

ELLIPSIS: Final = "…"
ZERO_WIDTH_SPACE: Final = "\u200b"


def columns(text: str) -> int:
    """How many columns *text*, which holds no control characters, takes."""
    return len(text) if text.isascii() else max(0, wcswidth(text))


def fill(text: str, width: int) -> list[str]:
    """Break *text* into lines of at most *width* columns; its own line breaks stay.

    A line is wider only where one character is.
    """
    return [line for hard in text.split("\n") for line in _fill(hard, width)]


def cut(text: str, width: int) -> str:
    """*text*, or as much of it as leaves room for an ellipsis within *width* columns."""
    if columns(text) <= width:
        return text
    most = next(_chop(text, width - 1))
    return most + ELLIPSIS if columns(most) < width else ELLIPSIS


def left(text: str, width: int) -> str:
    """*text* and as many spaces as make it *width* columns."""
    return text + " " * (width - columns(text))


def right(text: str, width: int) -> str:
    """As many spaces as make it *width* columns, and *text*."""
    return " " * (width - columns(text)) + text


def _fill(text: str, width: int) -> Iterator[str]:
    line, used = "", 0
    for piece, gap in _pieces(text):
        wide = columns(piece)
        if used + wide <= width:
            line, used = line + piece + gap, used + wide + columns(gap)
            continue
        if line.strip():
            yield line.rstrip()
        *full, rest = _chop(piece, width) if wide > width else [piece]
        yield from full
        line, used = rest + gap, columns(rest) + columns(gap)
    yield line.rstrip()


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """The parts of *text* that are not broken if there is room, each with the space that follows it."""
    for found in _WORD.finditer(text):
        word, gap = found[1], found[2].replace(ZERO_WIDTH_SPACE, "")
        *parts, last = [part for dashed in _DASH.split(word) for part in _between_ideographs(dashed)]
        yield from ((part, "") for part in parts)
        yield last, gap


def _between_ideographs(word: str) -> list[str]:
    if word.isascii():
        return [word]
    # Lists, since a text that grows by a grapheme at a time is copied each time.
    parts: list[list[str]] = [[]]
    before = ""
    for grapheme in iter_graphemes(word):
        wide = columns(grapheme) > 1 or columns(before) > 1
        if before and wide and not _stays(before, grapheme):
            parts.append([])
        parts[-1].append(grapheme)
        before = grapheme
    return ["".join(part) for part in parts]


def _stays(before: str, after: str) -> bool:
    # No line starts with a closing bracket, a stop or a lengthening mark, or ends
    # with an opening bracket: the part of JIS X 4051 that a reader notices.
    return unicodedata.category(before[0]) in ("Ps", "Pi") or unicodedata.category(after[0]) in ("Pe", "Pf", "Po", "Lm")


def _chop(text: str, width: int) -> Iterator[str]:
    line, used = "", 0
    for grapheme in iter_graphemes(text):
        wide = columns(grapheme)
        if line and used + wide > width:
            yield line
            line, used = "", 0
        line, used = line + grapheme, used + wide
    yield line


# The spaces that may end a line; a no-break space (U+00A0, U+202F) is part of a word.
_SPACES: Final = " \u1680\u2000-\u2006\u2008-\u200b\u205f\u3000"
_WORD: Final = re.compile(f"([^{_SPACES}]*)([{_SPACES}]*)")
_DASH: Final = re.compile(r"(?<=[^\W\d_][-\u2013\u2014])(?=[^\W\d_])")  # between letters: after it
