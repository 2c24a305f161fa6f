"""The vectors and the example of docs/spec/tray.md, against the package and the second implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cbor2
import pytest

from backchannel.errors import MalformedError, RefusedError, VerificationError
from backchannel.post import tray
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.tray import FromDesk, FromPorter, PairingKey
from tests.peer import visit_peer as peer
from tests.vectors import make_tray
from tests.vectors.collection import HERE, Vector, files, read

VECTORS = read("tray")
ACCEPTED = {name: vector for name, vector in VECTORS.items() if name.startswith("accepted")}
REFUSED = {name: vector for name, vector in VECTORS.items() if name.startswith("refused")}
PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "tray.md").read_text()


def opened(vector: Vector) -> FromDesk | FromPorter:
    opening: Any = tray.open_from_desk if vector["whose"] == "desk" else tray.open_from_porter
    key = PairingKey(bytes.fromhex(vector["pairing"]))
    said = opening(bytes.fromhex(vector["file"]), key, cipher=ReplyCipher())
    assert isinstance(said, FromDesk | FromPorter)
    return said


def test_the_vectors_are_those_that_the_generator_makes() -> None:
    made = files(make_tray.vectors())
    kept = {path.name: path.read_text() for path in (HERE / "tray").glob("*.json")}
    assert made == kept


def test_every_reason_of_a_file_has_its_vector() -> None:
    # 5 is of a pairing, which has signatures in it: tests/post/test_keeping.py.
    assert {vector["reason"] for vector in REFUSED.values()} == {1, 2, 3, 4}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_file_is_made_and_read_to_the_byte(name: str) -> None:
    vector = ACCEPTED[name]
    said, size = make_tray.ACCEPTED[name.removeprefix("accepted-")]
    made = tray.seal(
        said, make_tray.KEY, size, random=lambda _: bytes.fromhex(vector["seed"]), cipher=ReplyCipher()
    )  # fmt: skip
    assert made.hex() == vector["file"]
    array = make_tray.array(vector["said"])
    pairing = bytes.fromhex(vector["pairing"])
    assert peer.file(bytes.fromhex(vector["seed"]), pairing, vector["whose"], array, size) == made
    assert opened(vector) == said
    assert peer.read_file(made, pairing, vector["whose"]) == array


@pytest.mark.parametrize("vector", REFUSED.values(), ids=REFUSED)
def test_a_refused_file_is_refused_for_its_one_reason(vector: Vector) -> None:
    with pytest.raises(RefusedError) as refused:
        opened(vector)
    assert type(refused.value) is (VerificationError if vector["reason"] in {1, 2} else MalformedError)
    with pytest.raises(peer.Refusal) as judged:
        peer.read_file(bytes.fromhex(vector["file"]), bytes.fromhex(vector["pairing"]), vector["whose"])
    assert judged.value.reason == vector["reason"]


def test_the_example_of_the_page_is_what_both_implementations_make() -> None:
    example = make_tray.example()
    section = PAGE.partition("## §6 Example")[2]
    width = max(map(len, example))
    assert "".join(f"{name:{width}} {value.hex()}\n" for name, value in example.items()) in section
    key, said = b"\x42" * 32, [1, 0, [], [], [], b""]
    made = peer.file(bytes(range(32)), key, "desk", said, 256)
    assert example == {
        "key": peer.file_key(bytes(range(32)), key, "desk"),
        "said": cbor2.dumps(said),
        "file at 32": made[32:64],
        "tag": made[-16:],
    }
