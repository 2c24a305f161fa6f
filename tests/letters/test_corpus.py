"""The whole way of a letter, from what was typed to what the reader is shown, on every letter there is."""

from functools import cache

import pytest

from backchannel.keys import LetterId, ReleaseSeed
from backchannel.letters import Enclosure, Letter, address, commit, draft_of, format_draft, pack, parse, unpack
from tests.corpus import attach, drafts, own, printed
from tests.letters import commitment_peer

NAMES = list(drafts())
PLACE = {name: place for place, name in enumerate(NAMES, start=1)}


@cache
def letter(number: int) -> Letter:
    return address(
        parse(drafts()[NAMES[number - 1]]).draft,
        id=LetterId(number.to_bytes(32)),
        seed=ReleaseSeed((number << 8).to_bytes(32)),
        resolve=letter,
        attach=attach,
    )


def number(name: LetterId) -> int | None:
    return int.from_bytes(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_letter_arrives_as_it_was_written(name: str) -> None:
    parsed = parse(drafts()[name])
    written = format_draft(parsed.draft)
    assert (written == drafts()[name]) == (parsed.changes == ())
    assert parse(written).changes == ()
    sent = letter(PLACE[name])
    arrived = unpack(pack(Letter.decode(sent.encode())))
    assert isinstance(arrived, Letter)
    assert format_draft(draft_of(arrived, number=number, resolve=letter)).encode() == written.encode()


@pytest.mark.parametrize("name", [*own(), *list(printed())[::12]])
def test_its_commitment_is_what_a_second_implementation_makes_it(name: str) -> None:
    sent = letter(PLACE[name])
    assert commit(sent).root == commitment_peer.letter_root(sent)


def test_the_projects_own_letters_hold_every_kind_of_thing() -> None:
    sent = [letter(PLACE[name]) for name in own()]
    assert {state for one in sent for state in [one.head.state]} == {"signed", "initialled", "typed", "unsigned"}
    assert {text.role for one in sent for text in one.texts} == {
        "original",
        "translation",
        "courtesy translation",
        "working text",
    }
    assert max(len(one.texts) for one in sent) == 8
    assert any(one.answers for one in sent)
    assert any(one.citations for one in sent)
    assert any(isinstance(file, Enclosure) for one in sent for file in one.enclosures)
    paragraphs = [paragraph for one in sent for text in one.texts for paragraph in text.paragraphs[1:-1]]
    assert "" in paragraphs
    assert any("\n" in paragraph for paragraph in paragraphs)
    assert any("\u200b" in paragraph for paragraph in paragraphs)
    assert any(paragraph.endswith("  ") for paragraph in paragraphs)
