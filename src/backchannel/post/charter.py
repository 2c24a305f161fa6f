"""The charter: what the operators of a post office have agreed, and its clock.

Everything about a round that is public follows from the charter alone: when it
begins, when a mailbox is visited, which old rounds are served, how large each
message is. It is signed by all operators; its digest names it
(docs/spec/charter.md). Pure: an instant is milliseconds since 1970, given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self

from backchannel.encoding import Value, decode, encode
from backchannel.errors import MalformedError, UsageError, VerificationError
from backchannel.kem import Kem, PublicKey
from backchannel.keys import Cost, Digest, sha256, stretch
from backchannel.signing import Signature, Signer, VerifyingKey, verify

# Specification constants (docs/spec/charter.md §1, §2).
MAX_CHARTER: Final = 128 * 1024 - 4  # bytes, signatures and all
MIN_OPERATORS: Final = 2
MAX_OPERATORS: Final = 8
MAX_SHARES: Final = 64
MAX_NAME: Final = 64
MAX_URL: Final = 255
MAX_ROUND: Final = 2**32 - 1
MAX_SIGNED: Final = 3 + 3 * 2 * MAX_OPERATORS  # values in a file: its own, and three for each signature
AGREEMENT: Final = 5  # the first of so many parts of a round
MARGIN: Final = 5  # and the last of so many parts has no visits
SLACK: Final = 10  # and a reply is held no longer than one of so many

LABEL_CHARTER: Final = b"backchannel/v1/charter/terms"
LABEL_SIGNED: Final = b"backchannel/v1/charter/signed"
LABEL_INSTANT: Final = b"backchannel/v1/charter/instant"
LABEL_WORDS: Final = b"backchannel/v1/charter/check"

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?")


@dataclass(frozen=True, slots=True)
class Seat:
    """An operator as the charter names it: where it listens, and its keys."""

    name: str
    url: str
    signing: VerifyingKey
    sealing: PublicKey


@dataclass(frozen=True, slots=True)
class Share:
    """Mailboxes that one operator gives out, and how many it must have filled before the office is a crowd."""

    issuer: str
    first: int
    count: int
    quorum: int

    @property
    def mailboxes(self) -> range:
        return range(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a charter, each within the bounds of docs/spec/charter.md §1."""

    capacity: int = 256  # N, mailboxes; a multiple of 8
    packet: int = 4096  # P, bytes
    period: int = 60_000  # of a round, ms
    places: int = 8  # M
    reads: int = 2  # q, in a visit, of the newest table
    catch_up: int = 8  # c, old rounds served in a round
    window: int = 1_440  # W, rounds kept; a multiple of c
    hold: int = 2_000  # ms from a visit's instant to its reply
    day: int = 1_440  # rounds that a key of the day lasts
    enrolment: int = 1_440  # enrolments take effect at multiples of so many rounds
    first: int = 0  # the first round under this charter
    start: int = 0  # ms, when the first round begins

    def check(self) -> None:
        """Raise UsageError if a number is out of bounds, or two do not fit."""
        for each in fields(self):
            low, high = BOUNDS[each.name]
            if not low <= getattr(self, each.name) <= high:
                raise UsageError(f"{each.name} is a number from {low:,} to {high:,}")
        if self.capacity % 8:
            raise UsageError("capacity is a multiple of 8")
        if self.window % self.catch_up:
            raise UsageError("window is a multiple of catch_up")
        # A porter of the last instant must still hear its reply within the round.
        if self.hold * SLACK > self.period:
            raise UsageError("hold is at most a tenth of a period")


BOUNDS: Final = {
    "capacity": (8, 2**20),
    "packet": (256, 65_536),
    "period": (200, 86_400_000),
    "places": (1, 64),
    "reads": (1, 8),
    "catch_up": (1, 64),
    "window": (1, 2**20),
    "hold": (0, 3_600_000),
    "day": (1, 2**20),
    "enrolment": (1, 2**20),
    "first": (0, MAX_ROUND),
    "start": (0, 253_402_300_799_999),
}


@dataclass(frozen=True, slots=True)
class Charter:
    """What all operators sign."""

    name: str
    seats: tuple[Seat, ...]
    shares: tuple[Share, ...]
    numbers: Numbers
    predecessor: Digest | None = None
    digest: Digest = field(init=False, compare=False)
    _encoded: bytes = field(init=False, compare=False, repr=False)  # it is asked for in every round

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "_encoded", _encode(self))
        object.__setattr__(self, "digest", sha256(LABEL_CHARTER, self._encoded))

    @property
    def operators(self) -> int:
        """K."""
        return len(self.seats)

    def seat(self, name: str) -> int:
        """The index of the operator of that *name*.

        Raises:
            UsageError: If there is none.
        """
        for index, seat in enumerate(self.seats):
            if seat.name == name:
                return index
        raise UsageError(f"this charter has no operator called {name}")

    def share_of(self, mailbox: int) -> Share | None:
        """The share that *mailbox* was given out of."""
        return next((share for share in self.shares if mailbox in share.mailboxes), None)

    def encode(self) -> bytes:
        return self._encoded

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else, or out of bounds.
        """
        if len(data) > MAX_CHARTER:
            raise MalformedError(NO_CHARTER)
        try:
            _, name, seats, shares, numbers, predecessor = _tuple(decode(data, values=4096))
            charter = cls(
                name,
                tuple(Seat(n, u, VerifyingKey(s), PublicKey(k)) for n, u, s, k in seats),
                tuple(Share(*share) for share in shares),
                Numbers(*numbers),
                Digest(predecessor) if predecessor else None,
            )
        except (TypeError, ValueError, UsageError):
            raise MalformedError(NO_CHARTER) from None
        # Python makes bytes of an array of numbers, too, and fills in what is not there.
        # A charter has one form, or two that decode to it would have one digest.
        if charter.encode() != data:
            raise MalformedError(NO_CHARTER)
        return charter

    def check_follows(self, before: Charter) -> None:
        """Raise UsageError unless the numbers of this charter continue those of *before* (docs/spec/charter.md §4)."""
        old, new = before.numbers, self.numbers
        if new.first <= old.first or new.start != before.begins(new.first):
            raise UsageError("this charter does not begin where a round of the one before it does")
        if new.capacity < old.capacity or new.places < old.places:
            raise UsageError("this charter has fewer mailboxes or places than the one before it")
        # An envelope on its way is cut for packets of one size.
        if new.packet != old.packet:
            raise UsageError("this charter has packets of another size than the one before it")
        if new.day != old.day:
            raise UsageError("this charter counts days otherwise than the one before it")

    def check_keys(self, kem: Kem) -> None:
        """Return if enrolments can be sealed to every operator.

        Raises:
            MalformedError: If a key is not well formed.
        """
        for seat in self.seats:
            kem.check(seat.sealing)

    def check_string(self, cost: Cost) -> bytes:
        """The 32 bytes that check words are read from, as those of a meeting are: about a second at full cost."""
        return stretch(self.digest, sha256(LABEL_WORDS)[:16], cost)

    # The clock.

    def begins(self, number: int) -> int:
        """The instant at which round *number* begins."""
        return self.numbers.start + (number - self.numbers.first) * self.numbers.period

    def round_at(self, now: int) -> int:
        """The round that *now* is in; before the first, one less than the first or lower."""
        return self.numbers.first + (now - self.numbers.start) // self.numbers.period

    def agreed_by(self, number: int) -> int:
        """The end of the agreement phase of round *number*, when its visits begin."""
        return self.begins(number) + self.numbers.period // AGREEMENT

    def instant(self, mailbox: int, number: int) -> int:
        """When the porter of *mailbox* makes its visit of round *number*: public, and moved by nothing."""
        drawn = int.from_bytes(sha256(LABEL_INSTANT, self.digest, mailbox)[:8])
        span = self.numbers.period - self.numbers.period // AGREEMENT - self.numbers.period // MARGIN
        return self.agreed_by(number) + drawn * span // 2**64

    def day_of(self, number: int) -> int:
        """The day, by its number, whose key round *number* uses."""
        return number // self.numbers.day

    def effective(self, number: int) -> int:
        """The first round after *number* at which enrolments take effect."""
        every = self.numbers.enrolment
        return (number // every + 1) * every

    # What is read in a round.

    def block(self, number: int) -> range:
        """The old rounds served in round *number*, besides the newest: blocks take turns (docs/spec/round.md §4)."""
        c, blocks = self.numbers.catch_up, self.numbers.window // self.numbers.catch_up
        newest = (number - 1) // c  # the first block that is not wholly before the newest table
        block = newest - 1 - (newest - 1 - number) % blocks
        return range(block * c, block * c + c)

    def readable(self, table: int, number: int) -> bool:
        """Whether round *number* can serve the table of round *table*, if it was kept."""
        return max(self.numbers.first, number - self.numbers.window - self.numbers.catch_up) <= table < number

    def tables(self, number: int, *, more: bool) -> list[int]:
        """The round that each query of a visit of round *number* is about; may be one before there were any."""
        asked = [number - 1] * self.numbers.reads
        if more:
            asked += [table for table in self.block(number) for _ in range(self.numbers.reads)]
        return asked

    def explicit(self, number: int, query: int) -> int:
        """The operator that gets the vector of this query in full; the others get seeds."""
        return (number + query) % self.operators


@dataclass(frozen=True, slots=True)
class SignedCharter:
    """A charter with the signatures of some or all of its operators, and of its predecessor's."""

    charter: Charter
    signatures: tuple[tuple[VerifyingKey, Signature], ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The operators that have not signed."""
        signed = {key for key, _ in self.signatures}
        return tuple(seat.name for seat in self.charter.seats if seat.signing not in signed)

    def signed_by(self, seats: Sequence[Seat]) -> bool:
        """Whether all of *seats* have signed."""
        return {seat.signing for seat in seats} <= {key for key, _ in self.signatures}

    def sign(self, signer: Signer) -> SignedCharter:
        """Add a signature; one that is there already is not made again."""
        if any(key == signer.public for key, _ in self.signatures):
            return self
        signature = signer.sign(LABEL_SIGNED, self.charter.encode())
        return replace(self, signatures=(*self.signatures, (signer.public, signature)))

    def joined(self, other: SignedCharter) -> SignedCharter:
        """This charter with the signatures of both copies.

        Raises:
            VerificationError: If the two are different charters.
        """
        if other.charter != self.charter:
            raise VerificationError("these are two different charters")
        have = {key for key, _ in self.signatures}
        return replace(self, signatures=(*self.signatures, *(s for s in other.signatures if s[0] not in have)))

    def encode(self) -> bytes:
        return encode((LABEL_SIGNED, self.charter.encode(), tuple(self.signatures)))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode a charter file; every signature on it holds, or it is refused.

        Raises:
            MalformedError: If it is not one.
            VerificationError: If a signature is not what it claims to be.
        """
        file = cls.kept(data)
        for key, signature in file.signatures:
            verify(key, LABEL_SIGNED, file.charter.encode(), signature)
        return file

    @classmethod
    def kept(cls, data: bytes) -> Self:
        """Decode a charter file from a store of one's own: its signatures were checked before it came there.

        Raises:
            MalformedError: If it is not one.
        """
        if len(data) > MAX_CHARTER:
            raise MalformedError(NO_CHARTER)
        try:
            _, body, signatures = _tuple(decode(data, values=MAX_SIGNED))
            signed = tuple((VerifyingKey(key), Signature(signature)) for key, signature in signatures)
            charter = Charter.decode(_bytes(body))
        except (TypeError, ValueError):
            raise MalformedError(NO_CHARTER) from None
        file, signers = cls(charter, signed), {key for key, _ in signed}
        if file.encode() != data or len(signers) != len(signed):
            raise MalformedError(NO_CHARTER)
        return file


def check_name(name: str) -> None:
    """Raise UsageError unless *name* can stand in a charter."""
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise UsageError(f"a name in a charter is of small letters, digits and hyphens, at most {MAX_NAME}")


def check_url(name: str, url: str) -> None:
    """Raise UsageError unless the operator *name* can be at *url*."""
    if len(url) > MAX_URL or not _URL.fullmatch(url):
        raise UsageError(f"{name} has an address that is none: http://… or https://…")


def _encode(charter: Charter) -> bytes:
    seats = tuple((s.name, s.url, s.signing, s.sealing) for s in charter.seats)
    shares = tuple((s.issuer, s.first, s.count, s.quorum) for s in charter.shares)
    numbers: tuple[Value, ...] = tuple(getattr(charter.numbers, each.name) for each in fields(Numbers))
    return encode((LABEL_CHARTER, charter.name, seats, shares, numbers, charter.predecessor or b""))


def _tuple(value: Value) -> Any:
    if not isinstance(value, tuple):
        raise MalformedError(NO_CHARTER)
    return value


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedError(NO_CHARTER)
    return value


def _check(charter: Charter) -> None:
    """Raise UsageError, or TypeError for a value of another kind, unless the charter is within its bounds."""
    charter.numbers.check()
    _check_names(charter)
    _check_seats(charter.seats)
    _check_shares(charter.shares, charter.numbers.capacity)


def _check_names(charter: Charter) -> None:
    seats, issuers = (seat.name for seat in charter.seats), (share.issuer for share in charter.shares)
    for name in (charter.name, *seats, *issuers):
        check_name(name)


def _check_seats(seats: tuple[Seat, ...]) -> None:
    if not MIN_OPERATORS <= len(seats) <= MAX_OPERATORS or len({seat.name for seat in seats}) != len(seats):
        raise UsageError(f"a charter has {MIN_OPERATORS} to {MAX_OPERATORS} operators of different names")
    if len({seat.signing for seat in seats}) != len(seats):
        raise UsageError("two operators have one key")
    for seat in seats:
        check_url(seat.name, seat.url)


def _check_shares(shares: tuple[Share, ...], capacity: int) -> None:
    if len(shares) > MAX_SHARES:
        raise UsageError(f"a charter has at most {MAX_SHARES} shares")
    end = 1  # there is no mailbox 0
    for share in shares:
        if share.first < end or share.count < 1 or share.mailboxes.stop > capacity:
            raise UsageError("shares are of different mailboxes, in order, from 1 to below the capacity")
        if not 0 <= share.quorum <= share.count:
            raise UsageError("a quorum is at most a share")
        end = share.mailboxes.stop


NO_CHARTER: Final = "this is not a charter, or it has been altered"
