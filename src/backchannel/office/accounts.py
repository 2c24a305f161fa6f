"""Accounts: how an office stands, by day, and what is wrong with it.

Read from the operator's folder, whether it is served or not. Rounds are counted
by day and never listed: what happened in which round is not to be found here.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from backchannel.office.edge import Edge
from backchannel.office.folder import Folder, Running
from backchannel.post.charter import AGREEMENT, Charter, Share
from backchannel.post.charters import CHARTERS, Charters
from backchannel.post.days import DAYS
from backchannel.post.members import ISSUED, LODGING, MEMBERS, RETIRED, RETIRING
from backchannel.post.plan import plan
from backchannel.post.rounds import NOTES, TABLES, notes
from backchannel.post.settling import Why
from backchannel.post.shelf import Shelf

DAY: Final = 86_400_000  # ms
STANDS: Final = "stands"
SILENCE: Final = 3  # rounds after which a process that serves and says nothing is down
FEW: Final = 100  # one void round in so many is nothing to look after


@dataclass(frozen=True, slots=True)
class Day:
    """The rounds of a day, counted by what became of them."""

    day: int  # since 1970
    counted: dict[str, int]

    @property
    def stood(self) -> int:
        return self.counted.get(STANDS, 0)

    @property
    def void(self) -> dict[str, int]:
        return {what: count for what, count in self.counted.items() if what != STANDS}

    @property
    def disagreed(self) -> dict[str, int]:
        """The void rounds that somebody's table or rows were the reason for, and no line that was down."""
        return {what: count for what, count in self.counted.items() if what.endswith((Why.OTHER, Why.LIED))}


@dataclass(frozen=True, slots=True)
class Disk:
    """Room for the window, in bytes."""

    used: int
    wanted: int  # by a full window
    free: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    good: bool
    text: str


@dataclass(frozen=True, slots=True)
class Accounts:
    """How one operator stands."""

    name: str
    charter: Charter
    now: int
    round: int
    running: Running | None
    days: tuple[Day, ...]
    admitted: tuple[tuple[Share, int], ...]
    issued: int
    retired: int
    untold: dict[str, int]  # what other operators have still to be told
    day_keys: tuple[int, ...]
    disk: Disk

    @classmethod
    def read(cls, folder: Folder, shelf: Shelf, edge: Edge) -> Self | None:
        """The accounts of a folder; None if no charter was adopted in it."""
        charters, now = Charters(shelf, folder.keys()), edge.now()
        if not shelf.names(CHARTERS):
            return None
        charter = charters.at(now)
        members = {int.from_bytes(raw) for raw in shelf.names(MEMBERS)}
        untold: dict[str, int] = {}
        for raw in (*shelf.names(LODGING), *shelf.names(RETIRING)):
            operator = raw[:-9].decode()
            untold[operator] = untold.get(operator, 0) + 1
        return cls(
            charters.name,
            charter,
            now,
            charter.round_at(now),
            folder.running(),
            tuple(Day(int.from_bytes(raw), notes(shelf.get(NOTES, raw))) for raw in shelf.names(NOTES)),
            tuple((share, len(members & set(share.mailboxes))) for share in charters.newest.shares),
            len(shelf.names(ISSUED)),
            len(shelf.names(RETIRED)),
            untold,
            tuple(int.from_bytes(raw) for raw in shelf.names(DAYS)),
            _disk(folder.path, charter),
        )

    @property
    def serving(self) -> bool:
        """Whether a process serves, as far as its last word can tell."""
        period = self.charter.numbers.period
        return self.running is not None and self.now - self.running.time < max(SILENCE * period, 10_000)

    def recent(self) -> list[Day]:
        """Today and yesterday."""
        return [day for day in self.days if day.day >= self.now // DAY - 1]

    def findings(self) -> list[Finding]:
        """Everything that can be seen from here, and whether it is as it should be."""
        return [self._serving(), *self._clocks(), *self._rounds(), *self._members(), self._keys(), self._room()]

    def _serving(self) -> Finding:
        if self.running is None:
            return Finding(good=False, text="this operator has never been served")
        if not self.serving:
            ago = (self.now - self.running.time) // 1000
            return Finding(good=False, text=f"this operator is not served: its last word was {ago:,} s ago")
        return Finding(good=True, text=f"served on {self.running.listening}")

    def _clocks(self) -> list[Finding]:
        # Half the agreement phase: beyond it, one is still asked while another has ended the round.
        most = self.charter.numbers.period // AGREEMENT // 2
        heard = dict(self.running.clocks) if self.running else {}
        out = []
        for seat in self.charter.seats:
            if seat.name == self.name:
                continue
            if seat.name not in heard:
                out.append(Finding(good=False, text=f"{seat.name} has not been heard since this operator was started"))
            else:
                text = f"the clock of {seat.name} is {heard[seat.name]:+,} ms from this one"
                out.append(Finding(abs(heard[seat.name]) <= most, text))
        return out

    def _rounds(self) -> list[Finding]:
        out = []
        for day in self.recent():
            void, disagreed = sum(day.void.values()), sum(day.disagreed.values())
            text = f"{date(day.day)}: {day.stood:,} rounds stand, {void:,} are void, {disagreed:,} by disagreement"
            out.append(Finding(good=not disagreed and void * FEW <= max(FEW, day.stood + void), text=text))
        return out

    def _members(self) -> list[Finding]:
        out = []
        for share, filled in self.admitted:
            text = f"{share.issuer} has admitted {filled} of {share.count}, and {share.quorum} make a crowd"
            out.append(Finding(filled >= share.quorum, text))
        out += [Finding(good=False, text=f"{name} is still to be told of {n}") for name, n in self.untold.items()]
        return out

    def _keys(self) -> Finding:
        today = self.charter.day_of(max(self.round, 0))
        stale = [day for day in self.day_keys if day < today]
        text = f"{len(stale)} keys of days that are over are still there" if stale else "no key of a day that is over"
        return Finding(not stale or not self.serving, text)

    def _room(self) -> Finding:
        disk = self.disk
        text = f"the window takes {size(disk.used)} of {size(disk.wanted)}, and {size(disk.free)} are free"
        return Finding(disk.free > disk.wanted - disk.used, text)


def date(day: int) -> str:
    """A day since 1970 as a date."""
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.fromtimestamp(day * DAY // 1000, UTC).strftime("%-d %B %Y")


def size(count: float) -> str:
    """Bytes for a person."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _disk(folder: Path, charter: Charter) -> Disk:
    used = 0
    for path in (folder / TABLES).iterdir():
        try:
            used += path.stat().st_size
        except FileNotFoundError:  # the window moves on while this is counted
            continue
    return Disk(used, plan(charter).disk, shutil.disk_usage(folder).free)
