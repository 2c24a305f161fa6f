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
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np

from backchannel.encoding import Value, decode, encode
from backchannel.errors import MalformedError, RefusedError, UsageError, VerificationError
from backchannel.kem import PrivateKey
from backchannel.keys import Digest, Random
from backchannel.post import enrolment, link, retrieval
from backchannel.post import visit as visits
from backchannel.post.charter import Charter, SignedCharter
from backchannel.post.ciphers import Ciphers
from backchannel.post.enrolment import Enrolment, Ticket
from backchannel.post.kernels.product import product
from backchannel.post.link import Greeting, Session, SessionId
from backchannel.post.settling import NOT_YET, VOID, Settling, Why, in_roster
from backchannel.post.shelf import Changes, Shelf
from backchannel.post.visit import Answers, DayKey, Descriptor, Reply, Visit, VisitKey
from backchannel.signing import Signer, SigningKey

# The rooms of the shelf.
CHARTERS: Final = "charters"  # first round: a SignedCharter
DAYS: Final = "days"  # day: a private key; kept out of backups
ISSUED: Final = "issued"  # mailbox: the Ticket that this operator gave out
LODGED: Final = "lodged"  # mailbox: the digest of its token here
LODGING: Final = "lodging"  # operator, 0, mailbox: a digest still to be lodged there
MEMBERS: Final = "members"  # mailbox: its visit key, and from which round
RETIRED: Final = "retired"  # mailbox: b""
RETIRING: Final = "retiring"  # operator, 0, mailbox: still to be told there
SEEN: Final = "seen"  # b"": the last round in which each mailbox was seen, four bytes each
TABLES: Final = "tables"  # round: roster, descriptor, rows
NOTES: Final = "notes"  # day: what happened on it, counted

ROUNDS_AHEAD: Final = 3  # visits' answers that wait to be collected are kept as many rounds as the window


@dataclass(frozen=True, slots=True, repr=False)
class OperatorKeys:
    """An operator's long-lived keys: its signatures, and what enrolments are sealed to."""

    name: str
    signer: Signer
    sealing: PrivateKey

    def encode(self) -> bytes:
        return encode((self.name, self.signer.key, self.sealing))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else.
        """
        match decode(data, values=4):
            case (str(name), bytes(key), bytes(sealing)) if (
                len(key) == SigningKey.size and len(sealing) == PrivateKey.size
            ):
                return cls(name, Signer.of(SigningKey(key)), PrivateKey(sealing))
        raise MalformedError("these are not the keys of an operator")


@dataclass(frozen=True, slots=True)
class Member:
    """Who owns a mailbox, as this operator knows it."""

    key: VisitKey
    effective: int


@dataclass(frozen=True, slots=True)
class Replying:
    """What to send back, and not before which instant."""

    body: bytes
    instant: int


@dataclass(frozen=True, slots=True)
class Table:
    """The table of a round that stands."""

    roster: bytes
    descriptor: Descriptor
    mailboxes: np.ndarray[Any, np.dtype[np.intp]]
    rows: np.ndarray[Any, np.dtype[np.uint8]]


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
        self._keys = {each.signer.public: each for each in keys}
        self._ciphers = ciphers
        self._random = random
        self._since = 2**32  # no round before begin() is this operator's
        self._rounds: dict[int, _Round] = {}
        self._settling: dict[int, Settling] = {}
        self._settled: dict[int, Descriptor] = {}
        self._roster = b""
        self._pending: dict[int, list[Visit]] = {}
        self._answers: dict[int, tuple[int, bool, bytes]] = {}
        self._tables: dict[int, Table | None] = {}
        self._sessions: dict[SessionId, Session] = {}
        self._asking: dict[str, Session] = {}
        self._clocks: dict[str, int] = {}
        self._signed_days: dict[tuple[Digest, int], DayKey] = {}
        self._charters = [SignedCharter.decode(shelf.get(CHARTERS, name) or b"") for name in shelf.names(CHARTERS)]
        self._members: dict[int, Member] = {}
        for raw in shelf.names(MEMBERS):
            key, effective = _pair(shelf.get(MEMBERS, raw))
            self._members[int.from_bytes(raw)] = Member(VisitKey(key), effective)
        seen = shelf.get(SEEN, b"") or b""
        self._seen = {at // 4: int.from_bytes(seen[at : at + 4]) for at in range(0, len(seen), 4)}

    @property
    def charters(self) -> tuple[SignedCharter, ...]:
        return tuple(self._charters)

    @property
    def clocks(self) -> Mapping[str, int]:
        """How far each other operator's clock is ahead of this one's, in ms, when last heard."""
        return self._clocks

    def charter_at(self, now: int) -> Charter:
        """The charter by which an instant belongs to a round."""
        charters = [signed.charter for signed in self._charters]
        return next((c for c in reversed(charters) if c.numbers.start <= now), charters[0])

    def charter(self, number: int) -> Charter:
        """The charter of round *number*."""
        charters = [signed.charter for signed in self._charters]
        return next((c for c in reversed(charters) if c.numbers.first <= number), charters[0])

    # Charters, tickets, members.

    def adopt(self, signed: SignedCharter) -> None:
        """Take a charter that all of its operators have signed: the first, or one that follows.

        Raises:
            RefusedError: If a signature is missing, or this operator has no seat with keys it holds.
            VerificationError: If it follows another charter than this operator's newest.
        """
        charter = signed.charter
        if signed.missing:
            raise RefusedError(f"not signed by {', '.join(signed.missing)}")
        mine = [seat for seat in charter.seats if seat.signing in self._keys]
        if self._charters:
            newest = self._charters[-1].charter
            if charter.digest == newest.digest:
                return
            if charter.predecessor != newest.digest:
                raise VerificationError("this charter does not follow the newest of this operator")
        if not mine and not self._charters:
            raise RefusedError(f"this charter has no seat for the keys of {self.name}")
        changes: Changes = {(CHARTERS, charter.numbers.first.to_bytes(8)): signed.encode()}
        # Whoever is new to the office must know the tickets that were given out before.
        known = {seat.name for each in self._charters for seat in each.charter.seats}
        for seat in charter.seats:
            if seat.name not in known and seat.name != self.name:
                for raw in self._shelf.names(ISSUED):
                    if self._shelf.get(RETIRED, raw) is None:
                        changes[LODGING, _to(seat.name, raw)] = self._token(raw, seat.name).lodged()
        self._shelf.commit(changes)
        self._charters.append(signed)

    def issue(self, count: int) -> list[tuple[int, Ticket]]:
        """Make tickets for mailboxes of this operator's shares that nobody has had: numbers are never reused.

        Raises:
            RefusedError: If there are not so many.
        """
        charter = self._charters[-1].charter
        own = [m for share in charter.shares if share.issuer == self.name for m in share.mailboxes]
        given = {int.from_bytes(raw) for raw in self._shelf.names(ISSUED)}
        free = [mailbox for mailbox in own if mailbox not in given]
        if len(free) < count:
            raise RefusedError(f"{len(free)} mailboxes of {self.name} are left")
        changes: Changes = {}
        made = []
        for mailbox in free[:count]:
            ticket = Ticket.draw(self._random)
            made.append((mailbox, ticket))
            raw = mailbox.to_bytes(8)
            changes[ISSUED, raw] = ticket
            for name in {seat.name for each in self._charters for seat in each.charter.seats}:
                lodged = ticket.token(mailbox, name).lodged()
                changes[(LODGED, raw) if name == self.name else (LODGING, _to(name, raw))] = lodged
        self._shelf.commit(changes)
        return made

    def retire(self, mailbox: int) -> None:
        """Give a mailbox to nobody from the next round on, here and, once told, everywhere.

        Raises:
            RefusedError: If this operator has not given it out, or it is retired already.
        """
        raw = mailbox.to_bytes(8)
        if self._shelf.get(ISSUED, raw) is None:
            raise RefusedError(f"{self.name} has given out no mailbox {mailbox}")
        if self._shelf.get(RETIRED, raw) is not None:
            raise RefusedError(f"mailbox {mailbox} is retired already")
        changes: Changes = {(RETIRED, raw): b"", (LODGED, raw): None, (MEMBERS, raw): None}
        for name in {seat.name for each in self._charters for seat in each.charter.seats} - {self.name}:
            changes[RETIRING, _to(name, raw)] = b""
            changes[LODGING, _to(name, raw)] = None
        self._shelf.commit(changes)

    def ask(self, kind: str, box: bytes, now: int) -> bytes | None:
        """Answer a request that is no visit; None if it does not parse."""
        for signed in reversed(self._charters):
            seat = self._seat(signed.charter)
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
        number = self.charter_at(now).round_at(now)
        if kind == "enrol":
            return enrolment.encode_enrolled(self._enrol(Enrolment.decode(body), charter, number))
        if kind == "key":
            current = self.charter(max(number, 0))
            day = current.day_of(max(number, 0))
            return self.day_key(current, day).encode() + self.day_key(current, day + 1).encode()
        following = self._charters[-1]
        coming = following.charter.numbers.first > number
        return enrolment.encode_charter(following.encode() if coming and len(self._charters) > 1 else b"")

    def _enrol(self, asked: Enrolment, charter: Charter, number: int) -> int | None:
        raw = asked.mailbox.to_bytes(8)
        if self._shelf.get(RETIRED, raw) is not None:
            return None
        member = self._members.get(asked.mailbox)
        if self._shelf.get(LODGED, raw) != asked.token.lodged():
            return None
        if member is not None:
            # The reply may have been lost; a second owner of one ticket is refused.
            return member.effective if member.key == asked.key else None
        effective = max(charter.effective(number), charter.numbers.first)
        self._members[asked.mailbox] = Member(asked.key, effective)
        self._shelf.commit({(MEMBERS, raw): encode((bytes(asked.key), effective))})
        return effective

    def day_key(self, charter: Charter, day: int) -> DayKey:
        """The key of *day* under *charter*, made when first asked for, and signed."""
        name = charter.digest, day
        if name not in self._signed_days:
            private = self._private(day)
            seat = self._seat(charter)
            assert seat is not None  # who has no seat is asked for no key
            public = self._ciphers.kem.public(private)
            signed = DayKey.make(day, public, charter=charter, operator=self.name, signer=seat.signer)
            self._signed_days[name] = signed
        return self._signed_days[name]

    def _private(self, day: int) -> PrivateKey:
        raw = self._shelf.get(DAYS, day.to_bytes(8))
        if raw is None:
            private, _ = self._ciphers.kem.generate(self._random)
            self._shelf.commit({(DAYS, day.to_bytes(8)): private})
            return private
        return PrivateKey(raw)

    def _seat(self, charter: Charter) -> OperatorKeys | None:
        return next((self._keys[seat.signing] for seat in charter.seats if seat.signing in self._keys), None)

    def _token(self, raw: bytes, operator: str) -> enrolment.Token:
        ticket = self._shelf.get(ISSUED, raw)
        assert ticket is not None
        return Ticket(ticket).token(int.from_bytes(raw), operator)

    # Visits.

    def begin(self, now: int) -> None:
        """Start, or start again: rounds that have begun are not this operator's any more."""
        number = self.charter_at(now).round_at(now)
        self._since = number + 1
        self._note(number, Why.RESTART.value)

    def visit(self, box: bytes, now: int) -> Replying | None:
        """Take a visit: the reply and its instant; None if it does not parse."""
        charter = self.charter_at(now)
        number = charter.round_at(now)
        if number < charter.numbers.first or self._seat(charter) is None:
            return None
        me = charter.seat(self.name)
        # Size first: everything behind it may be as slow as decapsulation.
        sizes = {visits.request_size(charter, number, me, more=more) for more in (False, True)}
        if len(box) not in sizes:
            return None
        day = charter.day_of(number)
        private = self._shelf.get(DAYS, day.to_bytes(8))
        if private is None:
            return None
        try:
            visit, raw = visits.open(
                box, PrivateKey(private), day, charter=charter, operator=self.name, kem=self._ciphers.kem
            )
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
        member = self._members.get(visit.mailbox)
        if visit.round != number or now < charter.agreed_by(number) or number < self._since:
            return None
        if (
            member is None
            or member.effective > number
            or self._shelf.get(RETIRED, visit.mailbox.to_bytes(8)) is not None
        ):
            return None
        try:
            visits.check(raw, member.key, charter=charter, operator=self.name)
        except VerificationError:
            return None
        current = self._rounds.setdefault(number, _Round())
        name = hashlib.sha256(box).digest()
        if visit.mailbox in current.visits:
            before, reply = current.visits[visit.mailbox]
            return reply if before == name else None
        current.deposits[visit.mailbox] = visit.deposit
        self._pending.setdefault(number, []).append(visit)
        leaves = max(now, charter.instant(visit.mailbox, number) + charter.numbers.hold)
        said = Reply(
            answers=self._collected(visit, charter),
            seen=self._seen.get(visit.mailbox, visits.NEVER),
            time=leaves,  # by this clock; so it does not show how long the reply was held
            admitted=self._admitted(charter),
            tomorrow=self.day_key(charter, charter.day_of(number) + 1),
        )
        self._seen[visit.mailbox] = number + 1
        sealed = visits.seal_reply(said, visit, charter=charter, operator=self.name, cipher=self._ciphers.replies)
        reply = Replying(sealed, leaves)
        current.visits[visit.mailbox] = name, reply
        return reply

    def _collected(self, visit: Visit, charter: Charter) -> bytes:
        """The answers to the visit that this one collects, or as many random bytes."""
        more = bool(visit.collect and visit.collect[1])
        found = self._answers.pop(visit.mailbox, None)
        if found is not None and visit.collect == found[:2] and found[0] >= charter.numbers.first:
            return found[2]
        return self._random(visits.answers_size(charter, more=more))

    def _admitted(self, charter: Charter) -> tuple[int, ...]:
        def filled(first: int, count: int) -> int:
            return sum(in_roster(self._roster, mailbox) for mailbox in range(first, first + count))

        return tuple(filled(share.first, share.count) for share in charter.shares)

    # The table of a round.

    def settle(self, number: int) -> Settling | None:
        """Begin to settle round *number*, which is over; None if it is not this operator's."""
        charter = self.charter(number)
        if number < max(self._since, charter.numbers.first) or self._seat(charter) is None:
            return None
        if number not in self._settling:
            deposits = self._rounds.get(number, _Round()).deposits
            roster = self._roster_of(number, charter)
            given = {mailbox: row for mailbox, row in deposits.items() if in_roster(roster, mailbox)}
            self._settling[number] = Settling(charter, self.name, number, roster, given)
        return self._settling[number]

    def settled(self, number: int, now: int) -> Descriptor:
        """End the settling of round *number*: its table stands, or it is void. All is committed."""
        settling = self._settling.get(number)
        charter = self.charter(number)
        changes = self._pruned(number)
        if settling is not None and settling.done and settling.descriptor and settling.table is not None:
            descriptor = settling.descriptor
            self._roster = settling.roster
            rows = sorted(settling.table.items())
            raw = encode(
                (settling.roster, descriptor.encode(), tuple(m for m, _ in rows), b"".join(r for _, r in rows))
            )
            changes[TABLES, number.to_bytes(8)] = raw
            self._note_in(changes, number, "stands")
        else:
            descriptor = visits.void(charter, number)
            why, peer = settling.give_up() if settling else (Why.RESTART, "")
            self._note_in(changes, number, f"{peer} {why.value}".strip())
        seen = [self._seen.get(mailbox, 0) for mailbox in range(max(self._seen, default=-1) + 1)]
        changes[SEEN, b""] = b"".join(each.to_bytes(4) for each in seen)
        self._shelf.commit(changes)
        self._settled[number] = descriptor
        self._tables.pop(number, None)
        self._rounds.pop(number, None)
        del now
        return descriptor

    def compute(self, number: int) -> int:
        """Answer the queries that have come in round *number*; how many visits they were of."""
        batch = self._pending.pop(number, [])
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

    def _roster_of(self, number: int, charter: Charter) -> bytes:
        roster = bytearray(charter.numbers.capacity // 8)
        for mailbox, member in list(self._members.items()):
            if member.effective <= number and mailbox < charter.numbers.capacity:
                if self._shelf.get(RETIRED, mailbox.to_bytes(8)) is not None:
                    self._members.pop(mailbox)
                    continue
                roster[mailbox // 8] |= 0x80 >> mailbox % 8
        return bytes(roster)

    def _pruned(self, number: int) -> Changes:
        """Drop what is over: tables served no more, keys of days past, answers that nobody collected."""
        charter = self.charter(number)
        oldest = number - charter.numbers.window - charter.numbers.catch_up
        changes: Changes = {(TABLES, raw): None for raw in self._shelf.names(TABLES) if int.from_bytes(raw) < oldest}
        today = charter.day_of(number + 1)
        changes |= {(DAYS, raw): None for raw in self._shelf.names(DAYS) if int.from_bytes(raw) < today}
        self._signed_days = {key: day for key, day in self._signed_days.items() if key[1] >= today}
        self._settling = {at: each for at, each in self._settling.items() if at >= number - 2}
        self._rounds = {at: each for at, each in self._rounds.items() if at >= number}
        self._pending = {at: each for at, each in self._pending.items() if at >= number}
        self._settled = {at: each for at, each in self._settled.items() if at >= number - 2}
        self._answers = {at: each for at, each in self._answers.items() if each[0] >= oldest}
        while len(self._charters) > 1 and self._charters[1].charter.numbers.first < oldest:
            gone = self._charters.pop(0)
            changes[CHARTERS, gone.charter.numbers.first.to_bytes(8)] = None
        return changes

    # The other operators.

    def errands(self) -> list[tuple[str, tuple[Value, ...]]]:
        """What to tell other operators besides the settling of a round."""
        out: list[tuple[str, tuple[Value, ...]]] = []
        for room, kind in ((LODGING, "lodge"), (RETIRING, "retire")):
            told: dict[str, list[Value]] = {}
            for raw in self._shelf.names(room)[:ERRANDS_AT_ONCE]:
                name, mailbox = raw.split(b"\0", 1)[0].decode(), int.from_bytes(raw[-8:])
                told.setdefault(name, []).append((mailbox, self._shelf.get(room, raw) or b""))
            out += [(name, (kind, tuple(each))) for name, each in told.items()]
        return out

    def told(self, peer: str, request: tuple[Any, ...]) -> None:
        """An errand was done."""
        room = LODGING if request[0] == "lodge" else RETIRING
        self._shelf.commit({(room, _to(peer, mailbox.to_bytes(8))): None for mailbox, _ in request[1]})

    def answer(self, peer: str, request: Any, now: int) -> Value:
        """Answer what another operator asks; nothing, if it is no question."""
        try:
            match request:
                case ("list", int(number)):
                    settling = self._over(number, now)
                    return settling.given() if isinstance(settling, Settling) else settling
                case ("rows", int(number), tuple(mailboxes)):
                    settling = self._over(number, now)
                    if not isinstance(settling, Settling):
                        return settling
                    return tuple(settling.rows.get(mailbox, b"") for mailbox in mailboxes[: link.ROWS_AT_ONCE])
                case ("table", int(number)):
                    settling = self._over(number, now)
                    if not isinstance(settling, Settling):
                        return settling
                    if settling.failed:
                        return VOID
                    return (settling.descriptor.encode(),) if settling.descriptor else NOT_YET
                case ("lodge", tuple(lodged)):
                    return self._lodge(peer, lodged)
                case ("retire", tuple(gone)):
                    return self._retire(peer, gone)
        except (TypeError, ValueError, OverflowError):
            return NOT_YET
        return NOT_YET

    def _over(self, number: int, now: int) -> Settling | tuple[int, ...]:
        """The settling of a round that is over; else that it is not, or is void."""
        if number < 0 or now < self.charter(number).begins(number + 1):
            return NOT_YET
        if number < self.charter_at(now).round_at(now) - 2:
            return VOID
        return self.settle(number) or VOID

    def _lodge(self, peer: str, lodged: Any) -> Value:
        """Take the digests of tickets, of mailboxes that are *peer*'s to give out, once each."""
        changes: Changes = {}
        for mailbox, digest in lodged:
            raw = mailbox.to_bytes(8)
            if (
                self._may(peer, mailbox)
                and self._shelf.get(LODGED, raw) is None
                and self._shelf.get(RETIRED, raw) is None
            ):
                changes[LODGED, raw] = Digest(digest)
        self._shelf.commit(changes)
        return (len(changes),)

    def _retire(self, peer: str, gone: Any) -> Value:
        changes: Changes = {}
        for mailbox, _ in gone:
            if self._may(peer, mailbox):
                raw = mailbox.to_bytes(8)
                changes |= {(RETIRED, raw): b"", (LODGED, raw): None, (MEMBERS, raw): None}
                self._members.pop(mailbox, None)
        self._shelf.commit(changes)
        return (len(gone),)

    def _may(self, peer: str, mailbox: int) -> bool:
        shares = [signed.charter.share_of(mailbox) for signed in self._charters]
        return any(share is not None and share.issuer == peer for share in shares)

    # The link.

    def greet(self, peer: str) -> tuple[Greeting, PrivateKey]:
        """A greeting for another operator, and what opens its answer."""
        charter = self._charter_with(peer)
        seat = self._seat(charter)
        assert seat is not None
        private, public = self._ciphers.kem.generate(self._random)
        return Greeting.make(charter, self.name, peer, key=public, signer=seat.signer), private

    def greeted(self, raw: bytes) -> bytes | None:
        """Answer a greeting; None if it is none of an operator of this office."""
        try:
            greeting = Greeting.decode(raw)
            charter = next(s.charter for s in self._charters if s.charter.digest == greeting.charter)
            greeting.check(charter, self.name)
            seat = self._seat(charter)
            if seat is None:
                return None
            kem = self._ciphers.kem
            session, answer = link.welcome(greeting, self.name, signer=seat.signer, kem=kem, random=self._random)
        except (MalformedError, VerificationError, StopIteration):
            return None
        # One of each peer is enough: what it does not use any more is forgotten.
        mine = [name for name, each in self._sessions.items() if each.peer == session.peer]
        for name in mine[: -(SESSIONS - 1)]:
            del self._sessions[name]
        self._sessions[session.id] = session
        return answer

    def welcomed(self, greeting: Greeting, answer: bytes, private: PrivateKey) -> None:
        """Take the answer to a greeting.

        Raises:
            VerificationError: If it is none.
        """
        charter = next(s.charter for s in self._charters if s.charter.digest == greeting.charter)
        session = link.welcomed(greeting, answer, private, charter=charter, kem=self._ciphers.kem)
        self._asking[greeting.receiver] = session

    def linked(self, peer: str) -> bool:
        return peer in self._asking

    def unlink(self, peer: str) -> None:
        """Greet *peer* anew: its answers do not open, or it has been started again."""
        self._asking.pop(peer, None)

    def request(self, peer: str, request: Value) -> tuple[int, bytes]:
        """Seal a request to *peer*: its number, and the message."""
        session = self._asking[peer]
        message = session.ask(request, self._ciphers.replies)
        return session.count, message

    def reply(self, peer: str, number: int, sealed: bytes, now: int) -> Any:
        """Open the answer to a request.

        Raises:
            VerificationError, MalformedError: If it is none.
        """
        answer = self._asking[peer].answered(number, sealed, self._ciphers.replies)
        match answer:
            case (int(time), value):
                self._clocks[peer] = time - now
                return value
        raise MalformedError("this is no answer of an operator")

    def serve(self, message: bytes, now: int) -> bytes | None:
        """Answer a sealed request of another operator; None if it is none."""
        try:
            session = self._sessions[link.session_of(message)]
            number, request = session.asked(message, self._ciphers.replies)
        except (KeyError, MalformedError, VerificationError):
            return None
        return session.answer(number, (now, self.answer(session.peer, request, now)), self._ciphers.replies)

    def _charter_with(self, peer: str) -> Charter:
        for signed in self._charters:
            if any(seat.name == peer for seat in signed.charter.seats) and self._seat(signed.charter):
                return signed.charter
        raise UsageError(f"there is no operator called {peer}")

    # Notes.

    def _note(self, number: int, what: str) -> None:
        changes: Changes = {}
        self._note_in(changes, number, what)
        self._shelf.commit(changes)

    def _note_in(self, changes: Changes, number: int, what: str) -> None:
        day = self.charter(max(number, 0)).begins(max(number, 0)) // 86_400_000
        raw = max(day, 0).to_bytes(8)
        counted = notes(self._shelf.get(NOTES, raw))
        counted[what] = counted.get(what, 0) + 1
        changes[NOTES, raw] = encode(tuple(sorted(counted.items())))


def notes(raw: bytes | None) -> dict[str, int]:
    """What happened on a day, as :data:`NOTES` has it."""
    value: Any = decode(raw) if raw else ()
    return dict(value)


SESSIONS: Final = 4  # that one other operator may have at once
ERRANDS_AT_ONCE: Final = 2_000


def _pair(raw: bytes | None) -> Any:
    return decode(raw or b"")


def _to(name: str, raw: bytes) -> bytes:
    return name.encode() + b"\0" + raw


def _read_table(raw: bytes, packet: int) -> Table:
    roster, descriptor, mailboxes, rows = _pair(raw)
    return Table(
        roster,
        Descriptor.decode(descriptor),
        np.array(mailboxes, np.intp),
        np.frombuffer(rows, np.uint8).reshape(-1, packet),
    )
