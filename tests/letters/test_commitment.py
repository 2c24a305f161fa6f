import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.keys import LetterId, ReleaseSeed
from backchannel.letters import Head, Items, Letter, Paragraph, Role, SignatureState, Text, commit
from backchannel.letters.commitment import (
    Context,
    SaltSeed,
    node,
    salt_children,
    salt_root,
    split_width,
    text_context,
    text_units,
    tree_root,
)
from tests.letters import commitment_peer
from tests.letters.strategies import letters

CONTEXT, SEED = Context(bytes(range(32))), SaltSeed(bytes(range(32, 64)))
LETTER = Letter(LetterId(bytes(32)), ReleaseSeed(bytes(32)), Head("A", "B"), (Text(salutation="Dear Sir,"),))


def numbered(width: int) -> list[str]:
    return [f"unit {n} " for n in range(width)]


@given(letters)
@settings(max_examples=60)
def test_the_letter_root_is_what_a_second_implementation_makes_it(letter: Letter) -> None:
    assert commit(letter).root == commitment_peer.letter_root(letter)


@pytest.mark.parametrize("words", [1, 2, 3, 7, 8, 9, 100, 255, 256, 257])
def test_it_is_at_every_shape_of_the_tree(words: int) -> None:
    letter = dataclasses.replace(LETTER, texts=(Text(blocks=(Paragraph("word " * words),)),))
    assert commit(letter).root == commitment_peer.letter_root(letter)


@given(st.integers(2, 2**40))
def test_the_left_side_is_the_largest_power_of_two_below_the_width(width: int) -> None:
    left = split_width(width)
    assert left.bit_count() == 1
    assert left < width <= 2 * left


@pytest.mark.parametrize("width", range(2, 34))
def test_the_seed_of_a_subtree_and_its_units_give_its_hash(width: int) -> None:
    units, left = numbered(width), split_width(width)
    left_seed, right_seed = salt_children(SEED)
    whole = node(
        tree_root(CONTEXT, left_seed, units[:left]),
        tree_root(CONTEXT, right_seed, units[left:], first=left),
    )
    assert whole == tree_root(CONTEXT, SEED, units)


def test_a_unit_is_bound_to_its_place_its_text_and_its_salt() -> None:
    root = tree_root(CONTEXT, SEED, ["unit"])
    assert root != tree_root(CONTEXT, SEED, ["unit"], first=1)
    assert root != tree_root(CONTEXT, SEED, ["unit "])
    assert root != tree_root(CONTEXT, salt_children(SEED)[0], ["unit"])
    assert root != tree_root(Context(bytes(32)), SEED, ["unit"])


@pytest.mark.parametrize(
    "change",
    [
        {"seed": ReleaseSeed(bytes(31) + b"\1")},
        {"head": Head("A", "C")},
        {"head": Head("A", "B", state=SignatureState.SIGNED)},
        {"head": Head("AB", "")},
        {"texts": (Text(salutation="Dear Sir, "),)},
        {"texts": (Text(salutation="Dear", blocks=(Paragraph("Sir,"),)),)},
        {"texts": (Text(salutation="Dear Sir,", language="de"),)},
        {"texts": (Text(salutation="Dear Sir,", role=Role.TRANSLATION),)},
        {"texts": (Text(salutation="Dear Sir,"), Text())},
    ],
)
def test_the_root_changes_with_anything_it_pins(change: dict[str, object]) -> None:
    assert commit(dataclasses.replace(LETTER, **change)).root != commit(LETTER).root  # type: ignore[arg-type]


def test_two_texts_that_change_places_have_other_roots() -> None:
    one, two = Text(language="de"), Text(language="ru")
    roots = [commit(dataclasses.replace(LETTER, texts=texts)) for texts in ((one, two), (two, one))]
    assert {text.root for text in roots[0].texts[1:]}.isdisjoint(text.root for text in roots[1].texts[1:])


def test_a_list_and_paragraphs_of_the_same_words_are_committed_to_alike() -> None:
    # The words are what is pinned; that they stood in a list is the editor's to show.
    paragraphs = Text(salutation="Dear Sir,", blocks=(Paragraph("one"), Paragraph("two")))
    items = Text(salutation="Dear Sir,", blocks=(Items(("one", "two")),))
    assert text_units(paragraphs)[1] == (0, 2, 3, 4)
    roots = {commit(dataclasses.replace(LETTER, texts=(text,))).root for text in (paragraphs, items)}
    assert len(roots) == 1


def test_the_header_is_text_number_nought_with_a_unit_a_field() -> None:
    commitment = commit(
        dataclasses.replace(LETTER, head=Head("A B", "C", "1 May", "Here", "A", SignatureState.TYPED, "x y"))
    )
    header = commitment.texts[0]
    assert header.units == 7
    assert header.table == (0, 1, 2, 3, 4, 5, 6)
    assert header.context == text_context(LETTER.seed, role="header", language="", index=0)


def test_seeds_do_not_show_themselves() -> None:
    assert "SaltSeed" in repr(salt_root(LETTER.seed, CONTEXT))
    assert bytes(salt_root(LETTER.seed, CONTEXT)).hex() not in repr(salt_root(LETTER.seed, CONTEXT))
