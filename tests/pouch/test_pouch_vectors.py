"""The vectors and the example of docs/spec/pouch.md, against the package and against a second implementation."""

import hashlib
import json
from pathlib import Path

import pytest

from backchannel import pouch as pouches
from backchannel.errors import RefusedError
from tests.peer import pouch_peer as peer
from tests.vectors import make_pouch
from tests.vectors.collection import Vector, files, read

VECTORS = read("pouch")
ACCEPTED = [name for name in VECTORS if name.startswith("accepted")]
REFUSED = [name for name in VECTORS if name.startswith("refused")]
PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "pouch.md").read_text()


def tried(vector: Vector) -> list[bytes]:
    return [bytes.fromhex(key) for key in vector["tried"]]


def by_the_peer(vector: Vector) -> bytes:
    """The pouch of *vector* as the second implementation makes it, as it arrives."""
    key, seed = bytes.fromhex(vector["key"]), bytes.fromhex(vector["seed"])
    fill = make_pouch.fill(vector["fill"], peer.SIZES[1])
    pouch = peer.pack(make_pouch.envelopes(vector), key, seed, fill)
    if "placed" in vector:
        k_c, k_m, k_h, _ = peer.keys(seed, key)
        content = bytearray(peer.chacha20(k_c, pouch[48:-32]))
        for at, length in vector["placed"]:
            content[at : at + 16] = peer.head(k_h, at, length)
        pouch = pouch[:48] + peer.chacha20(k_c, bytes(content))
        pouch += peer.mac(k_m, pouch)
    return make_pouch.spoiled(pouch, vector)


def shown(envelopes: tuple[bytes, ...] | list[bytes]) -> list[list[object]]:
    return [[len(envelope), hashlib.sha256(envelope).hexdigest()] for envelope in envelopes]


def test_the_committed_vectors_are_what_the_generator_makes() -> None:
    assert {f"{name}.json": json.dumps(vector, indent=2) + "\n" for name, vector in VECTORS.items()} == files(
        make_pouch.vectors()
    )


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_pouch_is_made_and_opened_as_in_its_vector(name: str) -> None:
    vector = VECTORS[name]
    pouch = make_pouch.made(vector)
    assert hashlib.sha256(pouch).hexdigest() == vector["pouch"]["sha256"]
    assert pouches.seal_number(pouch) == vector["pouch"]["number"]
    found = pouches.unpack(pouch, tried(vector))
    assert (found.whole, shown(found.envelopes)) == (vector["whole"], vector["opens"])


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_second_implementation_makes_and_opens_the_same_pouch(name: str) -> None:
    vector = VECTORS[name]
    pouch = by_the_peer(vector)
    assert {
        "size": len(pouch),
        "first": pouch[:64].hex(),
        "mac": pouch[-32:].hex(),
        "sha256": hashlib.sha256(pouch).hexdigest(),
        "number": peer.number(pouch),
    } == vector["pouch"]
    envelopes, whole = peer.unpack(pouch, tried(vector))
    assert (whole, shown(envelopes)) == (vector["whole"], vector["opens"])


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_pouch_is_refused_for_its_one_reason(name: str) -> None:
    vector = VECTORS[name]
    pouch = make_pouch.made(vector)
    assert pouch == by_the_peer(vector)
    with pytest.raises(RefusedError) as refused:
        pouches.unpack(pouch, tried(vector))
    assert refused.value.message == vector["message"]
    with pytest.raises(peer.Refusal) as judged:
        peer.unpack(pouch, tried(vector))
    assert judged.value.reason == vector["reason"]


def test_every_reason_of_the_page_has_its_vector() -> None:
    assert {VECTORS[name]["reason"] for name in REFUSED} == {1, 2}


def test_the_example_of_the_page_is_what_both_implementations_make() -> None:
    seed, key = bytes(range(32)), b"\x42" * 32
    draws = iter((seed, bytes(65_456)))
    pouch = pouches.pack([b"sealed"], key, lambda _: next(draws))
    assert pouch == peer.pack([b"sealed"], key, seed, bytes(65_456))
    k_c, _, k_h, _ = peer.keys(seed, key)
    example = PAGE.partition("## §6")[2].replace(" ", "")
    parts = k_c, peer.head(k_h, 0, 6), peer.head(k_h, 8192, 0), pouch[:32], pouch[32:48], pouch[48:80], pouch[-32:]
    for part in parts:
        assert part.hex() in example
    assert pouches.seal_number(pouch) in example
