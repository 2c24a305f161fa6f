"""Keys of the day: made a day ahead, erased when their day is over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backchannel.post.days import DAYS, Days
from backchannel.post.shelf import Changes
from tests.post.stage import begun, operator, visited
from tests.simulation.office import SMALL, Generator, MemoryShelf, World


@pytest.fixture
def world() -> World:
    return World(numbers=replace(SMALL, day=5))


def days(world: World, shelf: MemoryShelf) -> Days:
    return Days(shelf, world.kem, Generator("days"))


def test_a_key_is_made_when_it_is_first_asked_for_and_kept(world: World) -> None:
    shelf, keys = MemoryShelf(), world.houses["west"].keys[0]
    one = days(world, shelf)
    assert one.private(7) is None
    made = one.public(7, world.charter, keys)
    made.check(world.charter, "west")
    assert made.day == 7
    assert one.public(7, world.charter, keys) == made
    assert shelf.commits == 1
    private = one.private(7)
    assert private is not None
    assert world.kem.public(private) == made.key
    # And by another process on the same shelf.
    again = days(world, shelf)
    assert again.private(7) == private
    assert again.public(7, world.charter, keys).key == made.key
    assert one.public(8, world.charter, keys).key != made.key


def test_under_another_charter_it_is_the_same_key_signed_anew(world: World) -> None:
    one, keys = days(world, MemoryShelf()), world.houses["west"].keys[0]
    other = replace(world.charter, numbers=replace(world.numbers, hold=1_000))
    made, again = (one.public(7, charter, keys) for charter in (world.charter, other))
    assert made.key == again.key
    assert made.signature != again.signature
    again.check(other, "west")


def test_what_is_over_is_erased_and_what_is_not_is_kept(world: World) -> None:
    shelf, keys = MemoryShelf(), world.houses["west"].keys[0]
    one = days(world, shelf)
    made = {day: one.public(day, world.charter, keys) for day in (6, 7, 8)}
    assert all(one.private(day) for day in made)  # and so in memory
    changes: Changes = {}
    one.forget(7, changes)
    assert changes == {(DAYS, (6).to_bytes(8)): None}
    shelf.commit(changes)
    assert one.private(6) is None
    assert one.private(7) is not None
    assert one.public(8, world.charter, keys) == made[8]
    assert shelf.names(DAYS) == [day.to_bytes(8) for day in (7, 8)]


def test_an_operator_has_todays_and_tomorrows_key_and_no_other(world: World) -> None:
    world.enrol("anna")
    for _ in range(17):
        world.turn()
        today = world.charter.day_of(world.round)
        for house in world.houses.values():
            kept = [int.from_bytes(raw) for raw in house.shelf.names(DAYS)]
            assert kept[0] == today
            assert set(kept) <= {today, today + 1}


def test_a_visit_that_was_kept_opens_for_nobody_once_its_day_is_over(world: World) -> None:
    carrier = world.enrol("anna")
    visited(world, carrier)
    begun(world)
    started, now = carrier.started, world.now
    assert started is not None
    errand = next(each for each in started.errands if each.kind == "visit")
    shelf = dict(world.houses[errand.operator].shelf.bodies)
    assert operator(world, errand.operator).visit(errand.body, now) is not None
    world.run(6)
    world.restart_house(errand.operator)
    assert operator(world, errand.operator).visit(errand.body, now) is None
    assert any(room == DAYS for room, _ in shelf)
    stolen = world.houses[errand.operator].shelf.bodies
    day = world.charter.day_of(started.round)
    assert (DAYS, day.to_bytes(8)) in shelf
    assert (DAYS, day.to_bytes(8)) not in stolen
    assert shelf[DAYS, day.to_bytes(8)] not in stolen.values()
