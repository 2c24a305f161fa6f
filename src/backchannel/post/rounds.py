"""Rounds: what an operator does, as a machine.

It takes visits and enrolments, comes to a table with the other operators
(post/settling.py), answers the queries about it, and gives the answers to the
visit that collects them. What arrives and when, and what is done with what
leaves, is the edge's (office/). The rules, each held here (docs/spec/round.md):

 * what does not parse gets no byte; everything else the size that a right one has
 * the first visit of a mailbox in a round counts; the same bytes get the same back
 * an answer is sealed to the key that came with its query
 * an operator takes part from the first whole round after its start: what it was
   doing when it stopped is void, and never done again
 * the key of a day is erased when the day is over
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from backchannel.encoding import Value, decode, encode
from backchannel.errors import MalformedError, VerificationError
from backchannel.kem import PrivateKey
from backchannel.keys import Digest, Random
from backchannel.post import enrolment, link, retrieval
from backchannel.post import visit as visits
from backchannel.post.charter import Charter, SignedCharter
from backchannel.post.charters import Charters, OperatorKeys
from backchannel.post.ciphers import Ciphers
from backchannel.post.days import Days
from backchannel.post.enrolment import Enrolment, Ticket
from backchannel.post.kernels.product import product
from backchannel.post.link import Greeting
from backchannel.post.links import Links
from backchannel.post.members import Members
from backchannel.post.settling import NOT_YET, VOID, Settling, Why, in_roster
from backchannel.post.shelf import Changes, Shelf
from backchannel.post.visit import Answers, Descriptor, Reply, Visit

# Rooms of the shelf, besides those of charters, members and days.
SEEN: Final = "seen"  # b"": one more than the last round in which each mailbox was seen, four bytes each
TABLES: Final = "tables"  # round: roster, descriptor, mailboxes, rows
NOTES: Final = "notes"  # day: what happened on it, counted

DAY: Final = 86_400_000  # ms


@dataclass(frozen=True, slots=True)
class Replying:
    """What to send back, and not before which instant."""

    body: bytes
    instant: int
    accepted: bool = False  # whether it is to the first and right visit of its mailbox: one a round


@dataclass(frozen=True, slots=True)
class Table:
    """The table of a round that stands."""

    roster: bytes
    descriptor: Descriptor
    mailboxes: NDArray[np.intp]
    rows: NDArray[np.uint8]


@dataclass(slots=True)
class _Round:
    """What has come in a round."""

    visits: dict[int, tuple[bytes, Replying]] = field(default_factory=dict)  # digest of the box, and the reply
    deposits: dict[int, bytes] = field(default_factory=dict)


class Operator:
    """One operator on its shelf."""

    def __init__(self, shelf: Shelf, keys: tuple[OperatorKeys, ...], ciphers: Ciphers, *, random: Random) -> None:
        """Open what :meth:`adopt` has begun, with all key sets that this operator has had and will have."""
        self.name = keys[0].name
        self._shelf = shelf
        self._ciphers = ciphers
        self._random = random
        self._charters = Charters(shelf, keys)
        self._members = Members(shelf, self._charters, random)
        self._days = Days(shelf, ciphers.kem, random)
        self._links = Links(self._charters, ciphers, random)
        self._since = 2**32  # no round before begin() is this operator's
        self._rounds: dict[int, _Round] = {}
        self._settling: dict[int, Settling] = {}
        self._admitted = self._last_admitted()
        self._pending: dict[int, deque[Visit]] = {}
        self._answers: dict[int, tuple[int, bool, bytes]] = {}
        self._tables: dict[int, Table | None] = {}
        seen = shelf.get(SEEN, b"") or b""
        self._seen = {at // 4: int.from_bytes(seen[at : at + 4]) for at in range(0, len(seen), 4)}

    @property
    def charters(self) -> tuple[SignedCharter, ...]:
        return tuple(self._charters.all)

    @property
    def clocks(self) -> Mapping[str, int]:
        """How far each other operator's clock was ahead of this one's, in ms, when last heard."""
        return self._links.clocks

    def charter_at(self, now: int) -> Charter:
        """The charter by which an instant belongs to a round."""
        return self._charters.at(now)

    def charter(self, number: int) -> Charter:
        """The charter of round *number*."""
        return self._charters.of(number)

    # Charters, tickets, members.

    def adopt(self, signed: SignedCharter) -> None:
        """Take a charter that all of its operators have signed: the first, or one that follows.

        Raises:
            RefusedError, VerificationError, UsageError: As :meth:`Charters.check`.
        """
        if not self._charters.check(signed):
            return
        signed.charter.check_keys(self._ciphers.kem)
        changes: Changes = {}
        known = self._charters.operators
        new = frozenset(seat.name for seat in signed.charter.seats) - known - {self.name}
        self._charters.keep(signed, changes)
        self._members.introduce(new, changes)
        self._shelf.commit(changes)
        self._charters.add(signed)

    def issue(self, count: int) -> list[tuple[int, Ticket]]:
        """Make tickets for mailboxes of this operator's shares (post/members.py)."""
        return self._members.issue(count)

    def retire(self, mailbox: int) -> None:
        """Give a mailbox up (post/members.py)."""
        self._members.retire(mailbox)

    def ask(self, kind: str, box: bytes, now: int) -> bytes | None:
        """Answer a request that is no visit; None if it does not parse."""
        for signed in reversed(self._charters.all):
            seat = self._charters.seat(signed.charter)
            if seat is None:
                continue
            try:
                body, key = enrolment.open(
                    kind, box, seat.sealing, charter=signed.charter, operator=self.name, kem=self._ciphers.kem
                )
            except (VerificationError, MalformedError):
                continue
            reply = self._answer(kind, body, signed.charter, now)
            return enrolment.seal_reply(kind, reply, key, cipher=self._ciphers.replies)
        return None

    def _answer(self, kind: str, body: bytes, charter: Charter, now: int) -> bytes:
        number = max(self._charters.round_at(now), 0)
        if kind == "enrol":
            return enrolment.encode_enrolled(self._members.enrol(Enrolment.decode(body), charter, number))
        if kind == "key":
            current = self.charter(number)
            keys, day = self._charters.seat(current) or self._charters.seat(charter), current.day_of(number)
            day = max(day, self._days.first)
            assert keys is not None  # the request was opened with them
            return b"".join(self._days.public(each, current, keys).encode() for each in (day, day + 1))
        following = self._charters.all[-1]
        coming = following.charter.numbers.first > number and len(self._charters.all) > 1
        return enrolment.encode_charter(following.encode() if coming else b"")

    # Visits.

    def begin(self, now: int) -> None:
        """Start, or start again: rounds that have begun are not this operator's any more."""
        number = self._charters.round_at(now)
        # A clock may have been put back: a round whose table stands is not made again.
        kept = self._shelf.names(TABLES)
        self._since = max(number, int.from_bytes(kept[-1]) if kept else number) + 1
        self._days_ahead(number)
        changes: Changes = {}
        self._note(changes, now, Why.RESTART.value)
        self._shelf.commit(changes)

    def visit(self, box: bytes, now: int) -> Replying | None:
        """Take a visit: the reply and its instant; None if it does not parse."""
        charter = self.charter_at(now)
        number = charter.round_at(now)
        if number < charter.numbers.first or self._charters.seat(charter) is None:
            return None
        me = charter.seat(self.name)
        # Size first: everything behind it may be as slow as decapsulation.
        sizes = {visits.request_size(charter, number, me, more=more) for more in (False, True)}
        if len(box) not in sizes:
            return None
        day = charter.day_of(number)
        private = self._days.private(day)
        if private is None:
            return None
        try:
            visit, raw = visits.open(box, private, day, charter=charter, operator=self.name, kem=self._ciphers.kem)
        except (VerificationError, MalformedError):
            return None
        instant = charter.instant(visit.mailbox, number) + charter.numbers.hold
        reply = self._take(visit, raw, box, charter=charter, number=number, now=now)
        if reply is None:
            # What goes wrong is as large as what goes right, and as late.
            size = visits.reply_size(charter, more=bool(visit.collect and visit.collect[1]))
            return Replying(self._random(size), instant)
        return reply

    def _take(
        self, visit: Visit, raw: bytes, box: bytes, *, charter: Charter, number: int, now: int
    ) -> Replying | None:
        """Accept a visit, if it is one of this round by the owner of its mailbox."""
        member = self._members.get(visit.mailbox, number)
        if member is None or visit.round != number or now < charter.agreed_by(number) or number < self._since:
            return None
        try:
            visits.check(raw, member.key, charter=charter, operator=self.name)
        except VerificationError:
            return None
        current = self._rounds.setdefault(number, _Round())
        name = hashlib.sha256(box).digest()
        if visit.mailbox in current.visits:
            before, reply = current.visits[visit.mailbox]
            return replace(reply, accepted=False) if before == name else None
        current.deposits[visit.mailbox] = visit.deposit
        self._pending.setdefault(number, deque()).append(visit)
        leaves = max(now, charter.instant(visit.mailbox, number) + charter.numbers.hold)
        keys = self._charters.seat(charter)
        assert keys is not None  # or the visit would not have been opened
        said = Reply(
            answers=self._collected(visit, charter),
            seen=self._seen.get(visit.mailbox, visits.NEVER),
            time=leaves,  # by this clock; so it does not show how long the reply was held
            admitted=self._admitted.get(charter.digest, (0,) * len(charter.shares)),
            tomorrow=self._days.public(charter.day_of(number) + 1, charter, keys),
        )
        self._seen[visit.mailbox] = number + 1
        sealed = visits.seal_reply(said, visit, charter=charter, operator=self.name, cipher=self._ciphers.replies)
        reply = Replying(sealed, leaves, accepted=True)
        current.visits[visit.mailbox] = name, reply
        return reply

    def _collected(self, visit: Visit, charter: Charter) -> bytes:
        """The answers to the visit that this one collects, or as many random bytes."""
        more = bool(visit.collect and visit.collect[1])
        found = self._answers.pop(visit.mailbox, None)
        if found is not None and visit.collect == found[:2] and found[0] >= charter.numbers.first:
            return found[2]
        return self._random(visits.answers_size(charter, more=more))

    # The table of a round.

    def settle(self, number: int) -> Settling | None:
        """Begin to settle round *number*, which is over; None if it is not this operator's."""
        charter = self.charter(number)
        if number < max(self._since, charter.numbers.first) or self._charters.seat(charter) is None:
            return None
        if number not in self._settling:
            deposits = self._rounds.get(number, _Round()).deposits
            roster = self._members.roster(number, charter.numbers.capacity)
            given = {mailbox: row for mailbox, row in deposits.items() if in_roster(roster, mailbox)}
            self._settling[number] = Settling(charter, self.name, number, roster, given)
        return self._settling[number]

    def settled(self, number: int, now: int) -> Descriptor:
        """End the settling of round *number*: its table stands, or it is void. All is committed."""
        settling = self._settling.get(number)
        charter = self.charter(number)
        changes = self._pruned(number, stands=settling is not None and settling.done)
        if settling is not None and settling.done and settling.descriptor and settling.table is not None:
            descriptor = settling.descriptor
            self._admitted = {charter.digest: _filled(charter, settling.roster)}
            rows = sorted(settling.table.items())
            raw = encode(
                (settling.roster, descriptor.encode(), tuple(m for m, _ in rows), b"".join(r for _, r in rows))
            )
            changes[TABLES, number.to_bytes(8)] = raw
            self._note(changes, now, "stands")
        else:
            descriptor = visits.void(charter, number)
            why, peer = settling.give_up() if settling else (Why.RESTART, "")
            self._note(changes, now, f"{peer} {why.value}".strip())
        seen = [self._seen.get(mailbox, 0) for mailbox in range(max(self._seen, default=-1) + 1)]
        changes[SEEN, b""] = b"".join(each.to_bytes(4) for each in seen)
        self._shelf.commit(changes)
        self._tables.pop(number, None)
        self._rounds.pop(number, None)
        return descriptor

    def compute(self, number: int) -> int:
        """Answer the queries that have come in round *number*; how many visits they were of."""
        # Visits come in another thread meanwhile: what is taken here is whole, and what comes later waits.
        waiting = self._pending.get(number, deque())
        batch = [waiting.popleft() for _ in range(len(waiting))]
        charter = self.charter(number)
        for more in (False, True):
            some = [visit for visit in batch if visit.more == more]
            for visit, answers in zip(some, self._answer_all(some, charter, number, more=more), strict=True):
                sealed = visits.seal_answers(
                    answers, visit, charter=charter, operator=self.name, cipher=self._ciphers.replies
                )
                self._answers[visit.mailbox] = number, more, sealed
        return len(batch)

    def _answer_all(self, batch: list[Visit], charter: Charter, number: int, *, more: bool) -> list[Answers]:
        if not batch:
            return []
        me, size, rows = charter.seat(self.name), charter.numbers.packet, charter.numbers.capacity
        asked = charter.tables(number, more=more)
        found: list[list[bytes]] = [[] for _ in batch]
        for at, wanted in enumerate(asked):
            table = self._table(wanted, charter, number)
            if table is None:
                for each in found:
                    each.append(bytes(size))
                continue
            explicit = charter.explicit(number, at) == me
            vectors = [
                retrieval.expand(visit.shares[at], rows, explicit=explicit, stream=self._ciphers.stream)
                for visit in batch
            ]
            stacked = np.frombuffer(b"".join(vectors), np.uint8).reshape(len(batch), -1)
            for each, answer in zip(found, product(stacked, table.rows, table.mailboxes), strict=True):
                each.append(answer.tobytes())
        tables = [self._table(wanted, charter, number) for wanted in dict.fromkeys(asked)]
        descriptors = tuple(
            table.descriptor if table else visits.void(charter, wanted)
            for wanted, table in zip(dict.fromkeys(asked), tables, strict=True)
        )
        return [Answers(descriptors, tuple(each)) for each in found]

    def _table(self, wanted: int, charter: Charter, number: int) -> Table | None:
        """The table of a round, if it stands, was kept, and is served in round *number*."""
        if not charter.readable(wanted, number):
            return None
        if wanted not in self._tables:
            raw = self._shelf.get(TABLES, wanted.to_bytes(8))
            kept = charter.tables(number, more=True)
            self._tables = {at: table for at, table in self._tables.items() if at in kept}
            self._tables[wanted] = _read_table(raw, charter.numbers.packet) if raw else None
        return self._tables[wanted]

    def _last_admitted(self) -> dict[Digest, tuple[int, ...]]:
        """How many mailboxes of each share the last table had, by its charter: under the next, all count anew."""
        names = self._shelf.names(TABLES)
        if not names:
            return {}
        charter = self.charter(int.from_bytes(names[-1]))
        table = _read_table(self._shelf.get(TABLES, names[-1]) or b"", charter.numbers.packet)
        return {charter.digest: _filled(charter, table.roster)}

    def _pruned(self, number: int, *, stands: bool) -> Changes:
        """Drop what is over: tables served no more, keys of days past, answers that nobody collected."""
        charter = self.charter(number)
        oldest = number - charter.numbers.window - charter.numbers.catch_up
        changes: Changes = {}
        # A clock that is far ahead for a while is alone with it, and comes to no table with anybody: it must not
        # cost the window. Nor today's key, which an operator that has seen the day before end may erase alone.
        today = charter.day_of(number + 1)
        if stands:
            changes |= {(TABLES, raw): None for raw in self._shelf.names(TABLES) if int.from_bytes(raw) < oldest}
            self._charters.forget(oldest, changes)
        if stands or charter.day_of(self._since) < today:
            self._days.forget(today, changes)
        self._settling = {at: each for at, each in self._settling.items() if at >= number - 2}
        self._rounds = {at: each for at, each in self._rounds.items() if at >= number}
        self._pending = {at: each for at, each in self._pending.items() if at >= number}
        self._answers = {at: each for at, each in self._answers.items() if each[0] >= oldest}
        return changes

    # The other operators.

    def answer(self, peer: str, request: Any, now: int) -> Value:
        """Answer what another operator asks; nothing, if it is no question."""
        try:
            match request:
                case ("list" | "rows" | "table", int(number), *rest):
                    settling = self._over(number, now)
                    return settling if isinstance(settling, tuple) else _told(settling, request[0], rest)
                case ("lodge", tuple(lodged)):
                    return self._members.lodge(peer, lodged)
                case ("retire", tuple(gone)):
                    return self._members.give_up(peer, gone)
        except (TypeError, ValueError, OverflowError):
            return NOT_YET
        return NOT_YET

    def _over(self, number: int, now: int) -> Settling | tuple[int, ...]:
        """The settling of a round that is over; else that it is not, or is void."""
        if number < 0 or now < self.charter(number).begins(number + 1):
            return NOT_YET
        if number < self._charters.round_at(now) - 2:
            return VOID
        return self.settle(number) or VOID

    def errands(self) -> list[tuple[str, tuple[Value, ...]]]:
        """What to tell other operators besides the settling of a round."""
        return self._members.errands()

    def told(self, peer: str, request: tuple[Any, ...]) -> None:
        """An errand was done."""
        self._members.told(peer, request)

    def greet(self, peer: str) -> tuple[Greeting, PrivateKey]:
        """A greeting for another operator (post/links.py), and what opens its answer."""
        return self._links.greet(peer)

    def greeted(self, raw: bytes) -> bytes | None:
        """Answer a greeting; None if it is none."""
        return self._links.greeted(raw)

    def welcomed(self, greeting: Greeting, answer: bytes, private: PrivateKey) -> None:
        """Take the answer to a greeting, or raise VerificationError."""
        self._links.welcomed(greeting, answer, private)

    def linked(self, peer: str) -> bool:
        return self._links.linked(peer)

    def unlink(self, peer: str) -> None:
        """Greet *peer* anew before the next request."""
        self._links.unlink(peer)

    def request(self, peer: str, request: Value) -> tuple[int, bytes]:
        """Seal a request to *peer*: its number, and the message."""
        return self._links.request(peer, request)

    def reply(self, peer: str, number: int, sealed: bytes, now: int) -> Any:
        """Open the answer to a request, or raise VerificationError or MalformedError."""
        return self._links.reply(peer, number, sealed, now)

    def serve(self, message: bytes, now: int) -> bytes | None:
        """Answer a sealed request of another operator; None if it is none."""
        return self._links.serve(message, now, lambda peer, request: self.answer(peer, request, now))

    def _days_ahead(self, number: int) -> None:
        """Make the keys of today and tomorrow, so that visits find them."""
        charter = self.charter(max(number, 0))
        keys = self._charters.seat(charter)
        if keys is not None:
            for ahead in (0, 1):
                self._days.public(charter.day_of(max(number, charter.numbers.first)) + ahead, charter, keys)

    def _note(self, changes: Changes, now: int, what: str) -> None:
        raw = (now // DAY).to_bytes(8)
        counted = notes(self._shelf.get(NOTES, raw))
        counted[what] = counted.get(what, 0) + 1
        changes[NOTES, raw] = encode(tuple(sorted(counted.items())))


def notes(raw: bytes | None) -> dict[str, int]:
    """What happened on a day, as :data:`NOTES` has it."""
    value: Any = decode(raw) if raw else ()
    return dict(value)


def _told(settling: Settling, what: str, rest: list[Any]) -> Value:
    """What another operator is told of a round that is being settled."""
    if what == "list":
        return settling.given()
    if what == "rows":
        (mailboxes,) = rest
        return tuple(settling.rows.get(mailbox, b"") for mailbox in mailboxes[: link.ROWS_AT_ONCE])
    if settling.failed:
        return VOID
    return (settling.descriptor.encode(),) if settling.descriptor else NOT_YET


def _filled(charter: Charter, roster: bytes) -> tuple[int, ...]:
    """How many mailboxes of each share are in a roster."""
    return tuple(sum(in_roster(roster, mailbox) for mailbox in share.mailboxes) for share in charter.shares)


def _read_table(raw: bytes, packet: int) -> Table:
    value: Any = decode(raw)
    roster, descriptor, mailboxes, rows = value
    return Table(
        roster,
        Descriptor.decode(descriptor),
        np.array(mailboxes, np.intp),
        np.frombuffer(rows, np.uint8).reshape(-1, packet),
    )
