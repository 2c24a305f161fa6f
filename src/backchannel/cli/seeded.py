"""Choices from a seed: what the demo does by chance, the same in every run with that seed.

Nothing that is to stay secret is drawn from one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


class Seeded:
    """Bytes from a seed, as a :class:`~backchannel.keys.Random`; whoever is named otherwise draws others."""

    def __init__(self, *seed: int | str) -> None:
        self._seed = seed
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(repr((self._seed, self._count)).encode()).digest(size)

    def of(self, *name: int | str) -> Seeded:
        """A generator of its own for *name*."""
        return Seeded(*self._seed, *name)

    def below(self, end: int) -> int:
        """A number from 0 to below *end*."""
        return int.from_bytes(self(16)) % end

    def shuffled(self, items: Iterable[T]) -> list[T]:
        """*items* in another order."""
        return [item for _, item in sorted(((self(16), item) for item in items), key=lambda pair: pair[0])]
