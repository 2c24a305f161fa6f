"""A porter's machine is lost: the desk joins again, with another mailbox and the same keys."""

from __future__ import annotations

from pathlib import Path

from backchannel.desk import carriage, writing
from tests.simulation.crash import unsynced
from tests.simulation.desks import Seat, introduce, seat
from tests.simulation.office import World

ANNA, MIKHAIL = "Anna Reuter", "Mikhail Orlov"


def by_hand(one: Seat, other: Seat) -> None:
    desk, there = one.desk(), other.desk()
    packed = carriage.pack(desk, desk.person(other.name), again=True, now=one.now)
    desk.commit(packed.changes)
    there.commit(carriage.unpack(there, packed.pouch, now=other.now).changes)


def on(world: World, *seats: Seat, times: int = 12) -> None:
    for _ in range(times):
        for each in seats:
            each.exchange()
        world.run(3)


def test_after_one_letter_each_way_by_hand_the_post_goes_on_and_nothing_is_lost(tmp_path: Path) -> None:
    with unsynced():
        world = World()
        anna, mikhail = seat(world, tmp_path, ANNA, "west"), seat(world, tmp_path, MIKHAIL, "east")
        introduce(anna, mikhail)
        anna.write(MIKHAIL, "one " + "of many words " * 60)
        mikhail.write(ANNA, "two")
        on(world, anna, mikhail)
        ((mailbox, ticket),) = world.houses["west"].running.issue(1)
        world.talk("west")
        anna.join(mailbox, ticket)
        desk = anna.desk()
        desk.commit(writing.send_moved(desk, desk.person(MIKHAIL), now=anna.now).changes)
        # He does not know yet, and writes where nobody reads any more.
        mikhail.write(ANNA, "three")
        on(world, anna, mikhail, times=4)
        assert anna.texts(MIKHAIL) == ["two"]
        by_hand(anna, mikhail)
        mikhail.write(ANNA, "four")
        by_hand(mikhail, anna)
        for number, (one, other) in enumerate(((anna, MIKHAIL), (mikhail, ANNA)) * 2, 5):
            one.write(other, str(number))
            on(world, anna, mikhail)
        # What was laid out before both had new keys for it has to go again.
        on(world, anna, mikhail, times=20)
        assert anna.texts(MIKHAIL) == ["two", "three", "four", "6", "8"]
        assert mikhail.texts(ANNA)[1:] == ["5", "7"]
