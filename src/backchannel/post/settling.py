"""Settling: how operators come to one table for a round, or to none.

Each asks each other for the digests of the rows it was given, takes what it was
not given itself from one that has it, and then holds its descriptor against
theirs. A row stands when all who were given one hold the same bytes; a round
stands when all descriptors are equal (docs/spec/round.md §3). Nothing is
signed: a liar can make rows and rounds void, and prove nothing. A machine of
one round: requests out, answers in.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from backchannel.encoding import Value
from backchannel.keys import Digest, sha256
from backchannel.post.charter import Charter
from backchannel.post.link import ROWS_AT_ONCE
from backchannel.post.visit import Descriptor, describe

# Specification constants (docs/spec/round.md §3).
LABEL_ROW: Final = b"backchannel/v1/round/row"
NOT_YET: Final = ()
VOID: Final = (0,)


class Why(StrEnum):
    """Why a round is void."""

    SILENT = "did not answer"
    VOID = "holds the round to be void"
    OTHER = "has another table"
    LIED = "has not the rows that it said"
    RESTART = "this operator was started in it"


@dataclass(slots=True)
class Settling:
    """One round on its way to a table, at one operator."""

    charter: Charter
    me: str
    number: int
    roster: bytes  # one bit a mailbox, of those that may hand in at this operator
    rows: dict[int, bytes]  # what was handed in here
    lists: dict[str, tuple[bytes, dict[int, Digest]]] = field(default_factory=dict)
    wanted: dict[int, list[str]] = field(default_factory=dict)  # rows to be taken from others, and from whom
    agreed: set[str] = field(default_factory=set)
    table: dict[int, bytes] | None = None
    descriptor: Descriptor | None = None
    failed: tuple[Why, str] | None = None

    @property
    def peers(self) -> list[str]:
        return [seat.name for seat in self.charter.seats if seat.name != self.me]

    @property
    def done(self) -> bool:
        """Whether the round stands."""
        return self.failed is None and self.descriptor is not None and self.agreed == set(self.peers)

    def given(self) -> Value:
        """What this operator says that it was given."""
        # Once it has heard the others its roster is theirs too, and rows of mailboxes outside it are no matter.
        rows = [(mailbox, row) for mailbox, row in sorted(self.rows.items()) if in_roster(self.roster, mailbox)]
        return self.roster, tuple((mailbox, digest(mailbox, row)) for mailbox, row in rows)

    def requests(self) -> list[tuple[str, tuple[Value, ...]]]:
        """What to ask whom now; the same again until it is answered."""
        if self.failed:
            return []
        missing = [peer for peer in self.peers if peer not in self.lists]
        if missing:
            return [(peer, ("list", self.number)) for peer in missing]
        if self.descriptor is None:
            asked: dict[str, list[int]] = {}
            for mailbox, holders in sorted(self.wanted.items()):
                asked.setdefault(holders[0], []).append(mailbox)
            return [(peer, ("rows", self.number, tuple(boxes[:ROWS_AT_ONCE]))) for peer, boxes in asked.items()]
        return [(peer, ("table", self.number)) for peer in self.peers if peer not in self.agreed]

    def heard(self, peer: str, request: tuple[Value, ...], answer: Any) -> None:
        """Take an answer; one that is no answer to *request* is as none."""
        if answer == NOT_YET or self.failed or peer not in self.peers:
            return
        if answer == VOID:
            self.failed = Why.VOID, peer
            return
        with contextlib.suppress(TypeError, ValueError):
            match request[0]:
                case "list" if peer not in self.lists:
                    self._take_list(peer, answer)
                case "rows":
                    self._take_rows(peer, request[2], answer)
                case "table" if self.descriptor is not None:
                    self._take_descriptor(peer, answer)

    def give_up(self) -> tuple[Why, str]:
        """The time is over: why the round is void."""
        if self.failed is None:
            late = [peer for peer in self.peers if peer not in (self.agreed if self.descriptor else self.lists)]
            self.failed = Why.SILENT, (late or [next(iter(self.wanted.values()))[0]])[0]
        return self.failed

    def _take_list(self, peer: str, answer: Any) -> None:
        self.lists[peer] = _read_list(answer, size=len(self.roster))
        if len(self.lists) == len(self.peers):
            self._merge()

    def _merge(self) -> None:
        """Who may hand in is who may everywhere; a row stands if nobody was given another."""
        number = int.from_bytes(self.roster)
        for roster, _ in self.lists.values():
            number &= int.from_bytes(roster)
        self.roster = number.to_bytes(len(self.roster))
        given = {self.me: {mailbox: digest(mailbox, row) for mailbox, row in self.rows.items()}}
        given |= {peer: rows for peer, (_, rows) in self.lists.items()}
        self.table = {}
        for mailbox in sorted({mailbox for rows in given.values() for mailbox in rows}):
            names = {rows[mailbox] for rows in given.values() if mailbox in rows}
            if len(names) > 1 or not in_roster(self.roster, mailbox):
                continue
            if mailbox in self.rows:
                self.table[mailbox] = self.rows[mailbox]
            else:
                self.wanted[mailbox] = [peer for peer in self.peers if mailbox in given[peer]]
        self._describe()

    def _take_rows(self, peer: str, asked: Any, answer: Any) -> None:
        assert self.table is not None  # rows are asked for after the lists
        for mailbox, row in zip(asked, answer, strict=False):
            holders = self.wanted.get(mailbox)
            if not holders or holders[0] != peer:
                continue
            said = self.lists[peer][1][mailbox]
            # A text has the digest of its bytes, and is none.
            size = len(row) if isinstance(row, bytes) else -1
            if size == self.charter.numbers.packet and digest(mailbox, row) == said:
                self.table[mailbox] = row
                del self.wanted[mailbox]
            else:
                holders.pop(0)
                if not holders:
                    self.failed = Why.LIED, peer
        self._describe()

    def _describe(self) -> None:
        if not self.wanted and not self.failed and self.table is not None:
            rows = sorted(self.table.items())
            self.descriptor = describe(self.charter, self.number, roster=self.roster, rows=rows)

    def _take_descriptor(self, peer: str, answer: Any) -> None:
        (raw,) = answer
        assert self.descriptor is not None
        if raw == self.descriptor.encode():
            self.agreed.add(peer)
        else:
            self.failed = Why.OTHER, peer


def _read_list(answer: Any, *, size: int) -> tuple[bytes, dict[int, Digest]]:
    """A list as another operator gives it: its roster, of *size* bytes, and the rows of mailboxes in it.

    Raises:
        ValueError, TypeError: If it is none. Nothing of it is kept, then: what is merged must not fail.
    """
    roster, rows = answer
    if not isinstance(roster, bytes) or len(roster) != size:
        raise ValueError
    named: dict[int, Digest] = {}
    for mailbox, name in rows:
        if not isinstance(mailbox, int) or not isinstance(name, bytes) or not in_roster(roster, mailbox):
            raise ValueError
        named[mailbox] = Digest(name)
    return roster, named


def digest(mailbox: int, row: bytes) -> Digest:
    """What operators know a row by among themselves."""
    return sha256(LABEL_ROW, mailbox, row)


def in_roster(roster: bytes, mailbox: int) -> bool:
    """Whether *mailbox* is in a roster of one bit a mailbox."""
    return 0 < mailbox < 8 * len(roster) and bool(roster[mailbox // 8] & 0x80 >> mailbox % 8)
