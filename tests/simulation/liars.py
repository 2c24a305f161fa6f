"""Operators that lie, each in one way, and an office in which one of them has a seat.

A liar is an operator in everything else: it opens what is sealed to it, knows
what it was given, and changes one thing that it says. What it can change is
all that an operator says: rows it was given, answers to other operators, what
it finds for a query, the rest of a reply, and the reply to what is no visit.
"""

# ruff: noqa: ARG002 - a liar overrides what it lies about, and seldom needs all that it is given

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Final

from backchannel.encoding import Value, decode
from backchannel.errors import VerificationError
from backchannel.kem import PrivateKey, PublicKey
from backchannel.keys import Digest, sha256
from backchannel.post import enrolment, retrieval
from backchannel.post import visit as visits
from backchannel.post.ciphers import TAG_SIZE, Ciphers, QueryStream, ReplyCipher
from backchannel.post.days import DAYS
from backchannel.post.rounds import TABLES, Operator, Replying
from backchannel.post.settling import Settling
from backchannel.post.tray import FromDesk, LineName, LineTerms
from backchannel.post.visit import Answers, Reply, Visit, VisitKey
from backchannel.signing import Signature
from tests.simulation.office import Carrier, Generator, House, World
from tests.simulation.seeded_kem import SeededKem

ROOT_ONE: Final = b"1" * 32
ROOT_TWO: Final = b"2" * 32


class OpaquePackets:
    """A packet cipher whose output depends on key, nonce and length alone, never on what is sealed.

    With it two runs whose letters are at different points have the same rows.
    It keeps aside what it has sealed, and opens nothing else.
    """

    def __init__(self) -> None:
        self.sealed: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        out = hashlib.shake_256(bytes(key) + nonce).digest(len(plaintext) + TAG_SIZE)
        self.sealed[bytes(key), out] = plaintext, associated
        return out

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        del nonce
        plaintext, for_ = self.sealed.get((bytes(key), sealed), (b"", None))
        if for_ != associated:
            raise VerificationError("this does not open")
        return plaintext


class Liar(Operator):
    """An operator that says the truth, until a subclass says something else."""

    house: House
    world: LiarsWorld
    lying = False

    def __init__(self, house: House, world: LiarsWorld, random: Generator) -> None:
        super().__init__(house.shelf, house.keys, world.ciphers, random=random)
        self.house, self.world, self.spare = house, world, Generator("liar", house.name)
        self.met: dict[int, Visit] = {}  # by mailbox, the last
        self.handed: set[int] = set()  # rounds whose rows it has lied about

    # What a liar overrides.

    def hands_in(self, number: int, rows: dict[int, bytes]) -> None:
        """What it says it was given."""

    def tells(self, peer: str, request: Any, honest: Value) -> Value:
        """What it answers another operator."""
        return honest

    def changed(self, table: int) -> dict[int, bytes]:
        """The rows of a table that are others in what it answers queries from."""
        return {}

    def finds(self, answers: Answers, asked: Visit) -> Answers:
        """The answers to the queries of a visit."""
        return answers

    def seals(self, sealed: bytes, asked: Visit) -> bytes:
        """The same, as they are collected."""
        return sealed

    def says(self, reply: Reply, visit: Visit) -> Reply:
        """The reply to a visit."""
        return reply

    def gives(self, kind: str, body: bytes) -> bytes:
        """The reply to what is no visit."""
        return body

    def meets(self, box: bytes, visit: Visit, raw: bytes, now: int) -> None:
        """Do something when a visit has come."""

    # How it does so.

    def visit(self, box: bytes, now: int) -> Replying | None:
        replying = super().visit(box, now)
        visit, raw = self.look(box, now)
        if replying is None or visit is None:
            return replying
        asked, self.met[visit.mailbox] = self.met.get(visit.mailbox), visit
        if not self.lying:
            return replying
        self.meets(box, visit, raw, now)
        charter, cipher = self.charter_at(now), ReplyCipher()
        try:
            reply = visits.open_reply(replying.body, visit, charter=charter, operator=self.name, cipher=cipher)
        except VerificationError:
            return replying  # it was refused
        if asked is not None:
            reply = replace(reply, answers=self._answers_to(asked, reply.answers))
        reply = self.says(reply, visit)
        return replace(
            replying, body=visits.seal_reply(reply, visit, charter=charter, operator=self.name, cipher=cipher)
        )

    def look(self, box: bytes, now: int) -> tuple[Visit | None, bytes]:
        """What is in a visit, as any operator sees it."""
        charter = self.charter_at(now)
        day = charter.day_of(charter.round_at(now))
        private = PrivateKey(self.house.shelf.get(DAYS, day.to_bytes(8)) or b"")
        try:
            return visits.open(box, private, day, charter=charter, operator=self.name, kem=self.world.kem)
        except VerificationError:
            return None, b""

    def _answers_to(self, asked: Visit, sealed: bytes) -> bytes:
        charter, cipher = self.charter(asked.round), ReplyCipher()
        try:
            answers = visits.open_answers(sealed, asked, charter=charter, operator=self.name, cipher=cipher)
        except VerificationError:
            return sealed  # those of no visit
        rows = []
        for at, table in enumerate(charter.tables(asked.round, more=asked.more)):
            row = int.from_bytes(answers.rows[at])
            explicit = charter.explicit(asked.round, at) == charter.seat(self.name)
            vector = retrieval.expand(
                asked.shares[at], charter.numbers.capacity, explicit=explicit, stream=QueryStream()
            )
            for mailbox, other in self.changed(table).items():
                if vector[mailbox // 8] & 0x80 >> mailbox % 8:
                    row ^= int.from_bytes(other) ^ int.from_bytes(self.row(table, mailbox))
            rows.append(row.to_bytes(charter.numbers.packet))
        answers = self.finds(replace(answers, rows=tuple(rows)), asked)
        return self.seals(
            visits.seal_answers(answers, asked, charter=charter, operator=self.name, cipher=cipher), asked
        )

    def row(self, table: int, mailbox: int) -> bytes:
        """A row of a table, as it stands."""
        size = self.world.numbers.packet
        raw = self.house.shelf.get(TABLES, table.to_bytes(8))
        if raw is None:
            return bytes(size)
        value: Any = decode(raw)
        _, _, mailboxes, rows = value
        if mailbox not in mailboxes:
            return bytes(size)
        at = mailboxes.index(mailbox) * size
        return bytes(rows[at : at + size])

    def settle(self, number: int) -> Settling | None:
        settling = super().settle(number)
        if settling is not None and self.lying and number not in self.handed:
            self.handed.add(number)
            self.hands_in(number, settling.rows)
        return settling

    def answer(self, peer: str, request: Any, now: int) -> Value:
        honest = super().answer(peer, request, now)
        return self.tells(peer, request, honest) if self.lying else honest

    def ask(self, kind: str, box: bytes, now: int) -> bytes | None:
        reply = super().ask(kind, box, now)
        if reply is None or not self.lying:
            return reply
        _, key = enrolment.open(
            kind, box, self.house.keys[0].sealing, charter=self.charter_at(now), operator=self.name, kem=self.world.kem
        )
        body = self.gives(kind, enrolment.open_reply(kind, reply, key, cipher=ReplyCipher()))
        return enrolment.seal_reply(kind, body, key, cipher=ReplyCipher())

    @property
    def others(self) -> list[Operator]:
        """The machines of the other operators."""
        return [h.machine for h in self.world.houses.values() if h.machine is not None and h.name != self.name]


# The rows it was given, as it tells them to the others.


class DropsDeposits(Liar):
    def hands_in(self, number: int, rows: dict[int, bytes]) -> None:
        rows.pop(1, None)


class AltersDeposits(Liar):
    def hands_in(self, number: int, rows: dict[int, bytes]) -> None:
        if 1 in rows:
            rows[1] = self.spare(len(rows[1]))


class HandsInStaleRows(Liar):
    def hands_in(self, number: int, rows: dict[int, bytes]) -> None:
        if 1 in rows:
            rows[1] = self.row(number - 1, 1)


class HandsInSwappedRows(Liar):
    def hands_in(self, number: int, rows: dict[int, bytes]) -> None:
        if {1, 2} <= rows.keys():
            rows[1], rows[2] = rows[2], rows[1]


class FillsAbsentRows(Liar):
    def hands_in(self, number: int, rows: dict[int, bytes]) -> None:
        rows.setdefault(1, self.spare(self.world.numbers.packet))


class FillsAbsentRowsWithText(FillsAbsentRows):
    """The rubbish is a text, which hashes as its bytes do."""

    def hands_in(self, number: int, rows: dict[int, bytes]) -> None:
        rows.setdefault(1, b"x" * self.world.numbers.packet)

    def tells(self, peer: str, request: Any, honest: Any) -> Value:
        if request[0] == "rows":
            return tuple(row.decode() if row[:1] == b"x" and row == b"x" * len(row) else row for row in honest)
        return honest  # type: ignore[no-any-return]


# What it tells the others besides.


class WithholdsLists(Liar):
    def tells(self, peer: str, request: Any, honest: Value) -> Value:
        return () if request[0] == "list" else honest


class WithholdsDescriptors(Liar):
    def tells(self, peer: str, request: Any, honest: Value) -> Value:
        return () if request[0] == "table" else honest


class WithholdsRows(Liar):
    """It says that it was given a row, and does not show it."""

    def hands_in(self, number: int, rows: dict[int, bytes]) -> None:
        rows.setdefault(1, self.spare(self.world.numbers.packet))

    def tells(self, peer: str, request: Any, honest: Any) -> Value:
        return tuple(b"" for _ in honest) if request[0] == "rows" else honest


class SaysVoid(Liar):
    def tells(self, peer: str, request: Any, honest: Value) -> Value:
        return (0,) if request[0] == "table" else honest


class SplitsTables(Liar):
    """It tells one of the others of a row and the rest not, and agrees with everybody about the table."""

    def tells(self, peer: str, request: Any, honest: Any) -> Value:
        favoured = self.others[0].name
        if request[0] == "list" and peer != favoured:
            roster, rows = honest
            return roster, tuple(row for row in rows if row[0] != 1)
        if request[0] == "list":
            roster, rows = honest
            filled = dict(rows) | {1: sha256(b"nothing")}
            return roster, tuple(sorted(filled.items()))
        if request[0] == "table":
            machine = self.world.houses[peer].machine
            settling = machine.settle(request[1]) if machine else None
            return (settling.descriptor.encode(),) if settling and settling.descriptor else ()
        return honest  # type: ignore[no-any-return]


# What it finds for a query.


class AnswersFromStaleRows(Liar):
    def changed(self, table: int) -> dict[int, bytes]:
        return {1: self.row(table - 1, 1)}


class AnswersFromSwappedRows(Liar):
    def changed(self, table: int) -> dict[int, bytes]:
        return {1: self.row(table, 2), 2: self.row(table, 1)}


class AnswersWithoutARow(Liar):
    def changed(self, table: int) -> dict[int, bytes]:
        return {1: bytes(self.world.numbers.packet)}


class AnswersAnotherQuery(Liar):
    def finds(self, answers: Answers, asked: Visit) -> Answers:
        return replace(answers, rows=tuple(reversed(answers.rows)))


class AnswersAnotherVisit(Liar):
    """What it sealed to one porter it gives to another."""

    kept = b""

    def seals(self, sealed: bytes, asked: Visit) -> bytes:
        given = self.kept if len(self.kept) == len(sealed) else bytes(len(sealed))
        self.kept = sealed
        return given


class GarblesAnswers(Liar):
    def seals(self, sealed: bytes, asked: Visit) -> bytes:
        return self.spare(len(sealed))


class DescribesUnequalTables(Liar):
    def finds(self, answers: Answers, asked: Visit) -> Answers:
        return replace(
            answers, descriptors=tuple(replace(d, digest=Digest(self.spare(32))) for d in answers.descriptors)
        )


class HidesDescriptors(Liar):
    """Void, for all that it says."""

    def finds(self, answers: Answers, asked: Visit) -> Answers:
        charter = self.charter(asked.round)
        return replace(answers, descriptors=tuple(visits.void(charter, d.round) for d in answers.descriptors))


class SaysAnotherCapacity(Liar):
    def finds(self, answers: Answers, asked: Visit) -> Answers:
        return replace(answers, descriptors=tuple(replace(d, rows=2 * d.rows) for d in answers.descriptors))


# The rest of a reply.


class ForgesDayKeys(Liar):
    def says(self, reply: Reply, visit: Visit) -> Reply:
        key = replace(
            reply.tomorrow, key=PublicKey(self.spare(PublicKey.size)), signature=Signature(self.spare(Signature.size))
        )
        return replace(reply, tomorrow=key)


class HidesDayKeys(Liar):
    def says(self, reply: Reply, visit: Visit) -> Reply:
        nothing = visits.DayKey(0, PublicKey(bytes(PublicKey.size)), Signature(bytes(Signature.size)))
        return replace(reply, tomorrow=nothing)


class SignsAnotherDayKey(Liar):
    """The signature is good: everybody gets a key of their own."""

    def says(self, reply: Reply, visit: Visit) -> Reply:
        charter = self.charter(visit.round)
        other = SeededKem().public(self.spare(96))
        return replace(
            reply,
            tomorrow=visits.DayKey.make(
                reply.tomorrow.day, other, charter=charter, operator=self.name, signer=self.house.keys[0].signer
            ),
        )


class SignsKeysOfOtherDays(Liar):
    def says(self, reply: Reply, visit: Visit) -> Reply:
        charter = self.charter(visit.round)
        return replace(
            reply,
            tomorrow=visits.DayKey.make(
                reply.tomorrow.day + 1,
                reply.tomorrow.key,
                charter=charter,
                operator=self.name,
                signer=self.house.keys[0].signer,
            ),
        )


class SaysALaterVisit(Liar):
    def says(self, reply: Reply, visit: Visit) -> Reply:
        return replace(reply, seen=visit.round + 3)


class SaysAnotherTime(Liar):
    def says(self, reply: Reply, visit: Visit) -> Reply:
        return replace(reply, time=2**64 - 1)


class SaysAnotherCount(Liar):
    def says(self, reply: Reply, visit: Visit) -> Reply:
        return replace(reply, admitted=tuple(count + 1 for count in reply.admitted))


class SendsCharters(Liar):
    """What it sends where a charter that follows is asked for."""

    file = b""

    def gives(self, kind: str, body: bytes) -> bytes:
        return enrolment.encode_charter(self.file) if kind == "charter" else body


# At the other operators.


class Imitates(Liar):
    """It visits the others in the name of whoever visits it."""

    replies: list[Replying | None]

    def __init__(self, house: House, world: LiarsWorld, random: Generator) -> None:
        super().__init__(house, world, random)
        self.replies = []

    def meets(self, box: bytes, visit: Visit, raw: bytes, now: int) -> None:
        for other in self.others:
            # What a refusal draws must not be missing from what the honest draw later.
            theirs, other._random = other._random, self.spare
            self.replies.append(other.visit(self.imitation(other, box, visit, now), now))
            other._random = theirs

    def imitation(self, other: Operator, box: bytes, visit: Visit, now: int) -> bytes:
        del box
        charter = self.charter_at(now)
        day = charter.day_of(visit.round)
        key = self.world.kem.public(self.world.houses[other.name].shelf.get(DAYS, day.to_bytes(8)) or b"")
        sizes = visits.share_sizes(charter, visit.round, charter.seat(other.name), more=visit.more)
        made = replace(visit, deposit=self.spare(len(visit.deposit)), shares=tuple(map(self.spare, sizes)))
        # The key of the day is everybody's; that of the mailbox is not.
        mine = VisitKey(self.spare(32))
        return visits.seal(made, mine, key, charter=charter, operator=other.name, kem=self.world.kem, random=self.spare)


class Replays(Imitates):
    """It carries to the others what was sealed to itself."""

    def imitation(self, other: Operator, box: bytes, visit: Visit, now: int) -> bytes:
        return box


# The office it has a seat in.


@dataclass
class LiarsWorld(World):
    """An office of which some operators lie, each between two rounds."""

    liars: dict[str, type[Liar]] = field(default_factory=dict)
    rounds: range = range(0)  # in which they do
    day_keys: dict[str, set[bytes]] = field(default_factory=dict)  # all that there ever were
    ciphers: Ciphers = field(
        default_factory=lambda: Ciphers(SeededKem(), OpaquePackets(), ReplyCipher(), QueryStream())
    )

    def open_house(self, house: House) -> None:
        kind = self.liars.get(house.name)
        if kind is None:
            super().open_house(house)
        else:
            house.machine = kind(house, self, Generator(self.seed, house.name, house.shelf.commits))

    def turn(self) -> None:
        # What is said of a round is said in the next: the first lie is about the round before.
        for house in self.houses.values():
            if isinstance(house.machine, Liar):
                house.machine.lying = self.round + 1 in self.rounds
            # They are erased when their day is over; a test looks into visits afterwards.
            self.day_keys.setdefault(house.name, set()).update(
                body for (room, _), body in house.shelf.bodies.items() if room == DAYS
            )
        super().turn()

    def liar(self, name: str) -> Any:
        return self.houses[name].machine

    def errands(self) -> list[tuple[int, str, str, str, bytes]]:
        """All that porters sent, in order."""
        return [
            (each.instant, each.sender, each.receiver, each.kind, each.body)
            for each in self.trace
            if each.sender in self.carriers
        ]

    def told(self) -> set[tuple[str, str]]:
        """What the porters have told their owners: of what kind, and of whom."""
        return {(r.kind, r.operator) for carrier in self.carriers.values() for r in carrier.said().reports}


def letters(of: str, count: int, size: int = 1200) -> list[bytes]:
    return [hashlib.shake_256(f"{of} {number}".encode()).digest(size) for number in range(count)]


def correspond(world: World, one: Carrier, other: Carrier, count: int) -> None:
    """Two desks write to each other: *count* letters each way."""
    for me, them, place, send in ((one, other, 0, 0), (other, one, 1, -1)):
        line = LineTerms(
            LineName(them.name.encode().ljust(12)),
            them.mailbox,
            place,
            1 - place,
            send,
            (-1 - send,),
            ((-1, ROOT_ONE), (0, ROOT_TWO)),
        )
        envelopes = tuple((line.name, letter) for letter in letters(me.name, count))
        world.write_tray(me, FromDesk(1, 0, (line,), envelopes))


def came(carrier: Carrier) -> list[bytes]:
    return [envelope for _, envelope in carrier.said().envelopes]
