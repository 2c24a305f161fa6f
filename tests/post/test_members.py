"""Members: tickets given out, lodged and shown; mailboxes given up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backchannel.errors import RefusedError
from backchannel.keys import Digest
from backchannel.post.charters import Charters
from backchannel.post.enrolment import Enrolment, Ticket
from backchannel.post.members import ERRANDS_AT_ONCE, ISSUED, LODGED, LODGING, MEMBERS, RETIRED, RETIRING, Members
from backchannel.post.visit import VisitKey
from tests.post.stage import VALUES, operator
from tests.simulation.office import Generator, World

KEY = VisitKey(b"v" * 32)


@pytest.fixture
def world() -> World:
    return World(k=3)


def members(world: World, name: str = "west") -> Members:
    """The members of an operator, read from its shelf anew."""
    house = world.houses[name]
    return Members(house.shelf, Charters(house.shelf, house.keys), Generator(name))


def asks(mailbox: int, ticket: Ticket, name: str = "west", key: VisitKey = KEY) -> Enrolment:
    return Enrolment(mailbox, ticket.token(mailbox, name), key)


def enrols(world: World, asked: Enrolment, name: str = "west", number: int = 1000) -> int | None:
    return operator(world, name)._members.enrol(asked, world.charter, number)


# Tickets.


def test_a_ticket_is_for_a_mailbox_of_its_issuers_shares(world: World) -> None:
    for name, house in world.houses.items():
        given_out = operator(world, name).issue(2)
        shares = [share for share in world.charter.shares if share.issuer == name]
        assert [mailbox for mailbox, _ in given_out] == [shares[0].first, shares[0].first + 1]
        assert house.shelf.names(ISSUED) == [mailbox.to_bytes(8) for mailbox, _ in given_out]
        assert len({ticket for _, ticket in given_out}) == 2


def test_a_number_is_given_out_once_ever(world: World) -> None:
    first = [mailbox for mailbox, _ in operator(world).issue(5)]
    assert first == [1, 2, 3, 4, 5]
    operator(world).retire(3)
    for machine in (operator(world)._members, members(world)):
        with pytest.raises(RefusedError, match="0 mailboxes of west are left"):
            machine.issue(1)


def test_more_tickets_than_there_are_mailboxes_are_not_begun(world: World) -> None:
    with pytest.raises(RefusedError, match="5 mailboxes of west are left"):
        operator(world).issue(6)
    assert world.houses["west"].shelf.names(ISSUED) == []
    assert len(operator(world).issue(5)) == 5


def test_a_ticket_is_lodged_with_all_and_each_has_its_own_digest(world: World) -> None:
    ((mailbox, ticket),) = operator(world).issue(1)
    raw = mailbox.to_bytes(8)
    assert world.houses["west"].shelf.get(LODGED, raw) == ticket.token(mailbox, "west").lodged()
    assert [peer for peer, _ in operator(world).errands()] == ["east", "north"]
    world.talk("west")
    assert operator(world).errands() == []
    for name in world.houses:
        assert world.houses[name].shelf.get(LODGED, raw) == ticket.token(mailbox, name).lodged()


def test_an_errand_stays_until_it_is_done(world: World) -> None:
    operator(world).issue(1)
    errands = operator(world).errands()
    assert operator(world).errands() == errands == members(world).errands()
    operator(world).told(*errands[0])
    assert operator(world).errands() == errands[1:]


def test_errands_come_in_portions_for_each_operator_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from backchannel.post import members as module  # noqa: PLC0415

    assert ERRANDS_AT_ONCE == 2_000
    operator(world).issue(5)
    monkeypatch.setattr(module, "ERRANDS_AT_ONCE", 3)
    portions = []
    while errands := operator(world).errands():
        portions.append([(peer, len(request[1]) if isinstance(request[1], tuple) else 0) for peer, request in errands])
        for peer, request in errands:
            operator(world).told(peer, request)
    # One that is down holds up no other's.
    assert portions == [[("east", 3), ("north", 3)], [("east", 2), ("north", 2)]]


# Enrolments.


def test_who_shows_the_ticket_is_the_owner_from_the_next_round_of_enrolments(world: World) -> None:
    ((mailbox, ticket),) = operator(world).issue(1)
    assert enrols(world, asks(mailbox, ticket)) == 1004
    for machine in (operator(world)._members, members(world)):
        member = machine.get(mailbox, 1004)
        assert member is not None
        assert (member.key, member.effective) == (KEY, 1004)
        assert machine.get(mailbox, 1003) is None
        assert machine.get(mailbox + 1, 1004) is None


@pytest.mark.parametrize(("number", "effective"), [(0, 1000), (999, 1000), (1000, 1004), (1003, 1004), (1004, 1008)])
def test_it_takes_effect_at_the_next_multiple_and_not_before_the_first_round(
    world: World, number: int, effective: int
) -> None:
    ((mailbox, ticket),) = operator(world).issue(1)
    assert enrols(world, asks(mailbox, ticket), number=number) == effective


def test_the_same_again_is_the_same_and_another_key_is_refused(world: World) -> None:
    ((mailbox, ticket),) = operator(world).issue(1)
    assert enrols(world, asks(mailbox, ticket)) == 1004
    assert enrols(world, asks(mailbox, ticket), number=1050) == 1004
    assert enrols(world, asks(mailbox, ticket, key=VisitKey(bytes(32)))) is None


@pytest.mark.parametrize("wrong", ["ticket", "mailbox", "operator", "digest"])
def test_a_token_that_is_not_the_one_is_refused(world: World, wrong: str) -> None:
    (mailbox, ticket), (other, _) = operator(world).issue(2)
    asked = {
        "ticket": asks(mailbox, Ticket(bytes(32))),
        "mailbox": asks(other, ticket),
        "operator": asks(mailbox, ticket, "east"),
        "digest": Enrolment(mailbox, type(asks(1, ticket).token)(ticket.token(mailbox, "west").lodged()), KEY),
    }[wrong]
    assert enrols(world, asked) is None
    assert world.houses["west"].shelf.names(MEMBERS) == []


def test_a_ticket_that_was_not_lodged_yet_is_refused_there(world: World) -> None:
    ((mailbox, ticket),) = operator(world).issue(1)
    assert enrols(world, asks(mailbox, ticket, "east"), "east") is None
    world.talk("west")
    assert enrols(world, asks(mailbox, ticket, "east"), "east") == 1004


def test_the_roster_has_a_bit_for_each_that_takes_part(world: World) -> None:
    tickets = operator(world).issue(3)
    for at, (mailbox, ticket) in enumerate(tickets):
        enrols(world, asks(mailbox, ticket), number=1000 + 4 * (at == 2))
    machine = operator(world)._members
    assert machine.roster(1003, 16) == bytes(2)
    assert machine.roster(1004, 16) == bytes([0b0110_0000, 0])
    assert machine.roster(1008, 16) == bytes([0b0111_0000, 0])
    assert machine.roster(1008, 8) == bytes([0b0111_0000])
    operator(world).retire(2)
    assert machine.roster(1008, 16) == bytes([0b0101_0000, 0])


def test_a_roster_has_no_mailbox_beyond_the_charter_of_its_round(world: World) -> None:
    machine = operator(world)._members
    machine._members[16] = machine._members[200] = type(_member(world))(KEY, 1000)
    assert machine.roster(1004, 16) == bytes([0b0100_0000, 0])


def _member(world: World) -> Any:
    ((mailbox, ticket),) = operator(world).issue(1)
    enrols(world, asks(mailbox, ticket))
    return operator(world)._members.get(mailbox, 1004)


# Retiring.


def test_a_mailbox_that_is_retired_has_no_owner_anywhere(world: World) -> None:
    ((mailbox, ticket),) = operator(world).issue(1)
    world.talk("west")
    for name in world.houses:
        enrols(world, asks(mailbox, ticket, name), name)
    operator(world).retire(mailbox)
    assert operator(world)._members.get(mailbox, 1004) is None
    assert operator(world, "east")._members.get(mailbox, 1004) is not None
    world.talk("west")
    for name in world.houses:
        assert operator(world, name)._members.get(mailbox, 1004) is None
        assert enrols(world, asks(mailbox, ticket, name), name) is None
        for room in (LODGED, MEMBERS, LODGING, RETIRING):
            assert world.houses[name].shelf.names(room) == []
        assert world.houses[name].shelf.names(RETIRED) == [mailbox.to_bytes(8)]


def test_what_another_process_retires_is_retired_at_once(world: World) -> None:
    ((mailbox, ticket),) = operator(world).issue(1)
    enrols(world, asks(mailbox, ticket))
    members(world).retire(mailbox)
    assert operator(world)._members.get(mailbox, 1004) is None
    assert operator(world)._members.roster(1004, 16) == bytes(2)


def test_a_ticket_that_is_retired_before_it_was_lodged_is_never_lodged(world: World) -> None:
    ((mailbox, _),) = operator(world).issue(1)
    operator(world).retire(mailbox)
    assert [request[0] for _, request in operator(world).errands()] == ["retire", "retire"]


@pytest.mark.parametrize("mailbox", [0, 2, 6, 15])
def test_only_what_was_given_out_can_be_given_up(world: World, mailbox: int) -> None:
    operator(world).issue(1)
    with pytest.raises(RefusedError, match=f"given out no mailbox {mailbox}"):
        operator(world).retire(mailbox)


def test_what_is_given_up_is_given_up_once(world: World) -> None:
    operator(world).issue(1)
    operator(world).retire(1)
    with pytest.raises(RefusedError, match="retired already"):
        operator(world).retire(1)


# What other operators say.


def test_an_operator_lodges_and_gives_up_only_what_is_its_to_give(world: World) -> None:
    ((mailbox, ticket),) = operator(world).issue(1)
    world.talk("west")
    east, raw = operator(world, "east")._members, mailbox.to_bytes(8)
    before = dict(world.houses["east"].shelf.bodies)
    # North neither lodges in west's share, nor gives up what is there; 16 is in nobody's.
    assert east.lodge("north", ((2, Digest(bytes(32))), (16, Digest(bytes(32))), (0, Digest(bytes(32))))) == ()
    east.give_up("north", ((mailbox, b""), (16, b"")))
    assert world.houses["east"].shelf.bodies == before
    # West does, but once.
    east.lodge("west", ((mailbox, Digest(bytes(32))), (2, Digest(b"d" * 32))))
    assert world.houses["east"].shelf.get(LODGED, raw) == ticket.token(mailbox, "east").lodged()
    assert world.houses["east"].shelf.get(LODGED, (2).to_bytes(8)) == b"d" * 32
    east.give_up("west", ((2, b""),))
    east.lodge("west", ((2, Digest(b"e" * 32)),))
    assert world.houses["east"].shelf.get(LODGED, (2).to_bytes(8)) is None


@given(st.sampled_from(("lodge", "retire")), VALUES)
@example("lodge", ((b"\x01", bytes(32)),))
@example("retire", ((b"\x01", b""),))
@example("lodge", ((2**64 - 1, bytes(32)),))
@example("lodge", ((1, (1,) * 32),))
def test_whatever_another_operator_says_is_answered(kind: str, said: Any) -> None:
    answer = operator(OFFICE, "east").answer("west", (kind, said), OFFICE.now)
    assert isinstance(answer, tuple)
    for raw in OFFICE.houses["east"].shelf.names(LODGED):
        assert len(OFFICE.houses["east"].shelf.get(LODGED, raw) or b"") == 32


OFFICE = World()


# Operators that are new.


def test_a_new_operator_is_lodged_what_was_given_out_and_not_given_up(world: World) -> None:
    tickets = dict(operator(world).issue(3))
    world.talk("west")
    operator(world).retire(2)
    world.talk("west")
    changes: dict[tuple[str, bytes], bytes | None] = {}
    operator(world)._members.introduce(frozenset(("south",)), changes)
    assert changes == {
        (LODGING, b"south\0" + mailbox.to_bytes(8)): tickets[mailbox].token(mailbox, "south").lodged()
        for mailbox in (1, 3)
    }
