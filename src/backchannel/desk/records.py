"""What a desk writes down: people, letters, drafts and pouches, as values and as bytes.

Each is a frozen record that encodes to one body of the store. The rooms of the
store, in which these lie, are listed below; nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, Self

from backchannel.encoding import Value, decode, encode
from backchannel.errors import MalformedError, UsageError
from backchannel.keys import Digest, Fixed, LetterId
from backchannel.letters import Enclosure
from backchannel.seal.card import Carriage, Terms

# The rooms of the store, and what names a body in each.
SELF: Final = "self"  # b"": the owner
PEOPLE: Final = "people"  # PersonId
CARDS: Final = "cards"  # b"": the register of cards
KEYS: Final = "keys"  # PersonId and generation: a ratchet's state
LETTERS: Final = "letters"  # number: an Entry
TEXTS: Final = "texts"  # number: the item, packed as the envelope had it, whether or not it is a letter
ENVELOPES: Final = "envelopes"  # digest: the number of the letter that came or went in it
SENT: Final = "sent"  # PersonId, generation and index: the number of an own letter
IDS: Final = "ids"  # LetterId: the number of the first letter that bore it
NUMBERS: Final = "numbers"  # a room: the highest number in it that has left no line
TRAY: Final = "tray"  # number: an envelope that may have to be carried again
DRAFTS: Final = "drafts"  # number: a StoredDraft
POUCHES: Final = "pouches"  # number: a PouchNote
POST: Final = "post"  # b"": this desk's membership in a post office (desk/post.py)


class PersonId(Fixed):
    """This desk's own random name for somebody."""

    size: ClassVar[int] = 8
    __slots__ = ()


class Stage(StrEnum):
    """How far a letter has come, as this desk knows it."""

    TRAY = "in the tray"
    LEFT = "left"
    CARRIED = "carried to their porter"
    PASSED = "left; they have read a later one"
    ARRIVED = "arrived"
    RECALLED = "recalled"
    RECEIVED = "received"
    READ = "read"
    DESTROYED = "destroyed"


class _Record:
    """A record is encoded as its fields in order."""

    __slots__ = ()

    def encode(self) -> bytes:
        return encode(self._value())

    def _value(self) -> Value:
        raise AssertionError

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else.
        """
        try:
            return cls._of(decode(data))
        except (TypeError, ValueError, UsageError):
            raise MalformedError(f"a record of the desk does not parse: {cls.__name__}") from None

    @classmethod
    def _of(cls, value: Any) -> Self:
        raise AssertionError(value)


@dataclass(frozen=True, slots=True)
class Owner(_Record):
    """Whose desk this is, since when."""

    name: str
    made: int

    def _value(self) -> Value:
        return self.name, self.made

    @classmethod
    def _of(cls, value: Any) -> Self:
        return cls(*value)


@dataclass(frozen=True, slots=True)
class Renewed:
    """Keys that were renewed: they write no more, and read what is under way until 90 days after *date*."""

    generation: int
    date: int
    compared: int  # when the words of that generation were compared; 0: never


@dataclass(frozen=True, slots=True)
class Person(_Record):
    """A correspondent, or somebody who is to become one. Generations of keys are counted from 1."""

    id: PersonId
    name: str
    terms: tuple[Terms, ...] = ()  # of the two cards: the first, the answering
    generation: int = 0
    renewed: tuple[Renewed, ...] = ()
    compared: int = 0  # when the words of this generation were compared; 0: not yet
    mine: Carriage | None = None  # where this desk writes to them, and its mailbox, as its card said
    theirs: Carriage | None = None  # the same of theirs

    @property
    def met(self) -> bool:
        return self.generation > 0

    @property
    def generations(self) -> tuple[int, ...]:
        """The generations whose keys are kept, newest first."""
        return (self.generation, *(old.generation for old in reversed(self.renewed))) if self.met else ()

    def vouched(self, generation: int) -> bool:
        """Whether the words of that *generation* were compared."""
        dates = {old.generation: old.compared for old in self.renewed} | {self.generation: self.compared}
        return bool(dates.get(generation))

    def _value(self) -> Value:
        terms = tuple((t.holder, t.reader, t.expires, t.archive or b"") for t in self.terms)
        renewed = tuple((old.generation, old.date, old.compared) for old in self.renewed)
        posts = _carried(self.mine), _carried(self.theirs)
        return self.id, self.name, terms, self.generation, renewed, self.compared, *posts

    @classmethod
    def _of(cls, value: Any) -> Self:
        id_, name, terms, generation, renewed, compared, mine, theirs = value
        cards = tuple(Terms(h, r, e, archive=Digest(a) if a else None) for h, r, e, a in terms)
        before = tuple(Renewed(*old) for old in renewed)
        return cls(PersonId(id_), name, cards, generation, before, compared, _carriage(mine), _carriage(theirs))


@dataclass(frozen=True, slots=True)
class Entry(_Record):
    """A letter as the list shows it. Dates are seconds since 1970, 0 for never."""

    number: int
    person: PersonId
    outgoing: bool
    stage: Stage
    generation: int
    index: int  # its number among its writer's letters of that generation
    id: LetterId | None  # None: the item was no letter
    kind: str  # "letter", or what else came
    dated: str  # as written
    words: int
    sealed: int  # when it was sealed here, or opened here
    left: int = 0
    pouch: int = 0  # the pouch it left or came in, by number
    uncompared: bool = False  # under keys whose words had not been compared: it may be anybody's, or for anybody
    superseded: bool = False  # came under keys that had been renewed: whoever had those may have written it
    root: bytes = b""  # the letter root, once the text is destroyed
    posted: int = 0  # the line on which it was handed to the porter (desk/post.py); 0: it was not

    def _value(self) -> Value:
        return (
            self.number,
            self.person,
            int(self.outgoing),
            self.stage.value,
            self.generation,
            self.index,
            self.id or b"",
            self.kind,
            self.dated,
            self.words,
            self.sealed,
            self.left,
            self.pouch,
            int(self.uncompared),
            int(self.superseded),
            self.root,
            self.posted,
        )

    @classmethod
    def _of(cls, value: Any) -> Self:
        number, person, outgoing, stage, generation, index, id_, *rest = value
        kind, dated, words, sealed, left, pouch, uncompared, superseded, root, posted = rest
        return cls(
            number,
            PersonId(person),
            bool(outgoing),
            Stage(stage),
            generation,
            index,
            LetterId(id_) if id_ else None,
            kind,
            dated,
            words,
            sealed,
            left,
            pouch,
            bool(uncompared),
            bool(superseded),
            root,
            posted,
        )


@dataclass(frozen=True, slots=True)
class StoredDraft(_Record):
    """A draft in its text form, with the files it encloses."""

    number: int
    person: PersonId
    text: str
    enclosures: tuple[Enclosure, ...]
    saved: int

    def _value(self) -> Value:
        files = tuple((e.name, e.media_type, e.data) for e in self.enclosures)
        return self.number, self.person, self.text, files, self.saved

    @classmethod
    def _of(cls, value: Any) -> Self:
        number, person, text, files, saved = value
        return cls(number, PersonId(person), text, tuple(Enclosure(*file) for file in files), saved)


@dataclass(frozen=True, slots=True)
class PouchNote(_Record):
    """A pouch that was packed or unpacked here."""

    number: int
    seal: str
    person: PersonId
    outgoing: bool
    date: int
    letters: tuple[int, ...]
    whole: bool = True

    def _value(self) -> Value:
        return self.number, self.seal, self.person, int(self.outgoing), self.date, self.letters, int(self.whole)

    @classmethod
    def _of(cls, value: Any) -> Self:
        number, seal, person, outgoing, date, letters, whole = value
        return cls(number, seal, PersonId(person), bool(outgoing), date, letters, bool(whole))


def number_name(number: int) -> bytes:
    """The name of the body with this number: eight bytes, so that names sort as numbers."""
    return number.to_bytes(8)


def _carried(carriage: Carriage | None) -> Value:
    return (carriage.place, carriage.mailbox, carriage.charter) if carriage else ()


def _carriage(value: Any) -> Carriage | None:
    if not value:
        return None
    place, mailbox, charter = value
    return Carriage(place, mailbox, Digest(charter))
