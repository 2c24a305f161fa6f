"""Processes that are killed, and disks that are full: what the system itself does."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backchannel import files
from backchannel.errors import UnavailableError
from tests.desk.small import PASSPHRASE, STEP, contents, create, reopen

# Says each commit's number when it has returned; the bodies tell which commit wrote them.
WRITER = """
import os, sys
from pathlib import Path
from backchannel.desk.store import Store
root = Path(sys.argv[1])
store = Store.open(root / "desk", sys.argv[2], random=os.urandom, counters=root / "counters")
assert not store.restored
number = store.commit_number
while True:
    number += 1
    store.commit({("letter", bytes([number % 7])): b"%d " % number * 900, ("state", b""): b"%d" % number})
    print(number, flush=True)
"""

# Files may not become larger than they are; SIGXFSZ is ignored, as a program may find it.
LIMITED = """
import os, resource, signal, sys
from pathlib import Path
from backchannel.desk.store import Store
from backchannel.errors import UnavailableError
root, limit = Path(sys.argv[1]), int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store.open(root / "desk", sys.argv[2], random=os.urandom, counters=root / "counters")
store.commit({("letter", b"1"): b"first"})
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
try:
    store.commit({("letter", b"1"): bytes(200_000), ("letter", b"2"): b"second"})
except UnavailableError as error:
    print(error.message)
assert store.get("letter", b"1") == b"first"
assert store.get("letter", b"2") is None
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
store.commit({("letter", b"3"): b"third"})
store.verify()
store.close()
"""


def test_a_process_killed_at_any_moment_leaves_every_commit_that_had_returned(tmp_path: Path) -> None:
    create(tmp_path).close()
    for turn in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), PASSPHRASE], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            said = [process.stdout.readline()]
            time.sleep(0.013 * turn)
            process.send_signal(signal.SIGKILL)
            said += process.stdout.readlines()
        last = max(int(line) for line in said if line.endswith("\n"))
        with reopen(tmp_path) as store:
            assert not store.restored
            assert store.commit_number in (last, last + 1)
            assert store.get("state", b"") == b"%d" % store.commit_number
            newest = store.get("letter", bytes([store.commit_number % 7]))
            assert newest == b"%d " % store.commit_number * 900
            store.verify()


@pytest.mark.parametrize("limit", [0, 100, 5_000, STEP, STEP + 20_000])
def test_a_disk_that_takes_no_more_changes_nothing_and_the_store_goes_on(tmp_path: Path, limit: int) -> None:
    create(tmp_path).close()
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), PASSPHRASE, str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    assert result.returncode == 0
    assert "the disk is full" in result.stdout
    assert result.stdout.count("\n") == 1
    with reopen(tmp_path) as store:
        assert not store.restored
        assert contents(store, "letter") == {("letter", b"1"): b"first", ("letter", b"3"): b"third"}
        assert (tmp_path / "desk/desk.db").stat().st_size % STEP == 0


def test_a_database_that_may_not_grow_changes_nothing_and_the_store_goes_on(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        store.commit({("letter", b"1"): b"first"})
        store._pages._connection.execute(f"PRAGMA max_page_count = {STEP // 4096 + 3}")
        with pytest.raises(UnavailableError, match=r"^the disk is full, or does not take what is written"):
            store.commit({("letter", b"1"): bytes(200_000)})
        assert store.get("letter", b"1") == b"first"
        assert store.commit_number == 1
        store._pages._connection.execute("PRAGMA max_page_count = 1000000")
        store.commit({("letter", b"1"): bytes(200_000)})
        assert (tmp_path / "desk/desk.db").stat().st_size % STEP == 0
    with reopen(tmp_path) as store:
        assert store.commit_number == 2
        store.verify()


def test_a_counter_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        # A folder in the place of the file that is to be staged stops the owner of everything too.
        in_the_way = files.staging_name(store._counter.path)
        in_the_way.mkdir()
        with pytest.raises(UnavailableError):
            store.commit({("letter", b"1"): b"first"})
        assert store.commit_number == 0
        assert store.get("letter", b"1") is None
        in_the_way.rmdir()
        store.commit({("letter", b"1"): b"first"})
        assert store.commit_number == 1
