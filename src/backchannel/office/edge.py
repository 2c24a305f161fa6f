"""The edge: the clock, the generator and the environment of an operator.

Everything behind takes them as arguments; a test or the demo makes another
:class:`Edge`. Nothing that can be set makes a cost cheaper.
"""

from __future__ import annotations

import os
import platform
import time  # noqa: TID251 - this is the edge
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backchannel.keys import FULL_COST, Cost, Random
from backchannel.post.ciphers import Ciphers


@dataclass(frozen=True, slots=True)
class Edge:
    """What an operator has from outside itself."""

    now: Callable[[], int]  # ms since 1970, UTC
    random: Random
    ciphers: Ciphers
    words_cost: Cost  # Argon2id of a charter's check words
    folder: Path  # the operator's, when none is named
    host: str  # what this machine is called

    @classmethod
    def here(cls) -> Edge:
        """The edge of this machine and this user."""
        return cls(
            now=lambda: time.time_ns() // 1_000_000,
            random=os.urandom,  # noqa: TID251 - this is the edge
            ciphers=Ciphers.real(),
            words_cost=FULL_COST,
            folder=_default_folder(),
            host=platform.node() or "localhost",
        )


def _default_folder() -> Path:
    if named := os.environ.get("BACKCHANNEL_OPERATOR"):
        return Path(named)
    # The XDG base directory specification has relative paths ignored.
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if os.path.isabs(data) else Path.home() / ".local/share") / "backchannel-operator"  # noqa: PTH117 - of a string
