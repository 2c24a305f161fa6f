"""What a porter is kept in: made whole, opened by its passphrase, and an old copy of it never visits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backchannel.desk.store import Store
from backchannel.errors import LockedError, RefusedError, UnavailableError, UsageError
from backchannel.porter import store
from tests.desk.small import Copy
from tests.porter.small import (
    CIPHERS,
    COST,
    KEY,
    NUMBERS,
    PASSPHRASE,
    PERIOD,
    STEP,
    create,
    means,
    pairing,
    reopen,
    scene,
)
from tests.simulation.crash import unsynced

OLD = "this porter is an old copy, or was moved: it visits no more, and its desk has to join anew"


@pytest.fixture(autouse=True)
def disk() -> Iterator[None]:
    with unsynced():
        yield


def test_what_was_made_is_opened(tmp_path: Path) -> None:
    create(tmp_path).close()
    with reopen(tmp_path) as lodge:
        assert lodge.porter.keeping.mailbox == pairing().mailbox
        assert lodge.porter.keeping.pairing.key == KEY


def test_on_the_disk_nothing_of_it_is_readable(tmp_path: Path) -> None:
    create(tmp_path).close()
    whole = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (KEY, pairing().ticket, b"west", b"127.0.0.1"):
        assert bytes(secret) not in whole


def test_a_passphrase_that_is_wrong_opens_nothing(tmp_path: Path) -> None:
    create(tmp_path).close()
    with pytest.raises(LockedError):
        reopen(tmp_path, "by the lake")


def test_its_passphrase_can_be_changed(tmp_path: Path) -> None:
    with create(tmp_path) as lodge:
        lodge.change_passphrase("by the lake", cost=COST)
    reopen(tmp_path, "by the lake").close()
    with pytest.raises(LockedError):
        reopen(tmp_path)


def test_where_there_is_none_none_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no porter in this folder"):
        reopen(tmp_path)


def test_a_second_is_not_made_over_the_first(tmp_path: Path) -> None:
    create(tmp_path).close()
    with pytest.raises(UsageError, match="there is a porter in this folder already"):
        create(tmp_path)
    reopen(tmp_path).close()


def test_two_processes_do_not_have_one_open(tmp_path: Path) -> None:
    with create(tmp_path), pytest.raises(UnavailableError, match="this porter is open in another process"):
        reopen(tmp_path)


def test_a_desk_is_no_porter(tmp_path: Path) -> None:
    have = means(tmp_path)
    made = Store.create(
        tmp_path / "porter", PASSPHRASE, random=have.random, cost=COST, step=STEP, counters=have.counters
    )
    made.close()
    with pytest.raises(UsageError, match="there is no porter here"):
        reopen(tmp_path)
    # Nothing holds it afterwards.
    Store.open(tmp_path / "porter", PASSPHRASE, random=have.random, counters=have.counters).close()


def test_a_porter_that_could_not_be_made_holds_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Store, __: object) -> None:
        raise UnavailableError("the disk of this desk fails, or is full")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "commit", full)
        with pytest.raises(UnavailableError, match="the disk of this porter fails, or is full"):
            create(tmp_path)
    with pytest.raises(UsageError, match="there is no porter here"):
        reopen(tmp_path)


def test_an_old_copy_does_not_visit_and_says_what_to_do(tmp_path: Path) -> None:
    here = scene(tmp_path)
    copy = Copy(tmp_path)
    asyncio.run(here.go(2))
    copy.put_back("porter")
    with pytest.raises(RefusedError, match=OLD) as refused:
        asyncio.run(here.go(1))
    assert refused.value.hint == "backchannel join CHARTER --ticket-file FILE"
    assert here.rounds() == [NUMBERS.first, NUMBERS.first + 1]


def test_a_porter_that_was_moved_does_not_visit(tmp_path: Path) -> None:
    create(tmp_path).close()
    elsewhere = store.Means(means(tmp_path).random, CIPHERS, tmp_path / "another machine's")
    with pytest.raises(RefusedError, match=OLD):
        store.open(tmp_path / "porter", PASSPHRASE, means=elsewhere)
    # It may go back to where it came from.
    reopen(tmp_path).close()


def test_a_porter_stops_when_a_copy_of_it_has_visited_meanwhile(tmp_path: Path) -> None:
    create(tmp_path).close()
    twin = tmp_path / "twin"
    for path in (tmp_path / "porter").iterdir():
        twin.mkdir(exist_ok=True)
        (twin / path.name).write_bytes(path.read_bytes())
    with reopen(tmp_path) as one, store.open(twin, PASSPHRASE, means=means(tmp_path)) as other:
        assert one.start(NUMBERS.start, None)
        with pytest.raises(RefusedError, match=OLD):
            other.start(NUMBERS.start, None)
        assert one.start(NUMBERS.start + PERIOD, None)


def test_a_porter_brings_nothing_with_it_that_reads_a_letter() -> None:
    program = "import sys, backchannel.porter.run; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    imported = {name for name in done.stdout.split() if name.startswith("backchannel.")}
    assert not {name for name in imported if name.split(".")[1] in ("letters", "seal", "pouch", "cli", "office")}
    assert {name for name in imported if name.startswith("backchannel.desk.")} == {
        f"backchannel.desk.{name}" for name in ("store", "catalogue", "counter", "header", "pages", "tables")
    }
