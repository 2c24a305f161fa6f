"""The desk: one owner's people, letters and drafts, over the encrypted store.

It answers questions about what is there and commits changes. What may happen
(a meeting, a letter sealed, a pouch unpacked) is in the rooms' own modules
beside this one, each a function from the desk and an event to a result with the
changes it needs: nothing is written until :meth:`Desk.commit`, and nothing
leaves before it has returned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self, TypeAlias

from backchannel.errors import LockedError, NegativeError, RefusedError, UsageError
from backchannel.kem import Kem
from backchannel.keys import Cost, Random
from backchannel.letters import Letter, unpack
from backchannel.seal import ratchet
from backchannel.seal.card import fold
from backchannel.seal.meeting import Register
from backchannel.seal.state import State

from . import records
from .records import Entry, Owner, Person, PersonId, PouchNote, Stage, StoredDraft, number_name
from .store import Store

Changes: TypeAlias = "dict[tuple[str, bytes], bytes | None]"

COPY: Final = "this desk is an old copy"


@dataclass(frozen=True, slots=True)
class Means:
    """What a desk has from outside: where counters lie, a KEM and a generator."""

    counters: Path
    kem: Kem
    random: Random


class Desk:
    """One open desk. Use as a context manager, or :meth:`close` it."""

    def __init__(self, store: Store, means: Means) -> None:
        self.store = store
        self.kem = means.kem
        self.random = means.random

    @classmethod
    def create(cls, folder: Path, passphrase: str, owner: Owner, *, means: Means, cost: Cost, step: int) -> Self:
        """Make a desk in *folder*, which must not exist or be empty."""
        store = Store.create(folder, passphrase, random=means.random, cost=cost, step=step, counters=means.counters)
        store.commit({(records.SELF, b""): owner.encode()})
        return cls(store, means)

    @classmethod
    def open(cls, folder: Path, passphrase: str, *, means: Means) -> Self:
        """Open the desk in *folder*.

        Raises:
            LockedError: If it does not open, or was never finished.
            UnavailableError: If it is open elsewhere.
        """
        store = Store.open(folder, passphrase, random=means.random, counters=means.counters)
        if store.get(records.SELF, b"") is None:
            # The owner is the first commit; power was lost before it.
            store.close()
            raise LockedError("the making of this desk was cut off: remove its folder, and make it again")
        return cls(store, means)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.store.close()

    @property
    def owner(self) -> Owner:
        return Owner.decode(self._body(records.SELF, b""))

    @property
    def register(self) -> Register:
        """What this desk remembers of cards."""
        body = self.store.get(records.CARDS, b"")
        return Register.decode(body) if body else Register()

    def people(self) -> list[Person]:
        """Everybody, by name."""
        found = [Person.decode(body) for _, body in self.store.items(records.PEOPLE)]
        return sorted(found, key=lambda person: person.name.casefold())

    def person(self, name: str) -> Person:
        """Find somebody by name, or by an unambiguous part of it.

        Raises:
            NegativeError: If there is nobody of that name.
            UsageError: If there are several.
        """
        people = self.people()
        wanted = fold(name)
        found = [p for p in people if fold(p.name) == wanted] or [
            p for p in people if wanted and wanted in fold(p.name)
        ]
        if len(found) > 1:
            raise UsageError(f"“{name}” may be any of: {', '.join(p.name for p in found)}")
        if not found:
            raise UnknownPersonError(name, [p.name for p in people])
        return found[0]

    def by_id(self, id_: PersonId) -> Person:
        return Person.decode(self._body(records.PEOPLE, id_))

    def keys(self, person: Person, generation: int | None = None) -> State:
        """The ratchet's state of *person*, of its newest generation or of another."""
        name = keys_name(person, person.generation if generation is None else generation)
        return State.decode(self._body(records.KEYS, name))

    def entries(self, person: Person | None = None) -> Iterator[Entry]:
        """The letters, by number."""
        for _, body in self.store.items(records.LETTERS):
            entry = Entry.decode(body)
            if person is None or entry.person == person.id:
                yield entry

    def entry(self, number: int) -> Entry:
        """The letter of that *number*.

        Raises:
            NegativeError: If there is none.
        """
        body = self.store.get(records.LETTERS, number_name(number)) if 0 < number < 1 << 63 else None
        if body is None:
            raise NegativeError(f"there is no letter {number}", hint="backchannel list")
        return Entry.decode(body)

    def letter(self, entry: Entry) -> Letter:
        """The letter itself.

        Raises:
            NegativeError: If it has none, or its text is no longer here.
        """
        if entry.id is None:
            raise NegativeError(f"letter {entry.number} has no text: it is of the kind “{entry.kind}”")
        body = self.store.get(records.TEXTS, number_name(entry.number))
        if body is None:
            raise NegativeError(f"letter {entry.number} has no text here: it was {entry.stage}")
        letter = unpack(body)
        assert isinstance(letter, Letter)  # an entry has an id only for one
        return letter

    def number_of(self, id_: bytes) -> int | None:
        """The number under which this desk has the letter *id_*; None if its text is not here."""
        name = self.store.get(records.IDS, id_)
        if name is None:
            return None
        # What was destroyed stands in the list, and cannot be cited any more.
        entry = self.entry(int.from_bytes(name))
        return None if entry.stage is Stage.DESTROYED else entry.number

    def drafts(self) -> list[StoredDraft]:
        return [StoredDraft.decode(body) for _, body in self.store.items(records.DRAFTS)]

    def draft(self, number: int) -> StoredDraft:
        """The draft of that *number*.

        Raises:
            NegativeError: If there is none.
        """
        found = next((draft for draft in self.drafts() if draft.number == number), None)
        if found is None:
            raise NegativeError(f"there is no draft {number}", hint="backchannel list")
        return found

    def pouches(self) -> list[PouchNote]:
        return [PouchNote.decode(body) for _, body in self.store.items(records.POUCHES)]

    def next_number(self, room: str) -> int:
        """The number after the highest that was ever given in *room*.

        Drafts and pouches speak of letters by number: one that has left no line
        must not lend its number to another.
        """
        gone = self.store.get(records.NUMBERS, room.encode()) or b""
        return int.from_bytes(max([gone, *self.store.names(room)[-1:]])) + 1

    @property
    def restored(self) -> bool:
        """Whether this folder is not the newest copy of the desk: then it only reads."""
        return self.store.restored

    def lapse(self, now: int) -> None:
        """Erase the keys whose time is over, if there are any; an old copy leaves them to the newer one."""
        if self.restored:
            return
        changes: Changes = {}
        for person in self.people():
            kept = tuple(old for old in person.renewed if old.date + ratchet.KEPT_SECONDS >= now)
            for old in set(person.renewed) - set(kept):
                changes[records.KEYS, keys_name(person, old.generation)] = None
            if kept != person.renewed:
                person = replace(person, renewed=kept)  # noqa: PLW2901 - the same person, less
                changes[records.PEOPLE, person.id] = person.encode()
            for generation in person.generations:
                state = self.keys(person, generation)
                lapsed = ratchet.lapse(state, now)
                if lapsed is not state:
                    changes[records.KEYS, keys_name(person, generation)] = lapsed.encode()
        register = self.register
        lapsed_register = register.lapse(now)
        if lapsed_register is not register:
            changes[records.CARDS, b""] = lapsed_register.encode()
        if changes:
            self.commit(changes)

    def commit(self, changes: Changes) -> None:
        """Write *changes*, all or nothing; whatever leaves, leaves after this.

        Raises:
            RefusedError: If this desk is an old copy.
            UnavailableError: If the disk is full.
        """
        self.store.commit(changes)

    def take_over(self, changes: Changes) -> None:
        """Let an old copy write again: every correspondence is frozen, but what *changes* begins anew.

        Its keys may have been used by the newer copy, so that nothing may be
        sealed with them; each correspondence ends its freeze by meeting again.
        So may its cards that await an answer, which *changes* have withdrawn
        (desk/introductions.py makes cards on no other register).
        """
        frozen: Changes = {}
        for person in self.people():
            for generation in person.generations:
                name = (records.KEYS, keys_name(person, generation))
                frozen[name] = ratchet.freeze(self.keys(person, generation), COPY).encode()
        self.store.adopt(frozen | changes)

    def move_in(self) -> None:
        """Accept that this folder was moved here, and is the only copy.

        Raises:
            RefusedError: If it is known to be an old copy: its counter is here, and ahead.
        """
        if not self.restored:
            raise UsageError("this desk is at home here already")
        if not self.store.counter_missing:
            raise RefusedError("this desk is an old copy: a newer one has been used on this machine")
        self.store.adopt({})

    def _body(self, room: str, name: bytes) -> bytes:
        body = self.store.get(room, name)
        assert body is not None, room  # records name each other only in one transaction
        return body


class UnknownPersonError(NegativeError):
    """There is nobody of that name; the known ones are kept for a suggestion."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"there is nobody called “{name}” here", hint="backchannel people")
        self.name = name
        self.known = known


def keys_name(person: Person, generation: int) -> bytes:
    """Where the state of one generation of *person*'s keys lies."""
    return person.id + generation.to_bytes(4)
