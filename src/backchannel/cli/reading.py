"""The verbs of reading: list, read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from backchannel.cli import typeset
from backchannel.cli.opening import alike, caution, day, find, open_desk
from backchannel.cli.talk import Call
from backchannel.cli.verb import pass_call, verb
from backchannel.cli.visible import harmless, one_line
from backchannel.desk import records
from backchannel.desk.desk import Desk
from backchannel.desk.records import Entry, Stage, StoredDraft, number_name
from backchannel.desk.writing import words_in
from backchannel.errors import MalformedError, NegativeError
from backchannel.letters import Letter, draft_of, format_draft, format_passage, parse


@verb("list")
@click.argument("who", required=False)
@pass_call
def list_(call: Call, who: str | None) -> None:
    """List letters and drafts.

    All, or those to and from WHO. Letters are numbered by each desk for itself:
    the other side has other numbers for the same letters.
    """
    with open_desk(call) as desk:
        person = find(call, desk, who) if who else None
        names = {p.id: p.name for p in desk.people()}
        letters = [_row(call, entry, names[entry.person]) for entry in desk.entries(person)]
        drafts = [
            {"draft": d.number, "to": names[d.person], "saved": day(call, d.saved), "words": _words(d)}
            for d in desk.drafts()
            if person is None or d.person == person.id
        ]
        text = []
        if letters:
            shown = [row | {"from or to": f"{row['way']} {row['who']}", "here since": row["date"]} for row in letters]
            text.append(_table(call, shown, ["letter", "here since", "from or to", "dated", "words", "stage"]))
        if drafts:
            shown = [row | {"words": "to be mended" if row["words"] is None else row["words"]} for row in drafts]
            text.append(_table(call, shown, ["draft", "saved", "to", "words"]))
        call.emit({"letters": letters, "drafts": drafts}, "\n\n".join(text) or "no letters and no drafts yet")


def _table(call: Call, rows: list[dict[str, Any]], headings: list[str]) -> str:
    return typeset.table([[str(row[heading]) for heading in headings] for row in rows], headings, call.width)


@verb("read")
@click.argument("number", type=int)
@click.option("--beside", is_flag=True, help="Two texts in two columns.")
@click.option("--text", "as_text", is_flag=True, help="In the text form of a draft.")
@click.option("--draft", is_flag=True, help="Show draft NUMBER instead.")
@click.option("--save", metavar="NAME", help="Write the enclosure NAME to a file, of that name here or -o.")
@click.option("-o", "out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where to save it.")
@pass_call
def read(call: Call, number: int, beside: bool, as_text: bool, draft: bool, save: str | None, out: Path | None) -> None:
    """Show a letter as a letter.

    Its paragraphs are numbered as they are cited: "Cites: 3:1-2" in a draft
    cites the first two of letter 3.
    """
    with open_desk(call) as desk:
        if draft:
            stored = desk.draft(number)
            call.emit({"draft": stored.number, "text": stored.text}, _plain(stored.text))
            return
        entry = desk.entry(number)
        letter = desk.letter(entry)
        if save is not None:
            _save(call, letter, save, out)
            return
        if call.json or as_text:
            text = format_draft(draft_of(letter, number=desk.number_of, resolve=lambda n: desk.letter(desk.entry(n))))
            call.emit(_as_json(_row(call, entry, desk.by_id(entry.person).name), desk, letter, text), _plain(text))
        else:
            lay = typeset.beside if beside else typeset.page
            answers = [n for n in map(desk.number_of, letter.answers) if n]
            page = lay(letter, call.width or 80, answers=answers, cites=_cites(desk, letter))
            call.emit(None, f"{_whence(call, desk, entry)}\n\n{page}")
        _warn(call, desk, entry, letter)
        _mark_read(desk, entry)


def _whence(call: Call, desk: Desk, entry: Entry) -> str:
    """The desk's own line above a letter, which its writer has no part in."""
    name = one_line(desk.by_id(entry.person).name)
    way, when = ("to", "sealed") if entry.outgoing else ("from", "opened")
    return f"letter {entry.number} {way} {name}, {when} {day(call, entry.sealed)}"


def _warn(call: Call, desk: Desk, entry: Entry, letter: Letter) -> None:
    name = desk.by_id(entry.person).name
    if caution(entry):
        call.warn(f"this letter {caution(entry)}")
    if not entry.outgoing and not alike(letter.head.sender, name):
        call.warn(f"it says that it is from {one_line(letter.head.sender)}, and came from {one_line(name)}")


def _row(call: Call, entry: Entry, name: str) -> dict[str, Any]:
    return {
        "letter": entry.number,
        "date": day(call, entry.sealed),
        "way": "to" if entry.outgoing else "from",
        "who": name,
        "dated": entry.dated if entry.id else f"({entry.kind})",
        "words": entry.words,
        "stage": _stage(entry),
        "uncompared": entry.uncompared,
        "superseded": entry.superseded,
    }


def _stage(entry: Entry) -> str:
    # What says nothing is not waiting to be read.
    stage = "unread" if entry.stage is Stage.RECEIVED and entry.id else entry.stage.value
    if entry.uncompared:
        return f"{stage}, words not compared"
    return f"{stage}, under old keys" if entry.superseded else stage


def _words(draft: StoredDraft) -> int | None:
    """How many words a draft has; None where it was kept although it is not in the text form."""
    try:
        return words_in(parse(draft.text).draft.texts)
    except MalformedError:
        return None


def _mark_read(desk: Desk, entry: Entry) -> None:
    # An old copy reads and does not write, not even this.
    if entry.stage is Stage.RECEIVED and not desk.restored:
        name = (records.LETTERS, number_name(entry.number))
        desk.commit({name: replace(entry, stage=Stage.READ).encode()})


def _cites(desk: Desk, letter: Letter) -> list[str]:
    draft = draft_of(letter, number=desk.number_of, resolve=lambda number: desk.letter(desk.entry(number)))
    return [format_passage(passage) for passage in draft.citations]


def _as_json(row: dict[str, Any], desk: Desk, letter: Letter, text: str) -> dict[str, Any]:
    head = letter.head
    return {
        **row,
        "from": head.sender,
        "to": head.recipient,
        "place": head.place,
        "caveat": head.caveat,
        "answers": [desk.number_of(answer) for answer in letter.answers],
        "cites": _cites(desk, letter),
        "enclosures": [{"name": e.name, "type": e.media_type, "size": len(e.data)} for e in letter.enclosures],
        "text": text,
    }


def _save(call: Call, letter: Letter, name: str, out: Path | None) -> None:
    from backchannel import files  # noqa: PLC0415

    found = next((e for e in letter.enclosures if e.name == name), None)
    if found is None:
        names = ", ".join(e.name for e in letter.enclosures) or "none"
        raise NegativeError(f"no enclosure of that name: there is {names}")
    # A letter's file names are plain ones (docs/spec/letter.md), so this stays in this folder.
    path = out or Path(found.name)
    files.stage(path, found.data).publish()
    size = len(found.data)
    call.emit({"saved": str(path), "size": size}, f"saved {one_line(str(path))}, {typeset.in_bytes(size)}")


def _plain(text: str) -> str:
    return "\n".join(map(harmless, text.rstrip("\n").split("\n")))
