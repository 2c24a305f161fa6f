"""The vectors and the example of docs/spec/retrieval.md, against the package and against a second implementation."""

from __future__ import annotations

from pathlib import Path

import pytest

from backchannel.post import retrieval
from backchannel.post.ciphers import QueryStream
from tests.peer import post_peer as peer
from tests.peer.pouch_peer import chacha20
from tests.vectors import make_retrieval
from tests.vectors.collection import HERE, files, read

VECTORS = read("retrieval")
PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "retrieval.md").read_text()


def test_the_committed_vectors_are_what_the_generator_makes() -> None:
    made = files(make_retrieval.vectors())
    kept = {path.name: path.read_text() for path in (HERE / "retrieval").glob("*.json")}
    assert made == kept


@pytest.mark.parametrize("name", VECTORS)
def test_a_query_is_split_and_answered_as_in_its_vector(name: str) -> None:
    vector = VECTORS[name]
    shares = make_retrieval.split(vector)
    answers = make_retrieval.answered(vector, shares)
    assert [share.hex() for share in shares] == vector["shares"]
    assert [answer.hex() for answer in answers] == vector["answers"]
    assert retrieval.combine(answers).hex() == vector["found"] == make_retrieval.table(vector)[vector["row"]].hex()


@pytest.mark.parametrize("name", VECTORS)
def test_a_second_implementation_splits_and_answers_the_same(name: str) -> None:
    vector = VECTORS[name]
    rows, e, table = vector["rows"], vector["explicit"], make_retrieval.table(vector)
    shares = peer.shares(vector["row"], rows, e, [bytes.fromhex(seed) for seed in vector["seeds"]])
    assert [share.hex() for share in shares] == vector["shares"]
    vectors = [share if at == e else chacha20(share, bytes(rows // 8)) for at, share in enumerate(shares)]
    answers = [peer.answer(each, table) for each in vectors]
    assert [answer.hex() for answer in answers] == vector["answers"]
    assert peer.xor(*answers).hex() == vector["found"]


def test_the_example_of_the_page_is_what_both_implementations_make() -> None:
    seed = bytes(range(32))
    shares = retrieval.split(9, 64, operators=2, explicit=0, random=lambda _: seed, stream=QueryStream())
    assert shares == peer.shares(9, 64, 0, [seed])
    shown = {
        "bit 9 alone": peer.unit(9, 64).hex(),
        "vector of the seed": chacha20(seed, bytes(8)).hex(),
        "share of west": shares[0].hex(),
        "share of east": shares[1].hex(),
    }
    assert "".join(f"{name:19} {value}\n" for name, value in shown.items()) in PAGE.partition("## §4 Example")[2]
