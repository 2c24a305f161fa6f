"""What comes to light when a desk has been copied and the copy writes (docs/spec/ratchet.md §6).

Shown here, letters arriving in order and none lost: no desk opens letters of
both copies before somebody was refused or froze, and the first letter either
way after an old copy was put back is already such a sign. Where letters are
lost, a letter of the second history may open over the gap; then the first that
closes it, or the next in the same place, is the sign (the last test), and no
desk that is not frozen ever has two letters of one number
(tests/peer/walk.py, under reordering and loss).
"""

from __future__ import annotations

import random as generators

import pytest

from tests.peer.side_by_side import START, Desk, Refused, meet


class Post:
    """Desks on two sides; what is written is read at once by everybody on the other."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.desks: list[Desk] = list(meet(seed))
        self.count = 0
        self.signs: list[str] = []
        self.heard: list[set[int]] = [set(), set()]  # by the side that reads: whose letters opened

    def write(self, who: int) -> bytes | None:
        self.count += 1
        try:
            return self.desks[who].write(b"item", seed=(self.seed, self.count), now=START)
        except Refused as refused:
            self.signs.append(refused.kind)
            return None

    def send(self, who: int) -> None:
        envelope = self.write(who)
        if envelope is None:
            return
        for desk in self.desks:
            if desk.side != self.desks[who].side:
                self.read(desk, envelope, who)

    def read(self, desk: Desk, envelope: bytes, who: int) -> None:
        try:
            desk.read(envelope, now=START)
        except Refused as refused:
            self.signs.append(refused.kind)
            return
        if desk.ours.frozen:
            self.signs.append(desk.ours.frozen)
        if not self.signs:
            self.heard[desk.side].add(who)


def copied(seed: int) -> bool:
    post, chance = Post(seed), generators.Random(seed)
    for _ in range(chance.randrange(12)):
        post.send(chance.randrange(2))
    post.heard = [set(), set()]
    post.desks.append(post.desks[chance.randrange(2)].copy())
    wrote: set[int] = set()
    victim = post.desks[2].side
    for _ in range(16):
        who = chance.choice((0, 1, 2))
        post.send(who)
        wrote |= {who} - {1 - victim}
        assert len(post.heard[1 - victim]) <= 1, "both copies were heard in silence"
        if len(wrote) == 2:
            assert post.signs, "both copies have written, and nobody knows"
            return True
    return False


def restored(seed: int) -> None:
    post, chance = Post(seed), generators.Random(seed)
    for _ in range(chance.randrange(12)):
        post.send(chance.randrange(2))
    victim = chance.randrange(2)
    backup = post.desks[victim].copy()
    for who in [*(chance.randrange(2) for _ in range(chance.randrange(6))), victim]:
        post.send(who)
    assert not post.signs
    post.desks[victim] = backup
    post.send(chance.randrange(2))
    assert post.signs, "an old copy was put back, and nobody knows"


@pytest.mark.parametrize("seed", range(25))
def test_two_copies_that_both_write_are_never_both_heard_in_silence(seed: int) -> None:
    copied(seed)


@pytest.mark.parametrize("seed", range(25))
def test_the_first_letter_after_an_old_copy_was_put_back_is_a_sign(seed: int) -> None:
    restored(seed)


@pytest.mark.long
def test_copies_and_old_copies_of_thousands_of_histories_are_found_out() -> None:
    for seed in range(1000, 3000):
        try:
            copied(seed)
            restored(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


def test_a_copy_that_only_reads_is_not_noticed() -> None:
    # The limit of it: who copies and stays silent is a thief, see test_ratchet_theft.py.
    post = Post(0)
    post.send(0)
    post.desks.append(post.desks[0].copy())
    for who in (1, 1):
        post.send(who)
    assert not post.signs


def test_a_desk_put_back_to_before_its_newest_turn_has_no_key_and_writes_a_fork() -> None:
    post = Post(1)
    for who in (0, 1):
        post.send(who)
    backup = post.desks[0].copy()
    for who in (0, 1):
        post.send(who)
    post.desks[0] = backup
    post.send(1)
    assert post.signs == ["no key"]
    post.send(0)
    assert post.signs[1:] == ["fork"]


def test_a_desk_put_back_within_its_newest_turn_freezes_when_it_is_answered() -> None:
    post = Post(2)
    post.send(0)
    backup = post.desks[0].copy()
    post.send(0)
    post.desks[0] = backup
    post.send(1)
    assert post.signs == ["they have read letters that this desk never wrote: this desk is an old copy"]
    post.send(0)
    assert post.signs[1:] == ["frozen"]


def test_over_a_gap_a_second_history_opens_and_the_next_letter_in_its_place_is_the_sign() -> None:
    post = Post(3)
    post.send(0)
    post.desks.append(post.desks[0].copy())
    reader = post.desks[1]
    lost, later = post.write(2), post.write(2)
    assert later
    post.read(reader, later, 2)
    assert not post.signs
    first = post.write(0)
    assert first
    assert lost
    post.read(reader, first, 0)
    assert post.signs == ["their letters have two histories: somebody else has written with their keys"]
    assert reader.refusal(lost, now=START) == "fork"
