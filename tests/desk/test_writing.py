"""Writing: drafts kept, letters sealed once, recalled, destroyed; and what each refusal says."""

from pathlib import Path

import pytest

from backchannel.desk import records, writing
from backchannel.desk.desk import UnknownPersonError
from backchannel.desk.records import Stage
from backchannel.errors import MalformedError, NegativeError, RefusedError, UsageError
from backchannel.letters import Enclosure, commit, parse
from backchannel.seal import ratchet
from backchannel.seal.ratchet import MAX_IN_TURN, FrozenError, UnansweredError
from tests.desk.two_desks import ANNA, MIKHAIL, prose, strangers, two_desks, unchanged

MAP = Enclosure("map.csv", "text/csv", b"a,b\n")
PLAN = Enclosure("plan.pdf", "application/pdf", b"%PDF")


def test_a_blank_names_both_and_answers_in_the_language_of_the_letter(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        start = writing.blank(anna.desk, anna.person, date="1 May")
        head = parse(start).draft.head
        assert (head.sender, head.recipient, head.date, head.signature) == (ANNA, MIKHAIL, "1 May", ANNA)
        anna.write("Language: de\n\nGuten Tag.\n")
        (number,) = mikhail.receive(anna.pack())
        entry = mikhail.desk.entry(number)
        reply = writing.blank(mikhail.desk, mikhail.person, date="2 May", answering=entry)
        assert parse(reply).draft.texts[0].language == "de"
        assert parse(reply).draft.answers == (number,)


def test_a_draft_is_kept_as_its_text_form_and_replaced_in_place(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, _):
        first, second = anna.save(prose("one")), anna.save(prose("two"))
        assert (first, second) == (1, 2)
        assert anna.save(prose("one, again"), number=first) == first
        drafts = {draft.number: draft.text for draft in anna.desk.drafts()}
        assert "one, again" in drafts[first]
        assert f"From: {ANNA}\nTo: {MIKHAIL}\n" in drafts[first]
        assert "two" in drafts[second]
        empty = anna.save("Language: en\n\n\\\n")
        with unchanged(anna), pytest.raises(UsageError, match=r"^draft 3 is empty$"):
            anna.send(empty)
        anna.desk.commit(writing.discard(anna.desk.draft(empty)))
        anna.desk.commit(writing.discard(anna.desk.draft(first)))
        assert [draft.number for draft in anna.desk.drafts()] == [second]
        with unchanged(anna), pytest.raises(NegativeError, match=r"^there is no draft 1$"):
            anna.save(prose("gone"), number=1)


def test_a_draft_says_what_was_changed_to_read_it(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, _):
        saved = writing.save(anna.desk, anna.person, "Language: en\r\n\r\nCafe\u0301\r\n", now=1)
        assert saved.normalised[:2] == ("line ends", "letters composed (NFC)")
        assert saved.words == 1
        assert "Café" in saved.draft.text


def test_a_draft_that_is_not_in_the_text_form_is_refused_or_kept_as_it_stands(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, _):
        text = "Frm: Anna\n\nHello.\n"
        with unchanged(anna), pytest.raises(MalformedError, match='unknown field "Frm"'):
            anna.save(text)
        kept = writing.save_raw(anna.desk, anna.person, text, enclosures=[MAP], number=None, now=1)
        anna.desk.commit(kept.changes)
        assert anna.desk.draft(1).text == text
        with unchanged(anna), pytest.raises(MalformedError):
            anna.send(1)
        # What came with it is there when the text is mended, and after another bad try.
        again = writing.save_raw(anna.desk, anna.person, text + "x", number=1, now=1)
        anna.desk.commit(again.changes)
        anna.save(prose("Hello."), number=1)
        entry = anna.send(1)
        assert anna.desk.letter(entry).enclosures == (MAP,)


def test_enclosures_are_named_kept_replaced_and_struck_out(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, _):
        number = anna.save(prose("with a map"), enclosures=[MAP])
        assert "Encloses: map.csv" in anna.desk.draft(number).text
        anna.save(anna.desk.draft(number).text, enclosures=[PLAN], number=number)
        assert anna.desk.draft(number).enclosures == (MAP, PLAN)
        newer = Enclosure("map.csv", "text/csv", b"c,d\n")
        anna.save(anna.desk.draft(number).text, enclosures=[newer], number=number)
        assert anna.desk.draft(number).enclosures == (newer, PLAN)
        anna.save(anna.desk.draft(number).text.replace("Encloses: map.csv\n", ""), number=number)
        assert anna.desk.draft(number).enclosures == (PLAN,)
        with unchanged(anna), pytest.raises(UsageError, match=r"“map.csv”: say where it is with --enclose"):
            anna.save("Encloses: map.csv\n\nText\n", number=number)
    assert writing.enclosure("a.pdf", b"").media_type == "application/pdf"
    assert writing.enclosure("a.unheard-of", b"").media_type == "application/octet-stream"


def test_a_reply_names_what_it_answers_once(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        anna.write(prose("a question"))
        (number,) = mikhail.receive(anna.pack())
        text = prose("an answer")
        for given in (text, f"Answers: {number}\n{text}"):
            saved = writing.save(mikhail.desk, mikhail.person, given, answers=number, now=1)
            assert parse(saved.draft.text).draft.answers == (number,)


def test_nothing_is_sent_before_words_were_compared_unless_that_is_said(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two
        anna.card()
        with pytest.raises(UnknownPersonError, match="there is nobody called “Nobody” here"):
            anna.desk.person("Nobody")
        number = anna.save(prose("too early"))
        with unchanged(anna), pytest.raises(RefusedError, match=r"^you have not met Mikhail Orlov yet"):
            anna.send(number)
        anna.commit({(records.PEOPLE, anna.person.id): None, (records.CARDS, b""): None})
        anna.commit(writing.discard(anna.desk.draft(number)))
        two.meet()
        number = anna.save(prose("early"))
        with unchanged(anna), pytest.raises(RefusedError, match=r"^you have not compared words") as refused:
            anna.send(number)
        assert refused.value.hint == f'backchannel compare "{MIKHAIL}"'
        with pytest.raises(RefusedError, match=r"^you have not compared words"):
            anna.write_nothing()
        entry = anna.send(number, uncompared=True)
        assert entry.uncompared
        assert mikhail.receive(anna.pack()) == [1]
        # For that letter only.
        with pytest.raises(RefusedError, match=r"^you have not compared words"):
            anna.write(prose("another"))
        two.compare()
        assert not anna.write(prose("another")).uncompared


def test_a_letter_is_sealed_once_and_its_draft_is_gone(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        draft = anna.save(prose("once"))
        entry = anna.send(draft)
        assert (entry.stage, entry.outgoing, entry.index, entry.words) == (Stage.TRAY, True, 1, 1)
        with unchanged(anna), pytest.raises(NegativeError, match=r"^there is no draft 1$"):
            anna.send(draft)
        envelope = anna.envelope(entry.number)
        mikhail.receive(anna.pack())
        assert anna.envelope(entry.number) == envelope
        anna.pack(again=True)
        assert anna.envelope(entry.number) == envelope


def test_an_empty_letter_says_nothing_and_renews_the_keys(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        mikhail.write(prose("something"))
        anna.receive(mikhail.pack())
        entry = anna.write_nothing()
        assert (entry.kind, entry.id, entry.words) == ("empty", None, 0)
        assert anna.state.turn == 1
        (number,) = mikhail.receive(anna.pack())
        assert mikhail.desk.entry(number).kind == "empty"
        for side, which in ((anna, entry.number), (mikhail, number)):
            with pytest.raises(NegativeError, match=rf"^letter {which} has no text: it is of the kind “empty”$"):
                side.text(which)


def test_a_key_of_a_turn_counts_as_made_here(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, _):
        anna.write(prose("opens a turn"))
        assert anna.state.tx is not None
        assert anna.desk.register.made(anna.state.tx.opening.public)
        before = anna.desk.register
        anna.write(prose("in the same turn"))
        assert anna.desk.register == before


def test_a_letter_in_the_tray_is_recalled_and_never_carried(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        anna.write(prose("the first"))
        entry = anna.write("Encloses: map.csv\nAnswers: 1\nCites: 1:1\n\nNot this.\n", enclosures=[MAP])
        sent = anna.text(entry.number)
        draft = anna.recall(entry.number)
        assert anna.desk.draft(draft).text == sent
        assert anna.desk.draft(draft).enclosures == (MAP,)
        assert anna.desk.entry(entry.number).stage is Stage.RECALLED
        with unchanged(anna), pytest.raises(RefusedError, match=r"^letter 2 cannot be recalled: it is recalled$"):
            anna.recall(entry.number)
        anna.write(prose("the third"))
        opened = mikhail.unpack(anna.pack())
        assert len(opened.arrivals) == 2
        assert opened.missing == (2,)
        assert anna.pack(again=True)
        # As a letter of its own it goes, in another place.
        again = anna.send(draft)
        assert (again.number, again.index) == (4, 4)
        assert len(mikhail.receive(anna.pack())) == 1


def test_what_has_left_or_came_is_not_recalled(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        anna.write(prose("gone"))
        mikhail.receive(anna.pack())
        with unchanged(anna), pytest.raises(RefusedError, match=r"^letter 1 cannot be recalled: it is on its way$"):
            anna.recall(1)
        with unchanged(mikhail), pytest.raises(RefusedError, match=r"^letter 1 is not yours to recall$"):
            mikhail.recall(1)
        mikhail.write(prose("thanks"))
        anna.receive(mikhail.pack())
        with pytest.raises(RefusedError, match=r"^letter 1 cannot be recalled: it is there$"):
            anna.recall(1)
        with pytest.raises(NegativeError, match=r"^there is no letter 99$"):
            anna.recall(99)
        for number in (0, -1, 1 << 63, 1 << 64):
            with pytest.raises(NegativeError, match=r"^there is no letter"):
                anna.desk.entry(number)


def test_a_destroyed_letter_leaves_a_line_with_its_root_or_nothing(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        one, two = anna.write(prose("one")), anna.write(prose("two"))
        with unchanged(anna), pytest.raises(RefusedError, match=r"^letter 1 is in the tray$"):
            anna.destroy(one.number)
        mikhail.receive(anna.pack())
        root = commit(anna.desk.letter(one)).root
        for side in (anna, mikhail):
            side.destroy(1)
            entry = side.desk.entry(1)
            assert (entry.stage, entry.root) == (Stage.DESTROYED, root)
            with pytest.raises(NegativeError, match=r"^letter 1 has no text here: it was destroyed$"):
                side.text(1)
            with unchanged(side), pytest.raises(NegativeError, match=r"^letter 1 is destroyed already$"):
                side.destroy(1)
            side.destroy(2, line=False)
            with pytest.raises(NegativeError, match=r"^there is no letter 2$"):
                side.desk.entry(2)
            assert side.desk.store.get(records.TRAY, records.number_name(2)) is None
        # A destroyed letter is not carried again, and is not opened again either.
        pouch = anna.pack(again=True)
        assert mikhail.unpack(pouch).arrivals == ()
        assert two.id is not None
        assert anna.desk.number_of(two.id) is None


def test_what_holds_no_text_is_destroyed_too(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, _):
        recalled = anna.write(prose("recalled")).number
        anna.recall(recalled)
        empty = anna.write_nothing().number
        anna.pack()
        for number in (recalled, empty):
            anna.destroy(number)
            assert anna.desk.entry(number).root == b""


def test_a_letter_that_cites_a_destroyed_one_is_read_recalled_and_written_without_the_passage(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        anna.write(prose("to be cited"))
        mikhail.receive(anna.pack())
        mikhail.write("Answers: 1\nCites: 1:1\n\nYou say so.\n")
        (number,) = anna.receive(mikhail.pack())
        anna.write(f"Answers: {number}, 1\nCites: 1:1\nCites: {number}:1\n\nI said so.\n")
        assert "Answers: 1\nCites: 1:1\n" in anna.text(number)
        anna.destroy(1)
        assert "Cites" not in anna.text(number)
        assert "You say so." in anna.text(number)
        draft = anna.recall(3)
        assert f"Answers: {number}\nCites: {number}:1\n" in anna.desk.draft(draft).text
        anna.send(draft)


def test_the_number_of_a_letter_without_a_line_is_never_given_again(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        anna.write(prose("one"))
        anna.pack()  # lost
        anna.destroy(1, line=False)
        assert anna.listing() == []
        assert anna.write(prose("two")).number == 2
        opened = mikhail.unpack(anna.pack())
        assert opened.missing == (1,)
        assert [entry.index for entry in mikhail.listing()] == [2]


def test_an_acknowledgement_of_a_letter_without_a_line_acknowledges_no_other(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        anna.write(prose("one"))
        mikhail.receive(anna.pack())
        anna.destroy(1, line=False)
        anna.write(prose("two"))
        anna.pack()  # lost on its way
        mikhail.write(prose("I have your first"))
        anna.receive(mikhail.pack())
        assert anna.desk.entry(2).stage is Stage.LEFT
        assert mikhail.unpack(anna.pack(again=True)).arrivals != ()
        assert [entry.outgoing for entry in mikhail.listing()] == [False, True, False]


def test_a_draft_too_many_for_one_turn_and_a_frozen_correspondence_are_told_with_a_way_out(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, _):
        anna.write_nothing()
        state, name = anna.state, records.KEYS
        assert state.tx is not None
        state.tx.n = MAX_IN_TURN
        key = anna.person.id + (1).to_bytes(4)
        anna.desk.commit({(name, key): state.encode()})
        draft = anna.save(prose("one too many"))
        hint = f'backchannel meet --again "{MIKHAIL}" -o FILE'
        with unchanged(anna), pytest.raises(UnansweredError, match=r"^a thousand letters are unanswered") as full:
            anna.send(draft)
        assert full.value.hint == hint
        anna.desk.commit({(name, key): ratchet.freeze(anna.state, "by its owner's will").encode()})
        with unchanged(anna), pytest.raises(FrozenError, match=r"frozen: by its owner's will$") as frozen:
            anna.send(draft)
        assert frozen.value.hint == hint
