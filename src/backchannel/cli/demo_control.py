"""The control: the same observer, on builds that leak and on the one that does not.

Two operators and sixteen porters in this process, on dictionaries, with the
product's machines and ciphers; between them function calls for a network, and
instants for a clock. In every run two letters cross, and the observer has what
one of the operators has opened. All choices come from the seed; what the
machines draw does too, but for the inside of the KEM, which no observer opens.

The leaks are two that have been made elsewhere: each is one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import comb
from typing import Any, Final

from backchannel.cli.curious import Curious, Opened
from backchannel.cli.observer import Sight, suspects
from backchannel.cli.seeded import Seeded
from backchannel.kem import PrivateKey
from backchannel.post import packet, tray
from backchannel.post.charter import Charter, Numbers, Seat, Share, SignedCharter
from backchannel.post.charters import OperatorKeys
from backchannel.post.ciphers import Ciphers
from backchannel.post.enrolment import Ticket
from backchannel.post.keeping import MIN_TRAY, Pairing
from backchannel.post.porter import Errand, Porter, Started
from backchannel.post.rounds import Operator
from backchannel.post.tray import FromDesk, LineName, LineTerms, PairingKey
from backchannel.signing import Signer

DESKS: Final = 16
PAIRS: Final = comb(DESKS, 2)
NAMES: Final = "west", "east"
NUMBERS: Final = Numbers(
    capacity=256,
    packet=4096,
    period=1_000,
    places=2,
    reads=2,
    catch_up=4,
    window=24,
    hold=100,
    day=1_440,
    enrolment=1,
    first=1_000,
    start=1_950_000_000_000,
)
VISITED: Final = NUMBERS.first + 2  # the first round of visits: before it are admission, and the key of the day
ROUNDS: Final = NUMBERS.places + 2  # a turn of the places, and two until the last of it has been collected
ASKED: Final = 4  # times that an operator asks the other until they have a table


class Visitless(Porter):
    """A build that leaks: nobody goes who has nothing to carry and nothing to expect."""

    def start(self, now: int, file: bytes | None) -> Started | None:
        started = super().start(now, file)
        return started if started is None or self.lines else replace(started, errands=())


class Zeros(Porter):
    """A build that leaks: a row that carries nothing is nothing."""

    def _row(self, turn: Any, charter: Charter, number: int, noise: bytes) -> bytes:
        row = super()._row(turn, charter, number, noise)
        return bytes(len(noise)) if row is noise else row


BUILDS: Final[Mapping[str, type[Porter]]] = {
    "leaks: without letters, no visit": Visitless,
    "leaks: without letters, a row of zeros": Zeros,
    "the real one": Porter,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a build's runs."""

    build: str
    runs: int
    both: int  # runs in which the observer named the two
    one: int  # and in which one of them

    @property
    def luck(self) -> float:
        """How probable it is to name both at least as often by drawing lots."""
        return at_least(self.both, self.runs, 1 / PAIRS)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: who wrote, whom the observer named, and what it had."""

    pair: tuple[int, int]
    named: tuple[int, int]
    crossed: bool  # whether both letters came
    sights: tuple[Sight, ...]


def at_least(hits: int, runs: int, chance: float) -> float:
    """How probable so many *hits* or more are in *runs* with this *chance* each."""
    return sum(comb(runs, n) * chance**n * (1 - chance) ** (runs - n) for n in range(hits, runs + 1))


def control(seed: int, runs: int, done: Callable[[Outcome], None]) -> list[Outcome]:
    """Let the observer have so many *runs* of each build, the same for all; *done* hears of each build."""
    office = Office.found(Seeded(seed, "office"))
    outcomes = []
    for name, build in BUILDS.items():
        played = [office.play(build, Seeded(seed, "run", at), to=NAMES[at % len(NAMES)]) for at in range(runs)]
        assert all(run.crossed for run in played)
        right = [len({*run.pair} & {*run.named}) for run in played]
        outcomes.append(Outcome(name, runs, right.count(2), right.count(1)))
        done(outcomes[-1])
    return outcomes


@dataclass(slots=True)
class Shelf:
    """A shelf that is a dictionary."""

    bodies: dict[tuple[str, bytes], bytes] = field(default_factory=dict)

    def get(self, room: str, name: bytes) -> bytes | None:
        return self.bodies.get((room, name))

    def names(self, room: str) -> list[bytes]:
        return sorted(name for each, name in self.bodies if each == room)

    def commit(self, changes: Mapping[tuple[str, bytes], bytes | None]) -> None:
        for name, body in changes.items():
            if body is None:
                self.bodies.pop(name, None)
            else:
                self.bodies[name] = body

    def copy(self) -> Shelf:
        return Shelf(dict(self.bodies))


@dataclass(frozen=True, slots=True)
class Office:
    """An office whose sixteen porters have been admitted, and have not visited yet."""

    signed: SignedCharter
    keys: Mapping[str, OperatorKeys]
    operators: Mapping[str, Shelf]
    porters: Mapping[int, Shelf]  # by mailbox

    @classmethod
    def found(cls, draw: Seeded) -> Office:
        """Found one, and admit everybody."""
        keys = {name: OperatorKeys(name, Signer.draw(draw), PrivateKey.draw(draw)) for name in NAMES}
        signed = _charter(keys)
        office = cls(signed, keys, {name: Shelf() for name in NAMES}, {})
        operators = {name: office.operator(name, draw.of(name), CIPHERS) for name in NAMES}
        for operator in operators.values():
            operator.adopt(signed)
            operator.begin(signed.charter.numbers.start - 1)
        shelves: dict[int, Shelf] = {}
        porters = {}
        for operator in operators.values():
            for mailbox, ticket in operator.issue(DESKS // len(NAMES)):
                shelves[mailbox] = Shelf()
                porters[mailbox] = _porter(shelves[mailbox], signed, mailbox, ticket, draw=draw.of(mailbox))
        for name, operator in operators.items():
            for peer, request in operator.errands():
                operators[peer].answer(name, request, 0)
                operator.told(peer, request)
        street = Street(signed.charter, operators, porters)
        for number in range(NUMBERS.first, VISITED):
            street.turn(number, {})
        return replace(office, porters=shelves)

    def operator(self, name: str, draw: Seeded, ciphers: Ciphers) -> Operator:
        return Operator(self.operators[name], (self.keys[name],), ciphers, random=draw)

    def play(self, build: type[Porter], draw: Seeded, *, to: str) -> Run:
        """Play a run of *build* from here, observed by the operator *to*."""
        charter = self.signed.charter
        again = replace(self, operators={name: shelf.copy() for name, shelf in self.operators.items()})
        street = Street(charter, {}, {})
        kept: list[Opened] = []
        curious = replace(
            CIPHERS, kem=Curious(CIPHERS.kem, lambda size, content: kept.append(Opened(street.now, size, content)))
        )
        for name in NAMES:
            operator = again.operator(name, draw.of(name), curious if name == to else CIPHERS)
            operator.begin(charter.begins(VISITED) - 1)
            street.operators[name] = operator
        for mailbox, shelf in self.porters.items():
            street.porters[mailbox] = build(shelf.copy(), CIPHERS, draw.of(mailbox))
        one, other, *rest = draw.shuffled(self.porters)
        files = _two_write(street.porters, one, other, draw) | {
            each: _quiet(street.porters[each], draw) for each in rest
        }
        for number in range(VISITED, VISITED + ROUNDS):
            street.turn(number, files)
        sights = tuple(sight for each in kept if (sight := each.sight(charter, to, CIPHERS.stream)))
        crossed = all(street.porters[each].keeping.come for each in (one, other))
        named = suspects(sights, sorted(self.porters), lots=draw.of("lots"))
        return Run((min(one, other), max(one, other)), named, crossed, sights)


@dataclass(slots=True)
class Street:
    """What is between operators and porters: here, function calls; and a clock."""

    charter: Charter
    operators: dict[str, Operator]
    porters: dict[int, Porter]
    now: int = 0

    def turn(self, number: int, files: Mapping[int, bytes]) -> None:
        """One round, from its start to its end."""
        self.now = self.charter.begins(number)
        started = {mailbox: porter.start(self.now, files.get(mailbox)) for mailbox, porter in self.porters.items()}
        self._settle(number - 1)
        replies: dict[int, dict[int, bytes]] = {mailbox: {} for mailbox in self.porters}
        for mailbox, index, errand in _in_order(started):
            self.now = errand.instant
            reply = self._carry(errand)
            if reply is not None:
                replies[mailbox][index] = reply
        self.now = self.charter.begins(number + 1) - 1
        for operator in self.operators.values():
            operator.compute(number)
        for mailbox, porter in self.porters.items():
            porter.hear(replies[mailbox], self.now)

    def _carry(self, errand: Errand) -> bytes | None:
        operator = self.operators[errand.operator]
        if errand.kind != "visit":
            return operator.ask(errand.kind, errand.body, self.now)
        replying = operator.visit(errand.body, self.now)
        return replying.body if replying else None

    def _settle(self, number: int) -> None:
        for _ in range(ASKED):
            for name, operator in self.operators.items():
                settling = operator.settle(number)
                for peer, request in settling.requests() if settling else ():
                    assert settling is not None
                    settling.heard(peer, request, self.operators[peer].answer(name, request, self.now))
        for operator in self.operators.values():
            operator.settled(number, self.now)


def _in_order(started: Mapping[int, Started | None]) -> Iterator[tuple[int, int, Errand]]:
    """The errands of all porters by their instants: whose, which, and what."""
    errands = [
        (mailbox, index, errand)
        for mailbox, each in started.items()
        for index, errand in enumerate(each.errands if each else ())
    ]
    yield from sorted(errands, key=lambda each: each[2].instant)


def _charter(keys: Mapping[str, OperatorKeys]) -> SignedCharter:
    kem = CIPHERS.kem
    seats = tuple(Seat(k.name, f"http://{k.name}.test", k.signer.public, kem.public(k.sealing)) for k in keys.values())
    signed = SignedCharter(Charter("control", seats, shares(), NUMBERS))
    for key in keys.values():
        signed = signed.sign(key.signer)
    return signed


def shares() -> tuple[Share, ...]:
    """Half of the mailboxes for each of the two."""
    each = (NUMBERS.capacity - 1) // len(NAMES)
    return tuple(Share(name, 1 + at * each, each, DESKS // len(NAMES)) for at, name in enumerate(NAMES))


def _porter(shelf: Shelf, signed: SignedCharter, mailbox: int, ticket: Ticket, *, draw: Seeded) -> Porter:
    return Porter.create(shelf, Pairing(signed, mailbox, ticket, PairingKey.draw(draw), MIN_TRAY), CIPHERS, draw)


def _two_write(porters: Mapping[int, Porter], one: int, other: int, draw: Seeded) -> dict[int, bytes]:
    """The files of two desks that have met and have written a letter of one packet, each to the other."""
    places = draw.below(NUMBERS.places), draw.below(NUMBERS.places)
    roots = tuple((turn, draw(32)) for turn in (-1, 0))
    size = packet.room(NUMBERS.packet)
    files = {}
    for at, (mailbox, theirs) in enumerate(((one, other), (other, one))):
        terms = LineTerms(LineName(draw(LineName.size)), theirs, places[at], places[1 - at], -at, (at - 1,), roots)
        envelope = draw(size - draw.below(size // 8))
        files[mailbox] = _sealed(porters[mailbox], FromDesk(1, 0, (terms,), ((terms.name, envelope),)), draw)
    return files


def _quiet(porter: Porter, draw: Seeded) -> bytes:
    """The file of a desk that was opened and locked, and no more."""
    return _sealed(porter, FromDesk(1, 0, (), ()), draw)


def _sealed(porter: Porter, said: FromDesk, draw: Seeded) -> bytes:
    pairing = porter.keeping.pairing
    return tray.seal(said, pairing.key, pairing.size, random=draw, cipher=CIPHERS.replies)


def chance(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """How many of so many runs drawing lots would name both in, and one of the two."""
    runs = outcomes[0].runs
    return runs / PAIRS, runs * 2 * (DESKS - 2) / PAIRS


CIPHERS: Final = Ciphers.real()
