"""Addressing: from a draft to a letter and back.

A draft speaks of other letters by the numbers of its author's desk and of
passages by paragraphs, which is what a person sees; a letter speaks of ids and of
units, which is what both desks share and a proof can show. What a desk has under
which number is the caller's to say.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Callable

from backchannel.errors import UsageError
from backchannel.keys import LetterId, ReleaseSeed
from backchannel.letters.draft import Draft, Passage, format_passage
from backchannel.letters.letter import Citation, Enclosure, Letter
from backchannel.letters.units import segment


def address(
    draft: Draft,
    *,
    id: LetterId,  # noqa: A002 - what it is called in a letter
    seed: ReleaseSeed,
    resolve: Callable[[int], Letter],
    attach: Callable[[str], Enclosure],
) -> Letter:
    """Make a letter of *draft*.

    Args:
        draft: What its author wrote.
        id: A fresh random id.
        seed: A fresh random seed.
        resolve: The letter that the desk has under a number.
        attach: The file that an ``Encloses`` names.

    Raises:
        UsageError: If a passage is not in the letter it cites, or the whole is
            not a letter; and whatever *resolve* and *attach* raise.
    """
    resolve, tables = functools.cache(resolve), _Tables()
    return Letter(
        id=id,
        seed=seed,
        head=draft.head,
        texts=draft.texts,
        answers=tuple(resolve(answer).id for answer in draft.answers),
        citations=tuple(_cite(passage, resolve(passage.letter), tables) for passage in draft.citations),
        enclosures=tuple(attach(name) for name in draft.enclosures),
    )


def draft_of(
    letter: Letter,
    *,
    number: Callable[[LetterId], int | None],
    resolve: Callable[[int], Letter],
) -> Draft:
    """Make a draft of *letter*, for its author to write on.

    What *number* no longer knows is left out: the draft could not name it. A
    citation of units is widened to the paragraphs that hold them.

    Args:
        letter: A letter that was recalled, or is to be written anew.
        number: The number that the desk has a letter under, or None.
        resolve: The letter that the desk has under a number.
    """
    resolve, tables = functools.cache(resolve), _Tables()
    passages = []
    for citation in letter.citations:
        cited = number(citation.letter)
        if cited is not None:
            passages.append(_passage(citation, cited, resolve(cited), tables))
    return Draft(
        head=letter.head,
        texts=letter.texts,
        answers=tuple(answer for answer in map(number, letter.answers) if answer is not None),
        citations=tuple(passage for passage in passages if passage is not None),
        enclosures=tuple(enclosure.name for enclosure in letter.enclosures),
    )


class _Tables(dict[tuple[LetterId, int], tuple[int, ...]]):
    """The paragraph table of each text cited, and after it the number of units, cut only once."""

    def of(self, letter: Letter, text: int) -> tuple[int, ...]:
        key = letter.id, text
        if key not in self:
            units, table = segment(letter.texts[text].paragraphs)
            self[key] = *table, len(units)
        return self[key]


def _cite(passage: Passage, letter: Letter, tables: _Tables) -> Citation:
    text = passage.text - 1
    if text >= len(letter.texts):
        raise UsageError(f"{format_passage(passage)} cites a text that letter {passage.letter} does not have")
    table = tables.of(letter, text)
    body = _body(table)
    if passage.last > body:
        raise UsageError(
            f"{format_passage(passage)} cites a paragraph that letter {passage.letter} does not have: it has {body}"
        )
    return Citation(letter.id, text, table[passage.first], table[passage.last + 1] - 1)


def _passage(citation: Citation, number: int, letter: Letter, tables: _Tables) -> Passage | None:
    if citation.text >= len(letter.texts):
        return None
    table = tables.of(letter, citation.text)
    first = bisect.bisect_right(table, citation.first) - 1
    last = bisect.bisect_right(table, citation.last) - 1
    if first < 1 or last > _body(table):
        return None
    return Passage(number, citation.text + 1, first, last)


def _body(table: tuple[int, ...]) -> int:
    return len(table) - 3  # but the salutation, the close, and the end
