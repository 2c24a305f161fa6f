"""The three tables of a desk's database: its state, its catalogue, its bodies.

What is read from them is held against the tags and the state before anything
is made of it: a page may be of another time, and was then perhaps another
table's. When they are written, and in what order with the other files, is the
store's business (docs/spec/desk.md §3).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from backchannel.desk.catalogue import FOLD_SIZE, OLDER, Catalogue, Entry, Name, State, Step, TagKey, make_tag
from backchannel.desk.header import Fresh, Mark
from backchannel.desk.pages import OVERFLOW_SIZE, Pages
from backchannel.errors import LockedError
from backchannel.keys import equal

# Specification constant (docs/spec/desk.md §2).
AGE_MODULUS: Final = 2**31  # what the first page has room for

# Implementation constants.
ROW_SIZE: Final = 160  # what an object takes in the tables besides its own bytes
SHARED_SIZE: Final = 1000  # bodies up to this size share pages, larger ones begin one


@dataclass(frozen=True, slots=True, repr=False)
class Tables:
    """The tables on *pages*, whose lines are tagged under *key*."""

    pages: Pages
    key: TagKey

    def read_state(self) -> State:
        """What the newest commit left, by its own account and the first page's.

        Raises:
            LockedError: If the page of either is damaged, or of another time.
        """
        rows = self.pages.query("SELECT number, fresh, previous, count, fold, code FROM state")
        if len(rows) != 1:
            raise LockedError(OLDER)
        with _of_its_time():
            number, fresh, previous, count, fold, code = rows[0]
            state = State(Mark(number, Fresh(fresh)), Fresh(previous), count, int.from_bytes(fold))
            expected = state.code(self.key)
        # The first page changes with every commit, and nothing else on it says
        # when; the state's own page says it in full.
        if not equal(code, expected) or self.pages.age() != number % AGE_MODULUS:
            raise LockedError(OLDER)
        return state

    def read_catalogue(self, state: State) -> Catalogue:
        """The catalogue, which *state* vouches for."""
        rows = self.pages.query("SELECT room, name, row, number, tag FROM catalogue")
        with _of_its_time():
            return Catalogue.of(rows, state)

    def read_bodies(self, entries: Iterable[Entry]) -> dict[int, object]:
        """The bytes of several objects by row, in one query; not yet held against their tags."""
        rows = [entry.row for entry in entries]
        marks = ", ".join("?" * len(rows))
        return dict(self.pages.query(f"SELECT row, bytes FROM body WHERE row IN ({marks})", *rows))  # noqa: S608 - only marks

    def read_body(self, name: Name, entry: Entry) -> bytes:
        """The bytes of one object, as its *entry* vouches for them."""
        rows = self.pages.query("SELECT bytes FROM body WHERE row = ?", entry.row)
        return self.checked(name, entry, rows[0][0] if rows else None)

    def checked(self, name: Name, entry: Entry, body: object) -> bytes:
        """Give *body*, if it is what *entry* says; else its page is of another time."""
        if not isinstance(body, bytes) or not equal(make_tag(self.key, name, entry.number, body), entry.tag):
            raise LockedError(OLDER)
        return body

    def write(self, state: State, plan: list[Step]) -> None:
        """Write what *plan* changes, and the *state* after it, within a transaction."""
        for step in plan:
            if step.new is None:
                assert step.old is not None  # a plan deletes what is there
                self.pages.run("DELETE FROM catalogue WHERE row = ?", step.old.row)
                self.pages.run("DELETE FROM body WHERE row = ?", step.old.row)
                continue
            new, (room, name) = step.new, step.name
            self.pages.run("REPLACE INTO catalogue VALUES (?, ?, ?, ?, ?)", new.row, room, name, new.number, new.tag)
            self.pages.run("REPLACE INTO body VALUES (?, ?)", new.row, step.body)
        self.write_state(state)

    def write_state(self, state: State) -> None:
        """Write the *state* alone, as a new desk has it."""
        mark = state.mark
        values = (
            mark.number,
            mark.fresh,
            state.previous,
            state.count,
            state.fold.to_bytes(FOLD_SIZE),
            state.code(self.key),
        )
        self.pages.run("REPLACE INTO state VALUES (1, ?, ?, ?, ?, ?, ?)", *values)
        self.pages.set_age(mark.number % AGE_MODULUS)


def pages_for(plan: list[Step]) -> int:
    """About how many pages *plan* may take, on the high side."""
    large, small = 0, 0
    for step in plan:
        if len(step.body) > SHARED_SIZE:
            large += len(step.body) // OVERFLOW_SIZE + 1
            small += ROW_SIZE + len(step.name[1])
        else:
            small += ROW_SIZE + len(step.name[1]) + len(step.body)
    return large + 2 * small // OVERFLOW_SIZE  # twice: a page that splits is half empty


@contextlib.contextmanager
def _of_its_time() -> Iterator[None]:
    """A page may have been another table's when it was copied: its rows are no rows of this one."""
    try:
        yield
    except (TypeError, ValueError, OverflowError):
        raise LockedError(OLDER) from None
