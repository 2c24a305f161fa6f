"""The observer: of sixteen desks it names the two that it takes for those who write.

It has what one operator has of every visit that it opens, and so all that the
network has: who came, when, how many bytes, the row, the shares. Which two
differ most from the others, in anything that it counts, it names. Where all are
alike it draws lots. It knows nothing of how a build leaks, or whether it does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import Final, TypeAlias

from backchannel.cli.seeded import Seeded

BLOCK: Final = 16  # bytes that do not come twice by chance
NOTHING: Final = 1e-9  # how far apart desks are that do not differ: whoever does differ then stands out


@dataclass(frozen=True, slots=True)
class Sight:
    """One visit, as an operator sees it; the network sees all but the row and the shares."""

    desk: int  # its mailbox, which its address tells as well
    round: int
    late: int  # ms after the instant that the charter has for it
    size: int  # bytes of the request
    row: bytes = b""
    shares: tuple[bytes, ...] = ()  # each as the vector that it stands for


def suspects(sights: Sequence[Sight], desks: Sequence[int], *, lots: Seeded) -> tuple[int, int]:
    """The two of *desks* that differ most from the others; by *lots*, where several differ as much."""
    order = lots.shuffled(desks)
    scores = dict.fromkeys(order, 0.0)
    known = _Known.of(sights)
    for count in COUNTS:
        counted = {desk: count(known, known.by_desk[desk]) for desk in order}
        middle = median(counted.values())
        spread = median(abs(value - middle) for value in counted.values()) or NOTHING
        for desk, value in counted.items():
            scores[desk] = max(scores[desk], abs(value - middle) / spread)
    # Sorting keeps the order of equals, which is that of the lots.
    first, second = sorted(order, key=lambda desk: -scores[desk])[:2]
    return min(first, second), max(first, second)


@dataclass(frozen=True, slots=True)
class _Known:
    """All that was seen, by desk, and how often each piece of it was seen."""

    by_desk: Mapping[int, list[Sight]]
    pieces: Counter[bytes]

    @classmethod
    def of(cls, sights: Sequence[Sight]) -> _Known:
        by_desk: defaultdict[int, list[Sight]] = defaultdict(list)
        for sight in sights:
            by_desk[sight.desk].append(sight)
        return cls(by_desk, Counter(chain.from_iterable(map(_pieces, sights))))


Count: TypeAlias = Callable[[_Known, list[Sight]], float]


def _pieces(sight: Sight) -> list[bytes]:
    return [sight.row[at : at + BLOCK] for at in range(0, len(sight.row), BLOCK)] + list(sight.shares)


def _visits(_: _Known, own: list[Sight]) -> float:
    return len(own)


def _rounds(_: _Known, own: list[Sight]) -> float:
    """Which rounds it came in: two that come as often may come at other times."""
    return sum(sight.round for sight in own)


def _bytes(_: _Known, own: list[Sight]) -> float:
    return sum(sight.size for sight in own)


def _lateness(_: _Known, own: list[Sight]) -> float:
    return sum(sight.late for sight in own) / max(1, len(own))


def _repeats(known: _Known, own: list[Sight]) -> float:
    """How many pieces of its rows and shares came more than once, from anybody."""
    return sum(known.pieces[piece] > 1 for sight in own for piece in _pieces(sight))


def _zeros(_: _Known, own: list[Sight]) -> float:
    return sum(sight.row.count(0) for sight in own) / max(1, sum(len(sight.row) for sight in own))


def _unevenness(_: _Known, own: list[Sight]) -> float:
    """Chi-square of the bytes of its rows over its degrees of freedom: 1 for what is drawn at random."""
    raw = b"".join(sight.row for sight in own)
    counted, expected = Counter(raw), len(raw) / 256
    return sum((counted[byte] - expected) ** 2 for byte in range(256)) / expected / 255 if raw else 0


def _ones(_: _Known, own: list[Sight]) -> float:
    """How far the share of ones in its rows is from a half."""
    raw = b"".join(sight.row for sight in own)
    return abs(_set_bits(raw) / (8 * len(raw)) - 0.5) if raw else 0


def _bits_of_shares(_: _Known, own: list[Sight]) -> float:
    """How far the ones of its shares are from half of all, on average."""
    shares = [share for sight in own for share in sight.shares]
    return sum(abs(_set_bits(share) - 4 * len(share)) for share in shares) / max(1, len(shares))


def _set_bits(raw: bytes) -> int:
    return int.from_bytes(raw).bit_count()


COUNTS: Final[tuple[Count, ...]] = (
    _visits, _rounds, _bytes, _lateness, _repeats, _zeros, _unevenness, _ones, _bits_of_shares,
)  # fmt: skip
