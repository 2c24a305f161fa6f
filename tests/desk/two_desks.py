"""Two desks in one folder, Anna's and Mikhail's, and all that their owners do with them.

Real stores, the real KEM unless another is given, cheap keys and small files. A
method of :class:`Side` is what one verb of the command line does: the event,
then the commit, then what leaves.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from backchannel.desk import carriage, introductions, records, writing
from backchannel.desk.carriage import Outcome, Unpacked
from backchannel.desk.desk import Changes, Desk, Means
from backchannel.desk.introductions import Introduced
from backchannel.desk.records import Entry, Owner, Person
from backchannel.kem import Kem, XWing
from backchannel.keys import Random
from backchannel.letters import Enclosure, format_draft
from backchannel.letters.address import draft_of
from backchannel.seal import words
from backchannel.seal.state import State
from tests.desk.small import COST, PASSPHRASE, STEP
from tests.simulation.crash import unsynced

ANNA: Final = "Anna Reuter"
MIKHAIL: Final = "Mikhail Orlov"
START: Final = 1_950_000_000  # a day in October 2031
DAY: Final = 86_400

Bodies = dict[tuple[str, bytes], bytes]


@dataclass
class Clock:
    """The clock on both walls."""

    time: int = START


@dataclass
class Side:
    """One desk, and who sits at it."""

    root: Path
    name: str
    peer: str
    clock: Clock = field(default_factory=Clock)
    kem: Kem = field(default_factory=XWing)
    random: Random = os.urandom
    step: int = STEP
    place: str = ""  # its folder, if that is not called as its owner is
    _desk: Desk | None = None

    @property
    def folder(self) -> Path:
        return self.root / (self.place or self.name.split()[0].lower())

    @property
    def counters(self) -> Path:
        return self.root / "counters"

    @property
    def means(self) -> Means:
        return Means(self.counters, self.kem, self.random)

    @property
    def desk(self) -> Desk:
        if self._desk is None:
            self._desk = Desk.open(self.folder, PASSPHRASE, means=self.means)
        return self._desk

    @property
    def person(self) -> Person:
        return self.desk.person(self.peer)

    @property
    def state(self) -> State:
        return self.desk.keys(self.person)

    @property
    def now(self) -> int:
        return self.clock.time

    def create(self) -> Self:
        owner = Owner(self.name, self.now)
        self._desk = Desk.create(self.folder, PASSPHRASE, owner, means=self.means, cost=COST, step=self.step)
        return self

    def close(self) -> None:
        if self._desk is not None:
            self._desk.close()
            self._desk = None

    def reopen(self) -> Desk:
        self.close()
        return self.desk

    def commit(self, changes: Changes, *, renewing: bool = False) -> None:
        """As the command line commits a meeting: an old copy takes over by meeting again."""
        if self.desk.restored and renewing:
            self.desk.take_over(changes)
        else:
            self.desk.commit(changes)

    def card(self, who: str | None = None, *, days: int = 30, bare: bool = False, again: bool = False) -> bytes:
        made = introductions.make_card(self.desk, who or self.peer, days=days, bare=bare, again=again, now=self.now)
        self.commit(made.changes, renewing=made.person.met)
        return made.card

    def introduced(
        self, card: bytes, *, alias: str | None = None, again: str | None = None, to_me: bool = False, days: int = 30
    ) -> Introduced:
        met = introductions.meet(self.desk, card, alias=alias, again=again, to_me=to_me, days=days, now=self.now)
        self.commit(met.changes, renewing=met.renewed)
        return met

    def answer(self, card: bytes, *, again: bool = False) -> bytes:
        answer = self.introduced(card, again=self.peer if again else None).answer
        assert answer is not None
        return answer

    def words(self) -> tuple[str, ...]:
        return words.check_words(introductions.check_string(self.desk, self.person, COST))

    def compare(self, heard: Iterable[str]) -> bool:
        check = introductions.check_string(self.desk, self.person, COST)
        same, changes = introductions.compare(self.person, check, " ".join(heard), now=self.now)
        self.desk.commit(changes)
        return same

    def save(self, text: str, *, enclosures: Iterable[Enclosure] = (), number: int | None = None) -> int:
        saved = writing.save(self.desk, self.person, text, enclosures=enclosures, number=number, now=self.now)
        self.desk.commit(saved.changes)
        return saved.draft.number

    def send(self, draft: int, *, uncompared: bool = False) -> Entry:
        stored = self.desk.draft(draft)
        sent = writing.send(self.desk, stored, uncompared=uncompared, date="today", now=self.now)
        self.desk.commit(sent.changes)
        return sent.entry

    def write(self, text: str, *, uncompared: bool = False, enclosures: Iterable[Enclosure] = ()) -> Entry:
        """A letter, from what is typed to the tray."""
        return self.send(self.save(text, enclosures=enclosures), uncompared=uncompared)

    def write_nothing(self) -> Entry:
        sent = writing.send_empty(self.desk, self.person, uncompared=False, now=self.now)
        self.desk.commit(sent.changes)
        return sent.entry

    def recall(self, number: int) -> int:
        stored, changes = writing.recall(self.desk, self.desk.entry(number), now=self.now)
        self.desk.commit(changes)
        return stored.number

    def destroy(self, number: int, *, line: bool = True) -> None:
        self.desk.commit(writing.destroy(self.desk, self.desk.entry(number), line=line))

    def pack(self, *, again: bool = False) -> bytes:
        packed = carriage.pack(self.desk, self.person, again=again, now=self.now)
        self.desk.commit(packed.changes)
        return packed.pouch

    def unpack(self, pouch: bytes) -> Unpacked:
        opened = carriage.unpack(self.desk, pouch, now=self.now)
        self.desk.commit(opened.changes)
        return opened

    def receive(self, pouch: bytes) -> list[int]:
        """Unpack what must open, all of it; the numbers it got."""
        opened = self.unpack(pouch)
        assert opened.note.whole
        assert {arrival.outcome for arrival in opened.arrivals} <= {Outcome.OPENED}
        return [arrival.number for arrival in opened.arrivals]

    def text(self, number: int) -> str:
        """A letter in text form, as its owner may ask for it."""
        desk = self.desk
        letter = desk.letter(desk.entry(number))
        return format_draft(draft_of(letter, number=desk.number_of, resolve=lambda n: desk.letter(desk.entry(n))))

    def listing(self) -> list[Entry]:
        return list(self.desk.entries())

    def bodies(self) -> Bodies:
        """Everything the desk has in its store, decrypted."""
        return bodies(self.desk)

    def envelope(self, number: int) -> bytes:
        found = self.desk.store.get(records.TRAY, records.number_name(number))
        assert found is not None
        return found


@dataclass
class Two:
    """Both sides, the first card-holder first."""

    first: Side
    second: Side
    clock: Clock

    def __iter__(self) -> Iterator[Side]:
        return iter((self.first, self.second))

    def meet(self) -> Self:
        self.first.introduced(self.second.answer(self.first.card()))
        return self

    def meet_again(self) -> Self:
        self.first.introduced(self.second.answer(self.first.card(again=True), again=True))
        return self

    def compare(self) -> Self:
        for one, other in (tuple(self), tuple(self)[::-1]):
            assert one.compare(other.words())
        return self

    def close(self) -> None:
        for side in self:
            side.close()


def side(root: Path, name: str = ANNA, peer: str = MIKHAIL, **arguments: object) -> Side:
    """A desk alone."""
    return Side(root, name, peer, **arguments).create()  # type: ignore[arg-type]


@contextlib.contextmanager
def strangers(
    root: Path, *, first: str = ANNA, kem: Kem | None = None, random: Random = os.urandom, step: int = STEP
) -> Iterator[Two]:
    """Two desks that have not met.

    Nothing in them waits for a disk: what is durable when is shown where power
    is lost (test_crash_letters.py).
    """
    clock = Clock()
    second = MIKHAIL if first == ANNA else ANNA
    kem = kem or XWing()
    two = Two(
        Side(root, first, second, clock, kem=kem, random=random, step=step),
        Side(root, second, first, clock, kem=kem, random=random, step=step),
        clock,
    )
    with unsynced():
        try:
            for each in two:
                each.create()
            yield two
        finally:
            two.close()


@contextlib.contextmanager
def two_desks(
    root: Path, *, first: str = ANNA, kem: Kem | None = None, random: Random = os.urandom, step: int = STEP
) -> Iterator[Two]:
    """Two desks that have met and compared words."""
    with strangers(root, first=first, kem=kem, random=random, step=step) as two:
        yield two.meet().compare()


@contextlib.contextmanager
def unchanged(*sides: Side) -> Iterator[None]:
    """Whatever happens inside leaves every body of the desks as it was, and no commit."""
    before = [(side.bodies(), side.desk.store.commit_number) for side in sides]
    yield
    assert [(side.bodies(), side.desk.store.commit_number) for side in sides] == before


def prose(text: str) -> str:
    """The text form of a letter that says *text*."""
    return f"Language: en\n\n{text}\n"


def bodies(desk: Desk) -> Bodies:
    store = desk.store
    names = [name for name, _ in store._catalogue.all()]
    found = {name: store.get(*name) for name in names}
    return {name: body for name, body in found.items() if body is not None}
