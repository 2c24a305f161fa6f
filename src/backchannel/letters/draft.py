"""Drafts: a letter as its author writes it, a plain text file with a small header.

``parse`` and ``format_draft`` are exact inverses: what one writes the other reads
back without a change, and what ``parse`` had to change it says in words
(docs/spec/text-form.md). Unicode is normalised here, to NFC, once; from then on
text is what it is. A draft knows other letters by the numbers that its author's
desk gives them; ``address`` turns those into ids.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeAlias, TypeVar

from backchannel.errors import MalformedError, UsageError
from backchannel.letters.blocks import BLANKS, SEPARATOR, Trace, format_block, format_value, read_blocks, read_value
from backchannel.letters.letter import (
    MAX_ANSWERS,
    MAX_CITATIONS,
    MAX_ENCLOSURES,
    MAX_LETTER,
    MAX_TEXTS,
    Head,
    Role,
    SignatureState,
    Text,
    check_line,
    check_text,
)

# Specification constant (docs/spec/text-form.md §2): the number of a letter or a paragraph.
MAX_NUMBER: Final = 999_999_999

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Fields: TypeAlias = "dict[str, list[tuple[int, str]]]"  # by name, each with the number of its line


@dataclass(frozen=True, slots=True)
class Passage:
    """Paragraphs *first* to *last* of text number *text* of letter number *letter*, all counted from 1."""

    letter: int
    text: int
    first: int
    last: int

    def __post_init__(self) -> None:
        if not 1 <= self.letter <= MAX_NUMBER:
            raise UsageError(f"letters are numbered from 1 to {MAX_NUMBER:,}")
        if not 1 <= self.text <= MAX_TEXTS:
            raise UsageError(f"a letter's texts are numbered from 1 to {MAX_TEXTS}")
        if not 1 <= self.first <= MAX_NUMBER:
            raise UsageError(f"paragraphs are numbered from 1 to {MAX_NUMBER:,}")
        if not self.first <= self.last <= MAX_NUMBER:
            raise UsageError("a passage ends before it begins")


@dataclass(frozen=True, slots=True)
class Draft:
    """A letter before it has an id, a seed, and the ids of those it speaks of."""

    head: Head
    texts: tuple[Text, ...]
    answers: tuple[int, ...] = ()
    citations: tuple[Passage, ...] = ()
    enclosures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.texts) <= MAX_TEXTS:
            raise UsageError(f"a letter has {len(self.texts)} texts, not 1 to {MAX_TEXTS}")
        if not all(1 <= answer <= MAX_NUMBER for answer in self.answers):
            raise UsageError(f"letters are numbered from 1 to {MAX_NUMBER:,}")
        for name in self.enclosures:
            check_line("an enclosure", name)
            if not name:
                raise UsageError("an enclosure has no name")
        for what, count, most in (
            ("answers", len(self.answers), MAX_ANSWERS),
            ("citations", len(self.citations), MAX_CITATIONS),
            ("enclosures", len(self.enclosures), MAX_ENCLOSURES),
        ):
            if count > most:
                raise UsageError(f"a letter has at most {most:,} {what}, not {count:,}")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A draft, and what was changed to read it, in words for its author."""

    draft: Draft
    changes: tuple[str, ...]


def parse(text: str) -> Parsed:
    """Read a draft from its text form.

    Raises:
        MalformedError: For each reason in docs/spec/text-form.md §4, with the number of the line.
    """
    # The parts have limits of their own; this spares whoever named the wrong file a long wait.
    if len(text) > MAX_LETTER:
        raise MalformedError("line 1: this file is larger than any letter")
    changes: list[str] = []
    lines = _clean(text, changes).split("\n")
    for number, line in enumerate(lines, start=1):
        _at(number, check_text, "the line", line)
    trace = Trace()
    draft = _draft(lines, trace)
    if trace.joined:
        changes.append(f"{trace.joined:,} wrapped line{'s' if trace.joined > 1 else ''} joined")
    # Where the lines are still not the canonical ones after all that has a name,
    # the rest is spaces, blank lines and the order of fields.
    if unicodedata.normalize("NFC", "".join(trace.pieces)) != format_draft(draft):
        changes.append("layout")
    return Parsed(draft, tuple(changes))


def format_draft(draft: Draft) -> str:
    """Write *draft* in the one form that :func:`parse` reads without a change.

    A text that is not in NFC, as a stranger's may be, is written as it is;
    ``parse`` will compose it and say so.
    """
    head = draft.head
    lines = [
        *_field("From", head.sender),
        *_field("To", head.recipient),
        *_field("Date", head.date),
        *_field("Place", head.place),
        *_field("Signed", head.signature),
        *_field("Signature", head.state.value),
        *_field("Caveat", head.caveat),
        *(f"Answers: {answer}" for answer in draft.answers),
        *(f"Cites: {format_passage(passage)}" for passage in draft.citations),
        *(line for name in draft.enclosures for line in _field("Encloses", name)),
    ]
    for number, text in enumerate(draft.texts):
        if number:
            lines += ["", SEPARATOR]
        lines += _field("Language", text.language)
        lines += _field("Role", text.role.value)
        lines += _field("Salutation", text.salutation)
        lines += _field("Close", text.close)
        for block in text.blocks:
            lines += ["", *format_block(block)]
    return "\n".join(lines) + "\n"


def has_header(text: str) -> bool:
    """Whether *text* begins with a field, and is not prose alone."""
    name, colon, _ = text.removeprefix("\ufeff").lstrip().split("\n", 1)[0].partition(":")
    return bool(colon) and name.strip().capitalize() in _HEAD_FIELDS + _TEXT_FIELDS


def format_passage(passage: Passage) -> str:
    """Write *passage* as a draft cites it: "3:12-14", or "3.2:12" for the letter's second text."""
    text = f".{passage.text}" if passage.text > 1 else ""
    last = f"-{passage.last}" if passage.last > passage.first else ""
    return f"{passage.letter}{text}:{passage.first}{last}"


def parse_passage(text: str) -> Passage:
    """Read a passage: "3:12-14", "3.2:12".

    Raises:
        UsageError: If it is not one.
    """
    match = _PASSAGE.fullmatch("".join(text.split()))
    if match is None:
        raise UsageError('a passage is a letter and its paragraphs, as in "3:12-14" or, of its second text, "3.2:12"')
    letter, number, first, last = match.groups()
    return Passage(int(letter), int(number or 1), int(first), int(last or first))


def _field(name: str, value: str) -> list[str]:
    if not value:
        return []
    return [f"{name}: {format_value(line)}" if line else f"{name}:" for line in value.split("\n")]


def _clean(text: str, changes: list[str]) -> str:
    if text.startswith("\ufeff"):
        text = text[1:]
        changes.append("byte order mark dropped")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        changes.append("line ends")
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
        changes.append("letters composed (NFC)")
    return text


def _draft(lines: list[str], trace: Trace) -> Draft:
    begins = [0, *(number for number, line in enumerate(lines, start=1) if line.rstrip(BLANKS) == SEPARATOR)]
    if len(begins) > MAX_TEXTS:
        raise MalformedError(f"line {begins[MAX_TEXTS]}: a letter has at most {MAX_TEXTS} texts")
    head: _Fields = {}
    texts = []
    for begin, end in zip(begins, [*begins[1:], len(lines) + 1], strict=True):
        if begin:
            trace.keep(lines[begin - 1])
        fields, at = _read_fields(lines[: end - 1], begin, trace)
        if not begin:
            head = fields
        texts.append(_text(fields, lines[at : end - 1], max(begin, 1), trace))
    return _with_head(head, tuple(texts))


def _read_fields(lines: list[str], at: int, trace: Trace) -> tuple[_Fields, int]:
    names = _TEXT_FIELDS if at else _HEAD_FIELDS + _TEXT_FIELDS
    fields: _Fields = {}
    while at < len(lines) and (lines[at].strip(BLANKS) or not fields):
        line = lines[at]
        at += 1
        trace.keep(line)
        if not line.strip(BLANKS):
            continue  # above the first field
        match = _FIELD.fullmatch(line)
        if match is None:
            raise MalformedError(f"line {at}: neither a field nor the blank line that ends them")
        name = _field_name(at, match[1], names)
        if name in fields and name not in _REPEATED:
            raise MalformedError(f"line {at}: {name} stands here a second time")
        fields.setdefault(name, []).append((at, read_value(match[2])))
    return fields, at


def _field_name(line: int, name: str, names: tuple[str, ...]) -> str:
    if name.capitalize() in names:
        return name.capitalize()
    if name.capitalize() in _HEAD_FIELDS:
        raise MalformedError(f"line {line}: {name.capitalize()} belongs to the whole letter, at its top")
    near = difflib.get_close_matches(name.capitalize(), names, n=1)
    raise MalformedError(f'line {line}: unknown field "{name}"' + (f'; did you mean "{near[0]}"?' if near else ""))


def _text(fields: _Fields, lines: list[str], begin: int, trace: Trace) -> Text:
    line, language = _one(fields, "Language", "en")
    # Made for its language alone, which is then refused with its own line.
    _at(line, Text, language=language)
    line, role = _one(fields, "Role", Role.ORIGINAL)
    role = " ".join(role.lower().split())
    if role not in set(Role):
        raise MalformedError(f"line {line}: a role is {_choices(Role)}")
    salutation, close = ("\n".join(value for _, value in fields.get(name, ())) for name in ("Salutation", "Close"))
    blocks = read_blocks(lines, trace)
    return _at(begin, Text, Role(role), language, salutation, blocks, close)


def _with_head(fields: _Fields, texts: tuple[Text, ...]) -> Draft:
    values = {}
    for name in ("From", "To", "Date", "Place", "Signed", "Caveat"):
        line, value = _one(fields, name, "")
        _at(line, check_line, name, value)
        values[name] = value
    line, state = _one(fields, "Signature", SignatureState.UNSIGNED)
    if state.lower() not in set(SignatureState):
        raise MalformedError(f"line {line}: a signature is {_choices(SignatureState)}")
    head = Head(
        sender=values["From"],
        recipient=values["To"],
        date=values["Date"],
        place=values["Place"],
        signature=values["Signed"],
        state=SignatureState(state.lower()),
        caveat=values["Caveat"],
    )
    answers = tuple(_at(line, _number, entry) for line, entry in _entries(fields, "Answers"))
    citations = tuple(_at(line, parse_passage, entry) for line, entry in _entries(fields, "Cites"))
    enclosures = [(line, value.strip()) for line, value in fields.get("Encloses", ()) if value.strip()]
    for line, name in enclosures:
        _at(line, check_line, "Encloses", name)
    last = max((line for entries in fields.values() for line, _ in entries), default=1)
    return _at(last, Draft, head, texts, answers, citations, tuple(name for _, name in enclosures))


def _one(fields: _Fields, name: str, default: str) -> tuple[int, str]:
    line, value = fields.get(name, [(1, "")])[0]
    return line, value.strip() or default


def _entries(fields: _Fields, name: str) -> list[tuple[int, str]]:
    parts = [(line, part.strip()) for line, value in fields.get(name, ()) for part in value.split(",")]
    return [(line, part) for line, part in parts if part]


def _number(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise UsageError("a letter is answered by its number, as the desk lists it")
    return int(text)


def _choices(values: Iterable[str]) -> str:
    *rest, last = values
    return f"{', '.join(rest)} or {last}"


def _at(line: int, make: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """What *make* gives, or its refusal with the number of the line that is to blame."""
    try:
        return make(*args, **kwargs)
    except UsageError as error:
        raise MalformedError(f"line {line}: {error.message}") from None


_HEAD_FIELDS: Final = ("From", "To", "Date", "Place", "Signed", "Signature", "Caveat", "Answers", "Cites", "Encloses")
_TEXT_FIELDS: Final = ("Language", "Role", "Salutation", "Close")
_REPEATED: Final = frozenset({"Answers", "Cites", "Encloses", "Salutation", "Close"})
_FIELD: Final = re.compile(r"[ \t]*([A-Za-z]{1,20})[ \t]*:(.*)")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
# A word processor makes an en dash of the hyphen.
_PASSAGE: Final = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?:([0-9]{1,9})(?:[-\u2013]([0-9]{1,9}))?")
