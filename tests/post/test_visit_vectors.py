"""The vectors and the example of docs/spec/visit.md, against the package and the second implementation."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from backchannel.errors import MalformedError, RefusedError, VerificationError
from backchannel.post import visit as visits
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.visit import Answers, DayKey, Descriptor, Reply, ReplyKey, Visit, VisitKey
from tests.peer import visit_peer as peer
from tests.vectors import make_visit
from tests.vectors.collection import HERE, Vector, files, read
from tests.vectors.make_visit import CHARTER

VECTORS = read("visit")
ACCEPTED = {name: vector for name, vector in VECTORS.items() if name.startswith("accepted")}
REFUSED = {name: vector for name, vector in VECTORS.items() if name.startswith("refused")}
PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "visit.md").read_text()


def having(field: str, vectors: dict[str, Vector]) -> pytest.MarkDecorator:
    some = {name: vector for name, vector in vectors.items() if field in vector}
    assert some
    return pytest.mark.parametrize("vector", some.values(), ids=some)


def office(vector: Vector) -> dict[str, Any]:
    return {**vector["office"], "charter": bytes.fromhex(vector["office"]["charter"])}


def said(vector: Vector) -> dict[str, Any]:
    """The visit of *vector*, as the peer has it."""
    visit = vector["visit"]
    return {
        **visit,
        "key": bytes.fromhex(visit["key"]),
        "deposit": bytes.fromhex(visit["deposit"]),
        "shares": [bytes.fromhex(share) for share in visit["shares"]],
    }


def ours(visit: dict[str, Any]) -> Visit:
    collect = (visit["collect"] - 1, bool(visit["collected_more"])) if visit["collect"] else None
    number, more = visit["round"], bool(visit["more"])
    return Visit(
        visit["mailbox"], number, collect, more, ReplyKey(visit["key"]), visit["deposit"], tuple(visit["shares"])
    )


def read_by_us(vector: Vector, field: str) -> object:
    """What the package reads of the request, the reply or the answers of *vector*."""
    raw, operator, cipher = bytes.fromhex(vector[field]), vector["operator"], ReplyCipher()
    if field == "request":
        visit = Visit.decode(raw, CHARTER, operator)
        visits.check(raw, VisitKey(bytes.fromhex(vector["visit_key"])), charter=CHARTER, operator=operator)
        return visit
    if field == "reply":
        return visits.open_reply(raw, ours(said(vector)), charter=CHARTER, operator=operator, cipher=cipher)
    return visits.open_answers(raw, ours(said(vector)), charter=CHARTER, operator=operator, cipher=cipher)


def read_by_the_peer(vector: Vector, field: str) -> object:
    raw, operator = bytes.fromhex(vector[field]), vector["operator"]
    if field == "request":
        return peer.read_request(office(vector), operator, raw, bytes.fromhex(vector["visit_key"]))
    if field == "reply":
        return peer.read_reply(office(vector), operator, said(vector), raw)
    return peer.read_answers(office(vector), operator, said(vector), raw)


def field_of(vector: Vector) -> str:
    return next(field for field in ("request", "reply", "answers") if field in vector)


def test_the_vectors_are_those_that_the_generator_makes() -> None:
    made = files(make_visit.vectors())
    kept = {path.name: path.read_text() for path in (HERE / "visit").glob("*.json")}
    assert made == kept


def test_every_reason_that_needs_no_operator_has_its_vector() -> None:
    # 1, 2, 6, 7 and 9 are of an operator's state, 12 of a signature: tests/post/test_visit.py and test_porter.py.
    assert {vector["reason"] for vector in REFUSED.values()} == {3, 4, 5, 8, 10, 11}


@having("request", ACCEPTED)
def test_a_request_is_made_and_read_to_the_byte(vector: Vector) -> None:
    visit, key, operator = said(vector), bytes.fromhex(vector["visit_key"]), vector["operator"]
    assert ours(visit).encode(VisitKey(key), CHARTER, operator).hex() == vector["request"]
    assert peer.request(office(vector), operator, visit, key).hex() == vector["request"]
    assert read_by_us(vector, "request") == ours(visit)
    assert read_by_the_peer(vector, "request") == visit


@having("request", ACCEPTED)
def test_a_request_has_the_size_of_the_formula(vector: Vector) -> None:
    visit, operator = vector["visit"], vector["operator"]
    more, number = bool(visit["more"]), visit["round"]
    sizes = peer.share_sizes(office(vector), operator, number, more)
    assert len(vector["request"]) // 2 == 58 + 256 + sum(sizes) + 32
    assert visits.request_size(CHARTER, number, CHARTER.seat(operator), more=more) == 1136 + 58 + 256 + sum(sizes) + 32


@having("reply", ACCEPTED)
def test_a_reply_is_made_and_read_to_the_byte(vector: Vector) -> None:
    content: dict[str, Any] = {name: bytes.fromhex(vector[name]) for name in ("tomorrow", "answers")}
    content |= {name: vector[name] for name in ("seen", "time", "admitted")}
    assert peer.reply(office(vector), vector["operator"], said(vector), content).hex() == vector["reply"]
    reply = Reply(
        content["answers"],
        content["seen"],
        content["time"],
        tuple(content["admitted"]),
        DayKey.decode(content["tomorrow"]),
    )
    visit, operator, cipher = ours(said(vector)), vector["operator"], ReplyCipher()
    assert visits.seal_reply(reply, visit, charter=CHARTER, operator=operator, cipher=cipher).hex() == vector["reply"]
    assert read_by_us(vector, "reply") == reply
    assert read_by_the_peer(vector, "reply") == content
    assert len(vector["reply"]) // 2 == 16 + 4 * 2 + 4597 + 648 + 16 == visits.reply_size(CHARTER, more=False)


@having("rows", {name: vector for name, vector in ACCEPTED.items() if "answers" in vector})
def test_answers_are_made_and_read_to_the_byte(vector: Vector) -> None:
    found = [bytes.fromhex(each) for each in vector["descriptors"]], [bytes.fromhex(row) for row in vector["rows"]]
    assert peer.answers(office(vector), vector["operator"], said(vector), found).hex() == vector["answers"]
    answers = Answers(tuple(map(Descriptor.decode, found[0])), tuple(found[1]))
    visit, operator, cipher = ours(said(vector)), vector["operator"], ReplyCipher()
    sealed = visits.seal_answers(answers, visit, charter=CHARTER, operator=operator, cipher=cipher)
    assert sealed.hex() == vector["answers"]
    assert read_by_us(vector, "answers") == answers
    assert read_by_the_peer(vector, "answers") == found
    more = bool(vector["visit"]["more"])
    tables = 1 + 2 * more
    assert len(sealed) == 120 * tables + 256 * 2 * tables + 16 == visits.answers_size(CHARTER, more=more)


@having("roster", ACCEPTED)
def test_a_descriptor_is_made_of_its_table(vector: Vector) -> None:
    rows = {int(mailbox): bytes.fromhex(row) for mailbox, row in vector["rows"].items()}
    roster, number = bytes.fromhex(vector["roster"]), vector["round"]
    made = visits.describe(CHARTER, number, roster=roster, rows=sorted(rows.items()))
    assert made.encode().hex() == vector["descriptor"]
    assert peer.descriptor(CHARTER.digest, number, 16, roster, rows).hex() == vector["descriptor"]
    assert Descriptor.decode(made.encode()) == made
    assert not made.void


@having("void", ACCEPTED)
def test_a_round_without_a_table_has_a_descriptor_too(vector: Vector) -> None:
    made = visits.void(CHARTER, vector["void"])
    assert made.encode().hex() == vector["descriptor"] == peer.void(CHARTER.digest, vector["void"], 16).hex()
    assert made.void


@having("day_key", ACCEPTED)
def test_a_key_of_the_day_is_laid_out(vector: Vector) -> None:
    day, key, signature = vector["day"], bytes.fromhex(vector["key"]), bytes.fromhex(vector["signature"])
    assert (day.to_bytes(8) + key + signature).hex() == vector["day_key"]
    made = DayKey.decode(bytes.fromhex(vector["day_key"]))
    assert (made.day, made.key, made.signature) == (day, key, signature)
    assert made.encode().hex() == vector["day_key"]


@pytest.mark.parametrize("vector", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_refused_for_its_one_reason(vector: Vector) -> None:
    field = field_of(vector)
    with pytest.raises(RefusedError) as refused:
        read_by_us(vector, field)
    # 3 to 5 do not parse; the other two parse, or do not, to whoever sealed them.
    wanted = {3: MalformedError, 4: MalformedError, 5: MalformedError, 8: VerificationError}
    assert type(refused.value) is wanted.get(vector["reason"], type(refused.value))
    with pytest.raises(peer.Refusal) as judged:
        read_by_the_peer(vector, field)
    assert judged.value.reason == vector["reason"]


def test_the_example_of_the_page_is_what_both_implementations_make() -> None:
    example = make_visit.example()
    section = PAGE.partition("## §8 Example")[2]
    width = max(map(len, example))
    assert "".join(f"{name:{width}} {value.hex()}\n" for name, value in example.items()) in section

    vector = VECTORS["accepted-visit-that-collects"]
    raw = peer.request(office(vector), "west", said(vector), b"\x11" * 32)
    assert (raw[:58], raw[314:-32], raw[-32:]) == (example["request at 0"], example["at 314"], example["code"])
    k_reply, k_answers = peer.reply_keys(office(vector), "west", said(vector))
    assert (k_reply, k_answers) == (example["k_reply"], example["k_answers"])
    info = peer.visit_info(office(vector), "west", 10)
    assert hashlib.sha256(info).digest() == example["info"]
    found = ACCEPTED["accepted-answers"]
    described = bytes.fromhex(found["descriptors"][0])
    assert (described[:48], described[48:80], described[80:]) == (
        example["descriptor at 0"],
        example["roster"],
        example["rows"],
    )
    sealed = bytes.fromhex(found["answers"])
    assert (len(sealed), sealed[:32], sealed[-16:]) == (648, example["answers at 0"], example["tag"])
