"""The verbs of meeting: card, meet, compare, people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from backchannel import encoding
from backchannel.cli.opening import day, find, leave, open_desk, take
from backchannel.cli.talk import Call
from backchannel.cli.typeset import table
from backchannel.cli.verb import pass_call, verb
from backchannel.cli.visible import one_line
from backchannel.desk import introductions
from backchannel.desk.desk import Changes, Desk
from backchannel.desk.records import Person
from backchannel.errors import MalformedError, NegativeError, RefusedError, UnavailableError, UsageError
from backchannel.seal import words

DAYS = click.option(
    "--days",
    type=click.IntRange(1, 3650),
    metavar="N",
    default=30,
    help="Days that the card made is good for: 30, or N of 1 to 3650.",
)
OUT = click.option(
    "-o", "out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where to write the card made."
)


@verb("card")
@click.option("--for", "who", metavar="WHO", required=True, help="Who is to answer it.")
@OUT
@DAYS
@click.option("--bare", is_flag=True, help="Put no names on it; only the answer will have them.")
@click.option("--copy", is_flag=True, help="Write the last card made for WHO again, first or answering.")
@click.option("--withdraw", is_flag=True, help="Withdraw the card that awaits WHO's answer.")
@pass_call
def card(call: Call, who: str, out: Path | None, days: int, bare: bool, copy: bool, withdraw: bool) -> None:
    """Make a card to hand to somebody.

    A card is good for one answer. Hand it over yourself, or by somebody you trust.
    WHO is the name that is to stand on it, and that letters will go to.
    """
    with open_desk(call) as desk:
        if withdraw:
            person = find(call, desk, who)
            desk.commit(introductions.withdraw(desk, person))
            call.emit({"withdrawn": person.name}, f"the card for {one_line(person.name)} is withdrawn")
            return
        path = _out(out, hint=call.line("card", "--for", who, "-o", "FILE"))
        if copy:
            person = find(call, desk, who)
            raw = introductions.waiting_card(desk, person)
            if raw is None:
                raise NegativeError(f"no card for {person.name} is to be handed over")
            leave(path, raw, lambda: None, otherwise="")
            text = f"the card for {one_line(person.name)} again: {one_line(str(path))}"
            call.emit({"card": str(path), "for": person.name}, text)
            return
        try:
            made = introductions.make_card(desk, who, days=days, bare=bare, again=False, now=call.edge.now())
        except UnavailableError as error:
            error.hint = call.line("card", "--for", who, "--copy", "-o", str(path))
            raise
        _hand_over(call, desk, made, path)


@verb("meet")
@click.argument("card", required=False, type=click.Path(path_type=Path, dir_okay=False))
@OUT
@click.option("--as", "alias", metavar="NAME", help="What you call them, if not as the card does.")
@click.option("--again", metavar="WHO", help="Renew the keys with WHO, in the same thread.")
@click.option("--for-me", is_flag=True, help="The reader named on the card is you.")
@DAYS
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_call
def meet(
    call: Call,
    card: Path | None,
    out: Path | None,
    alias: str | None,
    again: str | None,
    for_me: bool,
    days: int,
    yes: bool,
) -> None:
    """Meet somebody whose card was handed over.

    On a first card this makes the answering card (-o). On an answering card it
    completes the meeting. Both desks then show the same eight words. Without a
    card, --again makes a first card for somebody met before.
    """
    with open_desk(call) as desk:
        now = call.edge.now()
        if desk.restored and again is not None and not yes and not call.confirm(_TAKE_OVER):
            raise UsageError("nothing was changed")
        if card is None:
            if again is None:
                raise UsageError("a card is wanted", hint="backchannel meet --help")
            person = find(call, desk, again)
            path = _out(out, hint=call.line("meet", "--again", person.name, "-o", "FILE"))
            try:
                made = introductions.make_card(desk, person.name, days=days, bare=False, again=True, now=now)
            except UnavailableError as error:
                error.hint = f'backchannel card --for "{person.name}" --copy -o FILE'
                raise
            _hand_over(call, desk, made, path)
            return
        raw = _card(card)
        try:
            met = introductions.meet(desk, raw, alias=alias, again=again, to_me=for_me, days=days, now=now)
        except RefusedError as error:
            if not for_me and _only_names_another(desk, raw, now):
                error.hint = call.line("meet", str(card), "--for-me", "-o", "FILE")
            raise
        if met.answer is None and out is not None:
            raise UsageError("an answering card is not answered: leave out -o", hint=call.line("meet", str(card)))
        # Before the words are stretched, which takes a second.
        target = _out(out, hint=call.line("meet", str(card), "-o", "FILE")) if met.answer is not None else None
        check = words.check_string(met.transcript, call.edge.words_cost)
        if met.answer is None or target is None:
            _commit(desk, met.changes, renewing=met.renewed)
        else:
            again_hint = f'backchannel card --for "{met.person.name}" --copy -o FILE'
            leave(target, met.answer, lambda: _commit(desk, met.changes, renewing=met.renewed), otherwise=again_hint)
        _met(call, met, check, out)


@verb("compare")
@click.argument("who")
@click.option("--show", is_flag=True, help="Show this desk's words and digits, to read them aloud.")
@pass_call
def compare(call: Call, who: str, show: bool) -> None:
    """Compare the check words of a meeting.

    Let the other read all eight words to you, over a line on which you know
    them, and type what you hear. Then read yours to them (--show).
    """
    with open_desk(call) as desk:
        person = find(call, desk, who)
        check = introductions.check_string(desk, person, call.edge.words_cost)
        names = _names(person)
        if show:
            spelled, digits = " ".join(words.check_words(check)), " ".join(words.check_digits(check))
            text = "\n".join([*names, "", f"    {spelled}", f"    {digits}"])
            call.emit({"who": person.name, "words": spelled, "digits": digits}, text)
            if not person.compared:
                call.hint(f'backchannel compare "{person.name}"')
            return
        for line in names:
            call.say(line)
        heard = call.ask("the eight words you hear?")
        same, changes = introductions.compare(person, check, heard, now=call.edge.now())
        # A wrong word takes back an earlier right: whoever typed their own words
        # off the screen can find out in earnest.
        desk.commit(changes)
        if not same:
            raise NegativeError(
                "the words differ: do not write, somebody may stand between you; meet anew by another way",
                hint=f'backchannel meet --again "{person.name}" -o FILE',
            )
        call.emit({"who": person.name, "compared": True}, f"the same words: this is {one_line(person.name)}")
        call.hint(f'backchannel write "{person.name}"')


@verb("people")
@pass_call
def people(call: Call) -> None:
    """List whom this desk has met.

    And whom a card was made for. A name is found by any part that only one has.
    """
    with open_desk(call) as desk:
        rows: list[dict[str, Any]] = []
        for person in desk.people():
            entries = list(desk.entries(person)) if person.met else []
            rows.append({
                "name": person.name,
                "state": _standing(desk, person),
                "written": sum(entry.outgoing for entry in entries),
                "received": sum(not entry.outgoing for entry in entries),
                "compared": day(call, person.compared),
            })  # fmt: skip
        text = table(
            [[str(row[column]) for column in ("name", "state", "written", "received")] for row in rows],
            ["name", "state", "written", "received"],
            call.width,
        )
        call.emit(rows, text if rows else "nobody yet")
        if not rows:
            call.hint("backchannel card --for WHO -o FILE")


def _only_names_another(desk: Desk, raw: bytes, now: int) -> bool:
    """Whether *raw* is a first card that this desk would answer, but for the reader it names."""

    def accepted(*, to_me: bool) -> bool:
        try:
            desk.register.check_first(raw, to_me=to_me, reader=desk.owner.name, kem=desk.kem, now=now)
        except RefusedError:
            return False
        return True

    return accepted(to_me=True) and not accepted(to_me=False)


def _standing(desk: Desk, person: Person) -> str:
    if not person.met:
        return "card out"
    if desk.keys(person).frozen:
        return "frozen"
    return "words compared" if person.compared else "words not compared"


def _card(path: Path) -> bytes:
    raw = take(path)
    try:
        encoding.decode(raw)
    except MalformedError:
        raise MalformedError("this is not a card, or it was cut short or altered") from None
    return raw


def _out(out: Path | None, *, hint: str) -> Path:
    if out is None:
        raise UsageError("where to? name a file with -o", hint=hint)
    return out


def _commit(desk: Desk, changes: Changes, *, renewing: bool) -> None:
    # A desk that is an old copy may do one thing: meet again.
    if desk.restored and renewing:
        desk.take_over(changes)
    else:
        desk.commit(changes)


def _hand_over(call: Call, desk: Desk, made: introductions.Made, path: Path) -> None:
    name = one_line(made.person.name)
    again = f'backchannel card --for "{made.person.name}" --copy -o FILE'
    leave(path, made.card, lambda: _commit(desk, made.changes, renewing=made.person.met), otherwise=again)
    until = day(call, made.expires)
    call.emit(
        {"card": str(path), "for": made.person.name, "until": until},
        f"card for {name}: {one_line(str(path))}, good for one answer until {until}",
    )
    # What comes back is a file of another name, which nobody here can know.
    call.hint("backchannel meet CARD")


def _met(call: Call, met: introductions.Introduced, check: bytes, out: Path | None) -> None:
    spelled = " ".join(words.check_words(check))
    name = one_line(met.person.name)
    lines = [f"met {name}{' again' if met.renewed else ''}", "", f"    {spelled}", ""]
    if out is not None:
        lines.insert(1, f"hand them the answering card: {one_line(str(out))}")
    lines.append("the same words must stand on their desk: compare before you write")
    result = {"met": met.person.name, "again": met.renewed, "words": spelled}
    call.emit(result | ({"answer": str(out)} if out else {}), "\n".join(lines))
    call.hint(f'backchannel compare "{met.person.name}"')


def _names(person: Person) -> list[str]:
    lines = []
    for what, terms in zip(("first card", "answering card"), person.terms, strict=True):
        pair = f"from {one_line(terms.holder)} to {one_line(terms.reader)}" if terms.holder else "without names"
        lines.append(f"{what}: {pair}")
    return lines


_TAKE_OVER = (
    "this desk is an old copy. By this it becomes the desk, every other copy an old one, "
    "and everybody has to be met again. Go on?"
)
