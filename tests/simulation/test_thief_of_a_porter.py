"""Who steals a running porter has what carries, and nothing that reads (docs/threat-model.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from backchannel.seal.state import State
from tests.simulation.crash import unsynced
from tests.simulation.desks import Seat, introduce, seat
from tests.simulation.office import World

WORDS = "what only the two of them are to know"


def secrets(state: State) -> Iterator[bytes]:
    """Every key of a ratchet's state but the packet roots, which are the porter's."""
    yield from (state.transcript, state.root, state.next_header_key)
    if state.private:
        yield state.private
    for each in (state.tx, *state.rx.values()):
        if each:
            yield each.header_key
            if each.chain:
                yield each.chain
    yield from (key for key, _ in state.skipped.values())
    yield from (key for key, _ in state.pouch_keys.values())


def keys(one: Seat, peer: str) -> State:
    desk = one.desk()
    return desk.keys(desk.person(peer))


def test_a_thief_of_a_running_porter_has_no_key_of_a_letter_no_text_and_no_name(tmp_path: Path) -> None:
    with unsynced():
        world = World()
        anna, mikhail = seat(world, tmp_path, "Anna Reuter", "west"), seat(world, tmp_path, "Mikhail Orlov", "east")
        introduce(anna, mikhail)
        seen: list[bytes] = []
        stolen: list[bytes] = []
        for round_ in range(24):
            if round_ % 6 == 0:
                anna.write("Mikhail Orlov", f"{WORDS} {round_}")
                mikhail.write("Anna Reuter", f"{WORDS} {round_}")
            if round_ % 4 == 0:
                anna.exchange()
                mikhail.exchange()
            seen += [*secrets(keys(anna, "Mikhail Orlov")), *secrets(keys(mikhail, "Anna Reuter"))]
            world.turn()
            for each in (anna, mikhail):
                assert each.carrier
                stolen += each.carrier.shelf.bodies.values()
        haul = b"\0".join(stolen)
        assert mikhail.texts("Anna Reuter"), "nothing was carried"
    assert not any(bytes(secret) in haul for secret in seen)
    assert WORDS.encode() not in haul
    assert b"Anna" not in haul
    assert b"Orlov" not in haul
