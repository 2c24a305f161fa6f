"""The vectors and the example of docs/spec/round.md, against the package and the second implementation."""

from __future__ import annotations

from pathlib import Path

import pytest

from backchannel.errors import MalformedError, RefusedError, VerificationError
from backchannel.kem import PublicKey
from backchannel.keys import Digest
from backchannel.post import link
from backchannel.post.charter import SignedCharter
from backchannel.post.charters import Charters
from backchannel.post.ciphers import Ciphers, ReplyCipher
from backchannel.post.link import Greeting, LinkSecret, Session
from backchannel.post.links import Links
from backchannel.post.porter import Kind
from backchannel.post.settling import digest
from backchannel.signing import Signature
from tests.peer import visit_peer as peer
from tests.simulation.office import Generator, MemoryShelf, make_keys
from tests.vectors import make_round
from tests.vectors.collection import HERE, Vector, files, read
from tests.vectors.make_round import CHARTER
from tests.vectors.make_tray import array

VECTORS = read("round")
ACCEPTED = {name: vector for name, vector in VECTORS.items() if name.startswith("accepted")}
REFUSED = {name: vector for name, vector in VECTORS.items() if name.startswith("refused")}
PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "round.md").read_text()


def having(field: str, vectors: dict[str, Vector]) -> pytest.MarkDecorator:
    some = {name: vector for name, vector in vectors.items() if field in vector}
    assert some
    return pytest.mark.parametrize("vector", some.values(), ids=some)


def said(vector: Vector) -> tuple[bytes, str, str, bytes]:
    return bytes.fromhex(vector["charter"]), vector["sender"], vector["receiver"], bytes.fromhex(vector["key"])


def greeting(vector: Vector) -> Greeting:
    charter, sender, receiver, key = said(vector)
    return Greeting(Digest(charter), sender, receiver, PublicKey(key), make_round.GREETING.signature)


def session(vector: Vector, count: int = 0) -> Session:
    made = Session.of(LinkSecret(bytes.fromhex(vector["secret"])), greeting(vector), "east")
    made.count = count
    return made


def theirs(vector: Vector) -> tuple[bytes, bytes, bytes]:
    return peer.session(bytes.fromhex(vector["secret"]), peer.greeting_said(*said(vector)))


def links() -> Links:
    """An operator that has sessions, by which an answer is judged as a whole."""
    charters = Charters(MemoryShelf(), (make_keys("west", Generator(0)),))
    charters.all.append(SignedCharter(CHARTER))
    return Links(charters, Ciphers.real(), Generator(1))


def test_the_vectors_are_those_that_the_generator_makes() -> None:
    made = files(make_round.vectors())
    kept = {path.name: path.read_text() for path in (HERE / "round").glob("*.json")}
    assert made == kept


def test_every_reason_that_needs_no_signature_has_its_vector() -> None:
    # 3 and 4 are of signatures and boxes: tests/post/test_link.py.
    assert {vector["reason"] for vector in REFUSED.values()} == {1, 2, 5, 6, 7}


@having("signature", ACCEPTED)
def test_a_greeting_is_made_and_read_to_the_byte(vector: Vector) -> None:
    signature = bytes.fromhex(vector["signature"])
    assert peer.greeting(said(vector), signature).hex() == vector["greeting"]
    made = Greeting.decode(bytes.fromhex(vector["greeting"]))
    assert made == greeting(vector)
    assert (made.said, made.signature) == (peer.greeting_said(*said(vector)), Signature(signature))
    assert made.encode().hex() == vector["greeting"]


@having("asking", ACCEPTED)
def test_a_session_has_two_keys(vector: Vector) -> None:
    made = session(vector)
    assert (made.id, made.asking, made.answering) == theirs(vector)
    assert [each.hex() for each in theirs(vector)] == [vector[name] for name in ("session", "asking", "answering")]


@having("question", ACCEPTED)
def test_a_question_is_asked_and_read_to_the_byte(vector: Vector) -> None:
    number, asked, raw = vector["number"], array(vector["asked"]), bytes.fromhex(vector["question"])
    assert peer.question(theirs(vector), number, asked) == raw
    assert make_round.plain(session(vector, number - 1).asked(raw, ReplyCipher())[1]) == vector["asked"]
    assert peer.read_question(theirs(vector), number - 1, raw) == asked
    assert link.session_of(raw) == session(vector).id


@having("answer", ACCEPTED)
def test_an_answer_is_made_and_read_to_the_byte(vector: Vector) -> None:
    number, time, told = vector["number"], vector["time"], array(vector["said"])
    raw = bytes.fromhex(vector["answer"])
    assert peer.answer(theirs(vector), number, time, told) == raw
    assert peer.read_answer(theirs(vector), number, raw) == [time, told]
    asking = links()
    asking._asking["east"] = session(vector)
    assert make_round.plain(asking.reply("east", number, raw, time - 7)) == vector["said"]
    assert asking.clocks == {"east": 7}


@having("lists", ACCEPTED)
def test_honest_operators_come_to_the_table_of_the_page(vector: Vector) -> None:
    given = {
        name: (bytes.fromhex(each["roster"]), {int(m): bytes.fromhex(row) for m, row in each["rows"].items()})
        for name, each in vector["lists"].items()
    }
    for mailbox, name in vector["digests"].items():
        row = given["west"][1][int(mailbox)]
        assert digest(int(mailbox), row).hex() == name == peer.row_digest(int(mailbox), row).hex()
    everyone: dict[int, bytes] = {}
    for _, rows in given.values():
        everyone = rows | everyone
    for me, done in make_round.settled().items():
        roster, rows_ = peer.settled(given[me], [given[name] for name in given if name != me])
        table = {mailbox: row or everyone[mailbox] for mailbox, row in rows_.items()}
        assert (roster.hex(), sorted(table)) == (vector["roster"], vector["table"])
        described = peer.descriptor(bytes.fromhex(vector["charter"]), vector["round"], vector["N"], roster, table)
        assert described.hex() == vector["descriptor"]
        assert done.done
        assert done.descriptor is not None
        assert done.descriptor.encode() == described
        assert done.table == table


@having("greeting", REFUSED)
def test_a_refused_greeting_is_refused_for_its_one_reason(vector: Vector) -> None:
    raw = bytes.fromhex(vector["greeting"])
    if vector["reason"] == 1:
        with pytest.raises(MalformedError):
            Greeting.decode(raw)
        return
    with pytest.raises(VerificationError, match="greeting of an operator"):
        Greeting.decode(raw).check(CHARTER, vector["at"])


@having("question", REFUSED)
def test_a_refused_question_is_refused_for_its_one_reason(vector: Vector) -> None:
    raw, one = bytes.fromhex(vector["question"]), session(vector, vector["last"])
    asked = links()
    asked._asked[one.id] = one
    assert asked.serve(raw, 0, lambda *_: ()) is None
    with pytest.raises(peer.Refusal) as judged:
        peer.read_question(theirs(vector), vector["last"], raw)
    assert judged.value.reason == vector["reason"]


@having("answer", REFUSED)
def test_a_refused_answer_is_refused_for_its_one_reason(vector: Vector) -> None:
    raw, asking = bytes.fromhex(vector["answer"]), links()
    asking._asking["east"] = session(vector)
    with pytest.raises(RefusedError):
        asking.reply("east", vector["number"], raw, 0)
    with pytest.raises(peer.Refusal) as judged:
        peer.read_answer(theirs(vector), vector["number"], raw)
    assert judged.value.reason == vector["reason"]


def test_the_example_of_the_page_is_what_both_implementations_make() -> None:
    example = make_round.example()
    section = PAGE.partition("## §8 Example")[2]
    width = max(map(len, example))
    assert "".join(f"{name:{width}} {value.hex()}\n" for name, value in example.items()) in section
    vector = VECTORS["accepted-session"]
    made = theirs(vector)
    table = VECTORS["accepted-settling"]
    described = bytes.fromhex(table["descriptor"])
    assert example == {
        "charter": bytes.fromhex(table["charter"]),
        "session": made[0],
        "k_ask": made[1],
        "k_answer": made[2],
        "question 1": peer.question(made, 1, ["list", 1009]),
        "answer 1": peer.answer(made, 1, 1_950_000_612_345, []),
        "row of 1": bytes.fromhex(table["digests"]["1"]),
        "roster": described[48:80],
        "rows": described[88:],
    }


def test_the_page_lists_every_kind_of_report() -> None:
    section = PAGE.partition("## §6")[2].partition("## §7")[0]
    listed = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")]
    assert listed[1:] == [kind.value for kind in Kind]
