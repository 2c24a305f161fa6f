"""Setting: a letter as a letter, two of its texts side by side, and tables.

Pure: a letter and a width in, lines out. Paragraphs carry in the margin the
number by which they are cited; list items are paragraphs too. Right-to-left
text stands at the right margin, and its order within a line is the terminal's
business, which knows whether it does any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from backchannel.cli.visible import harmless, isolated, one_line, prose, runs_right_to_left
from backchannel.cli.wrap import columns, cut, fill, left, right
from backchannel.letters import Items, Letter, Role, SignatureState, Text

MEASURE: Final = 66  # columns of prose: what the eye finds its way back from
NARROWEST: Final = 10
NARROWEST_COLUMN: Final = 24  # of two: below it they are set one after the other
GUTTER: Final = 3
MARGIN_GAP: Final = 2
BULLET: Final = "– "  # noqa: RUF001 - the dash that letters have


def page(letter: Letter, width: int, *, answers: Sequence[int] = (), cites: Sequence[str] = ()) -> str:
    """Set *letter* for a terminal *width* columns wide.

    Args:
        letter: The letter.
        width: Columns of the terminal; prose takes at most 66 of them.
        answers: The numbers here of the letters it answers.
        cites: The passages it cites, as in "3:12-14".
    """
    frame = _Frame.of(letter.texts, width)
    lines = _head(letter, frame)
    for i, text in enumerate(letter.texts):
        if len(letter.texts) > 1 or text.role is not Role.ORIGINAL:
            lines += frame.indent([*fill(_title(text), frame.measure), ""])
        lines += _text(text, frame)
        if i == 0:
            lines += frame.indent(_signature(letter, frame.measure))
    return _joined(lines + frame.indent(_foot(letter, frame.measure, answers, cites)))


def beside(letter: Letter, width: int, *, answers: Sequence[int] = (), cites: Sequence[str] = ()) -> str:
    """Set the first two texts of *letter* side by side, paragraph by paragraph.

    A letter of one text, or a terminal too narrow, gives a :func:`page`.
    """
    frame = _Frame.of(letter.texts, width)
    column = min(MEASURE, (width - frame.margin - GUTTER) // 2)
    if len(letter.texts) == 1 or column < NARROWEST_COLUMN:
        return page(letter, width, answers=answers, cites=cites)
    spread = _Frame(frame.margin, 2 * column + GUTTER)
    lines = _head(letter, spread)
    for one, other in _rows(*letter.texts[:2]):
        lines += [
            *spread.indent(_side_by_side(one, other, column), max(one.number or 0, other.number or 0) or None),
            "",
        ]
    lines += spread.indent(_signature(letter, column))
    for text in letter.texts[2:]:
        lines += [*frame.indent([*fill(_title(text), frame.measure), ""]), *_text(text, frame)]
    return _joined(lines + spread.indent(_foot(letter, spread.measure, answers, cites)))


def table(rows: Sequence[Sequence[str]], headings: Sequence[str], width: int | None) -> str:
    """Set *rows* under *headings*; numbers to the right, the rest to the left.

    Args:
        rows: Cells, which may come from outside: they are made harmless here.
        headings: One for each column; all empty for a table without.
        width: Columns of the terminal, to which the widest columns are cut, or
            None where nothing is to be lost.
    """
    safe = [[harmless(cell) for cell in row] for row in rows]
    shown = [list(headings), *safe] if any(headings) else safe
    if not shown:
        return ""
    widths = [max(columns(row[i]) for row in shown) for i in range(len(headings))]
    if width is not None:
        widths = _narrowed(widths, width - MARGIN_GAP * (len(widths) - 1))
    places = [right if safe and all(row[i].isdecimal() for row in safe) else left for i in range(len(headings))]
    return "\n".join(
        (" " * MARGIN_GAP)
        .join(
            # Aligned before it is isolated: the isolate takes no column.
            isolated(place(cut(cell, size), size))
            for place, cell, size in zip(places, row, widths, strict=True)
        )
        .rstrip()
        for row in shown
    )


def in_bytes(size: int) -> str:
    """A size as people say it: "812 bytes", "12.4 KiB"."""
    if size < 1024:
        return f"{size} byte{'' if size == 1 else 's'}"
    return f"{size / 1024:.1f} KiB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MiB"


def in_words(count: int) -> str:
    """A number of words as people say it."""
    return f"{count:,} word{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where prose stands: after the margin, within the measure."""

    margin: int
    measure: int

    @classmethod
    def of(cls, texts: Sequence[Text], width: int) -> _Frame:
        most = max(len(text.paragraphs) for text in texts)
        margin = MARGIN_GAP + max(2, len(str(most))) + MARGIN_GAP
        return cls(margin, max(NARROWEST, min(MEASURE, width - margin)))

    def indent(self, lines: Sequence[str], number: int | None = None) -> list[str]:
        """*lines* after the margin, and in it, at the first of them, *number*."""
        mark = "" if number is None else str(number).rjust(self.margin - MARGIN_GAP)
        pairs = zip_longest([mark], lines, fillvalue="")
        return [(left(mark, self.margin) + line).rstrip() for mark, line in pairs] if lines else []


@dataclass(frozen=True, slots=True)
class _Part:
    """What stands in a row of its own: a title, a salutation, a paragraph, an item or a close."""

    text: str = ""
    number: int | None = None
    bullet: str = ""

    def lines(self, measure: int) -> list[str]:
        """The part within *measure* columns, items hanging from their bullets."""
        room, text = max(1, measure - len(self.bullet)), prose(self.text)
        lines = fill(text, room)
        if runs_right_to_left(text):
            marks = zip_longest([self.bullet[::-1]], lines, fillvalue=" " * len(self.bullet))
            return [right(line, room) + mark for mark, line in marks]
        marks = zip_longest([self.bullet], lines, fillvalue=" " * len(self.bullet))
        return [mark + line for mark, line in marks]


def _head(letter: Letter, frame: _Frame) -> list[str]:
    head, lines = letter.head, []
    if head.caveat:
        lines += [*_Part(head.caveat).lines(frame.measure), "─" * frame.measure, ""]
    if parties := " to ".join(one_line(name) for name in (head.sender, head.recipient) if name):
        lines += [*fill(parties, frame.measure), ""]
    if placed := _place_and_date(head.place, head.date, frame.measure):
        lines += [*placed, ""]
    return frame.indent(lines)


def _place_and_date(place: str, date: str, measure: int) -> list[str]:
    fields = [one_line(field) for field in (place, date) if field]
    both = ", ".join(fields)
    lines = [both] if columns(both) <= measure else fields
    return [right(line, measure) for field in lines if field for line in fill(field, measure)]


def _title(text: Text) -> str:
    return f"[{text.role.value}, {text.language}]"


def _text(text: Text, frame: _Frame) -> list[str]:
    lines = frame.indent([*_Part(text.salutation).lines(frame.measure), ""]) if text.salutation else []
    for part in _body(text):
        lines += frame.indent([*part.lines(frame.measure), ""], part.number)
    return lines + (frame.indent([*_ending(text.close, frame.measure), ""]) if text.close else [])


def _body(text: Text) -> list[_Part]:
    """The numbered parts of a text."""
    parts: list[_Part] = []
    for block in text.blocks:
        texts, bullet = (block.items, BULLET) if isinstance(block, Items) else ((block.text,), "")
        parts += [_Part(line, len(parts) + i, bullet) for i, line in enumerate(texts, start=1)]
    return parts


def _ending(text: str, measure: int) -> list[str]:
    """A close or a signature: to the right of the middle if it is short, as letters have it."""
    half = measure // 2
    lines = fill(prose(text), half)
    if len(lines) > text.count("\n") + 1 or runs_right_to_left(text):
        return _Part(text).lines(measure)
    return [" " * half + line for line in lines]


def _signature(letter: Letter, measure: int) -> list[str]:
    lines = [line for line in (letter.head.signature, _STATES[letter.head.state]) if line]
    return [*_ending("\n".join(lines), measure), ""] if lines else []


def _foot(letter: Letter, measure: int, answers: Sequence[int], cites: Sequence[str]) -> list[str]:
    notes = []
    if answers:
        notes.append(f"Answers letter{'s' if len(answers) > 1 else ''} {', '.join(map(str, answers))}.")
    if cites:
        notes.append(f"Cites {', '.join(cites)}.")
    notes += [
        f"Encloses {one_line(file.name)} ({file.media_type}, {in_bytes(len(file.data))})." for file in letter.enclosures
    ]
    return [line for note in notes for line in fill(note, measure)]


def _rows(one: Text, other: Text) -> Iterator[tuple[_Part, _Part]]:
    """What stands side by side: titles, salutations, the parts by their numbers, closes."""
    yield _Part(_title(one)), _Part(_title(other))
    if one.salutation or other.salutation:
        yield _Part(one.salutation), _Part(other.salutation)
    yield from zip_longest(_body(one), _body(other), fillvalue=_Part())
    if one.close or other.close:
        yield _Part(one.close), _Part(other.close)


def _side_by_side(one: _Part, other: _Part, column: int) -> list[str]:
    pairs = zip_longest(one.lines(column), other.lines(column), fillvalue="")
    return [left(first, column + GUTTER) + second for first, second in pairs]


def _narrowed(widths: list[int], room: int) -> list[int]:
    """*widths* with the widest made narrower until they fit into *room*."""
    widths = list(widths)
    while sum(widths) > room and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    return widths


def _joined(lines: list[str]) -> str:
    return "\n".join(lines).rstrip("\n")


_STATES: Final = {
    SignatureState.SIGNED: "",
    SignatureState.INITIALLED: "[initialled]",
    SignatureState.TYPED: "[typed]",
    SignatureState.UNSIGNED: "[unsigned copy]",
}
