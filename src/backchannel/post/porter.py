"""The porter: carries for a desk, round after round, and can read nothing.

A machine. :meth:`Porter.start`, at the start of a round, takes the desk's file
and gives the porter's own and the errands of the round, committed before the
first leaves; :meth:`Porter.hear` takes what came back. What leaves is the same
whatever is carried, to whom, or not at all (docs/spec/round.md §5). The rules:

 * the row is a packet for the line whose own place it is, or a dummy, and draws the same
 * a table is read for the lines whose place it is, and otherwise for the own mailbox
 * a table is closed when all replies of the visits that asked and collected have come,
   whatever is in them
 * nothing is sent twice, and nothing moves a visit
 * of a reply only what is public changes what is sent: that it came, a key of the
   day, a charter that follows
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from backchannel.errors import MalformedError, UsageError, VerificationError
from backchannel.kem import Kem
from backchannel.keys import Digest, Random
from backchannel.post import enrolment, packet, retrieval, tray
from backchannel.post import visit as visits
from backchannel.post.charter import AGREEMENT, Charter, Seat, SignedCharter
from backchannel.post.ciphers import Ciphers
from backchannel.post.enrolment import Enrolment
from backchannel.post.keeping import CLOCK_ZERO, Asked, Keeping, Pairing, Standing, successor
from backchannel.post.lines import MAX_QUEUED, Line
from backchannel.post.shelf import Changes, Shelf
from backchannel.post.transfer import MAX_ENVELOPE
from backchannel.post.tray import FromDesk, FromPorter, LineName, LineStatus, OperatorStatus, Report
from backchannel.post.visit import Answers, Reply, ReplyKey, Visit, VisitKey

DAY: Final = 86_400_000  # ms
SILENT: Final = 4  # visits without a reply after which an operator is asked for its keys anew, and again and again
MAX_COME: Final = 256  # envelopes of one correspondent that wait for the desk: what is more is not taken yet
KEPT_DAYS: Final = 90  # of reports and attendance
REPORT_SIZE: Final = 192  # bytes of a file that one report takes at most
ENVELOPES: Final = 4_096  # in a file; a correspondent may send them as small as it likes

# The rooms of the shelf.
KEEPING: Final = "keeping"  # b"": a Keeping
LINES: Final = "lines"  # LineName: a Line
OUT: Final = "out"  # digest: an envelope to be carried
COME: Final = "come"  # number: an envelope that has come


class Kind(StrEnum):
    """What a porter reports to its owner, by day."""

    NO_REPLY = "did not reply"
    REFUSED = "refuses the ticket"
    UNEQUAL = "the operators have unequal tables"
    OTHER_TABLE = "describes another table than was asked about"
    VOID = "rounds are void"
    MISSING = "a row that was handed in is not in the table"
    ALTERED = "another row than was handed in is in the table"
    GARBLED = "answers do not open"
    WRONG_KEY = "a key of the day is not its own"
    SEEN = "says another visit was the last"
    CLOCK = "its clock is off"
    COUNTS = "the operators count different members"
    OLD_TRAY = "an old file of the desk was put back"
    SHUT_TRAY = "a file of the desk does not open"
    WRONG_PACKET = "a correspondent's porter makes packets wrong"
    CHARTER = "sends a charter that does not follow"
    TOO_MUCH = "an envelope is too large, or too much waits"


@dataclass(frozen=True, slots=True)
class Errand:
    """One request of a round: to whom, what, at which instant, and how large the reply is."""

    operator: str
    url: str
    kind: str  # "visit", or one of enrolment.KINDS
    body: bytes
    instant: int
    reply_size: int


@dataclass(frozen=True, slots=True)
class Started:
    """A round that was started: the file for the desk, and what to send."""

    round: int
    file: bytes
    errands: tuple[Errand, ...]


@dataclass(slots=True)
class _Turn:
    """One event as it is worked on: what changes, committed at its end."""

    keeping: Keeping
    lines: dict[LineName, Line]
    day: int
    changes: Changes

    def report(self, kind: Kind, operator: str = "") -> None:
        key = self.day, kind.value, operator
        counted = self.keeping.reports | {key: self.keeping.reports.get(key, 0) + 1}
        self.keeping = replace(self.keeping, reports=counted)

    def standing(self, operator: str, standing: Standing) -> None:
        self.keeping = replace(self.keeping, standings=self.keeping.standings | {operator: standing})


class Porter:
    """One porter on its shelf."""

    def __init__(self, shelf: Shelf, ciphers: Ciphers, random: Random) -> None:
        """Open what :meth:`create` made."""
        raw = shelf.get(KEEPING, b"")
        if raw is None:
            raise UsageError("there is no porter here")
        self._shelf = shelf
        self._ciphers = ciphers
        self.random = random
        self._keeping = Keeping.decode(raw)
        self._lines = {LineName(name): Line.decode(shelf.get(LINES, name) or b"") for name in shelf.names(LINES)}
        self._errands: list[tuple[Errand, ReplyKey]] = []

    @classmethod
    def create(cls, shelf: Shelf, pairing: Pairing, ciphers: Ciphers, random: Random) -> Porter:
        """Make a porter of *pairing*: draws a key for each operator."""
        standings = {seat.name: Standing(VisitKey.draw(random)) for seat in pairing.charter.charter.seats}
        shelf.commit({(KEEPING, b""): Keeping((pairing.charter,), pairing, standings).encode()})
        return cls(shelf, ciphers, random)

    @property
    def keeping(self) -> Keeping:
        return self._keeping

    @property
    def lines(self) -> Mapping[LineName, Line]:
        return self._lines

    def charter_at(self, now: int) -> Charter:
        """The charter by which an instant belongs to a round."""
        charters = [signed.charter for signed in self._keeping.charters]
        return next((c for c in reversed(charters) if c.numbers.start <= now), charters[0])

    # The start of a round.

    def start(self, now: int, file: bytes | None) -> Started | None:
        """Start the round that *now* is in: None if it was started before, or has not come.

        A round that is started after its agreement phase gets no errands: a
        visit is made at its instant or not at all.
        """
        charter = self.charter_at(now)
        number = charter.round_at(now)
        if number < max(charter.numbers.first, self._keeping.round):
            return None
        turn = self._turn(now)
        turn.keeping = _pruned(turn.keeping, charter, number, turn.day)
        self._errands = []
        if file is not None:
            self._take_file(turn, file, charter, number=number, now=now)
        self._meet_operators(turn)
        _forget_keys(turn, charter, number)
        in_time = now < charter.agreed_by(number)
        errands = self._prepare(turn, charter, number) if in_time else ()
        turn.keeping = replace(turn.keeping, round=number + 1)
        written = self._file(turn, number)
        self._commit(turn)
        return Started(number, written, errands)

    def _take_file(self, turn: _Turn, file: bytes, charter: Charter, *, number: int, now: int) -> None:
        """Read what the desk has written, if it is newer than what was read before."""
        try:
            said = tray.open_from_desk(file, turn.keeping.pairing.key, cipher=self._ciphers.replies)
        except (VerificationError, MalformedError):
            turn.report(Kind.SHUT_TRAY)
            return
        if said.number <= turn.keeping.heard:
            if said.number < turn.keeping.heard:
                turn.report(Kind.OLD_TRAY)
            return
        keeping = replace(turn.keeping, heard=said.number)
        # What the desk has read of ours is said no more.
        arrived = {name: since for name, since in keeping.arrived.items() if not 0 < since <= said.heard}
        come = {seq: kept for seq, kept in keeping.come.items() if not 0 < kept[1] <= said.heard}
        for seq in keeping.come.keys() - come.keys():
            turn.changes[COME, seq.to_bytes(8)] = None
        turn.keeping = replace(keeping, arrived=arrived, come=come)
        self._take_lines(turn, said, charter, number)
        if said.charter:
            _consider(turn, said.charter, now, asked=True, kem=self._ciphers.kem)

    def _take_lines(self, turn: _Turn, said: FromDesk, charter: Charter, number: int) -> None:
        """Know the correspondents that the desk names, and no others."""
        since = max(0, number - charter.numbers.window - charter.numbers.catch_up)
        named = {terms.name for terms in said.lines}
        for name in turn.lines.keys() - named:
            for queued in turn.lines.pop(name).out.queue:
                turn.changes[OUT, queued.name] = None
            turn.changes[LINES, name] = None
        for terms in said.lines:
            known = turn.lines.get(terms.name, Line.new(terms))
            turn.lines[terms.name] = known.agreed(terms, since=since)
            if known.mailbox != terms.mailbox:
                turn.changes |= {(OUT, queued.name): None for queued in known.out.queue}
        self._take_envelopes(turn, said, charter)

    def _take_envelopes(self, turn: _Turn, said: FromDesk, charter: Charter) -> None:
        """Queue what is to be carried, and take out what need not be any more."""
        room = packet.room(charter.numbers.packet)
        on_way = {
            queued.name for line in turn.lines.values() for queued in line.out.queue
        } | turn.keeping.arrived.keys()
        for name, envelope in said.envelopes:
            line, digest = turn.lines.get(name), Digest(hashlib.sha256(envelope).digest())
            if line is None or digest in on_way:
                continue
            if len(envelope) > MAX_ENVELOPE or line.out.load + len(envelope) > MAX_QUEUED:
                turn.report(Kind.TOO_MUCH)
                continue
            turn.lines[name] = replace(line, out=line.out.put(digest, len(envelope), room=room))
            turn.changes[OUT, digest] = envelope
            on_way |= {digest}
        for digest in said.dropped:
            for name, line in turn.lines.items():
                left = line.out.without(digest)
                if left is not line.out:
                    turn.changes[OUT, digest] = None
                    turn.lines[name] = replace(line, out=left)

    def _meet_operators(self, turn: _Turn) -> None:
        """A key for each operator that a charter brings; those that are gone are forgotten."""
        names = {seat.name: None for signed in turn.keeping.charters for seat in signed.charter.seats}
        kept = {name: turn.keeping.standings.get(name) or Standing(VisitKey.draw(self.random)) for name in names}
        turn.keeping = replace(turn.keeping, standings=kept)

    def _prepare(self, turn: _Turn, charter: Charter, number: int) -> tuple[Errand, ...]:
        """The errands of round *number*, in the order of the charter's operators."""
        keys = {seat.name: ReplyKey.draw(self.random) for seat in charter.seats}
        noise = self.random(charter.numbers.packet)
        kinds = {seat.name: _errand(turn.keeping, charter, number, seat.name) for seat in charter.seats}
        visited = [name for name, kind in kinds.items() if kind == "visit"]
        bodies = self._visit(turn, charter, number, keys=keys, noise=noise, visited=visited) if visited else {}
        instant = charter.instant(turn.keeping.mailbox, number)
        for seat in charter.seats:
            kind, key = kinds[seat.name], keys[seat.name]
            if kind == "visit":
                more = bool(turn.keeping.collecting and turn.keeping.collecting.more)
                size = visits.reply_size(charter, more=more)
                self._errands.append((Errand(seat.name, seat.url, kind, bodies[seat.name], instant, size), key))
            elif kind:
                self._ask(turn.keeping, charter, seat, kind, instant=instant)
        self._ask_ahead(turn.keeping, charter, number, instant)
        return tuple(errand for errand, _ in self._errands)

    def _ask_ahead(self, keeping: Keeping, charter: Charter, number: int, instant: int) -> None:
        """Once a day, whether a charter is to follow; where one is, its new operators for a place in it.

        And whoever has not replied for some visits, for the keys of the day: it
        may have been put back from a backup, which has none.
        """
        if number % charter.numbers.day == keeping.mailbox % charter.numbers.day:
            for seat in charter.seats:
                self._ask(keeping, charter, seat, "charter", instant=instant)
        for signed in keeping.charters:
            for seat in signed.charter.seats:
                coming = signed.charter.numbers.first > number and seat.name not in {s.name for s in charter.seats}
                if coming and not keeping.standings[seat.name].enrolled:
                    self._ask(keeping, signed.charter, seat, "enrol", instant=instant)
        for seat in charter.seats:
            unheard = keeping.standings[seat.name].unheard
            if unheard > SILENT and unheard % SILENT == 1:
                self._ask(keeping, charter, seat, "key", instant=instant)

    def _ask(self, keeping: Keeping, charter: Charter, seat: Seat, kind: str, *, instant: int) -> None:
        """Add an errand that is no visit."""
        pairing, key = keeping.pairing, ReplyKey.draw(self.random)
        token = pairing.ticket.token(pairing.mailbox, seat.name)
        enrolling = Enrolment(pairing.mailbox, token, keeping.standings[seat.name].key)
        body = enrolling.encode() if kind == "enrol" else b""
        kem = self._ciphers.kem
        box = enrolment.seal(kind, body, key, charter=charter, operator=seat.name, kem=kem, random=self.random)
        size = enrolment.size_of_reply(kind)
        self._errands.append((Errand(seat.name, seat.url, kind, box, instant, size), key))

    def _visit(
        self,
        turn: _Turn,
        charter: Charter,
        number: int,
        *,
        keys: Mapping[str, ReplyKey],
        noise: bytes,
        visited: list[str],
    ) -> dict[str, bytes]:
        row = self._row(turn, charter, number, noise)
        more, queries = _questions(turn.keeping, turn.lines, charter, number, random=self.random)
        shares = [
            retrieval.split(
                turn.lines[LineName(line)].mailbox if line else turn.keeping.mailbox,
                charter.numbers.capacity,
                operators=charter.operators,
                explicit=charter.explicit(number, at),
                random=self.random,
                stream=self._ciphers.stream,
            )
            for at, (_, line) in enumerate(queries)
        ]
        last = turn.keeping.last
        # The answers of a visit under the charter before are given up.
        before = last if last and last.round >= charter.numbers.first else None
        bodies = {}
        for at, seat in enumerate(charter.seats):
            if seat.name not in visited:
                continue
            request = Visit(
                turn.keeping.mailbox,
                number,
                (before.round, before.more) if before else None,
                more,
                keys[seat.name],
                row,
                tuple(share[at] for share in shares),
            )
            standing = turn.keeping.standings[seat.name]
            to = standing.day(charter.day_of(number))
            assert to is not None  # _errand asks for it first
            kem = self._ciphers.kem
            bodies[seat.name] = visits.seal(
                request, standing.key, to, charter=charter, operator=seat.name, kem=kem, random=self.random
            )
        asked = Asked(number, more, {name: keys[name] for name in visited}, tuple(queries))
        for name in visited:
            standing = turn.keeping.standings[name]
            turn.standing(name, replace(standing, unheard=standing.unheard + 1))
        made, answered = turn.keeping.attendance.get(turn.day, (0, 0))
        turn.keeping = replace(
            turn.keeping,
            last=asked,
            collecting=before,
            before=last.round + 1 if last else visits.NEVER,
            deposits=turn.keeping.deposits | {number: Digest(hashlib.sha256(row).digest())},
            attendance=turn.keeping.attendance | {turn.day: (made + 1, answered)},
        )
        return bodies

    def _row(self, turn: _Turn, charter: Charter, number: int, noise: bytes) -> bytes:
        """The own row of round *number*: a packet for the line whose place it is, or the noise itself."""
        place = number % charter.numbers.places
        line = next((line for line in turn.lines.values() if line.place == place), None)
        if line is None or turn.keeping.copy:
            return noise
        where = charter.digest, turn.keeping.mailbox, line.mailbox
        turn.lines[line.name], row = line.packet(
            number, noise, where=where, envelope=lambda name: self._envelope(turn, name), cipher=self._ciphers.packets
        )
        return row

    def _envelope(self, turn: _Turn, name: Digest) -> bytes:
        raw = turn.changes.get((OUT, name)) or self._shelf.get(OUT, name)
        assert raw is not None  # what is queued is kept
        return raw

    def _file(self, turn: _Turn, number: int) -> bytes:
        """The file for the desk: all that it has not heard yet, as far as there is room."""
        keeping = turn.keeping
        own, size = keeping.number + 1, keeping.pairing.size
        effective = keeping.effective(keeping.charter(number))
        arrived = {name: since or own for name, since in keeping.arrived.items()}
        said = FromPorter(
            number=own,
            heard=keeping.heard,
            round=number,
            charter=keeping.charters[-1].encode(),
            mailbox=keeping.mailbox,
            effective=effective + 1 if effective is not None else 0,
            copy=keeping.copy,
            attendance=tuple((day, made, answered) for day, (made, answered) in sorted(keeping.attendance.items())),
            envelopes=(),
            carried=tuple(arrived),
            lines=tuple(
                LineStatus(line.name, line.out.waiting, line.heard, tuple(line.roots)) for line in turn.lines.values()
            ),
            operators=tuple(
                OperatorStatus(name, s.heard, s.clock + CLOCK_ZERO, s.admitted) for name, s in keeping.standings.items()
            ),
            reports=(),
        )
        left = tray.room(size) - len(said.encode()) - 16
        asking = keeping.asking if len(keeping.asking) <= left else b""
        # What operators cause must not crowd out letters: the newest reports, in an eighth of the file.
        reports = [Report(day, kind, name, count) for (day, kind, name), count in sorted(keeping.reports.items())]
        left -= len(asking)
        shown = reports[max(0, len(reports) - min(left, size // 8) // REPORT_SIZE) :]
        left -= REPORT_SIZE * len(shown)
        come: dict[int, tuple[LineName, int]] = {}
        envelopes: list[tuple[LineName, bytes]] = []
        for seq, (line, since) in sorted(keeping.come.items()):
            raw = turn.changes.get((COME, seq.to_bytes(8))) or self._shelf.get(COME, seq.to_bytes(8)) or b""
            fits = len(raw) + 32 <= left and len(envelopes) < ENVELOPES
            # What this file has no room for is not read by who reads it, though one before may have had it.
            come[seq] = line, (since or own) if fits else 0
            if fits:
                left -= len(raw) + 32
                envelopes.append((line, raw))
        turn.keeping = replace(keeping, number=own, arrived=arrived, come=come)
        said = replace(said, envelopes=tuple(envelopes), reports=tuple(shown), asking=asking)
        return tray.seal(said, keeping.pairing.key, size, random=self.random, cipher=self._ciphers.replies)

    # The end of a round.

    def hear(self, replies: Mapping[int, bytes], now: int) -> None:
        """Take what came back of this round's errands, by their index; what did not come is not there."""
        turn = self._turn(now)
        charter = turn.keeping.charter(turn.keeping.round - 1)
        came: dict[str, Reply] = {}
        for index, (errand, key) in enumerate(self._errands):
            raw, name = replies.get(index), errand.operator
            try:
                if raw is None or len(raw) != errand.reply_size:
                    raise VerificationError("no reply")
                if errand.kind == "visit":
                    came[name] = self._open_reply(turn, charter, name, raw)
                else:
                    self._hear_other(turn, charter, errand, raw, key=key, now=now)
            except (VerificationError, MalformedError):
                turn.report(Kind.NO_REPLY, name)
        if len(came) == charter.operators:
            made, answered = turn.keeping.attendance.get(turn.day, (0, 0))
            turn.keeping = replace(turn.keeping, attendance=turn.keeping.attendance | {turn.day: (made, answered + 1)})
            self._collect(turn, charter, came)
        for name, reply in came.items():
            self._note(turn, charter, name, reply)
        if came:
            _compare(turn, charter, came)
        self._errands = []
        self._commit(turn)

    def _open_reply(self, turn: _Turn, charter: Charter, operator: str, raw: bytes) -> Reply:
        last = turn.keeping.last
        assert last is not None  # its visit was made
        asked = _asked(turn.keeping, last, operator)
        return visits.open_reply(raw, asked, charter=charter, operator=operator, cipher=self._ciphers.replies)

    def _hear_other(
        self, turn: _Turn, charter: Charter, errand: Errand, raw: bytes, *, key: ReplyKey, now: int
    ) -> None:
        body = enrolment.open_reply(errand.kind, raw, key, cipher=self._ciphers.replies)
        operator = errand.operator
        if errand.kind == "enrol":
            effective = enrolment.decode_enrolled(body)
            if effective is None:
                turn.report(Kind.REFUSED, operator)
            else:
                turn.standing(operator, replace(turn.keeping.standings[operator], enrolled=effective + 1))
        elif errand.kind == "key":
            for day_key in enrolment.decode_day_keys(body):
                self._take_day_key(turn, charter, operator, day_key, asked=True)
        elif (following := enrolment.decode_charter(body)) and not _consider(
            turn, following, now, asked=False, kem=self._ciphers.kem
        ):
            turn.report(Kind.CHARTER, operator)

    def _take_day_key(
        self, turn: _Turn, charter: Charter, operator: str, day_key: visits.DayKey, *, asked: bool = False
    ) -> None:
        today, standing = charter.day_of(turn.keeping.round - 1), turn.keeping.standings[operator]
        # Tomorrow's key comes with every reply, and is checked once.
        if standing.day(day_key.day) == day_key.key:
            return
        try:
            day_key.check(charter, operator)
            self._ciphers.kem.check(day_key.key)
        except (VerificationError, MalformedError):
            turn.report(Kind.WRONG_KEY, operator)
            return
        if not today <= day_key.day <= today + 1:
            turn.report(Kind.CLOCK, operator)  # it is its own, and of a day that is not
            return
        if standing.day(day_key.day) is not None and not asked:
            turn.report(Kind.WRONG_KEY, operator)  # two keys of one day: the first stands, until it is asked for
            return
        turn.standing(operator, standing.with_day(day_key.day, day_key.key))

    def _note(self, turn: _Turn, charter: Charter, operator: str, reply: Reply) -> None:
        """What a reply says besides answers: shown to the owner, and changing nothing that is sent."""
        last = turn.keeping.last
        assert last is not None
        self._take_day_key(turn, charter, operator, reply.tomorrow)
        clock = reply.time - charter.instant(turn.keeping.mailbox, last.round) - charter.numbers.hold
        shown = min(max(clock, -CLOCK_ZERO), CLOCK_ZERO)
        standing = turn.keeping.standings[operator]
        turn.standing(
            operator, replace(standing, heard=last.round + 1, clock=shown, admitted=reply.admitted, unheard=0)
        )
        if abs(clock) > charter.numbers.period // AGREEMENT:
            turn.report(Kind.CLOCK, operator)

    def _collect(self, turn: _Turn, charter: Charter, came: Mapping[str, Reply]) -> None:
        """Open the answers of the visit before, close its tables, and take what was read."""
        asked = turn.keeping.collecting
        if asked is None or len(asked.keys) != charter.operators:
            return
        answers: dict[str, Answers] = {}
        for name, reply in came.items():
            try:
                answers[name] = visits.open_answers(
                    reply.answers,
                    _asked(turn.keeping, asked, name),
                    charter=charter,
                    operator=name,
                    cipher=self._ciphers.replies,
                )
            except (VerificationError, MalformedError):
                # Of a visit that it did not reply to it may have heard nothing, and has no answers.
                if turn.keeping.standings[name].heard == asked.round + 1:
                    turn.report(Kind.GARBLED, name)
        turn.keeping = replace(turn.keeping, closed=turn.keeping.closed | asked.tables)
        if len(answers) != charter.operators:
            return
        void, unequal = _check_descriptors(turn, charter, asked, answers)
        for at, (table, line) in enumerate(asked.queries):
            if table in void or not charter.readable(table, asked.round):
                continue
            row = retrieval.combine([each.rows[at] for each in answers.values()])
            if line:
                self._take_row(turn, charter, LineName(line), table=table, row=row)
            elif table not in unequal:
                # Out of two tables comes no row of either; that they are two was reported.
                _audit(turn, table, row)

    def _take_row(self, turn: _Turn, charter: Charter, name: LineName, *, table: int, row: bytes) -> None:
        line = turn.lines.get(name)
        if line is None:
            return  # the desk has taken it away since
        before, full = line.coming, sum(each == name for each, _ in turn.keeping.come.values()) >= MAX_COME
        try:
            line, arrived, whole = line.read(
                row, table, where=(charter.digest, line.mailbox, turn.keeping.mailbox), cipher=self._ciphers.packets
            )
        except MalformedError:
            turn.report(Kind.WRONG_PACKET)
            return
        except VerificationError:
            return  # a dummy, or a row that somebody altered: its own porter will find out
        if full:
            # Not taken, so not acknowledged: it comes again for as long as the desk stays shut.
            line, whole = replace(line, coming=before), ()
        turn.lines[name] = line
        keeping = turn.keeping
        come, following = dict(keeping.come), keeping.next_come
        for envelope in whole:
            turn.changes[COME, following.to_bytes(8)] = envelope
            come[following] = name, 0
            following += 1
        for digest in arrived:
            turn.changes[OUT, digest] = None
        gone = keeping.arrived | dict.fromkeys(arrived, 0)
        turn.keeping = replace(keeping, come=come, next_come=following, arrived=gone)

    # Both.

    def _turn(self, now: int) -> _Turn:
        return _Turn(self._keeping, dict(self._lines), now // DAY, {})

    def _commit(self, turn: _Turn) -> None:
        changes = turn.changes
        for name, line in turn.lines.items():
            if self._lines.get(name) != line:
                changes[LINES, name] = line.encode()
        changes[KEEPING, b""] = turn.keeping.encode()
        self._shelf.commit(changes)
        self._keeping, self._lines = turn.keeping, turn.lines


def _errand(keeping: Keeping, charter: Charter, number: int, operator: str) -> str:
    """What is asked of *operator* in round *number*: by what is public of this porter, and nothing else."""
    standing, effective = keeping.standings[operator], keeping.effective(charter)
    if not standing.enrolled:
        return "enrol"
    if standing.day(charter.day_of(number)) is None:
        return "key"
    return "visit" if effective is not None and number >= effective else ""


def _questions(
    keeping: Keeping, lines: Mapping[LineName, Line], charter: Charter, number: int, *, random: Random
) -> tuple[bool, list[tuple[int, bytes]]]:
    """Whether old tables are asked about, and each query: its table, and the line or none for the own mailbox.

    Draws 8 bytes a table, for the order of its reads. An operator can spoil one
    query of a visit, and a correspondent who is with it sees whether it was the one
    that read him: so where he is read must not hang on who else is.
    """
    open_ = _open_tables(keeping, charter, number)
    more = bool(open_)
    queries: list[tuple[int, bytes]] = []
    reads = charter.numbers.reads
    for table in dict.fromkeys(charter.tables(number, more=more)):
        there = table == number - 1 or table in open_
        place = table % charter.numbers.places
        # A mailbox that a coming charter adds is not read before it is there.
        near = [line for line in lines.values() if line.mailbox < charter.numbers.capacity] if there else []
        wanted = [line.name for line in near if line.their_place == place]
        row: list[bytes] = [*wanted[:reads], *[b""] * (reads - len(wanted))]
        queries += [(table, line) for line in _shuffled(row, random)]
    return more, queries


def _shuffled(row: list[bytes], random: Random) -> list[bytes]:
    """The reads of one table in any order; 8 bytes are more than enough for all orders of eight."""
    number, out, left = int.from_bytes(random(8)), [], list(row)
    while left:
        number, at = divmod(number, len(left))
        out.append(left.pop(at))
    return out


def _open_tables(keeping: Keeping, charter: Charter, number: int) -> frozenset[int]:
    """The tables before the newest that are still served and not yet read."""
    first = max(
        charter.numbers.first,
        keeping.effective(charter) or 0,
        number - charter.numbers.window - charter.numbers.catch_up,
    )
    waiting = keeping.last.tables if keeping.last and len(keeping.last.keys) == charter.operators else frozenset()
    return frozenset(range(first, number - 1)) - keeping.closed - waiting


def _asked(keeping: Keeping, asked: Asked, operator: str) -> Visit:
    """As much of a visit as opens what was sealed to it."""
    return Visit(keeping.mailbox, asked.round, None, asked.more, asked.keys[operator], b"", ())


def _compare(turn: _Turn, charter: Charter, came: Mapping[str, Reply]) -> None:
    """What the operators say of this porter and its fellows must agree."""
    expected, seen = turn.keeping.before, {reply.seen for reply in came.values()}
    for name, reply in came.items():
        if reply.seen > expected:
            turn.report(Kind.SEEN, name)
    # One operator may lie; all of them together have seen somebody.
    if len(came) == charter.operators and len(seen) == 1 and min(seen) > expected:
        turn.keeping = replace(turn.keeping, copy=True)
    if len({reply.admitted for reply in came.values()}) > 1:
        turn.report(Kind.COUNTS)


def _forget_keys(turn: _Turn, charter: Charter, number: int) -> None:
    """Erase the keys of all rows that will not be read any more."""
    unread = _open_tables(turn.keeping, charter, number)
    asked = turn.keeping.last.tables if turn.keeping.last else frozenset()
    before = max(0, min(unread | asked | {number - 1}))
    for name, line in turn.lines.items():
        turn.lines[name] = line.forgotten(before)


def _check_descriptors(
    turn: _Turn, charter: Charter, asked: Asked, answers: Mapping[str, Answers]
) -> tuple[set[int], set[int]]:
    """Hold what the operators say of each table against each other; those void at all of them, and those unequal."""
    void, unequal = set(), set()
    tables = list(dict.fromkeys(table for table, _ in asked.queries))
    for at, table in enumerate(tables):
        if not charter.readable(table, asked.round):
            continue
        said = {name: each.descriptors[at] for name, each in answers.items()}
        for name, descriptor in said.items():
            expected = charter.digest, table, charter.numbers.capacity
            if (descriptor.charter, descriptor.round, descriptor.rows) != expected:
                turn.report(Kind.OTHER_TABLE, name)
        if len(set(said.values())) > 1:
            turn.report(Kind.UNEQUAL)
            unequal.add(table)
        elif all(descriptor.void for descriptor in said.values()):
            turn.report(Kind.VOID)
            void.add(table)
    return void, unequal


def _audit(turn: _Turn, table: int, row: bytes) -> None:
    """An idle read: this porter knows what its own row must be."""
    deposit = turn.keeping.deposits.get(table)
    if deposit is None:
        if any(row):
            turn.report(Kind.ALTERED)
    elif not any(row):
        turn.report(Kind.MISSING)
    elif hashlib.sha256(row).digest() != deposit:
        turn.report(Kind.ALTERED)


def _consider(turn: _Turn, raw: bytes, now: int, *, asked: bool, kem: Kem) -> bool:
    """Take a charter that is said to follow: False if it does not."""
    try:
        signed = SignedCharter.decode(raw)
        signed.charter.check_keys(kem)
        newest = turn.keeping.charters[-1].charter
        if signed.charter.digest in {each.charter.digest for each in turn.keeping.charters}:
            return True
        follows = successor(signed, newest, now=now, asked=asked)
    except (MalformedError, VerificationError, UsageError):
        return False
    if follows:
        turn.keeping = replace(turn.keeping, charters=(*turn.keeping.charters, signed), asking=b"")
    else:
        turn.keeping = replace(turn.keeping, asking=raw)
    return True


def _pruned(keeping: Keeping, charter: Charter, number: int, day: int) -> Keeping:
    """Forget what is over: tables that are served no more, days long past, charters that were followed."""
    oldest = number - charter.numbers.window - charter.numbers.catch_up
    # What the last visit asked about is still to be held against what was handed in.
    asked = keeping.last.tables if keeping.last else frozenset()
    charters = keeping.charters
    while len(charters) > 1 and charters[1].charter.numbers.first <= number - 2:
        charters = charters[1:]
    return replace(
        keeping,
        charters=charters,
        closed=frozenset(table for table in keeping.closed if table >= oldest),
        deposits={at: digest for at, digest in keeping.deposits.items() if at >= oldest or at in asked},
        reports={key: count for key, count in keeping.reports.items() if key[0] > day - KEPT_DAYS},
        attendance={at: counts for at, counts in keeping.attendance.items() if at > day - KEPT_DAYS},
    )
