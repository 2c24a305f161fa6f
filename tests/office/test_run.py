"""Operators that run: over real HTTP they come to one table a round, and say plainly why not where they do not.

On a machine with too much to do a round may be void at any time, which is no
fault. So these tests wait for what must come about, and then look at what never
may; what is waited for in vain for a hundred and twenty rounds is one.
"""

import asyncio
import errno
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from backchannel.errors import RefusedError, UnavailableError, UsageError
from backchannel.office import run as running
from backchannel.office.folder import Folder, Running
from backchannel.office.run import Watch, run
from backchannel.post.charter import SignedCharter
from backchannel.post.charters import CHARTERS
from backchannel.post.porter import Kind
from backchannel.post.rounds import TABLES, Operator, _read_table
from backchannel.post.settling import Why
from tests.office.quarter import NUMBERS, Quarter, Visitor
from tests.simulation.office import MemoryShelf

# What a machine with too much to do can be the reason for.
LATE = {Kind.VOID, Kind.NO_REPLY, Kind.UNEQUAL}


@pytest.fixture(autouse=True)
def _watched_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "WATCHED", 0.05)


def stood(quarter: Quarter, name: str) -> set[int]:
    """The rounds whose tables stand at *name*."""
    with quarter.folders[name].shelf() as shelf:
        return {int.from_bytes(raw) for raw in shelf.names(TABLES)}


def common(quarter: Quarter, after: int = -1) -> set[int]:
    """The rounds later than *after* whose tables stand at both."""
    return {number for number in stood(quarter, "west") & stood(quarter, "east") if number > after}


def table(quarter: Quarter, name: str, number: int) -> bytes:
    with quarter.folders[name].shelf() as shelf:
        return shelf.get(TABLES, number.to_bytes(8)) or b""


def test_two_operators_come_to_the_same_tables_and_a_porter_finds_its_own_row_in_them(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)

    async def test() -> Visitor:
        async with quarter.running():
            # A ticket is given out by another process, while this one serves, and is known everywhere a round later.
            await quarter.until_round(0, 0.3)
            machine = quarter.machine("west")
            ((mailbox, ticket),) = machine.issue(1)
            machine._shelf.close()  # type: ignore[attr-defined]
            visitor = Visitor(quarter, mailbox, ticket)
            rows = 0

            def enough() -> bool:
                tables = [_read_table(table(quarter, "west", at), NUMBERS.packet) for at in common(quarter)]
                nonlocal rows
                rows = sum(len(each.rows) for each in tables)
                return rows >= 2 and visitor.answered >= 2

            while not enough():
                assert quarter.round < 120
                await visitor.round(quarter.round + 1)
            return visitor

    visitor = asyncio.run(test())
    # It took part, was answered by both, and every idle read of its own mailbox found what it had handed in.
    assert visitor.said is not None
    assert visitor.said.effective
    assert {each.kind for each in visitor.said.reports} <= LATE
    both = common(quarter)
    assert len(both) >= 2
    for number in both:
        west, east = (_read_table(table(quarter, name, number), NUMBERS.packet) for name in quarter.names)
        assert west.descriptor == east.descriptor
    for name in quarter.names:
        what = quarter.notes(name).keys()
        assert not [each for each in what if each.endswith((Why.OTHER, Why.LIED))]


def test_a_round_in_which_an_operator_is_down_or_started_again_is_void_and_the_others_are_not(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)
    void: set[int] = set()

    async def test() -> None:
        async with quarter.running("west"):
            await quarter.until(lambda: quarter.notes("west").get(f"east {Why.SILENT}", 0) > 0)
            void.update(range(quarter.round + 1))
            async with quarter.running("east"):
                await quarter.until(lambda: bool(common(quarter)))
            void.add(quarter.round)
            async with quarter.running("east"):
                void.add(quarter.round)
                await quarter.until(lambda: bool(common(quarter, max(void))))

    asyncio.run(test())
    # What it was not there for from the beginning is not its own, and it says so.
    assert not void & (stood(quarter, "west") | stood(quarter, "east"))
    assert quarter.notes("east")[Why.RESTART] >= 2
    assert {f"east {Why.SILENT}", f"east {Why.VOID}"} & quarter.notes("west").keys()


def test_an_operator_that_takes_questions_and_never_answers_holds_up_no_round(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)
    asked: list[asyncio.StreamWriter] = []

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The one thing worse than nothing: an answer that begins.
        asked.append(writer)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
        while await reader.read(1000):
            writer.write(b"x")

    async def test() -> None:
        nobody = await asyncio.start_server(drip, "127.0.0.1", quarter.ports["east"])
        async with nobody, quarter.running("west"):
            await quarter.until(lambda: quarter.notes("west").get(f"east {Why.SILENT}", 0) >= 3)
            # Rounds pass, each noted by the end of its successor's agreement phase.
            assert quarter.round <= 3 + sum(quarter.notes("west").values())
            for writer in asked:
                writer.close()

    asyncio.run(test())
    assert asked
    assert stood(quarter, "west") == set()


def test_it_stops_at_once_though_connections_wait_for_an_instant_or_for_their_own_end(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)

    async def test() -> float:
        loop = asyncio.get_running_loop()
        async with quarter.running("west"):
            await quarter.until(lambda: f"west serves on 127.0.0.1:{quarter.ports['west']}" in quarter.said)
            reader, writer = await asyncio.open_connection("127.0.0.1", quarter.ports["west"])
            writer.write(b"POST /visit")
            await asyncio.sleep(0.05)
            began = loop.time()
        assert await reader.read() == b""
        writer.close()
        return loop.time() - began

    # The head would have had ten seconds.
    assert asyncio.run(test()) < 5


def test_nothing_is_served_until_all_have_signed_and_then_it_is_by_itself(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)
    # A draft that both have signed and dropped is in the folder, too.
    quarter.folders["west"].keep(quarter.signed)
    quarter.sign(quarter.draft(), "west")

    async def test() -> None:
        async with quarter.running("west"):
            await quarter.until(lambda: bool(quarter.said))
            assert quarter.said == ["1 of 2 have signed; waiting for east"]
            with pytest.raises(OSError, match=r"refused|failed"):
                await asyncio.open_connection("127.0.0.1", quarter.ports["west"])
            quarter.sign(quarter.signed.charter)
            await quarter.until(lambda: len(quarter.said) == 3)
            assert quarter.said[1:] == [
                "charter quarter holds from round 0",
                f"west serves on 127.0.0.1:{quarter.ports['west']}",
            ]
            _, writer = await asyncio.open_connection("127.0.0.1", quarter.ports["west"])
            writer.close()

    asyncio.run(test())
    assert quarter.said[-1] == "west has stopped"
    with quarter.folders["west"].shelf() as shelf:
        (raw,) = [shelf.get(CHARTERS, name) or b"" for name in shelf.names(CHARTERS)]
    assert SignedCharter.decode(raw).charter == quarter.signed.charter


def test_a_charter_that_follows_is_adopted_while_rounds_go_on(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)
    first = 0

    async def test() -> None:
        nonlocal first
        async with quarter.running():
            await quarter.until(lambda: bool(common(quarter)))
            old = quarter.signed.charter
            first = quarter.round + 2
            numbers = replace(old.numbers, capacity=32, first=first, start=old.begins(first))
            quarter.sign(replace(old, numbers=numbers, predecessor=old.digest))
            await quarter.until(lambda: bool(common(quarter, first - 1)))

    asyncio.run(test())
    assert quarter.said.count(f"charter quarter holds from round {first}") == 2
    for number in common(quarter):
        for name in quarter.names:
            descriptor = _read_table(table(quarter, name, number), NUMBERS.packet).descriptor
            assert descriptor.rows == (16 if number < first else 32)


def test_a_charter_that_finds_no_room_on_the_disk_is_adopted_when_there_is_some(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)
    shelf = MemoryShelf()
    machine = Operator(shelf, quarter.folders["west"].keys(), quarter.edge.ciphers, random=quarter.edge.random)
    watch = Watch(quarter.folders["west"], machine, quarter.file, say=quarter.said.append)
    assert asyncio.run(watch.begun(asyncio.Event()))
    old = quarter.signed.charter
    quarter.sign(replace(old, numbers=replace(old.numbers, first=9, start=old.begins(9)), predecessor=old.digest))
    shelf.full = True
    for _ in range(3):
        watch._look()
    assert [each.charter for each in machine.charters] == [old]
    shelf.full = False
    watch._look()
    assert [each.charter for each in machine.charters] == [old, quarter.signed.charter]
    assert quarter.said == [
        "charter quarter holds from round 0",
        "cannot write: the disk is full",
        "charter quarter holds from round 9",
    ]
    # One that does not continue the other is refused, whoever has signed it.
    last = quarter.signed.charter
    numbers = replace(last.numbers, day=last.numbers.day + 1, first=19, start=last.begins(19))
    quarter.sign(replace(last, numbers=numbers, predecessor=last.digest))
    watch._look()
    assert quarter.said[3:] == ["this charter counts days otherwise than the one before it"]
    assert len(machine.charters) == 2


def test_a_round_whose_table_finds_no_room_on_the_disk_is_lost_and_the_next_is_not(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)
    tables = quarter.folders["west"].path / "tables"

    async def test() -> None:
        async with quarter.running():
            await quarter.until(lambda: bool(common(quarter)))
            # A folder in the place of a file is in everybody's way, root's too.
            with quarter.folders["west"].shelf() as shelf:
                (last,) = shelf._database.execute("select max(id) from files").fetchone()
            in_the_way = [tables / str(number) for number in range(last + 1, last + 4)]
            for path in in_the_way:
                path.mkdir(mode=0o700)
                (path / "in the way").touch()
            await quarter.until(lambda: any(line.startswith("cannot write") for line in quarter.said))
            for path in in_the_way:
                (path / "in the way").unlink()
                path.rmdir()
            before = max(common(quarter))
            await quarter.until(lambda: bool(common(quarter, before)))

    asyncio.run(test())
    # The other has the table of that round; this one goes on without it.
    lost = stood(quarter, "east") - stood(quarter, "west")
    assert lost
    assert min(common(quarter)) < max(lost)
    assert max(common(quarter)) > min(lost)


@pytest.mark.parametrize("rounds", [5, -2])
def test_a_clock_that_is_set_voids_what_had_begun_and_repeats_nothing(tmp_path: Path, rounds: int) -> None:
    quarter = Quarter(tmp_path, lead=-7 * NUMBERS.period // 2)
    real, shift = quarter.edge.now, 0
    quarter.edge = replace(quarter.edge, now=lambda: real() + shift)

    async def test() -> None:
        nonlocal shift
        async with quarter.running():
            await quarter.until(lambda: bool(common(quarter)))
            await quarter.until_round(quarter.round + 1, 0.5)
            kept = {number: table(quarter, "west", number) for number in stood(quarter, "west")}
            shift = rounds * NUMBERS.period
            begun = quarter.round
            await quarter.until(lambda: bool(common(quarter, max(kept))))
            # Set on, what had begun is nobody's; set back, it goes on after what stands. That is as it was.
            new = (stood(quarter, "west") | stood(quarter, "east")) - kept.keys()
            assert min(new) > max(kept)
            assert rounds < 0 or min(new) > begun
            assert {number: table(quarter, "west", number) for number in kept} == kept

    asyncio.run(test())
    for name in quarter.names:
        assert quarter.notes(name)[Why.RESTART] >= 2


def test_an_operator_is_served_by_one_process_and_an_address_that_is_taken_is_said_to_be(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)
    west = quarter.ports["west"]

    async def serve(name: str) -> None:
        await run(
            quarter.folders[name],
            quarter.edge,
            charter=quarter.file,
            listen=("127.0.0.1", west),
            stop=asyncio.Event(),
            say=quarter.said.append,
        )

    async def test() -> None:
        async with quarter.running("west"):
            await quarter.until(lambda: f"west serves on 127.0.0.1:{west}" in quarter.said)
            with pytest.raises(UnavailableError, match=r"^this operator is served by another process$"):
                await serve("west")
            with pytest.raises(UnavailableError, match=rf"^cannot listen on 127.0.0.1:{west}: "):
                await serve("east")

    asyncio.run(test())


def listens(host: str) -> bool:
    try:
        with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("host", [host for host in ("", "127.0.0.1", "::1") if listens(host)])
def test_it_listens_where_it_is_told_and_says_where_in_the_way_it_is_told(tmp_path: Path, host: str) -> None:
    quarter = Quarter(tmp_path)
    port = quarter.ports["west"]

    async def test() -> str:
        stop = asyncio.Event()
        folder = quarter.folders["west"]
        serving = asyncio.create_task(
            run(folder, quarter.edge, charter=quarter.file, listen=(host, port), stop=stop, say=quarter.said.append)
        )
        await quarter.until(lambda: serving.done() or folder.running() is not None)
        _, writer = await asyncio.open_connection(host or "127.0.0.1", port)
        writer.close()
        stop.set()
        await serving
        found = folder.running()
        assert isinstance(found, Running)
        return found.listening

    said = asyncio.run(test())
    shown = {"": {f"0.0.0.0:{port}", f"[::]:{port}"}, "::1": {f"[::1]:{port}"}}
    assert said in shown.get(host, {f"{host}:{port}"})


def test_without_keys_a_charter_or_a_seat_in_it_nothing_is_served(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)
    stranger = Folder(tmp_path / "stranger")
    stranger.make_keys("stranger", quarter.edge.random)

    async def test(charter: Path | None, folder: Folder = stranger) -> None:
        await run(folder, quarter.edge, charter=charter, stop=asyncio.Event())

    with pytest.raises(UsageError, match="there are no keys in "):
        asyncio.run(test(quarter.file, Folder(tmp_path / "nobody")))
    with pytest.raises(UsageError, match="there is no charter yet"):
        asyncio.run(test(None))
    with pytest.raises(UsageError, match="there is no file nowhere"):
        asyncio.run(test(tmp_path / "nowhere"))
    with pytest.raises(RefusedError, match="no seat for the keys of stranger"):
        asyncio.run(test(quarter.file))


def test_keys_that_others_can_read_are_spoken_of_when_it_is_served(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)
    (key,) = (quarter.folders["west"].path / "keys").iterdir()
    key.chmod(0o640)

    async def test() -> None:
        async with quarter.running("west"):
            await quarter.until(lambda: bool(quarter.said))

    asyncio.run(test())
    assert quarter.said[0] == f"others can read {key}"


def test_a_folder_that_cannot_be_written_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quarter = Quarter(tmp_path)
    folder = quarter.folders["west"]
    folder.shelf().close()
    opened = os.open

    def read_only(path: Path, flags: int, mode: int = 0o777) -> int:
        # What root may do on a disk that is mounted to be read, which is in nobody's way here.
        if flags & (os.O_CREAT | os.O_RDWR | os.O_WRONLY) and str(path).startswith(str(tmp_path)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(UnavailableError, match=r"^cannot open the shelf: read-only file system$"):
        asyncio.run(run(folder, quarter.edge, charter=quarter.file, stop=asyncio.Event()))
    with pytest.raises(UnavailableError, match=r"^cannot write .*: not allowed$"):
        folder.keep(quarter.signed)
