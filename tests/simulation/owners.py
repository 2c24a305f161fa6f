"""What owners do, and no operator may see: whom they write to, how much, when they open their desks, what is lost.

Each desk is a stand-in that writes tray files from a seed. Owners who are in
pairs have lines that are real at both ends, so that letters cross; busy ones
give up and begin anew; and wild ones do to a tray what can be done to it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from backchannel.keys import Digest
from backchannel.post.tray import FromDesk, LineName, LineTerms
from tests.simulation.ideal import uniform
from tests.simulation.office import TRAY, Carrier
from tests.simulation.views import DESKS, Watched

TEMPERS: Final = ("quiet", "pairs", "busy", "wild")
ROOTS: Final = ((-1, "answering"), (0, "asking"))  # the turns of a pair, and whose they are


@dataclass
class Desk:
    """One owner's desk, as its porter hears of it."""

    name: str
    number: int = 0
    lines: dict[LineName, LineTerms] = field(default_factory=dict)
    letters: list[tuple[LineName, bytes]] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)

    def write(self, world: Watched, dropped: Iterable[Digest] = ()) -> None:
        """Write the tray, as a desk does when it is opened and when it is locked."""
        carrier = world.carriers[self.name]
        self.number += 1
        heard = carrier.said().number if carrier.written else 0
        lines = tuple(self.lines.values())
        world.write_tray(carrier, FromDesk(self.number, heard, lines, tuple(self.letters), tuple(dropped)))
        assert carrier.file is not None
        self.files.append(carrier.file)


class Owners:
    """All owners of a world, typing by a seed that nobody outside knows."""

    def __init__(self, seed: object, temper: str) -> None:
        self.seed, self.temper = seed, temper
        self.mind = random.Random(repr(("owners", seed, temper)))
        self.desks = {name: Desk(name) for name in DESKS}
        self.written: set[bytes] = set()  # digests of all letters

    def __repr__(self) -> str:
        return f"Owners({self.seed!r}, {self.temper!r})"

    def __call__(self, world: Watched) -> None:
        """What they do before a round."""
        if self.temper == "quiet":
            return
        for name, carrier in world.carriers.items():
            if self.mind.random() < (0.35 if self.temper == "pairs" else 0.6):
                self.sit_down(world, self.desks[name], carrier)

    def sit_down(self, world: Watched, desk: Desk, carrier: Carrier) -> None:
        """One session of one owner."""
        mind = self.mind
        if mind.random() < (0.7 if not desk.lines else 0.15):
            self.meet(world, desk, mind.choice(list(world.carriers)))
        if desk.lines and mind.random() < 0.8:
            for _ in range(mind.choice((1, 1, 2, 5))):
                size = mind.choice((20, 100, 150, 400) if self.temper == "pairs" else (20, 150, 400, 2_500))
                letter = mind.randbytes(size)
                desk.letters.append((mind.choice(list(desk.lines)), letter))
                self.written.add(hashlib.sha256(letter).digest())
        dropped = self.tidy(desk) if self.temper != "pairs" else ()
        if mind.random() < 0.85:  # else the power went while it was written
            desk.write(world, dropped)
        if self.temper == "wild":
            self.break_things(desk, carrier)

    def meet(self, world: Watched, desk: Desk, other: str) -> None:
        """A line between two desks, of which the other may or may not hear; or to a mailbox that is nobody's."""
        mind, places = self.mind, world.numbers.places
        name = LineName(mind.randbytes(LineName.size))
        roots = tuple((turn, uniform(32, self.seed, name, whose)) for turn, whose in ROOTS)
        mine, theirs = mind.randrange(places), mind.randrange(places)
        to = world.carriers[other].mailbox
        if other == desk.name or (self.temper == "wild" and mind.random() < 0.3):
            to = mind.randrange(1, world.numbers.capacity)
        # A desk that was put back may not have the root to write under.
        held = roots[:1] if self.temper == "wild" and mind.random() < 0.3 else roots
        desk.lines[name] = LineTerms(name, to, mine, theirs, 0, (-1,), held)
        if other != desk.name and mind.random() < 0.9:
            back = LineTerms(name, world.carriers[desk.name].mailbox, theirs, mine, -1, (0,), roots)
            self.desks[other].lines[name] = back
            self.desks[other].write(world)

    def tidy(self, desk: Desk) -> tuple[Digest, ...]:
        """Letters that went by hand, correspondents that are given up, keys that are new."""
        mind, dropped = self.mind, []
        if desk.letters and mind.random() < 0.2:
            _, letter = desk.letters.pop(mind.randrange(len(desk.letters)))
            dropped.append(Digest(hashlib.sha256(letter).digest()))
        if desk.lines and mind.random() < 0.15:
            del desk.lines[mind.choice(list(desk.lines))]
        if desk.lines and mind.random() < 0.15:
            name = mind.choice(list(desk.lines))
            turn = desk.lines[name].sending + 2
            roots = (*desk.lines[name].roots, (turn, mind.randbytes(32)))
            desk.lines[name] = replace(desk.lines[name], sending=turn, roots=roots[-4:])
        desk.letters = [(line, letter) for line, letter in desk.letters if line in desk.lines][-20:]
        return tuple(dropped)

    def break_things(self, desk: Desk, carrier: Carrier) -> None:
        """A desk of last week is put back; a file is lost, or becomes something else."""
        chance = self.mind.random()
        if chance < 0.1 and desk.files:
            carrier.file = self.mind.choice(desk.files)
        elif chance < 0.15:
            carrier.file = None
        elif chance < 0.2:
            carrier.file = self.mind.randbytes(self.mind.choice((0, 100, TRAY)))
