"""The vectors and the example of docs/spec/enrolment.md, against the package and the second implementation."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from backchannel.errors import RefusedError
from backchannel.kem import PrivateKey
from backchannel.post import enrolment
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.enrolment import Enrolment, Ticket, TicketLine
from backchannel.post.visit import ReplyKey
from tests.peer import visit_peer as peer
from tests.simulation.seeded_kem import SeededKem
from tests.vectors import make_enrolment
from tests.vectors.collection import HERE, Vector, files, read
from tests.vectors.make_enrolment import CHARTER, KEY

VECTORS = read("enrolment")
ACCEPTED = {name: vector for name, vector in VECTORS.items() if name.startswith("accepted")}
REFUSED = {name: vector for name, vector in VECTORS.items() if name.startswith("refused")}
PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "enrolment.md").read_text()


def having(field: str, vectors: dict[str, Vector]) -> pytest.MarkDecorator:
    some = {name: vector for name, vector in vectors.items() if field in vector}
    assert some
    return pytest.mark.parametrize("vector", some.values(), ids=some)


def office(vector: Vector) -> dict[str, Any]:
    return {**vector["office"], "charter": bytes.fromhex(vector["office"]["charter"])}


def spoilt(vector: Vector) -> bytes:
    """The reply that the content of *vector* is sealed to, as it arrives."""
    sealed = bytearray(
        enrolment.seal_reply(vector["kind"], bytes.fromhex(vector["content"]), KEY, cipher=ReplyCipher())
    )
    if "flip" in vector:
        sealed[vector["flip"]] ^= 1
    return bytes(sealed[: len(sealed) - vector.get("cut", 0)])


def read_reply(kind: str, sealed: bytes, key: bytes) -> Any:
    body = enrolment.open_reply(kind, sealed, ReplyKey(key), cipher=ReplyCipher())
    if kind == "enrol":
        return enrolment.decode_enrolled(body)
    if kind == "key":
        return tuple(each.encode() for each in enrolment.decode_day_keys(body))
    return enrolment.decode_charter(body)


def shown(kind: str, said: Any) -> Any:
    """What a reply says, as a vector has it."""
    if kind == "key":
        return [each.hex() for each in said]
    return make_enrolment.shown(said) if kind == "charter" else said


def test_the_vectors_are_those_that_the_generator_makes() -> None:
    made = files(make_enrolment.vectors())
    kept = {path.name: path.read_text() for path in (HERE / "enrolment").glob("*.json")}
    assert made == kept


def test_every_reason_that_needs_no_members_has_its_vector() -> None:
    # 3 and 4 are of who has a mailbox: tests/post/test_members.py.
    assert {vector["reason"] for vector in REFUSED.values()} == {1, 2, 5, 6, 7}


@having("token", ACCEPTED)
def test_a_ticket_is_shown_and_lodged(vector: Vector) -> None:
    ticket, mailbox, operator = bytes.fromhex(vector["ticket"]), vector["mailbox"], vector["operator"]
    token = Ticket(ticket).token(mailbox, operator)
    assert (token.hex(), token.lodged().hex()) == (vector["token"], vector["lodged"])
    shown = peer.token(ticket, mailbox, operator)
    assert (shown.hex(), peer.lodged(shown).hex()) == (vector["token"], vector["lodged"])


@having("line", ACCEPTED)
def test_a_ticket_is_written_and_read(vector: Vector) -> None:
    ticket = bytes.fromhex(vector["ticket"])
    line = TicketLine(vector["charter"], vector["mailbox"], Ticket(ticket))
    assert line.format() == vector["line"] == peer.ticket_line(vector["charter"], vector["mailbox"], ticket)
    assert TicketLine.parse(vector["line"]) == line
    name, mailbox, code = vector["line"].split()
    assert TicketLine.parse(f"  {name}\t{mailbox}\n{code.upper()} ") == line


@having("encapsulation", ACCEPTED)
def test_a_request_is_made_and_read_to_the_byte(vector: Vector) -> None:
    kind, body, key = vector["kind"], bytes.fromhex(vector["body"]), bytes.fromhex(vector["key"])
    private, box = bytes.fromhex(vector["private"]), bytes.fromhex(vector["box"])
    assert make_enrolment.asked(kind, body) == box
    encapsulation = bytes.fromhex(vector["encapsulation"])
    info = peer.asking_info(office(vector), "west", kind)
    filled = body.ljust(72, b"\0") + key
    assert SeededKem().seal(SeededKem().public(private), info, filled, lambda _: encapsulation) == box
    got = enrolment.open(kind, box, PrivateKey(private), charter=CHARTER, operator="west", kem=SeededKem())
    assert got == peer.read_asking(office(vector), "west", kind, box, private, SeededKem()) == (filled[:72], key)
    assert len(box) == 1240 == enrolment.REQUEST_SIZE


def test_an_enrolment_is_a_mailbox_a_token_and_a_key() -> None:
    asked = make_enrolment.ENROLMENT
    assert asked.encode() == (3).to_bytes(8) + peer.token(b"\x66" * 32, 3, "west") + b"\x11" * 32
    assert Enrolment.decode(asked.encode()) == asked


@having("reply", ACCEPTED)
def test_a_reply_is_made_and_read_to_the_byte(vector: Vector) -> None:
    kind, content = vector["kind"], bytes.fromhex(vector["content"])
    sealed = enrolment.seal_reply(kind, content, KEY, cipher=ReplyCipher())
    assert {"size": len(sealed), "sha256": hashlib.sha256(sealed).hexdigest()} == vector["reply"]
    assert peer.tell(kind, KEY, content) == sealed
    assert len(sealed) == enrolment.size_of_reply(kind) == peer.SIZES[kind]
    assert shown(kind, read_reply(kind, sealed, KEY)) == vector["says"]
    assert shown(kind, peer.read_told(kind, KEY, sealed)) == vector["says"]


@having("box", REFUSED)
def test_a_refused_request_is_refused_for_its_one_reason(vector: Vector) -> None:
    kind, box, private = vector["kind"], bytes.fromhex(vector["box"]), bytes.fromhex(vector["private"])
    with pytest.raises(RefusedError):
        enrolment.open(kind, box, PrivateKey(private), charter=CHARTER, operator="west", kem=SeededKem())
    with pytest.raises(peer.Refusal) as judged:
        peer.read_asking(office(vector), "west", kind, box, private, SeededKem())
    assert judged.value.reason == vector["reason"]


@having("content", REFUSED)
def test_a_refused_reply_is_refused_for_its_one_reason(vector: Vector) -> None:
    kind, sealed = str(vector.get("opened_as", vector["kind"])), spoilt(vector)
    key = bytes.fromhex(str(vector.get("opened_with", vector["key"])))
    with pytest.raises(RefusedError):
        read_reply(kind, sealed, key)
    with pytest.raises(peer.Refusal) as judged:
        peer.read_told(kind, key, sealed)
    assert judged.value.reason == vector["reason"]


@having("line", REFUSED)
def test_a_line_that_was_copied_wrongly_is_no_ticket(vector: Vector) -> None:
    with pytest.raises(RefusedError):
        TicketLine.parse(vector["line"])


def test_the_example_of_the_page_is_what_both_implementations_make() -> None:
    example = make_enrolment.example()
    section = PAGE.partition("## §7 Example")[2]
    width = max(map(len, example))
    assert "".join(f"{name:{width}} {value}\n" for name, value in example.items()) in section
    token = peer.token(b"\x66" * 32, 3, "west")
    assert example == {
        "token at west": token.hex(),
        "lodged there": peer.lodged(token).hex(),
        "body": ((3).to_bytes(8) + token + b"\x11" * 32).hex(),
        "reply": peer.tell("enrol", b"\x22" * 32, (1013).to_bytes(8)).hex(),
        "line": peer.ticket_line("example", 3, b"\x66" * 32),
    }
