"""Strangers' text, made safe to show.

A name or a place comes from whoever wrote the card, and a file name from
whoever handed over the stick. None of them may move the cursor, recolour or
clear the terminal, or reorder what stands beside it, so whatever could is shown
as U+FFFD: visibly, since a name that hides something should look like one.
"""

from __future__ import annotations

import unicodedata
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
MAX_MARKS: Final = 4  # combining marks on one letter; more of them climb into the lines above
ISOLATE: Final = "\N{FIRST STRONG ISOLATE}"
POP_ISOLATE: Final = "\N{POP DIRECTIONAL ISOLATE}"

# Cc controls, Cf invisible formatting (overrides and isolates among it), Cs lone
# surrogates of undecodable file names, Zl and Zp line ends by another name.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Joiners spell Persian and emoji; the marks only lean what is within an isolate.
_HARMLESS: Final = frozenset("\u200c\u200d\u200e\u200f\u061c")
# Legitimate in prose and left out of its lines: embeddings, pops and isolates, which
# the lines would cut, soft hyphens, word joiners and byte order marks.
_UNSEEN: Final = frozenset("\u202a\u202b\u202c\u2066\u2067\u2068\u2069\u00ad\u2060\ufeff")
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})


def one_line(text: str) -> str:
    """*text* as it may stand within a line of ours: a name, a place, a file name."""
    return isolated(harmless(text))


def harmless(text: str) -> str:
    """*text* on one line, with whatever would act on the terminal replaced."""
    return _limit_marks("".join(map(_safe, text)))


def isolated(text: str) -> str:
    """*text* kept from reordering what stands beside it."""
    # Only where it matters, so that what is copied from the terminal is usually the text.
    return f"{ISOLATE}{text}{POP_ISOLATE}" if has_right_to_left(text) else text


def message_line(text: str) -> str:
    """*text* of our own, which may already hold isolates, on one line."""
    return "".join(c if c in (ISOLATE, POP_ISOLATE) else _safe(c) for c in text.replace("\n", " "))


def prose(text: str) -> str:
    """*text* of a letter: line breaks stay, and zero-width spaces, where it may be broken."""
    kept = (c if c in "\n\u200b" else " " if c == "\t" else _safe(c) for c in text if c not in _UNSEEN)
    return _limit_marks("".join(kept))


def has_right_to_left(text: str) -> bool:
    """Whether any character of *text* is written from right to left."""
    return not text.isascii() and any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for c in text)


def runs_right_to_left(text: str) -> bool:
    """Whether *text* starts from the right: its first strong character says so (UAX #9, P2)."""
    for character in text:
        direction = unicodedata.bidirectional(character)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False


def _safe(character: str) -> str:
    if character in _HARMLESS or unicodedata.category(character) not in _UNSAFE:
        return character
    return REPLACEMENT


def _limit_marks(text: str) -> str:
    if text.isascii():
        return text
    out, marks = [], MAX_MARKS
    for character in text:
        # A mark at the start would sit on the character before the text.
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MAX_MARKS:
            out.append(character)
        elif marks == MAX_MARKS + 1:
            out.append(REPLACEMENT)
    return "".join(out)
