"""The verb join: a place in a post office, and the porter that goes there."""

from __future__ import annotations

from pathlib import Path

import click

from backchannel import files
from backchannel.cli.opening import leave, open_desk, porter_folder, take, tray_folder
from backchannel.cli.talk import Call
from backchannel.cli.verb import pass_call, verb
from backchannel.cli.visible import one_line
from backchannel.desk import post, writing
from backchannel.desk.desk import Changes, Desk
from backchannel.errors import MalformedError, RefusedError, UsageError
from backchannel.post.charter import NO_CHARTER, Charter, SignedCharter
from backchannel.post.ciphers import Ciphers
from backchannel.post.enrolment import TicketLine
from backchannel.post.keeping import Pairing
from backchannel.post.tray import DEFAULT_SIZE, PORTER_FILE
from backchannel.seal import words

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


@verb("join")
@click.argument("charter", required=False, type=FILE)
@click.option("--ticket-file", "ticket", type=FILE, metavar="FILE", help="The ticket that an operator gave you.")
@click.option(
    "--tray", type=FOLDER, metavar="DIR", help="The folder to share with the porter, instead of one beside the desk."
)
@click.option(
    "-o", "out", type=FILE, metavar="FILE", help="Make no porter here, but a pairing for one on another machine."
)
@click.option("--agree", is_flag=True, help="Agree to a charter that the porter asks about.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_call
def join(
    call: Call, charter: Path | None, ticket: Path | None, tray: Path | None, out: Path | None, agree: bool, yes: bool
) -> None:
    """Take a place in a post office.

    Compare the words of the charter with an operator whom you trust. That this
    desk takes part is public; to whom it writes, and whether, is not.
    """
    with open_desk(call) as desk:
        if agree:
            _agree(call, desk, yes=yes)
            return
        if charter is None or ticket is None:
            raise UsageError("a charter and a ticket are wanted", hint="backchannel join CHARTER --ticket-file FILE")
        signed, line = _charter(charter), _ticket(ticket)
        if line.charter != signed.charter.name:
            raise UsageError(
                f"this ticket is for the post office {line.charter}, and the charter of {signed.charter.name}"
            )
        before = post.membership(desk)
        _show(call, signed.charter)
        if before and not yes and not call.confirm(_ANEW):
            raise UsageError("nothing was changed")
        folder = _tray(call, tray)
        pairing, changes = post.join(desk, signed, line.mailbox, line.ticket, folder=folder, size=DEFAULT_SIZE)
        if out is not None:
            leave(out, pairing.encode(), lambda: desk.commit(changes), otherwise=_AGAIN)
        else:
            _make_porter(call, desk, pairing, changes)
        # What an earlier porter wrote there opens for nobody any more.
        files.remove(folder / PORTER_FILE)
        _announce(call, desk)
        where = one_line(str(out)) if out else one_line(str(porter_folder(call)))
        told = (
            f"hand the pairing to the porter's machine: {where}"
            if out
            else f"its porter lies in {where}, under this desk's passphrase"
        )
        text = f"mailbox {line.mailbox} of {signed.charter.name}; {told}"
        call.emit(
            {"office": signed.charter.name, "mailbox": line.mailbox, "tray": str(folder)}
            | ({"pairing": str(out)} if out else {"porter": str(porter_folder(call))}),
            text,
        )
        sharing = ["--tray", str(tray)] if tray else []
        call.hint(call.line("porter", *(["--pair", "FILE"] if out else []), *sharing))


def _tray(call: Call, given: Path | None) -> Path:
    """The folder to share: one beside the desk is made; one that was named may be on a stick that is not there."""
    if given is None:
        files.make_folder(tray_folder(call))
        return tray_folder(call).absolute()
    if not given.is_dir():
        raise UsageError(f"there is no folder {one_line(str(given))} to share with the porter")
    return given.absolute()


def _charter(path: Path) -> SignedCharter:
    try:
        return SignedCharter.decode(take(path))
    except MalformedError:
        raise MalformedError(NO_CHARTER) from None


def _ticket(path: Path) -> TicketLine:
    try:
        text = take(path).decode()
    except UnicodeDecodeError:
        raise MalformedError("this is not a ticket, or it was copied wrongly") from None
    found = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(found) != 1:
        raise UsageError(f"{one_line(path.name)} has {len(found)} tickets: one is wanted, in a file of its own")
    return TicketLine.parse(found[0])


def _show(call: Call, charter: Charter) -> None:
    operators = ", ".join(f"{seat.name} ({seat.url})" for seat in charter.seats)
    call.say(f"post office {charter.name}, of {charter.operators} operators: {operators}")
    check = charter.check_string(call.edge.words_cost)
    call.say(f"the words of its charter: {' '.join(words.check_words(check))}")


def _make_porter(call: Call, desk: Desk, pairing: Pairing, changes: Changes) -> None:
    from backchannel.porter import store  # noqa: PLC0415 - nothing else of a desk needs it

    home = porter_folder(call)
    means = store.Means(call.edge.random, Ciphers.real(), call.edge.counters)
    if store.is_one(home):
        # The porter of an earlier joining: what it carried is told anew to the new one.
        files.remove_folder(home)
    store.create(home, call.passphrase(), pairing, means=means, cost=call.edge.cost, step=call.edge.step).close()
    try:
        desk.commit(changes)
    except BaseException:
        files.remove_folder(home)
        raise


def _announce(call: Call, desk: Desk) -> None:
    """Tell everybody who wrote to an old mailbox of this desk where the new one is, in a letter of its own."""
    for person in desk.people():
        if not person.met or person.mine is None:
            continue
        try:
            desk.commit(writing.send_moved(desk, person, now=call.edge.now()).changes)
        except RefusedError as error:
            call.warn(f"{one_line(person.name)} is not told of the new mailbox: {error.message}")
        else:
            # It stands in the row of the new mailbox, which they do not read yet.
            call.say(f"a letter tells {one_line(person.name)} of the new mailbox: it has to go by hand")
            call.hint(f'backchannel pack "{person.name}" --again -o FILE')


def _agree(call: Call, desk: Desk, *, yes: bool) -> None:
    signed, changes = post.agree(desk)
    _show(call, signed.charter)
    missing = "an operator of the charter before it has not signed this one"
    if not yes and not call.confirm(f"{missing}. Go on?"):
        raise UsageError("nothing was changed")
    desk.commit(changes)
    call.emit({"agreed": signed.charter.digest.hex()}, f"the porter follows the new charter of {signed.charter.name}")


_ANEW = (
    "this desk has a place in a post office already. By this its porter is a new one, and the old to be stopped. Go on?"
)
_AGAIN = "backchannel join CHARTER --ticket-file FILE"
