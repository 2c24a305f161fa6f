"""Meeting on real desks: cards made, crossed, withdrawn, expired, met again; a refusal changes nothing."""

from pathlib import Path

import pytest

from backchannel.desk import introductions, records
from backchannel.desk.desk import UnknownPersonError
from backchannel.errors import (
    MalformedError,
    NegativeError,
    RefusedError,
    UnavailableError,
    UsageError,
    VerificationError,
)
from backchannel.kem import XWing
from backchannel.seal import card as cards
from backchannel.seal import ratchet
from backchannel.seal.card import Terms
from backchannel.seal.meeting import CopiedCardError, Fate
from tests.desk.two_desks import ANNA, DAY, MIKHAIL, START, Side, Two, prose, side, strangers, two_desks, unchanged


def test_two_desks_that_met_show_the_same_words_and_all_four_names(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two.meet()
        assert anna.words() == mikhail.words()
        assert len(anna.words()) == 8
        for each in two:
            first, second = each.person.terms
            assert (first.holder, first.reader) == (ANNA, MIKHAIL)
            assert (second.holder, second.reader) == (MIKHAIL, ANNA)
            assert each.person.met
            assert not each.person.compared


def test_words_that_differ_undo_the_comparison_and_mistyped_ones_change_nothing(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two.meet()
        other = ["zoo" if word != "zoo" else "zone" for word in mikhail.words()]
        with unchanged(anna), pytest.raises(UsageError):
            anna.compare(["river"])
        assert not anna.compare(other)
        assert anna.person.compared == 0
        assert anna.compare(mikhail.words())
        assert anna.desk.person(MIKHAIL).compared == START
        # Somebody stood between them after all, or they misheard before: the last word counts.
        assert not anna.compare(other)
        assert anna.desk.people()[0].compared == 0
    with strangers(tmp_path / "others") as two:
        two.first.card()
        with pytest.raises(NegativeError, match=r"^you have not met Mikhail Orlov yet"):
            two.first.words()


def test_every_refused_card_changes_nothing(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two
        first = anna.card()
        refused: list[tuple[Side, bytes, type[Exception], str | None]] = [
            (anna, first, RefusedError, "^this is a card of your own: hand it to its reader$"),
            (mikhail, first[:-1], MalformedError, None),
            (mikhail, first + b"\0", MalformedError, None),
            (mikhail, b"", MalformedError, None),
            (mikhail, bytes(9000), MalformedError, "^this is not a card$"),
        ]
        for each, card, error, message in refused:
            with unchanged(*two), pytest.raises(error, match=message):
                each.introduced(card)
        answer = mikhail.answer(first)
        damaged = answer[:-1] + bytes([answer[-1] ^ 1])
        answered: list[tuple[Side, bytes, type[Exception], str | None]] = [
            (mikhail, first, RefusedError, "^this card has been answered already$"),
            (mikhail, answer, RefusedError, "^this is an answering card of your own: hand it to its reader$"),
            (anna, damaged, VerificationError, "^this answering card does not open"),
        ]
        for each, card, error, message in answered:
            with unchanged(*two), pytest.raises(error, match=message):
                each.introduced(card)
        with unchanged(*two), pytest.raises(UsageError, match=r"^an answering card says by itself whose it is$"):
            anna.introduced(answer, alias="Misha")
        anna.introduced(answer)
        with unchanged(*two), pytest.raises(RefusedError, match=r"^this card has been used: you have met$"):
            anna.introduced(answer)
        with unchanged(*two), pytest.raises(RefusedError, match=r"^you have met Mikhail Orlov already$") as met:
            anna.card()
        assert met.value.hint == f'backchannel meet --again "{MIKHAIL}" -o FILE'


def test_a_card_that_was_copied_and_answered_twice_is_told(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two
        thief = side(tmp_path, MIKHAIL, ANNA, place="thief", clock=two.clock)
        first = anna.card()
        theirs, his = thief.answer(first), mikhail.answer(first)
        anna.introduced(theirs)
        with unchanged(anna), pytest.raises(CopiedCardError):
            anna.introduced(his)
        assert anna.words() == thief.words() != mikhail.words()
        thief.close()


def test_a_card_for_another_reader_or_bare_is_answered_on_the_owners_word(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two
        card = anna.card("Misha")
        with unchanged(*two), pytest.raises(RefusedError, match=r"^this card names another reader$"):
            mikhail.introduced(card)
        answer = mikhail.introduced(card, to_me=True).answer
        assert answer is not None
        anna.introduced(answer)
        assert [person.name for person in anna.desk.people()] == ["Misha"]
        assert anna.desk.person("misha").terms[1].reader == ANNA
    with strangers(tmp_path / "bare") as two:
        anna, mikhail = two
        card = anna.card(bare=True)
        assert ANNA.encode() not in card
        with unchanged(*two), pytest.raises(UsageError, match=r"^this card names nobody: say whose it is$"):
            mikhail.introduced(card)
        answer = mikhail.introduced(card, alias=ANNA).answer
        assert answer is not None
        anna.introduced(answer)
        assert anna.words() == mikhail.words()


def test_when_both_made_first_cards_both_desks_pick_the_same(tmp_path: Path) -> None:
    for turn in range(4):
        with strangers(tmp_path / str(turn)) as two:
            sides = sorted(((cards.digest(each.card()), each) for each in two), key=lambda pair: pair[0])
            (_, lower), (_, higher) = sides
            low, high = (introductions.waiting_card(each.desk, each.person) for each in (lower, higher))
            assert low is not None
            assert high is not None
            with unchanged(*two), pytest.raises(RefusedError, match=r"yours stands: they are to answer it$"):
                lower.introduced(high)
            answer = higher.answer(low)
            lower.introduced(answer)
            assert lower.words() == higher.words()
            assert [spent.fate for spent in higher.desk.register.spent.values()] == [Fate.WITHDRAWN, Fate.ANSWERED]
            # The one that was withdrawn by it is dead.
            with unchanged(*two), pytest.raises(RefusedError):
                lower.introduced(high)


def test_somebody_of_a_name_that_was_met_is_called_otherwise(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, mikhail = two
        other = side(tmp_path, MIKHAIL, ANNA, place="other", clock=two.clock)
        card = other.card()
        with unchanged(anna), pytest.raises(RefusedError, match=r"call this one otherwise with --as$"):
            anna.introduced(card)
        for alias in ("mikhail  ORLOV", " Mikhail Orlov "):
            with unchanged(anna), pytest.raises(RefusedError, match=r"call this one otherwise with --as$"):
                anna.introduced(card, alias=alias)
        met = anna.introduced(card, alias="Mikhail the younger")
        assert met.answer is not None
        other.introduced(met.answer)
        with pytest.raises(UsageError, match=r"may be any of: Mikhail Orlov, Mikhail the younger$"):
            anna.desk.person("mikhail")
        assert anna.desk.person("younger").id != anna.desk.person(MIKHAIL).id
        assert anna.desk.person("mikhail orlov").id == anna.person.id
        with pytest.raises(UnknownPersonError) as unknown:
            anna.desk.person("")
        assert unknown.value.known == [MIKHAIL, "Mikhail the younger"]
        assert mikhail.words() == anna.words()
        other.close()


@pytest.mark.parametrize("name", ["", "  ", "\t\n", "a\x1bb", "x" * 201, "\ud800"])
def test_nobody_is_known_by_what_cannot_stand_at_the_head_of_a_letter(tmp_path: Path, name: str) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two
        for bare in (True, False):
            with unchanged(anna), pytest.raises(UsageError, match="a name"):
                introductions.make_card(anna.desk, name, days=30, bare=bare, again=False, now=START)
        card = mikhail.card(bare=True)
        with unchanged(anna), pytest.raises(UsageError, match="name"):
            anna.introduced(card, alias=name)


def test_spare_spaces_on_a_card_do_not_make_somebody_else_or_nobody_to_write_to(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, _ = two
        kem = XWing()
        for at, holder in enumerate(("Karl  Weiss", "Karl Weiss", "karl weiss")):
            terms = Terms(holder, ANNA, START + DAY)
            card, _ = cards.make(terms, kem=kem, random=anna.random)
            raw = card.encode(cards.LABEL_FIRST)
            if at == 0:
                assert anna.introduced(raw).person.name == "Karl Weiss"
            else:
                with unchanged(anna), pytest.raises(RefusedError, match="called Karl Weiss"):
                    anna.introduced(raw)
        anna.peer = "Karl Weiss"
        anna.write(prose("Dear Karl"), uncompared=True)


def test_a_withdrawn_card_is_no_longer_answered_and_its_reader_forgotten(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two
        answer = mikhail.answer(anna.card())
        anna.desk.commit(introductions.withdraw(anna.desk, anna.person))
        assert anna.desk.people() == []
        assert anna.desk.register.waiting == {}
        with unchanged(anna), pytest.raises(RefusedError, match=r"^this answers a card that was withdrawn$"):
            anna.introduced(answer)
        anna.card()
        assert [person.name for person in anna.desk.people()] == [MIKHAIL]


def test_somebody_a_draft_is_addressed_to_is_not_forgotten_with_the_card(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two
        anna.card()
        draft = anna.save(prose("for when we have met"))
        anna.desk.commit(introductions.withdraw(anna.desk, anna.person))
        assert anna.desk.by_id(anna.desk.draft(draft).person).name == MIKHAIL
        with unchanged(anna), pytest.raises(RefusedError, match=r"^no card for them awaits an answer$"):
            introductions.withdraw(anna.desk, anna.person)
        anna.introduced(mikhail.answer(anna.card()))
        anna.send(draft, uncompared=True)


def test_an_expired_card_is_refused_and_the_next_card_erases_its_key(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two
        card = anna.card(days=1)
        (waiting,) = anna.desk.register.waiting.values()
        answer = mikhail.answer(card)
        two.clock.time += DAY
        with (
            unchanged(anna),
            pytest.raises(RefusedError, match=r"^this answers a card that has expired: make a new one$"),
        ):
            anna.introduced(answer)
        third = side(tmp_path, "Karl Weiss", ANNA, place="third", clock=two.clock)
        with unchanged(third), pytest.raises(RefusedError, match=r"^this card has expired$"):
            third.introduced(card, to_me=True)
        assert any(bytes(waiting.private) in body for body in anna.bodies().values())
        anna.card("Karl Weiss")
        assert not any(bytes(waiting.private) in body for body in anna.bodies().values())
        with (
            unchanged(anna),
            pytest.raises(RefusedError, match=r"^this answers a card that has expired: make a new one$"),
        ):
            anna.introduced(answer)
        # A new one for him is possible, since the old one no longer waits.
        assert anna.card() != card
        third.close()


def test_a_card_for_nobody_or_for_no_day_is_not_made(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two
        with unchanged(anna), pytest.raises(UsageError, match=r"^a card is good for a day at least$"):
            anna.card(days=0)
        with unchanged(anna), pytest.raises(UnknownPersonError):
            anna.card(again=True)
        anna.card()
        with unchanged(anna), pytest.raises(UnavailableError, match=r"^a card for them already awaits its answer$"):
            anna.card()
        card = mikhail.card()
        with unchanged(anna), pytest.raises(RefusedError, match=r"^you have not met Mikhail Orlov before$"):
            anna.introduced(card, again=MIKHAIL)


def test_a_card_that_did_not_arrive_is_handed_over_again(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two
        card = anna.card()
        assert introductions.waiting_card(anna.desk, anna.person) == card
        answer = mikhail.answer(card)
        assert introductions.waiting_card(mikhail.desk, mikhail.person) == answer
        anna.introduced(answer)
        assert introductions.waiting_card(anna.desk, anna.person) is None
        again = anna.card(again=True)
        assert introductions.waiting_card(anna.desk, anna.person) == again
        newer = mikhail.answer(again, again=True)
        assert introductions.waiting_card(mikhail.desk, mikhail.person) == newer
        karl = side(tmp_path, "Karl Weiss", MIKHAIL, clock=two.clock)
        to_karl = mikhail.answer(karl.card())
        assert introductions.waiting_card(mikhail.desk, mikhail.person) == newer
        assert introductions.waiting_card(mikhail.desk, mikhail.desk.person("Karl Weiss")) == to_karl
        karl.close()


def test_meeting_again_makes_new_keys_in_the_same_thread_and_reads_what_is_under_way(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, mikhail = two
        old_words, old_keys = anna.words(), anna.state.pouch_keys
        anna.write(prose("under the old keys, on its way"))
        on_its_way = anna.pack()
        anna.write(prose("under the old keys, in the tray"))
        mikhail.write(prose("from Mikhail, under the old keys"))
        his = mikhail.pack()
        card = mikhail.card(again=True)
        answer = anna.answer(card, again=True)
        # She has the new keys and he has not: his letters come all the same.
        anna.receive(his)
        late = mikhail.write(prose("written before the answer came"))
        anna.receive(mikhail.pack())
        mikhail.introduced(answer)
        for each in two:
            assert each.person.generations == (2, 1)
            assert not each.person.compared
            with unchanged(each), pytest.raises(RefusedError, match=r"^you have not compared words"):
                each.write_nothing()
        assert anna.words() == mikhail.words() != old_words
        assert anna.state.pouch_keys != old_keys
        two.compare()
        anna.write(prose("under the new keys"))
        assert mikhail.receive(on_its_way) == [3]
        assert mikhail.receive(anna.pack()) == [4, 5]
        mikhail.write(prose("under the new keys too"))
        anna.receive(mikhail.pack())
        entries = mikhail.listing()
        assert [entry.generation for entry in entries] == [1, 1, 1, 1, 2, 2]
        assert {entry.person for entry in entries} == {mikhail.person.id}
        assert late.number == 2


def test_old_keys_lapse_three_months_after_the_two_met_again(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, mikhail = two
        anna.write(prose("on its way for a hundred days"))
        late = anna.pack()
        two.meet_again()
        two.clock.time += ratchet.KEPT_SECONDS
        two.meet_again()
        assert anna.person.generations == (3, 2, 1)
        for each in two:
            with unchanged(each):
                each.desk.lapse(each.now)
        two.clock.time += 1
        for each in two:
            each.desk.lapse(each.now)
            assert each.person.generations == (3, 2)
            assert len(each.desk.store.names(records.KEYS)) == 2
            with unchanged(each):
                each.desk.lapse(each.now)
        with unchanged(mikhail), pytest.raises(VerificationError, match=r"^this pouch is not for this desk"):
            mikhail.unpack(late)


def test_time_erases_the_keys_of_letters_that_never_came_and_of_cards_never_answered(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, mikhail = two
        anna.write(prose("lost"))
        anna.pack()
        anna.write(prose("came"))
        mikhail.receive(anna.pack())
        mikhail.card("Karl Weiss")
        (waiting,) = mikhail.desk.register.waiting.values()
        ((_, (skipped, _)),) = mikhail.state.skipped.items()
        for passed, card, key in ((30 * DAY, False, True), (ratchet.KEPT_SECONDS - 30 * DAY + 1, False, False)):
            two.clock.time += passed
            mikhail.desk.lapse(mikhail.now)
            dump = mikhail.bodies().values()
            assert any(bytes(waiting.private) in body for body in dump) == card
            assert any(bytes(skipped) in body for body in dump) == key
        assert mikhail.state.missing == ()


def test_a_frozen_correspondence_ends_by_meeting_again(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, mikhail = two
        freeze(anna)
        with unchanged(anna), pytest.raises(RefusedError, match=r"^this correspondence is frozen: two histories$"):
            anna.write_nothing()
        two.meet_again().compare()
        assert anna.desk.keys(anna.person, 1).frozen
        assert not anna.state.frozen
        anna.write(prose("again"))
        assert mikhail.receive(anna.pack()) == [1]


def test_both_may_begin_to_meet_again_at_once(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        raw = {each.name: each.card(again=True) for each in two}
        lower, higher = sorted(two, key=lambda each: cards.digest(raw[each.name]))
        with unchanged(*two), pytest.raises(RefusedError, match="yours stands"):
            lower.introduced(raw[higher.name], again=higher.name)
        lower.introduced(higher.answer(raw[lower.name], again=True))
        Two(lower, higher, two.clock).compare()
        lower.write(prose("new"))
        higher.receive(lower.pack())


def freeze(each: Side) -> None:
    """Only the last of the steps that a theft takes: the rest is the ratchet's to show."""
    person = each.person
    name = person.id + person.generation.to_bytes(4)
    each.desk.commit({(records.KEYS, name): ratchet.freeze(each.state, "two histories").encode()})
