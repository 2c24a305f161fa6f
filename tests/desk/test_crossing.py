"""Every letter there is crosses from one desk to the other: draft, seal, pouch, open, unchanged to the byte."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from backchannel.desk.carriage import Outcome
from backchannel.desk.records import Entry, PersonId, Stage
from backchannel.errors import NegativeError, UsageError
from backchannel.letters import Citation, Enclosure, Letter, Text, format_draft, parse
from backchannel.letters.letter import MAX_ENCLOSURE, MAX_TEXT
from tests.corpus import attach, drafts, own, printed
from tests.desk.two_desks import ANNA, MIKHAIL, Side, Two, prose, two_desks

# A draft without a word is kept, and not sent.
NAMES = [name for name in drafts() if name != "nothing"]


@dataclass(frozen=True)
class Crossed:
    """A letter of the corpus as it was expected, as its reader has it, and at both desks."""

    expected: str
    read: str
    sent: Letter
    arrived: Letter
    stages: tuple[Stage, Stage]


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Crossed]]:
    with two_desks(tmp_path_factory.mktemp("crossing"), step=1024 * 1024) as two:
        anna, mikhail = two
        found = {name: one_by_one(name, text, two) for name, text in own().items() if name in NAMES}
        found |= in_one_pouch(printed(), mikhail, anna)
        yield found


def one_by_one(name: str, text: str, two: Two) -> Crossed:
    """Each in a pouch of its own, so that both desks give it the number by which the corpus cites it."""
    writer, reader = two if parse(text).draft.head.sender != MIKHAIL else tuple(two)[::-1]
    entry, expected = sealed(text, writer)
    (number,) = reader.receive(writer.pack())
    assert number == entry.number == NAMES.index(name) + 1, name
    return compared(expected, writer, entry, reader, number)


def in_one_pouch(texts: dict[str, str], writer: Side, reader: Side) -> dict[str, Crossed]:
    written = {name: sealed(text, writer) for name, text in texts.items()}
    numbers = reader.receive(writer.pack())
    return {
        name: compared(expected, writer, entry, reader, number)
        for (name, (entry, expected)), number in zip(written.items(), numbers, strict=True)
    }


def sealed(text: str, writer: Side) -> tuple[Entry, str]:
    """Write and send; and what the reader is to read: the parsed draft, its blanks filled in as the desk says."""
    draft = parse(text).draft
    head = replace(
        draft.head,
        sender=draft.head.sender or writer.name,
        recipient=draft.head.recipient or writer.peer,
        date=draft.head.date or "today",
    )
    entry = writer.write(text, enclosures=[attach(name) for name in draft.enclosures])
    return entry, format_draft(replace(draft, head=head))


def compared(expected: str, writer: Side, entry: Entry, reader: Side, number: int) -> Crossed:
    one, other = writer.desk.entry(entry.number), reader.desk.entry(number)
    return Crossed(
        expected, reader.text(number), writer.desk.letter(one), reader.desk.letter(other), (one.stage, other.stage)
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_letter_is_read_as_it_was_written_to_the_byte(crossed: dict[str, Crossed], name: str) -> None:
    one = crossed[name]
    assert one.read.encode() == one.expected.encode()
    assert one.arrived.encode() == one.sent.encode()
    # Not through the text form, which could lose the same thing twice.
    parsed = parse(drafts()[name]).draft
    assert [text.paragraphs for text in one.arrived.texts] == [text.paragraphs for text in parsed.texts]
    assert one.stages == (Stage.LEFT, Stage.RECEIVED)


def test_what_is_cited_is_the_same_passage_at_both_desks(crossed: dict[str, Crossed]) -> None:
    terms, opening, reply = crossed["03-terms"].arrived, crossed["01-opening"].sent, crossed["02-reply"].sent
    assert terms.answers == (reply.id,)
    assert {citation.letter for citation in terms.citations} == {reply.id}
    assert {citation.letter for citation in reply.citations} == {opening.id}
    assert all(isinstance(citation, Citation) for citation in terms.citations)
    assert {citation.text for citation in terms.citations} == {0, 1}


def test_what_is_enclosed_arrives(crossed: dict[str, Crossed]) -> None:
    assert crossed["03-terms"].arrived.enclosures == (attach("gauges.csv"),)


@pytest.mark.parametrize("text", [drafts()["nothing"], "Language: en\n\n\\\n"])
def test_a_draft_without_a_word_is_kept_and_not_sent(tmp_path: Path, text: str) -> None:
    with two_desks(tmp_path) as (anna, _):
        number = anna.save(text)
        before = anna.bodies()
        with pytest.raises(UsageError, match=r"^draft 1 is empty$"):
            anna.send(number)
        assert anna.bodies() == before


def test_a_text_and_an_enclosure_of_the_largest_size_arrive(tmp_path: Path) -> None:
    # One byte less than a text's head and the heads of its paragraphs leave.
    paragraph = "Слово " * 10_000
    room = MAX_TEXT - 200
    paragraphs = [paragraph.strip()] * (room // (len(paragraph.encode()) + 8))
    text = "Language: ru\n\n" + "\n\n".join(paragraphs) + "\n"
    assert MAX_TEXT - 2 * len(paragraph.encode()) < len(text.encode()) < MAX_TEXT
    plan = Enclosure("plan.bin", "application/octet-stream", bytes(range(256)) * (MAX_ENCLOSURE // 256))
    with two_desks(tmp_path, step=32 * 1024 * 1024) as (anna, mikhail):
        one = anna.write(text, enclosures=[plan])
        (number,) = mikhail.receive(anna.pack())
        arrived = mikhail.desk.letter(mikhail.desk.entry(number))
        assert arrived.texts[0].paragraphs[1:-1] == tuple(paragraphs)
        assert arrived.enclosures == (plan,)
        assert arrived == anna.desk.letter(anna.desk.entry(one.number))
        assert anna.desk.entry(one.number).words == len(paragraphs) * 10_000


def test_a_text_that_is_too_large_stays_a_draft_of_its_author(tmp_path: Path) -> None:
    with two_desks(tmp_path, step=1024 * 1024) as (anna, _):
        before = anna.bodies()
        with pytest.raises(Exception, match="a text is larger than 4 MiB"):
            anna.save(prose("x" * (MAX_TEXT + 1)))
        assert anna.bodies() == before


def test_letters_that_cross_on_the_way_are_both_read(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        for turn in range(4):
            anna.write(prose(f"from Anna, {turn}"))
            mikhail.write(prose(f"from Mikhail, {turn}"))
            there, back = anna.pack(), mikhail.pack()
            assert len(mikhail.receive(there)) == len(anna.receive(back)) == 1
        assert [entry.stage for entry in anna.desk.entries()].count(Stage.RECEIVED) == 4
        assert texts(anna) == texts(mikhail) == {f"from {who}, {n}" for who in ("Anna", "Mikhail") for n in range(4)}


def test_pouches_in_any_order_twice_or_not_at_all_bring_each_letter_once(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        pouches = []
        for turn in range(6):
            anna.write(prose(f"letter {turn}"))
            pouches.append(anna.pack())
        opened = mikhail.unpack(pouches[3])
        assert opened.missing == (1, 2, 3)
        for number in (3, 1, 5, 1, 0, 4, 5):  # the third is lost
            mikhail.unpack(pouches[number])
        assert texts(mikhail) == {f"letter {n}" for n in (0, 1, 3, 4, 5)}
        assert mikhail.unpack(pouches[5]).missing == (3,)
        again = mikhail.unpack(anna.pack(again=True))
        assert [a.outcome for a in again.arrivals].count(Outcome.OPENED) == 1
        assert [a.outcome for a in again.arrivals].count(Outcome.ALREADY) == 5
        assert again.missing == ()
        assert texts(mikhail) == {f"letter {n}" for n in range(6)}
        assert len(mikhail.listing()) == 6


def texts(side: Side) -> set[str]:
    letters = [side.desk.letter(entry) for entry in side.desk.entries()]
    return {line for letter in letters for text in letter.texts for line in text.paragraphs if line}


def test_the_corpus_holds_what_it_is_to_show() -> None:
    parsed = {name: parse(text).draft for name, text in own().items()}
    everything = "".join(p for draft in parsed.values() for text in draft.texts for p in text.paragraphs)
    assert any("\u0590" <= c <= "\u06ff" for c in everything)  # right to left
    assert any("\u0300" <= c <= "\u036f" for c in everything)  # combining
    assert any(c > "\uffff" for c in everything)  # astral
    assert any(" " not in p and len(p) > 40 for d in parsed.values() for t in d.texts for p in t.paragraphs)
    assert any("" in text.paragraphs[1:-1] for draft in parsed.values() for text in draft.texts)
    assert any(draft.head.caveat for draft in parsed.values())
    assert all(isinstance(text, Text) for draft in parsed.values() for text in draft.texts)
    assert {draft.head.sender for draft in parsed.values()} >= {ANNA, MIKHAIL}
    if printed():
        assert len([name for name in printed() if name.startswith("frus-")]) == 120
        assert len(printed()) == 122


def test_a_letter_that_answers_what_is_not_there_is_not_sent(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, _):
        number = anna.save("Answers: 7\nLanguage: en\n\nNo.\n")
        before = anna.bodies()
        with pytest.raises(NegativeError, match=r"^there is no letter 7$"):
            anna.send(number)
        assert anna.bodies() == before


@pytest.mark.parametrize("times", [6, pytest.param(200, marks=pytest.mark.long)])
def test_whoever_made_the_first_card_both_desks_list_the_same(tmp_path: Path, times: int) -> None:
    for seed in range(times):
        listed = []
        for first in (ANNA, MIKHAIL):
            with two_desks(tmp_path / f"{seed}{first}", first=first) as two:
                wander(two, random.Random(seed))
                listed.append([lines(side) for side in by_name(two)])
        assert listed[0] == listed[1]


def wander(two: Two, chance: random.Random) -> None:
    """What Anna and Mikhail do, whoever of them made the first card."""
    under_way: tuple[list[bytes], list[bytes]] = ([], [])
    for turn in range(14):
        at = chance.randrange(2)
        side = by_name(two)[at]
        match chance.choice(["write", "write", "pack", "unpack", "unpack", "again", "recall", "destroy", "meet"]):
            case "write":
                side.write(prose(f"letter {turn}"))
            case "pack" | "again" as which:
                under_way[at].append(side.pack(again=which == "again"))
            case "unpack" if under_way[1 - at]:
                side.unpack(chance.choice(under_way[1 - at]))
            case "recall" | "destroy" as which:
                stages = (Stage.TRAY,) if which == "recall" else (Stage.LEFT, Stage.ARRIVED, Stage.RECEIVED)
                found = [entry.number for entry in side.listing() if entry.stage in stages]
                if found and which == "recall":
                    side.recall(chance.choice(found))
                elif found:
                    side.destroy(chance.choice(found), line=bool(chance.randrange(2)))
            case "meet" if chance.randrange(3) == 0:
                two.meet_again().compare()


def by_name(two: Two) -> list[Side]:
    return sorted(two, key=lambda side: side.name)


def lines(side: Side) -> list[Entry]:
    """The list but for what is random: ids, roots and this desk's own name for the other."""
    nobody = PersonId(bytes(8))
    return [replace(entry, id=None, root=b"", person=nobody) for entry in side.desk.entries()]
