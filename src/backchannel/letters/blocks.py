"""Blocks: how the paragraphs and lists of a draft stand in its text form, both ways.

In the canonical form a paragraph is one line, a hard break in it begins a line
with "| ", an item begins with "- ", and whatever would be misread for what it
begins with has a backslash before it (docs/spec/text-form.md §3). Reading is
lenient: lines that an editor wrapped are joined, and what was indented is read
as if it were not. ``draft`` has the fields above the blocks.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Final

from backchannel.letters.letter import Block, Items, Paragraph

# Specification constants (docs/spec/text-form.md §3).
SEPARATOR: Final = "==="  # a further text begins
BLANKS: Final = " \t"  # what an editor may leave at either end of a line


@dataclass(slots=True)
class Trace:
    """The lines as they were read, but for wrapped ones, which are joined, and how many those were."""

    pieces: list[str] = field(default_factory=list)
    joined: int = 0

    def keep(self, line: str) -> None:
        """Note a line that begins where it stands."""
        self.pieces += ("\n", line) if self.pieces else (line,)

    def join(self, content: str) -> None:
        """Note a line that was wrapped off the one before."""
        _join(self.pieces, content)
        self.joined += 1


def format_block(block: Block) -> list[str]:
    """The lines of *block* in canonical form."""
    if isinstance(block, Items):
        return [line for item in block.items for line in _item_lines(item)]
    first, *rest = block.text.split("\n")
    return [f"\\{first}" if _MISREAD.match(first) else first, *(_break_line(line) for line in rest)]


def format_value(line: str) -> str:
    """Write *line* where something stands before it: a field's name, or the dash of an item."""
    return f"\\{line}" if line.startswith((" ", "\t", "\\")) else line


def read_value(rest: str) -> str:
    """Read what :func:`format_value` wrote; blanks before it are layout."""
    return rest.lstrip(BLANKS).removeprefix("\\")


def read_blocks(lines: list[str], trace: Trace) -> tuple[Block, ...]:
    """Read the lines of a text below its fields; nothing that they hold is an error."""
    blocks: list[tuple[_Kind, list[list[str]]]] = []  # of a block: its paragraphs, each in pieces
    before = _Kind.BLANK
    for line in lines:
        kind, content = _read_line(line)
        if kind is _Kind.TEXT and before is not _Kind.BLANK:
            _join(blocks[-1][1][-1], content)
            trace.join(content)
            continue
        trace.keep(line)
        if kind is _Kind.BREAK and before is not _Kind.BLANK:
            blocks[-1][1][-1] += ["\n", content]
        elif kind is _Kind.ITEM and before is not _Kind.BLANK and blocks[-1][0] is _Kind.ITEM:
            blocks[-1][1].append([content])
        elif kind is not _Kind.BLANK:
            blocks.append((kind, [[content]]))
        before = kind
    return tuple(_block(kind, ["".join(pieces) for pieces in paragraphs]) for kind, paragraphs in blocks)


class _Kind(enum.Enum):
    BLANK = enum.auto()
    TEXT = enum.auto()
    ITEM = enum.auto()
    BREAK = enum.auto()


def _item_lines(item: str) -> list[str]:
    first, *rest = item.split("\n")
    # An empty item is not left to end in a blank, which editors remove.
    return [f"- {format_value(first)}" if first else "- \\", *(f"  {_break_line(line)}" for line in rest)]


def _break_line(line: str) -> str:
    return f"| {line}" if line else "|"


def _read_line(line: str) -> tuple[_Kind, str]:
    line = line.lstrip(BLANKS)
    if not line:
        return _Kind.BLANK, ""
    if line[0] == "\\":
        return _Kind.TEXT, line[1:]
    if line[0] == "-" and line[1:2] in {"", " ", "\t"}:
        return _Kind.ITEM, read_value(line[1:])
    if line[0] == "|" and line[1:2] in {"", " "}:
        return _Kind.BREAK, line[2:]
    return _Kind.TEXT, line


def _join(pieces: list[str], content: str) -> None:
    last = pieces[-1].rstrip(BLANKS)
    pieces[-1] = last
    if not content:
        return
    # Chinese and Japanese wrap anywhere and have no spaces to wrap at.
    if last and not (_is_unspaced(last[-1]) and _is_unspaced(content[0])):
        pieces.append(" ")
    pieces.append(content)


def _is_unspaced(character: str) -> bool:
    # Korean is as wide and has spaces (CSS Text 3 §4.1.3 draws the same line).
    return (
        unicodedata.east_asian_width(character) in "WFH"
        and unicodedata.category(character)[0] in "LMNP"
        and not unicodedata.name(character, "").startswith("HANGUL")
    )


def _block(kind: _Kind, paragraphs: list[str]) -> Block:
    # Once more: two lines that are composed may, joined without a space, not be.
    composed = [unicodedata.normalize("NFC", paragraph) for paragraph in paragraphs]
    return Items(tuple(composed)) if kind is _Kind.ITEM else Paragraph(composed[0])


# What would be read as something else at the beginning of a line; the empty line too.
_MISREAD: Final = re.compile(rf"\Z|[ \t\\|]|-(?:[ \t]|\Z)|{SEPARATOR}")
