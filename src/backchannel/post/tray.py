"""The tray: how desk and porter exchange sealed things, as two files of one fixed size.

Each writes one file and reads the other's, each as a whole. A file says all that
its writer still has to say, so that none that is missed does harm: what the
other has read up to some number is said no more (docs/spec/tray.md). To anybody
without the key of the pairing a file is random bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

from backchannel.encoding import Value, decode, encode, framed
from backchannel.errors import MalformedError, UsageError, VerificationError
from backchannel.keys import KEY_SIZE, Digest, Fixed, Random, Secret, derive
from backchannel.post.ciphers import NONCE_SIZE, TAG_SIZE, Aead

# Specification constants (docs/spec/tray.md §1).
SEED_SIZE: Final = 32
LENGTH_SIZE: Final = 4
OVERHEAD: Final = SEED_SIZE + TAG_SIZE + LENGTH_SIZE
DEFAULT_SIZE: Final = 1024 * 1024
DESK_FILE: Final = "desk.tray"
PORTER_FILE: Final = "porter.tray"
MAX_VALUES: Final = 65_536
# Specification constants (docs/spec/tray.md §2): what is larger is no tray.
MAX_COUNT: Final = 2**48  # of files, rounds, days, milliseconds; and one more than a turn
MAX_MAILBOX: Final = 2**20
MAX_PLACE: Final = 64
MAX_LINES: Final = 256
MAX_TURNS: Final = 16  # of one line
MAX_TEXT: Final = 255

LABEL_DESK: Final = b"backchannel/v1/tray/desk"
LABEL_PORTER: Final = b"backchannel/v1/tray/porter"


_Said = TypeVar("_Said", bound="FromDesk | FromPorter")


class PairingKey(Secret):
    """What a desk and its porter have shared since pairing."""

    __slots__ = ()


class LineName(Fixed):
    """The desk's name for one generation of keys with one correspondent."""

    size = 12
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class LineTerms:
    """A correspondent, as the porter knows one: numbers and roots."""

    name: LineName
    mailbox: int  # theirs
    place: int  # this desk's own, at which it writes
    their_place: int
    sending: int  # the turn under whose root packets to them are sealed
    reading: tuple[int, ...]  # the turns under whose roots theirs may be
    roots: tuple[tuple[int, bytes], ...]  # turn → packet root, those that the porter may not have yet


@dataclass(frozen=True, slots=True)
class FromDesk:
    """What a desk says to its porter."""

    number: int
    heard: int  # the number of the porter's file that it has read, and committed
    lines: tuple[LineTerms, ...]
    envelopes: tuple[tuple[LineName, bytes], ...]  # to be carried
    dropped: tuple[Digest, ...] = ()  # envelopes that have arrived by another way
    charter: bytes = b""  # a charter file that the owner has agreed to

    def encode(self) -> bytes:
        lines = tuple(
            (
                line.name,
                line.mailbox,
                line.place,
                line.their_place,
                line.sending + 1,
                tuple(turn + 1 for turn in line.reading),
                tuple((turn + 1, root) for turn, root in line.roots),
            )
            for line in self.lines
        )
        return encode((self.number, self.heard, lines, self.envelopes, self.dropped, self.charter))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else.
        """
        try:
            number, heard, lines, envelopes, dropped, charter = _values(data)
            terms = tuple(_terms(each) for each in _few(lines, MAX_LINES))
            if len({each.name for each in terms}) != len(terms):
                raise MalformedError(_NO_TRAY)
            digests = tuple(map(Digest, dropped))
            said = cls(_count(number), _count(heard), terms, _envelopes(envelopes), digests, _bytes(charter))
        except (TypeError, ValueError):
            raise MalformedError(_NO_TRAY) from None
        return _as_written(said, data)


@dataclass(frozen=True, slots=True)
class LineStatus:
    """How far the porter has come with one correspondent."""

    name: LineName
    waiting: int  # packets still to be carried
    heard: int  # one more than the last round whose row of theirs opened, or 0
    roots: tuple[int, ...]  # the turns whose roots it has


@dataclass(frozen=True, slots=True)
class Report:
    """What a porter noticed on a day, so many times; the operator it concerns, if one."""

    day: int  # since 1970
    kind: str
    operator: str
    count: int


@dataclass(frozen=True, slots=True)
class OperatorStatus:
    """One operator, as a porter last saw it."""

    name: str
    heard: int  # one more than the round of its last reply, or 0
    clock: int  # ms that its clock is ahead of the porter's, plus 2^40
    admitted: tuple[int, ...]  # how many of each share it says are filled


@dataclass(frozen=True, slots=True)
class FromPorter:
    """What a porter says to its desk."""

    number: int
    heard: int  # the number of the desk's file that it has read, and committed
    round: int
    charter: bytes  # the charter file that it follows
    mailbox: int
    effective: int  # one more than the round from which it takes part, or 0
    copy: bool  # another porter visits with these keys
    attendance: tuple[tuple[int, int, int], ...]  # day since 1970, visits made, and answered by all operators
    envelopes: tuple[tuple[LineName, bytes], ...]  # that have come
    carried: tuple[Digest, ...]  # that have arrived at the other porter
    lines: tuple[LineStatus, ...]
    operators: tuple[OperatorStatus, ...]
    reports: tuple[Report, ...]
    asking: bytes = b""  # a charter that follows, which its owner has to agree to

    def encode(self) -> bytes:
        return encode((
            self.number,
            self.heard,
            self.round,
            self.charter,
            self.mailbox,
            self.effective,
            int(self.copy),
            self.attendance,
            self.envelopes,
            self.carried,
            tuple((line.name, line.waiting, line.heard, tuple(t + 1 for t in line.roots)) for line in self.lines),
            tuple((each.name, each.heard, each.clock, each.admitted) for each in self.operators),
            tuple((each.day, each.kind, each.operator, each.count) for each in self.reports),
            self.asking,
        ))  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else.
        """
        try:
            (
                number, heard, round_, charter, mailbox, effective, copy, attendance,
                envelopes, carried, lines, operators, reports, asking,
            ) = _values(data)  # fmt: skip
            said = cls(
                _count(number),
                _count(heard),
                _count(round_),
                _bytes(charter),
                _count(mailbox, MAX_MAILBOX),
                _count(effective),
                bool(_count(copy, 2)),
                tuple((_count(day), _count(made), _count(answered)) for day, made, answered in attendance),
                _envelopes(envelopes),
                tuple(map(Digest, carried)),
                tuple(
                    LineStatus(LineName(name), _count(waiting), _count(last), _turns(roots))
                    for name, waiting, last, roots in _few(lines, MAX_LINES)
                ),
                tuple(
                    OperatorStatus(_text(name), _count(last), _count(clock), tuple(map(_count, admitted)))
                    for name, last, clock, admitted in operators
                ),
                tuple(
                    Report(_count(day), _text(kind), _text(operator), _count(times))
                    for day, kind, operator, times in reports
                ),
                _bytes(asking),
            )
        except (TypeError, ValueError):
            raise MalformedError(_NO_TRAY) from None
        return _as_written(said, data)


def seal(said: FromDesk | FromPorter, key: PairingKey, size: int, *, random: Random, cipher: Aead) -> bytes:
    """Seal what one says into a file of *size* bytes. Draws 32 bytes.

    Raises:
        UsageError: If it does not fit; :func:`room` says what does.
    """
    raw = said.encode()
    if len(raw) > room(size):
        raise UsageError("this is more than the tray holds")
    seed = random(SEED_SIZE)
    body = (len(raw).to_bytes(LENGTH_SIZE) + raw).ljust(size - SEED_SIZE - TAG_SIZE, b"\0")
    label = LABEL_DESK if isinstance(said, FromDesk) else LABEL_PORTER
    return seed + cipher.seal(_key(seed, key, label), bytes(NONCE_SIZE), body, b"")


def open_from_desk(file: bytes, key: PairingKey, *, cipher: Aead) -> FromDesk:
    """Open the desk's file.

    Raises:
        VerificationError: If it is not one, or of another pairing.
        MalformedError: If its writer sealed something else.
    """
    return FromDesk.decode(_open(file, key, LABEL_DESK, cipher))


def open_from_porter(file: bytes, key: PairingKey, *, cipher: Aead) -> FromPorter:
    """Open the porter's file.

    Raises:
        VerificationError: If it is not one, or of another pairing.
        MalformedError: If its writer sealed something else.
    """
    return FromPorter.decode(_open(file, key, LABEL_PORTER, cipher))


def room(size: int) -> int:
    """How many bytes of encoding a file of *size* bytes holds."""
    return size - OVERHEAD


def _open(file: bytes, key: PairingKey, label: bytes, cipher: Aead) -> bytes:
    if len(file) <= OVERHEAD:
        raise VerificationError(_NO_TRAY)
    seed = file[:SEED_SIZE]
    body = cipher.open(_key(seed, key, label), bytes(NONCE_SIZE), file[SEED_SIZE:], b"")
    size = int.from_bytes(body[:LENGTH_SIZE])
    if size > len(body) - LENGTH_SIZE:
        raise MalformedError(_NO_TRAY)
    return body[LENGTH_SIZE : LENGTH_SIZE + size]


def _key(seed: bytes, key: PairingKey, label: bytes) -> bytes:
    return derive(seed, key, framed(label), count=1)[0]


def _values(data: bytes) -> Any:
    value: Value = decode(data, values=MAX_VALUES)
    if not isinstance(value, tuple):
        raise MalformedError(_NO_TRAY)
    return value


def _as_written(said: _Said, data: bytes) -> _Said:
    """Give *said*, if *data* is its encoding: a row of small numbers could also be read from bytes."""
    if said.encode() != data:
        raise MalformedError(_NO_TRAY)
    return said


def _terms(value: Any) -> LineTerms:
    name, mailbox, place, theirs, sending, reading, roots = value
    named = tuple((_count(turn) - 1, _bytes(root)) for turn, root in _few(roots, MAX_TURNS))
    if any(len(root) != KEY_SIZE for _, root in named) or not _count(mailbox, MAX_MAILBOX):
        raise MalformedError(_NO_TRAY)
    places = _count(place, MAX_PLACE), _count(theirs, MAX_PLACE)
    return LineTerms(LineName(name), mailbox, *places, _count(sending) - 1, _turns(reading), named)


def _turns(value: Any) -> tuple[int, ...]:
    return tuple(_count(turn) - 1 for turn in _few(value, MAX_TURNS))


def _envelopes(value: Any) -> tuple[tuple[LineName, bytes], ...]:
    pairs = tuple((LineName(name), _bytes(envelope)) for name, envelope in value)
    if not all(envelope for _, envelope in pairs):
        raise MalformedError(_NO_TRAY)
    return pairs


def _few(value: Any, most: int) -> Any:
    if len(value) > most:
        raise MalformedError(_NO_TRAY)
    return value


def _count(value: Any, end: int = MAX_COUNT) -> int:
    if not isinstance(value, int) or value >= end:
        raise MalformedError(_NO_TRAY)
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedError(_NO_TRAY)
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise MalformedError(_NO_TRAY)
    return value


_NO_TRAY: Final = "this is not a tray of this pairing"
