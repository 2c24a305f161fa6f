"""Power is lost at every moment of a history of two desks: no letter is lost, none sealed twice, no key used twice."""

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backchannel import files
from backchannel.desk.desk import Desk
from backchannel.desk.records import Owner
from backchannel.errors import LockedError
from tests.desk.history import STEPS, Line, Post, Watch, check_table, listings, play, says, tidy, watching
from tests.desk.small import COST, PASSPHRASE, STEP
from tests.desk.two_desks import ANNA, MIKHAIL, START, Side
from tests.simulation.crash import CHOICES, Crash, Tree, crashes, lay_out, record, unsynced

Listings = tuple[list[Line], list[Line]]


def history(root: Path, done: Callable[[object], None]) -> None:
    post = Post(root)
    try:
        play(post, done=done)
    finally:
        post.close()


def sampled(start: Path, into: Path, wanted: Callable[[int], bool]) -> Iterator[Crash]:
    """Some of what :func:`tests.simulation.crash.crashes` gives: the disks of the moments *wanted*."""
    tree, chance, done = Tree.of(start), random.Random(0), list[object]()
    for at, op in enumerate([*record(history, start, tree.copy()), None]):
        for choice in CHOICES if wanted(at) else ():
            root = into / "crash"
            lay_out(tree.image(choice, chance), root)
            yield Crash(root, at, choice, tuple(done))
            files.remove_folder(root)
        if op is not None:
            tree.apply(op)
            if op.kind == "done":
                done.append(op.value)


def taken_up(crash: Crash, expected: Listings, watch: Watch) -> None:
    """After the crash all is as it had been, and the history goes on to the end that it has without one."""
    step = len(crash.done)
    post = Post(crash.root)
    try:
        with unsynced(), watching(watch):
            for side in post.sides:
                assert not side.desk.restored, crash
                side.desk.store.verify()
            check_table(post)
            check_nothing_lost(post, step)
            play(post, step)
            assert listings(post) == expected, (crash.at, crash.choice, step)
            watch.check()
        tidy(post)
    except BaseException as error:
        error.add_note(f"power lost after operation {crash.at}, of what was not synced: {crash.choice}, in step {step}")
        raise
    finally:
        post.close()


RECALL = 14
SENDS = {5: "a one", 8: "m one", 15: "a two", 22: "a three", 29: "a four", 34: "m two"}
PACKS = (6, 10, 16, 27, 30, 35)
DESTROYS = {"a one": 19}  # the step that takes it from its writer


def check_nothing_lost(post: Post, step: int) -> None:
    """Every letter of which ``send`` had said that it was sealed can be read where it was written."""
    for sent, text in SENDS.items():
        if sent < step < DESTROYS.get(text, len(STEPS) + 1):
            side = post.anna if text.startswith("a") else post.mikhail
            assert text in [says(side, entry) for entry in side.listing() if entry.outgoing], text


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Listings:
    post = Post(tmp_path_factory.mktemp("undisturbed"))
    try:
        with unsynced(), watching(Watch()):
            post.create()
            play(post)
            return listings(post)
    finally:
        post.close()


def test_the_history_undisturbed_brings_every_letter_once(expected: Listings) -> None:
    anna, mikhail = expected
    assert [(line[0], line[3].value, line[5]) for line in anna] == [
        (False, "received", "m two"),
        (True, "destroyed", ""),
        (True, "recalled", ""),
        (True, "left", "a two"),
        (True, "left", "a three"),
        (True, "arrived", "a four"),
    ]
    assert [(line[0], line[3].value, line[5]) for line in mikhail] == [
        (False, "destroyed", ""),
        (False, "received", "a two"),
        (False, "received", "a three"),
        (False, "received", "a four"),
        (True, "arrived", "m one"),
        (True, "left", "m two"),
    ]


def test_taking_up_a_history_that_was_not_interrupted_changes_nothing(tmp_path: Path, expected: Listings) -> None:
    post = Post(tmp_path)
    with unsynced(), watching(Watch()):
        post.create()
        for number in range(len(STEPS)):
            STEPS[number](post)
            if number != RECALL:  # a letter sent anew would be recalled anew
                STEPS[number](post)
        assert listings(post) == expected
        tidy(post)
        post.close()


SHARDS = 24


def test_power_loss_at_a_moment_of_a_history_loses_no_letter_and_seals_none_twice(
    tmp_path: Path, expected: Listings
) -> None:
    run(tmp_path, expected, lambda at: at % 97 == 11)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_power_loss_at_every_moment_of_a_history_loses_no_letter_and_seals_none_twice(
    tmp_path: Path, expected: Listings, shard: int
) -> None:
    run(tmp_path, expected, lambda at: at % SHARDS == shard)


def run(tmp_path: Path, expected: Listings, wanted: Callable[[int], bool]) -> None:
    start, watch = tmp_path / "history", Watch()
    start.mkdir()
    Post(start).create()
    count = 0
    with watching(watch):
        # The first crash is laid out when the whole history has been recorded.
        found = sampled(start, tmp_path, wanted)
        first = next(found)
    for crash in itertools.chain([first], found):
        count += 1
        taken_up(crash, expected, watch.of_the_first(sum(step < len(crash.done) for step in PACKS)))
    assert count > 20


def test_power_loss_while_a_desk_is_made_leaves_one_that_says_so_or_works(tmp_path: Path) -> None:
    root = tmp_path / "history"
    root.mkdir()

    def make(root: Path, done: Callable[[object], None]) -> None:
        Side(root, ANNA, MIKHAIL).create().close()
        done("made")

    told = 0
    for crash in itertools.islice(crashes(make, root, tmp_path), 0, None, 5):
        side = Side(crash.root, ANNA, MIKHAIL)
        if (side.folder / "desk.head").exists():
            try:
                assert side.desk.owner == Owner(ANNA, START)
            except LockedError as error:
                assert error.message == "the making of this desk was cut off: remove its folder, and make it again"  # noqa: PT017
                assert not crash.done
                told += 1
                files.remove_folder(side.folder)
        else:
            assert not crash.done
        if not crash.done and not (side.folder / "desk.head").exists():
            owner = Owner(ANNA, START)
            Desk.create(side.folder, PASSPHRASE, owner, means=side.means, cost=COST, step=STEP).close()
        side.close()
        assert side.desk.owner.name == ANNA
        side.close()
    assert told
