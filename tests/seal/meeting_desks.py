"""Desks as a meeting sees them: a register, a name, and a generator whose every draw is written down."""

from __future__ import annotations

import random as generators
from collections.abc import Callable
from typing import Final

import pytest

from backchannel.errors import RefusedError
from backchannel.kem import Kem, PrivateKey, PublicKey
from backchannel.keys import Random
from backchannel.seal import card as cards
from backchannel.seal import ratchet
from backchannel.seal.card import Card, Terms
from backchannel.seal.meeting import Met, Register
from backchannel.seal.state import State
from tests.simulation.seeded_kem import SeededKem

NOW: Final = 1_750_000_000
DAY: Final = 86_400


class TypedKem:
    """The seeded KEM, its keys in the package's own types."""

    def __init__(self) -> None:
        self.kem = SeededKem()

    def generate(self, random: Random) -> tuple[PrivateKey, PublicKey]:
        private, public = self.kem.generate(random)
        return PrivateKey(private), PublicKey(public)

    def public(self, private: PrivateKey) -> PublicKey:
        return PublicKey(self.kem.public(private))

    def check(self, public: PublicKey) -> None:
        self.kem.check(public)

    def seal(self, public: PublicKey, info: bytes, plaintext: bytes, random: Random) -> bytes:
        return self.kem.seal(public, info, plaintext, random)

    def open(self, private: PrivateKey, info: bytes, box: bytes) -> bytes:
        return self.kem.open(private, info, box)


KEM: Final = TypedKem()


class Desk:
    """One desk: who holds it, what it remembers of cards, and whom it has met."""

    def __init__(self, name: str, *, kem: Kem = KEM) -> None:
        self.name = name
        self.kem = kem
        self.register = Register()
        self.met: list[Met] = []
        self.drawn: list[bytes] = []
        self.generator = generators.Random(name)

    def draw(self, size: int) -> bytes:
        self.drawn.append(self.generator.randbytes(size))
        return self.drawn[-1]

    def terms(self, reader: str, *, expires: int = NOW + 30 * DAY) -> Terms:
        return Terms(self.name, reader, expires)

    def issue(self, reader: str, *, terms: Terms | None = None) -> bytes:
        terms = terms or self.terms(reader)
        self.register, card = self.register.issue(reader.encode(), terms, kem=self.kem, random=self.draw)
        return card

    def answer(
        self, first: bytes, person: str = "", *, to_me: bool = False, now: int = NOW, terms: Terms | None = None
    ) -> bytes:
        person = person or Card.decode(first, cards.LABEL_FIRST).terms.holder or "somebody"
        terms = terms or self.terms(person)
        self.register, answer, met = self.register.answer(
            first, person.encode(), terms, to_me=to_me, kem=self.kem, random=self.draw, now=now
        )
        self.met.append(met)
        return answer

    def complete(self, answer: bytes, *, now: int = NOW) -> Met:
        self.register, met = self.register.complete(answer, kem=self.kem, now=now)
        self.met.append(met)
        return met

    def withdraw(self, reader: str) -> None:
        self.register = self.register.withdraw(reader.encode())

    @property
    def state(self) -> State:
        """The keys of the latest meeting."""
        return self.met[-1].state


def refusal(desk: Desk, act: Callable[[], object]) -> RefusedError:
    """What *act* was refused with, after which the desk remembers what it remembered before."""
    before, kept, meetings = desk.register, desk.register.encode(), len(desk.met)
    with pytest.raises(RefusedError) as refused:
        act()
    assert desk.register is before
    assert desk.register.encode() == kept
    assert Register.decode(kept) == desk.register
    assert len(desk.met) == meetings
    return refused.value


def meet(first: Desk, second: Desk) -> tuple[bytes, bytes]:
    """Introduce two desks; both cards as they were carried."""
    card = first.issue(second.name)
    answer = second.answer(card)
    first.complete(answer)
    return card, answer


def talk(first: State, second: State, *, kem: Kem = KEM) -> None:
    """Let the states of two desks write both ways, both first at once, and a turn further."""
    draw = generators.Random("talk").randbytes
    first, from_first = ratchet.write(first, b"from the first", kem=kem, random=draw, now=NOW)
    second, from_second = ratchet.write(second, b"from the second", kem=kem, random=draw, now=NOW)
    at_first = ratchet.read(first, from_second, kem=kem, now=NOW)
    at_second = ratchet.read(second, from_first, kem=kem, now=NOW)
    assert (at_first.item, at_second.item) == (b"from the second", b"from the first")
    second, again = ratchet.write(at_second.state, b"again", kem=kem, random=draw, now=NOW)
    assert ratchet.read(at_first.state, again, kem=kem, now=NOW).item == b"again"
    assert ratchet.carrying_key(second) in ratchet.opening_keys(at_first.state)
