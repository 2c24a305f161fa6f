"""Three desks that hand cards around, and a courier who loses, repeats, swaps, alters and delays them."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from backchannel.errors import RefusedError, UnavailableError
from backchannel.keys import Digest
from backchannel.seal import card as cards
from backchannel.seal.card import Answer, Card, Terms
from backchannel.seal.meeting import Met, Register
from backchannel.seal.state import FIRST, SECOND
from tests.seal.meeting_desks import DAY, KEM, NOW, Desk, talk

NAMES = ("Ada", "Ben", "Cora")
WHO = st.sampled_from(NAMES)


@dataclass
class Holder:
    """A desk, what it has made, and which cards it has answered."""

    desk: Desk
    issued: dict[Digest, tuple[bytes, bytes]] = field(default_factory=dict)  # by first card: private key, half
    answered: list[Digest] = field(default_factory=list)
    answering: list[tuple[bytes, bytes]] = field(default_factory=list)  # private key, half


class Courier(RuleBasedStateMachine):
    """Every rule is something that happens to a card; every refusal leaves the register as it was."""

    carried = Bundle("carried")

    def __init__(self) -> None:
        super().__init__()
        self.holders = {name: Holder(Desk(name)) for name in NAMES}
        self.now = NOW
        self.talked: set[bytes] = set()

    @initialize(target=carried)
    def introduce_all(self) -> Any:
        """Every one of the three has a card for each other: all pairs cross."""
        return multiple(*(self.issue(who, reader, bare=False) for who in NAMES for reader in NAMES if who != reader))

    @rule(target=carried, who=WHO, reader=WHO, bare=st.booleans(), days=st.sampled_from([1, 40]))
    def issue(self, who: str, reader: str, bare: bool, days: int = 40) -> Any:  # noqa: FBT001
        holder, expires = self.holders[who], self.now + days * DAY
        terms = Terms("", "", expires) if bare else Terms(who, reader, expires)
        try:
            card = holder.desk.issue(reader, terms=terms)
        except UnavailableError:
            waiting = holder.desk.register.card_for(reader.encode())
            assert waiting
            return holder.desk.register.waiting[waiting].card
        private, half = holder.desk.drawn[-2:]
        holder.issued[cards.digest(card)] = private, half
        return card

    @rule(card=consumes(carried))
    def lose(self, card: bytes) -> None:
        del card

    @rule(target=carried, card=carried, at=st.integers(0, 5000), bit=st.integers(0, 7))
    def alter(self, card: bytes, at: int, bit: int) -> bytes:
        at %= len(card)
        return card[:at] + bytes([card[at] ^ 1 << bit]) + card[at + 1 :]

    @rule(
        what=st.sampled_from(["wait", "withdraw", "lapse", "close and open"]),
        who=WHO,
        person=WHO,
        days=st.integers(0, 3),
    )
    def meanwhile(self, what: str, who: str, person: str, days: int) -> None:
        desk = self.holders[who].desk
        match what:
            case "wait":
                self.now += days * DAY
            case "withdraw":
                self._unless_refused(who, lambda desk: desk.withdraw(person))
            case "lapse":
                desk.register = desk.register.lapse(self.now)
                for waiting in desk.register.waiting.values():
                    assert Card.decode(waiting.card, cards.LABEL_FIRST).terms.expires > self.now
            case "close and open":
                desk.register = Register.decode(desk.register.encode())

    @rule(target=carried, card=consumes(carried))
    def deliver(self, card: bytes) -> Any:
        """To whom it is for, as most cards are."""
        try:
            read = cards.read(card, KEM)
        except RefusedError:
            return card
        if isinstance(read, Card):
            names = [name for name in NAMES if name != read.terms.holder]
            who = read.terms.reader if read.terms.reader in names else names[0]
            return self.hand_over(who, card, read.terms.holder or "Ben", to_me=False)
        who = next((name for name, holder in self.holders.items() if read.first in holder.issued), "Ada")
        return self.hand_over(who, card, "", to_me=False)

    @rule(target=carried, who=WHO, card=carried, person=WHO, to_me=st.booleans())
    def hand_over(self, who: str, card: bytes, person: str, to_me: bool) -> Any:  # noqa: FBT001
        """Whatever it is, to whomever: what comes back is a new card or the old one."""
        holder = self.holders[who]
        try:
            read = cards.read(card, KEM)
        except RefusedError:
            self._unless_refused(who, lambda desk: desk.complete(card, now=self.now))
            return card
        if isinstance(read, Answer):
            self._unless_refused(who, lambda desk: desk.complete(card, now=self.now))
            return card
        made: list[bytes] = []
        self._unless_refused(
            who, lambda desk: made.append(desk.answer(card, person, to_me=to_me, now=self.now, terms=self._terms(who)))
        )
        if not made:
            return card
        holder.answered.append(cards.digest(card))
        private, half, _ = holder.desk.drawn[-3:]
        holder.answering.append((private, half))
        return made[0]

    @invariant()
    def no_card_is_answered_twice(self) -> None:
        for holder in self.holders.values():
            assert len(holder.answered) == len(set(holder.answered))

    @invariant()
    def nothing_of_a_finished_meeting_is_left(self) -> None:
        for holder in self.holders.values():
            kept = holder.desk.register.encode()
            for name, secrets in holder.issued.items():
                awaiting = name in holder.desk.register.waiting
                assert [secret in kept for secret in secrets] == [awaiting, awaiting]
            for secrets in holder.answering:
                assert not any(secret in kept for secret in secrets)

    @invariant()
    def two_that_have_equal_words_agree(self) -> None:
        sides: dict[bytes, list[Met]] = {}
        for holder in self.holders.values():
            for met in holder.desk.met:
                sides.setdefault(met.state.transcript, []).append(met)
        for transcript, mets in sides.items():
            assert len(mets) <= 2
            if len(mets) == 2 and transcript not in self.talked:
                first, second = sorted(mets, key=lambda met: met.state.role)
                assert (first.state.role, second.state.role) == (FIRST, SECOND)
                assert (first.first, first.second) == (second.first, second.second)
                talk(first.state, second.state)
                self.talked.add(transcript)

    @invariant()
    def who_completes_has_the_words_of_who_answered(self) -> None:
        # Nobody here forges, so every completed meeting is somebody's answer.
        answered = {
            met.state.transcript for h in self.holders.values() for met in h.desk.met if met.state.role == SECOND
        }
        for holder in self.holders.values():
            assert {met.state.transcript for met in holder.desk.met if met.state.role == FIRST} <= answered

    def _terms(self, who: str) -> Terms:
        return Terms(who, "whoever", self.now + 30 * DAY)

    def _unless_refused(self, who: str, act: object) -> None:
        assert callable(act)
        desk = self.holders[who].desk
        before, kept, met = desk.register, desk.register.encode(), len(desk.met)
        try:
            act(desk)
        except RefusedError:
            assert desk.register is before
            assert desk.register.encode() == kept
            assert len(desk.met) == met


def test_three_desks_and_a_courier() -> None:
    run_state_machine_as_test(Courier, settings=settings(max_examples=40, stateful_step_count=30))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_three_desks_and_a_courier_for_long() -> None:
    run_state_machine_as_test(Courier, settings=settings(max_examples=1000, stateful_step_count=50))


def test_the_machine_does_meet() -> None:
    machine = Courier()
    card = machine.issue("Ada", "Ben", bare=False)
    answer = machine.hand_over("Ben", card, "Ada", to_me=False)
    machine.hand_over("Ada", answer, "Ben", to_me=False)
    machine.two_that_have_equal_words_agree()
    machine.nothing_of_a_finished_meeting_is_left()
    assert machine.talked == {machine.holders["Ada"].desk.state.transcript}
