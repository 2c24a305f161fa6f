"""The catalogue: what lies in the store, and how old each thing in it is.

SQLCipher authenticates every page of the database but not its age: a page
copied last week and put back today decrypts. So every object has a tag over its
name, its body and the commit that wrote it; all tags together fold into one
value; and the state, a code over fold, count and commit, stands in a row of its
own. Whichever page is put back, one of the three no longer agrees
(docs/spec/desk.md §4). This module holds and computes; it reads no disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from backchannel.desk.header import DeskKey, Fresh, Mark
from backchannel.encoding import framed
from backchannel.errors import LockedError
from backchannel.keys import Fixed, Secret, derive, equal, mac

# Specification constants (docs/spec/desk.md §4).
FOLD_SIZE: Final = 32

Name = tuple[str, bytes]
"""What an object is called: its room, and its name in it."""

OLDER: Final = "a page of this desk is older than the desk: it was put back from a copy"


class TagKey(Secret):
    """What tags and states are made with."""

    __slots__ = ()

    @classmethod
    def of(cls, key: DeskKey) -> Self:
        (derived,) = derive(b"", key, framed(b"backchannel/v1/desk/catalogue"), count=1)
        return cls(derived)


class Tag(Fixed):
    """A code over one object and the commit that wrote it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the catalogue: the row its body is in, the commit that wrote it, its tag."""

    row: int
    number: int
    tag: Tag


@dataclass(frozen=True, slots=True)
class State:
    """The whole store in a few numbers: everything else answers to it."""

    mark: Mark
    previous: Fresh
    count: int
    fold: int

    @classmethod
    def empty(cls, mark: Mark) -> State:
        return cls(mark, mark.fresh, 0, 0)

    def code(self, key: TagKey) -> bytes:
        """The code that stands beside the state in its row."""
        return mac(
            key,
            b"backchannel/v1/desk/state",
            self.mark.number,
            self.mark.fresh,
            self.previous,
            self.count,
            self.fold.to_bytes(FOLD_SIZE),
        )

    def after(self, mark: Mark, plan: list[Step]) -> State:
        """The state when the commit *mark* has carried out *plan*."""
        count, fold = self.count, self.fold
        for step in plan:
            if step.old is not None:
                count, fold = count - 1, fold ^ int.from_bytes(step.old.tag)
            if step.new is not None:
                count, fold = count + 1, fold ^ int.from_bytes(step.new.tag)
        return State(mark, self.mark.fresh, count, fold)


@dataclass(frozen=True, slots=True)
class Step:
    """One object's change: what was there, what will be, and the bytes of it."""

    name: Name
    old: Entry | None
    new: Entry | None
    body: bytes


class Catalogue:
    """All entries, in memory while the desk is open."""

    __slots__ = ("_next_row", "_rooms")

    def __init__(self) -> None:
        self._rooms: dict[str, dict[bytes, Entry]] = {}
        self._next_row = 1

    @classmethod
    def of(cls, rows: Iterable[tuple[str, bytes, int, int, bytes]], state: State) -> Self:
        """Make the catalogue of *rows* (room, name, row, number, tag), and hold it against *state*.

        The tags are taken as they were read, not made anew from bodies: nobody
        without the desk key can write a line, only put an old one back, and a
        set of old and new lines whose tags fold to the same value cannot be
        chosen by someone who does not see the tags.

        Raises:
            LockedError: If a line is missing, is there twice, or is of another time.
        """
        catalogue, fold, count = cls(), 0, 0
        for room, name, row, number, tag in rows:
            catalogue.add((room, name), Entry(row, number, Tag(tag)))
            fold ^= int.from_bytes(tag)
            count += 1
        # Twice the same line would fold to nothing; the number of names tells.
        names = sum(map(len, catalogue._rooms.values()))
        if not (names == count == state.count and equal(fold.to_bytes(FOLD_SIZE), state.fold.to_bytes(FOLD_SIZE))):
            raise LockedError(OLDER)
        return catalogue

    def get(self, room: str, name: bytes) -> Entry | None:
        return self._rooms.get(room, {}).get(name)

    def names(self, room: str) -> list[bytes]:
        return sorted(self._rooms.get(room, ()))

    def all(self) -> Iterator[tuple[Name, Entry]]:
        for room, entries in self._rooms.items():
            for name, entry in entries.items():
                yield (room, name), entry

    def add(self, name: Name, entry: Entry) -> None:
        room, rest = name
        if room not in self._rooms:
            self._rooms[room] = {}
        self._rooms[room][rest] = entry
        if entry.row >= self._next_row:
            self._next_row = entry.row + 1

    def plan(self, changes: dict[Name, bytes | None], number: int, key: TagKey) -> list[Step]:
        """Work out what commit *number* does, without doing it."""
        plan, row = [], self._next_row
        for name, body in changes.items():
            old = self.get(*name)
            if body is not None:
                if old is None:
                    row += 1
                new = Entry(row - 1 if old is None else old.row, number, make_tag(key, name, number, body))
                plan.append(Step(name, old, new, body))
            elif old is not None:
                plan.append(Step(name, old, None, b""))
        return plan

    def carry_out(self, plan: list[Step]) -> None:
        for step in plan:
            if step.new is not None:
                self.add(step.name, step.new)
            else:
                room, rest = step.name
                del self._rooms[room][rest]


def make_tag(key: TagKey, name: Name, number: int, body: bytes) -> Tag:
    """The tag of *body*, called *name*, as the commit *number* wrote it."""
    room, rest = name
    return Tag(mac(key, b"backchannel/v1/desk/object", room, rest, number, body))
