"""The thief who copies the disk, and later puts some of it back."""

import contextlib
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from backchannel.desk.header import Header
from backchannel.desk.pages import DAMAGED
from backchannel.desk.store import Store
from backchannel.errors import LockedError, RefusedError
from tests.desk.small import PASSPHRASE, Copy, contents, counter_of, create, reopen
from tests.simulation.crash import unsynced

PAGE = 4096
FIRST, STATE, CATALOGUE, BODY = range(4)  # the roots of a small desk, in the order in which they were made
OLDER = "a page of this desk is older than the desk"
ROOMS = ("state", "letter", "big")
Changes = dict[tuple[str, bytes], bytes | None]


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk() -> Iterator[None]:
    with unsynced():
        yield


def script() -> list[Changes]:
    """Commits that change every kind of page: rows, trees, overflow, free list, first page."""
    return [
        {("letter", bytes([n])): bytes([n]) * 60 for n in range(120)},
        {("big", b"1"): b"1" * 9_000, ("state", b""): b"turn 1"},
        {("big", b"1"): b"2" * 9_000, ("state", b""): b"turn 2"},
        {("letter", bytes([n])): None for n in range(0, 120, 2)},
        {("state", b""): b"turn 3"},
        {("letter", bytes([n])): bytes([n]) * 500 for n in range(0, 120, 4)},
        {("big", b"1"): None, ("big", b"2"): b"3" * 5_000},
        {("state", b""): b"turn 3"},
    ]


def history(root: Path) -> list[bytes]:
    """The database after each commit, all of one size."""
    databases = []
    with create(root, step=64 * PAGE) as store:
        for changes in script():
            store.commit(changes)
            databases.append((root / "desk/desk.db").read_bytes())
    assert {len(database) for database in databases} == {64 * PAGE}
    return databases


def with_pages(new: bytes, old: bytes, pages: set[int]) -> bytes:
    out = bytearray(new)
    for page in pages:
        out[page * PAGE : (page + 1) * PAGE] = old[page * PAGE : (page + 1) * PAGE]
    return bytes(out)


def changed_pages(new: bytes, old: bytes) -> list[int]:
    return [n for n in range(len(new) // PAGE) if new[n * PAGE : (n + 1) * PAGE] != old[n * PAGE : (n + 1) * PAGE]]


def is_found(root: Path, expected: dict[tuple[str, bytes], bytes]) -> bool:
    """Whether opening or verifying finds it; and no read in between gives anything that is not so."""
    try:
        with reopen(root) as store:
            for name, body in expected.items():
                with contextlib.suppress(LockedError):
                    assert store.get(*name) == body
            store.verify()
            assert contents(store, *ROOMS) == expected
    except LockedError:
        return True
    return False


def is_harmless(root: Path, expected: dict[tuple[str, bytes], bytes]) -> bool:
    """Everything is as it should be, and stays so when all free pages are used."""
    with reopen(root) as store:
        filler = {("filler", bytes([n])): bytes(3 * PAGE) for n in range(12)}
        store.commit(dict(filler))
        store.commit(dict.fromkeys(filler))
    with reopen(root) as store:
        store.verify()
        return contents(store, *ROOMS) == expected


def test_any_single_page_put_back_from_any_time_is_found_or_holds_nothing(tmp_path: Path) -> None:
    *olds, new = history(tmp_path)
    copy = Copy(tmp_path)
    with reopen(tmp_path) as store:
        expected = contents(store, *ROOMS)
    path = tmp_path / "desk/desk.db"
    found = harmless = 0
    for old in olds:
        for page in changed_pages(new, old):
            path.write_bytes(with_pages(new, old, {page}))
            if is_found(tmp_path, expected):
                found += 1
            else:
                assert is_harmless(tmp_path, expected)
                harmless += 1
                copy.put_back()
    assert found > 50
    # A page that is free now may be put back: what it held is not the desk's.
    assert harmless < found / 4


def test_any_single_page_that_one_commit_changed_is_found_when_put_back(tmp_path: Path) -> None:
    # Without pages that become free in it: then all of them are found.
    with create(tmp_path) as store:
        store.commit({("state", b""): b"turn 1", ("letter", b"1"): b"x" * 900})
        old = (tmp_path / "desk/desk.db").read_bytes()
        store.commit({("state", b""): b"turn 2", ("letter", b"2"): b"y" * 9000})
        new = (tmp_path / "desk/desk.db").read_bytes()
        expected = contents(store, *ROOMS)
    unused = []
    for page in changed_pages(new, old):
        (tmp_path / "desk/desk.db").write_bytes(with_pages(new, old, {page}))
        if not is_found(tmp_path, expected):
            unused.append(page)
    assert unused == []


def test_an_object_put_back_together_with_its_line_is_found_on_opening(tmp_path: Path) -> None:
    # Body and catalogue then agree with each other: only the fold does not.
    with create(tmp_path) as store:
        store.commit({("state", b""): b"turn 1"})
        old = (tmp_path / "desk/desk.db").read_bytes()
        store.commit({("state", b""): b"turn 2"})
        new = (tmp_path / "desk/desk.db").read_bytes()
    assert changed_pages(new, old) == [FIRST, STATE, CATALOGUE, BODY]
    (tmp_path / "desk/desk.db").write_bytes(with_pages(new, old, {CATALOGUE, BODY}))
    with pytest.raises(LockedError, match=OLDER):
        reopen(tmp_path)


@pytest.mark.parametrize("page", [0, 1, 2])
def test_the_first_page_the_state_and_the_catalogue_are_found_on_opening(tmp_path: Path, page: int) -> None:
    with create(tmp_path) as store:
        store.commit({("state", b""): b"turn 1"})
        old = (tmp_path / "desk/desk.db").read_bytes()
        store.commit({("state", b""): b"turn 2"})
        new = (tmp_path / "desk/desk.db").read_bytes()
    (tmp_path / "desk/desk.db").write_bytes(with_pages(new, old, {page}))
    with pytest.raises(LockedError, match=OLDER):
        reopen(tmp_path)


def test_an_old_list_of_free_pages_is_found_on_opening_when_its_length_differs(tmp_path: Path) -> None:
    with create(tmp_path, step=64 * PAGE) as store:
        store.commit({("state", b""): b"turn 1"})
        old = (tmp_path / "desk/desk.db").read_bytes()
        store.commit({("big", b""): bytes(3 * PAGE)})
        new = (tmp_path / "desk/desk.db").read_bytes()
    later = set()
    for page in set(changed_pages(new, old)) - {FIRST, STATE, CATALOGUE, BODY}:
        (tmp_path / "desk/desk.db").write_bytes(with_pages(new, old, {page}))
        try:
            reopen(tmp_path).close()
            later.add(page)
        except LockedError as error:
            assert error.message == DAMAGED  # noqa: PT017 - or it is a page of the body
    assert len(later) == 3


def test_any_choice_of_pages_put_back_never_makes_a_read_untrue(tmp_path: Path) -> None:
    databases = history(tmp_path)
    with reopen(tmp_path) as store:
        expected = contents(store, *ROOMS)
    chance = random.Random(5)
    copy = Copy(tmp_path)
    for _ in range(60):
        image = databases[-1]
        for old in chance.sample(databases[:-1], 2):
            pages = changed_pages(image, old)
            image = with_pages(image, old, set(chance.sample(pages, chance.randint(1, len(pages)))))
        (tmp_path / "desk/desk.db").write_bytes(image)
        if not is_found(tmp_path, expected):
            assert is_harmless(tmp_path, expected)
        copy.put_back()


def commit_twice(root: Path) -> tuple[Copy, Copy, Copy]:
    """Copies of everything before, between and after two commits."""
    with create(root) as store:
        store.commit({("state", b""): b"turn 1"})
        first = Copy(root)
        store.commit({("state", b""): b"turn 2"})
        second = Copy(root)
        store.commit({("state", b""): b"turn 3"})
    return first, second, Copy(root)


def test_an_old_database_is_said(tmp_path: Path) -> None:
    for copy in commit_twice(tmp_path)[:2]:
        copy.put_back("desk/desk.db")
        with pytest.raises(LockedError, match="an old database of this desk was put back"):
            reopen(tmp_path)


def test_an_old_header_is_said(tmp_path: Path) -> None:
    first, _, _ = commit_twice(tmp_path)
    first.put_back("desk/desk.head")
    with pytest.raises(LockedError, match="an old header of this desk was put back"):
        reopen(tmp_path)


@pytest.mark.parametrize("counter", ["of the commit before", "of this commit"])
def test_a_header_one_commit_behind_is_a_crash_and_is_rolled_forward(tmp_path: Path, counter: str) -> None:
    _, second, third = commit_twice(tmp_path)
    second.put_back("desk/desk.head")
    if counter == "of the commit before":
        second.put_back("counters")
    with reopen(tmp_path) as store:
        assert not store.restored
        assert store.get("state", b"") == b"turn 3"
        header = Header.decode((tmp_path / "desk/desk.head").read_bytes())
        assert header.mark(store._key).number == 3
        assert counter_of(tmp_path).read_bytes() == third["counters/" + counter_of(tmp_path).name]


def test_a_counter_one_commit_behind_is_a_crash_and_is_written_forward(tmp_path: Path) -> None:
    _, second, third = commit_twice(tmp_path)
    second.put_back("counters")
    with reopen(tmp_path) as store:
        assert not store.restored
    assert counter_of(tmp_path).read_bytes() == third["counters/" + counter_of(tmp_path).name]


@pytest.mark.parametrize("age", [0, 1])
def test_a_folder_put_back_as_a_whole_reads_and_does_not_write(tmp_path: Path, age: int) -> None:
    copies = commit_twice(tmp_path)
    copies[age].put_back("desk")
    before = Copy(tmp_path)
    with reopen(tmp_path) as store:
        assert store.restored
        assert not store.counter_missing
        assert store.get("state", b"") == b"turn %d" % (age + 1)
        store.verify()
        with pytest.raises(RefusedError, match="old copy, or was moved: it reads and does not write") as caught:
            store.commit({})
        assert caught.value.hint
        with pytest.raises(RefusedError):
            store.change_passphrase("x")
    # Nothing was written: the real desk, wherever it is, is undisturbed.
    assert Copy(tmp_path)._files == before._files


def test_a_backup_between_header_and_database_is_not_mended_while_it_is_only_read(tmp_path: Path) -> None:
    first, second, _ = commit_twice(tmp_path)
    second.put_back("desk")
    first.put_back("desk/desk.head")
    before = Copy(tmp_path)
    with reopen(tmp_path) as store:
        assert store.restored
    assert Copy(tmp_path)._files == before._files


@pytest.mark.parametrize("content", [b"", b"x", bytes(32), bytes(33), bytes(1000)])
def test_a_counter_of_anything_else_makes_a_desk_restored(tmp_path: Path, content: bytes) -> None:
    commit_twice(tmp_path)
    counter_of(tmp_path).write_bytes(content)
    with reopen(tmp_path) as store:
        assert store.restored
        assert not store.counter_missing
    assert counter_of(tmp_path).read_bytes() == content


def test_an_old_counter_makes_a_desk_restored(tmp_path: Path) -> None:
    first, _, _ = commit_twice(tmp_path)
    first.put_back("counters")
    with reopen(tmp_path) as store:
        assert store.restored


def test_a_moved_desk_is_told_from_an_old_one_and_can_be_adopted(tmp_path: Path) -> None:
    commit_twice(tmp_path / "old")
    shutil.copytree(tmp_path / "old/desk", tmp_path / "new/desk")
    with reopen(tmp_path / "new") as store:
        assert (store.restored, store.counter_missing) == (True, True)
        assert not (tmp_path / "new/counters").exists()
        store.adopt({("state", b""): b"moved"})
        assert (store.restored, store.counter_missing) == (False, False)
        store.commit({("state", b""): b"and written"})
    with reopen(tmp_path / "new") as store:
        assert not store.restored
        assert store.get("state", b"") == b"and written"


@pytest.mark.parametrize("commits", [1, 2, 3])
def test_when_an_old_copy_is_adopted_the_newer_one_becomes_the_old_one(tmp_path: Path, commits: int) -> None:
    # Also when the copy comes, by its own commits, to the very number of the other.
    with create(tmp_path) as store:
        store.commit({("state", b""): b"turn 1"})
    shutil.copytree(tmp_path / "desk", tmp_path / "backup")
    with reopen(tmp_path) as store:
        for _ in range(2):
            store.commit({("state", b""): b"turn 2"})
    with Store.open(
        tmp_path / "backup", PASSPHRASE, random=random.Random(3).randbytes, counters=tmp_path / "counters"
    ) as backup:
        assert backup.restored
        backup.adopt({("state", b""): b"turn 2"})
        for _ in range(commits - 1):
            backup.commit({("state", b""): b"turn 2"})
    with reopen(tmp_path) as store:
        assert store.restored
        assert not store.counter_missing


def test_of_two_copies_open_at_once_only_one_commits(tmp_path: Path) -> None:
    create(tmp_path).close()
    shutil.copytree(tmp_path / "desk", tmp_path / "copy")
    with (
        reopen(tmp_path) as one,
        Store.open(
            tmp_path / "copy", PASSPHRASE, random=random.Random(3).randbytes, counters=tmp_path / "counters"
        ) as two,
    ):
        assert (one.restored, two.restored) == (False, False)
        two.commit({("state", b""): b"two"})
        with pytest.raises(RefusedError, match="does not write"):
            one.commit({("state", b""): b"one"})
        assert (one.restored, two.restored) == (True, False)
        two.commit({})


def test_a_counter_that_vanishes_while_the_desk_is_open_stops_it(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        counter_of(tmp_path).unlink()
        with pytest.raises(RefusedError):
            store.commit({})
        assert store.restored
        assert store.counter_missing


def test_header_and_database_of_two_copies_do_not_fit(tmp_path: Path) -> None:
    create(tmp_path).close()
    shutil.copytree(tmp_path, tmp_path.with_name("copy"))
    copy = tmp_path.with_name("copy")
    with reopen(tmp_path) as store:
        store.commit({})
    with reopen(copy) as store:
        store.commit({})
    shutil.copy(copy / "desk/desk.head", tmp_path / "desk/desk.head")
    with pytest.raises(LockedError, match="header and database are from two copies"):
        reopen(tmp_path)


def test_a_page_put_back_under_an_open_desk_is_found_by_reading_it_all(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        store.commit({("letter", b"1"): b"one" * 3000})
        old = (tmp_path / "desk/desk.db").read_bytes()
        store.commit({("letter", b"1"): b"two" * 3000})
        new = (tmp_path / "desk/desk.db").read_bytes()
        (tmp_path / "desk/desk.db").write_bytes(with_pages(new, old, set(changed_pages(new, old)[3:])))
        with pytest.raises(LockedError):
            store.verify()


def test_an_older_body_is_called_older_and_not_damaged(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        store.commit({("letter", b"1"): b"one" * 3000, ("letter", b"2"): b"two"})
        old = (tmp_path / "desk/desk.db").read_bytes()
        store.commit({("letter", b"1"): b"eno" * 3000})
        new = (tmp_path / "desk/desk.db").read_bytes()
    found = set()
    for page in changed_pages(new, old):
        (tmp_path / "desk/desk.db").write_bytes(with_pages(new, old, {page}))
        try:
            with reopen(tmp_path) as store:
                store.get("letter", b"1")
        except LockedError as error:
            found.add(error.message.split(":")[0])
    assert OLDER in found
