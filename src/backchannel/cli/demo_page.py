"""What the demo shows, set for a terminal: letters beside what others know, desks as operators see them, the control.

With ``--json`` all of it is one object at the end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import click

from backchannel.cli import typeset
from backchannel.cli.demo_control import PAIRS, Outcome, chance
from backchannel.cli.observer import Sight, suspects
from backchannel.cli.seeded import Seeded
from backchannel.cli.talk import Call
from backchannel.cli.wrap import fill, left
from backchannel.post import visit as visits
from backchannel.post.ciphers import QueryStream

if TYPE_CHECKING:
    from backchannel.cli.demo_office import Crossed, Played

WIDEST: Final = 80
LETTER: Final = 43  # columns for a letter, where what others know stands beside it
BESIDE: Final = 36  # and for that
ABREAST: Final = 8  # desks in a row of the picture, where there is room
LABEL: Final = 6  # columns before them
TILE: Final = 8  # columns of a desk; a character has two bits abreast, and two on top of each other
RARE: Final = 0.001  # what lots do less often than this is no luck


class Page:
    """The demo's results, one part after the other."""

    def __init__(self, call: Call, played: Played, seed: int) -> None:
        self._call = call
        self._played = played
        self._width = min(call.edge.columns(), WIDEST)
        self._sights = {name: _sights(played, name) for name in played.opened}
        self._named = suspects(next(iter(self._sights.values())), sorted(played.people), lots=Seeded(seed, "lots"))
        self._data: dict[str, Any] = {"seed": seed}

    def letters(self) -> None:
        """The two letters, and beside each what everybody else can know of its way."""
        for crossed in self._played.letters:
            handed_in, read = self._at(self._left(crossed)), self._at(crossed.read)
            self._show(self._rule(f"A letter that was handed in at {handed_in}, and read at {read}"))
            self._show(self._beside(typeset.page(crossed.letter, self._column), self._known(crossed)))
        self._data["letters"] = [
            {
                "from": each.sender,
                "to": each.reader,
                "text": each.letter.texts[0].paragraphs[1],
                "left": self._left(each),
                "read": each.read,
            }
            for each in self._played.letters
        ]

    def desks(self) -> None:
        """All desks as each operator saw them, the question, and who it was."""
        number = self._left(self._played.letters[0])
        self._show(self._rule(f"All desks in round {number:,}, as each operator saw them"))
        self._show(self._picture(number))
        self._show("\n".join(line for name in self._sights for line in fill(self._alike(name), self._width)))
        self._show("\nWhich two wrote?\n")
        names = [self._names(pair) for pair in (self._named, self._played.pair)]
        verdict = _VERDICTS[len({*self._named} & {*self._played.pair})]
        self._show(f"The observer, which has what west has, says {verdict}: {names[0]}.\nIt was {names[1]}.\n")
        self._data |= {"pair": self._two(self._played.pair), "named": self._two(self._named)}
        self._data["seen"] = {name: self._counted(name) for name in self._sights}

    def control(self, outcomes: Sequence[Outcome], took: int) -> None:
        """How often the observer named the two, by build, beside what drawing lots would do."""
        runs, (both, one) = outcomes[0].runs, chance(outcomes)
        rows = [[each.build, str(each.runs), str(each.both), str(each.one)] for each in outcomes]
        rows.append(["drawing lots, on average", str(runs), f"{both:.1f}", f"{one:.1f}"])
        self._show(self._rule("The control: the same observer, by build"))
        self._show(typeset.table(rows, ["build", "runs", "named the two", "one of them"], self._width) + "\n")
        self._show("\n".join(fill(moral(outcomes[-1]), self._width)))
        self._data |= {"control": [asdict(each) | {"luck": each.luck} for each in outcomes], "seconds": took / 1000}
        if self._call.json:
            self._call.emit(self._data, "")

    # The parts.

    @property
    def _column(self) -> int:
        return LETTER if self._width >= LETTER + BESIDE else self._width

    def _beside(self, letter: str, known: list[str]) -> str:
        if self._column == self._width:
            return "\n".join([letter, "", *known, ""])
        pairs = zip_longest(letter.splitlines(), known, fillvalue="")
        return "\n".join((left(one, LETTER + 1) + other).rstrip() for one, other in pairs) + "\n"

    def _known(self, crossed: Crossed) -> list[str]:
        """What everybody else can know of the seconds in which a letter was on its way."""
        names, charter = list(self._sights), self._played.charter
        lines = ["everybody else can know:", "", " " * 10 + "".join(f"{'to ' + name:>13}" for name in names)]
        sizes = {name: self._by_round(name) for name in names}
        for number in range(charter.numbers.first, crossed.read):
            cells = "".join(f"{_times(sizes[name].get(number, Counter())):>13}" for name in names)
            lines.append(f"{self._at(number):10}{cells}")
        size = visits.reply_size(charter, more=False)
        return [*lines, "", *fill(_KNOWN.format(size=size), BESIDE)]

    def _at(self, number: int) -> str:
        """When a round was, as a clock says it."""
        return self._call.edge.local(self._played.charter.begins(number) // 1000).strftime("%H:%M:%S")

    def _left(self, crossed: Crossed) -> int:
        """The round in which a letter was handed in: the first in which its sender came when its place was due."""
        places, sights = self._played.charter.numbers.places, next(iter(self._sights.values()))
        return min(s.round for s in sights if s.desk == crossed.mailbox and s.round % places == crossed.place)

    def _by_round(self, name: str) -> dict[int, Counter[int]]:
        """The sizes of all that came to an operator from desks, by round."""
        charter, out = self._played.charter, defaultdict[int, Counter[int]](Counter)
        for each in self._played.opened[name]:
            out[charter.round_at(each.time)][each.size] += 1
        return out

    def _picture(self, number: int) -> str:
        """A tile for each desk: the first bits of its row, and of what it asked each operator."""
        desks, out = sorted(self._played.people), []
        seen = {
            (name, sight.desk): sight for name in self._sights for sight in self._sights[name] if sight.round == number
        }
        first = next(iter(self._sights))
        abreast = max(1, min(ABREAST, (self._width - LABEL + 1) // (TILE + 1)))
        for at in range(0, len(desks), abreast):
            band = desks[at : at + abreast]
            out.append(
                " " * LABEL + " ".join(left(self._played.people[desk].split()[-1][:TILE], TILE) for desk in band)
            )
            tiles = {"row": [_tile(seen, (first, desk), _row, lines=4) for desk in band]}
            tiles |= {name: [_tile(seen, (name, desk), _share, lines=2) for desk in band] for name in self._sights}
            for label, row in tiles.items():
                for i, line in enumerate(zip(*row, strict=True)):
                    out.append(f"{label if i == 0 else '':{LABEL}}{' '.join(line)}")
            out.append("")
        return "\n".join([*out, *fill(_PICTURED, self._width), ""])

    def _alike(self, name: str) -> str:
        counted = self._counted(name)
        visited, sizes = (_range(counted[what]) for what in ("visits", "bytes"))
        return (
            f"{name} had {visited} visits of each, of {sizes} bytes, at most {counted['late']} ms after their instants."
        )

    def _counted(self, name: str) -> dict[str, Any]:
        sights = self._sights[name]
        visited = Counter(sight.desk for sight in sights)
        return {
            "visits": sorted({visited[desk] for desk in self._played.people}),
            "bytes": sorted({sight.size for sight in sights}),
            "late": max((sight.late for sight in sights), default=0),
        }

    def _two(self, pair: tuple[int, int]) -> list[str]:
        return sorted(self._played.people[desk] for desk in pair)

    def _names(self, pair: tuple[int, int]) -> str:
        return " and ".join(self._two(pair))

    def _rule(self, title: str) -> str:
        return f"── {title} ".ljust(self._width, "─") + "\n"

    def _show(self, text: str) -> None:
        if not self._call.json:
            click.echo(text)


def moral(real: Outcome) -> str:
    """What the control has shown of the real build, be it good or bad."""
    what = "no oftener than" if real.luck > RARE else "oftener than"
    return _MORAL.format(pairs=PAIRS, runs=real.runs, what=what, luck=real.luck)


def _sights(played: Played, name: str) -> list[Sight]:
    """The visits of all rounds that were over when the letters had been read."""
    stream, over = QueryStream(), max(each.read for each in played.letters)
    sights = (each.sight(played.charter, name, stream) for each in played.opened[name])
    return [sight for sight in sights if sight is not None and sight.round < over]


def _row(sight: Sight) -> bytes:
    return sight.row


def _share(sight: Sight) -> bytes:
    return sight.shares[0]


def _tile(seen: dict[tuple[str, int], Sight], of: tuple[str, int], what: Any, *, lines: int) -> list[str]:
    """The first bits of something that was seen, as a picture; blank, where nothing was."""
    sight = seen.get(of)
    if sight is None:
        return [" " * TILE] * lines
    raw = what(sight)
    # A line of characters is two of bits, each of as many bytes.
    pairs = [[int.from_bytes(raw[at : at + 2]) for at in (4 * i, 4 * i + 2)] for i in range(lines)]
    return ["".join(_QUARTERS[(up >> x & 3) << 2 | (down >> x & 3)] for x in range(14, -1, -2)) for up, down in pairs]


def _times(sizes: Counter[int]) -> str:
    """So many requests of one size; of several sizes, how many there were."""
    if not sizes:
        return "nothing"
    ((size, count),) = sizes.most_common(1)
    return f"{count} × {size:,}" if len(sizes) == 1 else f"{sizes.total()} requests"  # noqa: RUF001 - a sign of multiplication


def _range(numbers: list[int]) -> str:
    return f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,} to {numbers[-1]:,}"


_VERDICTS: Final = ("wrongly", "half wrongly", "rightly, by luck")  # by how many of the two were named
# By the bits of the upper half, then of the lower, left before right.
_QUARTERS: Final = " ▗▖▄▝▐▞▟▘▚▌▙▀▜▛█"
_KNOWN: Final = "Of each of 16 desks, at its own instant: first for admission, then visits, to each of which {size:,} bytes come back."
_PICTURED: Final = (
    "Each tile is a desk: the first bits of the row that it handed in, which both operators have, and of what it asked "
    "either. A row is a packet, or a dummy as random. The two questions differ in one bit, whose row is asked for: "
    "to one operator that is noise, and both together could tell."
)
_MORAL: Final = (
    "The observer is one program, and knows no build. Of {pairs} pairs it names one, by whatever makes two desks differ. "
    "On the real build it is right {what} lots can be: these do as well or better in {luck:.1%} of all controls of {runs} runs."
)
