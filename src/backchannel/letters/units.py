"""Units: the smallest part of a letter that an excerpt can show or omit.

A text is cut once, here, and its cuts are fixed at sealing: what a proof later
opens are these units and no others, so nothing may depend on a locale, a
dictionary or a version of Unicode (docs/spec/commitment.md §2). The units of a
paragraph, put together, are the paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# Specification constant (docs/spec/commitment.md §2): the space, and the zero
# width space with which an author marks breaks in text that has no spaces.
SEPARATORS: Final = " \u200b"


def split(text: str) -> list[str]:
    """Cut one paragraph into its units, of which there is at least one.

    A unit is a run of non-separators with the separators that follow; leading
    separators belong to the first.
    """
    # A run of separators alone matches nothing below: it is one unit, as is "".
    return _UNIT.findall(text) or [text]


def segment(paragraphs: Iterable[str]) -> tuple[list[str], tuple[int, ...]]:
    """Cut a text into its units, and number the first unit of each paragraph."""
    units: list[str] = []
    table = []
    for paragraph in paragraphs:
        table.append(len(units))
        units += split(paragraph)
    return units, tuple(table)


# The quantifiers are possessive, so the time is linear in whatever a letter holds.
_UNIT: Final = re.compile(f"(?:\\A[{SEPARATORS}]++)?[^{SEPARATORS}]++[{SEPARATORS}]*+")
