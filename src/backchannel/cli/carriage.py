"""The verbs of carriage: pack, unpack, inspect."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import click

from backchannel import pouch as pouches
from backchannel.cli import arrivals, typeset
from backchannel.cli.opening import day, find, leave, open_desk, take
from backchannel.cli.talk import Call
from backchannel.cli.typeset import in_bytes
from backchannel.cli.verb import pass_call, verb
from backchannel.cli.visible import one_line
from backchannel.desk import carriage
from backchannel.desk.carriage import Outcome
from backchannel.desk.desk import Desk
from backchannel.desk.records import PersonId
from backchannel.errors import MalformedError, NegativeError, RefusedError, UsageError, VerificationError
from backchannel.pouch import ForeignPouchError
from backchannel.seal import card as cards
from backchannel.seal.card import Answer, Card
from backchannel.seal.meeting import Waiting

FILE = click.Path(path_type=Path, dir_okay=False)


@verb("pack")
@click.argument("who")
@click.option("-o", "out", type=FILE, metavar="FILE", help="Where to write the pouch.")
@click.option("--again", is_flag=True, help="Also what left before and is not known to have arrived.")
@pass_call
def pack(call: Call, who: str, out: Path | None, again: bool) -> None:
    """Pack a pouch for a courier.

    With nothing to send this makes a cover pouch. Nobody can tell it from one with letters.
    """
    with open_desk(call) as desk:
        person = find(call, desk, who)
        packed = carriage.pack(desk, person, again=again, now=call.edge.now())
        hint = f'backchannel pack "{person.name}" --again -o FILE'
        if out is None:
            raise UsageError("where to? name a file with -o", hint=f'backchannel pack "{person.name}" -o FILE')
        leave(out, packed.pouch, lambda: desk.commit(packed.changes), otherwise=hint)
        count = len(packed.note.letters)
        inside = "a cover pouch, no letters" if not count else "1 letter" if count == 1 else f"{count} letters"
        lines = [
            f"pouch for {one_line(person.name)}: {one_line(str(out))}, {in_bytes(len(packed.pouch))}, {inside}",
            f"seal number {packed.note.seal}",
        ]
        call.emit(
            {
                "pouch": str(out),
                "for": person.name,
                "seal": packed.note.seal,
                "letters": list(packed.note.letters),
                "left_behind": packed.left_behind,
                "held": packed.held,
            },
            "\n".join(lines),
        )
        if packed.held:
            letters = "1 letter is" if packed.held == 1 else f"{packed.held} letters are"
            call.warn(f"{letters} held back: frozen, or sealed under keys that were renewed and never compared")
            call.hint("backchannel list")
        if packed.left_behind:
            call.warn(f"{packed.left_behind} more did not fit: pack another pouch for them")
            call.hint(f'backchannel pack "{person.name}" -o FILE')


@verb("unpack")
@click.argument("file", type=FILE)
@pass_call
def unpack(call: Call, file: Path) -> None:
    """Open a pouch that a courier brought.

    Opened twice it does no harm: letters that are here already are known. Behind
    a broken seal, what still opens is kept.
    """
    with open_desk(call) as desk:
        raw = take(file)
        _not_own(desk, raw)
        opened = carriage.unpack(desk, raw, now=call.edge.now())
        desk.commit(opened.changes)
        call.emit(_as_json(opened), "\n".join(_lines(call, desk, opened)))
        _warn(call, desk, opened)
        if not any(a.outcome is not Outcome.REFUSED for a in opened.arrivals):
            if not opened.note.whole:
                raise NegativeError("the seal of this pouch is broken, and nothing in it opens")
            if opened.arrivals:
                raise VerificationError("nothing in this pouch was accepted")


@verb("inspect")
@click.argument("file", type=FILE)
@click.option("--stranger", is_flag=True, help="Only what anybody can see: no desk is opened.")
@pass_call
def inspect(call: Call, file: Path, stranger: bool) -> None:
    """Show what a stranger can see of a file, and what this desk sees.

    Nothing changes by it, here or elsewhere.
    """
    raw = take(file)
    seen = _stranger(call, raw)
    # A desk that was named and is not there is a mistake; no desk at all is none.
    if not stranger and (call.given_desk or call.desk.exists()):
        with open_desk(call) as desk:
            seen["this_desk"] = _by_desk(call, desk, raw)
    shown = [[key.replace("_", " "), in_bytes(value) if key == "size" else value] for key, value in seen.items()]
    call.emit(seen, typeset.table(shown, ["", ""], None))


def _not_own(desk: Desk, raw: bytes) -> None:
    to = carriage.packed_here(desk, raw)
    if to is not None:
        raise UsageError(f"this pouch was packed here, for {to.name}: hand it to the courier")


def _lines(call: Call, desk: Desk, opened: carriage.Unpacked) -> list[str]:
    name = one_line(opened.person.name)
    lines = [f"pouch from {name}, seal {opened.note.seal} {'whole' if opened.note.whole else 'BROKEN'}"]
    lines += arrivals.lines(call, desk, opened)
    # Behind a broken seal there may have been letters, of which nothing is left.
    return [*lines, "a cover pouch: no letters"] if opened.note.whole and not opened.arrivals else lines


def _warn(call: Call, desk: Desk, opened: carriage.Unpacked) -> None:
    if not opened.note.whole:
        call.warn("the seal is broken: somebody has altered this pouch; what still opens is kept")
    arrivals.warn(call, desk, opened.person, opened)


def _as_json(opened: carriage.Unpacked) -> dict[str, Any]:
    return {
        "from": opened.person.name,
        "seal": opened.note.seal,
        "whole": opened.note.whole,
        "envelopes": [{"outcome": a.outcome.value, "letter": a.number, "why": a.why} for a in opened.arrivals],
        "missing": list(opened.missing),
        "frozen": opened.froze,
    }


def _stranger(call: Call, raw: bytes) -> dict[str, Any]:
    seen: dict[str, Any] = {"size": len(raw)}
    if (card := _card(call, raw)) is not None:
        if isinstance(card, Answer):
            return seen | {"kind": "an answering card", "answers": card.first.hex()[:16]}
        terms = card.terms
        names = "without names" if terms.bare else f"from {one_line(terms.holder)} to {one_line(terms.reader)}"
        return seen | {"kind": f"a first card, {names}", "until": day(call, terms.expires)}
    try:
        pouches.unpack(raw, ())
    except ForeignPouchError:
        kept = len(zlib.compress(raw, 9)) / len(raw)
        return seen | {
            "kind": "random bytes, of a size that pouches have",
            "compresses_to": f"{kept:.1%}",
            "seal_number": pouches.seal_number(raw),
        }
    except MalformedError:
        return seen | {"kind": "neither a card nor a pouch"}
    raise AssertionError


def _by_desk(call: Call, desk: Desk, raw: bytes) -> str:
    if (card := _card(call, raw)) is not None:
        return _card_by_desk(call, desk, raw, card)
    to = carriage.packed_here(desk, raw)
    if to is not None:
        return f"packed here for {one_line(to.name)}"
    try:
        person, whole, count = carriage.peek(desk, raw)
    except (ForeignPouchError, MalformedError) as error:
        return error.message
    inside = f"{count} envelope{'' if count == 1 else 's'}" if whole else "seal broken"
    return f"from {one_line(person.name)}, {inside}"


def _card(call: Call, raw: bytes) -> Card | Answer | None:
    try:
        return cards.read(raw, call.edge.kem)
    except MalformedError:
        return None


def _card_by_desk(call: Call, desk: Desk, raw: bytes, card: Card | Answer) -> str:
    register = desk.register
    if isinstance(card, Answer):
        waiting = register.waiting.get(card.first)
        if waiting is not None:
            return f"answers the card for {one_line(desk.by_id(PersonId(waiting.person)).name)}"
        spent = register.spent.get(card.first)
        if spent is None:
            return "answers no card of this desk"
        return "made here" if spent.answer == raw else f"answers a card that was {spent.fate.value}"
    mine = register.waiting.get(cards.digest(raw)) or register.spent.get(cards.digest(raw))
    if register.made(card.key) and mine is not None:
        fate = "awaiting its answer" if isinstance(mine, Waiting) else mine.fate.value
        name = next((p.name for p in desk.people() if p.id == mine.person), "")
        return f"made here for {one_line(name)}, {fate}" if name else f"made here, {fate}"
    try:
        register.check_first(raw, to_me=True, reader=desk.owner.name, kem=desk.kem, now=call.edge.now())
    except RefusedError as error:
        return error.message
    return "not answered yet"
