"""The vectors and the example of docs/spec/packet.md, against the package and against a second implementation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from backchannel.errors import MalformedError, VerificationError
from backchannel.keys import Digest
from backchannel.post import packet
from backchannel.post.ciphers import PacketCipher
from backchannel.post.packet import Content, RoundKeys
from tests.peer import post_peer as peer
from tests.vectors import make_packet
from tests.vectors.collection import HERE, Vector, files, read

VECTORS = read("packet")
KEYS = [name for name in VECTORS if name.startswith("accepted-keys")]
ROWS = [name for name in VECTORS if name.startswith("accepted-row")]
REFUSED = [name for name in VECTORS if name.startswith("refused")]
PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "packet.md").read_text()


def fields_of(vector: Vector) -> list[Any]:
    base, bitmap, number, kind, fragment = vector["content"]
    return [int(base), int(bitmap), int(number), kind, bytes.fromhex(fragment)]


def ours(vector: Vector) -> Content:
    key = RoundKeys.of(bytes.fromhex(vector["root"])).since(vector["since"]).key(vector["round"])
    where = Digest(bytes.fromhex(vector["charter"])), vector["mailbox"], vector["reader"]
    return packet.open(bytes.fromhex(vector["row"]), key, where=where, cipher=PacketCipher())


def theirs(vector: Vector) -> list[Any]:
    if not vector["since"] <= vector["round"] < 2**32:
        raise peer.Refusal(1)
    key = peer.row_key(bytes.fromhex(vector["root"]), vector["round"])
    return peer.judge_row(
        bytes.fromhex(vector["row"]), key, bytes.fromhex(vector["charter"]), vector["mailbox"], vector["reader"]
    )


def test_the_committed_vectors_are_what_the_generator_makes() -> None:
    made = files(make_packet.vectors())
    kept = {path.name: path.read_text() for path in (HERE / "packet").glob("*.json")}
    assert made == kept


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_kept_and_erased_as_in_their_vector(name: str) -> None:
    vector = VECTORS[name]
    root, since = bytes.fromhex(vector["root"]), vector["since"]
    kept = RoundKeys.of(root).since(since)
    nodes = [[depth, prefix, node.hex()] for depth, prefix, node in kept.nodes]
    assert nodes == vector["nodes"] == [[*place, node.hex()] for *place, node in peer.nodes(root, since)]
    for number, key in vector["keys"]:
        assert kept.key(number).hex() == key == peer.row_key(root, number).hex()


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_sealed_and_opened_as_in_its_vector(name: str) -> None:
    vector = VECTORS[name]
    content, key = (
        make_packet.as_content(fields_of(vector)),
        RoundKeys.of(bytes.fromhex(vector["root"])).key(vector["round"]),
    )
    where = Digest(bytes.fromhex(vector["charter"])), vector["mailbox"], vector["reader"]
    row = packet.seal(content, key, bytes.fromhex(vector["noise"]), where=where, cipher=PacketCipher())
    assert (key.hex(), row.hex()) == (vector["key"], vector["row"])
    assert ours(vector) == content


@pytest.mark.parametrize("name", ROWS)
def test_a_second_implementation_seals_and_opens_the_same_row(name: str) -> None:
    vector = VECTORS[name]
    key, noise = peer.row_key(bytes.fromhex(vector["root"]), vector["round"]), bytes.fromhex(vector["noise"])
    plain = peer.content(fields_of(vector), len(noise) - 28)
    row = peer.seal(plain, key, noise, bytes.fromhex(vector["charter"]), vector["mailbox"], vector["reader"])
    assert (key.hex(), row.hex()) == (vector["key"], vector["row"])
    assert theirs(vector) == fields_of(vector)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_row_is_refused_for_its_one_reason(name: str) -> None:
    vector = VECTORS[name]
    with pytest.raises(VerificationError if vector["reason"] < 3 else MalformedError):
        ours(vector)
    with pytest.raises(peer.Refusal) as judged:
        theirs(vector)
    assert judged.value.reason == vector["reason"]


def test_every_reason_of_the_page_has_its_vector() -> None:
    reasons = re.findall(r"^(\d+)\. ", PAGE.partition("## §4 ")[2].partition("## §5 ")[0], re.MULTILINE)
    assert [int(reason) for reason in reasons] == list(range(1, 8))
    assert {VECTORS[name]["reason"] for name in REFUSED} == set(range(1, 8))


def test_the_example_of_the_page_is_what_both_implementations_make() -> None:
    root, noise, charter = bytes(range(32)), b"\x22" * 256, b"\x43" * 32
    key, plain = peer.row_key(root, 1000), peer.content([7, 5, 3, 2, b"sealed"], 228)
    row = peer.seal(plain, key, noise, charter, 200, 201)
    content = make_packet.as_content([7, 5, 3, 2, b"sealed"])
    kept = RoundKeys.of(root).since(1000)
    assert row == packet.seal(content, kept.key(1000), noise, where=(Digest(charter), 200, 201), cipher=PacketCipher())
    shown = {
        "node of all above": peer.child(root, 1).hex(),
        "nodes kept": str(len(kept.nodes)),
        "key of 1,000": key.hex(),
        "content at 0": plain[:41].hex(),
        "row at 0": row[:12].hex(),
        "row at 12": row[12:53].hex(),
        "tag": row[-16:].hex(),
    }
    assert "".join(f"{name:18} {value}\n" for name, value in shown.items()) in PAGE.partition("## §5 Example")[2]
