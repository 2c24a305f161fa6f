"""Every reason for refusal, every freeze and every limit at its edge (docs/spec/ratchet.md §§5 to 8).

Both implementations are asked each time; that they agree, and that a refusal
changes nothing, is asserted by :mod:`tests.peer.side_by_side`.
"""

from __future__ import annotations

import dataclasses

import pytest

from backchannel.errors import MalformedError
from backchannel.kem import PrivateKey, PublicKey
from backchannel.keys import Digest, Random
from backchannel.seal import ratchet
from backchannel.seal.envelope import NoKeyError, Opening
from tests.peer.liar import lie
from tests.peer.side_by_side import DAY, KEPT, START, Desk, Refused, meet, stream
from tests.simulation.seeded_kem import SeededKem


class Pair:
    """Two desks, and the letters between them."""

    def __init__(self) -> None:
        self.desks = meet("unit")
        self.now, self.count = START, 0

    def write(self, who: int) -> bytes:
        self.count += 1
        return self.desks[who].write(b"item %d" % self.count, seed=self.count, now=self.now)

    def read(self, who: int, envelope: bytes) -> ratchet.Opened:
        return self.desks[who].read(envelope, now=self.now)

    def refusal(self, who: int, envelope: bytes) -> str:
        return self.desks[who].refusal(envelope, now=self.now)

    def exchange(self, *writers: int) -> bytes:
        for who in writers:
            envelope = self.write(who)
            self.read(1 - who, envelope)
        return envelope


def flip(envelope: bytes, at: int) -> bytes:
    return envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]


# --- §5, writing


def test_a_frozen_desk_refuses_to_write() -> None:
    pair = Pair()
    pair.exchange(0)
    pair.read(1, lie(pair.desks[0].ours, seen_chain=Digest(bytes(32))))
    with pytest.raises(Refused, match="frozen"):
        pair.write(1)
    state = pair.desks[1].ours
    with pytest.raises(ratchet.FrozenError, match="another letter in the place of one of ours"):
        ratchet.write(state, b"", kem=SeededKem(), random=bytes, now=START)


@pytest.mark.parametrize("who", [0, 1])
def test_a_thousand_letters_in_one_turn_are_written_and_not_one_more(who: int) -> None:
    pair = Pair()
    pair.write(who)
    desk = pair.desks[who]
    assert desk.ours.tx
    assert desk.theirs.tx
    desk.ours.tx.n = desk.theirs.tx["n"] = 999
    pair.write(who)
    with pytest.raises(Refused, match="unanswered"):
        pair.write(who)


def test_a_thousand_letters_of_a_turn_that_is_answered_hinder_nothing() -> None:
    pair = Pair()
    pair.exchange(0)
    desk = pair.desks[0]
    assert desk.ours.tx
    assert desk.theirs.tx
    desk.ours.tx.n = desk.theirs.tx["n"] = 1000
    pair.exchange(1)
    pair.write(0)


def test_a_thousand_lost_letters_are_caught_up_with() -> None:
    pair = Pair()
    pair.exchange(0, 1)
    pair.write(0)
    pair.read(1, lie(pair.desks[0].ours, n=999))
    assert len(pair.desks[1].ours.skipped) == 999


def test_an_answered_desk_creates_a_turn_and_another_letter_stays_in_it() -> None:
    pair = Pair()
    pair.exchange(1, 0)
    for n in (1, 2):
        pair.write(0)
        tx = pair.desks[0].ours.tx
        assert tx
        assert (tx.turn, tx.n) == (1, n + 1)


# --- §6, reading, by the steps


@pytest.mark.parametrize("size", [0, 2591, 44 * 1024 * 1024 + 1])
def test_a_size_that_no_envelope_has_is_damaged(size: int) -> None:
    assert Pair().refusal(0, bytes(size)) == "damaged"


def test_1_the_same_bytes_again_are_already_here() -> None:
    pair = Pair()
    assert pair.refusal(1, pair.exchange(0)) == "already here"


def test_1_already_here_becomes_no_key_when_its_turn_is_dropped() -> None:
    pair = Pair()
    envelope = pair.exchange(0)
    pair.exchange(1, 0)
    assert pair.refusal(1, envelope) == "no key"


def test_2_an_envelope_of_others_has_no_key() -> None:
    pair = Pair()
    strangers = meet("strangers")
    assert pair.refusal(1, strangers[0].write(b"item", seed=0, now=START)) == "no key"


def test_2_a_letter_of_ones_own_has_no_key() -> None:
    pair = Pair()
    assert pair.refusal(0, pair.write(0)) == "no key"


def test_2_the_next_letter_of_a_copy_of_this_desk_has_no_key() -> None:
    pair = Pair()
    pair.exchange(0, 1)
    copy = pair.desks[0].copy()
    assert pair.refusal(0, copy.write(b"item", seed="copy", now=START)) == "no key"


@pytest.mark.parametrize(("at", "kind"), [(0, "no key"), (47, "no key"), (48, "damaged"), (2471, "damaged")])
def test_2_an_altered_header_is_damaged_and_an_altered_tag_has_no_key(at: int, kind: str) -> None:
    pair = Pair()
    assert pair.refusal(1, flip(pair.write(0), at)) == kind


@pytest.mark.parametrize("turn", [0, 2, 3, 2**64 - 1])
def test_2_a_header_of_another_turn_than_its_key_is_damaged(turn: int) -> None:
    pair = Pair()
    pair.write(0)
    assert pair.refusal(1, lie(pair.desks[0].ours, turn=turn)) == "damaged"


class Malformed(SeededKem):
    """It makes a public key that is not well formed, and knows one."""

    def generate(self, random: Random) -> tuple[PrivateKey, PublicKey]:
        return super().generate(random)[0], PublicKey(bytes(1216))

    def check(self, public: bytes) -> None:
        if public == bytes(1216):
            raise MalformedError("public key is not well formed")


def opening(pair: Pair, who: int) -> Opening:
    tx = pair.desks[who].ours.tx
    assert tx
    return tx.opening


def test_3_a_new_turn_whose_key_is_not_well_formed_is_damaged() -> None:
    # Its box opens: what is wrong is the key to which this desk would seal next.
    pair = Pair()
    for desk in pair.desks:
        desk.kem = Malformed()
    assert pair.refusal(1, pair.write(0)) == "damaged"


def test_3_a_new_turn_whose_box_does_not_open_is_damaged() -> None:
    pair = Pair()
    pair.write(0)
    good = opening(pair, 0)
    for bad in (
        dataclasses.replace(good, box=flip(good.box, 1167)),
        dataclasses.replace(good, box=bytes(1168)),
        # info binds the box to both keys: the same box beside another key.
        dataclasses.replace(good, public=PublicKey(flip(good.public, 0))),
    ):
        assert pair.refusal(1, lie(pair.desks[0].ours, opening=bad)) == "damaged"


def test_3_a_turn_that_ends_before_letters_that_have_come_is_a_fork() -> None:
    pair = Pair()
    pair.exchange(0, 0, 1)
    pair.write(0)
    state = pair.desks[0].ours
    for pn in (0, 1):
        assert pair.refusal(1, lie(state, pn=pn)) == "fork"
    pair.read(1, lie(state, pn=2))


def test_3_a_first_turn_after_letters_that_cannot_be_is_damaged() -> None:
    pair = Pair()
    pair.write(0)
    assert pair.refusal(1, lie(pair.desks[0].ours, pn=1)) == "damaged"


def test_3_letters_missing_at_the_end_of_a_turn_are_kept_open_for() -> None:
    pair = Pair()
    pair.exchange(0)
    lost = pair.write(0)
    pair.exchange(1, 0)
    assert set(pair.desks[1].ours.skipped) == {(1, 1)}
    assert pair.read(1, lost).item == b"item 2"
    assert not pair.desks[1].ours.skipped


@pytest.mark.parametrize("part", ["box", "public"])
def test_3_another_opening_of_a_known_turn_is_a_fork(part: str) -> None:
    pair = Pair()
    pair.exchange(0)
    good = opening(pair, 0)
    other = (
        dataclasses.replace(good, box=flip(good.box, 0))
        if part == "box"
        else dataclasses.replace(good, public=PublicKey(flip(good.public, 0)))
    )
    assert pair.refusal(1, lie(pair.desks[0].ours, opening=other)) == "fork"


def test_3_turn_0_has_no_box_and_the_key_of_its_card() -> None:
    pair = Pair()
    pair.write(1)
    good = opening(pair, 1)
    assert good.box == bytes(1168)
    for other in (
        dataclasses.replace(good, box=flip(good.box, 0)),
        dataclasses.replace(good, public=PublicKey(flip(good.public, 0))),
    ):
        assert pair.refusal(0, lie(pair.desks[1].ours, opening=other)) == "fork"


def test_3_opening_a_turn_erases_the_decapsulation_key_and_the_chain_of_ones_own() -> None:
    pair = Pair()
    envelope = pair.write(0)
    assert pair.desks[1].ours.private
    pair.read(1, envelope)
    state = pair.desks[1].ours
    assert state.private is None
    assert state.tx
    assert state.tx.chain is None


def test_4_another_letter_in_the_place_of_one_that_was_opened_is_a_fork() -> None:
    pair = Pair()
    pair.write(0)
    begun = pair.desks[0].ours
    pair.exchange(0)
    assert pair.refusal(1, lie(begun, item=b"another")) == "fork"


@pytest.mark.parametrize("at", [2472, 2504, -1])
def test_4_an_altered_copy_of_a_letter_that_was_opened_is_damaged(at: int) -> None:
    pair = Pair()
    envelope = pair.exchange(0)
    assert pair.refusal(1, flip(envelope, at % len(envelope))) == "damaged"


def test_4_an_altered_copy_does_not_use_the_key_up() -> None:
    pair = Pair()
    missed = pair.write(0)
    pair.exchange(0)
    assert pair.refusal(1, flip(missed, 2504)) == "damaged"
    assert pair.read(1, missed).item == b"item 1"


def test_4_a_skipped_key_opens_for_90_days_and_not_a_second_more() -> None:
    pair = Pair()
    missed, missed_too = pair.write(0), pair.write(0)
    pair.exchange(0)
    pair.now += 90 * DAY
    pair.read(1, missed)
    pair.now += 1
    assert pair.refusal(1, missed_too) == "expired"


def test_4_a_letter_beyond_the_end_of_its_turn_is_a_fork() -> None:
    pair = Pair()
    pair.exchange(0)
    pair.write(0)  # lost, so that the turn is kept
    copy = pair.desks[0].ours
    pair.exchange(1, 0)
    assert pair.refusal(1, lie(copy)) == "fork"


@pytest.mark.parametrize("n", [1000, 1001, 2**64 - 1])
def test_4_a_thousand_letters_may_be_missing_before_one(n: int) -> None:
    pair = Pair()
    pair.write(0)
    state = pair.desks[0].ours
    if n == 1000:
        pair.read(1, lie(state, n=n))
        assert len(pair.desks[1].ours.skipped) == 1000
    else:
        assert state.tx
        low = dataclasses.replace(state, tx=dataclasses.replace(state.tx, n=n))
        assert pair.refusal(1, lie(low, n=n, index=n)) == "too many missing"


@pytest.mark.parametrize("more", [0, 1])
def test_3_a_thousand_letters_may_be_missing_at_the_end_of_a_turn(more: int) -> None:
    pair = Pair()
    pair.exchange(0, 1)
    pair.write(0)
    letter = lie(pair.desks[0].ours, pn=1001 + more, n=1, index=1003 + more)
    if more:
        assert pair.refusal(1, letter) == "too many missing"
    else:
        pair.read(1, letter)


def test_4_two_thousand_keys_are_kept_in_all_and_not_one_more() -> None:
    pair = Pair()
    pair.write(0)
    state = pair.desks[0].ours
    for n in (1000, 2001):
        pair.read(1, lie(state, n=n, before=Digest(bytes([n % 256]) * 32)))
    assert len(pair.desks[1].ours.skipped) == 2000
    assert pair.refusal(1, lie(state, n=2003)) == "too many missing"
    pair.read(1, lie(state, n=2002, before=pair.desks[1].ours.claims[2002]))
    # One of them is read, and there is room for one.
    pair.read(1, lie(state, n=5))
    pair.read(1, lie(state, n=2004))


def test_5_an_altered_commitment_or_body_is_damaged() -> None:
    pair = Pair()
    envelope = pair.write(0)
    for at in (2472, 2503, 2504, len(envelope) - 1):
        assert pair.refusal(1, flip(envelope, at)) == "damaged"


@pytest.mark.parametrize("index", [0, 1, 3, 2**64 - 1])
def test_5_a_number_that_does_not_follow_from_its_place_is_damaged(index: int) -> None:
    pair = Pair()
    pair.exchange(0)
    assert pair.refusal(1, lie(pair.desks[0].ours, index=index)) == "damaged"
    pair.read(1, lie(pair.desks[0].ours, index=2))


def test_5_a_number_counts_the_letters_of_the_turns_before() -> None:
    pair = Pair()
    pair.exchange(0, 0)
    pair.write(0)
    pair.exchange(1, 0, 1)
    letter = pair.write(0)
    assert letter
    assert pair.desks[0].ours.written == 5
    assert pair.read(1, letter).index == 5
    assert {turn: rx.base for turn, rx in pair.desks[1].ours.rx.items()} == {1: 0, 5: 4}


# --- §6.6, freezing


def test_6_another_letter_before_this_one_freezes() -> None:
    pair = Pair()
    pair.exchange(0)
    opened = pair.read(1, lie(pair.desks[0].ours, before=Digest(bytes(32))))
    assert "two histories" in opened.state.frozen


def test_6_another_letter_than_the_one_that_a_later_letter_follows_freezes() -> None:
    pair = Pair()
    pair.write(0)
    begun = pair.desks[0].ours
    pair.write(0)
    pair.exchange(0)
    # Its place is still open and what comes before it is true; it is the letter after it that knows another.
    opened = pair.read(1, lie(begun, seed="another"))
    assert "two histories" in opened.state.frozen


def test_6_who_has_read_letters_that_were_never_written_shows_that_the_desk_is_an_old_copy() -> None:
    pair = Pair()
    pair.exchange(1, 0)
    opened = pair.read(1, lie(pair.desks[0].ours, seen=2))
    assert "this desk is an old copy" in opened.state.frozen


def test_6_who_has_read_all_letters_freezes_nothing() -> None:
    pair = Pair()
    pair.exchange(1, 1, 0)
    opened = pair.read(1, lie(pair.desks[0].ours))
    assert opened.seen == 2 == opened.state.written
    assert not opened.state.frozen


def test_6_who_has_read_another_letter_in_the_place_of_ours_freezes() -> None:
    pair = Pair()
    pair.exchange(1, 0)
    opened = pair.read(1, lie(pair.desks[0].ours, seen_chain=Digest(bytes(32))))
    assert "another letter in the place of one of ours" in opened.state.frozen


def test_6_the_first_reason_is_kept() -> None:
    pair = Pair()
    pair.exchange(0)
    both = lie(pair.desks[0].ours, before=Digest(bytes(32)), seen=9)
    assert "two histories" in pair.read(1, both).state.frozen
    later = lie(pair.desks[0].ours, n=2, seen=9)
    assert "two histories" in pair.read(1, later).state.frozen


def test_6_a_letter_that_freezes_is_open_and_what_it_claims_is_recorded() -> None:
    pair = Pair()
    pair.exchange(0)
    letter = lie(pair.desks[0].ours, seen=9, n=3)
    opened = pair.read(1, letter)
    assert opened.item == b"item"
    assert set(opened.state.claims) == {0, 1, 3, 4}
    assert opened.state.seen == 4
    assert pair.refusal(1, letter) == "already here"


def test_6_a_frozen_desk_reads_on_and_opens_turns() -> None:
    pair = Pair()
    pair.exchange(0, 1)
    pair.desks[1].ours = ratchet.freeze(pair.desks[1].ours, "two histories")
    pair.desks[1].theirs.frozen = "two histories"
    for _ in range(2):
        pair.exchange(0)
    assert pair.desks[1].ours.turn == 3


def test_a_desk_is_frozen_by_its_owner_and_the_first_reason_stands() -> None:
    state = Pair().desks[0].ours
    frozen = ratchet.freeze(ratchet.freeze(state, "why"), "why else")
    assert frozen.frozen == "why"
    assert not state.frozen


# --- §6.7, what is forgotten


def test_7_an_older_letter_does_not_lower_what_was_seen() -> None:
    pair = Pair()
    late = pair.write(0)
    pair.exchange(0)
    assert pair.read(1, late).state.seen == 2


def test_7_a_turn_that_is_closed_and_complete_is_forgotten() -> None:
    pair = Pair()
    pair.exchange(0)
    missed = pair.write(0)
    pair.exchange(1, 0)
    state = pair.desks[1].ours
    assert set(state.rx) == {1, 3}
    assert {place.turn for place in state.opened.values()} == {1, 3}
    state = pair.read(1, missed).state
    assert set(state.rx) == {3}
    assert {place.turn for place in state.opened.values()} == {3}


def test_7_a_turn_whose_last_key_expired_is_forgotten_with_the_next_letter() -> None:
    pair = Pair()
    missed = pair.write(0)
    pair.exchange(0, 1, 0)
    pair.now += KEPT + 1
    assert pair.refusal(1, missed) == "expired"
    pair.exchange(0)
    assert pair.refusal(1, missed) == "no key"


# --- §7, §8


def test_a_refusal_does_not_even_drop_what_has_expired() -> None:
    pair = Pair()
    pair.write(0)
    pair.exchange(0)
    pair.now += KEPT + 1
    pair.refusal(1, bytes(2592))
    assert pair.desks[1].ours.skipped
    pair.exchange(1)
    assert not pair.desks[1].ours.skipped


def carried(desk: Desk) -> tuple[list[int], list[int]]:
    return sorted(desk.ours.pouch_keys), sorted(desk.ours.roots)


def test_a_root_is_erased_when_it_falls_out_of_use_and_its_pouch_key_90_days_after() -> None:
    pair = Pair()
    pair.exchange(0, 1, 0)
    desk = pair.desks[0]
    assert carried(desk) == ([-1, 0, 1, 2, 3], [1, 2, 3])
    pair.now += 50 * DAY
    pair.exchange(1, 0)
    assert carried(desk) == ([-1, 0, 1, 2, 3, 4, 5], [3, 4, 5])
    pair.now += 40 * DAY
    pair.exchange(0)
    assert carried(desk)[0] == [-1, 0, 1, 2, 3, 4, 5]
    pair.now += 1
    pair.exchange(0)
    assert carried(desk)[0] == [1, 2, 3, 4, 5]
    pair.now += 50 * DAY - 1
    pair.exchange(0)
    assert carried(desk)[0] == [1, 2, 3, 4, 5]
    pair.now += 1
    pair.exchange(0)
    assert carried(desk)[0] == [3, 4, 5]


def test_a_key_in_use_has_no_date_that_could_pass() -> None:
    pair = Pair()
    pair.exchange(0, 1, 0)
    pair.now += 10 * KEPT
    pair.exchange(0)
    assert carried(pair.desks[0])[0] == [1, 2, 3]
    pair.exchange(1)
    assert carried(pair.desks[1])[0] == [0, 1, 2, 3, 4]


def test_the_first_keeps_all_keys_until_it_has_written() -> None:
    pair = Pair()
    pair.exchange(1)
    pair.now += 10 * KEPT
    pair.exchange(1)
    assert carried(pair.desks[0]) == ([-1, 0], [-1, 0])


def test_opening_a_letter_changes_nothing_that_leaves_the_desk() -> None:
    pair = Pair()
    for who in (0, 1, 0, 1, 1, 0):
        before = ratchet.carrying_key(pair.desks[1 - who].ours)
        pair.exchange(who)
        assert ratchet.carrying_key(pair.desks[1 - who].ours) == before


def test_a_pouch_on_its_way_while_both_write_three_times_is_still_opened() -> None:
    pair = Pair()
    pair.exchange(0, 1)
    key = ratchet.carrying_key(pair.desks[0].ours)
    pair.now += 89 * DAY
    pair.exchange(0, 1, 0, 1, 0, 1)
    pair.now += 90 * DAY
    pair.exchange(1)
    assert key in ratchet.opening_keys(pair.desks[1].ours)


def test_the_newest_key_is_tried_first() -> None:
    pair = Pair()
    pair.exchange(0, 1, 0)
    keys = pair.desks[0].ours.pouch_keys
    assert ratchet.opening_keys(pair.desks[0].ours) == [keys[turn][0] for turn in (3, 1, -1)]


def aged() -> tuple[Pair, list[int]]:
    """Two desks, of which the second has keys of every kind and date; the dates of those that lapse there."""
    pair, dates = Pair(), []
    for _ in range(3):
        pair.write(0)
        pair.exchange(0, 1, 0, 1)
        dates.append(pair.now)
        pair.now += DAY
    # The date of a key in use cannot pass; the carriage keys that fell out of use are dated by the turn that ended it.
    return pair, dates


def test_a_state_in_which_no_time_is_over_lapses_into_itself() -> None:
    pair, dates = aged()
    for desk in pair.desks:
        for state in (desk.ours, ratchet.freeze(desk.ours, "why")):
            assert ratchet.lapse(state, pair.now) is state
            assert ratchet.lapse(state, min(dates) + KEPT) is state
    fresh = Pair().desks[0].ours
    assert ratchet.lapse(fresh, START + 10 * KEPT) is fresh


def test_what_lapses_is_the_dated_keys_whose_time_is_over_and_nothing_else() -> None:
    pair, dates = aged()
    state = pair.desks[1].ours
    before = state.encode()
    assert state.tx
    assert sorted(date for _, date in state.skipped.values()) == dates
    assert {date for _, date in state.pouch_keys.values()} >= set(dates)
    for date in dates:
        lapsed = ratchet.lapse(state, date + KEPT + 1)
        skipped = {place: kept for place, kept in state.skipped.items() if kept[1] > date}
        keys = {t: kept for t, kept in state.pouch_keys.items() if t >= state.tx.turn - 2 or kept[1] > date}
        assert len(skipped) < len(state.skipped)
        assert len(keys) < len(state.pouch_keys)
        assert lapsed == dataclasses.replace(state, skipped=skipped, pouch_keys=keys)
        assert ratchet.lapse(lapsed, date + KEPT + 1) is lapsed
    assert state.encode() == before
    gone = ratchet.lapse(state, dates[-1] + 10 * KEPT)
    assert not gone.skipped
    assert set(gone.pouch_keys) == set(gone.roots) == {state.tx.turn + n for n in (-2, -1, 0)}


@pytest.mark.parametrize("who", [0, 1])
def test_a_desk_that_was_opened_before_writes_and_reads_as_if_it_had_not_been(who: int) -> None:
    pair, dates = aged()
    state, coming = pair.desks[who].ours, pair.write(1 - who)
    for now in (dates[0] + KEPT, *(date + KEPT + 1 for date in dates)):
        lapsed = ratchet.lapse(state, now)
        one, other = (ratchet.write(s, b"item", kem=SeededKem(), random=stream(now), now=now) for s in (state, lapsed))
        assert one == other
        assert len({ratchet.read(s, coming, kem=SeededKem(), now=now).state.encode() for s in (state, lapsed)}) == 1


def test_what_is_missing_is_told_by_number_as_long_as_it_can_still_be_read() -> None:
    pair = Pair()
    pair.exchange(0)
    late, _ = pair.write(0), pair.write(0)
    pair.exchange(0, 1)
    pair.write(0)
    pair.exchange(0)
    assert pair.desks[1].ours.missing == (2, 3, 5)
    assert pair.read(1, late).state.missing == (3, 5)
    pair.now += KEPT + 1
    pair.exchange(0)
    assert not pair.desks[1].ours.missing


def test_a_refusal_to_find_a_key_says_so_and_names_no_secret() -> None:
    pair = Pair()
    with pytest.raises(NoKeyError, match="not for this desk, or its keys are gone"):
        ratchet.read(pair.desks[0].ours, bytes(2592), kem=SeededKem(), now=START)
