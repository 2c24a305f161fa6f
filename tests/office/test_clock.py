"""The clock of an operator, and what it may not cost: tickets, tables, keys."""

import asyncio
import hashlib

from backchannel.office.clock import Clock
from backchannel.post.days import DAYS
from backchannel.post.rounds import TABLES
from tests.simulation.office import SMALL, House, World


class Peers:
    """The other operators: one hangs, the others answer."""

    def __init__(self, hangs: str) -> None:
        self.hangs = hangs
        self.asked: list[str] = []

    async def ask(self, peer: str, request: object, *, within: float) -> object:
        del request
        self.asked.append(peer)
        if peer == self.hangs:
            await asyncio.sleep(within)
            return None
        return (1,)


def test_an_operator_that_hangs_keeps_no_ticket_from_the_others() -> None:
    world = World(k=3)
    machine = world.houses["west"].running
    machine.issue(2)
    machine.retire(1)
    peers = Peers("east")

    async def test() -> None:
        now = world.charter.begins(1_000)
        clock = Clock(machine, peers, lambda: now, say=lambda _: None)  # type: ignore[arg-type]
        errands = asyncio.create_task(clock._errands(now + 60_000))
        while any(peer == "north" for peer, _ in machine.errands()):  # noqa: ASYNC110 - a machine sets no event
            await asyncio.sleep(0.01)
        errands.cancel()

    asyncio.run(asyncio.wait_for(test(), 10))
    # What east is to be told is not forgotten, and it was asked once and not again.
    assert [peer for peer, _ in machine.errands()] == ["east", "east"]
    assert peers.asked.count("east") == 1


def image(house: House, room: str) -> dict[bytes, bytes]:
    return {name: hashlib.sha256(house.shelf.bodies[room, name]).digest() for name in house.shelf.names(room)}


def test_a_clock_that_is_far_ahead_for_a_while_costs_neither_the_window_nor_todays_key() -> None:
    world = World()
    world.enrol("anna")
    world.run(8)
    west = world.houses["west"]
    machine, tables, keys = west.running, image(west, TABLES), image(west, DAYS)
    assert tables
    # A year ahead it goes through a few rounds, in which nobody is with it.
    far = world.round + 365 * SMALL.day
    machine.begin(world.charter.begins(far))
    for number in range(far + 1, far + 4):
        assert machine.settle(number) is not None
        machine.settled(number, world.charter.begins(number + 1))
    assert image(west, TABLES) == tables
    assert image(west, DAYS).items() >= keys.items()
    assert machine.charter(world.round) == world.charter


def test_a_key_goes_when_its_day_is_over_though_every_round_is_void() -> None:
    world = World()
    west = world.houses["west"]
    machine, today = west.running, world.charter.day_of(SMALL.first)
    machine.begin(world.charter.begins(SMALL.first))
    last = (today + 1) * SMALL.day - 1  # of today
    assert machine._days.private(today) is not None
    for number in (last - 1, last):
        machine.settled(number, world.charter.begins(number + 1))
        kept = {int.from_bytes(raw) for raw in west.shelf.names(DAYS)}
        assert (today in kept) == (number < last)
