"""One call of the command line: what it was given, and how it asks and answers.

Results go to standard output, talk to standard error, and a passphrase comes
from a file or from a terminal that does not echo it, never from an argument or
the environment, where other processes can read it (docs/using/command-line.md).
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from backchannel.cli.visible import message_line, one_line
from backchannel.errors import LockedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from backchannel.cli.edge import Edge

MAX_PASSPHRASE: Final = 4096  # bytes; more is a file named by mistake


class CommandLine(str):
    """A command line as it can be run: its words are quoted, and it names its desk."""

    __slots__ = ()


@dataclass(slots=True)
class Call:
    """What stood on the command line around the verb, and the edge it runs on."""

    given_edge: Edge | None = None
    arguments: tuple[str, ...] = ()
    given_desk: Path | None = None
    passphrase_file: Path | None = None
    json: bool = False
    typed: str | None = None  # the passphrase, once it was asked for

    @property
    def edge(self) -> Edge:
        """The edge, made when first asked for: a usage error needs none."""
        if self.given_edge is None:
            from backchannel.cli.edge import Edge  # noqa: PLC0415

            self.given_edge = Edge.here()
        return self.given_edge

    @property
    def desk(self) -> Path:
        """The desk that was named, or else the user's."""
        return self.given_desk or self.edge.desk

    @property
    def width(self) -> int | None:
        """The width of the terminal that results go to; None where they go elsewhere."""
        return self.edge.columns() if sys.stdout.isatty() else None

    def line(self, *words: str) -> CommandLine:
        """A command line that does *words* on this desk, quoted, for a hint."""
        return CommandLine(shlex.join(["backchannel", *self._globals(), *words]))

    def runnable(self, hint: str | None) -> str | None:
        """*hint*, written where nobody knew which desk this is, made to name it."""
        prefix = "backchannel "
        if hint is None or isinstance(hint, CommandLine) or not hint.startswith(prefix) or hint.endswith("--help"):
            return hint
        return CommandLine(" ".join([self.line(), _quoted(hint.removeprefix(prefix))]))

    def emit(self, data: Any, text: str) -> None:
        """Give the result on standard output: *data* with ``--json``, else *text*.

        JSON is written in ASCII: then nothing in it acts on a terminal, and
        whoever parses it still has every character.
        """
        click.echo(_json(data) if self.json else text)

    def say(self, text: str) -> None:
        """Talk, on standard error: a line of ours, never a result; with ``--json`` nothing."""
        if not self.json:
            click.echo(message_line(text), err=True)

    def hint(self, hint: str) -> None:
        """Say what is usually done next: a command that can be run; with ``--json`` nothing."""
        self.say(f"backchannel: {paint('hint:', stream=sys.stderr, bold=True)} {self.runnable(hint)}")

    def warn(self, text: str) -> None:
        """Talk that the user should not overlook; with ``--json`` an object on a line of standard error."""
        if self.json:
            click.echo(_json_line({"warning": message_line(text)}), err=True)
            return
        label = paint("warning:", stream=sys.stderr, fg="yellow", bold=True)
        click.echo(f"backchannel: {label} {message_line(text)}", err=True)

    def ask(self, question: str) -> str:
        """A line from the user, who sees *question* on standard error.

        Raises:
            UsageError: If standard input is at its end.
        """
        if not self.json:
            click.echo(f"{message_line(question)} ", err=True, nl=False)
        line = sys.stdin.readline()
        if not self.json and not sys.stdin.isatty():
            click.echo(err=True)
        if not line:
            raise UsageError("an answer was asked for, and standard input is at its end")
        return line.strip()

    def confirm(self, question: str) -> bool:
        """Whether the user says yes; no answer is a no."""
        try:
            answer = self.ask(f"{question} [y/N]")
        except UsageError:
            return False
        return answer.lower() in ("y", "yes")

    def passphrase(self) -> str:
        """The passphrase of a desk that exists.

        Raises:
            LockedError: If there is neither a file nor a terminal to ask on.
        """
        if self.passphrase_file is not None:
            return self._filed_passphrase(self.passphrase_file)
        if self.typed is None:
            self.typed = self._hidden("passphrase: ")
        return self.typed

    def new_passphrase(self) -> str | None:
        """A passphrase for a new desk, typed twice; None if words are to be made.

        Raises:
            LockedError: If there is neither a file nor a terminal to ask on.
            UsageError: If the two differ.
        """
        if self.passphrase_file is not None:
            return self._filed_passphrase(self.passphrase_file)
        return self.typed_passphrase("passphrase, or Enter for ten words: ")

    def typed_passphrase(self, question: str) -> str | None:
        """A passphrase typed twice; None if words are to be made.

        Raises:
            LockedError: If there is no terminal to ask on.
            UsageError: If the two differ.
        """
        first = self._hidden(question)
        if not first:
            return None
        if self._hidden("the same again: ") != first:
            raise UsageError("the two passphrases differ")
        return first

    def _hidden(self, prompt: str) -> str:
        answer = self.edge.hidden(prompt)
        if answer is None:
            raise LockedError(
                "no passphrase: there is no terminal to ask on, and no --passphrase-file", hint="backchannel --help"
            )
        return _composed(answer)

    def _filed_passphrase(self, path: Path) -> str:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise UsageError(f"there is no file {one_line(str(path))}") from None
        with file:
            if _open_to_others(file.fileno()):
                self.warn(f"others on this machine can read {one_line(str(path))}")
            first = file.readline(MAX_PASSPHRASE + 1)
        if len(first) > MAX_PASSPHRASE:
            raise UsageError("the first line of the passphrase file is too long to be one")
        try:
            passphrase = first.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError("the passphrase file is not text in UTF-8") from None
        if not passphrase:
            raise UsageError("the first line of the passphrase file is empty")
        return _composed(passphrase)

    def _globals(self) -> list[str]:
        words = []
        if self.given_desk is not None:
            words += ["--desk", str(self.given_desk)]
        if self.passphrase_file is not None:
            words += ["--passphrase-file", str(self.passphrase_file)]
        return words


def paint(text: str, *, stream: TextIO, **style: Any) -> str:
    """*text* in colour, if *stream* takes it: the one place that has colours."""
    from backchannel.cli.edge import wants_colour  # noqa: PLC0415

    return click.style(text, **style) if wants_colour(stream) else text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of *known* that *word* was probably meant to be."""
    import difflib  # noqa: PLC0415

    folded = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(word.casefold(), folded, n=1)
    return folded[found[0]] if found else None


def _json(data: Any) -> str:
    import json  # noqa: PLC0415

    return json.dumps(data, indent=2)


def _json_line(data: Any) -> str:
    import json  # noqa: PLC0415

    return json.dumps(data)


def _quoted(hint: str) -> str:
    """*hint* with the name that stands in it between double quotes quoted for the shell.

    A name comes from a stranger's card. Between double quotes a shell would still
    run what it holds: "$(...)" must not become part of a command that we suggest.
    """
    before, quote, rest = hint.partition('"')
    name, _, after = rest.rpartition('"')
    return f"{before}{shlex.quote(name)}{after}" if quote else hint


def _composed(passphrase: str) -> str:
    import unicodedata  # noqa: PLC0415

    # One keyboard sends é as one character, another as two; the desk must open for both.
    return unicodedata.normalize("NFC", passphrase)


def _open_to_others(descriptor: int) -> bool:
    import os  # noqa: PLC0415
    import stat  # noqa: PLC0415

    status = os.fstat(descriptor)
    # A pipe from another process has modes that say nothing.
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & (stat.S_IRGRP | stat.S_IROTH))
