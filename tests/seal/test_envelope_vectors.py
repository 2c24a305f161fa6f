"""The vectors and the example of docs/spec/envelope.md, against the package and the second implementation."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from backchannel.errors import RefusedError
from backchannel.kem import PublicKey
from backchannel.keys import Digest
from backchannel.seal import envelope as envelopes
from backchannel.seal.envelope import Body, DamagedError, Header, HeaderKey, MessageKey, NoKeyError, Opening
from tests.peer import ratchet_peer as peer
from tests.simulation.seeded_kem import SeededKem
from tests.vectors import make_envelope
from tests.vectors.collection import HERE, Vector, files, read

VECTORS = read("envelope")
ACCEPTED = {name: vector for name, vector in VECTORS.items() if name.startswith("accepted")}
REFUSED = {name: vector for name, vector in VECTORS.items() if name.startswith("refused")}
PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "envelope.md").read_text()


def envelope_of(vector: Vector) -> bytes:
    return bytes.fromhex(vector["envelope"]) if "envelope" in vector else bytes(vector["size"])


def ours(vector: Vector) -> tuple[Header, Body]:
    envelope = envelope_of(vector)
    keys = [(int(turn), HeaderKey(bytes.fromhex(key))) for turn, key in vector["keys"].items()]
    header = envelopes.open_header(envelope, keys)
    return header, envelopes.open_body(envelope, MessageKey(bytes.fromhex(vector["MK"])))


def theirs(vector: Vector) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """As in the peer's own reading, with the keys that are given."""
    envelope = envelope_of(vector)
    zero = bytes(32)
    state = peer.start(0, zero, zero, zero, pk0=bytes(1216), now=0)
    state.rx = {int(turn): {"HK": bytes.fromhex(key)} for turn, key in vector["keys"].items()}
    if not peer.LEAST <= len(envelope) <= peer.MOST:
        raise peer.Refusal("damaged")
    return peer.open_header(state, envelope), peer.open_body(envelope, bytes.fromhex(vector["MK"]))


def test_the_vectors_are_those_that_the_generator_makes() -> None:
    made = files(make_envelope.vectors())
    kept = {path.name: path.read_text() for path in (HERE / "envelope").glob("*.json")}
    assert made == kept


def test_there_is_a_vector_for_every_reason() -> None:
    assert {vector["reason"] for vector in REFUSED.values()} == set(range(1, 7))


@pytest.mark.parametrize("vector", ACCEPTED.values(), ids=ACCEPTED)
def test_an_accepted_envelope_opens_and_is_sealed_to_the_byte(vector: Vector) -> None:
    said = vector["header"]
    header = Header(
        said["turn"],
        said["n"],
        said["pn"],
        Opening(bytes.fromhex(said["ct"]), PublicKey(bytes.fromhex(said["pk"]))),
    )
    i, before, seen, chain, item = vector["body"]
    body = Body(i, Digest(bytes.fromhex(before)), seen, Digest(bytes.fromhex(chain)), bytes.fromhex(item))
    keys = HeaderKey(bytes.fromhex(vector["keys"]["4"])), MessageKey(bytes.fromhex(vector["MK"]))
    sealed = envelopes.seal(header, body, keys=keys, random=lambda _: bytes.fromhex(vector["R"]))
    assert sealed.hex() == vector["envelope"]
    assert ours(vector) == (header, body)
    assert theirs(vector) == (
        (header.turn, header.n, header.pn, header.opening.box, header.opening.public),
        (body.index, body.before, body.seen, body.seen_chain, body.item),
    )


@pytest.mark.parametrize("vector", REFUSED.values(), ids=REFUSED)
def test_a_refused_envelope_is_refused_for_its_reason(vector: Vector) -> None:
    with pytest.raises(RefusedError) as refused:
        ours(vector)
    assert type(refused.value) is (NoKeyError if vector["reason"] == 2 else DamagedError)
    with pytest.raises(peer.Refusal) as also:
        theirs(vector)
    assert also.value.kind == ("no key" if vector["reason"] == 2 else "damaged")


def test_the_example_of_the_page_is_what_both_implementations_make() -> None:
    # The letter of the example in ratchet.md: the first that the second writes, of an empty item.
    zero, key = bytes(32), b"\x44" * 1216
    state = peer.start(1, zero, b"\x11" * 32, b"\x22" * 32, pk0=key, sk0=bytes(96), now=0)
    assert state.tx
    _, mk = peer.step(state, state.tx["CK"])
    k_h, tag = peer.KDF(b"\x33" * 32, state.tx["HK"], peer.ENVELOPE + b"head", 2)
    _, envelope = peer.write(state, b"", kem=SeededKem(), random=lambda _: b"\x33" * 32, now=0)
    k_b, commit = peer.KDF(peer.head(envelope), mk, peer.ENVELOPE + b"body", 2)
    assert len(envelope) == 2592

    header = Header(0, 0, 0, Opening(bytes(1168), PublicKey(key)))
    body = Body(1, Digest(state.S[0]), 0, Digest(state.claim[0]), b"")
    keys = HeaderKey(state.tx["HK"]), MessageKey(mk)
    assert envelopes.seal(header, body, keys=keys, random=lambda _: b"\x33" * 32) == envelope
    example = {
        "k_h": k_h,
        "tag": tag[:16],
        "head": peer.head(envelope),
        "k_b": k_b,
        "commitment": commit,
        "digest": hashlib.sha256(envelope).digest(),
        "48..79": envelope[48:80],
        "2,504..2,591": envelope[2504:],
    }
    section = PAGE.partition("## §6 Example")[2]
    assert "".join(f"{name:13} {value.hex()}\n" for name, value in example.items()) in section
