"""What two looks at the disk show: sizes in steps, and random bytes."""

import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from backchannel.desk.store import Store
from tests.desk.small import COST, PASSPHRASE, STEP, contents, create, reopen
from tests.simulation.crash import Op, recording, unsynced

SECRETS = (
    b"esteemed Mr. President",
    b"Pitsunda",
    PASSPHRASE.encode(),
    b"SQLite format 3",
    b"CREATE TABLE",
    b"catalogue",
)


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk() -> Iterator[None]:
    with unsynced():
        yield


def looks_random(data: bytes) -> bool:
    """No run of equal bytes that chance does not make, no byte rare or frequent, nothing to compress."""
    if any(bytes([byte]) * 8 in data for byte in range(256)):
        return False
    counts = [data.count(byte) for byte in range(256)]
    expected = len(data) / 256
    return max(abs(count - expected) for count in counts) < 8 * expected**0.5 and len(zlib.compress(data)) >= len(data)


@pytest.mark.parametrize("step", [STEP, 1024 * 1024])
def test_a_new_desk_and_a_full_one_are_of_one_size_and_all_random(tmp_path: Path, step: int) -> None:
    path = tmp_path / "desk/desk.db"
    with create(tmp_path, step=step) as store:
        assert path.stat().st_size == step
        empty = path.read_bytes()
        room = store._pages.free() - 20
        store.commit({("letter", b""): bytes(max(0, room) * 4000)})
        assert path.stat().st_size == step
        full = path.read_bytes()
        store.commit({("letter", b""): None})
        assert path.stat().st_size == step
        deleted = path.read_bytes()
    for data in (empty, full, deleted):
        assert looks_random(data)
        assert all(looks_like_a_page(page) for page in pages_of(data))


def looks_like_a_page(page: bytes) -> bool:
    return len(set(page)) > 240 and len(zlib.compress(page)) >= len(page)


def test_the_size_moves_in_steps_only_whatever_is_written(tmp_path: Path) -> None:
    chance = random.Random(11)
    path = tmp_path / "desk/desk.db"
    sizes = []
    with create(tmp_path) as store:
        for number in range(120):
            name = ("letter", bytes([chance.randrange(40)]))
            body = None if number % 5 == 0 else bytes(int(chance.paretovariate(0.5) * 100) % 30_000)
            store.commit({name: body})
            sizes.append(path.stat().st_size)
        store.verify()
    assert {size % STEP for size in sizes} == {0}
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 2
    assert looks_random(path.read_bytes())


def test_no_commit_writes_behind_the_end_of_the_file(tmp_path: Path) -> None:
    # Between commits the size could be right by chance; here every write is seen.
    create(tmp_path).close()
    with recording(tmp_path) as disk, reopen(tmp_path) as store:
        end, grown = STEP, 0
        for number in range(40):
            before = len(disk.ops)
            store.commit({("letter", bytes([number])): bytes(1 + 700 * (number % 7))})
            furthest = max(op.offset + len(op.data) for op in disk.ops[before:] if op.node == node_of(disk.tree.names))
            if furthest > end:
                grown += 1
                end += STEP
            assert furthest <= end
        assert (tmp_path / "desk/desk.db").stat().st_size == end
        assert grown in (1, 2)


@pytest.mark.parametrize("most", [3, 4, 5, 11, 12])
def test_filling_in_parts_is_filling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    # As it is done for gigabytes: a value has its largest size, and so takes several rows.
    monkeypatch.setattr("backchannel.desk.pages.MAX_FILLING", most)
    with create(tmp_path) as store:
        assert store._pages.count() * 4096 == STEP
        store.verify()
    assert all(looks_like_a_page(page) for page in pages_of((tmp_path / "desk/desk.db").read_bytes()))


def pages_of(data: bytes) -> list[bytes]:
    return [data[at : at + 4096] for at in range(0, len(data), 4096)]


def node_of(names: dict[str, int]) -> int:
    return names["desk/desk.db"]


def test_twenty_thousand_objects_in_any_order_are_one_commit(tmp_path: Path) -> None:
    names = [os.urandom(12) for _ in range(20_000)]
    with create(tmp_path, step=1024 * 1024) as store:
        store.commit({("letter", name): name * 6 for name in names})
        store.commit({("letter", name): None for name in names[::2]})
        store.commit({("letter", name): name * 9 for name in names[1::4]})
    with reopen(tmp_path) as store:
        assert store.names("letter") == sorted(names[1::2])
        assert store.get("letter", names[1]) == names[1] * 9
    assert (tmp_path / "desk/desk.db").stat().st_size % (1024 * 1024) == 0


def test_nothing_that_is_ever_written_holds_anything_in_clear(tmp_path: Path) -> None:
    with recording(tmp_path) as disk:
        store = Store.create(
            tmp_path / "desk", PASSPHRASE, random=os.urandom, cost=COST, step=STEP, counters=tmp_path / "counters"
        )
        for number in range(12):
            name = ("state", b"Pitsunda" * (number + 1))
            store.commit({name: b"esteemed Mr. President, " * 50 * number, ("letter", bytes([number])): b"Pitsunda"})
            store.commit({name: None})
        keys = [bytes(store._key), bytes(store._tag_key), bytes(store._counter.key)]
        store.close()
    written = [op for op in disk.ops if op.kind == "write"]
    assert len(written) > 400
    for op in written:
        assert not any(secret in op.data for secret in SECRETS)
        assert not any(key in op.data or key.hex().encode() in op.data for key in keys)
    # Whole files as well: a word may be written in two parts.
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(secret in data for secret in SECRETS if path.name != "desk.head" or secret != b"desk")


def test_the_folder_holds_three_files_and_their_sizes_say_nothing(tmp_path: Path) -> None:
    seen: set[tuple[str, int]] = set()

    def look(_: object = None) -> None:
        seen.update((str(p.relative_to(tmp_path)), p.stat().st_size) for p in tmp_path.rglob("*") if p.is_file())

    with create(tmp_path) as store:
        for number in range(9):
            store.commit({("letter", b"1"): bytes(number * 1000)})
            look()
    look()
    counter = next(name for name, _ in seen if name.startswith("counters"))
    assert seen == {("desk/desk.db", STEP), ("desk/desk.db-journal", 0), ("desk/desk.head", 204), (counter, 32)}


def test_what_a_commit_writes_besides_pages_is_of_one_size(tmp_path: Path) -> None:
    create(tmp_path).close()

    def plain(ops: list[Op], nodes: set[int]) -> list[int]:
        return [len(op.data) for op in ops if op.kind == "write" and op.node not in nodes]

    with recording(tmp_path) as disk, reopen(tmp_path) as store:
        store.commit({})
        nodes = {disk.tree.names["desk/desk.db"], disk.tree.names["desk/desk.db-journal"]}
        first, before = plain(disk.ops, nodes), len(disk.ops)
        store.commit({("letter", b"1"): bytes(20_000)})
        assert plain(disk.ops[before:], nodes) == first == [204, 32]
        assert contents(store, "letter")
