"""The command ``backchannel``: a table of verbs, and what becomes of a call.

The table is all that ``--help`` and did-you-mean need, so neither imports a
verb. A call ends in an exit code: 0 done, 1 no, 2 usage, 3 not now, 4 refused,
5 locked, 6 unconfirmed (docs/using/command-line.md).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from backchannel.cli.talk import Call
from backchannel.cli.verb import Verb, everywhere
from backchannel.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backchannel.cli.edge import Edge

PROGRAM: Final = "backchannel"
INTERRUPTED: Final = 130  # as a shell reports SIGINT
PIPE_CLOSED: Final = 141  # as a shell reports SIGPIPE


@dataclass(frozen=True, slots=True)
class Entry:
    """A verb as the table knows it: its module, and the first line of its help."""

    group: str
    module: str
    help: str


def main(argv: Sequence[str] | None = None, *, edge: Edge | None = None) -> int:
    """Run one call of the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    call = Call(given_edge=edge, arguments=tuple(arguments))
    # A file name that is not UTF-8 should show as a replacement, not as a fault.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    try:
        code = _perform(arguments, call)
        # Here, where a closed pipe or a full disk can still be told.
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_output()
        return PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - the last frame there is
        return _report(error, call, arguments)
    return code


class Verbs(click.Group):
    """The verbs, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        return load(cmd_name) if cmd_name in VERBS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS:
            from backchannel.cli.faults import no_such_verb  # noqa: PLC0415

            raise no_such_verb(args[0], list(VERBS), ctx.meta[_ARGUMENTS])
        return super().resolve_command(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[OPTIONS] VERB ...")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, entry in VERBS.items():
            groups.setdefault(entry.group, []).append((name, entry.help))
        # One column for all groups, so that they read as one table.
        for group, rows in groups.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(max(map(len, VERBS))), line) for name, line in rows])


def load(name: str) -> Verb:
    """Import the verb *name* of the table."""
    import importlib  # noqa: PLC0415

    module = importlib.import_module(f"backchannel.cli.{VERBS[name].module}")
    for found in vars(module).values():
        if isinstance(found, Verb) and found.name == name:
            return found
    raise LookupError(f"{module.__name__} has no verb {name}")


def _perform(arguments: list[str], call: Call) -> int:
    try:
        with _GROUP.make_context(PROGRAM, list(arguments), obj=call, help_option_names=["-h", "--help"]) as ctx:
            ctx.meta[_ARGUMENTS] = arguments
            _GROUP.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    return 0


def _no_verb() -> None:
    """Letters in confidence between two principals, carried so that nobody else learns of them."""
    # click calls this before every verb.
    if click.get_current_context().invoked_subcommand is None:
        raise UsageError("no verb", hint=f"{PROGRAM} --help")


def _report(error: Exception, call: Call, arguments: Sequence[str]) -> int:
    from backchannel.cli.faults import report  # noqa: PLC0415

    try:
        sys.stdout.flush()
    except OSError:
        _give_up_output()
    try:
        return report(error, call, arguments)
    except BrokenPipeError:
        return PIPE_CLOSED


def _give_up_output() -> None:
    """Point standard output at nothing, so that the interpreter's last flush does not fail again."""
    import os  # noqa: PLC0415

    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file of the system
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


VERBS: Final = {
    "init": Entry("Desk", "desks", "Make a desk."),
    "status": Entry("Desk", "desks", "Say how the desk stands."),
    "destroy": Entry("Desk", "desks", "Destroy a letter: its text, its keys, its pages."),
    "demo": Entry("Desk", "demo", "Show two letters that cross in a post office, and what everybody else can know."),
    "card": Entry("People", "meeting", "Make a card to hand to somebody."),
    "meet": Entry("People", "meeting", "Meet somebody whose card was handed over."),
    "compare": Entry("People", "meeting", "Compare the check words of a meeting."),
    "people": Entry("People", "meeting", "List whom this desk has met."),
    "write": Entry("Letters", "writing", "Write a draft."),
    "send": Entry("Letters", "writing", "Seal a draft and lay it in the tray."),
    "recall": Entry("Letters", "writing", "Take a letter back that has not left."),
    "list": Entry("Letters", "reading", "List letters and drafts."),
    "read": Entry("Letters", "reading", "Show a letter as a letter."),
    "reply": Entry("Letters", "writing", "Write a draft that answers a letter."),
    "join": Entry("Carriage", "post", "Take a place in a post office."),
    "porter": Entry("Carriage", "porter", "Carry for this desk, round after round."),
    "pack": Entry("Carriage", "carriage", "Pack a pouch for a courier."),
    "unpack": Entry("Carriage", "carriage", "Open a pouch that a courier brought."),
    "inspect": Entry("Carriage", "carriage", "Show what a stranger can see of a file, and what this desk sees."),
}

_ARGUMENTS: Final = "backchannel.arguments"

_GROUP: Final = Verbs(
    PROGRAM,
    callback=_no_verb,
    invoke_without_command=True,
    help=_no_verb.__doc__,
    params=everywhere(),
    epilog="Exit codes: 0 done, 1 no, 2 usage, 3 not now, 4 refused, 5 locked, 6 unconfirmed. "
    "BACKCHANNEL_TRACEBACK=1 shows where a fault of backchannel itself is, and may show names.",
)
