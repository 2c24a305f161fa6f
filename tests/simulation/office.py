"""A whole post office in one process, under a virtual clock: operators, porters, and the network between them.

The machines are the product's; what carries their messages is this module,
which is the network, counts what crosses it, and loses, delays, repeats or
alters what a test tells it to. Nothing here waits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from backchannel.errors import MalformedError, UnavailableError, VerificationError
from backchannel.kem import PrivateKey
from backchannel.keys import Random
from backchannel.post import tray
from backchannel.post.charter import Charter, Numbers, Seat, Share, SignedCharter
from backchannel.post.charters import OperatorKeys
from backchannel.post.ciphers import Ciphers, PacketCipher, QueryStream, ReplyCipher
from backchannel.post.enrolment import Ticket
from backchannel.post.keeping import Pairing
from backchannel.post.porter import Errand, Porter, Started
from backchannel.post.rounds import Operator
from backchannel.post.tray import FromDesk, FromPorter, PairingKey, open_from_porter
from backchannel.signing import Signer
from tests.simulation.seeded_kem import SeededKem

SMALL: Final = Numbers(
    capacity=16,
    packet=512,
    period=60_000,
    places=2,
    reads=2,
    catch_up=2,
    window=24,
    hold=2_000,
    day=1_440,
    enrolment=4,
    first=1_000,
    start=1_950_000_000_000,
)
TRAY: Final = 256 * 1024
NAMES: Final = ("west", "east", "north", "south")


class Crash(BaseException):
    """The power is gone."""


class Generator:
    """Bytes from a seed, the same in every run."""

    def __init__(self, *seed: object) -> None:
        self.seed = repr(seed).encode()
        self.count = 0

    def __call__(self, size: int) -> bytes:
        self.count += 1
        return hashlib.shake_256(self.seed + self.count.to_bytes(8)).digest(size)


@dataclass
class MemoryShelf:
    """A shelf that loses power when it is told to: before or after the commit, never in the middle."""

    bodies: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    commits: int = 0
    crash: Callable[[int], str] | None = None  # of the number of a commit: "before", "after" or ""
    full: bool = False

    def get(self, room: str, name: bytes) -> bytes | None:
        return self.bodies.get((room, name))

    def names(self, room: str) -> list[bytes]:
        return sorted(name for r, name in self.bodies if r == room)

    def items(self, room: str) -> list[tuple[bytes, bytes]]:
        return [(name, self.bodies[room, name]) for name in self.names(room)]

    def commit(self, changes: Mapping[tuple[str, bytes], bytes | None]) -> None:
        self.commits += 1
        when = self.crash(self.commits) if self.crash else ""
        if when == "before":
            raise Crash
        if self.full:
            raise UnavailableError("cannot write: the disk is full")
        for name, body in changes.items():
            if body is None:
                self.bodies.pop(name, None)
            else:
                self.bodies[name] = bytes(body)
        if when == "after":
            raise Crash


@dataclass(frozen=True)
class Event:
    """One message on the wire, as the network sees it."""

    instant: int
    sender: str
    receiver: str
    kind: str
    body: bytes


@dataclass
class House:
    """An operator: its shelf, its keys, its machine while it runs."""

    name: str
    keys: tuple[OperatorKeys, ...]
    shelf: MemoryShelf = field(default_factory=MemoryShelf)
    machine: Operator | None = None
    skew: int = 0  # ms that its clock is ahead

    @property
    def running(self) -> Operator:
        assert self.machine is not None
        return self.machine


@dataclass
class Carrier:
    """A porter: its shelf, the tray, its machine while it runs."""

    name: str
    mailbox: int
    key: PairingKey
    shelf: MemoryShelf = field(default_factory=MemoryShelf)
    machine: Porter | None = None
    file: bytes | None = None  # the desk's
    written: bytes | None = None  # the porter's
    skew: int = 0
    started: Started | None = None

    def said(self) -> FromPorter:
        assert self.written is not None
        return open_from_porter(self.written, self.key, cipher=ReplyCipher())


Fate = Callable[["Event"], bytes | None]


def seats(keys: Iterable[OperatorKeys], kem: SeededKem) -> tuple[Seat, ...]:
    return tuple(Seat(k.name, f"http://{k.name}.test", k.signer.public, kem.public(k.sealing)) for k in keys)


def make_keys(name: str, random: Random) -> OperatorKeys:
    return OperatorKeys(name, Signer.draw(random), PrivateKey.draw(random))


@dataclass
class World:
    """Operators, porters, a clock and a network."""

    k: int = 2
    numbers: Numbers = SMALL
    seed: object = 0
    ciphers: Ciphers = field(default_factory=lambda: Ciphers(SeededKem(), PacketCipher(), ReplyCipher(), QueryStream()))
    now: int = 0
    round: int = 0
    trace: list[Event] = field(default_factory=list)
    fate: Fate = lambda event: event.body  # what becomes of a message: other bytes, or nothing
    houses: dict[str, House] = field(default_factory=dict)
    carriers: dict[str, Carrier] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kem = SeededKem()
        keys = [make_keys(name, Generator(self.seed, name)) for name in NAMES[: self.k]]
        share = (self.numbers.capacity - 1) // self.k
        shares = tuple(Share(key.name, 1 + at * share, share, 1) for at, key in enumerate(keys))
        signed = SignedCharter(Charter("sim", seats(keys, self.kem), shares, self.numbers))
        for key in keys:
            signed = signed.sign(key.signer)
        self.charter, self.signed = signed.charter, signed
        self.now = self.numbers.start - 1
        self.round = self.numbers.first - 1
        for key in keys:
            house = self.houses[key.name] = House(key.name, (key,))
            self.open_house(house)
            house.running.adopt(signed)
            house.running.begin(self.now)
        for name in self.houses:
            self.talk(name)

    # People.

    def open_house(self, house: House) -> None:
        random = Generator(self.seed, house.name, house.shelf.commits)
        house.machine = Operator(house.shelf, house.keys, self.ciphers, random=random)

    def restart_house(self, name: str) -> None:
        house = self.houses[name]
        self.open_house(house)
        house.running.begin(self.now + house.skew)

    def enrol(self, name: str, issuer: str | None = None) -> Carrier:
        issuer = issuer or next(iter(self.houses))
        ((mailbox, ticket),) = self.houses[issuer].running.issue(1)
        self.talk(issuer)
        return self.carrier(name, mailbox, ticket)

    def carrier(self, name: str, mailbox: int, ticket: Ticket) -> Carrier:
        key = PairingKey(hashlib.sha256(repr((self.seed, name, mailbox)).encode()).digest())
        carrier = self.carriers[name] = Carrier(name, mailbox, key)
        pairing = Pairing(self.signed, mailbox, ticket, key, TRAY)
        carrier.machine = Porter.create(carrier.shelf, pairing, self.ciphers, Generator(self.seed, name))
        return carrier

    def restart_carrier(self, name: str) -> None:
        carrier = self.carriers[name]
        random = Generator(self.seed, name, carrier.shelf.commits)
        carrier.machine = Porter(carrier.shelf, self.ciphers, random)

    def write_tray(self, carrier: Carrier, said: FromDesk) -> None:
        random = Generator(self.seed, "desk", carrier.name, said.number)
        carrier.file = tray.seal(said, carrier.key, TRAY, random=random, cipher=ReplyCipher())

    # Time.

    def run(self, rounds: int, each: Callable[[World], None] | None = None) -> None:
        for _ in range(rounds):
            if each:
                each(self)
            self.turn()

    def turn(self) -> None:
        """One round, from its start to its end."""
        self.round += 1
        number, charter = self.round, self.charter
        self.now = charter.begins(number)
        for carrier in self.carriers.values():
            self.start(carrier)
        self.agree(number - 1)
        errands = [
            (errand.instant, carrier, index, errand)
            for carrier in self.carriers.values()
            if carrier.machine and carrier.started
            for index, errand in enumerate(carrier.started.errands)
        ]
        replies: dict[str, dict[int, bytes]] = {name: {} for name in self.carriers}
        for instant, carrier, index, errand in sorted(errands, key=lambda each: each[0]):
            self.now = instant
            reply = self.send(carrier, errand)
            if reply is not None:
                replies[carrier.name][index] = reply
        self.now = charter.begins(number + 1) - 1
        for house in self.houses.values():
            self.guard(house, lambda machine: machine.compute(number))
        for carrier in self.carriers.values():
            if carrier.machine and carrier.started:
                self.hear(carrier, replies[carrier.name])

    def hear(self, carrier: Carrier, replies: Mapping[int, bytes]) -> None:
        self.guard(carrier, lambda machine: machine.hear(replies, self.now + carrier.skew))

    def start(self, carrier: Carrier) -> None:
        carrier.started = None

        def start(machine: Porter) -> None:
            carrier.started = machine.start(self.now + carrier.skew, carrier.file)
            if carrier.started:
                carrier.written = carrier.started.file

        self.guard(carrier, start)

    def guard(self, who: House | Carrier, work: Callable[[Any], Any]) -> Any:
        """Let a machine work, if it runs; one that loses power runs no more."""
        if who.machine is None:
            return None
        try:
            return work(who.machine)
        except Crash:
            who.machine = None
            return None

    def cross(self, event: Event) -> bytes | None:
        """One message over the network."""
        self.trace.append(event)
        return self.fate(event)

    def send(self, carrier: Carrier, errand: Errand) -> bytes | None:
        there = self.cross(Event(self.now, carrier.name, errand.operator, errand.kind, errand.body))
        house = self.houses.get(errand.operator)
        if there is None or house is None:
            return None
        now = self.now + house.skew
        if errand.kind == "visit":
            replying = self.guard(house, lambda machine: machine.visit(there, now))
            body, instant = (replying.body, replying.instant) if replying else (None, 0)
        else:
            body, instant = self.guard(house, lambda machine: machine.ask(errand.kind, there, now)), errand.instant
        if body is None:
            return None
        return self.cross(Event(instant, errand.operator, carrier.name, errand.kind + "-reply", body))

    def agree(self, number: int) -> None:
        """The agreement phase: every operator asks every other until the round is settled, or time is over."""
        if number < self.charter.numbers.first:
            return
        for _ in range(8):
            for house in list(self.houses.values()):
                self.guard(house, partial(self._ask_all, house, number))
            self.now += self.numbers.period // 50
        for name in self.houses:
            self.talk(name)
        for house in self.houses.values():
            self.guard(house, lambda machine: machine.settled(number, self.now))

    def _ask_all(self, house: House, number: int, machine: Operator) -> None:
        settling = machine.settle(number)
        if settling is None:
            return
        for peer, request in settling.requests():
            answer = self.ask(house.name, peer, request)
            if answer is not None:
                settling.heard(peer, request, answer)

    def talk(self, name: str) -> None:
        """Let an operator do its errands at the others."""

        def errands(machine: Operator) -> None:
            for peer, request in machine.errands():
                if self.ask(name, peer, request):
                    machine.told(peer, request)

        self.guard(self.houses[name], errands)

    def ask(self, name: str, peer: str, request: tuple[Any, ...]) -> Any:
        """One request over the link, a greeting before it where there is none yet."""
        one, other = self.houses[name], self.houses.get(peer)
        machine = one.machine
        if machine is None or other is None or other.machine is None:
            return None
        if not machine.linked(peer):
            greeting, private = machine.greet(peer)
            there = self.cross(Event(self.now, name, peer, "greeting", greeting.encode()))
            answer = None if there is None else self.guard(other, lambda m: m.greeted(there))
            back = None if answer is None else self.cross(Event(self.now, peer, name, "greeting-reply", answer))
            if back is None:
                return None
            try:
                machine.welcomed(greeting, back, private)
            except (VerificationError, MalformedError):
                return None
        number, message = machine.request(peer, request)
        there = self.cross(Event(self.now, name, peer, "link", message))
        answer = None if there is None else self.guard(other, lambda m: m.serve(there, self.now + other.skew))
        back = None if answer is None else self.cross(Event(self.now, peer, name, "link-reply", answer))
        if back is None:
            machine.unlink(peer)
            return None
        try:
            return machine.reply(peer, number, back, self.now + one.skew)
        except (VerificationError, MalformedError):
            machine.unlink(peer)
            return None
