"""Cards: the two single-use introductions of which a meeting is made.

A first card is handed over in clear; the answering card is sealed to it
(docs/spec/card.md §1, §2). This module makes and reads their bytes. Whether a
card may be answered, by whom and how often, is the meeting's business.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Final

from backchannel.encoding import Value, decode, encode
from backchannel.errors import MalformedError, UsageError, VerificationError
from backchannel.kem import Kem, PrivateKey, PublicKey
from backchannel.keys import Digest, Random
from backchannel.letters.item import MAX_MAILBOX, MAX_PLACE
from backchannel.seal.state import HalfSecret

# Specification constants (docs/spec/card.md §1, §2).
MAX_NAME: Final = 200
OPENED_SIZE: Final = 2048
MAX_CARD: Final = 4096
MAX_EXPIRY: Final = 253_402_300_799  # the last second of the year 9999

LABEL_FIRST: Final = b"backchannel/v1/card/first"
LABEL_ANSWER: Final = b"backchannel/v1/card/answer"
LABEL_OPENED: Final = b"backchannel/v1/card/opened"


@dataclass(frozen=True, slots=True)
class Carriage:
    """Where a side's letters are to be left in a post office."""

    place: int
    mailbox: int
    charter: Digest


@dataclass(frozen=True, slots=True)
class Terms:
    """What a side says of itself on its card."""

    holder: str
    reader: str
    expires: int
    carriage: Carriage | None = None
    archive: Digest | None = None

    @property
    def bare(self) -> bool:
        """Whether the card names nobody."""
        return not self.holder and not self.reader

    @property
    def named(self) -> bool:
        """Whether the card names both."""
        return bool(self.holder and self.reader)


@dataclass(frozen=True, slots=True)
class Card:
    """One side of a meeting: its key, its half secret, its terms."""

    key: PublicKey
    half: HalfSecret
    terms: Terms

    def encode(self, label: bytes) -> bytes:
        """Encode as a first card or as what an answering card opens to."""
        terms = self.terms
        carriage = terms.carriage
        return encode((
            label,
            self.key,
            self.half,
            terms.holder,
            terms.reader,
            terms.expires,
            (carriage.place, carriage.mailbox, carriage.charter) if carriage else (),
            terms.archive or b"",
        ))  # fmt: skip

    @classmethod
    def decode(cls, data: bytes, label: bytes) -> Card:
        """Decode what :meth:`encode` wrote under the same *label*.

        Raises:
            MalformedError: If *data* is anything else.
        """
        match decode(data):
            case (
                bytes(found), bytes(key), bytes(half), str(holder), str(reader),
                int(expires), tuple(carriage), bytes(archive),
            ) if (
                found == label
                and len(key) == PublicKey.size
                and len(half) == HalfSecret.size
                and len(archive) in (0, Digest.size)
                and expires <= MAX_EXPIRY
                and is_name(holder)
                and is_name(reader)
            ):  # fmt: skip
                terms = Terms(holder, reader, expires, _carriage(carriage), Digest(archive) if archive else None)
                return cls(PublicKey(key), HalfSecret(half), terms)
        raise MalformedError("this is not a card, or it has been altered")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answering card as it is carried."""

    first: Digest
    box: bytes

    def encode(self) -> bytes:
        """Encode as handed over."""
        return encode((LABEL_ANSWER, self.first, self.box))


def make(terms: Terms, *, kem: Kem, random: Random) -> tuple[Card, PrivateKey]:
    """Make one side's card: fresh keys and a fresh half secret, in that order.

    Raises:
        UsageError: If a name cannot stand on a card.
    """
    for name in (terms.holder, terms.reader):
        if not is_name(name):
            raise UsageError(
                f"a name on a card is one line of at most {MAX_NAME} bytes, without characters that are not seen"
            )
    private, public = kem.generate(random)
    return Card(public, HalfSecret.draw(random), terms), private


def read(data: bytes, kem: Kem) -> Card | Answer:
    """Read a card as it was handed over.

    Raises:
        MalformedError: If it is neither a first card nor an answering card, or
            its key is not well formed.
    """
    # Size first: no card is larger, and everything after it is linear in it.
    if len(data) > MAX_CARD:
        raise MalformedError("this is not a card")
    match decode(data):
        case (bytes(label), bytes(first), bytes(box)) if label == LABEL_ANSWER and len(first) == Digest.size:
            return Answer(Digest(first), box)
    card = Card.decode(data, LABEL_FIRST)
    kem.check(card.key)
    if not (card.terms.bare or card.terms.named):
        raise MalformedError("this card names only one of two")
    return card


def seal_answer(answer: Card, first: bytes, *, to: PublicKey, kem: Kem, random: Random) -> tuple[bytes, bytes]:
    """Seal *answer* to the *first* card: the card as carried, and as opened."""
    raw = answer.encode(LABEL_OPENED)
    opened = (len(raw).to_bytes(4) + raw).ljust(OPENED_SIZE, b"\0")
    name = digest(first)
    return Answer(name, kem.seal(to, name, opened, random)).encode(), opened


def open_answer(answer: Answer, private: PrivateKey, kem: Kem) -> tuple[Card, bytes]:
    """Open an answering card with its first card's key: the card, and its bytes as opened.

    Raises:
        VerificationError: If it does not open, or not to an answering card.
    """
    try:
        opened = kem.open(private, answer.first, answer.box)
        end = 4 + int.from_bytes(opened[:4])
        if len(opened) != OPENED_SIZE or any(opened[end:]):
            raise MalformedError("an answering card has another size")
        card = Card.decode(opened[4:end], LABEL_OPENED)
        kem.check(card.key)
        if not card.terms.named:
            raise MalformedError("an answering card names both")
    except (VerificationError, MalformedError):
        raise VerificationError("this answering card does not open: it was altered on its way") from None
    return card, opened


def digest(card: bytes) -> Digest:
    """SHA-256 of a card's bytes: its name."""
    return Digest(hashlib.sha256(card).digest())


def is_name(name: str) -> bool:
    """Whether *name* can stand on a card (docs/spec/card.md §1).

    Two names that look alike must be alike, and none may draw on the reader's
    terminal: a name is composed, on one line, without space around it and
    without characters that are not seen. A lone surrogate has no UTF-8.
    """
    if any(_is_unseen(name, at) for at in range(len(name))):
        return False
    composed = unicodedata.normalize("NFC", name)
    return name == composed.strip() and len(name.encode()) <= MAX_NAME


def fold(name: str) -> str:
    """What two names have in common that people would take for one."""
    seen = "".join(c for c in unicodedata.normalize("NFKC", name) if c not in JOINERS)
    return " ".join(unicodedata.normalize("NFKC", seen.casefold()).split())


def _is_unseen(name: str, at: int) -> bool:
    if name[at] in JOINERS:
        beside = name[at - 1 : at] + name[at + 1 : at + 2]
        return len(beside) < 2 or any(unicodedata.category(c) not in _CASELESS for c in beside)
    return unicodedata.category(name[at]) in _UNSEEN_KINDS or name[at] in _UNSEEN


def _carriage(value: tuple[Value, ...]) -> Carriage | None:
    match value:
        case ():
            return None
        # Bounded here: what a card says of a place goes into a porter's files later.
        case (int(place), int(mailbox), bytes(charter)) if (
            len(charter) == Digest.size and place < MAX_PLACE and 0 < mailbox < MAX_MAILBOX
        ):
            return Carriage(place, mailbox, Digest(charter))
    raise MalformedError("this is not a card, or it has been altered")


# Joiners are part of how names are written in scripts without case, and only there.
JOINERS: Final = "\u200c\u200d"
_CASELESS: Final = frozenset({"Lo", "Lm", "Mn", "Mc"})
_UNSEEN_KINDS: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Default-ignorable, though letters and marks by category (Unicode, DerivedCoreProperties).
_UNSEEN: Final = frozenset(
    map(
        chr,
        [
            *(0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
            *(*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),
        ],
    )
)
