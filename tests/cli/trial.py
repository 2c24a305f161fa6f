"""A verb for tests, which does what a verb can do; ``enlist`` puts it into the table.

Run as a program it is the command line with that verb in it.
"""

from __future__ import annotations

import sys

import click

from backchannel.cli import app
from backchannel.cli.talk import Call
from backchannel.cli.verb import pass_call, verb
from backchannel.errors import LockedError, NegativeError, RefusedError, UnavailableError

ENTRY = app.Entry("Desk", "trial", "Try what a verb can do.")
NAME, MODULE = "trial", "backchannel.cli.trial"


@verb("trial")
@click.argument("what")
@click.argument("text", default="")
@click.option("--count", type=int, default=1, help="How often.")
@pass_call
def trial(call: Call, what: str, text: str, count: int) -> None:  # noqa: C901 - a list of things to try
    """Try what a verb can do."""
    match what:
        case "emit":
            call.emit({"text": text, "count": count}, text * count)
        case "say":
            call.say(text)
        case "warn":
            call.warn(text)
        case "desk":
            call.emit({"desk": str(call.desk)}, str(call.desk))
        case "ask":
            call.emit({}, f"heard {call.ask('which words?')}")
        case "confirm":
            call.emit({}, f"{call.confirm('sure?')}")
        case "passphrase":
            call.emit({}, f"{len(call.passphrase())} characters")
        case "new":
            passphrase = call.new_passphrase()
            call.emit({}, "made for you" if passphrase is None else f"{len(passphrase)} characters")
        case "line":
            call.emit({}, call.line("send", text))
        case "end":
            click.get_current_context().exit(count)
        case _:
            raise ERRORS[what]


ERRORS: dict[str, BaseException] = {
    "no": NegativeError("the words differ"),
    "not-now": UnavailableError("the desk is open elsewhere"),
    "refused": RefusedError("Nikita has not been compared", hint="backchannel compare Nikita"),
    "locked": LockedError("wrong passphrase"),
    "interrupt": KeyboardInterrupt(),
    "disk-full": OSError(28, "No space left on device", "the desk"),
    "fault": ValueError("a secret"),
}


def enlist() -> None:
    """Put the verb into the table for good: a process of its own does."""
    sys.modules[MODULE] = sys.modules[__name__]
    app.VERBS[NAME] = ENTRY


if __name__ == "__main__":
    enlist()
    sys.exit(app.main())
