"""A small store for tests: cheap to open, few pages."""

import os
import random
from pathlib import Path

from backchannel.desk.store import Store
from backchannel.keys import Cost

COST = Cost(memory=8, passes=1, lanes=1)
STEP = 64 * 1024
PASSPHRASE = "by the sea"


def create(root: Path, *, step: int = STEP, seed: int = 7) -> Store:
    """A new desk under *root*, the same key for the same *seed*."""
    seeded = random.Random(seed).randbytes
    return Store.create(root / "desk", PASSPHRASE, random=seeded, cost=COST, step=step, counters=root / "counters")


def reopen(root: Path, passphrase: str = PASSPHRASE) -> Store:
    return Store.open(root / "desk", passphrase, random=os.urandom, counters=root / "counters")


def counter_of(root: Path) -> Path:
    (path,) = (root / "counters").iterdir()
    return path


def contents(store: Store, *rooms: str) -> dict[tuple[str, bytes], bytes]:
    return {(room, name): body for room in rooms for name, body in store.items(room)}


class Copy:
    """A copy of everything under a root, to be put back in whole or in part."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def __getitem__(self, name: str) -> bytes:
        return self._files[Path(name)]

    def put_back(self, *names: str) -> None:
        """Put back the files under *names*; everything, without one."""
        for path, data in self._files.items():
            if not names or any(path.is_relative_to(name) for name in names):
                (self._root / path).write_bytes(data)
