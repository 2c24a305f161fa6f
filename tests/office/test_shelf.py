"""An operator's shelf: all or nothing, whatever happens, and a key of the day that is over is gone."""

import os
import resource
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from backchannel import files
from backchannel.errors import UnavailableError
from backchannel.office.shelf import DATABASE, DiskShelf
from backchannel.post.days import DAYS
from backchannel.post.rounds import TABLES

Bodies: TypeAlias = "dict[tuple[str, bytes], bytes | None]"

OLD: Bodies = {("seen", b""): b"old", (TABLES, b"1"): b"table 1" * 1000, (DAYS, b"1"): b"key 1" * 20}
NEW: Bodies = {
    ("seen", b""): b"new",
    (TABLES, b"1"): None,
    (TABLES, b"2"): b"table 2" * 1000,
    (DAYS, b"1"): b"key 2" * 20,
}
ROOMS = ("seen", TABLES, DAYS)


def contents(folder: Path) -> Bodies:
    with DiskShelf.open(folder) as shelf:
        return {(room, name): shelf.get(room, name) for room in ROOMS for name in shelf.names(room)}


def standing(changes: Bodies) -> Bodies:
    return {name: body for name, body in changes.items() if body is not None}


def lying_about(folder: Path) -> list[str]:
    """The files of tables and keys that are there."""
    return sorted(
        path.read_bytes().decode()[:7]
        for room in ("tables", "keys-of-the-day")
        for path in (folder / room).iterdir()
        if path.name != "CACHEDIR.TAG"
    )


def test_what_is_committed_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    with DiskShelf.open(tmp_path) as shelf:
        shelf.commit(OLD)
        assert shelf.names(TABLES) == [b"1"]
        shelf.commit(NEW)
        shelf.commit({("seen", b"z"): b"", ("seen", b"a"): b"a"})
        assert shelf.names("seen") == [b"", b"a", b"z"]
        shelf.commit({("seen", b"z"): None, ("seen", b"a"): None})
    assert contents(tmp_path) == standing(NEW)


def test_nobody_else_can_read_any_of_it(tmp_path: Path) -> None:
    with DiskShelf.open(tmp_path / "office") as shelf:
        shelf.commit(OLD)
        paths = [path for path in (tmp_path / "office").rglob("*") if path.is_file()]
        assert len(paths) >= 4
        assert [path for path in paths if path.stat().st_mode & 0o077] == []


def test_a_key_that_goes_is_overwritten_before_its_file_is_removed(tmp_path: Path) -> None:
    with DiskShelf.open(tmp_path) as shelf:
        shelf.commit(OLD)
        (path,) = [path for path in (tmp_path / "keys-of-the-day").iterdir() if path.name != "CACHEDIR.TAG"]
        os.link(path, tmp_path / "another name of the same bytes")
        assert (tmp_path / "another name of the same bytes").read_bytes() == OLD[DAYS, b"1"]
        shelf.commit({(DAYS, b"1"): None})
        assert not path.exists()
    assert (tmp_path / "another name of the same bytes").read_bytes() == bytes(100)


def test_keys_of_the_day_are_marked_for_backups_to_leave_out(tmp_path: Path) -> None:
    with DiskShelf.open(tmp_path) as shelf:
        shelf.commit(OLD)
    tag = tmp_path / "keys-of-the-day" / "CACHEDIR.TAG"
    assert tag.read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")
    assert b"key 1" * 20 not in (tmp_path / DATABASE).read_bytes()


def test_a_restore_without_the_keys_of_the_day_has_none(tmp_path: Path) -> None:
    with DiskShelf.open(tmp_path) as shelf:
        shelf.commit(OLD)
    shutil.rmtree(tmp_path / "keys-of-the-day")
    with DiskShelf.open(tmp_path) as shelf:
        assert shelf.names(DAYS) == []
        assert shelf.get(DAYS, b"1") is None
        shelf.commit({(DAYS, b"1"): b"another"})
        assert shelf.get(DAYS, b"1") == b"another"
        assert shelf.get("seen", b"") == b"old"


class Watched:
    """The system as plain files have it, which says before and after each call that something is about to happen."""

    def __init__(self, step: Any) -> None:
        self._step = step

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        if name not in {"open", "write", "fsync", "rename", "unlink", "close"}:
            return found

        def call(*args: Any, **named: Any) -> Any:
            self._step()
            return found(*args, **named)

        return call


@contextmanager
def watched(shelf: DiskShelf, step: Any) -> Iterator[None]:
    module: Any = files
    module.os = Watched(step)
    shelf._database.set_trace_callback(lambda _: step())
    try:
        yield
    finally:
        module.os = os
        shelf._database.set_trace_callback(None)


def test_a_kill_at_any_step_leaves_all_of_a_commit_or_nothing_and_nothing_besides(tmp_path: Path) -> None:
    images: list[Path] = []

    def step() -> None:
        images.append(tmp_path / f"image {len(images)}")
        shutil.copytree(tmp_path / "office", images[-1])

    with DiskShelf.open(tmp_path / "office") as shelf:
        shelf.commit(OLD)
        with watched(shelf, step):
            shelf.commit(NEW)
        step()
    found = [contents(image) for image in images]
    assert len(images) > 20
    assert found[0] == standing(OLD)
    assert found[-1] == standing(NEW)
    changed = found.index(standing(NEW))
    assert found == [standing(OLD)] * changed + [standing(NEW)] * (len(found) - changed)
    assert 5 < changed < len(found) - 1
    # What the kill left over has been swept away when it was opened.
    assert {tuple(lying_about(image)) for image in images[:changed]} == {("key 1ke", "table 1")}
    assert {tuple(lying_about(image)) for image in images[changed:]} == {("key 2ke", "table 2")}


def test_the_sweep_of_another_process_takes_nothing_that_is_being_written(tmp_path: Path) -> None:
    with DiskShelf.open(tmp_path) as shelf:
        opened = []

        def open_another() -> None:
            with DiskShelf.open(tmp_path) as other:
                opened.append(other.names(TABLES))

        thread = threading.Thread(target=open_another)
        with watched(shelf, lambda: thread.start() if thread.ident is None else None):
            shelf.commit(OLD)
        thread.join()
        assert shelf.get(TABLES, b"1") == OLD[TABLES, b"1"]
    assert len(opened) == 1


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_for_a_table_changes_nothing(tmp_path: Path) -> None:
    with DiskShelf.open(tmp_path) as shelf:
        shelf.commit(OLD)
        large: Bodies = {("seen", b""): b"new", (DAYS, b"1"): b"key 2", (TABLES, b"2"): bytes(2_000_000)}
        with no_file_above(1_000_000), pytest.raises(UnavailableError, match="full"):
            shelf.commit(large)
        assert lying_about(tmp_path) == ["key 1ke", "table 1"]
        shelf.commit({("seen", b"later"): b"and goes on"})
    assert contents(tmp_path) == OLD | {("seen", b"later"): b"and goes on"}


def test_a_disk_without_room_for_the_rest_changes_nothing_either(tmp_path: Path) -> None:
    with DiskShelf.open(tmp_path) as shelf:
        shelf.commit(OLD)
        (pages,) = shelf._database.execute("pragma page_count").fetchone()
        shelf._database.execute(f"pragma max_page_count = {pages}")
        with pytest.raises(UnavailableError, match="the disk is full"):
            shelf.commit({(TABLES, b"2"): b"table 2", ("lodged", b""): bytes(100_000)})
        assert lying_about(tmp_path) == ["key 1ke", "table 1"]
    assert contents(tmp_path) == OLD


def test_two_processes_that_commit_at_once_both_do(tmp_path: Path) -> None:
    def commit(who: bytes) -> None:
        with DiskShelf.open(tmp_path) as shelf:
            for number in range(25):
                shelf.commit({("seen", who + bytes([number])): who, (TABLES, who + bytes([number])): who})

    threads = [threading.Thread(target=commit, args=(who,)) for who in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(contents(tmp_path)) == 100
