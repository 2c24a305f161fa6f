"""Who may answer what (docs/spec/card.md §3): good meetings, and each refusal with its own words."""

import contextlib
from dataclasses import replace
from typing import Any

import pytest

from backchannel.encoding import Value, decode, encode
from backchannel.errors import MalformedError, RefusedError, UnavailableError, UsageError, VerificationError
from backchannel.kem import PublicKey, XWing
from backchannel.keys import Cost, Digest
from backchannel.seal import card as cards
from backchannel.seal import words
from backchannel.seal.card import Card, Carriage, Terms
from backchannel.seal.meeting import CopiedCardError, Fate, Register
from backchannel.seal.state import FIRST, SECOND
from tests.seal.meeting_desks import DAY, KEM, NOW, Desk, meet, refusal, talk

CHEAP = Cost(memory=32, passes=1, lanes=1)

USED = "this card has been used: you have met"
COPIED = "another answer to this card came before: the card was copied, or this answer altered"
EXPIRED_ANSWER = "this answers a card that has expired: make a new one"
FOREIGN = "this answers no card of this desk: it is for somebody else, or was altered"
ALTERED = "this answering card does not open: it was altered on its way"


@pytest.fixture
def ada() -> Desk:
    return Desk("Ada")


@pytest.fixture
def ben() -> Desk:
    return Desk("Ben")


def edited(card: bytes, **fields: Any) -> bytes:
    """The first card with other terms or another half, under the same key."""
    old = Card.decode(card, cards.LABEL_FIRST)
    half = fields.pop("half", old.half)
    return Card(old.key, half, replace(old.terms, **fields)).encode(cards.LABEL_FIRST)


def answer_parts(answer: bytes) -> list[Value]:
    value = decode(answer)
    assert isinstance(value, tuple)
    return list(value)


def answered_by_stranger(first: bytes, key: PublicKey | None = None, **fields: Any) -> bytes:
    """An answering card as anybody can make who has seen the first: with a key and terms of their own."""
    card, _ = cards.make(Terms("Ben", "Ada", NOW + DAY), kem=KEM, random=Desk("stranger").draw)
    card = Card(key or card.key, card.half, replace(card.terms, **fields))
    to = Card.decode(first, cards.LABEL_FIRST).key
    return cards.seal_answer(card, first, to=to, kem=KEM, random=Desk("stranger too").draw)[0]


def test_two_desks_that_have_met_have_one_transcript_the_same_words_and_keys_that_talk(ada: Desk, ben: Desk) -> None:
    meet(ada, ben)
    assert ada.state.transcript == ben.state.transcript
    checks = [words.check_string(desk.state.transcript, CHEAP) for desk in (ada, ben)]
    assert words.check_words(checks[0]) == words.check_words(checks[1])
    assert (ada.state.role, ben.state.role) == (FIRST, SECOND)
    talk(ada.state, ben.state)


def test_two_desks_meet_with_the_kem_that_ships() -> None:
    ada, ben = Desk("Ada", kem=XWing()), Desk("Ben", kem=XWing())
    meet(ada, ben)
    assert ada.state.transcript == ben.state.transcript
    talk(ada.state, ben.state, kem=XWing())


def test_both_desks_know_both_cards_terms_and_whom_they_made_them_for(ada: Desk, ben: Desk) -> None:
    mine = Terms("Ada", "Ben", NOW + DAY, Carriage(3, 70, Digest(bytes(32))), Digest(b"a" * 32))
    yours = Terms("Ben", "Ada", NOW + 2 * DAY, None, Digest(b"b" * 32))
    card = ada.issue("Ben", terms=mine)
    ada.complete(ben.answer(card, "my friend", terms=yours))
    for desk in (ada, ben):
        assert (desk.met[-1].first, desk.met[-1].second) == (mine, yours)
    assert (ada.met[-1].person, ben.met[-1].person) == (b"Ben", b"my friend")


def test_a_meeting_leaves_no_key_and_no_half_secret_in_either_register(ada: Desk, ben: Desk) -> None:
    card = ada.issue("Ben")
    private, half = ada.drawn
    assert private in ada.register.encode()
    assert half in ada.register.encode()
    ada.complete(ben.answer(card))
    for secret in (*ada.drawn, *ben.drawn[:2], card):
        assert secret not in ada.register.encode()
        assert secret not in ben.register.encode()
    assert not ada.register.waiting


def test_a_card_is_good_until_the_second_it_expires(ada: Desk, ben: Desk) -> None:
    card = ada.issue("Ben", terms=ada.terms("Ben", expires=NOW + 1))
    answer = ben.answer(card, now=NOW)
    assert ada.complete(answer, now=NOW).person == b"Ben"


def test_only_one_card_awaits_each_persons_answer(ada: Desk) -> None:
    card = ada.issue("Ben")
    before = ada.register
    with pytest.raises(UnavailableError, match=r"^a card for them already awaits its answer$"):
        ada.issue("Ben")
    assert ada.register is before
    assert ada.register.card_for(b"Ben") == cards.digest(card)
    assert ada.issue("Cora") != card


@pytest.mark.parametrize("terms", [Terms("Ada", "", NOW), Terms("", "Ben", NOW)])
def test_no_desk_makes_a_card_that_no_desk_would_read(ada: Desk, terms: Terms) -> None:
    with pytest.raises(UsageError, match="both names"):
        ada.issue("Ben", terms=terms)
    assert ada.register == Register()


@pytest.mark.parametrize("terms", [Terms("Ben", "", NOW), Terms("", "Ada", NOW), Terms("", "", NOW)])
def test_no_desk_makes_an_answering_card_without_both_names(ada: Desk, ben: Desk, terms: Terms) -> None:
    card = ada.issue("Ben")
    with pytest.raises(UsageError, match="both names"):
        ben.answer(card, to_me=True, terms=terms)
    assert ben.register == Register()


class TestAFirstCardIsRefused:
    """Reasons 1 to 6."""

    def test_1_when_it_is_cut_short_anywhere(self, ada: Desk, ben: Desk) -> None:
        card = ada.issue("Ben")
        before = ben.register.encode()
        for size in range(len(card)):
            with pytest.raises(MalformedError, match=r"^encoding is shorter than it says$"):
                ben.register.check_first(card[:size], to_me=True, reader="Ben", kem=KEM, now=NOW)
        assert ben.register.encode() == before

    def test_1_when_it_goes_on_after_its_end(self, ada: Desk, ben: Desk) -> None:
        card = ada.issue("Ben")
        error = refusal(ben, lambda: ben.answer(card + b"\0", "Ada"))
        assert error.message == "encoding has bytes after its end"

    def test_1_when_it_is_an_answering_card(self, ada: Desk, ben: Desk) -> None:
        answer = ben.answer(ada.issue("Ben"))
        error = refusal(ada, lambda: ada.register.answer(
            answer, b"Ben", ada.terms("Ben"), to_me=True, kem=KEM, random=ada.draw, now=NOW
        ))  # fmt: skip
        assert error.message == "this is an answering card"

    def test_1_when_its_key_is_not_well_formed(self) -> None:
        ada, ben = Desk("Ada", kem=XWing()), Desk("Ben", kem=XWing())
        card = Card.decode(ada.issue("Ben"), cards.LABEL_FIRST)
        bad = replace(card, key=PublicKey(card.key[:1184] + bytes(32))).encode(cards.LABEL_FIRST)
        assert refusal(ben, lambda: ben.answer(bad)).message == "public key is not well formed"

    @pytest.mark.parametrize("field", ["holder", "reader"])
    def test_1_when_exactly_one_name_is_empty(self, ada: Desk, ben: Desk, field: str) -> None:
        card = edited(ada.issue("Ben"), **{field: ""})
        assert refusal(ben, lambda: ben.answer(card, "Ada")).message == "this card names only one of two"

    def test_2_when_it_comes_back_to_its_maker(self, ada: Desk) -> None:
        card = ada.issue("Ben")
        error = refusal(ada, lambda: ada.answer(card, "Ben", to_me=True))
        assert error.message == "this is a card of your own: hand it to its reader"

    def test_2_when_it_comes_back_with_other_names_on_it(self, ada: Desk) -> None:
        card = edited(ada.issue("Ben"), holder="Ben", reader="Ada")
        error = refusal(ada, lambda: ada.answer(card, "Ben"))
        assert error.message == "this is a card of your own: hand it to its reader"

    def test_2_when_it_comes_back_after_it_was_met_withdrawn_or_has_lapsed(self, ada: Desk, ben: Desk) -> None:
        met, _ = meet(ada, ben)
        withdrawn, lapsed = ada.issue("Cora"), ada.issue("Dan")
        ada.withdraw("Cora")
        ada.register = ada.register.lapse(NOW + 90 * DAY)
        for card in (met, withdrawn, lapsed):
            error = refusal(ada, lambda card=card: ada.answer(card, "Ben", to_me=True))  # type: ignore[misc]
            assert error.message == "this is a card of your own: hand it to its reader"

    def test_2_when_its_key_is_that_of_an_answering_card_of_this_desk(self, ada: Desk, ben: Desk) -> None:
        meet(ada, ben)
        key = ben.state.tx.opening.public if ben.state.tx else None
        assert key
        card = Card(key, Card.decode(Desk("x").issue("y"), cards.LABEL_FIRST).half, Terms("Eve", "Ben", NOW + DAY))
        error = refusal(ben, lambda: ben.answer(card.encode(cards.LABEL_FIRST)))
        assert error.message == "this is a card of your own: hand it to its reader"

    def test_3_when_this_desk_has_answered_it(self, ada: Desk, ben: Desk) -> None:
        card = ada.issue("Ben")
        ben.answer(card)
        assert refusal(ben, lambda: ben.answer(card)).message == "this card has been answered already"
        # With other words on it, too: one key is answered once.
        other = Card.decode(card, cards.LABEL_FIRST)
        later = replace(other, terms=replace(other.terms, expires=NOW + 2 * DAY)).encode(cards.LABEL_FIRST)
        assert refusal(ben, lambda: ben.answer(later)).message == "this card has been answered already"
        # Under another name of one's own for its holder, too.
        assert refusal(ben, lambda: ben.answer(card, "Eve")).message == "this card has been answered already"

    @pytest.mark.parametrize("late", [0, 1, 365 * DAY])
    def test_4_when_it_has_expired(self, ada: Desk, ben: Desk, late: int) -> None:
        card = ada.issue("Ben", terms=ada.terms("Ben", expires=NOW))
        assert refusal(ben, lambda: ben.answer(card, now=NOW + late)).message == "this card has expired"

    def test_5_when_it_names_another_reader(self, ada: Desk) -> None:
        cora = Desk("Cora")
        card = ada.issue("Ben")
        assert refusal(cora, lambda: cora.answer(card)).message == "this card names another reader"

    def test_5_unless_its_reader_says_that_the_name_is_meant_for_them(self, ada: Desk) -> None:
        benjamin = Desk("Benjamin")
        ada.complete(benjamin.answer(ada.issue("Ben"), to_me=True))
        talk(ada.state, benjamin.state)

    @pytest.mark.parametrize("name", ["ben", "BEN"])
    def test_5_but_not_for_the_case_of_a_name(self, ada: Desk, ben: Desk, name: str) -> None:
        assert ben.answer(ada.issue("Ben", terms=ada.terms(name)))

    def test_5_nor_when_it_is_bare(self, ada: Desk, ben: Desk) -> None:
        ada.complete(ben.answer(ada.issue("Ben", terms=Terms("", "", NOW + DAY)), "Ada"))
        talk(ada.state, ben.state)

    def test_6_when_a_card_of_this_desk_for_the_same_person_has_the_lower_digest(self, ada: Desk, ben: Desk) -> None:
        crossed = {ada.issue("Ben"): (ada, ben), ben.issue("Ada"): (ben, ada)}
        stands, yields = sorted(crossed, key=cards.digest)
        desk, other = crossed[stands]
        error = refusal(desk, lambda: desk.answer(yields))
        assert error.message == "you have each made a card for the other, and yours stands: they are to answer it"
        assert other.answer(stands)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_cards_that_cross_make_one_meeting_whoever_is_first_to_look(seed: int, order: tuple[int, int]) -> None:
    desks = Desk(f"Ada {seed}"), Desk(f"Ben {seed}")
    given = {0: desks[1].issue(desks[0].name), 1: desks[0].issue(desks[1].name)}
    answers = {}
    for who in order:
        with contextlib.suppress(RefusedError):
            answers[1 - who] = desks[who].answer(given[who])
    (reader, answer), = answers.items()  # fmt: skip
    desks[reader].complete(answer)
    assert [len(desk.met) for desk in desks] == [1, 1]
    assert not any(desk.register.waiting for desk in desks)
    talk(desks[reader].state, desks[1 - reader].state)
    # The card that gave way is withdrawn: a late answer to it changes nothing.
    late = answered_by_stranger(given[reader])
    assert refusal(desks[1 - reader], lambda: desks[1 - reader].complete(late)).message == (
        "this answers a card that was withdrawn"
    )


def test_cards_for_two_persons_do_not_cross(ada: Desk, ben: Desk) -> None:
    ada.issue("Cora")
    assert ada.answer(ben.issue("Ada"))
    assert ada.register.card_for(b"Cora")


class TestAnAnsweringCardIsRefused:
    """Reasons 7 to 15."""

    def test_7_when_it_is_cut_short_anywhere(self, ada: Desk, ben: Desk) -> None:
        answer = ben.answer(ada.issue("Ben"))
        before = ada.register.encode()
        for size in range(len(answer)):
            with pytest.raises(MalformedError, match=r"^encoding is shorter than it says$"):
                ada.register.complete(answer[:size], kem=KEM, now=NOW)
        assert ada.register.encode() == before

    def test_7_when_it_is_a_first_card(self, ada: Desk, ben: Desk) -> None:
        card = ben.issue("Ada")
        assert refusal(ada, lambda: ada.complete(card)).message == "this is a first card"

    @pytest.mark.parametrize("at", [0, 1, 2])
    def test_7_when_a_field_has_another_type(self, ada: Desk, ben: Desk, at: int) -> None:
        parts = answer_parts(ben.answer(ada.issue("Ben")))
        parts[at] = 0
        error = refusal(ada, lambda: ada.complete(encode(tuple(parts))))
        assert error.message == "this is not a card, or it has been altered"

    def test_7_when_the_name_of_the_first_card_has_another_length(self, ada: Desk, ben: Desk) -> None:
        parts = answer_parts(ben.answer(ada.issue("Ben")))
        error = refusal(ada, lambda: ada.complete(encode((parts[0], bytes(31), parts[2]))))
        assert error.message == "this is not a card, or it has been altered"

    def test_8_when_it_comes_back_to_its_maker(self, ada: Desk, ben: Desk) -> None:
        answer = ben.answer(ada.issue("Ben"))
        error = refusal(ben, lambda: ben.complete(answer))
        assert error.message == "this is an answering card of your own: hand it to its reader"

    def test_9_when_it_has_been_used(self, ada: Desk, ben: Desk) -> None:
        _, answer = meet(ada, ben)
        assert refusal(ada, lambda: ada.complete(answer)).message == USED
        # However late it is, and after the desk has been closed and opened.
        ada.register = Register.decode(ada.register.encode())
        assert refusal(ada, lambda: ada.complete(answer, now=NOW + 365 * DAY)).message == USED

    def test_10_when_another_answer_came_before(self, ada: Desk, ben: Desk) -> None:
        card, answer = meet(ada, ben)
        other = answered_by_stranger(card)
        error = refusal(ada, lambda: ada.complete(other))
        assert isinstance(error, CopiedCardError)
        assert error.message == COPIED
        assert refusal(ada, lambda: ada.complete(answer)).message == USED

    def test_10_when_two_readers_have_answered_one_bare_card(self, ada: Desk, ben: Desk) -> None:
        cora = Desk("Cora")
        card = ada.issue("Ben", terms=Terms("", "", NOW + DAY))
        answers = [ben.answer(card, "Ada"), cora.answer(card, "Ada")]
        ada.complete(answers[1])
        error = refusal(ada, lambda: ada.complete(answers[0]))
        assert isinstance(error, CopiedCardError)

    def test_11_when_the_card_it_answers_was_withdrawn(self, ada: Desk, ben: Desk) -> None:
        answer = ben.answer(ada.issue("Ben"))
        ada.withdraw("Ben")
        assert refusal(ada, lambda: ada.complete(answer)).message == "this answers a card that was withdrawn"
        for secret in ada.drawn:
            assert secret not in ada.register.encode()

    def test_12_when_it_answers_no_card_of_this_desk(self, ada: Desk, ben: Desk) -> None:
        cora = Desk("Cora")
        cora.issue("Ben")
        answer = ben.answer(ada.issue("Ben"))
        assert refusal(cora, lambda: cora.complete(answer)).message == FOREIGN

    @pytest.mark.parametrize("change", [{"expires": NOW + 99 * DAY}, {"holder": "Eva"}, {"archive": Digest(bytes(32))}])
    def test_12_when_the_first_card_was_altered_on_its_way(self, ada: Desk, ben: Desk, change: dict[str, Any]) -> None:
        answer = ben.answer(edited(ada.issue("Ben"), **change), to_me=True)
        assert refusal(ada, lambda: ada.complete(answer)).message == FOREIGN

    def test_12_when_it_names_another_first_card(self, ada: Desk, ben: Desk) -> None:
        parts = answer_parts(ben.answer(ada.issue("Ben")))
        error = refusal(ada, lambda: ada.complete(encode((parts[0], bytes(32), parts[2]))))
        assert error.message == FOREIGN

    @pytest.mark.parametrize("late", [0, 1, 365 * DAY])
    def test_13_when_the_first_card_has_expired(self, ada: Desk, ben: Desk, late: int) -> None:
        answer = ben.answer(ada.issue("Ben", terms=ada.terms("Ben", expires=NOW + DAY)))
        error = refusal(ada, lambda: ada.complete(answer, now=NOW + DAY + late))
        assert error.message == EXPIRED_ANSWER

    def test_13_when_the_answering_card_has_expired(self, ada: Desk, ben: Desk) -> None:
        answer = ben.answer(ada.issue("Ben"), terms=ben.terms("Ada", expires=NOW + DAY))
        assert refusal(ada, lambda: ada.complete(answer, now=NOW + DAY)).message == EXPIRED_ANSWER
        ada.complete(answer, now=NOW + DAY - 1)

    def test_13_when_the_first_card_has_lapsed_and_its_key_is_gone(self, ada: Desk, ben: Desk) -> None:
        answer = ben.answer(ada.issue("Ben", terms=ada.terms("Ben", expires=NOW + DAY)))
        assert ada.register.lapse(NOW + DAY - 1) == ada.register
        ada.register = ada.register.lapse(NOW + DAY)
        for secret in ada.drawn:
            assert secret not in ada.register.encode()
        assert ada.register.spent[next(iter(ada.register.spent))].fate is Fate.EXPIRED
        assert refusal(ada, lambda: ada.complete(answer)).message == EXPIRED_ANSWER

    def test_14_when_its_box_was_edited_anywhere(self, ada: Desk, ben: Desk) -> None:
        answer = ben.answer(ada.issue("Ben"))
        box = answer_parts(answer)[2]
        assert isinstance(box, bytes)
        start = answer.index(box)
        # Each byte of the tag, and one in seven of encapsulation and content.
        for at in [*range(start, len(answer) - 16, 7), *range(len(answer) - 16, len(answer))]:
            bad = answer[:at] + bytes([answer[at] ^ 1]) + answer[at + 1 :]
            with pytest.raises(VerificationError) as refused:
                ada.register.complete(bad, kem=KEM, now=NOW)
            assert refused.value.message == ALTERED
        ada.complete(answer)

    @pytest.mark.parametrize("size", [0, 1, 1135, 1136, 3183, 3185])
    def test_14_when_its_box_has_another_size(self, ada: Desk, ben: Desk, size: int) -> None:
        parts = answer_parts(ben.answer(ada.issue("Ben")))
        assert isinstance(parts[2], bytes)
        bad = encode((parts[0], parts[1], parts[2].ljust(size, b"\0")[:size]))
        assert refusal(ada, lambda: ada.complete(bad)).message == ALTERED

    @pytest.mark.parametrize("size", [0, 1, 1135, 1136, 3183, 3185])
    def test_14_with_the_kem_that_ships_too(self, size: int) -> None:
        ada, ben = Desk("Ada", kem=XWing()), Desk("Ben", kem=XWing())
        parts = answer_parts(ben.answer(ada.issue("Ben")))
        assert isinstance(parts[2], bytes)
        bad = encode((parts[0], parts[1], parts[2].ljust(size, b"\0")[:size]))
        assert refusal(ada, lambda: ada.complete(bad)).message == ALTERED

    def test_14_when_it_was_sealed_to_one_first_card_and_names_another(self, ada: Desk, ben: Desk) -> None:
        cora = Desk("Cora")
        to_ben, to_cora = ada.issue("Ben"), ada.issue("Cora")
        crossed = encode((cards.LABEL_ANSWER, cards.digest(to_cora), answer_parts(ben.answer(to_ben))[2]))
        assert refusal(ada, lambda: ada.complete(crossed)).message == ALTERED
        ada.complete(cora.answer(to_cora))

    def test_14_when_it_names_nobody(self, ada: Desk) -> None:
        anonymous = answered_by_stranger(ada.issue("Ben"), holder="")
        assert refusal(ada, lambda: ada.complete(anonymous)).message == ALTERED

    def test_15_when_it_bears_a_key_of_this_desk(self, ada: Desk) -> None:
        card = ada.issue("Ben")
        key = Card.decode(card, cards.LABEL_FIRST).key
        reflected = answered_by_stranger(card, key=key)
        error = refusal(ada, lambda: ada.complete(reflected))
        assert isinstance(error, VerificationError)
        assert error.message == "this answering card bears a key of this desk's own"

    def test_15_when_it_bears_the_key_of_a_meeting_long_over(self, ada: Desk, ben: Desk) -> None:
        meet(ben, ada)
        assert ada.state.tx
        reflected = answered_by_stranger(ada.issue("Cora"), key=ada.state.tx.opening.public)
        error = refusal(ada, lambda: ada.complete(reflected))
        assert error.message == "this answering card bears a key of this desk's own"


def test_nothing_can_be_withdrawn_that_does_not_await_an_answer(ada: Desk, ben: Desk) -> None:
    assert refusal(ada, lambda: ada.withdraw("Ben")).message == "no card for them awaits an answer"
    meet(ada, ben)
    assert refusal(ada, lambda: ada.withdraw("Ben")).message == "no card for them awaits an answer"


def test_withdrawing_and_lapsing_take_one_card_and_leave_the_others(ada: Desk) -> None:
    ada.issue("Ben", terms=ada.terms("Ben", expires=NOW))
    ada.issue("Cora")
    ada.issue("Dan")
    ada.register = ada.register.lapse(NOW)
    ada.withdraw("Dan")
    assert [waiting.person for waiting in ada.register.waiting.values()] == [b"Cora"]


def test_an_old_copy_of_a_desk_withdraws_every_card_that_awaits_an_answer(ada: Desk, ben: Desk) -> None:
    answer = ben.answer(ada.issue("Ben"))
    ada.issue("Cora")
    keys = ada.register.keys_made
    ada.register = ada.register.withdraw_all()
    assert not ada.register.waiting
    assert {spent.fate for spent in ada.register.spent.values()} == {Fate.WITHDRAWN}
    assert {spent.person for spent in ada.register.spent.values()} == {b"Ben", b"Cora"}
    assert ada.register.keys_made == keys
    for secret in ada.drawn:
        assert secret not in ada.register.encode()
    assert refusal(ada, lambda: ada.complete(answer)).message == "this answers a card that was withdrawn"


def test_the_same_two_can_meet_again_and_get_other_keys(ada: Desk, ben: Desk) -> None:
    meet(ada, ben)
    meet(ben, ada)
    assert len({met.state.transcript for met in (*ada.met, *ben.met)}) == 2
    talk(ben.state, ada.state)


def test_a_register_is_stored_and_read_back(ada: Desk, ben: Desk) -> None:
    meet(ada, ben)
    meet(ben, ada)
    ada.issue("Cora")
    ada.issue("Dan")
    ada.withdraw("Dan")
    raw = ada.register.encode()
    assert Register.decode(raw) == ada.register
    assert Register.decode(raw).encode() == raw


@pytest.mark.parametrize(
    "value",
    [
        (), (1, 2, 3), ((), ()), ((), (), bytes(31)), ((), (), 0), ((), ((bytes(32), "eaten", b"", b""),), b""),
        (((bytes(31), b"", b"", bytes(96)),), (), b""), (((bytes(32), b"", b"", bytes(95)),), (), b""),
        (((bytes(32), b"", b""),), (), b""), 5,
    ],
)  # fmt: skip
def test_a_register_of_another_shape_does_not_parse(value: Value) -> None:
    with pytest.raises(MalformedError, match=r"^a register of cards does not parse$"):
        Register.decode(encode(value))
