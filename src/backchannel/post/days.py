"""Keys of the day: what visits are sealed to, made a day ahead and erased when their day is over.

Who keeps what arrives, and takes an operator's keys later, opens no visit of a
day that is over (docs/spec/visit.md §2). The room is to be left out of backups.
"""

from __future__ import annotations

from typing import Final

from backchannel.kem import Kem, PrivateKey
from backchannel.keys import Digest, Random
from backchannel.post.charter import Charter
from backchannel.post.charters import OperatorKeys
from backchannel.post.shelf import Changes, Shelf
from backchannel.post.visit import DayKey

DAYS: Final = "days"  # room: day → a private key


class Days:
    """The keys of the day of one operator."""

    def __init__(self, shelf: Shelf, kem: Kem, random: Random) -> None:
        self._shelf = shelf
        self._kem = kem
        self._random = random
        self._signed: dict[tuple[Digest, int], DayKey] = {}
        self._private: dict[int, PrivateKey] = {}

    @property
    def first(self) -> int:
        """The first day that has a key: no other is made for one that is over, whatever the clock says."""
        names = self._shelf.names(DAYS)
        return int.from_bytes(names[0]) if names else 0

    def private(self, day: int) -> PrivateKey | None:
        """The key of *day*, if there is one."""
        if day not in self._private:
            raw = self._shelf.get(DAYS, day.to_bytes(8))
            if raw is None:
                return None
            self._private[day] = PrivateKey(raw)
        return self._private[day]

    def public(self, day: int, charter: Charter, keys: OperatorKeys) -> DayKey:
        """The public key of *day*, signed under *charter*; made when it is first asked for."""
        name = charter.digest, day
        if name not in self._signed:
            private = self.private(day)
            if private is None:
                private, _ = self._kem.generate(self._random)
                self._shelf.commit({(DAYS, day.to_bytes(8)): private})
            public = self._kem.public(private)
            self._signed[name] = DayKey.make(day, public, charter=charter, operator=keys.name, signer=keys.signer)
        return self._signed[name]

    def forget(self, before: int, changes: Changes) -> None:
        """Erase the keys of days before *before*."""
        changes |= {(DAYS, raw): None for raw in self._shelf.names(DAYS) if int.from_bytes(raw) < before}
        self._private = {day: key for day, key in self._private.items() if day >= before}
        self._signed = {name: key for name, key in self._signed.items() if name[1] >= before}
