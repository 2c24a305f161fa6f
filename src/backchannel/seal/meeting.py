"""The meeting: who may answer which card, and what two cards make.

A register is what a desk remembers of cards; an event (issue, answer, complete,
withdraw) gives a new register and bytes, or a refusal that changes nothing. The
numbers in the comments are the reasons of docs/spec/card.md §3. Pure: the clock,
the generator and the KEM are arguments.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from backchannel.encoding import decode, encode
from backchannel.errors import MalformedError, RefusedError, UnavailableError, UsageError, VerificationError
from backchannel.kem import Kem, PrivateKey, PublicKey
from backchannel.keys import Digest, Random, sha256
from backchannel.seal import card as cards
from backchannel.seal import ratchet
from backchannel.seal.card import Answer, Card, Terms
from backchannel.seal.state import State, Transcript

# Specification constant (docs/spec/card.md §4).
LABEL_TRANSCRIPT: Final = b"backchannel/v1/meeting/transcript"

LATE: Final = "this answers a card that has expired: make a new one"


class Fate(StrEnum):
    """What became of a first card."""

    ANSWERED = "answered by this desk"
    MET = "answered by its reader"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class CopiedCardError(VerificationError):
    """One card has two answers: it was copied, or one of them was altered; its key is gone, so nobody can tell."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A first card of this desk that awaits its answer."""

    person: bytes
    card: bytes
    private: PrivateKey


@dataclass(frozen=True, slots=True)
class Spent:
    """A first card whose story is over, and the answering card that ended it: whole if ours, its digest if theirs."""

    fate: Fate
    person: bytes
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Met:
    """What a meeting makes: the ratchet's first state, and the terms of both cards."""

    person: bytes
    state: State
    first: Terms
    second: Terms


@dataclass(frozen=True, slots=True)
class Register:
    """What a desk remembers of cards: by the digest of the first card of each pair."""

    waiting: dict[Digest, Waiting] = field(default_factory=dict)
    spent: dict[Digest, Spent] = field(default_factory=dict)
    keys_made: frozenset[Digest] = frozenset()
    keys_answered: frozenset[Digest] = frozenset()

    def issue(self, person: bytes, terms: Terms, *, kem: Kem, random: Random) -> tuple[Register, bytes]:
        """Make a first card for *person*, this desk's own name for somebody.

        Raises:
            UnavailableError: If one already awaits an answer.
            UsageError: If a name cannot stand on a card, or one of the two is missing.
        """
        # A card that its reader would refuse must not be handed over.
        if not (terms.bare or terms.named):
            raise UsageError("a card bears both names or none")
        if self.card_for(person):
            raise UnavailableError("a card for them already awaits its answer")
        card, private = cards.make(terms, kem=kem, random=random)
        raw = card.encode(cards.LABEL_FIRST)
        waiting = self.waiting | {cards.digest(raw): Waiting(person, raw, private)}
        return replace(self.with_key(card.key), waiting=waiting), raw

    def answer(
        self, first: bytes, person: bytes, terms: Terms, *, to_me: bool, kem: Kem, random: Random, now: int
    ) -> tuple[Register, bytes, Met]:
        """Answer *first*, a first card from *person*: the answering card, and the meeting.

        *to_me* is the owner's word that the reader's name on it means them.

        Raises:
            MalformedError, VerificationError, RefusedError: Reasons 1 to 6.
            UsageError: If a name cannot stand on a card, or one is missing.
        """
        if not terms.named:
            raise UsageError("an answering card bears both names")
        card = self.check_first(first, to_me=to_me, reader=terms.holder, kem=kem, now=now)
        name = cards.digest(first)
        register = self._yield_to(name, person)
        mine, private = cards.make(terms, kem=kem, random=random)
        raw, opened = cards.seal_answer(mine, first, to=card.key, kem=kem, random=random)
        secrets = ratchet.Secrets(_transcript(first, raw, opened), card.half, mine.half)
        state = ratchet.start(secrets, answer=mine.key, private=private, now=now)
        register = replace(
            register.with_key(mine.key),
            spent=register.spent | {name: Spent(Fate.ANSWERED, person, raw)},
            keys_answered=register.keys_answered | {_key_name(card.key)},
        )
        return register, raw, Met(person, state, card.terms, terms)

    def check_first(self, first: bytes, *, to_me: bool, reader: str, kem: Kem, now: int) -> Card:
        """Give the card that *first* is, if this desk may answer it.

        Raises:
            MalformedError, VerificationError, RefusedError: Reasons 1 to 5.
        """
        card = cards.read(first, kem)  # 1
        if isinstance(card, Answer):
            raise MalformedError("this is an answering card")
        if self.made(card.key):  # 2
            raise RefusedError("this is a card of your own: hand it to its reader")
        if _key_name(card.key) in self.keys_answered:  # 3: whatever else the card says this time
            raise RefusedError("this card has been answered already")
        if card.terms.expires <= now:  # 4
            raise RefusedError("this card has expired")
        if not (to_me or card.terms.bare or cards.fold(card.terms.reader) == cards.fold(reader)):  # 5
            raise RefusedError("this card names another reader")
        return card

    def complete(self, answer: bytes, *, kem: Kem, now: int) -> tuple[Register, Met]:
        """Take an answering card to one of this desk's first cards.

        Raises:
            MalformedError, VerificationError, RefusedError: Reasons 7 to 15.
        """
        carried = cards.read(answer, kem)  # 7
        if isinstance(carried, Card):
            raise MalformedError("this is a first card")
        waiting = self.waiting.get(carried.first)
        if waiting is None:
            raise self._no_longer(carried.first, answer)  # 8 to 12
        first = Card.decode(waiting.card, cards.LABEL_FIRST)
        if first.terms.expires <= now:  # 13: before its key is used
            raise RefusedError(LATE)
        card, opened = cards.open_answer(carried, waiting.private, kem)  # 14
        if card.terms.expires <= now:  # 13
            raise RefusedError(LATE)
        if self.made(card.key):  # 15
            raise VerificationError("this answering card bears a key of this desk's own")
        secrets = ratchet.Secrets(_transcript(waiting.card, answer, opened), first.half, card.half)
        state = ratchet.start(secrets, answer=card.key, private=None, now=now)
        # The private key and the halves go here, in the transaction that records the meeting.
        register = self._end(carried.first, Spent(Fate.MET, waiting.person, hashlib.sha256(answer).digest()))
        return register, Met(waiting.person, state, first.terms, card.terms)

    def withdraw(self, person: bytes) -> Register:
        """Withdraw the card that awaits *person*'s answer.

        Raises:
            RefusedError: If there is none.
        """
        name = self.card_for(person)
        if name is None:
            raise RefusedError("no card for them awaits an answer")
        return self._end(name, Spent(Fate.WITHDRAWN, person))

    def lapse(self, now: int) -> Register:
        """The register without the keys of cards whose time is over."""
        register = self
        for name, waiting in self.waiting.items():
            if Card.decode(waiting.card, cards.LABEL_FIRST).terms.expires <= now:
                register = register._end(name, Spent(Fate.EXPIRED, waiting.person))
        return register

    def withdraw_all(self) -> Register:
        """The register of an old copy of a desk: what awaits an answer may have had it at the newer one."""
        register = self
        for name, waiting in self.waiting.items():
            register = register._end(name, Spent(Fate.WITHDRAWN, waiting.person))
        return register

    def card_for(self, person: bytes) -> Digest | None:
        """The name of the first card that awaits *person*'s answer."""
        return next((name for name, card in self.waiting.items() if card.person == person), None)

    def made(self, key: PublicKey) -> bool:
        """Whether this desk has ever made *key*."""
        return _key_name(key) in self.keys_made

    def with_key(self, key: PublicKey) -> Register:
        """The register that remembers having made *key*."""
        return replace(self, keys_made=self.keys_made | {_key_name(key)})

    def encode(self) -> bytes:
        """Encode for the desk's own store."""
        return encode((
            tuple((name, w.person, w.card, w.private) for name, w in self.waiting.items()),
            tuple((name, s.fate.value, s.person, s.answer) for name, s in self.spent.items()),
            b"".join(sorted(self.keys_made)),
            b"".join(sorted(self.keys_answered)),
        ))  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Register:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else.
        """
        value: Any = decode(data)
        try:
            waiting, spent, made, answered = value
            return cls(
                {Digest(name): Waiting(person, card, PrivateKey(key)) for name, person, card, key in waiting},
                {Digest(name): Spent(Fate(fate), person, answer) for name, fate, person, answer in spent},
                _digests(made),
                _digests(answered),
            )
        except (TypeError, ValueError):
            raise MalformedError("a register of cards does not parse") from None

    def _yield_to(self, name: Digest, person: bytes) -> Register:
        """Reason 6: when both made first cards, both desks pick the one of lower digest."""
        own = self.card_for(person)
        if own is None:
            return self
        if own < name:
            raise RefusedError("you have each made a card for the other, and yours stands: they are to answer it")
        return self._end(own, Spent(Fate.WITHDRAWN, person))

    def _no_longer(self, first: Digest, answer: bytes) -> RefusedError:
        spent = self.spent.get(first)
        if spent is None:
            return RefusedError("this answers no card of this desk: it is for somebody else, or was altered")  # 12
        if spent.fate is Fate.WITHDRAWN:
            return RefusedError("this answers a card that was withdrawn")  # 11
        if spent.fate is Fate.EXPIRED:
            return RefusedError(LATE)  # 13
        if spent.answer == answer:
            return RefusedError("this is an answering card of your own: hand it to its reader")  # 8
        if spent.answer == hashlib.sha256(answer).digest():
            return RefusedError("this card has been used: you have met")  # 9
        return CopiedCardError(
            "another answer to this card came before: the card was copied, or this answer altered"
        )  # 10

    def _end(self, name: Digest, spent: Spent) -> Register:
        waiting = {other: card for other, card in self.waiting.items() if other != name}
        return replace(self, waiting=waiting, spent=self.spent | {name: spent})


def _transcript(first: bytes, answer: bytes, opened: bytes) -> Transcript:
    return Transcript(sha256(LABEL_TRANSCRIPT, first, answer, opened))


def _key_name(key: PublicKey) -> Digest:
    return Digest(hashlib.sha256(key).digest())


def _digests(raw: bytes) -> frozenset[Digest]:
    return frozenset(Digest(raw[at : at + Digest.size]) for at in range(0, len(raw), Digest.size))
