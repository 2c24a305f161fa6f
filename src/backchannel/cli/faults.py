"""How a call that failed says so: one line of error, one of hint, and a code.

Our own errors bring message and hint with them; click's are brought into the
same form; anything else is a fault of ours, named by its type and no more,
since its text may hold what was being worked on (docs/using/command-line.md).
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from backchannel.cli.talk import CommandLine, nearest, paint
from backchannel.cli.visible import message_line, one_line
from backchannel.errors import BackchannelError, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backchannel.cli.talk import Call

FAULT: Final = 70  # EX_SOFTWARE of sysexits.h


@dataclass(frozen=True, slots=True)
class Failure:
    """What is said of a call that failed."""

    error: str
    hint: str | None
    exit_code: int


def report(error: Exception, call: Call, arguments: Sequence[str]) -> int:
    """Say what went wrong on standard error and return the exit code."""
    failure = explain(error, arguments)
    # A note says where something is that would else be lost (cli/editor.py).
    said = "; ".join([failure.error, *getattr(error, "__notes__", ())])
    message, hint = message_line(said), call.runnable(failure.hint)
    hint = None if hint is None else message_line(hint)
    # The call may have failed before --json was parsed.
    if call.json or "--json" in arguments:
        import json  # noqa: PLC0415

        click.echo(json.dumps({"error": message, "hint": hint, "exit": failure.exit_code}), err=True)
    else:
        click.echo(f"backchannel: {paint('error:', stream=sys.stderr, fg='red', bold=True)} {message}", err=True)
        if hint is not None:
            click.echo(f"backchannel: {paint('hint:', stream=sys.stderr, bold=True)} {hint}", err=True)
    if failure.exit_code == FAULT:
        _trace(error)
    return failure.exit_code


def explain(error: Exception, arguments: Sequence[str]) -> Failure:
    """What to say of *error*, raised by the command line *arguments*."""
    match error:
        case BackchannelError():
            return Failure(error.message, error.hint, error.exit_code)
        case click.NoSuchOption():
            return _misspelt("option", error.option_name, error, arguments)
        case click.ClickException():
            return Failure(_plain(error.format_message()), f"{_path_of(error)} --help", error.exit_code)
        case OSError() if error.strerror:
            named = "" if error.filename is None else f"{one_line(str(error.filename))}: "
            return Failure(named + error.strerror.lower(), None, UnavailableError.exit_code)
        case _:
            return Failure(f"a fault of backchannel itself: {type(error).__name__}", None, FAULT)


def no_such_verb(word: str, known: Sequence[str], arguments: Sequence[str]) -> UsageError:
    """The error for a verb that is not in the table."""
    meant = nearest(word, known)
    hint = "backchannel --help" if meant is None else corrected(arguments, word, meant)
    return UsageError(f'no verb "{one_line(word)}"', hint=hint)


def corrected(arguments: Sequence[str], wrong: str, right: str) -> CommandLine:
    """The command line *arguments* with the word *wrong* put right."""
    words = list(arguments)
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        if wrong in (word, name):
            words[i] = right if wrong == word else f"{right}{equals}{value}"
            break
    return CommandLine(shlex.join(["backchannel", *words]))


def _misspelt(what: str, word: str, error: click.NoSuchOption, arguments: Sequence[str]) -> Failure:
    known = (
        [name for parameter in error.ctx.command.get_params(error.ctx) for name in parameter.opts] if error.ctx else []
    )
    meant = nearest(word, [name for name in known if name.startswith("--")])
    hint = f"{_path_of(error)} --help" if meant is None else corrected(arguments, word, meant)
    return Failure(f'no {what} "{one_line(word)}"', hint, error.exit_code)


def _path_of(error: click.ClickException) -> str:
    ctx = getattr(error, "ctx", None)
    # command_path would add the metavars of arguments.
    return "backchannel" if ctx is None or ctx.parent is None else f"backchannel {ctx.info_name}"


def _plain(message: str) -> str:
    """A message of click's as one line, lower case, without a full stop."""
    message = " ".join(message.split()).rstrip(".")
    message = message.replace("is not a valid integer range", _NO_NUMBER).replace("is not a valid integer", _NO_NUMBER)
    return message[:1].lower() + message[1:]


def _trace(error: Exception) -> None:
    from backchannel.cli.edge import wants_traceback  # noqa: PLC0415

    if wants_traceback():
        import traceback  # noqa: PLC0415

        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)


_NO_NUMBER: Final = "is not a number"
