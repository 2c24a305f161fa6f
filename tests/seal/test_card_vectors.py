"""The vectors and the example of docs/spec/card.md, against the package and against a second implementation."""

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from backchannel.errors import RefusedError
from backchannel.kem import Kem, PrivateKey, PublicKey, XWing
from backchannel.keys import Digest
from backchannel.seal import card as cards
from backchannel.seal.card import Card
from backchannel.seal.meeting import Fate, Register, Spent, Waiting
from tests.peer import card_peer as peer
from tests.seal.meeting_desks import KEM, NOW, Desk
from tests.simulation import seeded_kem
from tests.vectors import make_card
from tests.vectors.collection import Vector, files, read

VECTORS = read("card")
RECORDED = {path.stem: json.loads(path.read_text()) for path in sorted(make_card.RECORDED.glob("*.json"))}
PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "card.md").read_text()


class PeerKem:
    """A KEM whose keys are plain bytes, as on the page."""

    def __init__(self, kem: Kem) -> None:
        self.kem = kem

    def check(self, public: bytes) -> None:
        self.kem.check(PublicKey(public))

    def open(self, private: bytes, info: bytes, box: bytes) -> bytes:
        return self.kem.open(PrivateKey(private), info, box)


def desk_of(vector: Vector, kem: Kem = KEM) -> Desk:
    """The package's desk as the vector says it is."""
    given = vector["desk"]
    desk = Desk(given["me"], kem=kem)
    waiting = [
        Waiting(w["person"].encode(), bytes.fromhex(w["card"]), PrivateKey(bytes.fromhex(w["private"])))
        for w in given["waiting"]
    ]
    desk.register = Register(
        {cards.digest(w.card): w for w in waiting},
        {
            Digest(bytes.fromhex(s["first"])): Spent(Fate[s["fate"].upper()], b"Ben", bytes.fromhex(s["answer"]))
            for s in given["spent"]
        },
        frozenset(Digest(bytes.fromhex(key)) for key in given["keys"]),
        frozenset(Digest(bytes.fromhex(key)) for key in given["answered"]),
    )
    return desk


def peer_desk(value: Any) -> Any:
    """The desk of a vector with its bytes as bytes; "me", "fate" and "person" are texts."""
    if isinstance(value, dict):
        return {k: v if k in ("me", "fate", "person", "to_me") else peer_desk(v) for k, v in value.items()}
    if isinstance(value, list):
        return [peer_desk(item) for item in value]
    return bytes.fromhex(value)


def generator(vector: Vector) -> Any:
    drawn = bytearray.fromhex(vector["drawn"])

    def draw(size: int) -> bytes:
        out = bytes(drawn[:size])
        del drawn[:size]
        return out

    return draw


def test_the_committed_vectors_are_what_the_generator_makes() -> None:
    assert {f"{name}.json": json.dumps(vector, indent=2) + "\n" for name, vector in VECTORS.items()} == files(
        make_card.vectors()
    )


def test_every_reason_of_the_page_has_its_vector() -> None:
    assert {vector["reason"] for vector in VECTORS.values() if "reason" in vector} == set(range(1, 16))


@pytest.mark.parametrize("name", [name for name in VECTORS if name.startswith("accepted-first")])
def test_a_first_card_is_answered_as_in_its_vector(name: str) -> None:
    vector = VECTORS[name]
    desk = desk_of(vector)
    card = bytes.fromhex(vector["card"])
    answer = bytes.fromhex(vector["answer"])
    first = cards.read(card, KEM)
    assert isinstance(first, Card)
    case = make_card.FIRST_ACCEPTED[name.removeprefix("accepted-first-")]()
    person = first.terms.holder or "Ada"
    register, made, met = desk.register.answer(
        card,
        person.encode(),
        case.terms or desk.terms(person),
        to_me=vector["desk"]["to_me"],
        kem=KEM,
        random=generator(vector),
        now=vector["now"],
    )
    assert made == answer
    assert make_card.meeting(met) == {"transcript": vector["transcript"], "keys": vector["keys"]}
    assert register.spent[cards.digest(card)].fate is Fate.ANSWERED


@pytest.mark.parametrize("name", [name for name in VECTORS if name.startswith("accepted-first")])
def test_a_second_implementation_answers_it_with_the_same_keys(name: str) -> None:
    vector = VECTORS[name]
    card = bytes.fromhex(vector["card"])
    peer.answerable(card, peer_desk(vector["desk"]), vector["now"], PeerKem(KEM))
    _, first, box = peer.decode(bytes.fromhex(vector["answer"]))
    # The seeded KEM opens with the public key alone, which is on the first card.
    key = seeded_kem._key(peer.decode(card)[1], box[:1120], first)
    opened = ChaCha20Poly1305(key).decrypt(bytes(12), box[1120:], None)
    assert bytes.fromhex(vector["drawn"])[96:128] in opened
    check_meeting(peer.meeting(card, bytes.fromhex(vector["answer"]), opened), vector)


def check_meeting(meeting: peer.Meeting, vector: Vector) -> None:
    assert meeting.T.hex() == vector["transcript"]
    for name, key in vector["keys"].items():
        assert meeting.roots[name].hex() == key, name


@pytest.mark.parametrize("name", [name for name in VECTORS if name.startswith("accepted-answer")])
def test_an_answering_card_completes_the_meeting_of_its_vector(name: str) -> None:
    vector = VECTORS[name]
    desk = desk_of(vector)
    met = desk.complete(bytes.fromhex(vector["card"]), now=vector["now"])
    assert make_card.meeting(met) == {"transcript": vector["transcript"], "keys": vector["keys"]}
    check_meeting(
        peer.completed(bytes.fromhex(vector["card"]), peer_desk(vector["desk"]), vector["now"], PeerKem(KEM)), vector
    )


@pytest.mark.parametrize("name", [name for name in VECTORS if name.startswith("refused")])
def test_a_refused_card_is_refused_for_its_one_reason(name: str) -> None:
    vector = VECTORS[name]
    desk = desk_of(vector)
    before = desk.register.encode()
    person = next((w["person"] for w in vector["desk"]["waiting"]), "Ada")
    case = make_card.Case(
        desk, bytes.fromhex(vector["card"]), vector["now"], vector["desk"]["to_me"], person=person
    )  # fmt: skip
    assert make_card.refusing(name.removeprefix("refused-"), case) == vector
    assert desk.register.encode() == before


@pytest.mark.parametrize("name", [name for name in VECTORS if name.startswith("refused")])
def test_a_second_implementation_refuses_it_by_the_same_number(name: str) -> None:
    vector = VECTORS[name]
    judge: Any = peer.completed if vector["reason"] >= 7 else peer.answerable
    with pytest.raises(peer.Refusal) as refused:
        judge(bytes.fromhex(vector["card"]), peer_desk(vector["desk"]), vector["now"], PeerKem(KEM))
    assert refused.value.reason == vector["reason"]


def test_a_recorded_meeting_by_x_wing_still_opens_to_the_same_keys() -> None:
    vector = RECORDED["x-wing-answer"]
    card = bytes.fromhex(vector["card"])
    check_meeting(peer.completed(card, peer_desk(vector["desk"]), vector["now"], PeerKem(XWing())), vector)
    met = desk_of(vector, XWing()).complete(card, now=vector["now"])
    assert make_card.meeting(met) == {"transcript": vector["transcript"], "keys": vector["keys"]}


@pytest.mark.parametrize("name", [name for name in RECORDED if "refused" in name])
def test_a_recorded_key_that_is_not_well_formed_is_refused(name: str) -> None:
    vector = RECORDED[name]
    desk, card = desk_of(vector, XWing()), bytes.fromhex(vector["card"])
    with pytest.raises(RefusedError) as refused:
        desk.answer(card, now=vector["now"])
    assert refused.value.message == vector["message"]
    with pytest.raises(peer.Refusal) as judged:
        peer.answerable(card, peer_desk(vector["desk"]), NOW, PeerKem(XWing()))
    assert judged.value.reason == vector["reason"]


def test_the_example_of_the_page_is_what_a_second_implementation_makes() -> None:
    first = peer.first_card(bytes(1216), b"\1" * 32, ("Ada", "Ben"), 2_000_000_000)
    inner = cbor2.dumps([peer.CARD + b"opened", bytes(1216), b"\2" * 32, "Ben", "Ada", 2_000_000_000, [], b""])
    opened = (len(inner).to_bytes(4) + inner).ljust(2048, b"\0")
    answer = cbor2.dumps([peer.CARD + b"answer", peer.sha(first), bytes(3184)])
    meeting = peer.meeting(first, answer, opened)
    assert len(first) == 1296
    example = PAGE.partition("## §6")[2].replace(" ", "")
    assert first[:28].hex()[2:] in example
    assert "1a77359400" in example
    for value in (peer.sha(first), answer[:29][1:], opened[:32], meeting.T, meeting.roots["RK0"], meeting.roots["HK0"]):
        assert value.hex() in example
    # And the package reads those very bytes.
    read_back = cards.read(first, KEM)
    assert isinstance(read_back, Card)
    assert read_back.terms == cards.Terms("Ada", "Ben", 2_000_000_000)


def test_the_words_of_the_page_are_those_of_the_check_string_of_the_page() -> None:
    example = PAGE.partition("## §6")[2]
    check = bytes.fromhex(example.partition("Argon2id")[2].split()[0])
    assert " ".join(peer.words(check)) in example
    assert " ".join(peer.digits(check)) in example
