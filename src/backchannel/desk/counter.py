"""The counter: 32 bytes outside the desk's folder that tell an old copy of it.

Everything in the folder can be put back together, and then agrees with itself.
So the newest commit's mark is noted once more, elsewhere on the same machine, as
a code that only the desk key makes: neither its name nor its bytes say whose it
is, how many commits there were, or that it changed because of a letter
(docs/spec/desk.md §6). It is best effort: who puts back both is not found here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from backchannel import files
from backchannel.desk.header import DeskKey, Mark
from backchannel.encoding import framed
from backchannel.keys import Secret, derive, mac

# Specification constants (docs/spec/desk.md §6).
COUNTER_SIZE: Final = 32
NAME_SIZE: Final = 16


class CounterKey(Secret):
    """What the counter's name and content are made with."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Counter:
    """The place of one desk's counter."""

    path: Path
    key: CounterKey

    @classmethod
    def of(cls, key: DeskKey, folder: Path) -> Self:
        """The counter, in *folder*, of the desk that *key* opens."""
        (derived,) = derive(b"", key, framed(b"backchannel/v1/desk/counter"), count=1)
        name = mac(derived, b"backchannel/v1/desk/counter-name")[:NAME_SIZE].hex()
        return cls(folder / name, CounterKey(derived))

    def value(self, mark: Mark) -> bytes:
        """What the counter holds after the commit *mark*."""
        return mac(self.key, b"backchannel/v1/desk/counter-value", mark.number, mark.fresh)

    def read(self) -> bytes | None:
        """What it holds now, of whatever length; None if there is none.

        Raises:
            UnavailableError: If it is there and cannot be read.
        """
        return files.read(self.path, COUNTER_SIZE)

    def stage(self, mark: Mark) -> files.Staged:
        """Write the value for *mark* durably, to be published when the commit stands.

        Raises:
            UnavailableError: If the disk is full, forbids it or fails.
        """
        files.make_folder(self.path.parent)
        return files.stage(self.path, self.value(mark), overwrite=True)
