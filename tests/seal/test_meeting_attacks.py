"""Who stands between two that meet: a copier of both cards, one who swaps them, one who alters them.

The copier is given bytes and the package's own functions, and nothing else. A
control gives the same attacker one secret more, and it must then find all.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from backchannel import pouch as pouches
from backchannel.errors import RefusedError
from backchannel.kem import PrivateKey, XWing
from backchannel.keys import Cost, Digest, derive, sha256
from backchannel.pouch import ForeignPouchError
from backchannel.seal import card as cards
from backchannel.seal import envelope as envelopes
from backchannel.seal import meeting, ratchet, words
from backchannel.seal.card import Answer, Card, Terms
from backchannel.seal.envelope import HeaderKey
from backchannel.seal.meeting import Register
from backchannel.seal.ratchet import Secrets
from backchannel.seal.state import HalfSecret, PouchKey, State, Transcript
from tests.seal.meeting_desks import DAY, KEM, NOW, Desk, meet

CHEAP = Cost(memory=32, passes=1, lanes=1)
REAL = XWing()


def windows(data: bytes, size: int = 32) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(len(data) - size + 1))


@dataclass
class Copier:
    """Everything that was carried, and what can be had from it."""

    first: bytes
    answer: bytes
    envelopes: list[bytes]
    pouches: list[bytes]
    learned: list[bytes] = field(default_factory=list)  # for the control: what leaked besides

    @property
    def seen(self) -> bytes:
        return b"".join((self.first, self.answer, *self.learned))

    def opens(self, keys: Iterable[bytes]) -> list[str]:
        """Which of *keys* is the key of anything carried."""
        found = []
        for key in keys:
            for envelope in self.envelopes:
                try:
                    envelopes.open_header(envelope, [(0, HeaderKey(key))])
                except envelopes.NoKeyError:
                    continue
                except envelopes.DamagedError:
                    pass  # the key is right, and only the turn that was guessed is not
                found.append("header")
            for pouch in self.pouches:
                with contextlib.suppress(ForeignPouchError):
                    pouches.unpack(pouch, [key])
                    found.append("pouch")
        return found

    def transcripts(self) -> Iterator[Transcript]:
        """Every transcript that can be formed: the third part of the true one is what the card opens to."""
        carried = cards.read(self.answer, REAL)
        assert isinstance(carried, Answer)
        for opened in (b"", carried.box, carried.box[1120:], carried.box[1120:-16], bytes(2048), *self.learned):
            yield Transcript(sha256(meeting.LABEL_TRANSCRIPT, self.first, self.answer, opened))

    def states(self, halves: Iterable[bytes]) -> Iterator[State]:
        """The first card-holder's state for every transcript and every second half secret tried."""
        card = cards.read(self.first, REAL)
        assert isinstance(card, Card)
        for half in halves:
            for transcript in self.transcripts():
                secrets = Secrets(transcript, card.half, HalfSecret(half))
                yield ratchet.start(secrets, answer=card.key, private=None, now=NOW)

    def keys_of(self, states: Iterable[State]) -> Iterator[bytes]:
        for state in states:
            yield state.rx[0].header_key
            yield state.next_header_key
            yield from (key for key, _ in state.pouch_keys.values())


@pytest.fixture(scope="module")
def recorded() -> tuple[Copier, Desk, Desk, PrivateKey]:
    """Two desks meet with X-Wing, write both ways and pack; a copier has all that is carried."""
    ada, ben = Desk("Ada", kem=REAL), Desk("Ben", kem=REAL)
    card = ada.issue("Ben")
    private = ada.register.waiting[cards.digest(card)].private
    answer = ben.answer(card)
    ada.complete(answer)
    carried, packed = [], []
    for desk in (ada, ben):
        state, envelope = ratchet.write(desk.state, b"a letter", kem=REAL, random=desk.draw, now=NOW)
        carried.append(envelope)
        packed += [
            pouches.pack([envelope], ratchet.carrying_key(state), desk.draw),
            pouches.pack([], ratchet.carrying_key(state), desk.draw),
        ]
    return Copier(card, answer, carried, packed), ada, ben, private


def test_a_copier_of_both_cards_learns_the_names_the_dates_and_the_first_half_secret(
    recorded: tuple[Copier, Desk, Desk, PrivateKey],
) -> None:
    copier, *_ = recorded
    card = cards.read(copier.first, REAL)
    assert isinstance(card, Card)
    assert card.terms == Terms("Ada", "Ben", NOW + 30 * DAY)
    answer = cards.read(copier.answer, REAL)
    assert isinstance(answer, Answer)
    assert answer.first == cards.digest(copier.first)


def test_a_copier_finds_no_key_of_header_or_pouch_among_the_bytes_of_both_cards(
    recorded: tuple[Copier, Desk, Desk, PrivateKey],
) -> None:
    copier, *_ = recorded
    assert copier.opens(windows(copier.seen)) == []


def test_a_copier_finds_no_second_half_secret_among_the_bytes_of_both_cards(
    recorded: tuple[Copier, Desk, Desk, PrivateKey],
) -> None:
    copier, *_ = recorded
    _, ada, ben, _ = recorded
    # Held against what the desks have: to try every key on everything carried would take minutes.
    real = {bytes(key) for key in (*copier.keys_of([ada.state]), ben.state.root, ada.state.next_header_key)}
    made = {bytes(key) for key in copier.keys_of(copier.states(windows(copier.seen)))}
    assert len(made) > 50_000
    assert not made & real


def test_a_copier_opens_the_answering_card_with_no_private_key_found_in_the_cards(
    recorded: tuple[Copier, Desk, Desk, PrivateKey],
) -> None:
    copier, *_ = recorded
    answer = cards.read(copier.answer, REAL)
    assert isinstance(answer, Answer)
    tried = 0
    for candidate in list(windows(copier.seen, 96))[::16]:
        with pytest.raises(RefusedError):
            cards.open_answer(answer, PrivateKey(candidate), REAL)
        tried += 1
    assert tried > 200


def test_the_same_copier_finds_everything_once_it_has_the_first_cards_private_key(
    recorded: tuple[Copier, Desk, Desk, PrivateKey],
) -> None:
    copier, ada, _, private = recorded
    answer = cards.read(copier.answer, REAL)
    assert isinstance(answer, Answer)
    card, opened = cards.open_answer(answer, private, REAL)
    control = Copier(copier.first, copier.answer, copier.envelopes, copier.pouches, [opened])
    at = opened.index(card.half)
    keys = list(control.keys_of(control.states(list(windows(opened))[at - 1 : at + 2])))
    assert ada.state.rx[0].header_key in keys
    assert {"header", "pouch"} <= set(control.opens(keys))


def test_a_copier_cannot_take_up_either_desks_place(recorded: tuple[Copier, Desk, Desk, PrivateKey]) -> None:
    copier, ada, ben, _ = recorded
    # Its own register, restored or not, awaits no answer; what it makes itself, nobody of the two accepts.
    with pytest.raises(RefusedError):
        Register().complete(copier.answer, kem=REAL, now=NOW)
    eve = Desk("Eve", kem=REAL)
    late = eve.answer(copier.first, to_me=True)
    for desk in (ada, ben):
        with pytest.raises(RefusedError):
            desk.complete(late)
    _, forged = ratchet.write(eve.state, b"I am Ben", kem=REAL, random=eve.draw, now=NOW)
    for desk in (ada, ben):
        with pytest.raises(envelopes.NoKeyError):
            ratchet.read(desk.state, forged, kem=REAL, now=NOW)
        with pytest.raises(ForeignPouchError):
            pouches.unpack(
                pouches.pack([forged], ratchet.carrying_key(eve.state), eve.draw), ratchet.opening_keys(desk.state)
            )


def test_what_is_carried_has_nothing_in_common_with_the_cards_or_with_itself(
    recorded: tuple[Copier, Desk, Desk, PrivateKey],
) -> None:
    copier, *_ = recorded
    parts = [copier.first, copier.answer, *copier.envelopes, *copier.pouches]
    seen: set[bytes] = set()
    for part in parts:
        # The two cards share the beginning of their labels, which make them what they are.
        fresh = set(windows(part, 8))
        shared = seen & fresh
        if part is copier.answer:
            shared = {window for window in shared if window not in cards.LABEL_FIRST}
        assert not shared
        seen |= fresh


def test_a_copier_cannot_tell_how_many_letters_a_pouch_holds_or_whose_turn_it_is() -> None:
    ada, ben = Desk("Ada"), Desk("Ben")
    meet(ada, ben)
    state, sizes = ben.state, []
    for count in range(8):
        written: list[bytes] = []
        for number in range(count):
            state, envelope = ratchet.write(state, b"letter %d" % number, kem=KEM, random=ben.draw, now=NOW)
            written.append(envelope)
        sizes.append(len(pouches.pack(written, PouchKey(ratchet.carrying_key(state)), ben.draw)))
    assert set(sizes) == {64 * 1024}


@pytest.mark.parametrize("kem", [KEM, REAL], ids=["seeded", "x-wing"])
def test_one_who_answers_each_in_the_others_name_is_found_out_by_the_words(kem: object) -> None:
    kem = REAL if kem is REAL else KEM
    ada, ben = Desk("Ada", kem=kem), Desk("Ben", kem=kem)
    to_ada, to_ben = Desk("Ben", kem=kem), Desk("Ada", kem=kem)  # both are Mallory
    to_ada.generator.seed(1)
    to_ben.generator.seed(2)
    kept_back = ada.issue("Ben")
    ben_answers = ben.answer(to_ben.issue("Ben"))
    to_ben.complete(ben_answers)
    ada.complete(to_ada.answer(kept_back))
    # Both meetings are good ones, with the names each expects ...
    assert ada.met[-1].second.holder == "Ben"
    assert ben.met[-1].first.holder == "Ada"
    assert ada.state.transcript == to_ada.state.transcript
    assert ben.state.transcript == to_ben.state.transcript
    # ... and only the words say that they are two.
    checks = [words.check_string(desk.state.transcript, CHEAP) for desk in (ada, ben)]
    assert words.check_words(checks[0]) != words.check_words(checks[1])
    assert words.check_digits(checks[0]) != words.check_digits(checks[1])
    assert not words.heard_right(checks[0], " ".join(words.check_words(checks[1])))


def positions(card: bytes, *fields: bytes) -> list[int]:
    """Every byte outside the long random *fields*, and three of each of these."""
    inside: set[int] = set()
    sampled: set[int] = set()
    for value in fields:
        start = card.index(value)
        inside |= set(range(start, start + len(value)))
        sampled |= {start, start + len(value) // 2, start + len(value) - 1}
    return sorted(set(range(len(card))) - inside | sampled)


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
def test_no_byte_of_a_first_card_can_be_altered_without_a_refusal_or_other_words(flip: int) -> None:
    ada = Desk("Ada")
    terms = Terms("Ada", "Ben", NOW + 30 * DAY, cards.Carriage(3, 70_000, Digest(b"c" * 32)), Digest(b"a" * 32))
    card = ada.issue("Ben", terms=terms)
    parts = Card.decode(card, cards.LABEL_FIRST)
    tried = positions(card, parts.key, parts.half, b"c" * 32, b"a" * 32)
    assert len(tried) > 60
    outcomes = set()
    for at in tried:
        altered = card[:at] + bytes([card[at] ^ flip]) + card[at + 1 :]
        outcomes.add(carry(ada, altered, lambda answer: answer))
    assert outcomes <= {"first card refused", "answering card refused"}
    assert len(outcomes) == 2


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
def test_no_byte_of_an_answering_card_can_be_altered_without_a_refusal(flip: int) -> None:
    ada = Desk("Ada")
    card = ada.issue("Ben")
    box = decoded_box(Desk("Ben").answer(card))
    answer = Desk("Ben").answer(card)
    for at in [*positions(answer, box), *range(len(answer) - len(box), len(answer), 97)]:
        assert carry(
            ada, card, lambda answer, at=at: answer[:at] + bytes([answer[at] ^ flip]) + answer[at + 1 :]
        ) == "answering card refused"  # fmt: skip


def decoded_box(answer: bytes) -> bytes:
    carried = cards.read(answer, KEM)
    assert isinstance(carried, Answer)
    return carried.box


def carry(ada: Desk, first: bytes, way: object) -> str:
    """Carry one card each way between two who would accept any name; what comes of it."""
    assert callable(way)
    ben, register = Desk("Ben"), ada.register
    try:
        answer = ben.answer(first, "Ada", to_me=True)
    except RefusedError:
        return "first card refused"
    try:
        _, met = register.complete(way(answer), kem=KEM, now=NOW)
    except RefusedError:
        return "answering card refused"
    return "the same words" if met.state.transcript == ben.state.transcript else "other words"


def test_two_cards_carried_as_they_are_do_meet() -> None:
    ada = Desk("Ada")
    assert carry(ada, ada.issue("Ben"), lambda answer: answer) == "the same words"


def test_transcripts_differ_in_each_of_their_three_parts() -> None:
    parts = [b"first", b"answer", b"opened"]
    made = {bytes(meeting._transcript(*parts))}
    for at in range(3):
        changed = [*parts]
        changed[at] += b"!"
        made.add(bytes(meeting._transcript(*changed)))
    made.add(bytes(meeting._transcript(b"firsta", b"nswer", b"opened")))
    assert len(made) == 5


def test_keys_depend_on_both_halves_and_on_the_transcript() -> None:
    card, _ = cards.make(Terms("Ada", "Ben", NOW), kem=KEM, random=Desk("x").draw)
    whole = [bytes(32), b"1" * 32, b"2" * 32]
    keys = set()
    for at in (None, 0, 1, 2):
        parts = [b"x" * 32 if at == number else part for number, part in enumerate(whole)]
        secrets = Secrets(Transcript(parts[0]), HalfSecret(parts[1]), HalfSecret(parts[2]))
        keys.add(bytes(ratchet.start(secrets, answer=card.key, private=None, now=NOW).root))
    assert len(keys) == 4
    assert len({bytes(key) for key in derive(bytes(32), b"", b"", count=6)}) == 6
