"""A letter convinces its reader and nobody else (docs/threat-model.md).

From the reader's state alone somebody forges what the other side would have
written, and the same code accepts it; with the same generator it is the same
bytes. So whatever a desk stores after a letter of the other's, it could have
made by itself, and a judge who is given all of it learns nothing about who
wrote.
"""

from __future__ import annotations

import ast
import random as generators
from pathlib import Path
from typing import get_type_hints

import pytest

import backchannel
from backchannel import pouch
from backchannel.kem import PrivateKey, PublicKey, XWing
from backchannel.keys import Digest, LetterId, ReleaseSeed, Secret
from backchannel.letters import Head, Letter, Paragraph, Text, item
from backchannel.seal import ratchet
from backchannel.seal.state import Receiving, Sending, State
from tests.peer.side_by_side import START, meet, stream
from tests.seal.forger import forge
from tests.simulation.seeded_kem import SeededKem

KEM = SeededKem()


class Real:
    """The desk of a reader, and the correspondent whose letters it reads."""

    def __init__(self, reader: int) -> None:
        desks = meet("deniability")
        self.reader, self.peer = desks[reader].ours, desks[1 - reader].ours
        self.stored = [self.reader.encode()]  # all that the reader's desk ever stores
        self.arrived: list[bytes] = []

    def reader_writes(self, seed: object) -> bytes:
        self.reader, envelope = ratchet.write(self.reader, b"own", kem=KEM, random=stream(seed), now=START)
        self.stored += [self.reader.encode(), envelope]
        return envelope

    def peer_reads(self, envelope: bytes) -> None:
        self.peer = ratchet.read(self.peer, envelope, kem=KEM, now=START).state

    def peer_writes(self, seed: object) -> bytes:
        self.peer, envelope = ratchet.write(self.peer, b"theirs", kem=KEM, random=stream(seed), now=START)
        return envelope

    def reader_reads(self, envelope: bytes) -> None:
        self.reader = ratchet.read(self.reader, envelope, kem=KEM, now=START).state
        self.stored += [self.reader.encode(), envelope]
        self.arrived.append(envelope)

    def before(self, *steps: str) -> Real:
        """Letters between the two, each read at once."""
        for number, step in enumerate(steps):
            if step == "own":
                self.peer_reads(self.reader_writes(number))
            else:
                self.reader_reads(self.peer_writes(number))
        return self


HISTORIES = {
    "nothing yet": (),
    "their turn": ("own", "theirs"),
    "their turn again": ("own", "theirs", "theirs"),
    "the reader's turn": ("own", "theirs", "own"),
    "their first": ("theirs",),
    "a long correspondence": ("own", "theirs", "own", "own", "theirs", "own", "theirs", "theirs", "theirs"),
    "a long correspondence, answered": ("theirs", "own", "theirs", "theirs", "own", "theirs", "own"),
}


@pytest.mark.parametrize("reader", [0, 1])
@pytest.mark.parametrize("steps", HISTORIES.values(), ids=HISTORIES)
def test_the_forged_envelope_is_what_the_peer_would_have_written(steps: tuple[str, ...], reader: int) -> None:
    real = Real(reader).before(*steps)
    forged = forge(real.reader, b"theirs", kem=KEM, random=stream("next"), now=START, past=real.arrived)
    assert forged == real.peer_writes("next")


@pytest.mark.parametrize("reader", [0, 1])
@pytest.mark.parametrize("steps", HISTORIES.values(), ids=HISTORIES)
def test_the_reader_accepts_a_letter_forged_from_the_state_alone(steps: tuple[str, ...], reader: int) -> None:
    state = Real(reader).before(*steps).reader
    for number in range(3):
        forged = forge(state, b"never written", kem=KEM, random=stream(number), now=START)
        opened = ratchet.read(state, forged, kem=KEM, now=START)
        assert opened.item == b"never written"
        assert not opened.state.frozen
        state = opened.state


@pytest.mark.parametrize("reader", [0, 1])
@pytest.mark.parametrize("seed", range(6))
def test_a_judge_given_all_that_a_desk_ever_stores_cannot_tell_whether_anybody_wrote_to_it(
    seed: int, reader: int
) -> None:
    # One correspondence with letters that cross; and the same made by the
    # reader's desk alone, which was never sent a byte after the meeting.
    real, alone = Real(reader), Real(reader)
    chance = generators.Random(seed)
    unread: list[bytes] = []
    for number in range(40):
        match chance.choice(("own", "theirs", "they read")):
            case "own":
                unread.append(real.reader_writes(number))
                alone.reader_writes(number)
            case "they read" if unread:
                real.peer_reads(unread.pop(0))
            case "theirs":
                crossing = alone.reader.owns_turn and real.peer.turn < alone.reader.turn
                real.reader_reads(real.peer_writes(number))
                forged = forge(
                    alone.reader,
                    b"theirs",
                    kem=KEM,
                    random=stream(number),
                    now=START,
                    crossing=crossing,
                    seen=real.peer.seen,  # the story that the forger tells
                    past=alone.arrived,
                )
                alone.reader_reads(forged)
    assert real.stored == alone.stored


@pytest.mark.parametrize("reader", [0, 1])
def test_a_forged_letter_in_a_forged_pouch_is_the_pouch_that_the_peer_would_have_packed(reader: int) -> None:
    real = Real(reader).before("own", "theirs", "own")
    letter = Letter(
        LetterId(bytes(32)), ReleaseSeed(bytes(32)), Head(), (Text(blocks=(Paragraph("I never wrote this."),)),)
    )
    packed = item.pack(letter)
    forged = forge(real.reader, packed, kem=KEM, random=stream("letter"), now=START)
    bag = pouch.pack([forged], ratchet.opening_keys(real.reader)[0], stream("pouch"))

    unpacked = pouch.unpack(bag, ratchet.opening_keys(real.reader))
    assert unpacked.whole
    (envelope,) = unpacked.envelopes
    opened = ratchet.read(real.reader, envelope, kem=KEM, now=START)
    assert item.unpack(opened.item) == letter

    real.peer, envelope = ratchet.write(real.peer, packed, kem=KEM, random=stream("letter"), now=START)
    assert bag == pouch.pack([envelope], ratchet.carrying_key(real.peer), stream("pouch"))


@pytest.mark.parametrize("reader", [0, 1])
def test_it_is_the_same_with_the_kem_that_ships(reader: int) -> None:
    kem, state = XWing(), meet("deniability", kem=XWing())[reader].ours
    for number in range(3):
        state = ratchet.write(state, b"own", kem=kem, random=stream("own", number), now=START)[0]
        forged = forge(state, b"never written", kem=kem, random=stream(number), now=START)
        state = ratchet.read(state, forged, kem=kem, now=START).state
    assert state.seen == 3


def test_nothing_that_a_desk_stores_of_a_correspondence_verifies_a_signature() -> None:
    keys = {PrivateKey, PublicKey}  # of the KEM: they open and seal
    for owner in (State, Sending, Receiving):
        for hint in get_type_hints(owner).values():
            for kind in (hint, *getattr(hint, "__args__", ())):
                if isinstance(kind, type) and issubclass(kind, bytes):
                    assert kind in keys or issubclass(kind, Secret | Digest)


ROOMS = ("encoding.py", "keys.py", "letters", "seal", "pouch", "desk")
KEM_PARTS = {"mlkem", "x25519"}


def sources() -> list[Path]:
    house = Path(backchannel.__file__).parent
    return [
        path for room in ROOMS for path in ([house / room] if room.endswith(".py") else (house / room).glob("*.py"))
    ]


@pytest.mark.parametrize("path", sources(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_room_that_writes_or_keeps_letters_imports_what_signs(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            assert not module.startswith(("nacl", "ecdsa", "Crypto"))
            _, _, kind = module.partition("cryptography.hazmat.primitives.asymmetric.")
            assert not kind or kind.split(".")[0] in KEM_PARTS
