"""The command ``backchannel-operator``: what the operators of a post office type.

Results go to standard output, talk and errors to standard error, in one line
each; a call ends in an exit code: 0 done, 1 no, 2 usage, 3 not now, 4 refused,
5 locked (docs/using/run-a-post-office.md). What a verb needs is imported when it is
called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from backchannel.errors import BackchannelError, NegativeError, RefusedError, UnavailableError, UsageError

if TYPE_CHECKING:
    from backchannel.office.edge import Edge
    from backchannel.office.folder import Folder
    from backchannel.post.charter import Charter, Numbers, Seat, SignedCharter

PROGRAM: Final = "backchannel-operator"
INTERRUPTED: Final = 130  # as a shell reports SIGINT
FAULT: Final = 70  # EX_SOFTWARE of sysexits.h
DAY: Final = 86_400_000  # ms
NOTICE: Final = 7 * DAY  # ms between an amendment and its first round, so that every porter hears of it
URGENT: Final = 10  # rounds, where it cannot wait
SOON: Final = 3_600  # seconds until a new office's first round
LISTEN: Final = "127.0.0.1:8025"


# The numbers of a charter that an operator chooses, and what is said of each.
_NUMBERS: Final = {
    "capacity": "Mailboxes, a multiple of 8 [256].",
    "packet": "Bytes of a packet [4096].",
    "period": "Milliseconds of a round [60000].",
    "places": "Places at which a desk writes: a letter's pieces go every so many rounds [8].",
    "reads": "Rows that are read in a visit, of the newest table [2].",
    "catch_up": "Old rounds that are served in a round [8].",
    "window": "Rounds that are kept [a day].",
    "hold": "Milliseconds from a visit's instant to its reply [2000].",
    "day": "Rounds that a key of the day lasts [a day].",
    "enrolment": "Enrolments take effect at multiples of so many rounds [a day].",
}


@dataclass(slots=True)
class Call:
    """What stood on the command line around the verb, and the edge it runs on."""

    given_edge: Edge | None = None
    given_folder: Path | None = None

    @property
    def edge(self) -> Edge:
        if self.given_edge is None:
            from backchannel.office.edge import Edge  # noqa: PLC0415

            self.given_edge = Edge.here()
        return self.given_edge

    @property
    def folder(self) -> Folder:
        from backchannel.office.folder import Folder  # noqa: PLC0415

        return Folder(self.given_folder or self.edge.folder)


def main(argv: Sequence[str] | None = None, *, edge: Edge | None = None) -> int:
    """Run one call of the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with operator.make_context(PROGRAM, arguments, obj=Call(given_edge=edge)) as context:
            operator.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last frame there is
        return _report(error)
    return 0


def say(line: str) -> None:
    """Talk, on standard error."""
    click.echo(f"{PROGRAM}: {line}", err=True)


def _folder_option() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def record(context: click.Context, _: click.Parameter, value: Path | None) -> None:
        if value is not None:
            context.ensure_object(Call).given_folder = value

    return click.option(
        "--folder",
        metavar="DIR",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=record,
        help="The operator's folder, instead of your own or $BACKCHANNEL_OPERATOR.",
    )


def _verb(group: click.Group, name: str) -> Callable[[Callable[..., Any]], click.Command]:
    def decorate(function: Callable[..., Any]) -> click.Command:
        return group.command(name)(_folder_option()(click.make_pass_decorator(Call)(function)))

    return decorate


_number = click.IntRange(min=0)
_file = click.Path(path_type=Path)


def _numbers_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each number of a charter that an operator chooses."""
    for name, text in reversed(_NUMBERS.items()):
        option = "--mailboxes" if name == "capacity" else f"--{name.replace('_', '-')}"
        function = click.option(option, name, type=_number, metavar="N", help=text)(function)
    return function


@click.group(
    PROGRAM,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 no, 2 usage, 3 not now, 4 refused, 5 locked.",
)
@_folder_option()
@click.version_option(package_name="backchannel", prog_name=PROGRAM, message="%(prog)s %(version)s")
def operator() -> None:
    """Run one of the operators of a post office."""


@_verb(operator, "keys")
@click.argument("name")
@click.option("--url", help="Where porters and the other operators reach this one: http://… or https://…")
@click.option("--new", "another", is_flag=True, help="Another set of keys, for a charter that follows.")
@click.option("-o", "--output", type=_file, help="Where the card goes, instead of NAME.pub.")
def keys(call: Call, name: str, *, url: str | None, another: bool, output: Path | None) -> None:
    """Make an operator: its folder, its keys, and its card NAME.pub for the others."""
    from backchannel import files  # noqa: PLC0415
    from backchannel.office.folder import encode_seat, seat_of  # noqa: PLC0415
    from backchannel.post.charter import check_name, check_url  # noqa: PLC0415

    card = output or Path(f"{name}.pub")
    where = url or f"http://{call.edge.host}:{LISTEN.rpartition(':')[2]}"
    check_name(name)
    check_url(name, where)
    made = call.folder.make_keys(name, call.edge.random, another=another)
    files.replace(card, encode_seat(seat_of(made, where, call.edge.ciphers.kem)))
    click.echo(f"{card}: the card of {name}, at {where}")


@operator.group("charter")
def charter() -> None:
    """Draft, sign and amend the charter of an office."""


@_verb(charter, "draft")
@click.argument("cards", nargs=-1, required=True, type=_file)
@click.option("--name", default="office", show_default=True, help="The name of the office.")
@click.option("--starts-in", type=_number, metavar="SECONDS", default=SOON, show_default=True, help="The first round.")
@click.option("--quorum", type=_number, metavar="N", help="Mailboxes of each operator that make a crowd [a quarter].")
@_numbers_options
@click.option("-o", "--output", type=_file, default=Path("office.charter"), show_default=True)
def draft(
    call: Call, cards: tuple[Path, ...], *, name: str, starts_in: int, quorum: int | None, output: Path, **given: Any
) -> None:
    """Draft a charter of the operators whose cards are given, and say what it buys."""
    from backchannel.post.charter import Charter, SignedCharter  # noqa: PLC0415

    seats = tuple(_read_seat(path) for path in cards)
    numbers = _numbers(given, start=call.edge.now() + starts_in * 1000)
    made = Charter(name, seats, _shares([seat.name for seat in seats], 1, numbers.capacity, quorum), numbers)
    _write(output, SignedCharter(made))
    _show_plan(made)


@_verb(charter, "sign")
@click.argument("file", type=_file)
@click.argument("copies", nargs=-1, type=_file)
def sign(call: Call, file: Path, copies: tuple[Path, ...]) -> None:
    """Sign a charter, take over the signatures on COPIES of it, and show its check words.

    Read the words to the other operators over the telephone: the same words are the same charter.
    """
    from backchannel.office.folder import read_charter  # noqa: PLC0415
    from backchannel.seal.words import check_words  # noqa: PLC0415

    signed = read_charter(file)
    for copy in copies:
        signed = signed.joined(read_charter(copy))
    before, mine = signed.signatures, call.folder.keys()
    for each in mine:
        # Who leaves with an amendment signs it, too: by its predecessor's keys.
        if any(seat.signing == each.signer.public for seat in _may_sign(call.folder, signed.charter)):
            signed = signed.sign(each.signer)
    if not {each.signer.public for each in mine} & {key for key, _ in signed.signatures}:
        raise RefusedError("this charter has no seat for the keys of this operator")
    if signed.signatures != before or copies:
        _write(file, signed)
    call.folder.keep(signed)
    click.echo(" ".join(check_words(signed.charter.check_string(call.edge.words_cost))))
    if signed.missing:
        say(f"still to sign: {', '.join(signed.missing)}")
    else:
        say("all have signed")


@_verb(charter, "show")
@click.argument("file", type=_file)
def show(call: Call, file: Path) -> None:
    """Say what a charter holds, what it buys, and who has signed it."""
    from backchannel.office.folder import read_charter  # noqa: PLC0415

    del call
    signed = read_charter(file)
    for seat in signed.charter.seats:
        click.echo(f"{seat.name}  {seat.url}  {'has not signed' if seat.name in signed.missing else 'has signed'}")
    for share in signed.charter.shares:
        last = share.mailboxes[-1]
        click.echo(f"{share.issuer} gives out {share.first} to {last}; {share.quorum} make a crowd")
    for field in fields(signed.charter.numbers):
        click.echo(f"{field.name} {getattr(signed.charter.numbers, field.name):,}")
    _show_plan(signed.charter)


@_verb(charter, "amend")
@click.argument("file", type=_file)
@click.argument("cards", nargs=-1, type=_file)
@click.option("--remove", multiple=True, metavar="NAME", help="An operator that leaves.")
@click.option("--urgent", is_flag=True, help="From ten rounds on, instead of seven days: porters that miss it stop.")
@_numbers_options
@click.option("-o", "--output", type=_file, default=Path("next.charter"), show_default=True)
def amend(
    call: Call,
    file: Path,
    cards: tuple[Path, ...],
    *,
    remove: tuple[str, ...],
    urgent: bool,
    output: Path,
    **given: Any,
) -> None:
    """Draft a charter that follows FILE: other numbers, new CARDS, operators that leave."""
    from backchannel.office.folder import read_charter  # noqa: PLC0415
    from backchannel.post.charter import Charter, SignedCharter  # noqa: PLC0415

    old = read_charter(file).charter
    seats = {seat.name: seat for seat in old.seats}
    for name in remove:
        if name not in seats:
            raise UsageError(f"this charter has no operator called {name}")
        del seats[name]
    seats |= {seat.name: seat for seat in map(_read_seat, cards)}
    notice = URGENT * old.numbers.period if urgent else NOTICE
    first = max(old.round_at(call.edge.now() + notice) + 1, old.numbers.first + 1)
    chosen = {name: value for name, value in given.items() if value is not None}
    numbers = replace(old.numbers, **chosen, first=first, start=old.begins(first))
    # Numbers that were given out stay who they were given to: only what is new is shared out.
    shares = old.shares + _shares(list(seats), old.numbers.capacity, numbers.capacity, None)
    made = Charter(old.name, tuple(seats.values()), shares, numbers, old.digest)
    made.check_follows(old)
    _write(output, SignedCharter(made))
    click.echo(f"{output}: from round {first:,}; all operators of {file} sign it, and the new ones")
    for name in seats.keys() - {share.issuer for share in shares}:
        say(f"{name} has no mailboxes to give out: more --mailboxes are shared out among all")


@_verb(operator, "serve")
@click.argument("file", type=_file, required=False)
@click.option("--listen", metavar="HOST:PORT", default=LISTEN, show_default=True)
def serve(call: Call, file: Path | None, listen: str) -> None:
    """Serve the office whose charter is given, once all have signed it."""
    import asyncio  # noqa: PLC0415

    asyncio.run(_serve(call, file, _address(listen)))


@_verb(operator, "ticket")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("-o", "--output", type=_file, help="A file that is made for them, instead of standard output.")
def ticket(call: Call, count: int, output: Path | None) -> None:
    """Give out tickets: one line each, to be handed to one desk."""
    _give_out(call, count, output)


@_verb(operator, "retire")
@click.argument("mailbox", type=_number)
def retire(call: Call, mailbox: int) -> None:
    """Take a mailbox back, for ever: nobody visits with it from the next round on."""
    with call.folder.issuing(), call.folder.shelf() as shelf:
        _machine(call, shelf).retire(mailbox)
    click.echo(f"mailbox {mailbox} is retired")


@_verb(operator, "replace")
@click.argument("mailbox", type=_number)
@click.option("-o", "--output", type=_file, help="A file that is made for the ticket, instead of standard output.")
def replace_(call: Call, mailbox: int, output: Path | None) -> None:
    """Retire a mailbox and give its owner a ticket for another."""
    from backchannel.post.members import ISSUED, RETIRED  # noqa: PLC0415

    with call.folder.issuing(), call.folder.shelf() as shelf:
        machine = _machine(call, shelf)
        raw = mailbox.to_bytes(8)
        if shelf.get(ISSUED, raw) is None or shelf.get(RETIRED, raw) is not None:
            machine.retire(mailbox)  # refuses, before a number is used up
        # The new one first: where none is left, nothing is taken away.
        lines = _tickets(machine, 1)
        machine.retire(mailbox)
    _give(lines, output)


@_verb(operator, "status")
def status(call: Call) -> None:
    """Say how the office stands: rounds by day, who has admitted how many, clocks, disk."""
    from backchannel.office.accounts import date, size  # noqa: PLC0415

    accounts = _accounts(call)
    running = accounts.running
    serving = f"served on {running.listening}" if running and accounts.serving else "not served"
    click.echo(f"{accounts.name} of {accounts.charter.name}: {serving}, round {max(accounts.round, 0):,}")
    for day in accounts.days[-7:]:
        click.echo(f"{date(day.day)}: {day.stood:,} rounds stand, {sum(day.void.values()):,} are void")
        for what, count in day.void.items():
            click.echo(f"    {count:,}: {what}")
    for share, filled in accounts.admitted:
        click.echo(f"{share.issuer} has admitted {filled} of {share.count}, and {share.quorum} make a crowd")
    click.echo(f"given out here: {accounts.issued}; retired: {accounts.retired}")
    for name, ahead in running.clocks if running else ():
        click.echo(f"the clock of {name} is {ahead:+,} ms from this one")
    disk = accounts.disk
    click.echo(f"the window takes {size(disk.used)} of {size(disk.wanted)}, and {size(disk.free)} are free")


@_verb(operator, "doctor")
def doctor(call: Call) -> None:
    """Look at everything that can be wrong, and end in 1 if something is."""
    from backchannel.office.accounts import Finding  # noqa: PLC0415

    findings = [Finding(good=False, text=f"others can read {path}") for path in call.folder.open_to_others()]
    findings += _accounts(call).findings()
    for finding in findings:
        click.echo(f"{'good ' if finding.good else 'wrong'}  {finding.text}")
    wrong = sum(not finding.good for finding in findings)
    if wrong:
        raise NegativeError(f"{wrong} of {len(findings)} are not as they should be")


async def _serve(call: Call, file: Path | None, listen: tuple[str, int]) -> None:
    import asyncio  # noqa: PLC0415
    import signal  # noqa: PLC0415

    from backchannel.office.run import run  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(call.folder, call.edge, charter=file, listen=listen, stop=stop, say=say)


def _give_out(call: Call, count: int, output: Path | None) -> None:
    with call.folder.issuing(), call.folder.shelf() as shelf:
        lines = _tickets(_machine(call, shelf), count)
    _give(lines, output)


def _give(lines: list[str], output: Path | None) -> None:
    from backchannel import files  # noqa: PLC0415

    text = "".join(f"{line}\n" for line in lines)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        files.stage(output, text.encode()).publish()
    except BackchannelError:
        # They are given out, and nobody will see them again.
        click.echo(text, nl=False)
        raise


def _tickets(machine: Any, count: int) -> list[str]:
    from backchannel.post.enrolment import TicketLine  # noqa: PLC0415

    name = machine.charters[-1].charter.name
    return [TicketLine(name, mailbox, made).format() for mailbox, made in machine.issue(count)]


def _machine(call: Call, shelf: Any) -> Any:
    from backchannel.post.rounds import Operator  # noqa: PLC0415

    machine = Operator(shelf, call.folder.keys(), call.edge.ciphers, random=call.edge.random)
    if not machine.charters:
        raise UnavailableError(
            "no charter has been adopted: serve it once all have signed", hint=f"{PROGRAM} serve office.charter"
        )
    return machine


def _accounts(call: Call) -> Any:
    from backchannel.office.accounts import Accounts  # noqa: PLC0415

    call.folder.keys()
    with call.folder.shelf() as shelf:
        accounts = Accounts.read(call.folder, shelf, call.edge)
    if accounts is None:
        raise UnavailableError("no charter has been adopted", hint=f"{PROGRAM} serve office.charter")
    return accounts


def _may_sign(folder: Folder, charter: Charter) -> list[Seat]:
    """Who has a seat in *charter*, or had one in its predecessor, as far as that is known here."""
    seats = list(charter.seats)
    for signed in folder.charters():
        if signed.charter.digest == charter.predecessor:
            seats += signed.charter.seats
    return seats


def _read_seat(path: Path) -> Seat:
    from backchannel import files  # noqa: PLC0415
    from backchannel.office.folder import MAX_KEYS, decode_seat  # noqa: PLC0415

    raw = files.read(path, MAX_KEYS)
    if raw is None:
        raise UsageError(f"there is no file {path}")
    return decode_seat(raw)


def _numbers(given: dict[str, int | None], *, start: int) -> Numbers:
    """The numbers of a new charter: those that are given, and for the others what fits them."""
    from backchannel.post.charter import BOUNDS, Numbers  # noqa: PLC0415

    chosen = {name: value for name, value in given.items() if value is not None}
    numbers = replace(Numbers(start=start), **chosen)
    a_day = min(max(1, DAY // max(1, numbers.period)), BOUNDS["day"][1])
    kept = -(-a_day // max(1, numbers.catch_up)) * numbers.catch_up
    fitting = {"day": a_day, "enrolment": a_day, "window": kept, "hold": min(numbers.hold, numbers.period // 10)}
    return replace(numbers, **{name: value for name, value in fitting.items() if name not in chosen})


def _shares(issuers: list[str], first: int, end: int, quorum: int | None) -> tuple[Any, ...]:
    """The mailboxes from *first* to below *end*, shared out evenly."""
    from backchannel.post.charter import Share  # noqa: PLC0415

    each = (end - first) // len(issuers)
    if each < 1:
        return ()
    least = max(1, each // 4) if quorum is None else quorum
    return tuple(Share(name, first + at * each, each, least) for at, name in enumerate(issuers))


def _write(path: Path, signed: SignedCharter) -> None:
    from backchannel import files  # noqa: PLC0415

    files.replace(path, signed.encode())


def _show_plan(made: Charter) -> None:
    from backchannel.office.accounts import size  # noqa: PLC0415
    from backchannel.post.plan import plan  # noqa: PLC0415

    bought = plan(made)
    letter = f"{bought.letter / 60_000:,.0f} minutes" if bought.letter >= 60_000 else f"{bought.letter / 1000:.0f} s"
    click.echo(f"a letter of 20 kB: {letter}")
    click.echo(f"a desk and day: {size(bought.desk)}, and {size(bought.catching_up)} while it catches up")
    click.echo(f"an operator: {bought.cores:.2f} cores, and {size(bought.disk)} of disk for the window")


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise UsageError("--listen takes HOST:PORT", hint=f"{PROGRAM} serve --listen {LISTEN}")
    return host.removeprefix("[").removesuffix("]"), int(port)  # no host is every address


def _report(error: Exception) -> int:
    """Say what went wrong, in one line and a hint, and return the exit code."""
    hint: str | None = None
    match error:
        case BackchannelError():
            message, hint, code = error.message, error.hint, error.exit_code
        case click.ClickException():
            context = getattr(error, "ctx", None)
            message = " ".join(error.format_message().split()).rstrip(".")
            message, code = message[:1].lower() + message[1:], error.exit_code
            hint = f"{context.command_path if context else PROGRAM} --help"
        case OSError() if error.strerror:
            named = "" if error.filename is None else f"{error.filename}: "
            message, code = named + error.strerror.lower(), UnavailableError.exit_code
        case _:
            # Its text may hold what was being worked on.
            message, code = f"a fault of backchannel itself: {type(error).__name__}", FAULT
    say(f"error: {message}")
    if hint is not None:
        say(f"hint: {hint}")
    return code


if __name__ == "__main__":
    sys.exit(main())
