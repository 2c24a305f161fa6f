"""What every verb has in common: the options that may stand before or after it.

    @verb("send")
    @click.argument("draft", required=False)
    @pass_call
    def send(call: Call, draft: str | None) -> None:
        \"\"\"Seal a letter and lay it in the tray.\"\"\"

A module of verbs is imported when one of its verbs is called, and listed in the
table of `app`, whose line of help is the first line of the docstring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from backchannel.cli.talk import Call

if TYPE_CHECKING:
    from collections.abc import Callable

pass_call = click.make_pass_decorator(Call)


class Verb(click.Command):
    """A verb: a click command that also takes the options of every verb."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params.extend(everywhere(hidden=True))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text("The options of every verb are in: backchannel --help")


def verb(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], Verb]:
    """Decorate a function as the verb *name*."""
    return click.command(name, cls=Verb, **attributes)


def everywhere(*, hidden: bool = False) -> list[click.Parameter]:
    """The options that may stand before or after a verb, recorded in the :class:`Call`."""
    return [
        _option("--desk", metavar="DIR", hidden=hidden, help="The desk, instead of your own or $BACKCHANNEL_DESK."),
        _option(
            "--passphrase-file", metavar="FILE", hidden=hidden, help="Take the passphrase from the first line of FILE."
        ),
        _option("--json", is_flag=True, hidden=hidden, help="Results and errors as JSON."),
        _option("--version", is_flag=True, is_eager=True, hidden=hidden, help="Print the version and stop."),
    ]


def _option(name: str, **attributes: Any) -> click.Option:
    return click.Option([name], expose_value=False, callback=_RECORD[name], **attributes)


def _record_desk(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Call).given_desk = _path(value)


def _record_passphrase_file(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Call).passphrase_file = _path(value)


def _record_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Call).json = True


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from backchannel import __version__  # noqa: PLC0415

        click.echo(f"backchannel {__version__}")
        ctx.exit()


def _path(value: str) -> Any:
    from pathlib import Path  # noqa: PLC0415

    if not value:
        raise click.BadParameter("a path is not empty")
    return Path(value)


_RECORD: dict[str, Callable[[click.Context, click.Parameter, Any], None]] = {
    "--desk": _record_desk,
    "--passphrase-file": _record_passphrase_file,
    "--json": _record_json,
    "--version": _print_version,
}
