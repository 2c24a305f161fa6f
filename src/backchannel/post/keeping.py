"""What a porter keeps besides its lines, and how it is stored.

Nothing here decides anything: what happens to it is the porter's business
(post/porter.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from backchannel.encoding import Value, decode, encode
from backchannel.errors import MalformedError, UsageError, VerificationError
from backchannel.kem import PublicKey
from backchannel.keys import Digest
from backchannel.post.charter import Charter, SignedCharter
from backchannel.post.enrolment import Ticket
from backchannel.post.tray import LineName, PairingKey
from backchannel.post.visit import ReplyKey, VisitKey

MIN_TRAY: Final = 256 * 1024  # bytes: a charter, 90 days of reports, and some letters
LABEL_PAIRING: Final = b"backchannel/v1/tray/pairing"


@dataclass(frozen=True, slots=True)
class Pairing:
    """What makes a porter: the charter, its mailbox and ticket, and what it shares with its desk."""

    charter: SignedCharter
    mailbox: int
    ticket: Ticket
    key: PairingKey
    size: int  # of a tray file, bytes

    def encode(self) -> bytes:
        return encode((LABEL_PAIRING, self.charter.encode(), self.mailbox, self.ticket, self.key, self.size))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError, VerificationError: If *data* is anything else.
        """
        value: Any = decode(data, values=16)
        try:
            label, charter, mailbox, ticket, key, size = value
            if label != LABEL_PAIRING or not MIN_TRAY <= size <= 2**26 or not mailbox > 0:
                raise MalformedError(_NO_PAIRING)
            signed = SignedCharter.decode(charter)
            if mailbox >= signed.charter.numbers.capacity:
                raise MalformedError(_NO_PAIRING)
            return cls(signed, mailbox, Ticket(ticket), PairingKey(key), size)
        except (TypeError, ValueError):
            raise MalformedError(_NO_PAIRING) from None


@dataclass(frozen=True, slots=True)
class Asked:
    """A visit that was made: what opens its replies and answers, and what each query was for."""

    round: int
    more: bool
    keys: dict[str, ReplyKey]  # by operator, of those that were visited
    queries: tuple[tuple[int, bytes], ...]  # the table, and the line; or none, for the own mailbox

    @property
    def tables(self) -> frozenset[int]:
        return frozenset(table for table, _ in self.queries)

    def value(self) -> Value:
        queries = tuple((table + TABLE_ZERO, line) for table, line in self.queries)
        return self.round, int(self.more), tuple(self.keys.items()), queries

    @classmethod
    def of(cls, value: Any) -> Self | None:
        if not value:
            return None
        number, more, keys, queries = value
        kept = {name: ReplyKey(key) for name, key in keys}
        return cls(number, bool(more), kept, tuple((table - TABLE_ZERO, line) for table, line in queries))


@dataclass(frozen=True, slots=True)
class Standing:
    """One operator, as this porter stands with it."""

    key: VisitKey
    enrolled: int = 0  # one more than the round from which it holds, or 0
    days: tuple[tuple[int, PublicKey], ...] = ()  # the keys of days, under the charter of this operator's last
    heard: int = 0  # one more than the round of its last reply
    clock: int = 0  # ms that its clock was ahead
    admitted: tuple[int, ...] = ()
    unheard: int = 0  # visits since its last reply

    def day(self, day: int) -> PublicKey | None:
        return dict(self.days).get(day)

    def with_day(self, day: int, key: PublicKey) -> Standing:
        kept = tuple((d, k) for d, k in self.days if d != day and d >= day - 1)
        return replace(self, days=(*kept, (day, key)))

    def value(self) -> Value:
        clock = self.clock + CLOCK_ZERO
        return self.key, self.enrolled, self.days, self.heard, clock, self.admitted, self.unheard

    @classmethod
    def of(cls, value: Any) -> Self:
        key, enrolled, days, heard, clock, admitted, unheard = value
        return cls(
            VisitKey(key),
            enrolled,
            tuple((day, PublicKey(public)) for day, public in days),
            heard,
            clock - CLOCK_ZERO,
            admitted,
            unheard,
        )


TABLE_ZERO: Final = 2**21  # in its first rounds an office is asked about tables before there were any
TABLE_SIZE: Final = 5  # bytes of one in a list
CLOCK_ZERO: Final = 2**40  # ms; clocks that are further off are shown as that far


@dataclass(frozen=True, slots=True)
class Keeping:
    """Everything a porter keeps besides lines and envelopes."""

    charters: tuple[SignedCharter, ...]  # the one it follows, and those agreed to follow
    pairing: Pairing
    standings: dict[str, Standing]
    round: int = 0  # one more than the last round that was started
    last: Asked | None = None
    collecting: Asked | None = None  # the visit whose answers the last one collects
    before: int = 0  # one more than the round of the visit before the last
    closed: frozenset[int] = frozenset()  # of the tables still served, those that are read
    deposits: dict[int, Digest] = field(default_factory=dict)  # digest of the own row, by round
    copy: bool = False
    number: int = 0  # of the own file
    heard: int = 0  # the number of the desk's file that was read last
    arrived: dict[Digest, int] = field(default_factory=dict)  # envelopes that have, and the file that first said so
    come: dict[int, tuple[LineName, int]] = field(default_factory=dict)  # what came: line, and that file or 0
    next_come: int = 1
    reports: dict[tuple[int, str, str], int] = field(default_factory=dict)  # day, kind, operator → times
    attendance: dict[int, tuple[int, int]] = field(default_factory=dict)  # day → visits made, and answered by all
    asking: bytes = b""

    @property
    def mailbox(self) -> int:
        return self.pairing.mailbox

    def charter(self, number: int) -> Charter:
        """The charter of round *number*."""
        charters = [signed.charter for signed in self.charters]
        return next((c for c in reversed(charters) if c.numbers.first <= number), charters[0])

    def effective(self, charter: Charter) -> int | None:
        """The round from which all operators of *charter* let it take part; None: not yet."""
        enrolled = [self.standings[seat.name].enrolled for seat in charter.seats]
        return max(enrolled) - 1 if all(enrolled) else None

    def encode(self) -> bytes:
        return encode((
            tuple(signed.encode() for signed in self.charters),
            self.pairing.encode(),
            tuple((name, standing.value()) for name, standing in self.standings.items()),
            self.round,
            self.last.value() if self.last else (),
            self.collecting.value() if self.collecting else (),
            self.before,
            b"".join(_table(at) for at in sorted(self.closed)),
            b"".join(_table(at) + digest for at, digest in self.deposits.items()),
            int(self.copy),
            self.number,
            self.heard,
            tuple(self.arrived.items()),
            tuple((seq, line, since) for seq, (line, since) in self.come.items()),
            self.next_come,
            tuple((day, kind, name, count) for (day, kind, name), count in self.reports.items()),
            tuple((day, made, answered) for day, (made, answered) in self.attendance.items()),
            self.asking,
        ))  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else.
        """
        value: Any = decode(data)
        try:
            (
                charters, pairing, standings, round_, last, collecting, before, closed, deposits, copy,
                number, heard, arrived, come, next_come, reports, attendance, asking,
            ) = value  # fmt: skip
            return cls(
                tuple(SignedCharter.kept(raw) for raw in charters),
                Pairing.decode(pairing),
                {name: Standing.of(each) for name, each in standings},
                round_,
                Asked.of(last),
                Asked.of(collecting),
                before,
                frozenset(_tables(closed)),
                {
                    at: Digest(digest)
                    for at, digest in zip(_tables(deposits, Digest.size), _digests(deposits), strict=True)
                },
                bool(copy),
                number,
                heard,
                {Digest(name): since for name, since in arrived},
                {seq: (LineName(line), since) for seq, line, since in come},
                next_come,
                {(day, kind, name): count for day, kind, name, count in reports},
                {day: (made, answered) for day, made, answered in attendance},
                asking,
            )
        except (TypeError, ValueError):
            raise MalformedError("a porter's store does not parse") from None


# As many as the window has rounds, kept anew twice a round: a string each, and not a value for each round.


def _table(number: int) -> bytes:
    return (number + TABLE_ZERO).to_bytes(TABLE_SIZE)


def _tables(data: bytes, beside: int = 0) -> list[int]:
    """The numbers of rounds in *data*, each with so many bytes *beside* it."""
    step = TABLE_SIZE + beside
    return [int.from_bytes(data[at : at + TABLE_SIZE]) - TABLE_ZERO for at in range(0, len(data), step)]


def _digests(data: bytes) -> list[bytes]:
    step = TABLE_SIZE + Digest.size
    return [data[at + TABLE_SIZE : at + step] for at in range(0, len(data), step)]


def successor(signed: SignedCharter, after: Charter, *, now: int, asked: bool) -> bool:
    """Whether *signed* follows *after* from a round still to come; an error says why it does not.

    With *asked*, its owner has agreed to it; without, all of the operators of
    *after* must have, and it begins seven days off or more. False: it would
    follow, if its owner agreed (docs/spec/charter.md §4).

    Raises:
        UsageError: If its numbers do not continue those of *after*.
        VerificationError: If it names another predecessor, or one of its own operators has not signed.
    """
    charter = signed.charter
    if charter.predecessor != after.digest:
        raise VerificationError("this charter follows another")
    if signed.missing:
        raise VerificationError(f"this charter is not signed by {', '.join(signed.missing)}")
    charter.check_follows(after)
    start = charter.numbers.start
    if start <= now:
        raise UsageError("this charter has begun already")
    return asked or (signed.signed_by(after.seats) and start - now >= NOTICE)


NOTICE: Final = 7 * 86_400_000  # ms
_NO_PAIRING: Final = "this is not a pairing"
