"""A porter that is a process of its own, killed and stopped at the worst moments, among operators that go on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from pathlib import Path

from tests.porter.town import NUMBERS, Home, Sockets, Town, acquaint

REPOSITORY = Path(__file__).parents[2]
LETTER = b"of two packets " * 40
MOST = 40  # rounds until the letter must be there, whatever is killed

PORTER = """
import asyncio, os, sys, time
from pathlib import Path
from backchannel.porter import run
from backchannel.porter.clock import Clock
from backchannel.porter.run import Talk
from backchannel.porter.store import Means
from backchannel.post.ciphers import Ciphers
from tests.porter.town import PASSPHRASE
folder, shift = Path(sys.argv[1]), int(sys.argv[2])
clock = Clock(lambda: time.time_ns() // 1_000_000 - shift, asyncio.sleep)
say = lambda words: print(words, flush=True)
run.run(
    folder / "porter", PASSPHRASE, folder / "tray", means=Means(os.urandom, Ciphers.real(), folder / "counters"),
    clock=clock, talk=Talk(lambda passed: say(passed.line("")), say),
)
print("stopped")
"""


async def start(town: Town, home: Home) -> Process:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", PORTER, str(home.folder), str(town.shift)]
    return await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)


async def stop(process: Process, how: signal.Signals) -> tuple[int, str]:
    process.send_signal(how)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (out + err).decode()


async def visited(town: Town, home: Home) -> None:
    """Wait until a visit of *home* has come in at an operator."""

    def count() -> int:
        return sum(call.mailbox == home.mailbox and b"/visit" in call.head for call in town.calls)

    before = count()
    while count() == before:  # noqa: ASYNC110 - what is waited for is what came over a wire
        await asyncio.sleep(0.002)


async def moment(town: Town, parts: float) -> None:
    """Wait for a moment of the next round, by its part of the period."""
    number = town.charter.round_at(town.now()) + 1
    await town.clock.until(town.charter.begins(number) + int(NUMBERS.period * parts))


def test_a_porter_killed_and_stopped_at_any_moment_loses_no_letter_and_visits_no_operator_twice_in_a_round(
    tmp_path: Path,
) -> None:
    calls, arrived, carried, ends = asyncio.run(_killed(tmp_path))
    assert arrived == [LETTER]
    assert carried == 1
    assert ends[0] == (0, "stopped")
    assert ends[1:] == [(-signal.SIGKILL, "")] * 3
    times = Counter(calls)
    assert len(times) > 20
    assert set(times.values()) == {1}


async def _killed(folder: Path) -> tuple[list[tuple[str, int, int]], list[bytes], int, list[tuple[int, str]]]:
    sockets, ends = Sockets(), []
    await sockets.listen()
    town = Town(sockets, folder)
    anna, mikhail = town.move_in("anna", "west"), town.move_in("mikhail", "east")
    acquaint(anna, mikhail, envelopes=(LETTER,))
    async with town.open(before=2_000):
        carrying = asyncio.create_task(mikhail.carry())
        process = await start(town, anna)
        # In the middle of a round, when one operator or both have been visited and no reply is heard; and again.
        for how in (signal.SIGTERM, signal.SIGKILL):
            await visited(town, anna)
            code, said = await stop(process, how)
            ends.append((code, said.splitlines()[-1] if how is signal.SIGTERM else ""))
            process = await start(town, anna)
        # Between two rounds; and when one is being prepared.
        for parts in (0.99, 0.05):
            await moment(town, parts)
            ends.append(((await stop(process, signal.SIGKILL))[0], ""))
            process = await start(town, anna)
        await _carried(town, anna, mikhail)
        code, said = await stop(process, signal.SIGINT)
        assert (code, said.splitlines()[-1]) == (0, "stopped")
        carrying.cancel()
        await asyncio.gather(carrying, return_exceptions=True)
    await sockets.close()
    came = [envelope for _, envelope in mikhail.said().envelopes]
    return [(c.operator, c.mailbox, c.round) for c in town.calls], came, len(anna.said().carried), ends


async def _carried(town: Town, anna: Home, mikhail: Home) -> None:
    for _ in range(MOST):
        await moment(town, 0.5)
        if mikhail.said().envelopes and anna.said().carried:
            return
    raise AssertionError((anna.said(), mikhail.said(), mikhail.passed))
