"""The operator's folder: its keys, its charters, and what keeps two processes out of each other's way.

    keys/             a file for each set of keys that this operator has had, for its owner alone
    charters/         the charters that it knows of, with the signatures that there are
    running           how the process that serves stands, rewritten every round
    office.sqlite, tables/, keys-of-the-day/      the shelf (office/shelf.py)

A card of an operator, NAME.pub, is what the others need to draft a charter: its
seat (docs/spec/charter.md §1). It is public, and checked over the telephone when
the charter is signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from backchannel import files
from backchannel.encoding import decode, encode
from backchannel.errors import LockedError, MalformedError, RefusedError, UsageError
from backchannel.kem import Kem, PrivateKey, PublicKey
from backchannel.keys import Random
from backchannel.office.shelf import DiskShelf
from backchannel.post.charter import MAX_CHARTER, Seat, SignedCharter
from backchannel.post.charters import OperatorKeys
from backchannel.signing import Signer, VerifyingKey

LABEL_SEAT: Final = b"backchannel/v1/charter/seat"

# Implementation constants.
MAX_KEYS: Final = 4096  # bytes of a file of keys, or of a card
SUFFIX_KEYS: Final = ".keys"
SUFFIX_CHARTER: Final = ".charter"


@dataclass(frozen=True, slots=True)
class Running:
    """How the process that serves stands."""

    time: int  # ms, when it said so
    round: int  # one more than its round, or 0 before the first
    listening: str
    clocks: tuple[tuple[str, int], ...]  # ms that another operator's clock is ahead

    def encode(self) -> bytes:
        clocks = tuple((name, ahead + _ZERO) for name, ahead in self.clocks)
        return encode((self.time, self.round, self.listening, clocks))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else.
        """
        value: Any = decode(data, values=64)
        try:
            time, number, listening, clocks = value
            return cls(time, number, listening, tuple((name, ahead - _ZERO) for name, ahead in clocks))
        except (TypeError, ValueError):
            raise MalformedError("this is not how an operator stands") from None


@dataclass(frozen=True, slots=True)
class Folder:
    """Where one operator keeps what it has."""

    path: Path

    # Keys.

    def keys(self) -> tuple[OperatorKeys, ...]:
        """All key sets, newest first.

        Raises:
            UsageError: If there are none.
            LockedError: If one is damaged.
        """
        paths = list(self._files("keys", SUFFIX_KEYS))
        if not paths:
            raise UsageError(f"there are no keys in {self.path}", hint="backchannel-operator keys NAME --url URL")
        try:
            found = sorted(paths, key=lambda path: int(path.stem), reverse=True)
            return tuple(OperatorKeys.decode(files.read(path, MAX_KEYS) or b"") for path in found)
        except (MalformedError, ValueError):
            raise LockedError(f"a file of keys in {self.path} is damaged") from None

    def make_keys(self, name: str, random: Random, *, another: bool = False) -> OperatorKeys:
        """Draw keys for the operator *name*, and keep them.

        Raises:
            RefusedError: If there are some, and *another* set is not asked for, or they are of another name.
        """
        files.make_folder(self.path / "keys")
        there = list(self._files("keys", SUFFIX_KEYS))
        if there and not another:
            raise RefusedError(f"there are keys in {self.path} already", hint=f"backchannel-operator keys {name} --new")
        if there and self.keys()[0].name != name:
            raise RefusedError(f"the keys in {self.path} are of {self.keys()[0].name}")
        keys = OperatorKeys(name, Signer.draw(random), PrivateKey.draw(random))
        number = max((int(path.stem) for path in there), default=0) + 1
        files.stage(self.path / "keys" / f"{number}{SUFFIX_KEYS}", keys.encode()).publish()
        return keys

    def open_to_others(self) -> list[Path]:
        """Files of keys that others on this machine can read, and folders that they can."""
        paths = [self.path, self.path / "keys", *self._files("keys", SUFFIX_KEYS)]
        return [path for path in paths if path.exists() and path.stat().st_mode & 0o077]

    # Charters.

    def charters(self) -> list[SignedCharter]:
        """The charters that were signed here, or served."""
        return [read_charter(path) for path in self._files("charters", SUFFIX_CHARTER)]

    def charter_files(self) -> list[tuple[str, int, int]]:
        """The charter files and when they were written last."""
        paths = self._files("charters", SUFFIX_CHARTER)
        return [(path.name, (status := path.stat()).st_mtime_ns, status.st_ino) for path in paths]

    def keep(self, signed: SignedCharter) -> SignedCharter:
        """Keep a charter, with the signatures that were known before; the charter with all of them."""
        path = self.path / "charters" / f"{signed.charter.digest[:8].hex()}{SUFFIX_CHARTER}"
        files.make_folder(path.parent)
        if path.exists():
            before = read_charter(path)
            signed = before.joined(signed)
            if signed == before:
                return signed
        files.replace(path, signed.encode())
        return signed

    # The shelf, and who has it.

    def shelf(self) -> DiskShelf:
        return DiskShelf.open(self.path)

    def serving(self) -> files.Hold:
        """Be the one process that serves.

        Raises:
            UnavailableError: If another does.
        """
        return files.hold(self.path, busy="this operator is served by another process")

    def issuing(self) -> files.Hold:
        """Be the one process that gives out or takes back mailboxes."""
        return files.hold(self.path / "keys", wait=True)

    def running(self) -> Running | None:
        """How the process that serves stood last, if one ever did."""
        raw = files.read(self.path / "running", MAX_KEYS)
        try:
            return Running.decode(raw) if raw else None
        except MalformedError:
            return None

    def run(self, running: Running) -> None:
        files.replace(self.path / "running", running.encode())

    def _files(self, folder: str, suffix: str) -> Iterator[Path]:
        paths = (self.path / folder).glob(f"*{suffix}") if (self.path / folder).is_dir() else ()
        return (path for path in sorted(paths) if not path.name.startswith("."))


def read_charter(path: Path) -> SignedCharter:
    """Read a charter file.

    Raises:
        UsageError: If there is none.
        MalformedError, VerificationError: If it is not one, or a signature on it is wrong.
    """
    raw = files.read(path, MAX_CHARTER)
    if raw is None:
        raise UsageError(f"there is no file {path.name}")
    return SignedCharter.decode(raw)


def seat_of(keys: OperatorKeys, url: str, kem: Kem) -> Seat:
    """What others need of *keys*, and where they are to be found."""
    return Seat(keys.name, url, keys.signer.public, kem.public(keys.sealing))


def encode_seat(seat: Seat) -> bytes:
    """A seat as a file of its own."""
    return encode((LABEL_SEAT, seat.name, seat.url, seat.signing, seat.sealing))


def decode_seat(data: bytes) -> Seat:
    """Decode what :func:`encode_seat` wrote.

    Raises:
        MalformedError: If *data* is anything else.
    """
    try:
        match decode(data, values=5):
            case (bytes(label), str(name), str(url), bytes(signing), bytes(sealing)) if label == LABEL_SEAT:
                return Seat(name, url, VerifyingKey(signing), PublicKey(sealing))
    except (MalformedError, ValueError):
        pass
    raise MalformedError("this is not the card of an operator")


_ZERO: Final = 2**62
