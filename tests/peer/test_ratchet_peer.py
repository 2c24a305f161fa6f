"""The second implementation against itself, to catch its own slips before it judges another's."""

from __future__ import annotations

import random as generators
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.peer import ratchet_peer as peer
from tests.simulation.seeded_kem import SeededKem

if TYPE_CHECKING:
    from collections.abc import Callable

KEM = SeededKem()
NOW = 1_750_000_000
DAY = 86400


def meet(draw: Callable[[int], bytes]) -> list[peer.State]:
    transcript, s1, s2 = draw(32), draw(32), draw(32)
    sk0, pk0 = KEM.generate(draw)
    return [
        peer.start(0, transcript, s1, s2, pk0=pk0, now=NOW),
        peer.start(1, transcript, s1, s2, pk0=pk0, sk0=sk0, now=NOW),
    ]


class Pair:
    """Two desks and everything either has sealed."""

    def __init__(self, seed: int) -> None:
        self.draw = generators.Random(seed).randbytes
        self.states = meet(self.draw)
        self.now = NOW
        self.written = 0

    def write(self, who: int) -> tuple[bytes, bytes]:
        self.written += 1
        item = b"item %d" % self.written
        self.states[who], envelope = peer.write(self.states[who], item, kem=KEM, random=self.draw, now=self.now)
        return envelope, item

    def read(self, who: int, envelope: bytes) -> bytes:
        before = peer.view(self.states[who])
        try:
            state, item = peer.read(self.states[who], envelope, kem=KEM, now=self.now)
        finally:
            assert peer.view(self.states[who]) == before, "reading has touched the state it was given"
        self.states[who] = state
        return item

    def refusal(self, who: int, envelope: bytes) -> str:
        with pytest.raises(peer.Refusal) as refused:
            self.read(who, envelope)
        return refused.value.kind

    def exchange(self, who: int) -> None:
        envelope, item = self.write(who)
        assert self.read(1 - who, envelope) == item


def agree(a: peer.State, b: peer.State) -> None:
    """What two desks that have read everything have in common."""
    assert not a.frozen
    assert not b.frozen
    for mine, theirs in ((a, b), (b, a)):
        assert theirs.seen == len(mine.S) - 1
        assert theirs.claim == dict(enumerate(mine.S))
        # What one carries under, the other opens.
        assert peer.carrying_key(mine) in peer.opening_keys(theirs)
    assert (a.t, a.RK, a.NHK) == (b.t, b.RK, b.NHK)
    assert (a.sk is None) != (b.sk is None)


@pytest.mark.parametrize("seed", range(8))
def test_two_peers_agree_through_crossing_loss_reordering_repetition_and_damage(seed: int) -> None:
    chance = generators.Random(seed)
    pair = Pair(seed)
    under_way: list[list[tuple[bytes, bytes]]] = [[], []]  # by reader
    arrived: list[list[bytes]] = [[], []]
    for _ in range(300):
        who = chance.randrange(2)
        match chance.choices(("write", "read", "repeat", "damage", "wait"), (6, 6, 1, 2, 1))[0]:
            case "write":
                under_way[1 - who].append(pair.write(who))
            case "read" if under_way[who]:
                envelope, item = under_way[who].pop(chance.randrange(len(under_way[who])))
                assert pair.read(who, envelope) == item
                arrived[who].append(envelope)
            case "repeat" if arrived[who]:
                assert pair.refusal(who, chance.choice(arrived[who])) in {"already here", "no key"}
            case "damage" if under_way[who]:
                envelope, _ = chance.choice(under_way[who])
                at, bit = chance.randrange(len(envelope)), 1 << chance.randrange(8)
                other = envelope[:at] + bytes([envelope[at] ^ bit]) + envelope[at + 1 :]
                assert pair.refusal(who, other) == ("no key" if at < 48 else "damaged")
            case "wait":
                pair.now += chance.randrange(DAY // 10)
    for who in (0, 1):
        chance.shuffle(under_way[who])
        for envelope, item in under_way[who]:
            assert pair.read(who, envelope) == item
    agree(*pair.states)
    assert not any(state.skipped for state in pair.states)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_lost_costs_only_itself(seed: int) -> None:
    chance = generators.Random(seed)
    pair = Pair(seed)
    for _ in range(200):
        who = chance.randrange(2)
        envelope, item = pair.write(who)
        if chance.random() < 0.6:
            assert pair.read(1 - who, envelope) == item
    for who in (0, 1):
        pair.exchange(who)
    for mine, theirs in (pair.states, pair.states[::-1]):
        assert theirs.claim.items() <= dict(enumerate(mine.S)).items()
        assert peer.carrying_key(mine) in peer.opening_keys(theirs)
        assert not mine.frozen


def test_every_byte_of_randomness_is_accounted_for() -> None:
    pair = Pair(1)
    drawn: list[int] = []
    draw = pair.draw

    def counting(n: int) -> bytes:
        drawn.append(n)
        return draw(n)

    pair.draw = counting
    pair.exchange(0)
    assert drawn == [96, 32, 1120, 32]
    pair.exchange(0)
    assert drawn[4:] == [32]


def test_both_write_as_soon_as_they_have_met() -> None:
    pair = Pair(2)
    first, second = pair.write(0), pair.write(1)
    assert pair.read(1, first[0]) == first[1]
    assert pair.read(0, second[0]) == second[1]
    agree(*pair.states)


def test_opening_changes_nothing_that_leaves_the_desk() -> None:
    pair = Pair(3)
    for who in (0, 1, 0, 1):
        before = peer.carrying_key(pair.states[1 - who])
        pair.exchange(who)
        assert peer.carrying_key(pair.states[1 - who]) == before


def test_an_old_copy_of_a_desk_is_found_out() -> None:
    pair = Pair(4)
    pair.exchange(0)
    old = pair.states[0]
    pair.exchange(0)
    answer, _ = pair.write(1)
    pair.states[0] = old
    pair.read(0, answer)
    assert pair.states[0].frozen == "this desk is an old copy"
    with pytest.raises(peer.Refusal, match="frozen"):
        pair.write(0)


def test_two_copies_of_a_desk_are_found_out() -> None:
    pair = Pair(5)
    pair.exchange(0)
    old = pair.states[0]
    pair.exchange(0)
    pair.states[0] = old
    other, _ = pair.write(0)
    assert pair.refusal(1, other) == "fork"
    pair.exchange(0)
    assert pair.states[1].frozen == "two histories"


def test_an_altered_copy_of_a_letter_that_was_opened_is_damaged_and_not_a_fork() -> None:
    pair = Pair(13)
    envelope, _ = pair.write(0)
    pair.read(1, envelope)
    assert pair.refusal(1, envelope[:-1] + bytes([envelope[-1] ^ 1])) == "damaged"


def test_a_letter_put_in_the_place_of_another_is_found_out() -> None:
    pair = Pair(6)
    old = pair.states[0]
    mine, _ = pair.write(0)
    after, pair.states[0] = pair.states[0], old
    theirs, _ = pair.write(0)
    pair.states[0] = after
    pair.read(1, theirs)
    assert pair.refusal(1, mine) == "fork"


def test_one_turn_of_two_makers_is_a_fork() -> None:
    pair = Pair(7)
    pair.exchange(1)
    old = pair.states[0]
    pair.exchange(0)
    pair.states[0] = old
    assert pair.refusal(1, pair.write(0)[0]) == "fork"


def test_a_thousand_letters_may_be_missing() -> None:
    pair = Pair(8)
    envelopes = [pair.write(1)[0] for _ in range(1000)]
    with pytest.raises(peer.Refusal, match="unanswered"):
        pair.write(1)
    pair.read(0, envelopes[999])
    assert len(pair.states[0].skipped) == 999
    pair.exchange(0)
    pair.exchange(1)


def test_a_skipped_key_is_gone_after_ninety_days() -> None:
    pair = Pair(9)
    lost, lost_too, late = (pair.write(1)[0] for _ in range(3))
    pair.read(0, late)
    pair.now += 90 * DAY
    pair.read(0, lost)
    pair.now += 1
    assert pair.refusal(0, lost_too) == "expired"


def test_a_pouch_key_is_dated_when_it_falls_out_of_use() -> None:
    pair = Pair(10)
    for who in (0, 1, 0, 1):
        pair.exchange(who)
    pair.now += 100 * DAY
    fallen = pair.now
    pair.exchange(0)
    assert sorted(pair.states[0].roots) == [3, 4, 5]
    assert [(t, date) for t, (_, date) in sorted(pair.states[0].pouch_keys.items())][:2] == [(1, fallen), (2, fallen)]
    pair.now += 90 * DAY
    pair.exchange(0)
    assert 2 in pair.states[0].pouch_keys
    pair.now += 1
    pair.exchange(0)
    assert sorted(pair.states[0].pouch_keys) == [3, 4, 5]


@pytest.mark.parametrize("body", [b"", b"\x80", b"\x85\x00\x40\x00\x40\x40", b"\x9f\xff", b"\xff" * 40])
def test_a_body_of_another_shape_is_damaged(body: bytes) -> None:
    state = meet(generators.Random(0).randbytes)[1]
    tx: dict[str, Any] | None = state.tx
    assert tx is not None
    _, mk = peer.step(state, tx["CK"])
    header = bytes(24) + tx["ct"] + tx["pk"]
    envelope = peer.seal_envelope(bytes(32), tx["HK"], mk, header, body)
    reader = meet(generators.Random(0).randbytes)[0]
    with pytest.raises(peer.Refusal) as refused:
        peer.read(reader, envelope, kem=KEM, now=NOW)
    assert refused.value.kind == "damaged"


def test_kdf_is_rfc_5869() -> None:
    theirs = HKDF(hashes.SHA512(), 192, b"salt", b"info").derive(b"ikm")
    assert b"".join(peer.KDF(b"salt", b"ikm", b"info", 6)) == theirs


def test_an_envelope_of_an_impossible_length_is_damaged() -> None:
    pair = Pair(11)
    assert pair.refusal(0, bytes(2591)) == "damaged"
    assert pair.refusal(0, bytes(2592)) == "no key"
