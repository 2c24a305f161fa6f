"""The charters that an operator goes by, one after the other, and the keys of its seat in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from backchannel.encoding import decode, encode
from backchannel.errors import MalformedError, RefusedError, VerificationError
from backchannel.kem import PrivateKey
from backchannel.post.charter import Charter, SignedCharter
from backchannel.post.shelf import Changes, Shelf
from backchannel.signing import Signer, SigningKey

CHARTERS: Final = "charters"  # room: first round → a SignedCharter


@dataclass(frozen=True, slots=True, repr=False)
class OperatorKeys:
    """An operator's long-lived keys: its signatures, and what enrolments are sealed to."""

    name: str
    signer: Signer
    sealing: PrivateKey

    def encode(self) -> bytes:
        return encode((self.name, self.signer.key, self.sealing))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else.
        """
        match decode(data, values=4):
            case (str(name), bytes(key), bytes(sealing)) if (
                len(key) == SigningKey.size and len(sealing) == PrivateKey.size
            ):
                return cls(name, Signer.of(SigningKey(key)), PrivateKey(sealing))
        raise MalformedError("these are not the keys of an operator")


class Charters:
    """What one operator has adopted, oldest first."""

    def __init__(self, shelf: Shelf, keys: tuple[OperatorKeys, ...]) -> None:
        """Read them from *shelf*; *keys* are all key sets that the operator has, had or will have."""
        self.name = keys[0].name
        self._shelf = shelf
        self._keys = {each.signer.public: each for each in keys}
        self.all = [SignedCharter.kept(shelf.get(CHARTERS, name) or b"") for name in shelf.names(CHARTERS)]

    @property
    def newest(self) -> Charter:
        return self.all[-1].charter

    @property
    def operators(self) -> frozenset[str]:
        """Every operator that has a seat in one of them."""
        return frozenset(seat.name for signed in self.all for seat in signed.charter.seats)

    def at(self, now: int) -> Charter:
        """The charter by which an instant belongs to a round."""
        return next((s.charter for s in reversed(self.all) if s.charter.numbers.start <= now), self.all[0].charter)

    def of(self, number: int) -> Charter:
        """The charter of round *number*."""
        return next((s.charter for s in reversed(self.all) if s.charter.numbers.first <= number), self.all[0].charter)

    def round_at(self, now: int) -> int:
        """The round that *now* is in."""
        return self.at(now).round_at(now)

    def seat(self, charter: Charter) -> OperatorKeys | None:
        """The keys of this operator's seat in *charter*, if it has one."""
        return next((self._keys[seat.signing] for seat in charter.seats if seat.signing in self._keys), None)

    def with_peer(self, peer: str) -> Charter:
        """A charter in which both this operator and *peer* have a seat, the newest.

        Raises:
            RefusedError: If there is none.
        """
        for signed in reversed(self.all):
            if self.seat(signed.charter) and any(seat.name == peer for seat in signed.charter.seats):
                return signed.charter
        raise RefusedError(f"there is no operator called {peer}")

    def check(self, signed: SignedCharter) -> bool:
        """Whether *signed* is new to this operator, and may be adopted.

        Raises:
            RefusedError: If a signature is missing, or a first charter has no seat for these keys.
            VerificationError: If it follows another charter than the newest.
            UsageError: If its numbers do not continue those of the newest.
        """
        if signed.missing:
            raise RefusedError(f"this charter is not signed by {', '.join(signed.missing)}")
        if not self.all:
            if self.seat(signed.charter) is None:
                raise RefusedError(f"this charter has no seat for the keys of {self.name}")
            return True
        if signed.charter.digest in {each.charter.digest for each in self.all}:
            return False
        if signed.charter.predecessor != self.newest.digest:
            raise VerificationError("this charter does not follow the newest of this operator")
        signed.charter.check_follows(self.newest)
        return True

    def keep(self, signed: SignedCharter, changes: Changes) -> None:
        """Write a charter that was checked; once *changes* are committed it is to be added."""
        changes[CHARTERS, signed.charter.numbers.first.to_bytes(8)] = signed.encode()

    def add(self, signed: SignedCharter) -> None:
        """Go by a charter that was kept."""
        self.all.append(signed)

    def forget(self, before: int, changes: Changes) -> None:
        """Forget charters whose last round is before *before*."""
        while len(self.all) > 1 and self.all[1].charter.numbers.first < before:
            changes[CHARTERS, self.all.pop(0).charter.numbers.first.to_bytes(8)] = None
