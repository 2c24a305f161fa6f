"""Enrolment: tickets, and what is asked outside a visit."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.errors import MalformedError, VerificationError
from backchannel.post import enrolment
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.enrolment import KINDS, Enrolment, Ticket, TicketLine, Token
from backchannel.post.visit import DAY_KEY_SIZE, ReplyKey, VisitKey
from tests.post.stage import operator
from tests.simulation.office import Generator, World

TICKET = Ticket(b"t" * 32)
KEY = ReplyKey(b"r" * 32)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def asked(world: World, kind: str, body: bytes = b"", name: str = "west") -> bytes:
    return enrolment.seal(
        kind, body, KEY, charter=world.charter, operator=name, kem=world.kem, random=Generator(kind, body)
    )


def told(kind: str, sealed: bytes | None) -> bytes:
    assert sealed is not None
    return enrolment.open_reply(kind, sealed, KEY, cipher=ReplyCipher())


def test_a_token_is_for_one_ticket_one_mailbox_and_one_operator() -> None:
    tokens = {
        ticket.token(m, name) for ticket in (TICKET, Ticket(bytes(32))) for m in (1, 2) for name in ("west", "east")
    }
    assert len(tokens) == 8
    assert len({token.lodged() for token in tokens}) == 8


def test_what_is_lodged_is_not_what_is_shown() -> None:
    token = TICKET.token(1, "west")
    assert bytes(token.lodged()) != bytes(token)
    assert Token(token.lodged()).lodged() != token.lodged()


def test_all_requests_have_one_size(world: World) -> None:
    whole = Enrolment(1, TICKET.token(1, "west"), VisitKey(bytes(32))).encode()
    sizes = {len(asked(world, kind, body)) for kind, body in (("enrol", whole), ("key", b""), ("charter", b""))}
    assert sizes == {enrolment.REQUEST_SIZE}


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_has_the_size_of_its_kind_whatever_it_says(world: World, kind: str) -> None:
    body = Enrolment(1, TICKET.token(1, "west"), VisitKey(bytes(32))).encode()
    answer = operator(world).ask(kind, asked(world, kind, body), world.now)
    assert answer is not None
    assert len(answer) == enrolment.size_of_reply(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_of_one_kind_is_none_of_another_or_at_another_operator(world: World, kind: str) -> None:
    box = asked(world, kind)
    assert operator(world).ask(kind, box, world.now) is not None
    for other in KINDS.keys() - {kind}:
        assert operator(world).ask(other, box, world.now) is None
    assert operator(world, "east").ask(kind, box, world.now) is None
    assert operator(world).ask(kind, box[:-1], world.now) is None


def test_whoever_has_no_ticket_gets_no_mailbox(world: World) -> None:
    body = Enrolment(1, TICKET.token(1, "west"), VisitKey(bytes(32))).encode()
    answer = operator(world).ask("enrol", asked(world, "enrol", body), world.now)
    assert enrolment.decode_enrolled(told("enrol", answer)) is None


def test_keys_are_todays_and_tomorrows(world: World) -> None:
    keys = enrolment.decode_day_keys(told("key", operator(world).ask("key", asked(world, "key"), world.now)))
    assert [key.day for key in keys] == [0, 1]
    for key in keys:
        key.check(world.charter, "west")


def test_where_no_charter_follows_none_is_sent(world: World) -> None:
    assert enrolment.decode_charter(told("charter", operator(world).ask("charter", asked(world, "charter"), 0))) == b""


# Outside bytes give a value or MalformedError.


@given(st.binary(min_size=16, max_size=16))
@example((2**32).to_bytes(8) + bytes(8))
@example((2**32 + 1).to_bytes(8) + bytes(8))
def test_any_bytes_are_a_round_or_none_or_malformed(body: bytes) -> None:
    try:
        number = enrolment.decode_enrolled(body)
    except MalformedError:
        assert int.from_bytes(body[:8]) > 2**32
        return
    assert number is None or 0 <= number < 2**32
    assert enrolment.encode_enrolled(number) == body[:8]


@given(st.binary(min_size=8, max_size=300))
def test_any_bytes_are_a_charter_file_or_malformed(body: bytes) -> None:
    try:
        raw = enrolment.decode_charter(body)
    except MalformedError:
        return
    assert body.startswith(enrolment.encode_charter(raw))


@given(st.integers(0, 10_000))
@example(2 * DAY_KEY_SIZE)
def test_any_bytes_are_two_keys_or_malformed(size: int) -> None:
    body = Generator(size)(size)
    try:
        one, other = enrolment.decode_day_keys(body)
    except MalformedError:
        assert size != 2 * DAY_KEY_SIZE
        return
    assert one.encode() + other.encode() == body


@given(st.binary(min_size=enrolment.BODY_SIZE, max_size=enrolment.BODY_SIZE))
def test_any_body_is_an_enrolment(body: bytes) -> None:
    assert Enrolment.decode(body).encode() == body


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=100))
def test_any_bytes_are_no_reply(kind: str, sealed: bytes) -> None:
    with pytest.raises((MalformedError, VerificationError)):
        enrolment.open_reply(kind, sealed, KEY, cipher=ReplyCipher())


@given(
    st.text(max_size=80)
    | st.tuples(st.text(max_size=9), st.integers(), st.text(max_size=60)).map(lambda t: "{} {} {}".format(*t))
)
@example("office 1 ")
@example("office 1 " + "a" * 56)
@example("office 1 " + "é" * 56)
@example("office -1 " + "a" * 56)
@example("office " + "1" * 5000 + " " + "a" * 56)
def test_any_text_is_a_ticket_or_malformed(text: str) -> None:
    try:
        line = TicketLine.parse(text)
    except MalformedError:
        return
    assert TicketLine.parse(line.format()) == line


@given(
    st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True), st.integers(1, 2**20 - 1), st.binary(min_size=32, max_size=32)
)
def test_a_line_is_read_as_it_was_written_and_no_letter_of_it_can_be_another(
    name: str, mailbox: int, ticket: bytes
) -> None:
    line = TicketLine(name, mailbox, Ticket(ticket))
    text = line.format()
    assert TicketLine.parse(text) == line
    for at in range(len(text) - 56, len(text), 7):
        with pytest.raises(MalformedError):
            TicketLine.parse(text[:at] + ("a" if text[at] != "a" else "b") + text[at + 1 :])
