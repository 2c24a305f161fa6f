"""Carriage by hand: pouches packed and unpacked; and what becomes of an envelope, whoever carried it.

Packing chooses what leaves and under which key; opening tries every envelope
with every key of the one whom it is from. What an envelope means for the keys
is the ratchet's business; here its letter is entered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from backchannel import pouch as pouches
from backchannel.errors import MalformedError, RefusedError, VerificationError
from backchannel.letters import Empty, Item, Letter, Moved, Unknown
from backchannel.letters import unpack as unpack_item
from backchannel.letters.item import MAX_ITEM, SIZE_SIZE
from backchannel.pouch import ForeignPouchError
from backchannel.seal import ratchet
from backchannel.seal.card import Carriage
from backchannel.seal.envelope import NoKeyError
from backchannel.seal.state import State

from . import records
from .desk import Changes, Desk, keys_name
from .records import Entry, Person, PouchNote, Stage, number_name
from .writing import sent_name, words_in

# Implementation constant: bytes that one unpacking expands before it leaves the
# rest to the next, so that no correspondent's pouch keeps a desk busy for long.
MAX_EXPANDED: Final = 64 * 1024 * 1024


class Outcome(StrEnum):
    """What became of one envelope in a pouch."""

    OPENED = "opened"
    ALREADY = "already here"
    UNREADABLE = "opened, but not a letter that this version can show"
    REFUSED = "refused"
    DEFERRED = "not opened yet"


@dataclass(frozen=True, slots=True)
class Packed:
    """A pouch ready to leave, once the changes are committed."""

    note: PouchNote
    pouch: bytes
    left_behind: int  # letters that did not fit
    held: int  # letters that are not to leave: the correspondence is frozen, or their keys were never compared
    changes: Changes


@dataclass(frozen=True, slots=True)
class Arrival:
    """One envelope: its outcome, the letter it holds or held, or why it was refused."""

    outcome: Outcome
    number: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """Envelopes opened: what became of each, and what the owner has to know."""

    arrivals: tuple[Arrival, ...]
    froze: str
    missing: tuple[int, ...]  # their letters before the newest that have not come
    changes: Changes


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A pouch opened: from whom, its seal, what was in it, and what the owner has to know."""

    note: PouchNote
    person: Person
    arrivals: tuple[Arrival, ...]
    froze: str
    missing: tuple[int, ...]  # their letters before the newest that have not come
    changes: Changes


@dataclass(slots=True)
class _Opening:
    """The work of unpacking: states and entries as they change, written only at the end."""

    desk: Desk
    person: Person
    now: int
    pouch: int
    states: dict[int, State]
    number: int
    changes: Changes = field(default_factory=dict)
    read: set[int] = field(default_factory=set)  # generations of which something was opened
    expanded: int = 0  # bytes of what was opened


def pack(desk: Desk, person: Person, *, again: bool, now: int) -> Packed:
    """Pack what waits for *person*; with *again*, also what left and is not known to have arrived.

    Nothing to send makes a cover pouch, which nobody can tell from another.

    Raises:
        RefusedError: If the two have not met, or this desk is an old copy.
    """
    if not person.met:
        raise RefusedError(f"you have not met {person.name} yet: their answering card is awaited")
    stages = (Stage.TRAY, Stage.LEFT, Stage.CARRIED, Stage.PASSED) if again else (Stage.TRAY,)
    sealed = [entry for entry in desk.entries(person) if entry.outgoing and entry.stage in stages]
    state = desk.keys(person)
    waiting = [] if state.frozen else [entry for entry in sealed if may_leave(person, entry)]
    envelopes: list[bytes] = []
    room = pouches.CAPACITY
    for entry in waiting:
        body = desk.store.get(records.TRAY, number_name(entry.number))
        assert body is not None  # the tray keeps what may have to be carried again
        room -= pouches.room_for(len(body))
        if room < 0:
            break
        envelopes.append(body)
    packed = waiting[: len(envelopes)]
    pouch = pouches.pack(envelopes, ratchet.carrying_key(state), desk.random)
    note = PouchNote(
        desk.next_number(records.POUCHES),
        pouches.seal_number(pouch),
        person.id,
        outgoing=True,
        date=now,
        letters=tuple(entry.number for entry in packed),
    )
    changes = _noted(note)
    for entry in packed:
        left = replace(entry, stage=Stage.LEFT, left=entry.left or now, pouch=note.number)
        changes[records.LETTERS, number_name(entry.number)] = left.encode()
    return Packed(note, pouch, len(waiting) - len(packed), len(sealed) - len(waiting), changes)


def unpack(desk: Desk, pouch: bytes, *, now: int) -> Unpacked:
    """Open a pouch that a courier brought.

    Raises:
        MalformedError: If no pouch has this size.
        ForeignPouchError: If no key of this desk opens it.
    """
    person, content = _find(desk, pouch)
    opened = open_all(desk, person, content.envelopes, pouch=desk.next_number(records.POUCHES), now=now)
    note = PouchNote(
        desk.next_number(records.POUCHES),
        pouches.seal_number(pouch),
        person.id,
        outgoing=False,
        date=now,
        letters=tuple(a.number for a in opened.arrivals if a.number),
        whole=content.whole,
    )
    return Unpacked(note, person, opened.arrivals, opened.froze, opened.missing, opened.changes | _noted(note))


def open_all(desk: Desk, person: Person, envelopes: Iterable[bytes], *, pouch: int, now: int) -> Opened:
    """Open envelopes from *person* that came in *pouch*, by its number; 0, by the post office."""
    states = {generation: desk.keys(person, generation) for generation in person.generations}
    frozen_before = states[person.generation].frozen
    work = _Opening(desk, person, now, pouch, states, desk.next_number(records.LETTERS))
    arrivals = tuple(_open(work, envelope) for envelope in envelopes)
    for generation in work.read:
        work.changes[records.KEYS, keys_name(person, generation)] = states[generation].encode()
    newest = states[person.generation]
    return Opened(arrivals, "" if frozen_before else newest.frozen, newest.missing, work.changes)


def packed_here(desk: Desk, pouch: bytes) -> Person | None:
    """Whom this desk packed *pouch* for, if it did."""
    seal = pouches.seal_number(pouch)
    note = next((note for note in desk.pouches() if note.outgoing and note.seal == seal), None)
    return desk.by_id(note.person) if note else None


def peek(desk: Desk, pouch: bytes) -> tuple[Person, bool, int]:
    """Say from whom *pouch* is, whether its seal is whole, and how many envelopes it holds.

    Raises:
        MalformedError, ForeignPouchError: As :func:`unpack`.
    """
    person, content = _find(desk, pouch)
    return person, content.whole, len(content.envelopes)


def _find(desk: Desk, pouch: bytes) -> tuple[Person, pouches.Unpacked]:
    for person in desk.people():
        for generation in person.generations:
            try:
                return person, pouches.unpack(pouch, ratchet.opening_keys(desk.keys(person, generation)))
            except ForeignPouchError:
                continue
    # No key at all still tells a pouch from a file of another size.
    pouches.unpack(pouch, ())
    raise AssertionError


def _open(work: _Opening, envelope: bytes) -> Arrival:
    where = (records.ENVELOPES, ratchet.digest(envelope))
    known = work.changes.get(where) or work.desk.store.get(*where)
    if known is not None:
        return Arrival(Outcome.ALREADY, int.from_bytes(known))
    if work.expanded > MAX_EXPANDED:
        return Arrival(Outcome.DEFERRED)
    for generation in work.person.generations:
        try:
            opened = ratchet.read(work.states[generation], envelope, kem=work.desk.kem, now=work.now)
        except NoKeyError as error:
            refusal: VerificationError = error
        except VerificationError as error:
            return Arrival(Outcome.REFUSED, why=error.message)
        else:
            return _enter(work, generation, envelope, opened)
    return Arrival(Outcome.REFUSED, why=refusal.message)


def _enter(work: _Opening, generation: int, envelope: bytes, opened: ratchet.Opened) -> Arrival:
    work.states[generation] = opened.state
    work.read.add(generation)
    work.expanded += _expanded(opened.item)
    # Who has read another letter in the place of ours has not read ours: a
    # frozen correspondence keeps what may have to be carried again.
    if not opened.state.frozen:
        _acknowledge(work, generation, opened.seen)
    number = work.number
    work.number += 1
    name = number_name(number)
    item = _item(opened.item)
    letter = item if isinstance(item, Letter) else None
    entry = Entry(
        number=number,
        person=work.person.id,
        outgoing=False,
        stage=Stage.RECEIVED,
        generation=generation,
        index=opened.index,
        id=letter.id if letter else None,
        kind=_kind(item),
        dated=letter.head.date if letter else "",
        words=words_in(letter.texts) if letter else 0,
        sealed=work.now,
        pouch=work.pouch,
        uncompared=not work.person.vouched(generation),
        superseded=generation != work.person.generation,
    )
    work.changes[records.LETTERS, name] = entry.encode()
    work.changes[records.ENVELOPES, ratchet.digest(envelope)] = name
    # As it came, compressed: all of a pouch is in memory here until the commit,
    # and what a writer pays a kilobyte for may expand to forty megabytes.
    work.changes[records.TEXTS, name] = opened.item
    if letter and work.desk.store.get(records.IDS, letter.id) is None:
        # The first letter of an id keeps it: another, by whoever chose the same
        # one, must not come to stand where that is cited.
        work.changes.setdefault((records.IDS, letter.id), name)
    if isinstance(item, Moved) and generation == work.person.generation and not opened.state.frozen:
        _move(work, Carriage(item.place, item.mailbox, item.charter))
    shown = not isinstance(item, Unknown)
    return Arrival(Outcome.OPENED if shown else Outcome.UNREADABLE, number)


def _expanded(packed: bytes) -> int:
    """How much it takes to expand an item, at most: what it states, which beyond the limit is not expanded at all."""
    stated = int.from_bytes(packed[:SIZE_SIZE])
    return stated if stated <= MAX_ITEM else 0


def _move(work: _Opening, theirs: Carriage) -> None:
    """They have moved. A place that others write at already is not theirs to take: the two then write by hand."""
    from . import post  # noqa: PLC0415 - it opens by this module what its porter brings

    taken = theirs if post.readable(work.desk, work.person, theirs) else None
    work.person = replace(work.person, theirs=taken)
    work.changes[records.PEOPLE, work.person.id] = work.person.encode()


def _kind(item: Item) -> str:
    match item:
        case Letter():
            return "letter"
        case Empty():
            return "empty"
        case Moved():
            return "moved"
    return item.kind


def _item(packed: bytes) -> Item:
    """What an envelope held."""
    try:
        return unpack_item(packed)
    except MalformedError:
        # Its writer's fault, and it is authentic: the keys go on, the bytes are kept.
        return Unknown("malformed", packed)


def _acknowledge(work: _Opening, generation: int, seen: int) -> None:
    """Their letter says which of ours they had read last: that one has arrived.

    Those before it may be lost all the same, so they are only said to be passed.
    """
    for index in range(seen, 0, -1):
        name = work.desk.store.get(records.SENT, sent_name(work.person.id, generation, index))
        if name is None:  # it has left no line
            continue
        body = work.changes.get((records.LETTERS, name)) or work.desk.store.get(records.LETTERS, name)
        assert body is not None  # what has no line is not found by its index
        entry = Entry.decode(body)
        if index < seen and entry.stage not in (Stage.LEFT, Stage.CARRIED):
            return
        if entry.stage in (Stage.LEFT, Stage.CARRIED, Stage.PASSED):
            stage = Stage.ARRIVED if index == seen else Stage.PASSED
            work.changes[records.LETTERS, name] = replace(entry, stage=stage).encode()
        if index == seen:
            work.changes[records.TRAY, name] = None


def may_leave(person: Person, entry: Entry) -> bool:
    """Whether a letter that is sealed may leave."""
    # Sealed under keys that were renewed and never compared, it may be for somebody else.
    return entry.generation == person.generation or person.vouched(entry.generation)


def _noted(note: PouchNote) -> Changes:
    return {(records.POUCHES, number_name(note.number)): note.encode()}
