"""Start-up: what a call without a desk costs, against the bare interpreter and against importing click.

The runs are interleaved, so that whatever else the machine does falls on all
of them. click by itself is the floor under a call.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Final

ROUNDS: Final = 15
BARE: Final = ("-c", "pass")
CLICK: Final = ("-c", "import click")
CALLS: Final = {name: ("-m", "backchannel.cli", name) for name in ("--version", "--help")}


def run() -> list[tuple[str, str]]:
    """What was measured in interleaved rounds: of all, and of the least disturbed."""
    rounds = [{call: _seconds(call) for call in (BARE, CLICK, *CALLS.values())} for _ in range(ROUNDS)]
    return [
        (
            f"start-up of {name}",
            f"{_ratio(rounds, call, BARE)} bare interpreters, {_ratio(rounds, call, CLICK)} imports of click ({ROUNDS} rounds)",
        )
        for name, call in CALLS.items()
    ]


def _ratio(rounds: list[dict[tuple[str, ...], float]], call: tuple[str, ...], floor: tuple[str, ...]) -> str:
    median = statistics.median(each[call] / each[floor] for each in rounds)
    best = min(each[call] for each in rounds) / min(each[floor] for each in rounds)
    return f"{median:.2f} (best against best {best:.2f})"


def _seconds(arguments: tuple[str, ...]) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


if __name__ == "__main__":
    for claim, measured in run():
        print(f"{claim}: {measured}")
