"""The verbs of the desk itself: init, status, destroy."""

from __future__ import annotations

import unicodedata
from typing import Any

import click

from backchannel.cli import attendance
from backchannel.cli.opening import day, means, not_come, open_desk, written_day
from backchannel.cli.talk import Call
from backchannel.cli.verb import pass_call, verb
from backchannel.cli.visible import one_line
from backchannel.desk import records, writing
from backchannel.desk.desk import Desk
from backchannel.desk.records import Owner, Person, Stage
from backchannel.errors import NegativeError, UsageError
from backchannel.seal import words
from backchannel.seal.card import LABEL_FIRST as FIRST
from backchannel.seal.card import Card, is_name
from backchannel.seal.meeting import Fate

QUIET_SECONDS = 30 * 86_400  # after that a desk offers an empty letter, which ends a turn


@verb("init")
@click.option("--name", metavar="NAME", help="Your name, as it is to stand on cards and letters.")
@click.option("--words", "spelled", is_flag=True, help="Have ten words made for you as passphrase.")
@click.option("--moved", is_flag=True, help="This desk was moved here as it was last used: it is no backup.")
@click.option("--change-passphrase", "change", is_flag=True, help="Give a desk that exists another passphrase.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_call
def init(call: Call, name: str | None, spelled: bool, moved: bool, change: bool, yes: bool) -> None:
    """Make a desk.

    It is one folder, encrypted; without its passphrase nobody opens it, you
    included. A passphrase is asked for, or taken from --passphrase-file.
    """
    if moved:
        with open_desk(call) as desk:
            # An older state that writes on uses keys twice: the other desk finds
            # out, and the correspondence freezes.
            if not yes and desk.restored and not call.confirm("is this folder as it was last used, and no backup?"):
                raise UsageError(
                    "nothing was changed: a backup goes on by meeting again",
                    hint="backchannel meet --again WHO -o FILE",
                )
            desk.move_in()
            call.emit({"moved": True}, f"the desk of {one_line(desk.owner.name)} is at home here now")
        return
    if change:
        _change_passphrase(call, spelled=spelled)
        return
    if (call.desk / "desk.head").exists():
        # Before anything is asked for.
        raise UsageError(f"there is a desk in {one_line(str(call.desk))} already", hint="backchannel status")
    if spelled and call.passphrase_file is not None:
        raise UsageError("ten words made for you, or the passphrase of a file: one of the two")
    given = name if name is not None else call.ask("your name?")
    name = unicodedata.normalize("NFC", " ".join(given.split()))
    if not name or not is_name(name):
        raise UsageError("a name is wanted: one line of at most 200 bytes, without characters that are not seen")
    chosen = None if spelled else call.new_passphrase()
    passphrase = chosen if chosen is not None else words.passphrase(call.edge.random)
    owner = Owner(name, call.edge.now())
    edge = call.edge
    Desk.create(call.desk, passphrase, owner, means=means(call), cost=edge.cost, step=edge.step).close()
    made = f"desk of {one_line(name)} made in {one_line(str(call.desk))}"
    if chosen is None:
        made += f"\nits passphrase, to be written on paper and kept elsewhere:\n\n    {passphrase}"
    result: dict[str, Any] = {"desk": str(call.desk), "name": name}
    call.emit(result if chosen is not None else result | {"passphrase": passphrase}, made)
    call.hint("backchannel card --for WHO -o FILE")


def _change_passphrase(call: Call, *, spelled: bool) -> None:
    with open_desk(call) as desk:
        chosen = None if spelled else call.typed_passphrase("new passphrase, or Enter for ten words: ")
        passphrase = chosen if chosen is not None else words.passphrase(call.edge.random)
        desk.store.change_passphrase(passphrase)
        changed = f"the passphrase of the desk of {one_line(desk.owner.name)} is changed"
        if chosen is None:
            changed += f"; it is now:\n\n    {passphrase}"
        call.emit({"changed": True} | ({} if chosen is not None else {"passphrase": passphrase}), changed)


@verb("status")
@click.option("--verify", is_flag=True, help="Read the whole desk and check every page.")
@pass_call
def status(call: Call, verify: bool) -> None:
    """Say how the desk stands.

    What is unread, what waits, and what to do next.
    """
    with open_desk(call) as desk:
        if verify:
            desk.store.verify()
            call.say("every page of this desk is whole and of its time")
        report = _report(call, desk)
        hints = report.pop("hints")
        lines = [f"desk of {one_line(desk.owner.name)}, since {written_day(call, desk.owner.made)}"]
        lines += [
            _count(report["unread"], "letter unread", "letters unread"),
            _count(report["tray"], "letter in the tray", "letters in the tray"),
            _count(report["drafts"], "draft", "drafts"),
        ]
        lines += attendance.lines(call, desk)
        call.emit(report, "\n".join([*lines, *(f"- {notice['text']}" for notice in report["notices"])]))
        for hint in hints:
            call.hint(hint)


@verb("destroy")
@click.argument("number", type=int)
@click.option("--no-line", is_flag=True, help="Leave not even a line in the list.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_call
def destroy(call: Call, number: int, no_line: bool, yes: bool) -> None:
    """Destroy a letter: its text, its keys, its pages.

    What this desk cannot reach it cannot destroy: the other side's copy, copies
    of this disk, and what was printed.
    """
    with open_desk(call) as desk:
        entry = desk.entry(number)
        changes = writing.destroy(desk, entry, line=not no_line)
        if not yes and not call.confirm(f"destroy letter {number}? there is no way back"):
            raise NegativeError("nothing was destroyed")
        desk.commit(changes)
        call.emit({"destroyed": number}, f"letter {number} destroyed")


def _report(call: Call, desk: Desk) -> dict[str, Any]:
    entries = list(desk.entries())
    report: dict[str, Any] = {
        "name": desk.owner.name,
        "unread": sum(entry.stage is Stage.RECEIVED and entry.id is not None for entry in entries),
        "tray": sum(entry.stage is Stage.TRAY for entry in entries),
        "drafts": len(desk.store.names(records.DRAFTS)),
        "restored": desk.restored,
    }
    if (office := attendance.report(desk)) is not None:
        report["post"] = office
    notices = [*_notices(call, desk), *attendance.notices(call, desk)]
    report["notices"] = [{"text": text, "hint": call.runnable(hint or None)} for text, hint in notices]
    report["hints"] = [*_waiting(desk, report), *(hint for _, hint in notices if hint)]
    return report


def _notices(call: Call, desk: Desk) -> list[tuple[str, str]]:
    notices: list[tuple[str, str]] = []
    if desk.restored and desk.store.counter_missing:
        notices.append(
            (
                "this desk was not used here before: it reads and does not write; if it was moved, and no other copy is used, say so",
                "backchannel init --moved",
            )
        )
    elif desk.restored:
        text = "this desk is an old copy: it reads and does not write; use the newest, or meet each anew"
        notices.append((text, "backchannel meet --again WHO -o FILE"))
    for waiting in desk.register.waiting.values():
        person = desk.by_id(records.PersonId(waiting.person))
        expires = Card.decode(waiting.card, FIRST).terms.expires
        name = one_line(person.name)
        text = f"a card for {name} awaits its answer, good until {day(call, expires)}"
        notices.append((text, "backchannel meet CARD"))
    for person in _unanswered(desk):
        hint = f'meet --again "{person.name}"' if person.met else f'card --for "{person.name}"'
        notices.append((f"a card for {one_line(person.name)} expired unanswered", f"backchannel {hint} -o FILE"))
    for person in desk.people():
        if person.met:
            notices += _of_person(call, desk, person)
    return notices


def _unanswered(desk: Desk) -> list[Person]:
    """Those whose last card has expired."""
    last = {spent.person: spent.fate for spent in desk.register.spent.values()}
    waiting = {card.person for card in desk.register.waiting.values()}
    return [p for p in desk.people() if last.get(p.id) is Fate.EXPIRED and p.id not in waiting]


def _of_person(call: Call, desk: Desk, person: Person) -> list[tuple[str, str]]:
    name, state = one_line(person.name), desk.keys(person)
    notices = []
    if state.frozen:
        text = f"the correspondence with {name} is frozen: {state.frozen}"
        notices.append((text, f'backchannel meet --again "{person.name}" -o FILE'))
    elif not person.compared:
        notices.append((f"words not compared with {name}", f'backchannel compare "{person.name}"'))
    elif not state.owns_turn and call.edge.now() - state.pouch_keys[state.turn][1] > QUIET_SECONDS:
        text = f"nothing written to {name} for a month: an empty letter would renew the keys"
        notices.append((text, f'backchannel send --empty "{person.name}"'))
    if state.missing:
        notices.append((not_come(person, state.missing), ""))
    return notices


def _waiting(desk: Desk, report: dict[str, Any]) -> list[str]:
    """What to do with what lies on the desk, as commands."""
    tray = {entry.person for entry in desk.entries() if entry.stage is Stage.TRAY}
    lists = ["backchannel list"] if report["unread"] or report["drafts"] else []
    if desk.restored:
        return lists
    return lists + [f'backchannel pack "{person.name}" -o FILE' for person in desk.people() if person.id in tray]


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
