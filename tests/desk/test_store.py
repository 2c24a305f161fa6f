"""The map itself, and what is said when it does not open."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from backchannel.desk.pages import JOURNAL_MAGIC, Pages
from backchannel.desk.store import Store
from backchannel.errors import LockedError, UnavailableError, UsageError
from tests.desk.small import COST, PASSPHRASE, STEP, contents, counter_of, create, reopen
from tests.simulation.crash import unsynced

OPEN = """
import os, sys
from pathlib import Path
from backchannel.desk.store import Store
from backchannel.errors import BackchannelError
root = Path(sys.argv[1])
try:
    store = Store.open(root / "desk", sys.argv[2], random=os.urandom, counters=root / "counters")
except BackchannelError as error:
    print(type(error).__name__, error.message)
else:
    print("open", store.commit_number, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk() -> Iterator[None]:
    with unsynced():
        yield


def test_a_new_desk_is_empty_and_has_had_no_commit(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        assert store.commit_number == 0
        assert not store.restored
        assert not store.counter_missing
        assert store.step == STEP
        assert store.names("letter") == []
        assert store.get("letter", b"1") is None


def test_what_is_committed_is_there_after_opening_again(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        store.commit({("letter", b"b"): b"two", ("letter", b"a"): b"", ("people", b"a"): bytes(20_000)})
    with reopen(tmp_path) as store:
        assert store.commit_number == 1
        assert store.names("letter") == [b"a", b"b"]
        assert list(store.items("letter")) == [(b"a", b""), (b"b", b"two")]
        assert store.get("people", b"a") == bytes(20_000)
        store.verify()


def test_a_name_in_one_room_is_not_that_name_in_another(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        store.commit({("ab", b"c"): b"1", ("a", b"bc"): b"2"})
        store.commit({("a", b"bc"): None})
        assert contents(store, "a", "ab") == {("ab", b"c"): b"1"}


def test_deleting_what_is_not_there_is_a_commit_like_another(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        store.commit({("letter", b"1"): None})
        store.commit({})
        assert store.commit_number == 2
        store.verify()


def test_what_is_too_large_for_one_piece_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backchannel.desk.store.MAX_BODY", 1000)
    with create(tmp_path) as store:
        store.commit({("letter", b"1"): bytes(1000)})
        with pytest.raises(UsageError, match="more than a desk holds in one piece"):
            store.commit({("letter", b"1"): bytes(1001)})
        assert store.commit_number == 1


def test_items_may_be_changed_while_they_are_read(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        store.commit({("letter", bytes([n])): b"x" for n in range(4)})
        seen = []
        for name, _ in store.items("letter"):
            seen.append(name)
            store.commit({("letter", b"\3"): None})
        assert seen == [b"\0", b"\1", b"\2"]


def test_the_first_page_keeps_time_beyond_what_it_has_room_for(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        assert store._pages.age() == 0
        store.commit({})
        assert store._pages.age() == 1


def test_a_closed_desk_says_so(tmp_path: Path) -> None:
    store = create(tmp_path)
    store.close()
    store.close()
    for call in (lambda: store.get("a", b""), lambda: store.names("a"), lambda: store.commit({}), store.verify):
        with pytest.raises(UnavailableError, match="this desk is closed"):
            call()


def test_a_changed_passphrase_opens_and_the_one_before_does_not(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        store.commit({("letter", b"1"): b"kept"})
        store.change_passphrase("by another sea")
        store.commit({("letter", b"2"): b"after"})
        assert store.commit_number == 3
    with pytest.raises(LockedError, match="wrong passphrase"):
        reopen(tmp_path)
    with reopen(tmp_path, "by another sea") as store:
        assert store.names("letter") == [b"1", b"2"]
        assert store.step == STEP


def test_everything_is_for_its_owner_alone(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        store.commit({("letter", b"1"): b"x"})
        for path in tmp_path.rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_desk_is_not_made_over_another_or_among_other_files(tmp_path: Path) -> None:
    create(tmp_path).close()
    with pytest.raises(UsageError, match="there is a desk in this folder already"):
        create(tmp_path)
    (tmp_path / "desk/desk.head").unlink()
    with pytest.raises(UsageError, match="there is a desk in this folder already"):
        create(tmp_path)
    shutil.rmtree(tmp_path / "desk")
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk/holiday.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match="needs a new or empty folder"):
        create(tmp_path)
    (tmp_path / "desk/holiday.jpg").unlink()
    create(tmp_path).close()


def test_a_desk_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError):
        Store.create(
            tmp_path / "desk", PASSPHRASE, random=os.urandom, cost=COST, step=STEP, counters=tmp_path / "file" / "c"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("make", ["nothing", "folder", "file"])
def test_where_there_is_no_desk_that_is_said(tmp_path: Path, make: str) -> None:
    if make == "folder":
        (tmp_path / "desk").mkdir()
    if make == "file":
        (tmp_path / "desk").write_bytes(b"")
    with pytest.raises(UsageError, match="there is no desk in this folder") as caught:
        reopen(tmp_path)
    assert caught.value.hint == "backchannel init"


def test_a_wrong_passphrase_is_said(tmp_path: Path) -> None:
    create(tmp_path).close()
    with pytest.raises(LockedError, match=r"^wrong passphrase$"):
        reopen(tmp_path, "by the Sea")


def test_a_missing_header_is_said(tmp_path: Path) -> None:
    create(tmp_path).close()
    (tmp_path / "desk/desk.head").unlink()
    with pytest.raises(LockedError, match="header is missing"):
        reopen(tmp_path)


def test_a_missing_database_is_said_and_none_is_made(tmp_path: Path) -> None:
    create(tmp_path).close()
    (tmp_path / "desk/desk.db").unlink()
    with pytest.raises(LockedError, match="database is missing"):
        reopen(tmp_path)
    assert not (tmp_path / "desk/desk.db").exists()


@pytest.mark.parametrize("size", [0, 1, 4095])
def test_a_database_of_less_than_a_page_is_cut_short(tmp_path: Path, size: int) -> None:
    create(tmp_path).close()
    os.truncate(tmp_path / "desk/desk.db", size)
    with pytest.raises(LockedError, match="database is cut short"):
        reopen(tmp_path)
    assert (tmp_path / "desk/desk.db").stat().st_size == size


@pytest.mark.parametrize("size", [4096, 5000, STEP - 4096, STEP - 1, STEP + 1, STEP + 4096, 2 * STEP])
def test_a_database_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    create(tmp_path).close()
    os.truncate(tmp_path / "desk/desk.db", size)
    with pytest.raises(LockedError, match=r"(is damaged|size it should have)"):
        reopen(tmp_path)


def test_another_file_in_the_place_of_the_database_is_said(tmp_path: Path) -> None:
    create(tmp_path).close()
    (tmp_path / "desk/desk.db").write_bytes(os.urandom(STEP))
    with pytest.raises(LockedError, match="database is damaged, or is another desk's"):
        reopen(tmp_path)


def test_the_database_of_another_desk_is_said(tmp_path: Path) -> None:
    create(tmp_path / "one").close()
    create(tmp_path / "two", seed=8).close()
    shutil.copy(tmp_path / "two/desk/desk.db", tmp_path / "one/desk/desk.db")
    with pytest.raises(LockedError, match="database is damaged, or is another desk's"):
        reopen(tmp_path / "one")


def test_a_journal_that_would_have_another_file_deleted_is_refused(tmp_path: Path) -> None:
    create(tmp_path).close()
    victim = tmp_path / "holiday.jpg"
    victim.write_bytes(b"")
    name = os.fsencode(victim)
    trailer = (1).to_bytes(4) + name + len(name).to_bytes(4) + sum(name).to_bytes(4) + JOURNAL_MAGIC
    (tmp_path / "desk/desk.db-journal").write_bytes(JOURNAL_MAGIC + bytes(504) + trailer)
    with pytest.raises(LockedError, match="journal is not this desk's"):
        reopen(tmp_path)
    assert victim.exists()


def test_one_flipped_bit_in_any_page_is_found_or_is_in_a_page_that_holds_nothing(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        store.commit({("letter", bytes([n])): bytes([n]) * 40 for n in range(90)} | {("big", b""): bytes(6_000)})
        expected = contents(store, "letter", "big")
        free = store._pages.free()
    path = tmp_path / "desk/desk.db"
    good = path.read_bytes()
    unnoticed = 0
    for page in range(0, len(good), 4096):
        bad = bytearray(good)
        bad[page + 4096 * 7 // 10] ^= 0x10
        path.write_bytes(bad)
        try:
            with reopen(tmp_path) as store:
                store.verify()
                assert contents(store, "letter", "big") == expected
            unnoticed += 1
        except LockedError as error:
            assert "damaged" in error.message  # noqa: PT017 - or it is a free page
    # The list of free pages is itself on one of them.
    assert unnoticed == free - 1


def test_a_second_process_is_told_at_once(tmp_path: Path) -> None:
    create(tmp_path).close()
    with subprocess.Popen(
        [sys.executable, "-c", OPEN, str(tmp_path), PASSPHRASE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open 0\n"
        with pytest.raises(UnavailableError, match=r"^this desk is open in another process$"):
            reopen(tmp_path)
        # And without a passphrase: nothing is derived for a desk that cannot be had.
        with pytest.raises(UnavailableError):
            reopen(tmp_path, "wrong")
        other.communicate("")
    reopen(tmp_path).close()


def test_where_folders_have_no_locks_a_second_process_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backchannel import files  # noqa: PLC0415

    create(tmp_path).close()
    with reopen(tmp_path):
        monkeypatch.setattr(files, "hold", lambda folder, **_: files.Hold(os.open(folder, os.O_RDONLY)))
        result = subprocess.run(
            [sys.executable, "-c", OPEN.replace("root =", "from backchannel import files\nfiles.fcntl.flock = lambda *_: None\nroot ="), str(tmp_path), PASSPHRASE],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert result.stdout == "UnavailableError this desk is open in another process\n"


def test_no_error_of_the_database_passes_untranslated(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        for code, kind in (
            (1, LockedError),
            (5, UnavailableError),
            (7, UnavailableError),
            (8, UnavailableError),
            (11, LockedError),
            (26, LockedError),
        ):
            with pytest.raises(kind) as caught, failing_with(store._pages, code):
                store._pages.query("SELECT 1")
            assert "\n" not in caught.value.message
            assert caught.value.__cause__ is None


class failing_with:  # noqa: N801 - used as a statement
    """A connection whose next statement fails with an SQLite result code."""

    def __init__(self, pages: Pages, code: int) -> None:
        self._pages, self._code, self._real = pages, code, pages._connection

    def __enter__(self) -> None:
        self._pages._connection = self

    def __exit__(self, *_: object) -> None:
        self._pages._connection = self._real

    def execute(self, *_: object) -> None:
        from sqlcipher3 import dbapi2  # noqa: PLC0415

        error = dbapi2.OperationalError("...")
        error.sqlite_errorcode = self._code
        raise error


ROOMS = st.sampled_from(["a", "b"])
NAMES = st.binary(max_size=2)
BODIES = st.none() | st.binary(max_size=40) | st.integers(0, 9_000).map(bytes)
CHANGES = st.dictionaries(st.tuples(ROOMS, NAMES), BODIES, max_size=8)


class StoreIsADict(RuleBasedStateMachine):
    """Whatever is done, the store holds what a dict would."""

    folder: Path

    @initialize()
    def begin(self) -> None:
        self.root = self.folder / os.urandom(8).hex()
        self.model: dict[tuple[str, bytes], bytes] = {}
        self.commits = 0
        self.store = create(self.root)

    @rule(changes=CHANGES)
    def commit(self, changes: dict[tuple[str, bytes], bytes | None]) -> None:
        self.store.commit(changes)
        self.commits += 1
        for name, body in changes.items():
            if body is None:
                self.model.pop(name, None)
            else:
                self.model[name] = body

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = reopen(self.root)

    @rule()
    def leave_without_a_word(self) -> None:
        # As a process ends that is killed between two commits.
        assert self.store._hold is not None
        self.store._pages._connection.close()
        self.store._hold.release()
        self.store = reopen(self.root)

    @rule()
    def verify(self) -> None:
        self.store.verify()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert contents(self.store, "a", "b") == self.model
        assert self.store.commit_number == self.commits
        assert not self.store.restored
        assert (self.root / "desk/desk.db").stat().st_size % STEP == 0

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.root)


def test_a_store_is_a_dict(tmp_path: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test  # noqa: PLC0415

    StoreIsADict.folder = tmp_path
    run_state_machine_as_test(
        StoreIsADict,
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_the_counter_says_nothing(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        path = counter_of(tmp_path)
        assert len(path.name) == 32
        assert len(path.read_bytes()) == 32
        before = path.read_bytes()
        store.commit({})
        assert counter_of(tmp_path) == path
        assert path.read_bytes() != before
