"""What a machine of the post office keeps its state on.

A desk's store is one; so is a dictionary, in the simulation. A commit is all or
nothing and stands when it returns: whatever leaves, leaves after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

Changes: TypeAlias = "dict[tuple[str, bytes], bytes | None]"


class Shelf(Protocol):
    """From (room, name) to bytes."""

    def get(self, room: str, name: bytes) -> bytes | None:
        """The bytes called *name* in *room*, or None."""

    def names(self, room: str) -> list[bytes]:
        """What there is in *room*, sorted."""

    def commit(self, changes: Mapping[tuple[str, bytes], bytes | None]) -> None:
        """Put bytes under their names, None to delete: all of it, or nothing."""
