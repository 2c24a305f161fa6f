"""Visits: what an operator makes of them, and what nobody can."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.errors import MalformedError, VerificationError
from backchannel.post import visit as visits
from backchannel.post.ciphers import ReplyCipher
from backchannel.post.rounds import Replying
from backchannel.post.visit import Answers, DayKey, Descriptor, Reply, ReplyKey, Visit, VisitKey
from tests.post.stage import begun, day_key, operator, porter, visited
from tests.simulation.office import Carrier, Generator, World
from tests.vectors import make_visit
from tests.vectors.make_visit import CHARTER

RAW = make_visit.visit("west").encode(make_visit.VISIT_KEY, CHARTER, "west")


@pytest.fixture
def world() -> World:
    """A round whose visits begin, with one porter that has made some."""
    world = World()
    visited(world, world.enrol("anna"))
    begun(world)
    return world


def anna(world: World) -> Carrier:
    return world.carriers["anna"]


def prepared(world: World, name: str = "west") -> bytes:
    started = anna(world).started
    assert started is not None
    return next(errand.body for errand in started.errands if errand.operator == name)


def made(world: World, **changes: Any) -> bytes:
    """A visit of anna's to west, as her porter would make it but for *changes*."""
    number, charter = world.round, world.charter
    sizes = visits.share_sizes(charter, changes.get("round", number), 0, more=changes.get("more", False))
    shares = tuple(Generator("shares", at)(size) for at, size in enumerate(sizes))
    key = changes.pop("visit_key", porter(anna(world)).keeping.standings["west"].key)
    visit = Visit(
        anna(world).mailbox, number, None, more=False, key=ReplyKey(b"r" * 32), deposit=bytes(512), shares=shares
    )
    box = visits.seal(
        replace(visit, **changes),
        key,
        day_key(world, "west", charter.day_of(number)).key,
        charter=charter,
        operator="west",
        kem=world.kem,
        random=Generator("seal", *changes.items()),
    )
    assert isinstance(box, bytes)
    return box


def answered(world: World, box: bytes, now: int | None = None) -> Replying | None:
    return operator(world).visit(box, world.now if now is None else now)


def opens(world: World, replying: Replying | None, *, key: bytes = b"r" * 32) -> Reply:
    assert replying is not None
    visit = Visit(anna(world).mailbox, world.round, None, more=False, key=ReplyKey(key), deposit=b"", shares=())
    return visits.open_reply(replying.body, visit, charter=world.charter, operator="west", cipher=ReplyCipher())


def refused(world: World, replying: Replying | None, *, more: bool = False) -> None:
    """It has the size and the instant of a right reply, and opens for nobody."""
    assert replying is not None
    assert len(replying.body) == visits.reply_size(world.charter, more=more)
    with pytest.raises(VerificationError):
        opens(world, replying)


# What is closed without a byte (docs/spec/visit.md §6, reasons 1 to 5).


def test_a_box_of_another_size_is_closed(world: World) -> None:
    box = prepared(world)
    for other in (b"", box[:-1], box + b"\0", prepared(world, "east")[: len(box) - 1], bytes(2**20)):
        assert answered(world, other) is None


def test_a_box_that_does_not_open_is_closed(world: World) -> None:
    box = bytearray(prepared(world))
    box[-1] ^= 1
    assert answered(world, bytes(box)) is None
    assert answered(world, Generator("noise")(len(box))) is None


def test_a_box_to_the_other_operator_is_closed_here(world: World) -> None:
    charter = world.charter
    visit = Visit(
        anna(world).mailbox, world.round, None, more=False, key=ReplyKey(b"r" * 32), deposit=bytes(512), shares=()
    )
    sizes = visits.share_sizes(charter, world.round, 0, more=False)
    visit = replace(visit, shares=tuple(bytes(size) for size in sizes))
    key = porter(anna(world)).keeping.standings["east"].key
    to = day_key(world, "east", charter.day_of(world.round)).key
    box = world.kem.seal(
        to, visits._info(charter, "east", 0), visit.encode(key, charter, "east"), Generator("seal")
    )  # fmt: skip
    assert len(box) == len(made(world))
    assert answered(world, box) is None


def test_on_a_day_without_a_key_every_visit_is_closed(world: World) -> None:
    later = world.round + 2 * world.numbers.day
    assert answered(world, prepared(world), world.charter.agreed_by(later)) is None


def test_before_the_first_round_every_visit_is_closed(world: World) -> None:
    assert answered(world, prepared(world), world.numbers.start - 1) is None


def test_what_opens_to_no_visit_is_closed(world: World) -> None:
    assert answered(world, made(world, collect=(world.round, False))) is None


# What is answered in the usual size (reasons 6 to 9).


def test_a_right_visit_is_answered(world: World) -> None:
    reply = opens(world, answered(world, made(world)))
    assert reply.seen == world.round  # one more than the round before
    assert reply.tomorrow == day_key(world, "west", 1)


@pytest.mark.parametrize("mailbox", [0, 9, 15, 2**64 - 1])
def test_a_mailbox_without_an_owner_gets_as_much_as_any(world: World, mailbox: int) -> None:
    refused(world, answered(world, made(world, mailbox=mailbox)))


def test_a_mailbox_that_is_retired_gets_as_much_as_any(world: World) -> None:
    operator(world).retire(anna(world).mailbox)
    refused(world, answered(world, made(world)))


@pytest.mark.parametrize("ahead", [-2, 2, 100])
def test_a_visit_of_another_round_gets_as_much_as_any(world: World, ahead: int) -> None:
    refused(world, answered(world, made(world, round=world.round + ahead)))


def test_a_visit_before_the_visiting_phase_gets_as_much_as_any(world: World) -> None:
    assert world.now == world.charter.agreed_by(world.round)
    refused(world, answered(world, made(world), world.now - 1))
    opens(world, answered(world, made(world), world.now))


def test_an_operator_that_was_started_in_a_round_takes_no_visit_of_it(world: World) -> None:
    world.restart_house("west")
    refused(world, answered(world, made(world)))


def test_a_code_under_another_key_gets_as_much_as_any(world: World) -> None:
    refused(world, answered(world, made(world, visit_key=VisitKey(bytes(32)))))


def test_a_second_visit_of_a_round_gets_as_much_as_any(world: World) -> None:
    opens(world, answered(world, made(world)))
    refused(world, answered(world, made(world, key=ReplyKey(b"s" * 32))))


@pytest.mark.parametrize("more", [False, True])
def test_what_is_refused_is_as_large_as_what_its_flags_would_collect(world: World, more: bool) -> None:  # noqa: FBT001
    refused(world, answered(world, made(world, mailbox=9, collect=(world.round - 1, more))), more=more)


def test_right_or_wrong_the_reply_leaves_at_one_instant(world: World) -> None:
    instants = {
        replying.instant
        for box in (made(world), made(world, visit_key=VisitKey(bytes(32))), made(world, round=world.round + 2))
        if (replying := answered(world, box))
    }
    assert instants == {world.charter.instant(anna(world).mailbox, world.round) + world.numbers.hold}


def test_a_reply_to_a_late_visit_leaves_at_once(world: World) -> None:
    late = world.charter.instant(anna(world).mailbox, world.round) + world.numbers.hold + 7
    replying = answered(world, made(world), late)
    assert replying is not None
    assert replying.instant == late == opens(world, replying).time


def test_the_same_bytes_get_the_same_reply_again(world: World) -> None:
    first = answered(world, made(world))
    assert first is not None
    again = answered(world, made(world), world.now + 100)
    assert again is not None
    assert (again.body, again.instant) == (first.body, first.instant)


# What a visit is.


def test_what_is_the_same_at_all_operators_and_what_is_not(world: World) -> None:
    said = {}
    for name in world.houses:
        machine = operator(world, name)
        private = machine._days.private(0)
        assert private is not None
        charter = world.charter
        said[name], _ = visits.open(
            prepared(world, name), private, 0, charter=charter, operator=name, kem=world.kem
        )  # fmt: skip
    one, other = said.values()
    for field in ("mailbox", "round", "collect", "more", "deposit"):
        assert getattr(one, field) == getattr(other, field)
    assert one.key != other.key
    assert set(one.shares) & set(other.shares) == set()


def test_an_operator_could_have_made_every_visit_that_it_was_given(world: World) -> None:
    # The code is under a key that both hold, so what it vouches for convinces nobody else.
    machine, box = operator(world), prepared(world)
    private, member = machine._days.private(0), machine._members.get(anna(world).mailbox, world.round)
    assert private is not None
    assert member is not None
    visit, raw = visits.open(box, private, 0, charter=world.charter, operator="west", kem=world.kem)
    forged = replace(visit, deposit=b"\x01" * 512).encode(member.key, world.charter, "west")
    visits.check(forged, member.key, charter=world.charter, operator="west")
    assert forged[:-32].replace(b"\x01" * 512, visit.deposit) == raw[:-32]


def test_a_code_is_for_one_operator_and_one_charter(world: World) -> None:
    key, visit = VisitKey(b"k" * 32), make_visit.visit("west")
    raw = visit.encode(key, CHARTER, "west")
    visits.check(raw, key, charter=CHARTER, operator="west")
    for charter, name in ((CHARTER, "east"), (world.charter, "west")):
        with pytest.raises(VerificationError):
            visits.check(raw, key, charter=charter, operator=name)


def test_answers_to_one_visit_do_not_open_to_another() -> None:
    visit = make_visit.visit("west")
    sealed = visits.seal_answers(make_visit.ANSWERS, visit, charter=CHARTER, operator="west", cipher=ReplyCipher())
    others = (
        ("west", replace(visit, key=ReplyKey(bytes(32)))),
        ("west", replace(visit, round=visit.round + 1)),
        ("west", replace(visit, mailbox=4)),
        ("east", visit),
    )
    for name, other in others:
        with pytest.raises(VerificationError):
            visits.open_answers(sealed, other, charter=CHARTER, operator=name, cipher=ReplyCipher())
    assert (
        visits.open_answers(sealed, visit, charter=CHARTER, operator="west", cipher=ReplyCipher()) == make_visit.ANSWERS
    )


# Keys of the day.


def test_a_key_of_the_day_is_its_operators_for_one_day_and_charter(world: World) -> None:
    key = day_key(world, "west", 1)
    key.check(world.charter, "west")
    DayKey.decode(key.encode()).check(world.charter, "west")
    other = day_key(world, "east", 1).key
    for wrong in (replace(key, day=2), replace(key, key=other)):
        with pytest.raises(VerificationError):
            wrong.check(world.charter, "west")
    with pytest.raises(VerificationError):
        key.check(world.charter, "east")
    numbers = replace(world.numbers, hold=1_000)
    with pytest.raises(VerificationError):
        key.check(replace(world.charter, numbers=numbers), "west")


# Outside bytes give a value or MalformedError.


@given(st.binary(max_size=64) | st.binary(min_size=len(RAW), max_size=len(RAW)))
@example(RAW)
def test_any_bytes_are_a_visit_or_malformed(data: bytes) -> None:
    try:
        visit = Visit.decode(data, CHARTER, "west")
    except MalformedError:
        return
    assert len(visit.deposit) == 256
    assert visit.round < 2**32
    # Its code aside, there are no two ways to write one.
    assert visit.encode(VisitKey(bytes(32)), CHARTER, "west")[:-32] == data[:-32]


@given(st.data())
def test_a_visit_with_any_bytes_altered_is_a_visit_or_malformed(data: st.DataObject) -> None:
    raw, at = bytearray(RAW), data.draw(st.integers(0, 60))
    new = data.draw(st.binary(min_size=1, max_size=8))
    raw[at : at + len(new)] = new
    try:
        visit = Visit.decode(bytes(raw), CHARTER, "west")
    except MalformedError:
        return
    assert visit.encode(VisitKey(bytes(32)), CHARTER, "west")[:-32] == raw[:-32]


@given(st.binary(max_size=200) | st.binary(min_size=120, max_size=120))
def test_any_bytes_are_a_descriptor_or_malformed(data: bytes) -> None:
    try:
        assert Descriptor.decode(data).encode() == data
    except MalformedError:
        assert len(data) != visits.DESCRIPTOR_SIZE


@given(st.integers(0, 5000))
@example(visits.DAY_KEY_SIZE)
def test_any_bytes_are_a_key_of_the_day_or_malformed(size: int) -> None:
    data = Generator(size)(size)
    try:
        assert DayKey.decode(data).encode() == data
    except MalformedError:
        assert size != visits.DAY_KEY_SIZE


@given(st.integers(0, 6000))
@example(16 + 8 + visits.DAY_KEY_SIZE)
@example(16 + 8 + visits.DAY_KEY_SIZE - 1)
def test_any_bytes_are_the_content_of_a_reply_or_malformed(size: int) -> None:
    data = Generator(size)(size)
    try:
        assert Reply.decode(data, CHARTER).encode() == data
    except MalformedError:
        assert size < 16 + 8 + visits.DAY_KEY_SIZE


@given(st.integers(0, 2500), st.booleans())
@example(size=120 + 2 * 256, more=False)
@example(size=3 * 120 + 6 * 256, more=True)
def test_any_bytes_are_answers_or_malformed(size: int, more: bool) -> None:  # noqa: FBT001
    data = Generator(size)(size)
    try:
        assert Answers.decode(data, CHARTER, more=more).encode() == data
    except MalformedError:
        assert size != (3 * 120 + 6 * 256 if more else 120 + 2 * 256)
