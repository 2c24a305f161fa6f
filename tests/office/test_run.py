"""Operators that run: over real HTTP they come to one table a round, and say plainly why not where they do not."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from backchannel.errors import RefusedError, UnavailableError, UsageError
from backchannel.office.folder import Folder
from backchannel.office.run import run
from backchannel.post.charter import SignedCharter
from backchannel.post.charters import CHARTERS
from backchannel.post.porter import Kind
from backchannel.post.rounds import TABLES, _read_table
from backchannel.post.settling import Why
from tests.office.quarter import NUMBERS, Quarter, Visitor


def stood(quarter: Quarter, name: str) -> set[int]:
    """The rounds whose tables stand at *name*."""
    with quarter.folders[name].shelf() as shelf:
        return {int.from_bytes(raw) for raw in shelf.names(TABLES)}


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
            await quarter.until_round(1, 0.9)
            for number in range(2, 7):
                assert None not in await visitor.round(number)
            await quarter.until_round(7, 0.5)
            return visitor

    visitor = asyncio.run(test())
    assert visitor.said is not None
    # It took part, was answered by both, and every idle read of its own mailbox found what it had handed in.
    assert visitor.said.effective
    assert sum(answered for _, _, answered in visitor.said.attendance) >= 2
    assert {each.kind for each in visitor.said.reports} <= {Kind.VOID}  # a machine with too much to do is late
    tables = []
    for name in quarter.names:
        with quarter.folders[name].shelf() as shelf:
            numbers = shelf.names(TABLES)
            tables.append({at: _read_table(shelf.get(TABLES, at) or b"", NUMBERS.packet) for at in numbers})
    common = sorted(tables[0].keys() & tables[1].keys())
    assert len(common) >= 4
    assert [tables[0][at].descriptor for at in common] == [tables[1][at].descriptor for at in common]
    assert sum(len(tables[0][at].rows) for at in common) >= 2
    for name in quarter.names:
        what = quarter.notes(name).keys()
        assert not [each for each in what if each.endswith((Why.OTHER, Why.LIED))]


def test_a_round_in_which_an_operator_is_down_or_started_again_is_void_and_the_others_are_not(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)

    async def test() -> None:
        async with quarter.running("west"):
            await quarter.until_round(1, 0.5)
            async with quarter.running("east"):
                await quarter.until_round(3, 0.5)
            async with quarter.running("east"):
                await quarter.until_round(5, 0.5)

    asyncio.run(test())
    # Round 0 east never heard of; 1 and 3 had begun when it was started: they are not its own, and it says so.
    west, east = quarter.notes("west"), quarter.notes("east")
    assert west[f"east {Why.SILENT}"] >= 1
    assert west[f"east {Why.VOID}"] >= 2
    assert east[Why.RESTART] == 2
    assert stood(quarter, "west") | stood(quarter, "east") <= {2, 4}
    assert stood(quarter, "west") & stood(quarter, "east")


def test_nothing_is_served_until_all_have_signed_and_then_it_is_by_itself(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)
    # A draft that both have signed and dropped is in the folder, too.
    quarter.folders["west"].keep(quarter.signed)
    quarter.sign(quarter.draft(), "west")

    async def test() -> None:
        async with quarter.running("west"):
            await asyncio.sleep(0.2)
            assert quarter.said == ["1 of 2 have signed; waiting for east"]
            with pytest.raises(OSError, match=r"refused|failed"):
                await asyncio.open_connection("127.0.0.1", quarter.ports["west"])
            quarter.sign(quarter.signed.charter)
            await asyncio.sleep(1.5)
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

    async def test() -> None:
        async with quarter.running():
            await quarter.until_round(0, 0.3)
            old = quarter.signed.charter
            numbers = replace(old.numbers, capacity=32, first=3, start=old.begins(3))
            quarter.sign(replace(old, numbers=numbers, predecessor=old.digest))
            await quarter.until_round(5, 0.5)

    asyncio.run(test())
    assert quarter.said.count("charter quarter holds from round 3") == 2
    for name in quarter.names:
        with quarter.folders[name].shelf() as shelf:
            raw = {int.from_bytes(at): shelf.get(TABLES, at) or b"" for at in shelf.names(TABLES)}
        rows = {at: _read_table(table, NUMBERS.packet).descriptor.rows for at, table in raw.items()}
        assert rows == {at: 16 if at < 3 else 32 for at in rows}
        assert set(rows.values()) == {16, 32}


def test_a_round_whose_table_finds_no_room_on_the_disk_is_lost_and_the_next_is_not(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)

    async def test() -> None:
        async with quarter.running():
            await quarter.until_round(1, 0.5)
            folder = quarter.folders["west"].path / "tables"
            # A folder in the place of a file is in everybody's way, root's too.
            with quarter.folders["west"].shelf() as shelf:
                (last,) = shelf._database.execute("select max(id) from files").fetchone()
            for number in range(last + 1, last + 3):
                (folder / str(number)).mkdir(mode=0o700)
                (folder / str(number) / "in the way").touch()
            await quarter.until_round(2, 0.5)
            for number in range(last + 1, last + 3):
                (folder / str(number) / "in the way").unlink()
                (folder / str(number)).rmdir()
            await quarter.until_round(4, 0.5)

    asyncio.run(test())
    assert any(line.startswith("cannot write") for line in quarter.said), quarter.said
    assert 1 not in stood(quarter, "west")
    assert stood(quarter, "west") & {2, 3}


@pytest.mark.parametrize(("step", "seconds", "tables"), [(5_000, 2.2, {4, 11}), (-2_000, 2.9, {4, 5})])
def test_a_clock_that_is_set_voids_what_had_begun_and_repeats_nothing(
    tmp_path: Path, step: int, seconds: float, tables: set[int]
) -> None:
    quarter = Quarter(tmp_path, lead=-3_500)
    real, shift = quarter.edge.now, 0
    quarter.edge = replace(quarter.edge, now=lambda: real() + shift)

    async def test() -> None:
        nonlocal shift
        async with quarter.running():
            await quarter.until_round(5, 0.5)
            shift = step
            await asyncio.sleep(seconds)

    asyncio.run(test())
    # Set on, from the middle of round 5 to that of 10, it takes part from 11; set back to that of 3, from 5:
    # that had begun and not ended, while the table of 4 stood, and 3 had been over.
    for name in quarter.names:
        assert quarter.notes(name)[Why.RESTART] == 2
        assert stood(quarter, name) <= tables
    assert tables & stood(quarter, "west")


def test_an_operator_is_served_by_one_process(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)

    async def test() -> None:
        async with quarter.running("west"):
            await asyncio.sleep(0.1)
            with pytest.raises(UnavailableError, match="this operator is served by another process"):
                await run(quarter.folders["west"], quarter.edge, charter=quarter.file, stop=asyncio.Event())

    asyncio.run(test())


def test_an_address_that_is_taken_is_said_to_be(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)

    async def test() -> None:
        async with quarter.running("west"):
            await asyncio.sleep(0.1)
            with pytest.raises(UnavailableError, match=rf"cannot listen on 127.0.0.1:{quarter.ports['west']}: "):
                await run(
                    quarter.folders["east"],
                    quarter.edge,
                    charter=quarter.file,
                    listen=("127.0.0.1", quarter.ports["west"]),
                    stop=asyncio.Event(),
                    say=quarter.said.append,
                )

    asyncio.run(test())


def test_without_a_charter_or_a_seat_in_it_nothing_is_served(tmp_path: Path) -> None:
    quarter = Quarter(tmp_path)
    stranger = Folder(tmp_path / "stranger")
    stranger.make_keys("stranger", quarter.edge.random)

    async def test(charter: Path | None) -> None:
        await run(stranger, quarter.edge, charter=charter, stop=asyncio.Event())

    with pytest.raises(UsageError, match="there is no charter yet"):
        asyncio.run(test(None))
    with pytest.raises(UsageError, match="there is no file nowhere"):
        asyncio.run(test(tmp_path / "nowhere"))
    with pytest.raises(RefusedError, match="no seat for the keys of stranger"):
        asyncio.run(test(quarter.file))
