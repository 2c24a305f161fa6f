"""Histories of an office in foul weather: desks, porters, operators, and all that goes wrong between them.

A seed is a history, the same in every run. Until the weather turns, messages
are lost, cut, late, repeated and out of order; power fails before and after
commits; clocks are off; disks fill; tray files are missed, cut or put back old.
Then the network allows everything, and within a number of rounds that follows
from the charter (:func:`bound`) every letter that was sealed has been opened
once at the other desk, and a while later (:func:`settles`) no porter keeps
anything of it. :meth:`History.check` says what was lost, if anything was.

Everything that decides is the product's; what is cheap under it is in cheap.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from backchannel.desk import post, records
from backchannel.desk.records import Person
from backchannel.errors import RefusedError, UnavailableError
from backchannel.post import packet, porter, rounds
from backchannel.post.charter import Numbers
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.enrolment import Ticket
from backchannel.post.porter import Kind, Porter
from backchannel.post.tray import DESK_FILE, PORTER_FILE
from tests.simulation.cheap import TRAY, Folders, cheap
from tests.simulation.desks import Seat, introduce
from tests.simulation.office import Carrier, Crash, Event, Generator, House, MemoryShelf, World

NAMES: Final = ("Anna Reuter", "Mikhail Orlov", "Clara Voss", "Ivan Petrov")
AHEAD: Final = 3  # whole rounds that a porter's clock may be ahead
ALARMS: Final = (Kind.ALTERED, Kind.OTHER_TABLE, Kind.WRONG_KEY, Kind.SEEN, Kind.WRONG_PACKET)
"""What accuses somebody, and has no honest cause: rows, keys and visits are committed before they leave."""


def numbers(places: int = 2, reads: int = 2) -> Numbers:
    return Numbers(
        capacity=16,
        packet=4096,
        period=60_000,
        places=places,
        reads=reads,
        catch_up=2,
        window=8,
        hold=2_000,
        day=16,
        enrolment=2,
        first=1_000,
        start=1_950_000_000_000,
    )


def bound(numbers: Numbers, fragments: int) -> int:
    """Rounds until all is opened, from when the network allows everything, if desks are opened in each.

    *fragments* wait for one correspondent at most (docs/spec/transfer.md §5). A
    porter whose clock was ahead waits until its next round comes; operators
    take part from the next whole round; an enrolment that was not heard takes a
    round and those until it holds, a key of the day another, and the desk's
    file is read at a round's start. From then on each slot carries another
    fragment, the first comes within a turn of the places, and the last is asked
    about in the round after it and collected in the one after that; its
    envelope is in the next file.
    """
    return AHEAD + 1 + (1 + numbers.enrolment) + 1 + 1 + numbers.places * (1 + fragments) + 2 + 1


def settles(numbers: Numbers) -> int:
    """Rounds until no porter keeps anything of what was opened.

    What has come is acknowledged at the next own place, which is asked about
    and collected; that it was carried is in the next file; the desk's next one
    says that it was read, and is taken a round later.
    """
    return numbers.places + 2 + 1 + 1 + 1


@dataclass(frozen=True)
class Weather:
    """How probable each mishap is: of a message, of a commit, or in a round."""

    lost: float = 0.0
    cut: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    again: float = 0.0  # a message of the past is delivered once more
    crash: float = 0.0  # at a commit
    killed: float = 0.0  # between two
    restarts: float = 0.5
    full: float = 0.0
    freed: float = 0.5
    skewed: float = 0.0
    tray: float = 0.0  # a file is missed, old or cut
    apart: bool = False  # only one porter is there at a time, and never two within the window
    sessions: float = 0.35
    letters: float = 0.5

    @classmethod
    def drawn(cls, chance: random.Random) -> Weather:
        def some(most: float) -> float:
            return chance.choice((0.0, most / 4, most))

        return cls(
            lost=some(0.4),
            cut=some(0.1),
            late=some(0.2),
            twice=some(0.2),
            again=some(0.5),
            crash=some(0.08),
            killed=some(0.08),
            restarts=chance.choice((0.2, 0.5, 0.9)),
            full=some(0.06),
            skewed=some(0.15),
            tray=some(0.3),
            apart=chance.random() < 0.1,
            sessions=chance.choice((0.15, 0.35, 0.6)),
            letters=chance.choice((0.3, 0.6)),
        )


# People.


@dataclass
class Home(Seat):
    """An owner, whose desk's folders are in memory."""

    folders: Folders = field(default_factory=Folders)
    seen: list[bytes] = field(default_factory=list)  # files of the porter
    made: list[bytes] = field(default_factory=list)  # files of the desk
    troubles: list[str] = field(default_factory=list)
    written: dict[str, list[str]] = field(default_factory=dict)  # to whom, and the texts of all that returned

    def __post_init__(self) -> None:
        self.shelf.commit({(records.SELF, b""): records.Owner(self.name, self.now).encode()})

    def join(self, mailbox: int, ticket: Ticket) -> Carrier:
        desk = self.desk()
        pairing, changes = post.join(desk, self.world.signed, mailbox, ticket, folder=self.folder, size=TRAY)
        desk.commit(changes)
        self.carrier = self.world.carriers[self.name] = Carrier(self.name, mailbox, pairing.key)
        assert self.world.ciphers is not None
        draw = Generator(self.world.seed, self.name, mailbox)
        self.carrier.machine = Porter.create(self.carrier.shelf, pairing, self.world.ciphers, draw)
        return self.carrier

    def bring(self, file: bytes | None) -> None:
        """Lay the porter's file into the folder, or take it away."""
        if file is None:
            self.folders.files.pop(self.folder / PORTER_FILE, None)
        else:
            self.folders.files[self.folder / PORTER_FILE] = file

    def exchange(self) -> post.Exchanged | None:
        self.exchanges += 1
        try:
            exchanged = post.exchange(self.desk(), now=self.now, cipher=ReplyCipher())
        except Crash:
            return None
        if exchanged.trouble:
            self.troubles.append(exchanged.trouble)
        return exchanged

    def left(self) -> bytes | None:
        """The file that the desk left in the folder."""
        return self.folders.files.get(self.folder / DESK_FILE)

    def send(self, to: str, text: str) -> None:
        self.write(to, text)
        self.written.setdefault(to, []).append(text)

    def waiting(self, person: Person, opened: int) -> int:
        """Fragments of all letters to *person* but the first *opened*, and of what the porter still has."""
        room = packet.room(self.world.numbers.packet)
        desk = self.desk()
        own = [entry for entry in desk.entries(person) if entry.outgoing][opened:]
        bodies = [desk.store.get(records.TRAY, records.number_name(entry.number)) for entry in own]
        assert self.carrier is not None
        assert self.carrier.machine is not None
        line = self.carrier.machine.lines.get(post.line_name(person))
        return sum(-(-len(body) // room) for body in bodies if body) + (line.out.waiting if line else 0)


# The office.


@dataclass
class Storm(World):
    """An office in weather, until that is over."""

    chance: random.Random = field(default_factory=random.Random)
    weather: Weather = field(default_factory=Weather)
    past: list[Event] = field(default_factory=list)  # some messages, to come again
    stashed: list[Event] = field(default_factory=list)  # those that are held back

    def cross(self, event: Event) -> bytes | None:
        weather, chance = self.weather, self.chance
        fate = chance.random() if weather.lost + weather.cut + weather.late + weather.twice else 1.0
        if weather.again and chance.random() < 0.1:
            self.past = [*self.past[-19:], event]
        for probability, act in (
            (weather.lost, self._lose),
            (weather.cut, self._cut),
            (weather.late, self._hold_back),
            (weather.twice, self._twice),
        ):
            if fate < probability:
                return act(event)
            fate -= probability
        return event.body

    def _lose(self, event: Event) -> bytes | None:
        del event
        return None

    def _cut(self, event: Event) -> bytes | None:
        return event.body[: self.chance.randrange(len(event.body))]

    def _hold_back(self, event: Event) -> bytes | None:
        # A reply after the end of its round is a lost one.
        self.stashed.append(event)
        return None

    def _twice(self, event: Event) -> bytes | None:
        self.deliver(event)
        return event.body

    def deliver(self, event: Event) -> None:
        """Let an operator have a message out of its turn; what it answers goes nowhere."""
        house = self.houses.get(event.receiver)
        if house is None:
            return
        now = self.now + house.skew

        def hear(machine: Any) -> None:
            match event.kind:
                case "visit":
                    machine.visit(event.body, now)
                case "greeting":
                    machine.greeted(event.body)
                case "link":
                    machine.serve(event.body, now)
                case "enrol" | "key" | "charter":
                    machine.ask(event.kind, event.body, now)

        self.guard(house, hear)

    def send(self, carrier: Carrier, errand: Any) -> bytes | None:
        if carrier.machine is None:
            return None  # power failed before its instant
        if self.chance.random() < self.weather.killed / 4:
            carrier.machine = None
            return None
        return super().send(carrier, errand)

    def guard(self, who: House | Carrier, work: Callable[[Any], Any]) -> Any:
        try:
            return super().guard(who, work)
        except UnavailableError:
            return None  # a full disk is said, and the process goes on

    def start(self, carrier: Carrier) -> None:
        """A porter's round begins when its own clock says so."""
        carrier.started = None
        ahead = round(carrier.skew / self.numbers.period)
        own = self.charter.begins(self.round + ahead)

        def start(machine: Porter) -> None:
            carrier.started = machine.start(own, carrier.file)
            if carrier.started:
                carrier.written = carrier.started.file

        self.guard(carrier, start)

    def turn(self) -> None:
        self.round += 1
        number, charter = self.round, self.charter
        self.now = charter.begins(number)
        for carrier in self.carriers.values():
            self.start(carrier)
        self.agree(number - 1)
        errands = [
            (errand.instant - carrier.skew, at, carrier, index, errand)
            for at, carrier in enumerate(self.carriers.values())
            if carrier.started
            for index, errand in enumerate(carrier.started.errands)
        ]
        replies: dict[str, dict[int, bytes]] = {name: {} for name in self.carriers}
        for instant, _, carrier, index, errand in sorted(errands, key=lambda each: each[:2]):
            self.now = instant
            reply = self.send(carrier, errand)
            if reply is not None:
                replies[carrier.name][index] = reply
        self.now = charter.begins(number + 1) - 1
        self._deliver_old()
        for house in self.houses.values():
            self.guard(house, lambda machine: machine.compute(number))
        for carrier in self.carriers.values():
            if carrier.started:
                self.hear(carrier, replies[carrier.name])

    def hear(self, carrier: Carrier, replies: Mapping[int, bytes]) -> None:
        self.guard(carrier, lambda machine: machine.hear(replies, self.now))

    def _deliver_old(self) -> None:
        """What was held back comes at last, or in another round; and what came before comes again."""
        for event in self.stashed:
            if self.chance.random() < 0.7:
                self.deliver(event)
        self.stashed = [event for event in self.stashed if self.chance.random() < 0.3]
        if self.past and self.chance.random() < self.weather.again:
            self.deliver(self.chance.choice(self.past))

    def agree(self, number: int) -> None:
        if number < self.charter.numbers.first:
            return
        for _ in range(5):
            asking = [self.guard(house, partial(self._asks, house, number)) for house in self.houses.values()]
            if not any(asking):
                break
            self.now += self.numbers.period // 30
        for name in self.houses:
            self.talk(name)
        for house in self.houses.values():
            self.guard(house, lambda machine: machine.settled(number, self.now))

    def _asks(self, house: House, number: int, machine: Any) -> bool:
        self._ask_all(house, number, machine)
        settling = machine.settle(number)
        return settling is not None and not settling.done and not settling.failed

    def restart_house(self, name: str) -> None:
        house = self.houses[name]
        self.open_house(house)
        try:
            self.guard(house, lambda machine: machine.begin(self.now + house.skew))
            if house.shelf.full:
                house.machine = None  # what it begins it has to write down
        except Crash:
            house.machine = None


# Histories.


@dataclass
class History:
    """One history: :meth:`storm`, then :meth:`calm`, which returns what is wrong."""

    seed: int
    weather: Weather | None = None
    desks: int = 0
    rounds: int = 0
    operators: int = 0
    places: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        drawn = Weather.drawn(self.chance)
        self.weather = self.weather or drawn
        count, rounds = self.chance.choice((2, 2, 2, 2, 2, 3, 3, 4)), self.chance.randint(6, 18)
        self.desks, self.rounds = self.desks or count, self.rounds or rounds
        self.operators = self.operators or self.chance.choice((2, 2, 3))
        self.folders = Folders()
        self.letters = 0
        self.took = 0  # rounds from calm until all was opened

    def play(self) -> list[str]:
        with cheap(self.folders):
            self.settle_in()
            self.storm()
            return self.calm()

    def settle_in(self) -> None:
        drawn = self.desks - 1 + self.chance.randrange(2)
        self.numbers = numbers(self.places or drawn, min(3, self.desks))
        self.world = Storm(self.operators, self.numbers, seed=self.seed, chance=self.chance)
        self.homes = []
        for name in NAMES[: self.desks]:
            home = Home(self.world, name, Path(name.split()[0].lower()), folders=self.folders)
            issuer = self.chance.choice(list(self.world.houses))
            machine = self.world.houses[issuer].machine
            assert machine is not None
            ((mailbox, ticket),) = machine.issue(1)
            self.world.talk(issuer)
            home.join(mailbox, ticket)
            self.homes.append(home)
        self.pairs = [(a, b) for a in self.homes for b in self.homes if a is not b]
        for at, one in enumerate(self.homes):
            for other in self.homes[at + 1 :]:
                meet(one, other)

    def storm(self) -> None:
        weather, world = self.weather, self.world
        assert weather is not None
        world.weather = weather
        for shelf in self.shelves:
            shelf.crash = self._power
        self.folders.crash = lambda: self.chance.random() < weather.crash / 2
        for at in range(self.rounds):
            self._mishaps(at)
            for home in self.homes:
                if self.chance.random() < weather.sessions:
                    self._session(home)
            self._trays()
            world.turn()

    @property
    def shelves(self) -> list[MemoryShelf]:
        houses = [house.shelf for house in self.world.houses.values()]
        carriers = [carrier.shelf for carrier in self.world.carriers.values()]
        return [*houses, *carriers, *(home.shelf for home in self.homes)]

    def _power(self, number: int) -> str:
        del number
        assert self.weather is not None
        drawn = self.chance.random()
        return "before" if drawn < self.weather.crash / 2 else "after" if drawn < self.weather.crash else ""

    def _mishaps(self, at: int) -> None:
        weather, world, chance = self.weather, self.world, self.chance
        assert weather is not None
        for shelf in self.shelves:
            shelf.full = chance.random() > weather.freed if shelf.full else chance.random() < weather.full
        self.folders.full = chance.random() < weather.full
        for name, house in world.houses.items():
            if chance.random() < weather.killed / 2:
                house.machine = None
            if house.machine is None and chance.random() < weather.restarts:
                world.restart_house(name)
            house.skew = self._skew(house.skew)
        gap = self.numbers.window + self.numbers.catch_up + 3
        for turn, (name, carrier) in enumerate(world.carriers.items()):
            if chance.random() < weather.killed or (weather.apart and (at // gap) % self.desks != turn):
                carrier.machine = None
            elif carrier.machine is None and (weather.apart or chance.random() < weather.restarts):
                world.restart_carrier(name)
            carrier.skew = self._skew(carrier.skew)
            if chance.random() < weather.skewed / 8:
                carrier.skew += chance.randint(1, AHEAD) * self.numbers.period

    def _skew(self, before: int) -> int:
        """Within the agreement phase, or beyond it; and set right again."""
        assert self.weather is not None
        if self.chance.random() < self.weather.skewed:
            within, period = self.numbers.period // 6, self.numbers.period
            most = self.chance.choice((within, within, period * 2 // 5))
            return self.chance.randint(-most, most)
        return 0 if self.chance.random() < 0.3 else before

    def _session(self, home: Home) -> None:
        """A desk is opened, letters are written or not, and it is locked; or power fails somewhere in it."""
        assert self.weather is not None
        try:
            if home.exchange() is None:
                return
            while self.chance.random() < self.weather.letters:
                to = self.chance.choice([other for other in self.homes if other is not home])
                self.letters += 1
                home.send(to.name, letter(self.letters, self.chance))
        except (Crash, UnavailableError):
            return
        home.exchange()

    def _trays(self) -> None:
        """The two files of each folder change sides, or do not."""
        assert self.weather is not None
        for home in self.homes:
            carrier = home.carrier
            assert carrier is not None
            file, written = home.left(), carrier.written
            home.made += [file] if file and file not in home.made[-1:] else []
            home.seen += [written] if written and written not in home.seen[-1:] else []
            del home.made[:-5], home.seen[:-5]
            carrier.file = self._tray(file, home.made)
            home.bring(self._tray(written, home.seen))

    def _tray(self, file: bytes | None, before: list[bytes]) -> bytes | None:
        assert self.weather is not None
        if file is None or self.chance.random() >= self.weather.tray:
            return file
        return self.chance.choice((None, file[: self.chance.randrange(TRAY)], self.chance.choice(before)))

    def calm(self) -> list[str]:
        """The network allows everything: what is wrong when the rounds that it may take are over."""
        world = self.world
        self.weather = world.weather = Weather()
        world.stashed, self.folders.full, self.folders.crash = [], False, lambda: False
        for shelf in self.shelves:
            shelf.crash, shelf.full = None, False
        for name, house in world.houses.items():
            house.skew = 0
            if house.machine is None:
                world.restart_house(name)
        for name, carrier in world.carriers.items():
            carrier.skew = 0
            if carrier.machine is None:
                world.restart_carrier(name)
        fragments = max(a.waiting(a.person(b.name), len(b.texts(a.name))) for a, b in self.pairs)
        most = bound(self.numbers, fragments)
        everything = 2 * sum(len(sealed(a, b.name)) for a, b in self.pairs)
        while sum(len(home.shelf.names(records.LETTERS)) for home in self.homes) < everything:
            if self.took == most:
                return [f"after {most} rounds: {line}" for line in self._unopened()]
            self._quiet_round()
            self.took += 1
        for _ in range(settles(self.numbers)):
            self._quiet_round()
        return self.check()

    def _quiet_round(self) -> None:
        self.world.turn()
        self._trays()
        for home in self.homes:
            home.exchange()
        self._trays()

    def _unopened(self) -> list[str]:
        return [
            f"{a.name} to {b.name}: {len(sealed(a, b.name))} sealed, {len(b.texts(a.name))} opened"
            for a, b in self.pairs
            if sorted(sealed(a, b.name)) != sorted(b.texts(a.name))
        ]

    def check(self) -> list[str]:
        """What was lost, opened twice or out of order, or left behind."""
        wrong = self._unopened()
        for one, other in self.pairs:
            person = one.person(other.name)
            if not set(one.written.get(other.name, [])) <= set(sealed(one, other.name)):
                wrong.append(f"{one.name}: a letter that was sealed is not there")
            if one.desk().keys(person).frozen:
                wrong.append(f"{one.name}: {one.desk().keys(person).frozen}")
        for home in self.homes:
            assert home.carrier is not None
            assert home.carrier.machine is not None
            wrong += [f"{home.name}: {line}" for line in _left_behind(home, home.carrier.machine)]
        for house in self.world.houses.values():
            kept = len(house.shelf.names(rounds.TABLES))
            if kept > self.numbers.window + self.numbers.catch_up + 1 or len(house.shelf.names("days")) > 3:
                wrong.append(f"{house.name} keeps {kept} tables and {house.shelf.names('days')}")
        return wrong


def meet(one: Home, other: Home) -> None:
    """Let two meet; a card with a place that is taken is made again, on another."""
    for _ in range(20):
        try:
            introduce(one, other)
        except RefusedError:
            continue
        first, second = one.person(other.name), other.person(one.name)
        assert first.theirs is not None
        assert second.theirs is not None
        return
    raise AssertionError


def letter(number: int, chance: random.Random) -> str:
    """A letter like no other: most fit one packet, some take four."""
    size = chance.choice((0, 0, 0, 700, 6000))
    return f"letter {number} {chance.randbytes(size).hex()}"


def sealed(home: Home, to: str) -> list[str]:
    """The texts of all letters that were sealed to somebody, in order."""
    desk = home.desk()
    own = [entry for entry in desk.entries(desk.person(to)) if entry.outgoing]
    return [desk.letter(entry).texts[0].paragraphs[1] for entry in own]


def _left_behind(home: Home, machine: Porter) -> Iterator[str]:
    kept, shelf = machine.keeping, home.carrier.shelf if home.carrier else MemoryShelf()
    for day, kind, operator in kept.reports:
        if kind in ALARMS:
            yield f"a false alarm on day {day}: {operator} {kind}"
    if kept.copy:
        yield "the porter takes itself for a copy"
    for name, size in (("out", len(shelf.names(porter.OUT))), ("come", len(shelf.names(porter.COME)))):
        if size:
            yield f"{size} envelopes stay in {name}"
    if kept.arrived or kept.come or any(line.out.queue for line in machine.lines.values()):
        yield "something is still to be carried, or to be told"
    numbers = home.world.numbers
    most = numbers.window + numbers.catch_up + 4
    if len(kept.closed) > most + numbers.catch_up or len(kept.deposits) > most + numbers.catch_up:
        yield f"{len(kept.closed)} closed tables and {len(kept.deposits)} deposits"
    member = post.membership(home.desk())
    assert member is not None
    if member.listed or member.handed:
        yield f"the desk waits to be heard: {member.listed} {len(member.handed)}"


def replayed(seed: int) -> History:
    """Play one history again, and say what became of it: ``python -m tests.simulation.histories SEED``."""
    history = History(seed)
    wrong = history.play()
    print(f"seed {seed}: {history.desks} desks, {history.operators} operators, {history.rounds} rounds of weather")
    print(f"{history.letters} letters; all opened {history.took} rounds later; wrong: {wrong or 'nothing'}")
    return history


if __name__ == "__main__":
    import sys

    for argument in sys.argv[1:]:
        replayed(int(argument))
