import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from backchannel import files
from backchannel.errors import UnavailableError, UsageError


def failing(name: str, code: int) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise OSError(code, os.strerror(code))

    assert hasattr(os, name)
    return fail


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_replace_writes_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    files.replace(tmp_path / "f", b"one")
    files.replace(tmp_path / "f", b"two")
    assert (tmp_path / "f").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600
    assert names(tmp_path) == ["f"]


def test_a_staged_file_has_no_name_before_it_is_published(tmp_path: Path) -> None:
    staged = files.stage(tmp_path / "pouch", b"sealed")
    assert not (tmp_path / "pouch").exists()
    staged.publish()
    assert (tmp_path / "pouch").read_bytes() == b"sealed"
    assert names(tmp_path) == ["pouch"]


def test_a_discarded_file_leaves_nothing(tmp_path: Path) -> None:
    staged = files.stage(tmp_path / "pouch", b"sealed")
    staged.discard()
    staged.discard()
    assert names(tmp_path) == []


def test_nothing_is_overwritten_unless_told(tmp_path: Path) -> None:
    (tmp_path / "pouch").write_bytes(b"theirs")
    with pytest.raises(UsageError, match="pouch exists already"):
        files.stage(tmp_path / "pouch", b"ours")
    files.stage(tmp_path / "pouch", b"ours", overwrite=True).publish()
    assert (tmp_path / "pouch").read_bytes() == b"ours"


def test_a_name_taken_between_staging_and_publishing_is_not_overwritten(tmp_path: Path) -> None:
    staged = files.stage(tmp_path / "pouch", b"ours")
    (tmp_path / "pouch").write_bytes(b"theirs")
    with pytest.raises(UsageError, match="pouch exists already"):
        staged.publish()
    assert (tmp_path / "pouch").read_bytes() == b"theirs"
    assert names(tmp_path) == ["pouch"]


def test_a_link_that_leads_nowhere_counts_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "pouch").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists already"):
        files.stage(tmp_path / "pouch", b"ours")


def test_what_a_crash_left_staged_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"theirs")
    files.staging_name(tmp_path / "f").symlink_to(tmp_path / "victim")
    files.replace(tmp_path / "f", b"ours")
    assert (tmp_path / "victim").read_bytes() == b"theirs"
    assert (tmp_path / "f").read_bytes() == b"ours"
    assert not (tmp_path / "f").is_symlink()


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(files.os, "write", lambda descriptor, data: real(descriptor, data[:3]))  # type: ignore[attr-defined]
    files.replace(tmp_path / "f", b"ten bytes.")
    assert (tmp_path / "f").read_bytes() == b"ten bytes."


@pytest.mark.parametrize(
    ("call", "code", "reason"),
    [
        ("write", errno.ENOSPC, "the disk is full"),
        ("write", errno.EFBIG, "the disk is full"),
        ("write", errno.EDQUOT, "the disk is full"),
        ("open", errno.EROFS, "not allowed"),
        ("open", errno.EACCES, "not allowed"),
        ("fsync", errno.EIO, "input/output error"),
        ("rename", errno.EIO, "input/output error"),
    ],
)
def test_a_disk_that_fails_is_one_line_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, reason: str
) -> None:
    files.replace(tmp_path / "f", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(files.os, call, failing(call, code))  # type: ignore[attr-defined]
        with pytest.raises(UnavailableError, match=rf"^cannot write f: {reason}$"):
            files.replace(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert names(tmp_path) == ["f"]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder nowhere to write f in"):
        files.replace(tmp_path / "nowhere" / "f", b"")


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)  # type: ignore[attr-defined]
    files.replace(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"


def test_folders_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_a_file_where_a_folder_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(UsageError):
        files.make_folder(tmp_path / "a" / "b")


def test_reading_stops_one_byte_after_the_limit(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(100))
    assert files.read(tmp_path / "f", 10) == bytes(11)
    assert files.read(tmp_path / "g", 10) is None
    with pytest.raises(UnavailableError, match="cannot read"):
        files.read(tmp_path, 10)


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    hold = files.hold(tmp_path)
    with pytest.raises(UnavailableError, match=r"^this desk is open in another process$"):
        files.hold(tmp_path)
    hold.release()
    files.hold(tmp_path).release()


def test_a_hold_ends_with_its_block_and_with_whoever_had_it(tmp_path: Path) -> None:
    with files.hold(tmp_path, wait=True), pytest.raises(UnavailableError):
        files.hold(tmp_path)
    with pytest.raises(KeyboardInterrupt), files.hold(tmp_path):
        raise KeyboardInterrupt
    forgotten = files.hold(tmp_path)
    del forgotten
    files.hold(tmp_path).release()


def test_where_folders_have_no_locks_the_database_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.fcntl, "flock", failing("open", errno.ENOTSUP))  # type: ignore[attr-defined]
    files.hold(tmp_path).release()
    monkeypatch.setattr(files.fcntl, "flock", failing("open", errno.EIO))  # type: ignore[attr-defined]
    with pytest.raises(UnavailableError, match="cannot lock the folder"):
        files.hold(tmp_path)
