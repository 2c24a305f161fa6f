"""Carriage by hand: what leaves when, what a pouch brings, and a correspondent who means harm."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backchannel import pouch as pouches
from backchannel.desk import carriage, records
from backchannel.desk.carriage import Outcome
from backchannel.desk.records import Stage
from backchannel.encoding import encode
from backchannel.errors import MalformedError, RefusedError
from backchannel.keys import Digest, LetterId, ReleaseSeed
from backchannel.letters import Citation, Enclosure, Head, Letter, Paragraph, Text, pack
from backchannel.letters.item import MAX_ITEM, Unknown
from backchannel.letters.letter import MAX_PARAGRAPHS
from backchannel.pouch import ForeignPouchError
from backchannel.pouch.pouch import SLOT_SIZE
from backchannel.seal import ratchet
from backchannel.seal.state import State
from tests.cli import stage as stages
from tests.desk.small import PASSPHRASE
from tests.desk.two_desks import ANNA, MIKHAIL, Bodies, Side, prose, strangers, two_desks, unchanged


def test_what_was_packed_is_on_its_way_until_an_answer_shows_that_it_came(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, mikhail = two
        anna.write(prose("one"))
        anna.write(prose("two"))
        pouch = anna.pack()
        assert [(e.stage, e.left, e.pouch) for e in anna.listing()] == [(Stage.LEFT, two.clock.time, 1)] * 2
        two.clock.time += 60
        anna.pack(again=True)
        assert [(e.left, e.pouch) for e in anna.listing()] == [(two.clock.time - 60, 2)] * 2
        mikhail.receive(pouch)
        mikhail.write(prose("three"))
        anna.receive(mikhail.pack())
        # Seen is the newest, not a receipt for all before it: that one may be carried again.
        assert [e.stage for e in anna.listing()] == [Stage.PASSED, Stage.ARRIVED, Stage.RECEIVED]
        names = anna.desk.store.names(records.TRAY)
        assert names == [records.number_name(1)]
        # The next that is seen says nothing new of what is known to have arrived.
        anna.write(prose("four"))
        mikhail.receive(anna.pack())
        mikhail.write(prose("five"))
        anna.receive(mikhail.pack())
        assert [e.stage for e in anna.listing() if e.outgoing] == [Stage.PASSED, Stage.ARRIVED, Stage.ARRIVED]
        assert mikhail.desk.pouches()[0].letters == (1, 2)
        assert mikhail.desk.pouches()[1].outgoing


def test_a_cover_pouch_is_one_without_letters(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        cover = anna.pack()
        opened = mikhail.unpack(cover)
        assert opened.arrivals == ()
        assert opened.note.seal == pouches.seal_number(cover) == anna.desk.pouches()[0].seal
        anna.write(prose("a letter"))
        assert len(anna.pack()) == len(cover)


def test_a_pouch_of_somebody_else_or_of_no_size_is_refused(tmp_path: Path) -> None:
    with two_desks(tmp_path / "one") as (anna, mikhail), two_desks(tmp_path / "other") as (other, _):
        with unchanged(mikhail), pytest.raises(ForeignPouchError):
            mikhail.unpack(other.pack())
        with unchanged(mikhail), pytest.raises(MalformedError, match=r"^this is 3 bytes, which no pouch is$"):
            mikhail.unpack(b"bag")
        own = anna.pack()
        with unchanged(anna), pytest.raises(ForeignPouchError):
            anna.unpack(own)
        found = carriage.packed_here(anna.desk, own)
        assert found is not None
        assert found.name == MIKHAIL
        assert carriage.packed_here(mikhail.desk, own) is None
        person, whole, count = carriage.peek(mikhail.desk, own)
        assert (person.name, whole, count) == (ANNA, True, 0)
    with strangers(tmp_path / "strangers") as (anna, mikhail):
        anna.card()
        with unchanged(anna), pytest.raises(RefusedError, match=r"^you have not met Mikhail Orlov yet"):
            anna.pack()
        with unchanged(mikhail), pytest.raises(ForeignPouchError):
            mikhail.unpack(own)


def test_what_does_not_fit_waits_for_the_next_pouch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        for number in range(5):
            anna.write(prose(f"letter {number}"))
        monkeypatch.setattr(pouches, "CAPACITY", 2 * SLOT_SIZE)
        packed = carriage.pack(anna.desk, anna.person, again=False, now=anna.now)
        assert (packed.note.letters, packed.left_behind) == ((1, 2), 3)
        found = [mikhail.receive(anna.pack()) for _ in range(3)]
        assert found == [[1, 2], [3, 4], [5]]
        assert anna.pack(again=True)
        assert [e.stage for e in anna.listing()] == [Stage.LEFT] * 5


def test_behind_a_broken_seal_what_still_opens_is_kept(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        for number in range(3):
            anna.write(prose(f"letter {number}"))
        pouch = bytearray(anna.pack())
        # In the body of the second: its slot is the second.
        pouch[48 + SLOT_SIZE + 16 + 2600] ^= 1
        opened = mikhail.unpack(bytes(pouch))
        assert not opened.note.whole
        assert [arrival.outcome for arrival in opened.arrivals] == [Outcome.OPENED, Outcome.REFUSED, Outcome.OPENED]
        assert opened.missing == (2,)
        assert not mikhail.desk.pouches()[0].whole
        again = mikhail.unpack(anna.pack(again=True))
        assert [arrival.number for arrival in again.arrivals] == [1, 3, 2]


def test_an_altered_envelope_in_a_whole_pouch_is_refused_and_changes_no_key(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        entry = anna.write(prose("a letter"))
        envelope = bytearray(anna.envelope(entry.number))
        envelope[-1] ^= 1
        foreign = bytes(reversed(envelope))
        state = mikhail.state.encode()
        opened = mikhail.unpack(carried(anna, bytes(envelope), foreign, b"short"))
        assert [arrival.outcome for arrival in opened.arrivals] == [Outcome.REFUSED] * 3
        assert [arrival.why for arrival in opened.arrivals] == [
            "this envelope does not open: it is damaged",
            "this envelope is not for this desk, or its keys are gone",
            "this envelope does not open: it is damaged",
        ]
        assert mikhail.state.encode() == state
        assert mikhail.receive(anna.pack()) == [1]


def test_one_envelope_twice_in_a_pouch_is_one_letter(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        envelope = anna.envelope(anna.write(prose("a letter")).number)
        opened = mikhail.unpack(carried(anna, envelope, envelope))
        assert [(a.outcome, a.number) for a in opened.arrivals] == [(Outcome.OPENED, 1), (Outcome.ALREADY, 1)]
        assert len(mikhail.listing()) == 1


def test_two_desks_with_the_same_keys_are_found_out_and_the_correspondence_freezes(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        anna.write(prose("before the theft"))
        mikhail.receive(anna.pack())
        stolen = anna.state
        mikhail.write(prose("an answer"))
        anna.receive(mikhail.pack())
        anna.write(prose("in a turn of its own"))
        there = anna.pack()
        # The thief writes on in the old turn, as if nothing had come.
        _, forged = ratchet.write(stolen, pack(letter("I am Anna")), kem=anna.kem, random=anna.random, now=anna.now)
        opened = mikhail.unpack(carried(anna, forged))
        assert [arrival.outcome for arrival in opened.arrivals] == [Outcome.OPENED]
        late = mikhail.unpack(there)
        assert [arrival.outcome for arrival in late.arrivals] == [Outcome.REFUSED]
        assert "somebody else has written with these keys" in late.arrivals[0].why


def test_a_letter_that_freezes_is_read_and_acknowledges_nothing(tmp_path: Path) -> None:
    with two_desks(tmp_path) as two:
        anna, mikhail = two
        anna.write(prose("really written"))
        anna.pack()  # lost, and they claim to have read another
        state = mikhail.state
        state.seen, state.claims[1] = 1, Digest(bytes(32))
        opened = anna.unpack(crafted(mikhail, pack(letter("I have read it")), state))
        assert opened.froze == "they have read another letter in the place of one of ours"
        assert [arrival.outcome for arrival in opened.arrivals] == [Outcome.OPENED]
        assert anna.desk.entry(1).stage is Stage.LEFT
        assert anna.envelope(1)
        # Told once.
        assert anna.unpack(crafted(mikhail, pack(letter("again")))).froze == ""
        assert [e.stage for e in anna.listing()] == [Stage.LEFT, Stage.RECEIVED, Stage.RECEIVED]
        assert "I have read it" in anna.text(2)
        with unchanged(anna), pytest.raises(RefusedError, match=r"^this correspondence is frozen"):
            anna.write_nothing()
        # What was sealed before waits until the two have met again.
        packed = carriage.pack(anna.desk, anna.person, again=True, now=anna.now)
        assert (packed.note.letters, packed.left_behind, packed.held) == ((), 0, 1)
        two.meet_again().compare()
        anna.write(prose("anew"))
        assert len(mikhail.receive(anna.pack(again=True))) == 2


def test_a_reader_from_the_future_freezes_too(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        state = mikhail.state
        state.seen, state.claims[9] = 9, Digest(bytes(32))
        opened = anna.unpack(crafted(mikhail, pack(letter("I have read nine")), state))
        assert opened.froze == "they have read letters that this desk never wrote: this desk is an old copy"
        assert anna.desk.entry(1).stage is Stage.RECEIVED


def test_letters_under_keys_that_were_never_compared_do_not_leave_once_these_are_renewed(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two.meet()
        anna.write(prose("perhaps to somebody else"), uncompared=True)
        two.meet_again().compare()
        packed = carriage.pack(anna.desk, anna.person, again=True, now=anna.now)
        assert (packed.note.letters, packed.left_behind, packed.held) == ((), 0, 1)
        anna.write(prose("to him"))
        assert len(mikhail.receive(anna.pack())) == 1
        assert anna.desk.entry(1).stage is Stage.TRAY


def test_what_came_under_old_keys_or_keys_never_compared_is_marked(tmp_path: Path) -> None:
    with strangers(tmp_path) as two:
        anna, mikhail = two.meet()
        anna.write(prose("before words were compared"), uncompared=True)
        mikhail.receive(anna.pack())
        two.compare()
        anna.write(prose("after that"))
        late = anna.pack()
        two.meet_again().compare()
        mikhail.receive(late)
        assert [(e.uncompared, e.superseded) for e in mikhail.listing()] == [(True, False), (False, True)]


def test_a_pouch_that_would_keep_a_desk_busy_for_long_is_opened_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carriage, "MAX_EXPANDED", 1000)
    with two_desks(tmp_path) as (anna, mikhail):
        for number in range(5):
            anna.write(prose(f"letter {number} " + "x" * 600))
        pouch = anna.pack()
        outcomes: list[list[Outcome]] = []
        while not outcomes or Outcome.DEFERRED in outcomes[-1]:
            outcomes.append([arrival.outcome for arrival in mikhail.unpack(pouch).arrivals])
            assert Outcome.OPENED in outcomes[-1]
        assert len(outcomes) == 3
        assert outcomes[-1] == [Outcome.ALREADY] * 4 + [Outcome.OPENED]
        assert [entry.index for entry in mikhail.listing()] == [1, 2, 3, 4, 5]
        # An item that only says that it is large was not expanded, and holds nothing up.
        bombs = [(2**40).to_bytes(8) + b"x"] * 3
        anna_state, sealed = anna.state, []
        for bomb in bombs:
            anna_state, envelope = ratchet.write(anna_state, bomb, kem=anna.kem, random=anna.random, now=anna.now)
            sealed.append(envelope)
        outcomes = [[arrival.outcome for arrival in mikhail.unpack(carried(anna, *sealed)).arrivals]]
        assert outcomes == [[Outcome.UNREADABLE] * 3]


# A correspondent who means harm has the keys, and chooses every byte behind them.


FIRST = LetterId(b"the first of Anna's letters here")


def letter(text: str, **fields: object) -> Letter:
    values: dict[str, object] = {"id": LetterId.draw(_count), "texts": (Text(blocks=(Paragraph(text),)),)}
    values |= {"seed": ReleaseSeed(bytes(32)), "head": Head(sender=MIKHAIL, recipient=ANNA, date="today")} | fields
    return Letter(**values)  # type: ignore[arg-type]


def _count(size: int) -> bytes:
    _count.last += 1  # type: ignore[attr-defined]
    return int(_count.last).to_bytes(size)  # type: ignore[attr-defined]


_count.last = 1 << 200  # type: ignore[attr-defined]


def raw(kind: object, payload: object) -> bytes:
    """A packed item of any values, whatever they are."""
    data = encode((kind, payload))  # type: ignore[arg-type]
    return len(data).to_bytes(8) + zlib.compress(data)


def with_part(part: int, value: object) -> bytes:
    """A letter one of whose seven parts is replaced, as no writer of ours would."""
    parts: list[object] = [bytes(32), bytes(32), ("",) * 5 + ("unsigned", ""), (("original", "en", "", ("x",), ""),)]
    parts += [(), (), ()]
    parts[part] = value
    return raw("letter", encode(tuple(parts)))  # type: ignore[arg-type]


UNKNOWN: dict[str, Callable[[], bytes]] = {
    "an unknown kind": lambda: pack(Unknown("photograph", b"\x89PNG")),
    "an unknown kind of forty megabytes": lambda: pack(Unknown("zeros", bytes(MAX_ITEM - 300))),
    "nothing": lambda: b"",
    "no zlib": lambda: bytes(8) + b"junk",
    "a bomb that states its size": lambda: (2**40).to_bytes(8) + zlib.compress(bytes(10**7)),
    "a bomb that states less": lambda: (10).to_bytes(8) + zlib.compress(bytes(10**7)),
    "a kind that is no text": lambda: raw(b"letter", b""),
    "a kind with an escape sequence": lambda: raw("\x1b]0;owned\x07", b""),
    "an empty item that is not": lambda: raw("empty", b"x"),
    "a letter that is none": lambda: raw("letter", b"\xff"),
    "a name with control characters": lambda: with_part(2, ("\x1b[2Jowned", "", "", "", "", "unsigned", "")),
    "a text with control characters": lambda: with_part(3, (("original", "en", "", ("\x07",), ""),)),
    "an enclosure that is a path": lambda: with_part(6, (("../../.bashrc", "text/plain", b"x"),)),
    "an enclosure that turns its name around": lambda: with_part(6, (("\u202egnp.exe", "text/plain", b"x"),)),
    "a letter of no texts": lambda: with_part(3, ()),
    "a letter of an odd id": lambda: with_part(0, b"short"),
    "a citation that ends before it begins": lambda: with_part(5, ((bytes(32), 0, 9, 1),)),
}
LETTERS: dict[str, Callable[[], Letter]] = {
    "citations of what does not exist": lambda: letter(
        "cites",
        citations=(
            Citation(FIRST, 0, 10**6, 2**64 - 1),
            Citation(FIRST, 7, 0, 0),
            Citation(FIRST, 0, 0, 2**64 - 1),
            Citation(LetterId(bytes(32)), 7, 2**64 - 1, 2**64 - 1),
        ),
        answers=(LetterId(bytes(32)), FIRST) * 32,
    ),
    "sixty-four enclosures": lambda: letter(
        "encloses", enclosures=tuple(Enclosure(f"{n:0200}.bin", "a/b", b"x") for n in range(64))
    ),
    "a name that turns around": lambda: letter("turns", head=Head(sender="\u202eanna", date="\u2066" * 300)),
    "a head as long as can be": lambda: letter("heads", head=Head(*("\U0001d54f" * 256,) * 5)),
    "as many empty paragraphs as may be": lambda: letter(
        "", texts=(Text(blocks=(Paragraph(""),) * (MAX_PARAGRAPHS - 2)),)
    ),
    "a word of four megabytes": lambda: letter("", texts=(Text(blocks=(Paragraph("a" * (4 * 2**20 - 99)),)),)),
    "eight texts of nothing": lambda: letter("", texts=(Text(),) * 8),
    "the id of a letter of ours": lambda: letter("an impostor", id=FIRST),
}


def crafted(writer: Side, item: bytes, state: State | None = None) -> bytes:
    """A pouch with any *item*, under the writer's true keys or any *state*."""
    person = writer.person
    state, envelope = ratchet.write(state or writer.state, item, kem=writer.kem, random=writer.random, now=writer.now)
    writer.desk.commit({(records.KEYS, person.id + person.generation.to_bytes(4)): state.encode()})
    return carried(writer, envelope)


def carried(writer: Side, *envelopes: bytes) -> bytes:
    return pouches.pack(envelopes, ratchet.carrying_key(writer.state), writer.random)


def kept(before: Bodies, after: Bodies) -> bool:
    """Whether what was there is there unchanged, but for the keys, and for the first letter's having arrived."""
    moved = {(records.LETTERS, records.number_name(1)), (records.TRAY, records.number_name(1))}
    return all(
        after.get(name) == body for name, body in before.items() if name[0] != records.KEYS and name not in moved
    )


def test_whatever_an_authenticated_writer_sends_is_entered_listed_shown_and_destroyed(tmp_path: Path) -> None:
    with two_desks(tmp_path, step=1024 * 1024) as (anna, mikhail):
        first = letter("the first", id=FIRST)
        # Anna's own, by another way than a draft, so that its id is known to the other side.
        anna.write(prose("the first"))
        entry = replace(anna.desk.entry(1), id=first.id)
        name = records.number_name(1)
        anna.desk.commit({
            (records.LETTERS, name): entry.encode(),
            (records.TEXTS, name): pack(first),
            (records.IDS, first.id): name,
        })  # fmt: skip
        mikhail.receive(anna.pack())
        before = anna.bodies()
        numbers: dict[str, int] = {}
        for what, item in UNKNOWN.items():
            (arrival,) = anna.unpack(crafted(mikhail, item())).arrivals
            assert arrival.outcome is Outcome.UNREADABLE, what
            numbers[what] = arrival.number
        for what, make in LETTERS.items():
            (arrival,) = anna.unpack(crafted(mikhail, pack(make()))).arrivals
            assert arrival.outcome is Outcome.OPENED, what
            numbers[what] = arrival.number
        (arrival,) = anna.unpack(crafted(mikhail, pack(letter("last, and harmless")))).arrivals
        assert arrival.outcome is Outcome.OPENED
        after = anna.bodies()
        assert kept(before, after)
        assert sum(len(body) for body in after.values()) < 2**20
        assert anna.desk.number_of(FIRST) == 1
        anna.close()
        shown(tmp_path, numbers)
        for what, number in numbers.items():
            anna.destroy(number, line=number % 2 == 0 and what != "the id of a letter of ours")
            assert anna.desk.number_of(FIRST) == 1, what
        assert "the first" in anna.text(1)
        assert "last, and harmless" in anna.text(arrival.number)
        assert kept(before, anna.bodies())


def shown(root: Path, numbers: dict[str, int]) -> None:
    """The command line shows each, or says that there is nothing to show, and never fails."""
    stage = stages.Stage(root)
    (root / "passphrase").write_text(PASSPHRASE)
    common = ("--desk", str(root / "anna"), "--passphrase-file", str(root / "passphrase"))

    def run(*arguments: str) -> stages.Result:
        result = stage.run(*arguments, *common)
        assert result.code in (0, 1), (arguments, result.err)
        assert not any(c in result.out + result.err for c in "\x1b\x07\u202e"), arguments
        return result

    for arguments in (("list",), ("list", "--json"), ("people",), ("status",)):
        assert run(*arguments).code == 0
    for what, number in numbers.items():
        # Setting four megabytes takes a second, each time the same.
        large = what in ("as many empty paragraphs as may be", "a word of four megabytes")
        for options in ((),) if large or what in UNKNOWN else ((), ("--text",), ("--beside",), ("--json",)):
            result = run("read", str(number), *options)
            assert result.code == (0 if what in LETTERS else 1), (what, options, result.err)
