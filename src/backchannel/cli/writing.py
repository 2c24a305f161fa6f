"""The verbs of writing: write, reply, send, recall."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from backchannel.cli.editor import Edited, editing
from backchannel.cli.opening import alike, find, local, open_desk, take, written_day
from backchannel.cli.talk import Call
from backchannel.cli.typeset import in_bytes, in_words
from backchannel.cli.verb import pass_call, verb
from backchannel.cli.visible import one_line
from backchannel.desk import post, writing
from backchannel.desk.desk import Desk
from backchannel.desk.records import Person, StoredDraft
from backchannel.desk.store import RESTORED
from backchannel.desk.writing import Saved
from backchannel.errors import (
    BackchannelError,
    MalformedError,
    NegativeError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from backchannel.letters import Enclosure, has_header, parse

LONG = 2 * 3_600_000  # ms; what takes longer by post is better carried by hand
FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)
ENCLOSE = click.option(
    "--enclose", "enclosed", type=FILE, multiple=True, metavar="FILE", help="Enclose a file; may be repeated."
)


@verb("write")
@click.argument("who", required=False)
@click.argument("file", required=False, type=FILE)
@click.option("--draft", "number", type=int, metavar="N", help="Write on draft N instead of a new one.")
@ENCLOSE
@pass_call
def write(call: Call, who: str | None, file: Path | None, number: int | None, enclosed: tuple[Path, ...]) -> None:
    """Write a draft.

    From FILE, from standard input (-), or in your editor, on a file in memory.
    Plain text will do; it may begin with fields (Salutation: Dear Anna,), as
    read --text shows them. The draft is kept in the desk; send seals it.
    """
    with open_desk(call) as desk:
        if number is not None:
            before = desk.draft(number)
            # With --draft the addressee is known: what stands first is the file.
            source = file or (Path(who) if who else None)
            person, start, answers = desk.by_id(before.person), before.text, None
        else:
            if who is None:
                raise UsageError("to whom?", hint="backchannel write WHO")
            if file is None and Path(who).is_file():
                raise UsageError("to whom?", hint=call.line("write", "WHO", who))
            person, source, answers = find(call, desk, who), file, None
            start = writing.blank(desk, person, date=written_day(call, call.edge.now()))
        _write(call, desk, person, source=source, start=start, enclosed=enclosed, number=number, answers=answers)


@verb("reply")
@click.argument("letter", type=int)
@click.argument("file", required=False, type=FILE)
@ENCLOSE
@pass_call
def reply(call: Call, letter: int, file: Path | None, enclosed: tuple[Path, ...]) -> None:
    """Write a draft that answers a letter.

    Addressee, language and what it answers are filled in.
    """
    with open_desk(call) as desk:
        entry = desk.entry(letter)
        person = desk.by_id(entry.person)
        start = writing.blank(desk, person, date=written_day(call, call.edge.now()), answering=entry)
        _write(call, desk, person, source=file, start=start, enclosed=enclosed, number=None, answers=letter)


@verb("send")
@click.argument("draft", type=int, required=False)
@click.option("--uncompared", is_flag=True, help="Though the words were not compared: for this letter only.")
@click.option("--empty", "who", metavar="WHO", help="An empty letter to WHO, which renews the keys.")
@pass_call
def send(call: Call, draft: int | None, uncompared: bool, who: str | None) -> None:
    """Seal a draft and lay it in the tray.

    Without DRAFT, the only one there is. It is sealed once, and stays in the tray
    until a pouch takes it.
    """
    with open_desk(call) as desk:
        now = call.edge.now()
        if who is not None:
            sent = writing.send_empty(desk, find(call, desk, who), uncompared=uncompared, now=now)
        else:
            stored = _chosen(desk, draft)
            sent = writing.send(desk, stored, uncompared=uncompared, date=written_day(call, now), now=now)
        desk.commit(sent.changes)
        entry, name = sent.entry, one_line(desk.by_id(sent.entry.person).name)
        what = in_words(entry.words) if entry.id else "an empty letter"
        estimate = post.estimate(desk, desk.by_id(entry.person), sent.size, now * 1000)
        way = _by_post(call, estimate) if estimate else "it waits in the tray"
        times = {"leaves": estimate.leaves // 1000, "there": estimate.there // 1000} if estimate else {}
        call.emit(
            {"letter": entry.number, "to": desk.by_id(entry.person).name, "words": entry.words, "size": sent.size}
            | times,
            f"letter {entry.number} to {name} sealed: {what}, {in_bytes(sent.size)}; {way}",
        )
        if entry.uncompared:
            call.warn(f"words were never compared with {name}: somebody may stand between you")
        if estimate is None or estimate.there > now * 1000 + LONG:
            call.hint(f'backchannel pack "{desk.by_id(entry.person).name}" -o FILE')


@verb("recall")
@click.argument("number", type=int)
@click.option("--draft", is_flag=True, help="Throw draft NUMBER away instead.")
@pass_call
def recall(call: Call, number: int, draft: bool) -> None:
    """Take a letter back that has not left.

    It becomes a draft again. The other side may notice that a number is missing.
    """
    with open_desk(call) as desk:
        if draft:
            stored = desk.draft(number)
            desk.commit(writing.discard(stored))
            call.emit({"discarded": number}, f"draft {number} thrown away")
            return
        stored, changes = writing.recall(desk, desk.entry(number), now=call.edge.now())
        desk.commit(changes)
        call.emit(
            {"recalled": number, "draft": stored.number}, f"letter {number} recalled: it is draft {stored.number} again"
        )
        call.hint(f"backchannel write --draft {stored.number}")


def _by_post(call: Call, estimate: post.Estimate) -> str:
    """When a letter leaves and is there, by the clock on the wall."""
    leaves, there = (local(call, at // 1000) for at in (estimate.leaves, estimate.there))
    day = f"{there.day} {there:%B}, " if there.date() != leaves.date() else ""
    return f"leaves {leaves:%H:%M}, there about {day}{there:%H:%M}; others see: this desk takes part"


def _chosen(desk: Desk, number: int | None) -> StoredDraft:
    if number is not None:
        return desk.draft(number)
    drafts = desk.drafts()
    if len(drafts) != 1:
        if not drafts:
            raise UsageError("there is no draft to send", hint="backchannel write WHO")
        raise UsageError(f"which draft? there are {len(drafts)}", hint="backchannel list")
    return drafts[0]


def _write(
    call: Call,
    desk: Desk,
    person: Person,
    *,
    source: Path | None,
    start: str,
    enclosed: tuple[Path, ...],
    number: int | None,
    answers: int | None,
) -> None:
    if desk.restored:
        # Told before anything is typed.
        raise RefusedError(RESTORED, hint="backchannel status")
    files = [_enclosure(path) for path in enclosed]
    keep = partial(writing.save, desk, person, enclosures=files, answers=answers, number=number, now=call.edge.now())
    if source is not None or not sys.stdin.isatty():
        saved = keep(_read(source, start))
        desk.commit(saved.changes)
        _saved(call, person, saved)
        return
    with editing(call.edge, start) as edited:
        if not edited.written:
            if edited.trouble:
                raise NegativeError(f"{edited.trouble}, and nothing was written")
            raise UsageError("nothing was written")
        raw_keep = partial(writing.save_raw, desk, person, enclosures=files, number=number, now=call.edge.now())
        saved, error = _kept(edited, lambda text: keep(_as_typed(text, start)), raw_keep)
        desk.commit(saved.changes)
    if error is not None:
        error.message += f"; what you wrote is kept as draft {saved.draft.number}"
        error.hint = f"backchannel write --draft {saved.draft.number}"
        raise error
    _saved(call, person, saved)


def _kept(
    edited: Edited, keep: Callable[[str], Saved], keep_raw: Callable[[str], Saved]
) -> tuple[Saved, BackchannelError | None]:
    """What to keep of what was typed, and what is wrong with it: nobody else has it, so all of it is kept."""
    try:
        text = edited.raw.decode()
    except UnicodeDecodeError:
        return keep_raw(edited.raw.decode("latin-1")), MalformedError("this is not text in UTF-8")
    try:
        return keep(text), UnavailableError(edited.trouble) if edited.trouble else None
    except BackchannelError as error:
        return keep_raw(text), error


def _saved(call: Call, person: Person, saved: Saved) -> None:
    number = saved.draft.number
    call.emit(
        {"draft": number, "to": person.name, "words": saved.words, "normalised": list(saved.normalised)},
        f"draft {number} to {one_line(person.name)}: {in_words(saved.words)}",
    )
    # Blank lines and the order of fields are nobody's words: no talk of those.
    changes = [change for change in saved.normalised if change != "layout"]
    if changes:
        call.say(f"set in the form of a letter: {', '.join(changes)}")
    addressed = parse(saved.draft.text).draft.head.recipient
    if not alike(addressed, person.name):
        call.warn(f"it is addressed to {one_line(addressed)}, and goes to {one_line(person.name)}")
    call.hint(f"backchannel send {number}")


def _read(source: Path | None, start: str) -> str:
    """The text of a file or of standard input; prose without a header is given that of *start*."""
    raw = sys.stdin.buffer.read() if source is None or str(source) == "-" else take(source)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise MalformedError("this is not text in UTF-8") from None
    if not text.strip():
        raise UsageError("nothing was written")
    return _with_header(text, start)


def _as_typed(text: str, start: str) -> str:
    # A line with a colon stood among fields: it is one misspelt, and not prose.
    return text if ":" in text.split("\n", 1)[0] else _with_header(text, start)


def _with_header(text: str, start: str) -> str:
    # The header alone: what a draft said before is replaced, not continued.
    header, _, _ = start.partition("\n\n")
    return text if has_header(text) else f"{header}\n\n{text}"


def _enclosure(path: Path) -> Enclosure:
    return writing.enclosure(path.name, take(path))
