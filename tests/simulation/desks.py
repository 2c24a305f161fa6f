"""Desks of the simulation: the product's own, on a store in memory, each with its porter.

Everything a desk does is real (its ratchet, its letters, its side of the tray)
but for the disk under it, so that thousands of histories can be played, and a
power failure put at any commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from backchannel.desk import carriage, introductions, post, records, writing
from backchannel.desk.desk import Desk, Means
from backchannel.desk.records import Entry, Owner, Person, Stage
from backchannel.errors import RefusedError
from backchannel.keys import Cost
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.enrolment import Ticket
from backchannel.post.porter import Porter
from backchannel.post.tray import DESK_FILE, PORTER_FILE
from backchannel.seal import words
from tests.simulation.office import TRAY, Carrier, Crash, Generator, MemoryShelf, World

COST: Final = Cost(memory=8, passes=1, lanes=1)


class MemoryStore:
    """What a desk needs of its store, on a shelf."""

    def __init__(self, shelf: MemoryShelf) -> None:
        self.shelf = shelf
        self.restored = False
        self.counter_missing = False
        self.step = 0

    @property
    def commit_number(self) -> int:
        return self.shelf.commits

    def get(self, room: str, name: bytes) -> bytes | None:
        return self.shelf.get(room, name)

    def names(self, room: str) -> list[bytes]:
        return self.shelf.names(room)

    def items(self, room: str) -> list[tuple[bytes, bytes]]:
        return self.shelf.items(room)

    def commit(self, changes: Mapping[tuple[str, bytes], bytes | None]) -> None:
        if self.restored:
            raise RefusedError("restored")
        self.shelf.commit(changes)

    def adopt(self, changes: Mapping[tuple[str, bytes], bytes | None]) -> None:
        self.shelf.commit(changes)
        self.restored = False

    def close(self) -> None:
        pass


@dataclass
class Seat:
    """One owner: a desk, its tray folder, and its porter in the office."""

    world: World
    name: str
    folder: Path
    shelf: MemoryShelf = field(default_factory=MemoryShelf)
    carrier: Carrier | None = None
    restored: bool = False
    opened: list[tuple[str, int]] = field(default_factory=list)  # from whom, and the entry's number, of all that came
    exchanges: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.shelf.commit({(records.SELF, b""): Owner(self.name, self.now).encode()})

    @property
    def now(self) -> int:
        return self.world.now // 1000

    def desk(self) -> Desk:
        random = Generator(self.world.seed, self.name, self.shelf.commits)
        store: Any = MemoryStore(self.shelf)
        store.restored = self.restored
        return Desk(store, Means(self.folder, self.world.kem, random))

    def person(self, name: str) -> Person:
        return self.desk().person(name)

    def join(self, mailbox: int, ticket: Ticket) -> Carrier:
        desk = self.desk()
        pairing, changes = post.join(desk, self.world.signed, mailbox, ticket, folder=self.folder, size=TRAY)
        desk.commit(changes)
        self.carrier = self.world.carriers[self.name] = Carrier(self.name, mailbox, pairing.key)
        random = Generator(self.world.seed, self.name, mailbox)
        self.carrier.machine = Porter.create(self.carrier.shelf, pairing, self.world.ciphers, random)
        return self.carrier

    # The tray: what lies in the folder is what the machine in the simulation has.

    def exchange(self) -> post.Exchanged | None:
        """Open or lock the desk, as far as the tray goes; None, if power failed in it."""
        self.exchanges += 1
        if self.carrier and self.carrier.written is not None:
            (self.folder / PORTER_FILE).write_bytes(self.carrier.written)
        try:
            exchanged = post.exchange(self.desk(), now=self.now, cipher=ReplyCipher())
        except Crash:
            return None
        finally:
            file = self.folder / DESK_FILE
            if self.carrier and file.exists():
                self.carrier.file = file.read_bytes()
        for came in exchanged.came:
            for arrival in came.opened.arrivals:
                if arrival.outcome is carriage.Outcome.OPENED:
                    self.opened.append((came.person.name, arrival.number))
        return exchanged

    def write(self, to: str, text: str) -> Entry:
        desk = self.desk()
        saved = writing.save(desk, desk.person(to), f"Language: en\n\n{text}\n", now=self.now)
        desk.commit(saved.changes)
        sent = writing.send(desk, saved.draft, uncompared=False, date="today", now=self.now)
        desk.commit(sent.changes)
        return sent.entry

    def texts(self, sender: str) -> list[str]:
        """The bodies of all letters that were opened from *sender*, in the order of opening."""
        desk = self.desk()
        person = desk.person(sender)
        entries = [entry for entry in desk.entries(person) if not entry.outgoing and entry.id]
        return [desk.letter(entry).texts[0].paragraphs[1] for entry in entries]

    def stages(self, to: str) -> list[Stage]:
        desk = self.desk()
        return [entry.stage for entry in desk.entries(desk.person(to)) if entry.outgoing]


def introduce(first: Seat, second: Seat) -> None:
    """Let two meet and compare words."""
    one, other = first.desk(), second.desk()
    made = introductions.make_card(one, second.name, days=30, bare=False, again=False, now=first.now)
    one.commit(made.changes)
    met = introductions.meet(other, made.card, alias=None, again=None, to_me=False, days=30, now=second.now)
    other.commit(met.changes)
    assert met.answer is not None
    done = introductions.meet(one, met.answer, alias=None, again=None, to_me=False, days=30, now=first.now)
    one.commit(done.changes)
    for seat, peer in ((first, second), (second, first)):
        desk = seat.desk()
        check = introductions.check_string(desk, desk.person(peer.name), COST)
        spelled = " ".join(words.check_words(check))
        desk.commit(introductions.compare(desk.person(peer.name), check, spelled, now=seat.now)[1])


def seat(world: World, root: Path, name: str, issuer: str | None = None) -> Seat:
    """An owner whose desk has joined."""
    made = Seat(world, name, root / name.split(maxsplit=1)[0].lower())
    issuer = issuer or next(iter(world.houses))
    machine = world.houses[issuer].machine
    assert machine is not None
    ((mailbox, ticket),) = machine.issue(1)
    world.talk(issuer)
    made.join(mailbox, ticket)
    return made
