"""Two histories over real HTTP, one with letters and one without: the wire and the tray's folder show the same.

Two porters, enrolled from the first round on. In the one history two desks have
met and one writes to the other; in the other history nobody knows anybody. The
desks are opened and locked at the same instants. Same charter, same rounds; the
two live side by side, where the operators' one name has two addresses.
"""

from __future__ import annotations

import asyncio
import re
import socket
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from aiohttp.abc import ResolveResult

from backchannel.post.tray import FromDesk
from tests.porter.town import NAMES, NUMBERS, TRAY, Call, Home, Sockets, Town, acquaint
from tests.porter.watching import watched

ROUNDS = 9
ATTEMPTS = 3
HOST = "office.test"
ADDRESS: ContextVar[str] = ContextVar("ADDRESS")
OPENED = NUMBERS.first + 3  # the round in which the desks are opened, in its middle
LOCKED = NUMBERS.first + 5
LETTERS = (b"a letter" * 30, b"another, of three packets" * 50)
# How far what was measured may be from what was scheduled, on a machine that does other things besides.
TOLERANCE = NUMBERS.period // 5


@dataclass
class History:
    """What one history showed, and what it was."""

    calls: list[Call]
    folders: dict[str, list[tuple[int, str, str, int]]]
    arrived: list[bytes]
    carried: int
    whole: bool  # every porter was in time in every round


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, History]:
    return asyncio.run(_both(tmp_path_factory.mktemp("histories")))


async def _both(folder: Path) -> dict[str, History]:
    one = Sockets("127.0.0.1")
    await one.listen()
    other = Sockets("127.0.0.2", one.ports)
    await other.listen()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(aiohttp.ThreadedResolver, "resolve", _resolve)
            # The histories to compare agree in when their porters ran: on a machine so
            # busy that one of them missed a round or a visit, they are lived again.
            for attempt in range(ATTEMPTS):
                root = folder / str(attempt)
                lived = await asyncio.gather(
                    _live(one, root / "with", letters=LETTERS), _live(other, root / "without", letters=())
                )
                if all(history.whole for history in lived):
                    break
    finally:
        await one.close()
        await other.close()
    return dict(zip(("with letters", "without"), lived, strict=True))


async def _resolve(
    _: aiohttp.ThreadedResolver, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
) -> list[ResolveResult]:
    assert host == HOST
    found = {"hostname": host, "host": ADDRESS.get(), "port": port, "family": family, "proto": 0, "flags": 0}
    return [cast("ResolveResult", found)]


async def _live(sockets: Sockets, folder: Path, *, letters: tuple[bytes, ...]) -> History:
    ADDRESS.set(sockets.address)  # of this task, and of those that it makes
    town = Town(sockets, folder, host=HOST)
    anna, mikhail = town.move_in("anna", "west"), town.move_in("mikhail", "east")
    _session(anna, mikhail, 1, letters=letters[:1], met=bool(letters))
    with watched(anna.tray, town.now) as one, watched(mikhail.tray, town.now) as other:
        async with town.open():
            carrying = asyncio.gather(anna.carry(ROUNDS), mikhail.carry(ROUNDS))
            for number, at in enumerate((OPENED, LOCKED), 2):
                await town.clock.until(town.charter.begins(at) + NUMBERS.period * 7 // 8)
                _session(anna, mikhail, number, letters=letters, met=bool(letters))
            await carrying
    assert not anna.warned + mikhail.warned
    arrived = [envelope for _, envelope in mikhail.said().envelopes]
    folders = {home.name: watch.events for home, watch in ((anna, one), (mikhail, other))}
    passed = [[(each.round, each.replied) for each in home.passed] for home in (anna, mikhail)]
    whole = passed == [[(NUMBERS.first + number, len(NAMES)) for number in range(ROUNDS)]] * 2
    return History(town.calls, folders, arrived, len(anna.said().carried), whole)


def _session(anna: Home, mikhail: Home, number: int, *, letters: tuple[bytes, ...], met: bool) -> None:
    if met:
        acquaint(anna, mikhail, envelopes=letters, number=number)
    else:
        for home in (anna, mikhail):
            home.write(FromDesk(number, 0, (), ()))


def test_letters_cross_in_the_history_that_has_any(histories: dict[str, History]) -> None:
    assert histories["with letters"].arrived[0] == LETTERS[0]
    assert histories["with letters"].carried >= 1
    assert histories["without"].arrived == []


def test_requests_are_equal_in_order_paths_heads_sizes_and_scheduled_instants(histories: dict[str, History]) -> None:
    with_letters, without = (_scheduled(history.calls) for history in histories.values())
    assert with_letters == without
    assert len(without) == 2 * 2 * ROUNDS
    kinds = [call.head.split()[1] for call in without]
    assert kinds == [b"/enrol"] * 4 + [b"/key"] * 4 + [b"/visit"] * 4 * (ROUNDS - 2)


def test_requests_leave_at_their_instants_within_a_tolerance(
    histories: dict[str, History], record_property: object
) -> None:
    for name, history in histories.items():
        late = sorted(call.late for call in history.calls)
        assert callable(record_property)
        record_property(f"ms late, {name}: median and most", (late[len(late) // 2], late[-1]))
        assert late[0] >= 0
        assert late[-1] <= TOLERANCE


def test_all_heads_are_equal_but_for_path_host_and_size(histories: dict[str, History]) -> None:
    heads = {
        re.sub(rb"(POST )/\w+|(Host: )[\w.:]+|(Content-Length: )\d+", rb"\1\2\3", call.head)
        for history in histories.values()
        for call in history.calls
    }
    (head,) = heads
    assert head == (
        b"POST  HTTP/1.1\r\nHost: \r\nContent-Length: \r\nContent-Type: application/octet-stream\r\n"
        b"Connection: close\r\n\r\n"
    )


def test_a_folder_shows_the_same_writes_and_reads_of_the_same_sizes(histories: dict[str, History]) -> None:
    with_letters, without = (
        {name: [event[1:] for event in events] for name, events in history.folders.items()}
        for history in histories.values()
    )
    assert with_letters == without
    for events in without.values():
        assert events.count(("renamed to", "porter.tray", TRAY)) == ROUNDS
        assert events.count(("read", "desk.tray", 0)) == ROUNDS
        assert {name for _, name, _ in events} == {"desk.tray", ".desk.tray.part", "porter.tray", ".porter.tray.part"}


def test_a_folder_is_written_a_tenth_into_a_round_within_a_tolerance(histories: dict[str, History]) -> None:
    for history in histories.values():
        for events in history.folders.values():
            written = [instant for instant, kind, name, _ in events if (kind, name) == ("renamed to", "porter.tray")]
            for number, instant in enumerate(written):
                scheduled = NUMBERS.start + number * NUMBERS.period + NUMBERS.period // 10
                assert 0 <= instant - scheduled <= TOLERANCE


def _scheduled(calls: list[Call]) -> list[Call]:
    """Without what is measured, in the order of what is scheduled: two that leave together come in either order."""
    return sorted(
        (call.without_instant() for call in calls),
        key=lambda call: (call.round, call.scheduled, call.mailbox, call.operator),
    )
