"""The porter, as playbooks: what operators say to it, what it makes of that, and what it does not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from backchannel.errors import MalformedError
from backchannel.kem import PublicKey
from backchannel.keys import Digest
from backchannel.post import enrolment, packet
from backchannel.post import visit as visits
from backchannel.post.charter import SignedCharter
from backchannel.post.ciphers import PacketCipher, ReplyCipher
from backchannel.post.days import DAYS
from backchannel.post.keeping import NOTICE
from backchannel.post.lines import Line
from backchannel.post.packet import Content, RoundKeys
from backchannel.post.porter import DAY, KEEPING, LINES, OUT, SILENT, Kind
from backchannel.post.visit import DayKey, Descriptor, Visit
from backchannel.signing import Signature
from tests.post.stage import (
    WEEK,
    M,
    Mouth,
    anna,
    begun,
    day_key,
    following,
    friend,
    keys_open_nothing,
    kinds,
    line,
    operator,
    porter,
    reports,
    says,
    visited,
)
from tests.simulation.office import Event, Generator, World, make_keys, seats


@pytest.fixture
def world() -> World:
    """An office of two operators, and anna's porter, whose visits collect."""
    world = World()
    visited(world, world.enrol("anna"))
    return world


# Replies.


@pytest.fixture
def mouth(world: World) -> Mouth:
    begun(world)
    return Mouth(world, anna(world))


def test_an_honest_round_reports_nothing_and_is_attended(mouth: Mouth) -> None:
    world, carrier = mouth.world, mouth.carrier
    before = porter(carrier).keeping.attendance[world.now // DAY]
    asked = porter(carrier).keeping.collecting
    assert asked is not None
    deposit = _own_row_is(mouth, asked.round - 1)
    mouth.rows = {0: deposit, 1: deposit}
    mouth.speak()
    assert reports(carrier) == {}
    assert porter(carrier).keeping.attendance[world.now // DAY] == (before[0], before[1] + 1)


def _own_row_is(mouth: Mouth, table: int) -> bytes:
    """Have the porter believe that it handed in a certain row."""
    machine, row = porter(mouth.carrier), b"\x07" * 512
    deposits = machine.keeping.deposits | {table: Digest(hashlib.sha256(row).digest())}
    machine._keeping = replace(machine.keeping, deposits=deposits)
    return row


def _idle(mouth: Mouth) -> int:
    asked = porter(mouth.carrier).keeping.collecting
    assert asked is not None
    return asked.round - 1


def test_an_own_row_that_is_not_there_is_reported_once_a_read(mouth: Mouth) -> None:
    _own_row_is(mouth, _idle(mouth))
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.MISSING, ""): 2}


def test_another_row_in_the_own_mailbox_is_reported(mouth: Mouth) -> None:
    row = _own_row_is(mouth, _idle(mouth))
    mouth.rows = {0: row, 1: b"\x08" * 512}
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.ALTERED, ""): 1}


def test_a_row_where_none_was_handed_in_is_reported(mouth: Mouth) -> None:
    machine = porter(mouth.carrier)
    machine._keeping = replace(machine.keeping, deposits={})
    mouth.rows = {1: b"\x08" * 512}
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.ALTERED, ""): 1}


def test_a_round_that_is_void_everywhere_is_reported_and_not_audited(mouth: Mouth) -> None:
    _own_row_is(mouth, _idle(mouth))
    mouth.descriptors = dict.fromkeys(("west", "east"), lambda said: visits.void(mouth.charter, said.round))
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.VOID, ""): 1}


def test_unequal_tables_are_reported(mouth: Mouth) -> None:
    row = _own_row_is(mouth, _idle(mouth))
    mouth.rows = {0: row, 1: row}
    mouth.descriptors = {"east": lambda said: replace(said, present=3)}
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.UNEQUAL, ""): 1}


@pytest.mark.parametrize(
    "lie",
    [
        lambda said: replace(said, charter=Digest(bytes(32))),
        lambda said: replace(said, round=said.round + 1),
        lambda said: replace(said, rows=said.rows + 8),
    ],
    ids=["charter", "round", "rows"],
)
def test_the_description_of_another_table_is_its_operators(
    mouth: Mouth, lie: Callable[[Descriptor], Descriptor]
) -> None:
    row = _own_row_is(mouth, _idle(mouth))
    mouth.rows = {0: row, 1: row}
    mouth.descriptors = {"east": lie}
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.UNEQUAL, ""): 1, (Kind.OTHER_TABLE, "east"): 1}


def test_answers_that_do_not_open_are_their_operators_and_the_table_is_closed(mouth: Mouth) -> None:
    asked = porter(mouth.carrier).keeping.collecting
    assert asked is not None
    mouth.sealed = {"east": bytes(visits.answers_size(mouth.charter, more=False))}
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.GARBLED, "east"): 1}
    assert asked.tables <= porter(mouth.carrier).keeping.closed


def _quiet(mouth: Mouth) -> None:
    row = _own_row_is(mouth, _idle(mouth))
    mouth.rows = {0: row, 1: row}


def test_a_later_visit_that_one_operator_says_it_saw_changes_nothing(mouth: Mouth) -> None:
    _quiet(mouth)
    mouth.lies = {"east": {"seen": mouth.world.round + 1}}
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.SEEN, "east"): 1}
    assert not porter(mouth.carrier).keeping.copy


def test_two_later_visits_that_differ_change_nothing(mouth: Mouth) -> None:
    _quiet(mouth)
    number = mouth.world.round
    mouth.lies = {"west": {"seen": number + 1}, "east": {"seen": number + 2}}
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.SEEN, "east"): 1, (Kind.SEEN, "west"): 1}
    assert not porter(mouth.carrier).keeping.copy


def test_an_earlier_visit_means_nothing(mouth: Mouth) -> None:
    _quiet(mouth)
    mouth.lies = {name: {"seen": 0} for name in ("west", "east")}
    mouth.speak()
    assert reports(mouth.carrier) == {}
    assert not porter(mouth.carrier).keeping.copy


def test_a_later_visit_that_all_say_they_saw_makes_it_a_copy_that_sends_dummies(mouth: Mouth) -> None:
    world = mouth.world
    _quiet(mouth)
    mouth.lies = {name: {"seen": world.round + 1} for name in ("west", "east")}
    mouth.speak()
    assert porter(mouth.carrier).keeping.copy
    for number in (1, 2):
        friend(world, number, lines=(line(b"m", 9, place=(world.round + 1) % 2),))
        begun(world)
        keys_open_nothing(world)
        assert porter(mouth.carrier).lines[M].out.sent == ()
    assert mouth.carrier.said().copy


def test_a_copy_is_one_only_if_all_have_replied(mouth: Mouth) -> None:
    mouth.lies = {name: {"seen": mouth.world.round + 1} for name in ("west", "east")}
    mouth.speak(but=("west",))
    assert not porter(mouth.carrier).keeping.copy


@pytest.mark.parametrize("off", [0, 12_000, -12_000, 12_001, -12_001, 2**63, -(10**12)])
def test_a_clock_is_shown_and_reported_if_it_is_off_by_more_than_a_fifth(mouth: Mouth, off: int) -> None:
    _quiet(mouth)
    world = mouth.world
    instant = world.charter.instant(mouth.carrier.mailbox, world.round) + world.numbers.hold
    mouth.lies = {"east": {"time": instant + off}}
    mouth.speak()
    assert reports(mouth.carrier) == ({(Kind.CLOCK, "east"): 1} if abs(off) > 12_000 else {})
    assert porter(mouth.carrier).keeping.standings["east"].clock == min(max(off, -(2**40)), 2**40)
    begun(world)
    assert {each.name: each.clock for each in mouth.carrier.said().operators} == {
        "west": 2**40,
        "east": 2**40 + min(max(off, -(2**40)), 2**40),
    }


def test_members_that_are_counted_differently_are_reported(mouth: Mouth) -> None:
    _quiet(mouth)
    mouth.lies = {"east": {"admitted": (1, 2)}}
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.COUNTS, ""): 1}
    assert porter(mouth.carrier).keeping.standings["east"].admitted == (1, 2)


@pytest.mark.parametrize(
    "spoil", [lambda raw: raw[:-1], lambda raw: raw + b"\0", lambda _: b"", lambda raw: bytes([raw[0] ^ 1]) + raw[1:]]
)
def test_a_reply_of_another_size_or_that_does_not_open_is_none(mouth: Mouth, spoil: Callable[[bytes], bytes]) -> None:
    raw = spoil(mouth.reply("east"))
    mouth.speak(but=("east",), instead={1: raw})
    assert reports(mouth.carrier) == {(Kind.NO_REPLY, "east"): 1}


def test_whatever_an_operator_says_the_next_round_sends_the_same() -> None:
    def seen(lies: dict[str, dict[str, Any]], spoilt: bool) -> list[object]:  # noqa: FBT001
        world = World()
        visited(world, world.enrol("anna"))
        begun(world)
        mouth = Mouth(world, anna(world), lies=lies)
        if spoilt:
            mouth.sealed = {"east": bytes(visits.answers_size(world.charter, more=False))}
            mouth.descriptors = {"west": lambda said: replace(said, present=9)}
            mouth.rows = {0: b"\x01" * 512}
        mouth.speak()
        begun(world)
        started = anna(world).started
        assert started is not None
        return [(each.operator, each.kind, each.body, each.instant, each.reply_size) for each in started.errands]

    honest = seen({}, spoilt=False)
    lies = {"seen": 5000, "time": 0, "admitted": (9, 9)}
    assert seen({"east": lies}, spoilt=True) == honest


def test_a_packet_that_is_made_wrong_is_reported(mouth: Mouth) -> None:
    world = mouth.world
    asked = porter(mouth.carrier).keeping.collecting
    assert asked is not None
    machine = porter(mouth.carrier)
    terms = line(b"m", 9)
    machine._lines = {M: Line.new(terms).agreed(terms, since=0)}
    collecting = replace(asked, queries=((asked.round - 1, M), asked.queries[1]))
    machine._keeping = replace(machine.keeping, collecting=collecting)
    _quiet(mouth)
    where, key = (world.charter.digest, 9, mouth.carrier.mailbox), RoundKeys.of(b"1" * 32).key(asked.round - 1)
    raw = bytearray(Content(0, 0, None).encode(512 - packet.OVERHEAD))
    raw[32] = 9
    mouth.rows[0] = bytes(12) + PacketCipher().seal(key, bytes(12), bytes(raw), packet._associated(where))
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.WRONG_PACKET, ""): 1}


# Keys of the day.


def test_a_wrong_key_of_the_day_is_reported_and_not_taken(mouth: Mouth) -> None:
    world = mouth.world
    _forget_tomorrow(mouth)
    good = day_key(world, "east", 1)
    wrong: list[DayKey] = [
        replace(good, signature=Signature(bytes(3373))),
        day_key(world, "west", 1),
    ]
    for at, key in enumerate(wrong):
        mouth.lies = {"east": {"tomorrow": key}}
        mouth.speak()
        assert reports(mouth.carrier)[Kind.WRONG_KEY, "east"] == at + 1
        assert porter(mouth.carrier).keeping.standings["east"].day(1) is None
        _forget_tomorrow(mouth)
        begun(world)
    mouth.lies = {}
    mouth.speak()
    assert porter(mouth.carrier).keeping.standings["east"].day(1) == good.key


@pytest.mark.parametrize("day", [2, 3, 2**63])
def test_a_key_of_a_day_that_is_not_is_a_clock_that_is_off_and_not_taken(mouth: Mouth, day: int) -> None:
    _quiet(mouth)
    mouth.lies = {"east": {"tomorrow": _day_key_of(mouth.world, "east", day, b"\x09")}}
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.CLOCK, "east"): 1}
    assert porter(mouth.carrier).keeping.standings["east"].day(day) is None


def test_a_key_of_a_day_that_is_over_is_not_taken(world: World) -> None:
    world = World(numbers=replace(world.numbers, day=5))
    visited(world, world.enrol("anna"))
    begun(world)
    mouth = Mouth(world, anna(world))
    _quiet(mouth)
    yesterday = world.charter.day_of(world.round) - 1
    _forget_days(mouth)
    mouth.lies = {"east": {"tomorrow": _day_key_of(world, "east", yesterday, b"\x09")}}
    mouth.speak()
    assert reports(mouth.carrier)[Kind.CLOCK, "east"] == 1
    assert porter(mouth.carrier).keeping.standings["east"].days == ()


def _forget_days(mouth: Mouth) -> None:
    machine = porter(mouth.carrier)
    standings = {name: replace(each, days=()) for name, each in machine.keeping.standings.items()}
    machine._keeping = replace(machine.keeping, standings=standings)


def _forget_tomorrow(mouth: Mouth) -> None:
    machine = porter(mouth.carrier)
    standings = {
        name: replace(each, days=tuple(day for day in each.days if day[0] == 0))
        for name, each in machine.keeping.standings.items()
    }
    machine._keeping = replace(machine.keeping, standings=standings)


def _day_key_of(world: World, name: str, day: int, fill: bytes | None = None) -> DayKey:
    """A key that the operator signs: of any day, or another than it has given out."""
    key = world.houses[name].keys[0]
    public = PublicKey(fill * 1216) if fill else day_key(world, name, day).key
    return DayKey.make(day, public, charter=world.charter, operator=name, signer=key.signer)


def test_a_second_key_of_a_day_is_reported_and_the_first_stands(mouth: Mouth) -> None:
    _quiet(mouth)
    first = porter(mouth.carrier).keeping.standings["east"].day(1)
    mouth.lies = {"east": {"tomorrow": _day_key_of(mouth.world, "east", 1, b"\x09")}}
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.WRONG_KEY, "east"): 1}
    assert porter(mouth.carrier).keeping.standings["east"].day(1) == first


def test_a_key_that_is_not_well_formed_is_not_taken(mouth: Mouth, monkeypatch: pytest.MonkeyPatch) -> None:
    _quiet(mouth)
    _forget_tomorrow(mouth)

    def check(public: bytes) -> None:
        assert len(public) == PublicKey.size
        raise MalformedError("public key is not well formed")

    monkeypatch.setattr(porter(mouth.carrier)._ciphers.kem, "check", check)
    mouth.speak()
    assert reports(mouth.carrier) == {(Kind.WRONG_KEY, "east"): 1, (Kind.WRONG_KEY, "west"): 1}


# Charters that follow.


def adopt(world: World, signed: SignedCharter) -> None:
    for name in world.houses:
        operator(world, name).adopt(signed)


def asks_now(world: World) -> None:
    """Let it be the round in which anna's porter asks for a charter."""
    day = world.numbers.day
    world.round += (anna(world).mailbox - world.round - 1) % day
    world.turn()


def test_a_charter_that_all_of_the_old_one_have_signed_is_followed_without_a_question(world: World) -> None:
    signed = following(world, 2 * WEEK)
    adopt(world, signed)
    asks_now(world)
    keeping = porter(anna(world)).keeping
    assert [each.charter for each in keeping.charters] == [world.charter, signed.charter]
    assert keeping.asking == b""
    assert (Kind.CHARTER, "west") not in reports(anna(world))
    world.turn()
    assert SignedCharter.decode(anna(world).said().charter) == signed


def test_a_charter_that_one_of_the_old_operators_has_not_signed_is_asked_about(world: World) -> None:
    world.houses["north"] = replace(world.houses["west"], name="north", keys=(make_keys("north", Generator("n")),))
    keys = world.houses["north"].keys
    signed = following(world, 2 * WEEK, signers=("west",))
    charter = replace(signed.charter, seats=(world.charter.seats[0], *seats(keys, world.kem)), shares=())
    signed = SignedCharter(charter).sign(world.houses["west"].keys[0].signer).sign(keys[0].signer)
    del world.houses["north"]
    asks = enrolment.encode_charter(signed.encode())
    _answer_with(world, asks)
    keeping = porter(anna(world)).keeping
    assert (len(keeping.charters), keeping.asking) == (1, signed.encode())
    assert Kind.CHARTER not in {kind for kind, _ in reports(anna(world))}
    world.turn()
    assert anna(world).said().asking == signed.encode()
    # Its owner agrees.
    says(world, anna(world), 1, charter=signed.encode())
    begun(world)
    keeping = porter(anna(world)).keeping
    assert (len(keeping.charters), keeping.asking) == (2, b"")
    # The new operator is asked for a place, at once and directly.
    assert ("enrol", "north") in kinds(anna(world))
    assert set(keeping.standings) == {"west", "east", "north"}
    # Once it has said yes it is asked no more.
    started = anna(world).started
    assert started is not None
    assert started.errands[-1].url == "http://north.test"
    machine = porter(anna(world))
    key = machine._errands[-1][1]
    reply = enrolment.seal_reply("enrol", enrolment.encode_enrolled(7), key, cipher=ReplyCipher())
    machine.hear({len(started.errands) - 1: reply}, world.now)
    assert machine.keeping.standings["north"].enrolled == 8
    begun(world)
    assert ("enrol", "north") not in kinds(anna(world))


def _answer_with(world: World, body: bytes) -> None:
    """A round in which anna's porter asks for a charter, and both operators say *body*."""
    world.round += (anna(world).mailbox - world.round - 1) % world.numbers.day
    begun(world)
    machine = porter(anna(world))
    replies = {
        at: enrolment.seal_reply("charter", body, key, cipher=ReplyCipher())
        for at, (errand, key) in enumerate(machine._errands)
        if errand.kind == "charter"
    }
    assert len(replies) == 2
    machine.hear(replies, world.now)


def test_a_charter_that_does_not_follow_is_reported_and_not_taken(world: World) -> None:
    other = following(world, 2 * WEEK)
    stranger = SignedCharter(replace(other.charter, predecessor=Digest(bytes(32))))
    for body in (b"rubbish", stranger.encode(), following(world, 2 * WEEK, signers=("west",)).encode()):
        before = reports(anna(world))
        _answer_with(world, enrolment.encode_charter(body))
        assert len(porter(anna(world)).keeping.charters) == 1
        assert porter(anna(world)).keeping.asking == b""
        for name in world.houses:
            key = Kind.CHARTER, name
            assert reports(anna(world))[key] == before.get(key, 0) + 1
        world.round += 1


def test_the_charter_that_it_follows_is_nothing_new(world: World) -> None:
    _answer_with(world, enrolment.encode_charter(world.signed.encode()))
    assert len(porter(anna(world)).keeping.charters) == 1
    assert not {kind for kind, _ in reports(anna(world))} & {Kind.CHARTER}


def test_a_desk_that_agrees_to_a_charter_that_does_not_follow_agrees_to_nothing(world: World) -> None:
    says(world, anna(world), 1, charter=b"rubbish")
    world.turn()
    assert len(porter(anna(world)).keeping.charters) == 1


def test_once_a_charter_has_begun_it_is_the_one_and_the_old_one_is_forgotten(world: World) -> None:
    signed = following(world, 5)
    adopt(world, signed)
    says(world, anna(world), 1, charter=signed.encode())
    machine = porter(anna(world))
    for _ in range(5):
        world.turn()
    assert machine.charter_at(world.now) == signed.charter
    assert len(machine.keeping.charters) == 2
    last = machine.keeping.last
    assert last is not None
    assert last.round == signed.charter.numbers.first
    assert machine.keeping.collecting is None  # the answers under the charter before are given up
    world.charter = signed.charter
    world.run(3)
    assert [each.charter for each in machine.keeping.charters] == [signed.charter]
    assert machine.keeping.collecting is not None


def test_who_has_no_seat_any_more_is_forgotten(world: World) -> None:
    machine = porter(anna(world))
    gone = replace(machine.keeping.standings["east"])
    machine._keeping = replace(machine.keeping, standings=machine.keeping.standings | {"south": gone})
    world.turn()
    assert set(machine.keeping.standings) == {"west", "east"}


def test_notice_is_seven_days() -> None:
    assert NOTICE == 7 * DAY


def test_a_porter_keeps_under_one_name_all_but_lines_and_envelopes(world: World) -> None:
    friend(world)
    world.turn()
    assert {room for room, _ in anna(world).shelf.bodies} == {KEEPING, LINES, OUT}


def test_what_a_visit_opens_to_is_what_was_asked(world: World) -> None:
    begun(world)
    last = porter(anna(world)).keeping.last
    private = operator(world)._days.private(0)
    assert last is not None
    assert private is not None
    started = anna(world).started
    assert started is not None
    visit, _ = visits.open(
        started.errands[0].body, private, 0, charter=world.charter, operator="west", kem=world.kem
    )  # fmt: skip
    assert isinstance(visit, Visit)
    assert (visit.round, visit.collect, visit.more) == (world.round, (world.round - 1, False), False)
    assert visit.key == last.keys["west"]


def test_nothing_is_sent_twice(world: World) -> None:
    sent: list[Event] = []
    world.fate = sent.append  # the network loses all, and keeps it
    world.run(5)
    mine = [event for event in sent if event.sender == "anna"]
    # A visit to each in each round, and once the keys of the day, when nobody has replied for long.
    assert [event.kind for event in mine] == ["visit"] * 8 + ["visit", "visit", "key", "key"]
    assert len({event.body for event in mine}) == len(mine)


def test_an_operator_that_is_restored_without_its_keys_of_the_day_is_asked_for_them_and_visited_again(
    world: World,
) -> None:
    west = world.houses["west"]
    world.turn()
    before = dict(porter(anna(world)).keeping.standings["west"].days)
    for raw in west.shelf.names(DAYS):
        west.shelf.commit({(DAYS, raw): None})
    world.restart_house("west")
    heard = []
    for _ in range(2 * SILENT + 2):
        world.turn()
        heard.append(porter(anna(world)).keeping.standings["west"].heard == world.round + 1)
    assert heard == [False] * (SILENT + 1) + [True] * (SILENT + 1)
    after = dict(porter(anna(world)).keeping.standings["west"].days)
    assert before.keys() == after.keys()
    assert all(after[day] != before[day] for day in before)
