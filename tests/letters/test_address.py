import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.errors import UsageError
from backchannel.keys import LetterId, ReleaseSeed
from backchannel.letters import (
    Citation,
    Draft,
    Enclosure,
    Head,
    Items,
    Letter,
    Paragraph,
    Passage,
    Text,
    address,
    draft_of,
)
from tests.letters.strategies import drafts

FIRST = Letter(
    LetterId(b"1" * 32),
    ReleaseSeed(bytes(32)),
    Head(),
    (
        Text(
            salutation="Dear Sir,", blocks=(Paragraph("one two"), Items(("three", "", "four five")), Paragraph("six"))
        ),
        Text(language="ru", blocks=(Paragraph("раз два"),), close="Ваш"),
    ),
)
ID, SEED = LetterId(b"2" * 32), ReleaseSeed(b"s" * 32)


def resolve(number: int) -> Letter:
    return {1: FIRST}[number]


def number(name: LetterId) -> int | None:
    return {FIRST.id: 1}.get(name)


def attach(name: str) -> Enclosure:
    return Enclosure(name.rsplit("/", maxsplit=1)[-1], "text/plain", b"")


def addressed(*passages: Passage, **changes: tuple[int, ...] | tuple[str, ...]) -> Letter:
    draft = Draft(Head(), (Text(),), citations=passages, **changes)  # type: ignore[arg-type]
    return address(draft, id=ID, seed=SEED, resolve=resolve, attach=attach)


@pytest.mark.parametrize(
    ("passage", "first", "last"),
    [
        (Passage(1, 1, 1, 1), 2, 3),
        (Passage(1, 1, 2, 2), 4, 4),
        (Passage(1, 1, 3, 3), 5, 5),
        (Passage(1, 1, 1, 5), 2, 8),
        (Passage(1, 1, 5, 5), 8, 8),
        (Passage(1, 2, 1, 1), 1, 2),
    ],
)
def test_a_passage_is_cited_by_the_units_of_its_paragraphs(passage: Passage, first: int, last: int) -> None:
    letter = addressed(passage)
    assert letter.citations == (Citation(FIRST.id, passage.text - 1, first, last),)
    assert draft_of(letter, number=number, resolve=resolve).citations == (passage,)


@pytest.mark.parametrize(
    ("passage", "reason"),
    [
        (Passage(1, 1, 6, 6), "1:6 cites a paragraph that letter 1 does not have: it has 5"),
        (Passage(1, 1, 2, 9), "1:2-9 cites a paragraph that letter 1 does not have: it has 5"),
        (Passage(1, 2, 2, 2), "1.2:2 cites a paragraph that letter 1 does not have: it has 1"),
        (Passage(1, 3, 1, 1), "1.3:1 cites a text that letter 1 does not have"),
    ],
)
def test_a_passage_that_is_not_there_is_named(passage: Passage, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        addressed(passage)
    assert caught.value.message == reason


@pytest.mark.parametrize(
    ("first", "last", "paragraphs"), [(3, 3, (1, 1)), (3, 4, (1, 2)), (2, 7, (1, 4)), (7, 8, (4, 5))]
)
def test_a_citation_of_units_is_widened_to_their_paragraphs(first: int, last: int, paragraphs: tuple[int, int]) -> None:
    letter = dataclasses.replace(addressed(), citations=(Citation(FIRST.id, 0, first, last),))
    assert draft_of(letter, number=number, resolve=resolve).citations == (Passage(1, 1, *paragraphs),)


def test_passages_of_two_texts_of_one_letter_are_each_of_their_own() -> None:
    passages = Passage(1, 2, 1, 1), Passage(1, 1, 5, 5), Passage(1, 2, 1, 1)
    letter = addressed(*passages)
    assert [(citation.text, citation.first, citation.last) for citation in letter.citations] == [
        (1, 1, 2),
        (0, 8, 8),
        (1, 1, 2),
    ]
    assert draft_of(letter, number=number, resolve=resolve).citations == passages


@pytest.mark.parametrize("citation", [(0, 0, 2), (0, 8, 9), (0, 500, 500), (1, 0, 0), (2, 0, 0)])
def test_a_citation_that_no_passage_can_name_is_left_out(citation: tuple[int, int, int]) -> None:
    letter = dataclasses.replace(addressed(), citations=(Citation(FIRST.id, *citation),))
    assert draft_of(letter, number=number, resolve=resolve).citations == ()


def test_what_the_desk_no_longer_has_is_left_out() -> None:
    gone = LetterId(b"3" * 32)
    letter = dataclasses.replace(addressed(), answers=(gone, FIRST.id), citations=(Citation(gone, 0, 0, 0),))
    draft = draft_of(letter, number=number, resolve=resolve)
    assert draft.answers == (1,)
    assert draft.citations == ()


def test_answers_are_ids_and_enclosures_are_what_is_attached() -> None:
    letter = addressed(answers=(1,), enclosures=("maps/coast.txt",))
    assert letter.answers == (FIRST.id,)
    assert letter.enclosures[0].name == "coast.txt"
    assert draft_of(letter, number=number, resolve=resolve).enclosures == ("coast.txt",)


def test_a_draft_that_is_no_letter_is_refused_when_addressed() -> None:
    with pytest.raises(UsageError, match="two enclosures have the same name"):
        addressed(enclosures=("a/map", "b/map"))


@given(drafts, st.data())
def test_a_draft_comes_back_from_its_letter(draft: Draft, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    draft = dataclasses.replace(
        draft,
        answers=tuple(1 for _ in draft.answers),
        citations=(Passage(1, 1, 1, count),),
        enclosures=tuple(f"{n}.txt" for n, _ in enumerate(draft.enclosures)),
    )
    letter = address(draft, id=ID, seed=SEED, resolve=resolve, attach=attach)
    assert draft_of(Letter.decode(letter.encode()), number=number, resolve=resolve) == draft
