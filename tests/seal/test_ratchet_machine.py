"""Two ratchets side by side through whatever may happen, against a second implementation of the page.

:mod:`tests.peer.side_by_side` asserts after every event that both
implementations have the same fields, envelopes and refusals, and that a refusal
changes nothing; :mod:`tests.peer.walk` asserts what holds of a history.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backchannel.kem import XWing
from backchannel.seal import ratchet
from tests.peer import ratchet_peer as peer
from tests.peer.side_by_side import DAY, KEPT, START, meet, stream
from tests.peer.walk import DAMAGE, Walk, stroll

WHO = st.integers(0, 3)
SIDE = st.integers(0, 1)
PICK = st.integers(0, 40)
SECONDS = st.sampled_from((1, 3600, DAY, 31 * DAY, KEPT - 1, KEPT, KEPT + 1))


class Honest(RuleBasedStateMachine):
    """Crossing, loss, reordering, repetition, damage, thieves who only listen, and time."""

    walk: Walk

    @initialize(seed=st.integers(0, 7))
    def meet(self, seed: int) -> None:
        self.walk = Walk(seed)

    @rule(who=WHO)
    def write(self, who: int) -> None:
        self.walk.write(who)

    @rule(who=SIDE)
    def both_write_at_once(self, who: int) -> None:
        self.walk.write(who)
        self.walk.write(1 - who)

    @rule(who=WHO, pick=PICK)
    def deliver(self, who: int, pick: int) -> None:
        self.walk.deliver(who, pick)

    @rule(who=SIDE)
    def deliver_in_order(self, who: int) -> None:
        self.walk.deliver(who, 0)

    @rule(who=WHO, pick=PICK)
    def deliver_again(self, who: int, pick: int) -> None:
        self.walk.deliver(who, pick, again=True)

    @rule(side=SIDE, pick=PICK)
    def lose(self, side: int, pick: int) -> None:
        self.walk.lose(side, pick)

    @rule(who=WHO, pick=PICK, at=st.integers(0, DAMAGE))
    def damage(self, who: int, pick: int, at: int) -> None:
        self.walk.damage(who, pick, at)

    @rule(seconds=SECONDS)
    def wait(self, seconds: int) -> None:
        self.walk.wait(seconds)

    @precondition(lambda self: len(self.walk.thieves) < 3)
    @rule(side=SIDE)
    def steal(self, side: int) -> None:
        self.walk.steal(side)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "walk"):
            self.walk.check()

    def teardown(self) -> None:
        if hasattr(self, "walk"):
            self.walk.finish()


class Copied(Honest):
    """All that, and copies of desks that go on, old copies put back, and clocks put back."""

    @rule(who=WHO)
    def clone(self, who: int) -> None:
        self.walk.clone(who)

    @rule(side=SIDE)
    def back_up(self, side: int) -> None:
        self.walk.back_up(side)

    @rule(pick=PICK)
    def restore(self, pick: int) -> None:
        self.walk.restore(pick)

    @rule(seconds=SECONDS)
    def turn_the_clock_back(self, seconds: int) -> None:
        self.walk.wait(-seconds)


QUICK = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestHonestDesks = Honest.TestCase
TestHonestDesks.settings = QUICK
TestCopiedDesks = Copied.TestCase
TestCopiedDesks.settings = QUICK


@pytest.mark.parametrize("seed", range(12))
def test_a_walk_holds(seed: int) -> None:
    stroll(seed, 100)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("block", range(20))
def test_thousands_of_walks_hold(block: int) -> None:
    for seed in range(1000 + 100 * block, 1100 + 100 * block):
        try:
            stroll(seed, 150)
        except Exception as error:
            raise AssertionError(f"tests.peer.walk.stroll({seed}, 150)") from error


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", [Honest, Copied])
def test_the_machines_hold_in_depth(machine: type[Honest]) -> None:
    class Deep(machine):  # type: ignore[valid-type,misc]  # a class by name
        pass

    case = Deep.TestCase
    case.settings = settings(QUICK, max_examples=150, stateful_step_count=60)
    case("runTest").runTest()


@pytest.mark.parametrize("ours", [0, 1])
def test_the_two_implementations_write_to_each_other_over_the_real_kem(ours: int) -> None:
    # X-Wing draws where nobody can reach, so no two envelopes are the same bytes;
    # but what one seals the other opens.
    kem = XWing()
    desks = meet(ours, kem=kem)
    mine, theirs = desks[ours].ours, desks[1 - ours].theirs
    for turn in range(4):
        item = b"item %d" % turn
        mine, envelope = ratchet.write(mine, item, kem=kem, random=stream(turn), now=START)
        theirs, opened = peer.read(theirs, envelope, kem=kem, now=START)
        assert opened == item
        theirs, envelope = peer.write(theirs, item, kem=kem, random=stream(turn), now=START)
        answer = ratchet.read(mine, envelope, kem=kem, now=START)
        mine = answer.state
        assert (answer.item, answer.seen) == (item, turn + 1)
