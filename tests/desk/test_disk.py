"""A disk that is full at every moment of a history: told as it is, nothing lost, and on as soon as there is room."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backchannel.errors import UnavailableError
from tests.desk.history import STEPS, Line, Post, Watch, listings, play, tidy, watching
from tests.desk.small import STEP
from tests.desk.two_desks import Side
from tests.simulation.crash import full_disk, unsynced

Listings = tuple[list[Line], list[Line]]
Room = Callable[[], None]

SHARDS = 16


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Listings:
    post = Post(tmp_path_factory.mktemp("undisturbed"))
    with unsynced():
        post.create()
        play(post)
        found = listings(post)
        post.close()
    return found


def attempted(post: Post, number: int, make_room: Room) -> int:
    """One step, and again when there is room; how often it was refused."""
    try:
        STEPS[number](post)
    except UnavailableError as error:
        assert "\n" not in error.message  # noqa: PT017 - most steps do not fail
        make_room()
        reopened(post)
        tidy(post)
        STEPS[number](post)
        return 1
    return 0


def reopened(post: Post) -> None:
    """A store goes on by itself, unless it says that it must be opened again."""
    for side in post.sides:
        try:
            side.listing()
        except UnavailableError:
            side.close()
        side.desk.store.verify()


def run_on_a_full_disk(root: Path, expected: Listings, after: int) -> bool:
    """Whether the disk was ever full, if all writes fail after the first *after* operations."""
    root.mkdir()
    post, watch, refused = Post(root), Watch(), 0
    with unsynced():
        post.create()
    with full_disk(root, after=after) as disk, watching(watch):

        def make_room() -> None:
            disk.room = None

        for number in range(len(STEPS)):
            refused += attempted(post, number, make_room)
        assert listings(post) == expected
        watch.check()
        post.close()
    tidy(post)
    with unsynced():
        assert listings(post) == expected
        post.close()
    return refused > 0


def test_a_disk_that_is_full_at_some_moment_loses_nothing(tmp_path: Path, expected: Listings) -> None:
    # A history is some 1,800 operations; all of them are tried in the long run.
    refused = [run_on_a_full_disk(tmp_path / str(after), expected, after) for after in range(3, 1700, 181)]
    assert refused.count(True) > 5


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_disk_that_is_full_at_every_moment_loses_nothing(tmp_path: Path, expected: Listings, shard: int) -> None:
    after = shard
    while run_on_a_full_disk(tmp_path / str(after), expected, after):
        after += SHARDS
    assert after > 1000


def test_a_database_that_may_not_grow_refuses_what_needs_more_and_loses_nothing(
    tmp_path: Path, expected: Listings
) -> None:
    post, refused = Post(tmp_path), 0

    def make_room() -> None:
        for side in post.sides:
            limit(side, 10**6)

    with unsynced():
        post.create()
        for number in range(len(STEPS)):
            for side in post.sides:
                limit(side, side.desk.store._pages.count())
            refused += attempted(post, number, make_room)
        assert listings(post) == expected
        assert refused >= 2
        for side in post.sides:
            side.desk.store.verify()
            assert (side.folder / "desk.db").stat().st_size % STEP == 0
        tidy(post)
        post.close()


def limit(side: Side, pages: int) -> None:
    side.desk.store._pages._connection.execute(f"PRAGMA max_page_count = {pages}")


@pytest.mark.parametrize("size", [0, 100, 20_000, STEP])
def test_files_that_may_not_grow_refuse_every_step_and_lose_nothing(
    tmp_path: Path, expected: Listings, size: int
) -> None:
    post, refused = Post(tmp_path), 0
    with unsynced():
        post.create()
        for number in range(len(STEPS)):
            refused += with_limit(post, number, size)
        assert listings(post) == expected
        tidy(post)
        post.close()
    assert refused > (len(STEPS) // 2 if size < STEP else 2)


def with_limit(post: Post, number: int, size: int) -> int:
    for side in post.sides:
        assert not side.desk.restored  # opened before the limit
    with file_size(size) as lift:
        return attempted(post, number, lift)


@contextmanager
def file_size(size: int) -> Iterator[Room]:
    """No file of this process may become larger than *size* (Python has SIGXFSZ ignored)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
