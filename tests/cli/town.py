"""A post office for scripts: operators in memory, and the porters of the desks on the stage.

The porters are the desks' own, opened from the folders that `join` made, and
the trays are the files that lie there; only the operators and the network are
the simulation's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backchannel.porter import store
from backchannel.post.charter import Charter, SignedCharter
from backchannel.post.enrolment import TicketLine
from backchannel.post.tray import DESK_FILE, PORTER_FILE
from tests.simulation.office import SMALL, Carrier, Generator, House, World, make_keys, seats

if TYPE_CHECKING:
    from tests.cli.stage import Stage


class Town:
    """One office on one stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        start = (stage.time + 60) * 1000
        numbers = replace(SMALL, packet=4096, places=2, day=16, start=start)
        self.world = World(numbers=numbers, seed=stage.seed)

    def write(self, path: Path) -> None:
        """The charter, as its operators hand it out."""
        path.write_bytes(self.world.signed.encode())

    def unsigned(self, path: Path) -> None:
        """The charter, before the second operator has signed it."""
        signed = replace(self.world.signed, signatures=self.world.signed.signatures[:1])
        path.write_bytes(signed.encode())

    def ticket(self, path: Path, issuer: str) -> None:
        """A ticket of one of the operators."""
        ((mailbox, ticket),) = self.world.houses[issuer].running.issue(1)
        self.world.talk(issuer)
        path.write_text(TicketLine(self.world.charter.name, mailbox, ticket).format() + "\n")

    def rounds(self, count: int, desks: list[str]) -> None:
        """So many rounds, with the porters of *desks* running and no other."""
        world, stage = self.world, self.stage
        means = store.Means(Generator(stage.seed, world.round), world.ciphers, stage.edge.counters)
        lodges = {desk: store.open(Path(f"{desk}.porter"), stage.passphrase, means=means) for desk in desks}
        try:
            for desk, lodge in lodges.items():
                keeping = lodge.porter.keeping
                world.carriers[desk] = Carrier(desk, keeping.mailbox, keeping.pairing.key, machine=lodge.porter)
            for _ in range(count):
                for desk, carrier in world.carriers.items():
                    path = Path(f"{desk}.tray") / DESK_FILE
                    carrier.file = path.read_bytes() if path.exists() else None
                world.turn()
                for desk, carrier in world.carriers.items():
                    if carrier.written is not None:
                        (Path(f"{desk}.tray") / PORTER_FILE).write_bytes(carrier.written)
        finally:
            for lodge in lodges.values():
                lodge.close()
            world.carriers.clear()
        stage.time = world.now // 1000 + 1

    def away(self, count: int) -> None:
        """So many rounds in which nobody visits."""
        self.rounds(count, [])

    def stop(self, name: str) -> None:
        """An operator is down from now on."""
        self.world.houses[name].machine = None

    def amend(self) -> None:
        """A charter that follows, in eight days, which the operator that is lost cannot sign."""
        world = self.world
        after = world.charter
        first = after.round_at(world.now) + 8 * 86_400_000 // after.numbers.period
        keys = [make_keys(name, Generator(world.seed, name, "amended")) for name in ("west", "north")]
        west = world.houses["west"]
        keys[0] = west.keys[0]
        numbers = replace(after.numbers, first=first, start=after.begins(first))
        shares = (*after.shares[:1], replace(after.shares[1], issuer="north"))
        signed = SignedCharter(Charter(after.name, seats(keys, world.kem), shares, numbers, after.digest))
        for key in keys:
            signed = signed.sign(key.signer)
        world.houses["north"] = House("north", (keys[1],))
        west.running.adopt(signed)
