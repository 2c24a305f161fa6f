"""Writing: drafts kept, letters sealed, recalled and destroyed.

A letter is sealed once. From then on its envelope lies in the tray, and every
carrier takes the same bytes (docs/spec/ratchet.md §5).
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass, replace

from backchannel.errors import MalformedError, NegativeError, RefusedError, UsageError
from backchannel.keys import LetterId, ReleaseSeed
from backchannel.letters import (
    Draft,
    Empty,
    Enclosure,
    Letter,
    Moved,
    SignatureState,
    Text,
    address,
    commit,
    draft_of,
    format_draft,
    pack,
    parse,
)
from backchannel.seal import ratchet
from backchannel.seal.ratchet import FrozenError, UnansweredError

from . import records
from .desk import Changes, Desk, keys_name
from .records import Entry, Person, PersonId, Stage, StoredDraft, number_name
from .store import RESTORED


@dataclass(frozen=True, slots=True)
class Saved:
    """A draft as kept, and what was changed to read it."""

    draft: StoredDraft
    words: int
    normalised: tuple[str, ...]
    changes: Changes


@dataclass(frozen=True, slots=True)
class Sent:
    """A letter as sealed, to lie in the tray once the changes are committed."""

    entry: Entry
    size: int
    changes: Changes


def blank(desk: Desk, person: Person, *, date: str, answering: Entry | None = None) -> str:
    """The text form of an empty draft to *person*, its addressee and language filled in."""
    lines = [f"From: {desk.owner.name}", f"To: {person.name}", f"Date: {date}", f"Signed: {desk.owner.name}"]
    lines.append(f"Signature: {SignatureState.TYPED}")
    language = "en"
    if answering:
        lines.append(f"Answers: {answering.number}")
        language = desk.letter(answering).texts[0].language
    return "\n".join([*lines, f"Language: {language}", "Role: original", "Salutation: ", "Close: ", "", ""])


def save(
    desk: Desk,
    person: Person,
    text: str,
    *,
    enclosures: Iterable[Enclosure] = (),
    answers: int | None = None,
    number: int | None = None,
    now: int,
) -> Saved:
    """Keep *text* as a draft to *person*: a new one, or in place of draft *number*.

    Names that the text leaves out are filled in, and *enclosures* that it does
    not name are named; a file that it names no more is enclosed no more.

    Raises:
        MalformedError: If it is not in the text form, with the line.
        NegativeError: If there is no draft *number*.
    """
    before = desk.draft(number) if number else None
    given = {file.name: file for file in enclosures}
    files = _files(before) | given
    parsed = parse(text)
    # What was named before and is not now, its author has struck out.
    added = [name for name in files if name in given or name not in _named(before)]
    draft = _completed(parsed.draft, (desk.owner.name, person.name), added=added, answers=answers)
    missing = [name for name in draft.enclosures if name not in files]
    if missing:
        raise UsageError(f"the draft encloses “{missing[0]}”: say where it is with --enclose")
    stored = StoredDraft(
        number or desk.next_number(records.DRAFTS),
        person.id,
        format_draft(draft),
        tuple(files[name] for name in draft.enclosures),
        now,
    )
    changes: Changes = {(records.DRAFTS, number_name(stored.number)): stored.encode()}
    return Saved(stored, words_in(draft.texts), parsed.changes, changes)


def save_raw(
    desk: Desk, person: Person, text: str, *, enclosures: Iterable[Enclosure] = (), number: int | None, now: int
) -> Saved:
    """Keep *text* although it is not in the text form, so that nothing typed is lost; it cannot be sent so."""
    files = _files(desk.draft(number) if number else None) | {file.name: file for file in enclosures}
    stored = StoredDraft(number or desk.next_number(records.DRAFTS), person.id, text, tuple(files.values()), now)
    return Saved(stored, 0, (), {(records.DRAFTS, number_name(stored.number)): stored.encode()})


def send(desk: Desk, stored: StoredDraft, *, uncompared: bool, date: str, now: int) -> Sent:
    """Seal a draft as the next letter to its addressee.

    Raises:
        RefusedError: If words were not compared (unless *uncompared*), or the
            correspondence is frozen, or this desk is an old copy.
        UsageError: If the draft names a letter or a file that is not there.
    """
    person = desk.by_id(stored.person)
    _check_may_write(desk, person, uncompared=uncompared)
    letter = _letter(desk, stored, date)
    sent = _seal(desk, person, letter, now=now)
    sent.changes[records.DRAFTS, number_name(stored.number)] = None
    return sent


def send_empty(desk: Desk, person: Person, *, uncompared: bool, now: int) -> Sent:
    """Seal an empty letter to *person*: it says nothing, and makes a new turn of keys.

    Raises:
        RefusedError: As :func:`send`.
    """
    _check_may_write(desk, person, uncompared=uncompared)
    return _seal(desk, person, Empty(), now=now)


def send_moved(desk: Desk, person: Person, *, now: int) -> Sent:
    """Seal to *person* where this desk's letters are to be left from now on.

    Raises:
        RefusedError: As :func:`send`.
    """
    assert person.mine is not None
    _check_may_write(desk, person, uncompared=True)
    return _seal(desk, person, Moved(person.mine.place, person.mine.mailbox, person.mine.charter), now=now)


def recall(desk: Desk, entry: Entry, *, now: int) -> tuple[StoredDraft, Changes]:
    """Take a letter out of the tray: it becomes a draft again, and will never be carried.

    Its place among the letters stays empty: the other desk, seeing the next one,
    can tell that one before it never came.

    Raises:
        RefusedError: If it has left, or is not this desk's own.
    """
    if not entry.outgoing:
        raise RefusedError(f"letter {entry.number} is not yours to recall")
    if entry.stage is not Stage.TRAY:
        raise RefusedError(f"letter {entry.number} cannot be recalled: it is {_said(entry.stage)}")
    letter = desk.letter(entry)
    draft = draft_of(letter, number=desk.number_of, resolve=lambda number: desk.letter(desk.entry(number)))
    stored = StoredDraft(desk.next_number(records.DRAFTS), entry.person, format_draft(draft), letter.enclosures, now)
    changes = _without_text(entry, Stage.RECALLED)
    changes[records.DRAFTS, number_name(stored.number)] = stored.encode()
    changes[records.IDS, letter.id] = None
    return stored, changes


def destroy(desk: Desk, entry: Entry, *, line: bool) -> Changes:
    """Destroy a letter's text and envelope; *line* keeps one line of it, with its root.

    Its keys are gone since it was sealed or opened. A desk cannot destroy the
    other's copy, nor copies of this disk.

    Raises:
        NegativeError: If it is destroyed already.
    """
    if entry.stage is Stage.DESTROYED:
        raise NegativeError(f"letter {entry.number} is destroyed already")
    if entry.stage is Stage.TRAY:
        raise RefusedError(f"letter {entry.number} is in the tray", hint=f"backchannel recall {entry.number}")
    if line:
        root = commit(desk.letter(entry)).root if entry.id and entry.stage is not Stage.RECALLED else b""
        return _without_text(replace(entry, root=root), Stage.DESTROYED)
    name = number_name(entry.number)
    changes: Changes = {(records.LETTERS, name): None}
    # Its number is not given again, and an acknowledgement finds nothing here.
    changes[records.NUMBERS, records.LETTERS.encode()] = number_name(desk.next_number(records.LETTERS) - 1)
    if entry.outgoing:
        changes[records.SENT, sent_name(entry.person, entry.generation, entry.index)] = None
    # Another letter may bear the same id, by its writer's fault or will.
    if entry.id and desk.store.get(records.IDS, entry.id) == name:
        changes[records.IDS, entry.id] = None
    return _without_text(entry, Stage.DESTROYED) | changes


def discard(stored: StoredDraft) -> Changes:
    """Throw a draft away."""
    return {(records.DRAFTS, number_name(stored.number)): None}


def enclosure(name: str, data: bytes) -> Enclosure:
    """A file to enclose, its media type guessed from its name."""
    return Enclosure(name, mimetypes.guess_type(name)[0] or "application/octet-stream", data)


def sent_name(person: PersonId, generation: int, index: int) -> bytes:
    """What finds an own letter by its index in its generation."""
    return person + generation.to_bytes(4) + index.to_bytes(8)


def words_in(texts: Iterable[Text]) -> int:
    """How many words *texts* have."""
    return sum(len(p.split()) for text in texts for p in text.paragraphs)


def _completed(draft: Draft, names: tuple[str, str], *, added: list[str], answers: int | None) -> Draft:
    head = draft.head
    head = replace(head, sender=head.sender or names[0], recipient=head.recipient or names[1])
    enclosed = (*draft.enclosures, *(name for name in added if name not in draft.enclosures))
    answered = draft.answers if answers is None or answers in draft.answers else (*draft.answers, answers)
    return replace(draft, head=head, enclosures=enclosed, answers=answered)


def _files(stored: StoredDraft | None) -> dict[str, Enclosure]:
    return {file.name: file for file in stored.enclosures} if stored else {}


def _named(stored: StoredDraft | None) -> tuple[str, ...]:
    """The files that a draft names; none, as far as anybody can tell, if it is not in the text form."""
    try:
        return parse(stored.text).draft.enclosures if stored else ()
    except MalformedError:
        return ()


def _check_may_write(desk: Desk, person: Person, *, uncompared: bool) -> None:
    if desk.restored:
        raise RefusedError(RESTORED, hint="backchannel status")
    if not person.met:
        raise RefusedError(f"you have not met {person.name} yet: their answering card is awaited")
    if not person.compared and not uncompared:
        raise RefusedError(
            f"you have not compared words with {person.name}: somebody may stand between you",
            hint=f'backchannel compare "{person.name}"',
        )


def _seal(desk: Desk, person: Person, item: Letter | Empty | Moved, *, now: int) -> Sent:
    before, packed = desk.keys(person), pack(item)
    try:
        state, envelope = ratchet.write(before, packed, kem=desk.kem, random=desk.random, now=now)
    except (FrozenError, UnansweredError) as error:
        error.hint = f'backchannel meet --again "{person.name}" -o FILE'
        raise
    letter = item if isinstance(item, Letter) else None
    entry = Entry(
        number=desk.next_number(records.LETTERS),
        person=person.id,
        outgoing=True,
        stage=Stage.TRAY,
        generation=person.generation,
        index=state.written,
        id=letter.id if letter else None,
        kind="letter" if letter else "moved" if isinstance(item, Moved) else "empty",
        dated=letter.head.date if letter else "",
        words=words_in(letter.texts) if letter else 0,
        sealed=now,
        uncompared=not person.compared,
    )
    name = number_name(entry.number)
    changes: Changes = {
        (records.KEYS, keys_name(person, person.generation)): state.encode(),
        (records.LETTERS, name): entry.encode(),
        (records.TRAY, name): envelope,
        (records.ENVELOPES, ratchet.digest(envelope)): name,
        (records.SENT, sent_name(person.id, entry.generation, entry.index)): name,
    }
    if letter:
        changes |= {(records.TEXTS, name): packed, (records.IDS, letter.id): name}
    if state.turn != before.turn and state.tx:
        # A new turn has a new key, and a card that bears it would be this desk's own.
        changes[records.CARDS, b""] = desk.register.with_key(state.tx.opening.public).encode()
    return Sent(entry, len(envelope), changes)


def _letter(desk: Desk, stored: StoredDraft, date: str) -> Letter:
    draft = parse(stored.text).draft
    if not any(any(text.paragraphs) for text in draft.texts):
        raise UsageError(f"draft {stored.number} is empty")
    files = {file.name: file for file in stored.enclosures}
    draft = replace(draft, head=replace(draft.head, date=draft.head.date or date))
    return address(
        draft,
        id=LetterId.draw(desk.random),
        seed=ReleaseSeed.draw(desk.random),
        resolve=lambda number: desk.letter(desk.entry(number)),
        attach=files.__getitem__,
    )


def _without_text(entry: Entry, stage: Stage) -> Changes:
    name = number_name(entry.number)
    return {
        (records.LETTERS, name): replace(entry, stage=stage).encode(),
        (records.TEXTS, name): None,
        (records.TRAY, name): None,
    }


def _said(stage: Stage) -> str:
    said = {Stage.LEFT: "on its way", Stage.CARRIED: "on its way", Stage.ARRIVED: "there"}
    return said.get(stage, stage.value)
