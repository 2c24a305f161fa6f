"""What is cheap in histories of the post office: signatures of which only the sizes are kept, and folders in memory.

Thousands of histories are played in a minute or two, and none of them is about
ML-DSA or a disk. The folders can be full, and lose power around a renaming.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final, Self
from unittest.mock import patch

from cryptography.exceptions import InvalidSignature

from backchannel import signing
from backchannel.desk import post
from backchannel.errors import UnavailableError
from backchannel.post import keeping
from backchannel.post.charter import SignedCharter
from tests.simulation.office import Crash

TRAY: Final = 64 * 1024  # bytes: the smallest that ships is four times that


class _Ml:
    """In the place of ML-DSA-65: its sizes, from a hash; anybody can forge it."""

    sizes = 1952, 3309

    def __init__(self, public: bytes) -> None:
        self._public = public

    @classmethod
    def from_private_bytes(cls, seed: bytes) -> Self:
        return cls(hashlib.shake_256(seed).digest(cls.sizes[0]))

    @classmethod
    def from_seed_bytes(cls, seed: bytes) -> Self:
        return cls.from_private_bytes(seed)

    @classmethod
    def from_public_bytes(cls, public: bytes) -> Self:
        return cls(public)

    def public_key(self) -> Self:
        return self

    def public_bytes_raw(self) -> bytes:
        return self._public

    def sign(self, message: bytes) -> bytes:
        return hashlib.shake_256(hashlib.sha256(self._public + message).digest()).digest(self.sizes[1])

    def verify(self, signature: bytes, message: bytes) -> None:
        if signature != self.sign(message):
            raise InvalidSignature


class _Ed(_Ml):
    """The same in the place of Ed25519."""

    sizes = 32, 64


@dataclass
class Folders:
    """In the place of files.py: the trays, on a disk that can be full, and lose power around a renaming."""

    files: dict[Path, bytes] = field(default_factory=dict)
    full: bool = False
    crash: Callable[[], bool] = lambda: False
    writes: list[tuple[str, int]] = field(default_factory=list)

    def read(self, path: Path, limit: int) -> bytes | None:
        file = self.files.get(path)
        return None if file is None else file[: limit + 1]

    def stage(self, path: Path, data: bytes, *, overwrite: bool) -> _Staged:
        assert overwrite
        if self.full:
            raise UnavailableError(f"cannot write {path.name}: the disk is full")
        return _Staged(self, path, data)


@dataclass
class _Staged:
    folders: Folders
    path: Path
    data: bytes

    def publish(self) -> None:
        if self.folders.crash():
            raise Crash
        self.folders.files[self.path] = self.data
        self.folders.writes.append((self.path.name, len(self.data)))
        if self.folders.crash():
            raise Crash

    def discard(self) -> None:
        pass


@contextmanager
def cheap(folders: Folders) -> Iterator[None]:
    """Let one history be played on *folders*."""
    with (
        patch.object(post, "files", folders),
        patch.object(keeping, "MIN_TRAY", TRAY),
        patch.object(signing, "Ed25519PrivateKey", _Ed),
        patch.object(signing, "Ed25519PublicKey", _Ed),
        patch.object(signing, "MLDSA65PrivateKey", _Ml),
        patch.object(signing, "MLDSA65PublicKey", _Ml),
        # One charter, read from every record and every file.
        patch.object(SignedCharter, "kept", staticmethod(lru_cache(SignedCharter.kept))),
    ):
        yield
