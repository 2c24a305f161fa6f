"""The verb porter: carries for a desk until it is told to stop, and says one line a round.

What it says is what anybody on the wire can see: rounds, operators, whether they
replied. It opens no desk, and may run where there is none.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path

import click

from backchannel import files
from backchannel.cli.opening import porter_folder, take, tray_folder
from backchannel.cli.talk import Call, CommandLine
from backchannel.cli.verb import pass_call, verb
from backchannel.cli.visible import one_line
from backchannel.errors import MalformedError, NegativeError, UsageError, VerificationError
from backchannel.porter import run, store
from backchannel.porter.clock import Clock
from backchannel.porter.run import Passed, Talk
from backchannel.porter.store import Means
from backchannel.porter.visits import Visits
from backchannel.post.ciphers import Ciphers
from backchannel.post.keeping import Pairing
from backchannel.seal import words

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


@verb("porter")
@click.option("--porter", "folder", type=FOLDER, metavar="DIR", help="The porter, instead of the one beside the desk.")
@click.option("--pair", "pairing", type=FILE, metavar="FILE", help="Make the porter first, of the pairing in FILE.")
@click.option(
    "--tray", type=FOLDER, metavar="DIR", help="The folder shared with the desk, instead of the one beside it."
)
@click.option("--proxy", default="", metavar="URL", help="Visit through a SOCKS5 proxy, socks5://HOST:PORT.")
@click.option("--rounds", type=click.IntRange(min=0), metavar="N", help="Stop after N rounds.")
@click.option("--change-passphrase", "change", is_flag=True, help="Give a porter that exists another passphrase.")
@pass_call
def porter(
    call: Call,
    folder: Path | None,
    pairing: Path | None,
    tray: Path | None,
    proxy: str,
    rounds: int | None,
    change: bool,
) -> None:
    """Carry for this desk, round after round.

    It visits the operators whether there are letters or not, and whether the
    desk is open, locked or gone. Let it run always, and stop it with Ctrl-C.
    """
    if change and pairing is not None:
        raise UsageError("a porter to be made has no passphrase yet: one of --pair and --change-passphrase")
    home = folder or porter_folder(call)
    clock = Clock(call.edge.clock, asyncio.sleep)
    Visits(clock, proxy=proxy)  # a mistake in the proxy shows before anything is asked for
    passphrase = _pair(call, home, pairing) if pairing is not None else _passphrase(call, home, folder)
    if change:
        _change_passphrase(call, home, passphrase)
        return
    if tray is None:
        # Only where it is ours: a stick that is not there must not be made a folder of.
        files.make_folder(tray_folder(call))
    run.run(
        home,
        passphrase,
        tray or tray_folder(call),
        means=_means(call),
        clock=clock,
        talk=Talk(lambda passed: _tell(call, passed), call.warn),
        proxy=proxy,
        rounds=rounds,
    )


def _pair(call: Call, home: Path, file: Path) -> str:
    """Make the porter of a pairing; the passphrase it was given."""
    if store.is_one(home):
        # Before anything is asked for.
        raise UsageError(f"there is a porter in {one_line(str(home))} already", hint="backchannel porter")
    pairing = _pairing(file)
    chosen = call.new_passphrase()
    passphrase = chosen if chosen is not None else words.passphrase(call.edge.random)
    store.create(home, passphrase, pairing, means=_means(call), cost=call.edge.cost, step=call.edge.step).close()
    call.say(f"porter of mailbox {pairing.mailbox} made in {one_line(str(home))}")
    if chosen is None:
        _show(call, "its passphrase, to be written on paper and kept elsewhere", passphrase)
    call.warn(f"destroy {one_line(str(file))} now: whoever has it can take this porter's place")
    call.hint(CommandLine(shlex.join(["shred", "-u", str(file)])))
    return passphrase


def _pairing(file: Path) -> Pairing:
    try:
        return Pairing.decode(take(file))
    except (MalformedError, VerificationError):
        raise MalformedError(f"{one_line(file.name)} is not a pairing") from None


def _passphrase(call: Call, home: Path, given: Path | None) -> str:
    if not store.is_one(home):
        where = ["--porter", str(given)] if given is not None else []
        raise NegativeError(
            f"there is no porter in {one_line(str(home))}", hint=call.line("porter", *where, "--pair", "FILE")
        )
    return call.passphrase()


def _change_passphrase(call: Call, home: Path, passphrase: str) -> None:
    with store.open(home, passphrase, means=_means(call)) as lodge:
        chosen = call.typed_passphrase("new passphrase, or Enter for ten words: ")
        changed = chosen if chosen is not None else words.passphrase(call.edge.random)
        lodge.change_passphrase(changed, cost=call.edge.cost)
    call.say("the passphrase of this porter is changed")
    if chosen is None:
        _show(call, "it is now", changed)


def _show(call: Call, what: str, passphrase: str) -> None:
    """Show a passphrase that was made, on standard output, once."""
    click.echo(json.dumps({"passphrase": passphrase}) if call.json else f"{what}:\n\n    {passphrase}\n")


def _tell(call: Call, passed: Passed) -> None:
    if call.json:
        # A line each: what runs on is no one value.
        errands = [{"operator": operator, "kind": kind} for operator, kind in passed.errands]
        said = {"round": passed.round, "errands": errands, "replied": passed.replied, "next": passed.next // 1000}
        click.echo(json.dumps(said))
        return
    when = call.edge.local(passed.next // 1000)
    click.echo(one_line(passed.line(when.strftime("%H:%M:%S"))))


def _means(call: Call) -> Means:
    return Means(call.edge.random, Ciphers.real(), call.edge.counters)
