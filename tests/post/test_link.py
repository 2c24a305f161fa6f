"""The link between operators (docs/spec/round.md §2): who is greeted, what is answered, and what is not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.encoding import Value, encode
from backchannel.errors import MalformedError, RefusedError, VerificationError
from backchannel.kem import PrivateKey
from backchannel.keys import Digest
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.link import GREETING_LIMIT, HEAD_SIZE, Greeting, message_limit
from backchannel.post.links import SESSIONS
from backchannel.post.rounds import Operator
from tests.post.stage import VALUES, bent, encodings, operator, read
from tests.simulation.office import World

REQUEST: Final = ("list", 1_003)
NOWHERE: Final = 1_950_000_000_000


def fresh(k: int = 2) -> tuple[World, Operator, Operator]:
    """Two operators that have not spoken to each other."""
    world = World(k=k)
    for name in world.houses:
        world.restart_house(name)
    return world, operator(world, "west"), operator(world, "east")


def link(one: Operator, other: Operator) -> tuple[Greeting, bytes]:
    """Greet, and take the answer."""
    greeting, private = one.greet(other.name)
    answer = other.greeted(greeting.encode())
    assert answer is not None
    one.welcomed(greeting, answer, private)
    return greeting, answer


def ask(one: Operator, other: Operator, request: Value = REQUEST, now: int = NOWHERE) -> Any:
    number, message = one.request(other.name, request)
    sealed = other.serve(message, now)
    assert sealed is not None
    return one.reply(other.name, number, sealed, now)


# Greetings.


def test_two_operators_speak_once_one_has_greeted_the_other() -> None:
    _, west, east = fresh()
    assert not west.linked("east")
    link(west, east)
    assert west.linked("east")
    assert not east.linked("west")
    assert ask(west, east) == ()
    link(east, west)
    assert ask(east, west) == ()
    assert ask(west, east) == ()


def test_a_greeting_is_decoded_as_it_was_encoded() -> None:
    _, west, _ = fresh()
    greeting, _ = west.greet("east")
    assert Greeting.decode(greeting.encode()) == greeting
    assert len(greeting.encode()) < GREETING_LIMIT


def test_an_operator_answers_no_greeting_for_another() -> None:
    world, west, east = fresh(3)
    greeting, _ = west.greet("north")
    assert east.greeted(greeting.encode()) is None
    assert operator(world, "north").greeted(greeting.encode()) is not None


def test_an_operator_answers_no_greeting_of_its_own_and_none_under_another_name() -> None:
    world, west, east = fresh(3)
    greeting, _ = west.greet("east")
    mine, theirs = (world.houses[name].keys[0].signer for name in ("west", "east"))
    itself = Greeting.make(world.charter, "east", "east", key=greeting.key, signer=theirs)
    another = Greeting.make(world.charter, "north", "east", key=greeting.key, signer=mine)
    nobody = Greeting.make(world.charter, "nobody", "east", key=greeting.key, signer=mine)
    for forged in (itself, another, nobody):
        assert east.greeted(forged.encode()) is None
    assert east.greeted(greeting.encode()) is not None


def test_an_operator_answers_no_greeting_of_another_office() -> None:
    _, west, _ = fresh()
    greeting, _ = west.greet("east")
    elsewhere = operator(World(seed="another"), "east")
    assert elsewhere.greeted(greeting.encode()) is None
    # Even if all but the keys were the same.
    here = operator(World(seed="another"), "east").charters[0].charter
    assert elsewhere.greeted(replace(greeting, charter=here.digest).encode()) is None


def test_there_is_no_greeting_for_who_has_no_seat() -> None:
    _, west, _ = fresh()
    with pytest.raises(RefusedError, match="there is no operator called nobody"):
        west.greet("nobody")


@pytest.mark.parametrize("field", ["charter", "sender", "receiver", "key", "signature"])
def test_a_greeting_with_any_field_altered_is_not_answered(field: str) -> None:
    _, west, east = fresh()
    greeting, _ = west.greet("east")
    old = getattr(greeting, field)
    new = old[:-1] + ("x" if isinstance(old, str) else bytes([old[-1] ^ 1]))
    altered = replace(greeting, **{field: new if isinstance(old, str) else type(old)(new)})
    assert east.greeted(altered.encode()) is None


@cache
def office() -> tuple[Operator, Operator, Greeting, bytes, PrivateKey]:
    """Two operators, and a greeting of one that the other has answered."""
    _, west, east = fresh()
    greeting, private = west.greet("east")
    answer = east.greeted(greeting.encode())
    assert answer is not None
    return west, east, greeting, answer, private


@given(st.binary(max_size=300))
def test_any_bytes_are_a_greeting_or_malformed(data: bytes) -> None:
    assert read(Greeting.decode, data) is None
    assert office()[1].greeted(data) is None


@given(st.data())
@settings(max_examples=100)
def test_a_value_of_any_shape_is_a_greeting_or_malformed(data: st.DataObject) -> None:
    greeting = office()[2]
    right = (
        b"backchannel/v1/link/greeting",
        *(getattr(greeting, f) for f in ("charter", "sender", "receiver", "key", "signature")),
    )
    raw = data.draw(encodings(tuple(bytes(each) if isinstance(each, bytes) else each for each in right)))
    found = read(Greeting.decode, raw)
    assert found is None or found.encode() == raw
    if raw != greeting.encode():
        assert office()[1].greeted(raw) is None


def test_a_greeting_that_is_too_large_is_malformed_before_it_is_read() -> None:
    with pytest.raises(MalformedError):
        Greeting.decode(bytes(GREETING_LIMIT + 1))


@pytest.mark.parametrize("at", [0, 40, 1_119, 1_136, 1_167, 1_168, 1_232, -1])
def test_an_answer_to_a_greeting_that_is_altered_is_refused(at: int) -> None:
    west, _, greeting, answer, private = office()
    altered = bytearray(answer)
    altered[at] ^= 1
    with pytest.raises(VerificationError):
        west.welcomed(greeting, bytes(altered), private)


@pytest.mark.parametrize("size", [-1, 0, 1])
def test_an_answer_of_another_size_is_refused(size: int) -> None:
    west, _, greeting, answer, private = office()
    other = answer[:-1] if size < 0 else b"" if size == 0 else answer + b"\0"
    with pytest.raises(VerificationError):
        west.welcomed(greeting, other, private)


def test_an_answer_to_another_greeting_or_of_another_operator_is_refused() -> None:
    world, west, east = fresh(3)
    greeting, private = west.greet("east")
    again, _ = west.greet("east")
    for foreign in (east.greeted(again.encode()), operator(world, "north").greeted(west.greet("north")[0].encode())):
        assert foreign is not None
        with pytest.raises(VerificationError):
            west.welcomed(greeting, foreign, private)
    assert not west.linked("east")


# Requests.


def test_a_request_that_comes_again_is_not_answered_again() -> None:
    _, west, east = fresh()
    link(west, east)
    _, message = west.request("east", REQUEST)
    assert east.serve(message, NOWHERE) is not None
    assert east.serve(message, NOWHERE) is None


def test_a_request_that_is_older_than_the_last_is_not_answered() -> None:
    _, west, east = fresh()
    link(west, east)
    _, first = west.request("east", REQUEST)
    _, second = west.request("east", REQUEST)
    assert east.serve(second, NOWHERE) is not None
    assert east.serve(first, NOWHERE) is None
    # What was lost on its way does no harm to what follows.
    assert ask(west, east) == ()


def test_a_replayed_request_changes_nothing_of_what_follows() -> None:
    _, west, east = fresh()
    link(west, east)
    _, message = west.request("east", REQUEST)
    for _ in range(3):
        east.serve(message, NOWHERE)
    assert ask(west, east) == ()


@pytest.mark.parametrize("at", [0, 15, 16, 23, 24, -1])
def test_a_request_that_is_altered_is_not_answered_and_spends_no_number(at: int) -> None:
    _, west, east = fresh()
    link(west, east)
    _, message = west.request("east", REQUEST)
    altered = bytearray(message)
    altered[at] ^= 1
    assert east.serve(bytes(altered), NOWHERE) is None
    assert east.serve(message, NOWHERE) is not None


def test_a_request_of_a_foreign_session_is_not_answered() -> None:
    world, west, east = fresh(3)
    north = operator(world, "north")
    link(west, east)
    link(west, north)
    _, message = west.request("north", REQUEST)
    assert east.serve(message, NOWHERE) is None
    # Nor one that is moved into a session of somebody else.
    _, mine = west.request("east", REQUEST)
    assert east.serve(mine[:HEAD_SIZE] + message[HEAD_SIZE:], NOWHERE) is None


def test_an_answer_to_one_request_is_none_to_another() -> None:
    _, west, east = fresh()
    link(west, east)
    first, message = west.request("east", REQUEST)
    sealed = east.serve(message, NOWHERE)
    assert sealed is not None
    for number in (0, first + 1):
        with pytest.raises(VerificationError):
            west.reply("east", number, sealed, NOWHERE)
    assert west.reply("east", first, sealed, NOWHERE) == ()


def test_a_question_of_one_side_is_no_answer_to_the_other() -> None:
    _, west, east = fresh()
    link(west, east)
    number, message = west.request("east", REQUEST)
    with pytest.raises(VerificationError):
        west.reply("east", number, message[HEAD_SIZE:], NOWHERE)


def test_every_answer_shows_how_far_the_others_clock_is_ahead() -> None:
    _, west, east = fresh()
    link(west, east)
    number, message = west.request("east", REQUEST)
    sealed = east.serve(message, NOWHERE + 2_500)
    assert sealed is not None
    west.reply("east", number, sealed, NOWHERE)
    assert dict(west.clocks) == {"east": 2_500}


@pytest.mark.parametrize("answer", [(), (1,), (1, 2, 3), 7, b"", "text", ("now", ()), (b"", ())])
def test_an_answer_without_a_time_is_malformed(answer: Value) -> None:
    _, west, east = fresh()
    link(west, east)
    number, _ = west.request("east", REQUEST)
    session = next(iter(east._links._asked.values()))
    with pytest.raises(MalformedError):
        west.reply("east", number, session.answer(number, answer, ReplyCipher()), NOWHERE)
    assert dict(west.clocks) == {}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_get_none(message: bytes) -> None:
    assert office()[1].serve(message, NOWHERE) is None


@given(st.binary(max_size=100))
def test_any_bytes_in_a_session_that_there_is_get_none(rest: bytes) -> None:
    _, east, *_ = office()
    session = next(iter(east._links._asked))
    assert east.serve(session + rest, NOWHERE) is None


@given(
    st.one_of(
        VALUES,
        bent(("list", 1_003)),
        bent(("rows", 1_003, (1, 2))),
        bent(("lodge", ((1, bytes(32)),))),
        bent(("retire", ((1, b""),))),
    )
)
@settings(max_examples=150)
def test_whatever_another_operator_asks_it_is_answered_with_a_value(request: Any) -> None:
    world, west, east = asking()
    number, message = west.request("east", request)
    sealed = east.serve(message, world.now)
    assert sealed is not None
    assert encode(west.reply("east", number, sealed, world.now)) is not None


@cache
def asking() -> tuple[World, Operator, Operator]:
    world = World()
    world.enrol("anna")
    world.enrol("mikhail", "east")
    world.run(6)
    west, east = operator(world, "west"), operator(world, "east")
    link(west, east)
    return world, west, east


# Sessions.


def test_an_operator_that_is_started_again_has_no_sessions_and_is_greeted_anew() -> None:
    world, west, east = fresh()
    link(west, east)
    _, message = west.request("east", REQUEST)
    world.restart_house("east")
    again = operator(world, "east")
    assert again.serve(message, NOWHERE) is None
    west.unlink("east")
    assert not west.linked("east")
    link(west, again)
    assert ask(west, again) == ()


def test_a_few_sessions_of_each_other_operator_are_kept_and_none_of_them_drives_out_anothers() -> None:
    world, west, east = fresh(3)
    north = operator(world, "north")
    link(north, east)
    for _ in range(20):
        link(west, east)
    assert len(east._links._asked) == SESSIONS + 1
    assert ask(west, east) == ask(north, east) == ()


def test_a_greeting_that_is_replayed_is_not_answered_and_the_session_goes_on() -> None:
    _, west, east = fresh()
    greeting, _ = link(west, east)
    for _ in range(10):
        assert east.greeted(greeting.encode()) is None
    assert ask(west, east) == ()


def test_a_message_has_room_for_a_list_of_all_rows_and_for_a_batch_of_them() -> None:
    charter = World().charter
    everybody = (
        bytes(charter.numbers.capacity // 8),
        tuple((2**20, Digest(bytes(32))) for _ in range(charter.numbers.capacity)),
    )
    batch = tuple(bytes(charter.numbers.packet) for _ in range(1_024))
    assert max(len(encode((2**64 - 1, each))) for each in (everybody, batch)) + HEAD_SIZE + 16 <= message_limit(charter)
