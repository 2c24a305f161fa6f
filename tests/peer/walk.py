"""A walk: two desks, the couriers between them, and everything that can go wrong with either.

The events are methods, so that a state machine and a seeded walk share them.
What must hold is asserted where it can be seen: after every event in
:meth:`Walk.check`, and of the whole history in :meth:`Walk.finish`.
"""

from __future__ import annotations

import random as generators
from dataclasses import dataclass, field
from typing import Final

from backchannel.errors import RefusedError
from backchannel.seal import ratchet
from tests.peer.side_by_side import DAY, GONE, KEPT, START, Desk, Refused, meet
from tests.peer.thief import Thief


@dataclass(frozen=True)
class Letter:
    """A letter that was written: by which side, in which turn, as which of the writer's."""

    side: int
    turn: int
    index: int
    item: bytes
    envelope: bytes


@dataclass
class Holder:
    """A desk and what the walk knows of it: a twin begins as a copy of this."""

    desk: Desk
    opened: dict[int, Letter] = field(default_factory=dict)
    skipped: dict[int, int] = field(default_factory=dict)  # index of a letter not here, when first missed

    def copy(self) -> Holder:
        return Holder(self.desk.copy(), dict(self.opened), dict(self.skipped))


class Walk:
    """One history."""

    def __init__(self, seed: object) -> None:
        self.seed, self.now = seed, START
        self.holders = [Holder(desk) for desk in meet(seed)]  # the first two are the owners'; twins follow
        self.ways: tuple[list[Letter], list[Letter]] = [], []  # letters under way, by the side that reads them
        self.past: tuple[list[Letter], list[Letter]] = [], []  # letters that have arrived somewhere
        self.backups: list[Holder] = []
        self.thieves: list[tuple[Thief, set[bytes]]] = []  # and what was out of their reach when they came
        self.copied = False  # whether two desks have ever had one state
        self.turned_back = False  # whether the clock has
        self.written = 0
        self.log: list[str] = []

    # --- what happens

    def write(self, who: int) -> Letter | None:
        holder = self.holders[who % len(self.holders)]
        self.written += 1
        item = b"item %d" % self.written
        try:
            envelope = holder.desk.write(item, seed=(self.seed, self.written), now=self.now)
        except Refused as refused:
            self.log.append(refused.kind)
            if refused.kind == "frozen" and holder.desk.ours.frozen:
                return None
            raise
        state = holder.desk.ours
        assert state.tx
        letter = Letter(state.role, state.tx.turn, state.written, item, envelope)
        self.ways[1 - state.role].append(letter)
        for thief, _ in self.thieves:
            self._heard(thief, letter)
        return letter

    def deliver(self, who: int, pick: int, *, again: bool = False) -> str | None:
        """Bring a letter that is under way, or one that has come before, to a desk."""
        holder = self.holders[who % len(self.holders)]
        pile = (self.past if again else self.ways)[holder.desk.side]
        if not pile:
            return None
        letter = pile[pick % len(pile)]
        if not again:
            pile.remove(letter)
            self.past[holder.desk.side].append(letter)
        return self._read(holder, letter)

    def lose(self, side: int, pick: int) -> None:
        if self.ways[side]:
            del self.ways[side][pick % len(self.ways[side])]

    def damage(self, who: int, pick: int, at: int) -> None:
        """Bring a copy of a letter with one bit another: it never opens, and never looks like a fork."""
        holder = self.holders[who % len(self.holders)]
        pile = self.ways[holder.desk.side] + self.past[holder.desk.side]
        if not pile:
            return
        letter = pile[pick % len(pile)]
        at %= 8 * len(letter.envelope)
        altered = bytearray(letter.envelope)
        altered[at // 8] ^= 1 << at % 8
        said = holder.desk.refusal(bytes(altered), now=self.now)
        if at < 8 * 48:
            assert said == "no key"
        elif self.copied:
            assert said != "already here"
        else:
            assert said in {"damaged", "no key", "expired"}

    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.turned_back |= seconds < 0

    def steal(self, side: int) -> None:
        """Copy all of a desk; he comes back no more, and only listens."""
        if self.copied:
            return
        holder = self.holders[side]
        thief = Thief(holder.desk.theirs, holder.desk.kem)
        gone = {letter.envelope for letter in holder.opened.values()}
        sealed = {letter.envelope for letter in self.ways[1 - side] + self.past[1 - side] if letter.side == side}
        for envelope in gone | sealed:
            assert not thief.reads(envelope), "forward secrecy"
        self.thieves.append((thief, gone | sealed))

    def clone(self, who: int) -> None:
        """Copy a desk, and let the copy go on."""
        if len(self.holders) < 4:
            self.holders.append(self.holders[who % len(self.holders)].copy())
            self.copied = True

    def back_up(self, side: int) -> None:
        self.backups.append(self.holders[side].copy())

    def restore(self, pick: int) -> None:
        """Put an old copy in the place of its desk."""
        if self.backups:
            backup = self.backups[pick % len(self.backups)]
            self.holders[backup.desk.side] = backup.copy()
            self.copied = True

    # --- what must hold

    def check(self) -> None:
        """What holds of the two together, whatever has happened to neither of them alone."""
        if self.copied:
            return
        first, second = (holder.desk.ours for holder in self.holders)
        assert abs(first.turn - second.turn) <= 1
        assert not first.frozen
        assert not second.frozen
        if first.turn == second.turn:
            assert (first.root, first.next_header_key) == (second.root, second.next_header_key)
            assert (first.private is None) != (second.private is None)
        for mine, theirs in ((first, second), (second, first)):
            assert ratchet.carrying_key(mine) in ratchet.opening_keys(theirs)
            assert theirs.claims.items() <= dict(enumerate(mine.chain)).items()

    def finish(self) -> None:
        """Deliver what is left; then both write and read, or somebody has been told why not."""
        for side in (0, 1):
            while self.ways[side]:
                self.deliver(side, self.written)
                self.check()
        for holder in self.holders:
            self._nothing_opens_again(holder, list(holder.opened.values()))
        reached = True
        for side in (0, 1, 0, 1):
            letter = self.write(side)
            reached &= letter is not None and self.deliver(1 - side, -1) == "opened"
            self.check()
        assert reached or self.copied, "two desks that nobody has copied no longer reach each other"
        if self.copied and not self.log:
            # Copies that nobody was told of: the two are as if there were no copy.
            first, second = (holder.desk.ours for holder in self.holders[:2])
            assert second.claims.items() <= dict(enumerate(first.chain)).items()
            assert first.claims.items() <= dict(enumerate(second.chain)).items()

    def _read(self, holder: Holder, letter: Letter) -> str:
        state = holder.desk.ours
        try:
            opened = holder.desk.read(letter.envelope, now=self.now)
        except Refused as refused:
            self._refused(holder, letter, refused.kind)
            return refused.kind
        assert opened.item == letter.item
        assert opened.index == letter.index
        before = holder.opened.setdefault(letter.index, letter)
        # One desk that is not frozen has one letter of a number.
        assert before == letter or opened.state.frozen, "a second history was accepted in silence"
        if opened.state.frozen:
            self.log.append(opened.state.frozen)
        for index in range(1, letter.index):
            if index not in holder.opened:
                holder.skipped.setdefault(index, self.now)
        self._nothing_opens_again(holder, [letter])
        assert opened.state.seen == max(state.seen, letter.index)
        return "opened"

    def _refused(self, holder: Holder, letter: Letter, said: str) -> None:
        if holder.opened.get(letter.index) == letter:
            assert said in GONE, "a letter that is here"
            return
        if not self.copied:
            since = holder.skipped[letter.index]  # only what was missed can be refused
            assert self.turned_back or self.now - since > KEPT, f"{said}, and its key should be there"
            assert said in {"expired", "no key"}
        else:
            assert said in GONE | {"fork", "damaged"}
        self.log.append(said)

    def _nothing_opens_again(self, holder: Holder, letters: list[Letter]) -> None:
        """Forward secrecy: with what a desk stores, less its memory of what is here, it opens nothing twice."""
        state = holder.desk.ours.copy()
        state.opened = {}
        for letter in letters:
            for now in (self.now, START):
                try:
                    ratchet.read(state, letter.envelope, kem=holder.desk.kem, now=now)
                except RefusedError:
                    continue
                raise AssertionError("a letter opens twice: its key is still here")

    def _heard(self, thief: Thief, letter: Letter) -> None:
        if self.copied:
            return
        assert not thief.reads(letter.envelope) or letter.turn < thief.blind, "a thief reads on"
        if letter.side == thief.victim and letter.turn < thief.blind:
            assert thief.reads(letter.envelope), "the thief of this test is not as good as he could be"
        assert not thief.recognises(letter.envelope) or letter.turn <= thief.blind, "a thief still knows the two"


DAMAGE: Final = 8 * 2700

EVENTS: Final = {
    # what may happen: how often in an honest walk, and in one with copies
    "write": (50, 50),
    "deliver": (45, 45),
    "again": (6, 6),
    "lose": (5, 3),
    "damage": (4, 4),
    "wait": (10, 6),
    "turn back": (0, 1),
    "steal": (3, 0),
    "clone": (0, 2),
    "back up": (0, 3),
    "restore": (0, 2),
}


def stroll(seed: int, steps: int) -> Walk:  # noqa: C901 (one case for each event)
    """A seeded walk of *steps* events; every other one has copies and restored desks."""
    chance = generators.Random(seed)
    weights = [weight[seed % 2] for weight in EVENTS.values()]
    walk = Walk(seed)
    in_order, bias = chance.random() < 0.3, chance.choice((0.2, 0.5, 0.8))
    for _ in range(steps):
        who, pick = int(chance.random() < bias) + 2 * chance.randrange(3), 0 if in_order else chance.randrange(1 << 16)
        match chance.choices(list(EVENTS), weights)[0]:
            case "write":
                walk.write(who)
            case "deliver":
                walk.deliver(who, pick)
            case "again":
                walk.deliver(who, pick, again=True)
            case "lose":
                walk.lose(who % 2, pick)
            case "damage":
                walk.damage(who, pick, chance.randrange(DAMAGE))
            case "wait":
                walk.wait(chance.choice((1, 3600, DAY, 9 * DAY, 31 * DAY, KEPT, KEPT + 1)))
            case "turn back":
                walk.wait(-chance.choice((1, DAY, 40 * DAY)))
            case "steal":
                walk.steal(who % 2)
            case "clone":
                walk.clone(who)
            case "back up":
                walk.back_up(who % 2)
            case "restore":
                walk.restore(pick)
        walk.check()
    walk.finish()
    return walk
