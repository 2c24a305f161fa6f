"""What a coalition sees of a post office, as bytes: of a real one, and of one that no letter was ever written in.

The coalition is all operators but one, and the network. :func:`watch` runs the
office with its porters and what their owners type; :func:`simulate` is told
what is public (:class:`Public`) and nothing else, and makes the whole view: the
proof of docs/spec/round.md §5. What the coalition has not the keys of is ideal
(ideal.py), so both views must be the same bytes.

The network loses, alters, repeats and imitates, and the coalition's operators
lie, each by a coin that is thrown from the whole view so far: whatever is seen
moves what they do next.
"""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from backchannel.encoding import framed
from backchannel.errors import MalformedError, VerificationError
from backchannel.kem import PublicKey
from backchannel.post import enrolment
from backchannel.post import visit as visits
from backchannel.post.charter import Charter
from backchannel.post.ciphers import Ciphers
from backchannel.post.enrolment import Enrolment, Ticket
from backchannel.post.keeping import Pairing
from backchannel.post.porter import SILENT, Errand, Porter, Started
from backchannel.post.retrieval import SEED_SIZE
from backchannel.post.rounds import Operator
from backchannel.post.tray import PairingKey
from backchannel.post.visit import ReplyKey, Visit, VisitKey
from tests.simulation.ideal import Known, uniform
from tests.simulation.office import (
    NAMES,
    SMALL,
    TRAY,
    Carrier,
    Event,
    Generator,
    House,
    World,
)

NUMBERS: Final = replace(SMALL, packet=256, day=7, window=8, catch_up=2, enrolment=4)
DESKS: Final = ("anna", "boris", "clara", "david")
LATECOMER: Final = "david"


@dataclass(frozen=True)
class Public:
    """What a coalition knows, whatever is written: a history is this, and what owners type."""

    seed: int
    coalition: tuple[str, ...]
    rounds: int = 22
    restored: str = ""  # a porter that is put back to what it was some rounds before, in the middle of the history

    @property
    def k(self) -> int:
        return len(self.coalition) + 1

    @property
    def honest(self) -> str:
        return next(name for name in NAMES if name not in self.coalition)

    def running(self, name: str, number: int) -> str:
        """How the porter of *name* fares in a round: every spell is of some rounds, so that there is catching up."""
        rough = self.weather(0.0, 0.1, 0.3)
        spell = random.Random(repr((self.seed, name, (number + len(name)) // 4)))
        here = random.Random(repr((self.seed, name, number)))
        if spell.random() < rough:
            return "down"
        return here.choice(("late", "deaf", "starts")) if here.random() < rough else "runs"

    @property
    def malice(self) -> float:
        """How often the network and the coalition's operators do what they should not."""
        return self.weather(0.0, 0.005, 0.03, 0.12)

    def weather(self, *kinds: float) -> float:
        """One of *kinds*, for the whole history."""
        return random.Random(repr((self.seed, kinds))).choice(kinds)


def coalitions() -> list[tuple[str, ...]]:
    """Every coalition of all operators but one, of two to four."""
    return [
        tuple(name for name in NAMES[:k] if name != honest) for k in (2, 3, 4) for honest in NAMES[:k]
    ]  # fmt: skip


class View:
    """Everything that a coalition comes to know, in order."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, bytes]] = []
        self._hash = hashlib.sha256()
        self._coins = 0

    def add(self, what: str, raw: bytes) -> None:
        self.entries.append((what, raw))
        self._hash.update(framed(what, raw))

    def coin(self) -> random.Random:
        """A generator that is fresh at every throw, and hangs on all that was seen."""
        self._coins += 1
        return random.Random(self._hash.digest() + self._coins.to_bytes(8))

    def difference(self, other: View) -> str:
        """Where two views part; no text, if they are the same."""
        for at, (mine, theirs) in enumerate(zip(self.entries, other.entries, strict=False)):
            if mine != theirs:
                sizes = f"{len(mine[1])} and {len(theirs[1])} bytes"
                return f"entry {at} of {len(self.entries)}: {mine[0]!r} and {theirs[0]!r}, {sizes}"
        if len(self.entries) != len(other.entries):
            return f"{len(self.entries)} and {len(other.entries)} entries"
        return ""


class Adversary:
    """The network and the coalition's operators, deciding by the view so far."""

    def __init__(self, view: View, malice: float) -> None:
        self.view = view
        self.malice = malice
        self.bodies: list[Event] = []
        self.said: list[bytes] = []

    def fate(self, event: Event) -> bytes | None:
        """What becomes of a message."""
        coin = self.view.coin()
        self.bodies.append(event)
        if coin.random() >= self.malice:
            return event.body
        match coin.randrange(4):
            case 0 | 1:
                return None
            case 2:
                return flip(event.body, coin)
            case _:
                same = [old.body for old in self.bodies if (old.receiver, old.kind) == (event.receiver, event.kind)]
                return coin.choice(same)

    def lie(self, plaintext: bytes) -> bytes:
        """What an operator of the coalition says instead."""
        coin = self.view.coin()
        self.said.append(plaintext)
        if not plaintext or coin.random() >= self.malice:
            return plaintext
        match coin.randrange(4):
            case 0:
                return flip(plaintext, coin)
            case 1:
                return uniform(8, coin.random()) + plaintext[8:]  # another "last seen"
            case 2:
                return plaintext[:8] + uniform(8, coin.random()) + plaintext[16:]  # another time
            case _:
                return coin.choice([old for old in self.said if len(old) == len(plaintext)])


def flip(raw: bytes, coin: random.Random) -> bytes:
    out = bytearray(raw)
    for _ in range(coin.choice((1, 1, 1, 40))):
        out[coin.randrange(len(out))] ^= coin.randrange(1, 256)
    return bytes(out)


@dataclass
class Watched(World):
    """A post office of which a coalition sees all that it can."""

    numbers: Any = NUMBERS
    public: Public = field(default=Public(0, ("east",)))
    spies: frozenset[str] = frozenset()  # porters that are of the coalition

    def __post_init__(self) -> None:
        self.view = View()
        self.old_copy: dict[tuple[str, bytes], bytes] = {}
        self.known = Known(self.view.add)
        self.adversary = Adversary(self.view, 0.0)
        self.k, self.seed = self.public.k, self.public.seed
        super().__post_init__()
        self.fate = self.adversary.fate
        self.adversary.malice = self.public.malice

    @property
    def machines(self) -> Mapping[str, Ciphers]:
        return {"outside": self.known.outside(), "inside": self.known.inside(self.adversary.lie)}

    def open_house(self, house: House) -> None:
        inside = house.name in self.public.coalition
        if inside:
            self.known.publics |= {self.kem.public(keys.sealing) for keys in house.keys}
        self.known.charter = self.charter
        drawn = Generator(self.seed, house.name, house.shelf.commits)
        house.machine = Operator(
            house.shelf, house.keys, self.machines["inside" if inside else "outside"], random=drawn
        )

    def carrier(self, name: str, mailbox: int, ticket: Ticket) -> Carrier:
        key = PairingKey(hashlib.sha256(repr((self.seed, name)).encode()).digest())
        carrier = self.carriers[name] = Carrier(name, mailbox, key)
        carrier.machine = self.porter(carrier, ticket)
        return carrier

    def ciphers_of(self, name: str) -> Ciphers:
        return self.machines["inside" if name in self.spies else "outside"]

    def porter(self, carrier: Carrier, ticket: Ticket) -> Any:
        pairing = Pairing(self.signed, carrier.mailbox, ticket, carrier.key, TRAY)
        drawn = self.draws(carrier, -1)
        return Porter.create(carrier.shelf, pairing, self.ciphers_of(carrier.name), drawn)

    def draws(self, carrier: Carrier, number: int) -> Callable[[int], bytes]:
        """The generator of a porter in a round: what it draws is the same whatever was drawn before."""
        generator = Generator(self.seed, "porter", carrier.name, number)
        return generator if carrier.name in self.spies else lambda size: self.known.drawn(generator(size))

    def cross(self, event: Event) -> bytes | None:
        head = framed(event.instant, event.sender, event.receiver, event.kind)
        self.view.add(f"{event.kind} of {event.sender} to {event.receiver} in {self.round}", framed(head, event.body))
        return super().cross(event)

    def turn(self) -> None:
        number = self.round + 1
        for carrier in self.carriers.values():
            self.wake(carrier, self.public.running(carrier.name, number))
        super().turn()
        shelves = {name: house.shelf for name, house in self.houses.items() if name in self.public.coalition}
        shelves |= {name: self.carriers[name].shelf for name in self.spies & self.carriers.keys()}
        for name, shelf in shelves.items():
            items = sorted(shelf.bodies.items())
            self.view.add(f"shelf of {name}", framed(*(part for (room, at), raw in items for part in (room, at, raw))))

    def put_back(self, carrier: Carrier) -> None:
        """Let a porter go on from an old copy of itself."""
        carrier.shelf.bodies = self.old_copy
        carrier.machine = None

    def wake(self, carrier: Carrier, how: str) -> None:
        """Let a porter run, or not; one that runs again begins from what it has committed."""
        carrier.skew = self.numbers.period // 4 if how == "late" else 0
        if how == "down":
            carrier.machine = None
        elif carrier.machine is None or how == "starts":
            carrier.shelf.crash = None
            carrier.machine = Porter(carrier.shelf, self.ciphers_of(carrier.name), Generator())

    def start(self, carrier: Carrier) -> None:
        if carrier.machine is None:
            carrier.started = None
            return
        how = self.public.running(carrier.name, self.round)
        if carrier.name not in self.spies:
            self.rehearse(carrier)
        carrier.machine.random = self.draws(carrier, self.round)
        super().start(carrier)
        if how == "deaf":  # the power goes before anything that came is kept
            last = carrier.shelf.commits
            carrier.shelf.crash = lambda commit: "before" if commit > last else ""

    def rehearse(self, carrier: Carrier) -> None:
        """Let a copy of the porter start, to learn which seeds the coalition will be sent."""
        twin: Any = copy.copy(carrier.machine)
        twin._ciphers = self.known.rehearsal()
        twin._file, twin._commit = (lambda *_: b""), (lambda *_: None)  # what comes after the visits
        twin.random = self.draws(carrier, self.round)
        twin.start(self.now + carrier.skew, carrier.file)


class Shadow:
    """A porter as the coalition knows it: all that it sends, made without a line, a letter, or a correspondent.

    Written from docs/spec/round.md, not from the porter: its rules are the
    public ones, and what it hands in and asks is drawn.
    """

    def __init__(self, world: Watched, carrier: Carrier, ticket: Ticket) -> None:
        self.world, self.carrier, self.ticket = world, carrier, ticket
        self.charter: Charter = world.charter
        draw = world.draws(carrier, -1)
        self.names = [seat.name for seat in self.charter.seats]
        self.keys = {name: VisitKey(draw(VisitKey.size)) for name in self.names}
        self.enrolled: dict[str, int] = {}
        self.days: dict[tuple[str, int], PublicKey] = {}
        self.unheard = dict.fromkeys(self.names, 0)
        self.closed: set[int] = set()
        self.round = 0
        self.last: Visited | None = None  # the visits that were made last, and those whose answers they collect
        self.collecting: Visited | None = None
        self.waiting: list[tuple[str, str, ReplyKey]] = []
        self.random: Callable[[int], bytes] = draw

    # What is sent.

    def start(self, now: int, file: bytes | None) -> Started | None:
        """The errands of a round; the owner's file makes no difference."""
        del file
        charter, number = self.charter, self.charter.round_at(now)
        if number < max(self.round, charter.numbers.first):
            return None
        self.round, self.waiting = number + 1, []
        if now >= charter.agreed_by(number):
            return Started(number, b"", ())
        instant = charter.instant(self.carrier.mailbox, number)
        keys = {name: ReplyKey(self.random(ReplyKey.size)) for name in self.names}
        noise = self.random(charter.numbers.packet)
        kinds = {name: self._kind(name, number) for name in self.names}
        bodies = self._visits([n for n in self.names if kinds[n] == "visit"], number, keys, noise)
        out = []
        for name in self.names:
            if kinds[name] == "visit":
                self.waiting.append((name, "visit", keys[name]))
                self.unheard[name] += 1
                out.append(self._errand(name, "visit", bodies[name], instant))
            elif kinds[name]:
                out.append(self._ask(name, kinds[name], instant))
        if number % charter.numbers.day == self.carrier.mailbox % charter.numbers.day:
            out += [self._ask(name, "charter", instant) for name in self.names]
        for name in self.names:
            if self.unheard[name] > SILENT and self.unheard[name] % SILENT == 1:
                out.append(self._ask(name, "key", instant))
        return Started(number, b"", tuple(out))

    def _kind(self, name: str, number: int) -> str:
        if name not in self.enrolled:
            return "enrol"
        if (name, self.charter.day_of(number)) not in self.days:
            return "key"
        return "visit" if len(self.enrolled) == len(self.names) and number >= max(self.enrolled.values()) else ""

    def _errand(self, name: str, kind: str, body: bytes, instant: int) -> Errand:
        return Errand(name, "", kind, body, instant, 0)

    def _ask(self, name: str, kind: str, instant: int) -> Errand:
        key = ReplyKey(self.random(ReplyKey.size))
        body = b""
        if kind == "enrol":
            token = self.ticket.token(self.carrier.mailbox, name)
            body = Enrolment(self.carrier.mailbox, token, self.keys[name]).encode()
        kem = self.world.known.outside().kem
        box = enrolment.seal(kind, body, key, charter=self.charter, operator=name, kem=kem, random=self.random)
        self.waiting.append((name, kind, key))
        return self._errand(name, kind, box, instant)

    def _visits(self, visited: list[str], number: int, keys: Mapping[str, ReplyKey], noise: bytes) -> dict[str, bytes]:
        if not visited:
            return {}
        more = bool(self._unread(number))
        tables = self.charter.tables(number, more=more)
        for _ in dict.fromkeys(tables):
            self.random(8)  # the order of reads
        shares = [self._shares(self.charter.explicit(number, at), visited) for at in range(len(tables))]
        collected = (self.last.round, self.last.more) if self.last else None
        bodies = {}
        for at, name in enumerate(self.names):
            if name not in visited:
                continue
            mine = tuple(share[at] for share in shares)
            visit = Visit(self.carrier.mailbox, number, collected, more, keys[name], noise, mine)
            to = self.days[name, self.charter.day_of(number)]
            kem = self.world.known.outside().kem
            bodies[name] = visits.seal(
                visit, self.keys[name], to, charter=self.charter, operator=name, kem=kem, random=self.random
            )
        self.collecting = self.last
        self.last = Visited(number, more, {name: keys[name] for name in visited}, frozenset(tables))
        return bodies

    def _shares(self, explicit: int, visited: list[str]) -> list[bytes]:
        """The shares of a query for nothing: seeds, and what the stream of one that is not sent to the coalition hides.

        Once masked by such a seed, nothing of what was there before is left:
        the vector is drawn. Where the honest operator is given the vector, the
        coalition sees seeds alone.
        """
        shares = [b"" if at == explicit else self.random(SEED_SIZE) for at in range(len(self.names))]
        vector, known = bytes(self.charter.numbers.capacity // 8), self.world.known
        for at, seed in enumerate(shares):
            if at == explicit:
                continue
            if self.names[at] in self.world.public.coalition and self.names[at] in visited:
                known.seeds.add(seed)
                vector = known.inside().stream.apply(seed, vector)
            else:
                vector = uniform(len(vector), "stream", seed)
        shares[explicit] = vector
        return shares

    def _unread(self, number: int) -> set[int]:
        """The old tables that it has still to ask about: those since it takes part that are not closed, nor on their way."""
        numbers = self.charter.numbers
        first = max(numbers.first, *self.enrolled.values(), number - numbers.window - numbers.catch_up)
        waiting = self.last.tables if self.last and len(self.last.keys) == len(self.names) else frozenset()
        return set(range(first, number - 1)) - self.closed - waiting

    # What comes back.

    def hear(self, replies: Mapping[int, bytes], now: int) -> None:
        """What is public of the replies: that they came, from when an enrolment holds, keys of days."""
        del now
        if self.world.public.running(self.carrier.name, self.world.round) == "deaf":
            return
        came = 0
        for at, (name, kind, key) in enumerate(self.waiting):
            try:
                came += self._heard(name, kind, key, replies[at])
            except (KeyError, VerificationError, MalformedError):
                continue
        complete = self.collecting and len(self.collecting.keys) == len(self.names)
        if came == len(self.names) and self.collecting and complete:
            self.closed |= self.collecting.tables

    def _heard(self, name: str, kind: str, key: ReplyKey, raw: bytes) -> bool:
        cipher = self.world.known.outside().replies
        if kind != "visit":
            body = enrolment.open_reply(kind, raw, key, cipher=cipher)
            if kind == "enrol" and (effective := enrolment.decode_enrolled(body)) is not None:
                self.enrolled[name] = effective
            if kind == "key":
                for day_key in enrolment.decode_day_keys(body):
                    self._take_key(name, day_key, asked=True)
            return False
        assert self.last is not None
        more = bool(self.collecting and self.collecting.more)
        if len(raw) != visits.reply_size(self.charter, more=more):
            raise MalformedError("another size")
        asked = Visit(self.carrier.mailbox, self.last.round, None, self.last.more, key, b"", ())
        reply = visits.open_reply(raw, asked, charter=self.charter, operator=name, cipher=cipher)
        self._take_key(name, reply.tomorrow)
        self.unheard[name] = 0
        return True

    def _take_key(self, name: str, day_key: visits.DayKey, *, asked: bool = False) -> None:
        today = self.charter.day_of(self.round - 1)
        if ((name, day_key.day) in self.days and not asked) or day_key.day not in {today, today + 1}:
            return
        try:
            day_key.check(self.charter, name)
        except VerificationError:
            return
        self.days[name, day_key.day] = day_key.key


@dataclass(frozen=True)
class Visited:
    """The visits of one round."""

    round: int
    more: bool
    keys: Mapping[str, ReplyKey]
    tables: frozenset[int]


class Simulated(Watched):
    """A post office of shadows."""

    def porter(self, carrier: Carrier, ticket: Ticket) -> Any:
        self.shadows = getattr(self, "shadows", {})
        self.shadows[carrier.name] = Shadow(self, carrier, ticket)
        return self.shadows[carrier.name]

    def wake(self, carrier: Carrier, how: str) -> None:
        carrier.skew = self.numbers.period // 4 if how == "late" else 0
        carrier.machine = None if how == "down" else self.shadows[carrier.name]

    def start(self, carrier: Carrier) -> None:
        if carrier.machine is not None:
            carrier.machine.random = self.draws(carrier, self.round)
        World.start(self, carrier)


Typed = Callable[[Watched], None]


def played(world: Watched, typed: Typed | None) -> View:
    """Run a history: those that begin at the start, one more later."""
    public, issuers = world.public, list(world.houses)
    for at, name in enumerate(DESKS):
        if name != LATECOMER:
            world.enrol(name, issuers[at % len(issuers)])
    for at in range(public.rounds):
        if at == public.rounds // 3:
            world.enrol(LATECOMER, issuers[-1])
        if random.Random(repr((public.seed, "restart", at))).random() < 0.04:
            world.restart_house(random.Random(repr((public.seed, at))).choice(issuers))
        if at == public.rounds // 2 and public.restored:
            world.put_back(world.carriers[public.restored])
        elif at == public.rounds // 2 - 4 and public.restored:
            world.old_copy = dict(world.carriers[public.restored].shelf.bodies)
        if typed:
            typed(world)
        world.turn()
    return world.view


def watch(public: Public, typed: Typed | None) -> View:
    """The view of a real post office."""
    return played(Watched(public=public), typed)


def simulate(public: Public) -> View:
    """The view, by what is public alone."""
    return played(Simulated(public=public), None)
