"""The vectors and the example of docs/spec/ratchet.md, against the package and the second implementation.

A desk is made of both (tests/peer/side_by_side.py), so that each is asked and
that they agree in every field is asserted with every event.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backchannel.kem import PrivateKey, PublicKey, XWing
from backchannel.seal import ratchet
from backchannel.seal.state import HalfSecret, Transcript
from tests.peer import ratchet_peer as peer
from tests.peer.as_json import desk, to_json
from tests.peer.side_by_side import Desk, Refused, view
from tests.simulation.seeded_kem import SeededKem
from tests.vectors import make_ratchet
from tests.vectors.collection import HERE, Vector, files, read

VECTORS = read("ratchet")
RECORDED = {path.stem: json.loads(path.read_text()) for path in sorted(make_ratchet.RECORDED.glob("*.json"))}
PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "ratchet.md").read_text()
KEM = SeededKem()


def named(beginning: str) -> dict[str, Vector]:
    return {name: vector for name, vector in VECTORS.items() if name.startswith(beginning)}


def after(vector: Vector) -> dict[str, Any]:
    return {**vector["desk"], **vector["after"]}


def test_the_vectors_are_those_that_the_generator_makes() -> None:
    made = files(make_ratchet.vectors())
    kept = {path.name: path.read_text() for path in (HERE / "ratchet").glob("*.json")}
    assert made == kept


def test_there_is_a_vector_for_every_refusal() -> None:
    reasons = {vector["reason"] for vector in named("refused").values()}
    assert reasons == {
        "frozen", "unanswered", "already here", "no key", "damaged", "fork", "expired", "too many missing",
    }  # fmt: skip


@pytest.mark.parametrize("vector", named("meeting").values(), ids=named("meeting"))
def test_a_meeting_makes_the_state_of_its_vector(vector: Vector) -> None:
    transcript, s1, s2, key = (bytes.fromhex(vector[name]) for name in ("T", "s1", "s2", "pk0"))
    private = vector["desk"]["sk"] and PrivateKey(bytes.fromhex(vector["desk"]["sk"]))
    secrets = ratchet.Secrets(Transcript(transcript), HalfSecret(s1), HalfSecret(s2))
    now = vector["now"]
    state = ratchet.start(secrets, answer=PublicKey(key), private=private, now=now)
    assert to_json(view(state)) == vector["desk"]
    theirs = peer.start(vector["role"], transcript, s1, s2, pk0=key, sk0=private, now=now)
    assert to_json(peer.view(theirs)) == vector["desk"]


@pytest.mark.parametrize("vector", named("written").values(), ids=named("written"))
def test_a_letter_is_written_as_its_vector_says(vector: Vector) -> None:
    writer, item = desk(vector["desk"]), bytes.fromhex(vector["item"])
    drawn = [given(vector["drawn"]), given(vector["drawn"])]
    state, envelope = ratchet.write(writer.ours, item, kem=KEM, random=drawn[0], now=vector["now"])
    assert envelope.hex() == vector["envelope"]
    assert to_json(view(state)) == after(vector)
    theirs, envelope = peer.write(writer.theirs, item, kem=KEM, random=drawn[1], now=vector["now"])
    assert envelope.hex() == vector["envelope"]
    assert to_json(peer.view(theirs)) == after(vector)
    for rest in drawn:
        assert not rest(0)


class Given:
    """A generator that gives what a vector says was drawn; asked for nothing, all that is left."""

    def __init__(self, drawn: bytes) -> None:
        self.left = drawn

    def __call__(self, size: int) -> bytes:
        if not size:
            return self.left
        out, self.left = self.left[:size], self.left[size:]
        assert len(out) == size
        return out


def given(drawn: str) -> Given:
    return Given(bytes.fromhex(drawn))


@pytest.mark.parametrize("vector", named("accepted").values(), ids=named("accepted"))
def test_an_accepted_envelope_opens_and_leaves_the_state_of_its_vector(vector: Vector) -> None:
    reader = desk(vector["desk"])
    check(reader, vector)


@pytest.mark.parametrize("vector", RECORDED.values(), ids=RECORDED)
def test_an_envelope_that_was_recorded_with_x_wing_opens(vector: Vector) -> None:
    reader = desk(vector["desk"])
    reader.kem = XWing()
    check(reader, vector)


def check(reader: Desk, vector: Vector) -> None:
    opened = reader.read(bytes.fromhex(vector["envelope"]), now=vector["now"])
    assert vector["opened"] == {"i": opened.index, "seen": opened.seen, "item": opened.item.hex()}
    assert to_json(view(reader.ours)) == after(vector)


@pytest.mark.parametrize("vector", named("refused-5").values(), ids=named("refused-5"))
def test_a_letter_that_is_not_written_is_refused_for_its_reason(vector: Vector) -> None:
    writer = desk(vector["desk"])
    with pytest.raises(Refused, match=f"^{vector['reason']}$"):
        writer.write(bytes.fromhex(vector["item"]), seed=0, now=vector["now"])


@pytest.mark.parametrize("vector", named("refused-6").values(), ids=named("refused-6"))
def test_a_refused_envelope_is_refused_for_its_reason(vector: Vector) -> None:
    reader = desk(vector["desk"])
    assert reader.refusal(bytes.fromhex(vector["envelope"]), now=vector["now"]) == vector["reason"]


def test_the_example_of_the_page_is_what_both_implementations_make() -> None:
    key = b"\x44" * 1216
    theirs = peer.start(1, bytes(32), b"\x11" * 32, b"\x22" * 32, pk0=key, sk0=bytes(96), now=0)
    assert theirs.tx
    following, message_key = peer.step(theirs, theirs.tx["CK"])
    written, envelope = peer.write(theirs, b"", kem=KEM, random=lambda _: b"\x33" * 32, now=0)
    assert written.tx
    assert written.tx["CK"] == following
    example = {
        "RK₀": theirs.RK,
        "CK₀": theirs.tx["CK"],
        "HK₀": theirs.tx["HK"],
        "HK₁": theirs.NHK,
        "root of -1": theirs.roots[-1],
        "pouch key of -1": theirs.pouch_keys[-1][0],
        "root of 0": theirs.roots[0],
        "pouch key of 0": theirs.pouch_keys[0][0],
        "S₀ (first)": theirs.claim[0],
        "S₀ (second)": theirs.S[0],
        "MK of letter 1": message_key,
        "CK after it": following,
        "S₁ (second)": written.S[1],
    }
    lines = "".join(f"{name:16}{value.hex()}\n" for name, value in example.items())
    assert lines in PAGE.partition("## §10 Example")[2]
    secrets = ratchet.Secrets(Transcript(bytes(32)), HalfSecret(b"\x11" * 32), HalfSecret(b"\x22" * 32))
    ours = ratchet.start(secrets, answer=PublicKey(key), private=PrivateKey(bytes(96)), now=0)
    assert view(ours) == peer.view(theirs)
    ours, same = ratchet.write(ours, b"", kem=KEM, random=lambda _: b"\x33" * 32, now=0)
    assert same == envelope
    assert view(ours) == peer.view(written)
