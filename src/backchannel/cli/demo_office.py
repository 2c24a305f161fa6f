"""The demo's post office: two operators, each a process, and sixteen desks with their porters.

All of it is real: the desks and porters on their encrypted stores, the
operators on theirs, HTTP between them on loopback. Only three things are made
small, since it lives for a minute: passphrases are stretched cheaply, files grow
in small steps, and a round lasts a second. The operators are curious: they keep
what they open (`curious`), so that it can be shown what that tells.

Whatever becomes of it, no process and no file stays behind.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Final

from backchannel import files
from backchannel.cli import curious, demo_control, demo_page
from backchannel.cli.demo_control import DESKS, NAMES, Outcome, shares
from backchannel.cli.demo_stage import Stage, cleared_stage, free_ports
from backchannel.cli.opening import means
from backchannel.cli.seeded import Seeded
from backchannel.cli.talk import Call
from backchannel.desk import carriage, introductions, post, writing
from backchannel.desk.desk import Desk
from backchannel.desk.records import Owner
from backchannel.errors import UnavailableError
from backchannel.keys import Cost
from backchannel.letters import Letter
from backchannel.office.folder import Folder, seat_of
from backchannel.porter import run, store
from backchannel.porter.clock import Clock
from backchannel.porter.run import Passed, Talk
from backchannel.post.charter import Charter, Numbers, SignedCharter
from backchannel.post.ciphers import Ciphers
from backchannel.post.enrolment import Ticket
from backchannel.post.keeping import MIN_TRAY
from backchannel.post.rounds import Operator
from backchannel.seal import words

CHEAP: Final = Cost(memory=64, passes=1, lanes=1)
STEP: Final = 256 * 1024
NUMBERS: Final = Numbers(
    capacity=256,
    packet=4096,
    period=1_000,
    places=4,
    reads=2,
    catch_up=4,
    window=24,
    hold=100,
    day=1_440,
    enrolment=1,
    first=1_000,
)
PASSPHRASE: Final = "for the demo only"  # noqa: S105 - it is said so
AHEAD: Final = 3_000  # ms from the charter to its first round, in which operators start and desks join
EARLIEST: Final = NUMBERS.first + 4  # the round in which a letter can have come: admission, key, and two visits before
PATIENCE: Final = 40  # rounds
READ_AT: Final = 0.6  # of a round: when owners sit at their desks
PEOPLE: Final = (
    "Ida Abel", "Jonas Berg", "Clara Conti", "Emil Dahl", "Vera Egorova", "Luis Ferrer", "Greta Haas", "Tomas Ilves",
    "Nora Jensen", "Pavel Kirov", "Rosa Lindt", "Irene Maddox", "Mikhail Orlov", "Anna Reuter", "Stefan Voss",
    "Zoe Wilder",
)  # fmt: skip


@dataclass(slots=True)
class Home:
    """Somebody's desk, tray and porter."""

    name: str
    folder: Path
    mailbox: int = 0

    @property
    def desk(self) -> Path:
        return self.folder / "desk"

    @property
    def tray(self) -> Path:
        return self.folder / "tray"

    @property
    def porter(self) -> Path:
        return self.folder / "porter"


@dataclass(frozen=True, slots=True)
class Crossed:
    """A letter, as it was read on the other desk."""

    sender: str
    reader: str
    letter: Letter
    mailbox: int  # its sender's
    place: int  # and the place at which it was left
    read: int  # the round in which its reader had it on the desk


@dataclass(frozen=True, slots=True)
class Played:
    """What happened, and what the operators have of it."""

    charter: Charter
    people: dict[int, str]  # by mailbox
    pair: tuple[int, int]
    letters: tuple[Crossed, ...]
    opened: dict[str, list[curious.Opened]]  # by operator


def show(call: Call, seed: int, runs: int) -> None:
    """Let two letters cross, show who can know what of it, and let the observer guess."""
    call.say(_INTRODUCTION)
    call.say(f"Seed {seed}.")
    began = call.edge.clock()
    with cleared_stage(call.edge.memory) as stage:
        played = Town(call, stage, Seeded(seed)).play()
    page = demo_page.Page(call, played, seed)
    page.letters()
    page.desks()
    call.say(f"The control: {runs} runs of each build, with no clock.")
    outcomes = demo_control.control(seed, runs, partial(_told, call))
    page.control(outcomes, call.edge.clock() - began)


def _told(call: Call, outcome: Outcome) -> None:
    call.say(f"{_clock(call, call.edge.clock())}  {outcome.build}: named {outcome.both} of {outcome.runs}")


class Town:
    """The office, and everybody who is in it."""

    def __init__(self, call: Call, stage: Stage, draw: Seeded) -> None:
        self._call = call
        self._edge = call.edge
        self._stage = stage
        self._ciphers = Ciphers.real()
        self._means = replace(means(call), counters=stage.folder / "counters")
        self._homes = [
            Home(name, stage.folder / f"home-{at}") for at, name in enumerate(draw.of("people").shuffled(PEOPLE))
        ]
        self._pair = tuple(draw.of("pair").shuffled(self._homes)[:2])
        self._habits = {home.name: draw.of("habits", home.name).below(2 * NUMBERS.places) for home in self._homes}
        self._passed: dict[int, list[Passed]] = {}
        self._read: dict[str, Crossed] = {}
        self._left: dict[str, tuple[int, int]] = {}  # mailbox and place, by who wrote

    def play(self) -> Played:
        """Found the office, let two write, and wait until both letters are read."""
        for home in self._homes:
            owner = Owner(home.name, self._edge.now())
            Desk.create(home.desk, PASSPHRASE, owner, means=self._means, cost=CHEAP, step=STEP).close()
        self._say(f"{DESKS} desks are made; the operators {' and '.join(NAMES)} start")
        signed, tickets = self._found()
        for home, ticket in zip(self._homes, tickets, strict=True):
            self._join(home, signed, *ticket)
        self._say(f"{DESKS} porters have tickets; two people meet, compare words, write, and lock their desks")
        self._meet()
        for home, sample in zip(self._pair, ("crossing-1.txt", "crossing-2.txt"), strict=True):
            self._write(home, sample)
        for home in self._homes:
            if home not in self._pair and self._habits[home.name] % 2:
                self._sit(home, 0)
        self._stage.wait_for("serves on")
        self._stage.run(self._live(signed.charter))
        self._stage.stop()
        opened = {name: list(curious.read(self._seen(name))) for name in NAMES}
        people = {home.mailbox: home.name for home in self._homes}
        one, other = sorted(home.mailbox for home in self._pair)
        return Played(signed.charter, people, (one, other), tuple(self._read.values()), opened)

    # The office.

    def _found(self) -> tuple[SignedCharter, list[tuple[int, Ticket]]]:
        """Draft and sign a charter, make tickets, and start the operators."""
        folders = {name: Folder(self._stage.folder / name) for name in NAMES}
        keys = {name: folder.make_keys(name, self._edge.random) for name, folder in folders.items()}
        ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
        seats = tuple(
            seat_of(keys[name], f"http://127.0.0.1:{port}", self._ciphers.kem) for name, port in ports.items()
        )
        numbers = replace(NUMBERS, start=self._edge.clock() + AHEAD)
        signed = SignedCharter(Charter("demo", seats, shares(), numbers))
        for each in keys.values():
            signed = signed.sign(each.signer)
        charter = self._stage.folder / "office.charter"
        files.replace(charter, signed.encode())
        tickets: list[tuple[int, Ticket]] = []
        for name, folder in folders.items():
            with folder.shelf() as shelf:
                machine = Operator(shelf, (keys[name],), self._ciphers, random=self._edge.random)
                machine.adopt(signed)
                tickets += machine.issue(DESKS // len(NAMES))
            self._start(name, charter, ports[name])
        return signed, tickets

    def _start(self, name: str, charter: Path, port: int) -> None:
        folder = self._stage.folder / name
        command = [sys.executable, "-P", "-m", "backchannel.cli.curious"]
        self._stage.start(name, [*command, str(folder), str(charter), str(port), str(self._seen(name))])

    def _seen(self, name: str) -> Path:
        return self._stage.folder / f"{name}.seen"

    # Its people.

    def _open(self, home: Home) -> Desk:
        return Desk.open(home.desk, PASSPHRASE, means=self._means)

    def _exchange(self, desk: Desk) -> Sequence[post.Came]:
        return post.exchange(desk, now=self._edge.now(), cipher=self._ciphers.replies).came

    def _join(self, home: Home, signed: SignedCharter, mailbox: int, ticket: Ticket) -> None:
        home.mailbox = mailbox
        files.make_folder(home.tray)
        carried = store.Means(self._edge.random, self._ciphers, self._means.counters)
        with self._open(home) as desk:
            pairing, changes = post.join(desk, signed, mailbox, ticket, folder=home.tray, size=MIN_TRAY)
            store.create(home.porter, PASSPHRASE, pairing, means=carried, cost=CHEAP, step=STEP).close()
            desk.commit(changes)

    def _meet(self) -> None:
        """The two of the pair exchange cards and compare words."""
        first, second = self._pair
        now = self._edge.now()
        with self._open(first) as one, self._open(second) as other:
            made = introductions.make_card(one, second.name, days=1, bare=False, again=False, now=now)
            one.commit(made.changes)
            met = introductions.meet(other, made.card, alias=None, again=None, to_me=False, days=1, now=now)
            other.commit(met.changes)
            assert met.answer is not None
            done = introductions.meet(one, met.answer, alias=None, again=None, to_me=False, days=1, now=now)
            one.commit(done.changes)
            for desk in (one, other):
                person = desk.people()[0]
                check = introductions.check_string(desk, person, CHEAP)
                spelled = " ".join(words.check_words(check))
                desk.commit(introductions.compare(person, check, spelled, now=now)[1])

    def _write(self, home: Home, sample: str) -> None:
        text = resources.files("backchannel.cli").joinpath("samples", sample).read_text(encoding="utf-8")
        now = self._edge.now()
        with self._open(home) as desk:
            self._exchange(desk)
            person = desk.people()[0]
            saved = writing.save(desk, person, f"Signed: {home.name}\n{text}", now=now)
            desk.commit(saved.changes)
            date = self._edge.local(now)
            desk.commit(
                writing.send(desk, saved.draft, uncompared=False, date=f"{date.day} {date:%B %Y}", now=now).changes
            )
            assert person.mine is not None  # they have met in a post office
            self._left[home.name] = home.mailbox, person.mine.place
            self._exchange(desk)

    def _sit(self, home: Home, number: int) -> None:
        """Open a desk in round *number*, look what has come, and lock it."""
        with self._open(home) as desk:
            for came in self._exchange(desk):
                for arrival in came.opened.arrivals:
                    # What comes again is read already.
                    if arrival.outcome is not carriage.Outcome.OPENED:
                        continue
                    letter, sender = desk.letter(desk.entry(arrival.number)), came.person.name
                    mailbox, place = self._left[sender]
                    self._read[home.name] = Crossed(sender, home.name, letter, mailbox, place, number)
            self._exchange(desk)

    # Its rounds.

    async def _live(self, charter: Charter) -> None:
        """Let all porters carry until both letters are read."""
        clock = Clock(self._edge.clock, asyncio.sleep)
        carried = store.Means(self._edge.random, self._ciphers, self._means.counters)
        talk = Talk(self._told, lambda _: None)
        porters = [
            asyncio.create_task(run.carry(home.porter, PASSPHRASE, home.tray, means=carried, clock=clock, talk=talk))
            for home in self._homes
        ]
        try:
            for number in range(NUMBERS.first, NUMBERS.first + PATIENCE):
                await clock.until(charter.begins(number) + round(READ_AT * NUMBERS.period))
                await asyncio.to_thread(self._owners, number)
                for porter in porters:
                    if porter.done():
                        porter.result()
                if len(self._read) == len(self._pair):
                    return
        finally:
            for porter in porters:
                porter.cancel()
            await asyncio.gather(*porters, return_exceptions=True)
        raise UnavailableError(f"the letters did not cross in {PATIENCE} rounds: this machine has too much else to do")

    def _owners(self, number: int) -> None:
        """What people do at their desks: most look once, and the two who expect a letter more often."""
        for home in self._homes:
            waits = home in self._pair and number >= EARLIEST and home.name not in self._read
            if waits or (home not in self._pair and self._habits[home.name] == number - NUMBERS.first):
                self._sit(home, number)

    def _told(self, passed: Passed) -> None:
        """Say of a round, once all porters have passed it, what there was."""
        told = self._passed.setdefault(passed.round, [])
        told.append(passed)
        if len(told) == DESKS:
            asked, replied = sum(len(each.errands) for each in told), sum(each.replied for each in told)
            what = sorted({_KINDS[kind] for each in told for _, kind in each.errands})
            self._say(f"round {passed.round:,}: {DESKS} desks {' and '.join(what)}; {replied} of {asked} answered")

    def _say(self, text: str) -> None:
        self._call.say(f"{_clock(self._call, self._edge.clock())}  {text}")


def _clock(call: Call, instant: int) -> str:
    return call.edge.local(instant // 1000).strftime("%H:%M:%S")


_KINDS: Final = {
    "enrol": "ask for a place",
    "key": "fetch the key of the day",
    "visit": "visit",
    "charter": "ask for news",
}
_INTRODUCTION: Final = (
    "A post office on this machine: two operators, each a process, and 16 desks with their porters. "
    "For the demo only, rounds last a second, keys are stretched cheaply, and files are small."
)
