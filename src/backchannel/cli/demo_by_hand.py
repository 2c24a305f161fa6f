"""The demo by hand: two desks in a temporary folder, two letters by pouch, and a stranger's view.

Everything in it is real but two costs: the passphrases of its desks are
stretched cheaply and their files grow in small steps, since they live for a
second. It says so.
"""

from __future__ import annotations

import tempfile
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Final

from backchannel import pouch as pouches
from backchannel.cli import typeset
from backchannel.cli.opening import means
from backchannel.cli.talk import Call
from backchannel.desk import carriage, introductions, writing
from backchannel.desk.desk import Desk
from backchannel.desk.records import Owner, Person
from backchannel.keys import Cost
from backchannel.seal import words

CHEAP: Final = Cost(memory=64, passes=1, lanes=1)
STEP: Final = 256 * 1024
WEEK: Final = 7 * 86_400
ANNA, MIKHAIL = "Anna Reuter", "Mikhail Orlov"


@dataclass(frozen=True, slots=True)
class Bag:
    """A pouch on its way, and what is true of it, which nobody on the way can tell."""

    truth: str
    pouch: bytes


def show(call: Call) -> None:
    """Show two desks, letters between them by pouch, and what a stranger sees of these."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        _play(call, Path(folder))


def _play(call: Call, folder: Path) -> None:
    width, now = min(call.edge.columns(), 80), call.edge.now()
    call.say(
        "Two desks in a temporary folder; their keys are stretched cheaply and their files small, for the demo only."
    )
    with _desk(call, folder, ANNA) as anna, _desk(call, folder, MIKHAIL) as mikhail:
        spelled = _meet(anna, mikhail, now)
        met = f"{ANNA} hands {MIKHAIL} a card, and he hands her an answering card. Both desks show:\n\n    {spelled}"
        to_mikhail, to_anna = anna.people()[0], mikhail.people()[0]
        opening = _send(anna, to_mikhail, "opening.txt", now)
        first = _read(mikhail, opening, now + WEEK, width)
        answer = _send(mikhail, to_anna, "answer.txt", now + 2 * WEEK)
        second = _read(anna, answer, now + 3 * WEEK, width)
        cover = carriage.pack(anna, to_mikhail, again=False, now=now + 3 * WEEK)
        anna.commit(cover.changes)
    bags = [
        Bag("her letter", opening),
        Bag("his answer", answer),
        Bag("a cover pouch, empty", cover.pouch),
        Bag("no pouch at all: noise", call.edge.random(pouches.SIZES[0])),
    ]
    parts = [
        met,
        _rule(f"A courier brings a pouch to {MIKHAIL}. In it", width),
        first,
        _rule(f"Two weeks later one comes to {ANNA}. In it", width),
        second,
        _rule("What a stranger sees of the same pouches", width),
        _picture([bag.pouch for bag in bags]),
        typeset.table(
            [_row(bag) for bag in bags], ["what it is", "size", "seal number", "zlib", "bytes differ by"], width
        ),
        _MORAL,
    ]
    call.emit({"words": spelled, "pouches": [_row(bag) for bag in bags]}, "\n".join(f"{part}\n" for part in parts))


def _rule(title: str, width: int) -> str:
    return f"── {title} ".ljust(width, "─")


def _picture(bags: list[bytes]) -> str:
    """The first kilobit of each pouch as a tile, bit by bit: two bits to a character."""
    tiles = [[_HALVES[raw[at] >> bit & 3] for at in range(128) for bit in (0, 2)] for raw in bags]
    rows = ("  ".join("".join(tile[at : at + 16]) for tile in tiles) for at in range(0, 128, 16))
    return "\n".join(rows)


def _row(bag: Bag) -> list[str]:
    raw = bag.pouch
    kept = len(zlib.compress(raw, 9)) / len(raw)
    expected = len(raw) / 256
    # Chi-square over its degrees of freedom: 1 for bytes drawn at random.
    spread = sum((n - expected) ** 2 / expected for n in Counter(raw).values()) / 255
    return [bag.truth, typeset.in_bytes(len(raw)), pouches.seal_number(raw), f"{kept:.0%}", f"{spread:.2f}"]


def _desk(call: Call, folder: Path, name: str) -> Desk:
    here = replace(means(call), counters=folder / "counters")
    owner = Owner(name, call.edge.now())
    return Desk.create(folder / name, "for the demo only", owner, means=here, cost=CHEAP, step=STEP)


def _meet(anna: Desk, mikhail: Desk, now: int) -> str:
    made = introductions.make_card(anna, MIKHAIL, days=30, bare=False, again=False, now=now)
    anna.commit(made.changes)
    answered = introductions.meet(mikhail, made.card, alias=None, again=None, to_me=False, days=30, now=now)
    mikhail.commit(answered.changes)
    assert answered.answer is not None
    met = introductions.meet(anna, answered.answer, alias=None, again=None, to_me=False, days=30, now=now)
    anna.commit(met.changes)
    for desk in (anna, mikhail):
        person = desk.people()[0]
        check = introductions.check_string(desk, person, CHEAP)
        spelled = " ".join(words.check_words(check))
        desk.commit(introductions.compare(person, check, spelled, now=now)[1])
    return spelled


def _send(desk: Desk, person: Person, sample: str, now: int) -> bytes:
    text = resources.files("backchannel.cli").joinpath("samples", sample).read_text(encoding="utf-8")
    saved = writing.save(desk, person, text, now=now)
    desk.commit(saved.changes)
    desk.commit(writing.send(desk, saved.draft, uncompared=False, date="", now=now).changes)
    packed = carriage.pack(desk, person, again=False, now=now)
    desk.commit(packed.changes)
    return packed.pouch


def _read(desk: Desk, pouch: bytes, now: int, width: int) -> str:
    opened = carriage.unpack(desk, pouch, now=now)
    desk.commit(opened.changes)
    letter = desk.letter(desk.entry(opened.arrivals[0].number))
    answers = [number for number in map(desk.number_of, letter.answers) if number]
    return typeset.page(letter, width, answers=answers)


_MORAL: Final = """\
Only the first column is not to be seen. Without the key nobody can show that
one of these has a letter in it, or so much as that one of them is a pouch."""
_HALVES: Final = (" ", "▀", "▄", "█")
