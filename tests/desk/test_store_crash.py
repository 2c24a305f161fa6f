"""Power loss and a full disk, at every moment that there is."""

import itertools
import os
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import backchannel
from backchannel.desk.store import CUT_OFF, Store
from backchannel.errors import BackchannelError, UnavailableError
from backchannel.keys import Cost
from tests.simulation.crash import Crash, crashes, full_disk, unsynced

COST = Cost(memory=8, passes=1, lanes=1)
STEP = 64 * 1024
OURS = Path(backchannel.__file__).parent
PASSPHRASE = "by the sea"
Objects = dict[tuple[str, bytes], bytes]
Changes = dict[tuple[str, bytes], bytes | None]

# Small and large, first and again, deleted, and enough for a second step.
SCRIPT: tuple[Changes, ...] = (
    {("letter", b"1"): b"esteemed Mr. President" * 10, ("people", b"j"): b"J.F.K."},
    {("letter", b"2"): bytes(9_000), ("letter", b"1"): b"dear Mr. President"},
    {("letter", b"2"): None, ("state", b""): b"turn 3"},
    {("letter", bytes([n])): bytes([n]) * 3_000 for n in range(12)},
    {("state", b""): b"turn 4", ("people", b"j"): None},
)


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk() -> Iterator[None]:
    with unsynced():
        yield


def create(root: Path) -> Store:
    seeded = random.Random(7)
    return Store.create(
        root / "desk", PASSPHRASE, random=seeded.randbytes, cost=COST, step=STEP, counters=root / "counters"
    )


def reopen(root: Path) -> Store:
    return Store.open(root / "desk", PASSPHRASE, random=os.urandom, counters=root / "counters")


def contents(store: Store) -> Objects:
    rooms = {"letter", "people", "state"}
    return {(room, name): body for room in rooms for name, body in store.items(room)}


def states(script: tuple[Changes, ...] = SCRIPT) -> list[Objects]:
    """What the store holds after none, one, two, ... of the commits."""
    out: list[Objects] = [{}]
    for changes in script:
        now = dict(out[-1])
        for name, body in changes.items():
            if body is None:
                del now[name]
            else:
                now[name] = body
        out.append(now)
    return out


def write_history(root: Path, done: Callable[[object], None]) -> None:
    with reopen(root) as store:
        for number, changes in enumerate(SCRIPT, 1):
            store.commit(changes)
            done(number)


def check(crash: Crash, *, least: int | None = None) -> int:
    """Nothing that had returned is lost, nothing is half there, and the desk is no old copy."""
    with reopen(crash.root) as store:
        expected = states()
        assert not store.restored, crash
        if least is None:
            assert store.commit_number in (len(crash.done), len(crash.done) + 1), crash
        else:
            assert store.commit_number >= least, crash
        assert contents(store) == expected[store.commit_number], crash
        store.verify()
        assert (crash.root / "desk/desk.db").stat().st_size % STEP == 0, crash
        assert sorted(path.name for path in (crash.root / "desk").iterdir() if "journal" not in path.name) == [
            "desk.db",
            "desk.head",
        ], crash
        return store.commit_number


def test_power_loss_at_any_moment_of_any_commit_loses_nothing_that_had_returned(tmp_path: Path) -> None:
    root = tmp_path / "history"
    create(root).close()
    found = [check(crash) for crash in crashes(write_history, root, tmp_path)]
    assert set(found) == set(range(len(SCRIPT) + 1))
    assert len(found) > 200


def test_after_a_crash_the_desk_is_written_on_as_before(tmp_path: Path) -> None:
    root = tmp_path / "history"
    create(root).close()
    for crash in itertools.islice(crashes(write_history, root, tmp_path), 0, None, 13):
        with reopen(crash.root) as store:
            store.commit({("letter", b"after"): b"the crash"})
            number = store.commit_number
        with reopen(crash.root) as store:
            assert not store.restored
            assert store.commit_number == number
            assert store.get("letter", b"after") == b"the crash"
            store.verify()


def test_power_loss_while_a_crash_is_being_mended_is_a_crash_like_another(tmp_path: Path) -> None:
    root = tmp_path / "history"
    create(root).close()

    def mend(root: Path, done: Callable[[object], None]) -> None:
        with reopen(root) as store:
            done("mended")
            if store.commit_number < len(SCRIPT):
                store.commit(SCRIPT[store.commit_number])

    for turn, crash in enumerate(itertools.islice(crashes(write_history, root, tmp_path), 0, None, 97)):
        for again in crashes(mend, crash.root, tmp_path / f"again{turn}"):
            number = check(again, least=len(crash.done))
            assert number <= len(crash.done) + 2


def test_power_loss_while_a_desk_is_made_leaves_a_whole_desk_or_none(tmp_path: Path) -> None:
    root = tmp_path / "history"
    root.mkdir()

    def history(root: Path, done: Callable[[object], None]) -> None:
        create(root).close()
        done("created")

    found = []
    for crash in crashes(history, root, tmp_path):
        there = (crash.root / "desk").exists()
        if there:
            with reopen(crash.root) as store:
                assert not store.restored
                assert store.commit_number == 0
                store.verify()
        else:
            # The next attempt takes no notice of what the first left.
            create(crash.root).close()
            assert sorted(path.name for path in crash.root.iterdir()) == ["counters", "desk"]
        assert there or not crash.done
        found.append(there)
    assert set(found) == {True, False}


def test_power_loss_while_the_passphrase_changes_leaves_one_that_opens(tmp_path: Path) -> None:
    root = tmp_path / "history"
    create(root).close()

    def history(root: Path, done: Callable[[object], None]) -> None:
        with reopen(root) as store:
            store.change_passphrase("by another sea")
        done("changed")

    def opens(root: Path, passphrase: str) -> bool:
        try:
            with Store.open(root / "desk", passphrase, random=os.urandom, counters=root / "counters") as store:
                return not store.restored
        except BackchannelError as error:
            assert error.message == "wrong passphrase"  # noqa: PT017
            return False

    for crash in crashes(history, root, tmp_path):
        old, new = opens(crash.root, PASSPHRASE), opens(crash.root, "by another sea")
        assert old != new
        assert new or not crash.done


def test_a_restored_desk_that_is_adopted_survives_power_loss_as_itself_or_as_restored(tmp_path: Path) -> None:
    root = tmp_path / "history"
    create(root).close()
    for path in (root / "counters").iterdir():
        path.unlink()

    def history(root: Path, done: Callable[[object], None]) -> None:
        with reopen(root) as store:
            store.adopt({("state", b""): b"moved"})
            done("adopted")

    for crash in crashes(history, root, tmp_path):
        with reopen(crash.root) as store:
            assert not (store.restored and crash.done)
            if store.restored:
                store.adopt({})
                store.commit({})


def test_a_full_disk_at_any_moment_changes_nothing_and_the_store_goes_on(tmp_path: Path) -> None:
    # Every seventh moment: `tests/simulation/crash.py` counts some 400 here.
    for room in itertools.count(0, 7):
        root = tmp_path / str(room)
        create(root).close()
        store = reopen(root)
        refused = False
        with full_disk(root, after=room) as disk:
            store.close()
            store = reopen(root)
            for changes in SCRIPT:
                before = contents(store), store.commit_number
                try:
                    store.commit(changes)
                except UnavailableError:
                    refused = True
                    disk.room = None  # the owner makes room
                    store = usable_again(store, root, before, changes)
            assert contents(store) == states()[-1]
            assert store.commit_number == len(SCRIPT)
            store.verify()
            store.close()
        with reopen(root) as store:
            assert not store.restored
            assert contents(store) == states()[-1]
        if not refused:
            return


def test_an_interrupt_at_any_line_of_a_commit_leaves_a_store_that_goes_on_or_says_that_it_does_not(
    tmp_path: Path,
) -> None:
    before, after = {("state", b""): b"one"}, {("state", b""): b"two", ("letter", b"1"): bytes(60_000)}
    # Every 13th line: all of them are some 900 and take half a minute.
    for line in itertools.count(1, 13):
        root = tmp_path / str(line)
        with create(root) as store:
            store.commit(dict(before))
            if not interrupted(partial(store.commit, dict(after)), line):
                return
            try:
                found = contents(store)
                assert (found, store.commit_number) in ((before, 1), (after, 2))
                store.commit({})
                number = store.commit_number
            except UnavailableError:
                number = None
        with reopen(root) as store:
            assert not store.restored
            assert number in (None, store.commit_number)
            assert contents(store) in (before, after)
            store.verify()


def interrupted(call: Callable[[], None], at: int) -> bool:
    """Whether *call* was interrupted, as by Ctrl-C, at the line of ours that it comes to as the *at*-th."""
    left = at

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if event == "line" and Path(frame.f_code.co_filename).is_relative_to(OURS):
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(previous)
    return False


def usable_again(store: Store, root: Path, before: tuple[Objects, int], changes: Changes) -> Store:
    """The commit failed: it is repeated in the same store, or, where that asks for it, found done after opening."""
    try:
        found = contents(store), store.commit_number
    except UnavailableError as error:
        assert error.message == CUT_OFF  # noqa: PT017 - it may also not fail
        store.close()
        store = reopen(root)
        found = contents(store), store.commit_number
        assert found[1] in (before[1], before[1] + 1)
    else:
        assert found == before
    if found[1] == before[1]:
        store.commit(changes)
    return store
