"""Vectors of docs/spec/commitment.md: `python -m tests.vectors.make_commitment` writes them.

There is nothing to refuse: a commitment is computed, never read.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from backchannel.letters import Head, Letter, Paragraph, Text, commit
from backchannel.letters.commitment import text_units
from tests.vectors.collection import Vector, write
from tests.vectors.make_letter import EXAMPLE, SMALLEST


def _body(*paragraphs: str) -> Letter:
    return dataclasses.replace(SMALLEST, texts=(Text(blocks=tuple(map(Paragraph, paragraphs))),))


LETTERS: Final = {
    "smallest": SMALLEST,
    "two-texts-and-a-list": EXAMPLE,
    "three-units": _body("one"),
    "four-units": _body("one two"),
    "five-units": _body("one two three"),
    "nine-units": _body("one two three four five six seven"),
    "empty-paragraph": _body("", ""),
    "separators-lead-and-follow": _body("  one  two  "),
    "separators-alone": _body("  "),
    "marked-breaks": _body("\u4e0b\u6d41\u306e\u200b\u6c34\u4f4d"),
    "no-other-space-separates": _body("one\u00a0two\tthree\nfour\u3000five"),
    "head": dataclasses.replace(SMALLEST, head=Head("Anna Reuter", "Mikhail Orlov")),
}


def vectors() -> dict[str, Vector]:
    """Each letter with its root and, for each of its texts, the header first, what that comes from."""
    return {name: _vector(letter) for name, letter in LETTERS.items()}


def _vector(letter: Letter) -> Vector:
    commitment = commit(letter)
    sources: tuple[Head | Text, ...] = (letter.head, *letter.texts)
    texts = [
        {
            "context": text.context.hex(),
            "units": text_units(source)[0],
            "table": list(text.table),
            "root": text.root.hex(),
        }
        for text, source in zip(commitment.texts, sources, strict=True)
    ]
    return {"letter": letter.encode().hex(), "root": commitment.root.hex(), "texts": texts}


if __name__ == "__main__":
    write("commitment", vectors())
