"""Introductions: cards made, cards met, words compared.

The rules of cards are the meeting's (seal/meeting.py); here they are joined to
the desk's people, and to the generations of their keys.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from typing import Final

from backchannel.errors import NegativeError, RefusedError, UsageError
from backchannel.keys import Cost
from backchannel.seal import card as cards
from backchannel.seal import words
from backchannel.seal.card import Answer, Terms
from backchannel.seal.meeting import Fate, Met, Register
from backchannel.seal.state import Transcript

from . import post, records
from .desk import Changes, Desk, UnknownPersonError, keys_name
from .records import Person, PersonId, Renewed

DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Made:
    """A first card, to be handed over once the changes are committed."""

    person: Person
    card: bytes
    expires: int
    changes: Changes


@dataclass(frozen=True, slots=True)
class Introduced:
    """A meeting: with whom, and the answering card if this desk made one."""

    person: Person
    answer: bytes | None
    changes: Changes
    renewed: bool
    transcript: Transcript


def make_card(desk: Desk, who: str, *, days: int, bare: bool, again: bool, now: int) -> Made:
    """Make a first card for *who*; *again* renews the keys of somebody met.

    Raises:
        RefusedError, UnavailableError, UsageError: Nothing has changed.
    """
    if days < 1:
        raise UsageError("a card is good for a day at least")
    person = _somebody(desk, who, again=again)
    expires = now + days * DAY
    holder, reader = ("", "") if bare else (desk.owner.name, person.name)
    terms = Terms(holder, reader, expires, post.place_for(desk, person))
    register, card = _register(desk, now).issue(person.id, terms, kem=desk.kem, random=desk.random)
    return Made(person, card, expires, _put(register) | _put_person(person))


def meet(
    desk: Desk, card: bytes, *, alias: str | None, again: str | None, to_me: bool, days: int, now: int
) -> Introduced:
    """Take a card that was handed over: answer a first one, or complete with an answering one.

    *alias* is what this desk is to call the other; *again* names somebody met
    whose keys the card renews.

    Raises:
        MalformedError, VerificationError, RefusedError, UsageError: Nothing has changed.
    """
    read = cards.read(card, desk.kem)
    if isinstance(read, Answer):
        if alias or again:
            raise UsageError("an answering card says by itself whose it is")
        # On an old copy no card awaits an answer: the newer one may have had it.
        register, met = _register(desk, now).complete(card, kem=desk.kem, now=now)
        return _meeting(desk, desk.by_id(PersonId(met.person)), met, register, answer=None, now=now)
    owner = desk.owner.name
    desk.register.check_first(card, to_me=to_me, reader=owner, kem=desk.kem, now=now)
    person = _from_card(desk, alias or read.terms.holder, again=again)
    theirs = read.terms.carriage
    if theirs is not None and not post.readable(desk, person, theirs):
        raise RefusedError("their card has a place at which too many write to you already: they are to make another")
    terms = Terms(owner, read.terms.holder or person.name, now + days * DAY, post.place_for(desk, person))
    register, answer, met = _register(desk, now).answer(
        card, person.id, terms, to_me=to_me, kem=desk.kem, random=desk.random, now=now
    )
    return _meeting(desk, person, met, register, answer=answer, now=now)


def waiting_card(desk: Desk, person: Person) -> bytes | None:
    """The card that was last made for *person* and may be handed over again."""
    register = desk.register
    name = register.card_for(person.id)
    if name:
        return register.waiting[name].card
    # An answering card carries the name of the card it answers, which the register knows.
    answers = [s.answer for s in register.spent.values() if s.fate is Fate.ANSWERED and s.person == person.id]
    return answers[-1] if answers else None


def withdraw(desk: Desk, person: Person) -> Changes:
    """Withdraw the card that awaits *person*'s answer; somebody never met nor written to is forgotten."""
    register = desk.register.withdraw(person.id)
    known = person.met or any(draft.person == person.id for draft in desk.drafts())
    forgotten: Changes = {} if known else {(records.PEOPLE, person.id): None}
    return _put(register) | forgotten


def check_string(desk: Desk, person: Person, cost: Cost) -> bytes:
    """What both desks' words are read from.

    Raises:
        NegativeError: If the two have not met.
    """
    if not person.met:
        raise NegativeError(f"you have not met {person.name} yet", hint="backchannel people")
    return words.check_string(desk.keys(person).transcript, cost)


def compare(person: Person, check: bytes, heard: str, *, now: int) -> tuple[bool, Changes]:
    """Whether the words heard from *person* are this desk's own, and the note of it, either way.

    Raises:
        UsageError: If they were mistyped, which says nothing.
    """
    same = words.heard_right(check, heard)
    return same, _put_person(replace(person, compared=now if same else 0))


def _register(desk: Desk, now: int) -> Register:
    """What a new card is entered in: without the keys of cards whose time is over."""
    return desk.register.withdraw_all() if desk.restored else desk.register.lapse(now)


def _somebody(desk: Desk, who: str, *, again: bool) -> Person:
    if again:
        return desk.person(who)
    try:
        person = desk.person(who)
    except UnknownPersonError:
        return _new(desk, who)
    if person.met:
        raise RefusedError(
            f"you have met {person.name} already", hint=f'backchannel meet --again "{person.name}" -o FILE'
        )
    return person


def _from_card(desk: Desk, name: str, *, again: str | None) -> Person:
    if again is not None:
        person = desk.person(again)
        if not person.met:
            raise RefusedError(f"you have not met {person.name} before")
        return person
    if not name:
        raise UsageError("this card names nobody: say whose it is", hint='backchannel meet CARD --as "NAME" -o FILE')
    # Two who differ only in case or spaces could both be found by no name.
    known = next((p for p in desk.people() if cards.fold(p.name) == cards.fold(name)), None)
    if known is None:
        return _new(desk, name)
    if known.met:
        raise RefusedError(
            f"you have met somebody called {known.name}: renew their keys with --again, or call this one otherwise with --as",
        )
    return known


def _new(desk: Desk, name: str) -> Person:
    """Somebody under a name that can stand at the head of a letter: *name*, without its spare spaces."""
    name = unicodedata.normalize("NFC", " ".join(name.split()))
    if not name or not cards.is_name(name):
        raise UsageError(
            f"a name is wanted: one line of at most {cards.MAX_NAME} bytes, without characters that are not seen"
        )
    return Person(PersonId.draw(desk.random), name)


def _meeting(desk: Desk, person: Person, met: Met, register: Register, *, answer: bytes | None, now: int) -> Introduced:
    generation = person.generation + 1
    renewed = (*person.renewed, Renewed(person.generation, now, person.compared)) if person.met else ()
    mine, theirs = (met.first, met.second) if answer is None else (met.second, met.first)
    # Who completes a meeting can refuse nothing any more: without a read to
    # spare for their place, the two write by hand.
    if theirs.carriage is not None and not post.readable(desk, person, theirs.carriage):
        theirs = replace(theirs, carriage=None)
    person = replace(
        person,
        terms=(met.first, met.second),
        generation=generation,
        renewed=renewed,
        compared=0,
        mine=mine.carriage,
        theirs=theirs.carriage,
    )
    changes = _put(register) | _put_person(person)
    changes[records.KEYS, keys_name(person, generation)] = met.state.encode()
    return Introduced(person, answer, changes, renewed=generation > 1, transcript=met.state.transcript)


def _put(register: Register) -> Changes:
    return {(records.CARDS, b""): register.encode()}


def _put_person(person: Person) -> Changes:
    return {(records.PEOPLE, person.id): person.encode()}
