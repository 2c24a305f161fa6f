"""Start-up: the command line without a desk, against the bare interpreter.

The runs are interleaved, so that whatever else the machine does falls on all
of them; the median is given. click by itself is the floor under the other two.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 21
BARE = ("-c", "pass")
COMMANDS = {
    "bare interpreter": BARE,
    "import click": ("-c", "import click"),
    "--version": ("-m", "backchannel.cli", "--version"),
    "--help": ("-m", "backchannel.cli", "--help"),
}


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, arguments in COMMANDS.items():
            times[name].append(run(arguments))
    bare = statistics.median(times["bare interpreter"])
    for name in COMMANDS:
        middle = statistics.median(times[name])
        print(f"start-up {name:18} {middle * 1000:6.1f} ms  {middle / bare:4.1f} x the bare interpreter")


def run(arguments: tuple[str, ...]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
