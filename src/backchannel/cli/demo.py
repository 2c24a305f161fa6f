"""The verb demo: two letters cross in a post office on this machine, or by hand.

What it shows is in `demo_office`, `demo_control` and `demo_page`, or in
`demo_by_hand`; here are only its options.
"""

from __future__ import annotations

import click

from backchannel.cli.talk import Call
from backchannel.cli.verb import pass_call, verb
from backchannel.errors import UnavailableError, UsageError

RUNS = 20


@verb("demo")
@click.option("--by-hand", "by_hand", is_flag=True, help="Two desks and a courier instead, without a post office.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), metavar="N", help="Do what a demo with this seed did.")
@click.option("--runs", type=click.IntRange(1, 1000), metavar="N", help=f"Runs of each build in the control [{RUNS}].")
@pass_call
def demo(call: Call, by_hand: bool, seed: int | None, runs: int | None) -> None:
    """Show two letters that cross in a post office, and what everybody else can know.

    Two operators run on this machine, and sixteen desks with their porters. Two
    of the desks write. Then an observer says who wrote, here and in builds that
    leak. All that is chosen comes from the seed: who they are, who writes, and
    the whole control. Keys, and what is drawn in sealing, are new each time.
    """
    if by_hand:
        if seed is not None or runs is not None:
            raise UsageError("by hand there is nothing to choose: neither a seed nor runs", hint="backchannel demo")
        from backchannel.cli import demo_by_hand  # noqa: PLC0415

        demo_by_hand.show(call)
        return
    try:
        from backchannel.cli import demo_office  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise UnavailableError(
            "the demo runs two operators, and these need NumPy, which is not installed here",
            hint="pip install 'backchannel[operator]'",
        ) from None
    demo_office.show(call, int.from_bytes(call.edge.random(4)) if seed is None else seed, runs or RUNS)
