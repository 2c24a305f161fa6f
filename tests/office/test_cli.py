"""The command `backchannel-operator`, from keys to an office that runs, is looked at and lives on."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from backchannel.encoding import encode
from backchannel.office import cli
from backchannel.office.accounts import Accounts, Day
from backchannel.office.edge import Edge
from backchannel.office.folder import Folder, Running, read_charter
from backchannel.office.service import SPARE_FILES
from backchannel.post import enrolment
from backchannel.post.charter import Numbers
from backchannel.post.enrolment import TicketLine
from backchannel.post.members import ISSUED, LODGING, RETIRED
from backchannel.post.plan import plan
from backchannel.post.rounds import NOTES, Operator
from backchannel.post.settling import Why
from backchannel.post.visit import ReplyKey
from tests.office.quarter import a_port, an_edge
from tests.office.stand import request

WEEK = 7 * 86_400_000


@dataclass
class Said:
    """What a call gave, said, and ended in."""

    out: str
    err: str
    code: int


@dataclass
class Desk:
    """A machine that two operators type on, one after the other."""

    root: Path
    edge: Edge
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str, code: int = 0) -> Said:
        ended = cli.main(list(words), edge=self.edge)
        captured = self.capsys.readouterr()
        assert ended == code, captured.err
        return Said(captured.out, captured.err, ended)

    def adopted(self, name: str = "west") -> Folder:
        """The folder of an operator that has adopted the charter, as `serve` would have it do."""
        folder = Folder(self.root / name)
        with folder.shelf() as shelf:
            machine = Operator(shelf, folder.keys(), self.edge.ciphers, random=self.edge.random)
            machine.adopt(read_charter(self.root / "office.charter"))
        return folder


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, an_edge(tmp_path / "west"), capsys)


@pytest.fixture
def office(desk: Desk) -> Desk:
    """A charter that both have signed."""
    desk("keys", "west", "--url", "http://127.0.0.1:8301", "--folder", "west")
    desk("keys", "east", "--url", "http://127.0.0.1:8302", "--folder", "east")
    desk("charter", "draft", "west.pub", "east.pub", "--mailboxes", "16", "--packet", "512", "--places", "2")
    desk("charter", "sign", "office.charter", "--folder", "west")
    desk("charter", "sign", "office.charter", "--folder", "east")
    return desk


def test_keys_are_for_their_owner_alone_and_a_card_is_for_the_others(desk: Desk) -> None:
    said = desk("keys", "west")
    assert said.out == "west.pub: the card of west, at http://here.test:8025\n"
    folder = Folder(desk.root / "west")
    assert folder.open_to_others() == []
    (keys,) = folder.keys()
    card = (desk.root / "west.pub").read_bytes()
    assert card.count(bytes(keys.signer.public)) == 1
    assert card.count(bytes(keys.signer.key[:32])) == card.count(bytes(keys.sealing[:32])) == 0
    assert "already" in desk("keys", "west", code=4).err


def test_another_set_of_keys_is_added_and_the_old_one_kept(desk: Desk) -> None:
    desk("keys", "west")
    before = Folder(desk.root / "west").keys()
    desk("keys", "west", "--new")
    after = Folder(desk.root / "west").keys()
    assert [each.signer.public for each in after[1:]] == [each.signer.public for each in before]
    assert "the keys in" in desk("keys", "east", "--new", code=4).err


def test_a_draft_says_what_it_buys(desk: Desk) -> None:
    desk("keys", "west", "--folder", "west")
    desk("keys", "east", "--folder", "east")
    said = desk("charter", "draft", "west.pub", "east.pub", "--mailboxes", "256", "--name", "geneva")
    charter = read_charter(desk.root / "office.charter").charter
    assert charter.name == "geneva"
    assert charter.numbers == Numbers(start=charter.numbers.start)
    assert abs(charter.numbers.start - desk.edge.now() - 3_600_000) < 60_000
    assert [(s.issuer, s.first, s.count, s.quorum) for s in charter.shares] == [
        ("west", 1, 127, 31),
        ("east", 128, 127, 31),
    ]
    assert said.out == (
        "a letter of 20 kB: 38 minutes\n"
        "a desk and day: 52.9 MB, and 246 MB while it catches up\n"
        "an operator: 0.01 cores, and 1.5 GB of disk for the window\n"
    )
    shown = desk("charter", "show", "office.charter").out
    assert shown.endswith(said.out)
    assert "east  http://here.test:8025  has not signed" in shown


def test_what_a_charter_buys_follows_its_numbers(office: Desk) -> None:
    charter = read_charter(office.root / "office.charter").charter
    # 20 kB in packets with room for 449 bytes: 45 of them, at every other round, then asked about and collected.
    assert plan(charter).letter == (1 + 44 * 2 + 2) * 60_000
    twice = replace(charter, numbers=replace(charter.numbers, period=120_000))
    assert plan(twice).letter == 2 * plan(charter).letter
    assert plan(twice).desk == plan(charter).desk // 2
    assert plan(twice).cores == plan(charter).cores / 2
    assert plan(charter).catching_up > plan(charter).desk
    larger = replace(charter, numbers=replace(charter.numbers, capacity=32))
    assert plan(larger).disk == 2 * plan(charter).disk


def test_the_numbers_of_a_draft_are_options_and_the_others_fit_them(office: Desk) -> None:
    office(
        *("charter", "draft", "west.pub", "east.pub", "-o", "fast.charter", "--period", "1000", "--mailboxes", "32"),
        *("--catch-up", "7", "--starts-in", "5", "--quorum", "3"),
    )
    charter = read_charter(office.root / "fast.charter").charter
    numbers = charter.numbers
    assert (numbers.period, numbers.capacity, numbers.catch_up) == (1_000, 32, 7)
    assert (numbers.day, numbers.enrolment, numbers.hold) == (86_400, 86_400, 100)
    assert numbers.window == 86_401  # a day, in whole blocks of seven
    assert [share.quorum for share in charter.shares] == [3, 3]
    assert (
        "capacity is a multiple of 8"
        in office("charter", "draft", "west.pub", "east.pub", "--mailboxes", "9", code=2).err
    )


def test_both_read_the_same_words_from_the_same_charter_and_others_from_another(office: Desk) -> None:
    west = office("charter", "sign", "office.charter", "--folder", "west")
    east = office("charter", "sign", "office.charter", "--folder", "east")
    assert west.out == east.out
    assert len(west.out.split()) == 8
    assert west.err == "backchannel-operator: all have signed\n"
    office("charter", "draft", "west.pub", "east.pub", "-o", "other.charter")
    other = office("charter", "sign", "other.charter", "--folder", "west")
    assert other.out != west.out
    assert other.err == "backchannel-operator: still to sign: east\n"


def test_signatures_on_two_copies_come_together(office: Desk) -> None:
    office("charter", "draft", "west.pub", "east.pub", "-o", "a.charter")
    (office.root / "b.charter").write_bytes((office.root / "a.charter").read_bytes())
    office("charter", "sign", "a.charter", "--folder", "west")
    office("charter", "sign", "b.charter", "--folder", "east")
    office("charter", "sign", "a.charter", "b.charter", "--folder", "west")
    assert read_charter(office.root / "a.charter").missing == ()
    assert "two different charters" in office("charter", "sign", "a.charter", "office.charter", code=4).err


def test_who_has_no_seat_signs_nothing(office: Desk) -> None:
    office("keys", "north", "--folder", "north")
    before = (office.root / "office.charter").read_bytes()
    assert "no seat" in office("charter", "sign", "office.charter", "--folder", "north", code=4).err
    assert (office.root / "office.charter").read_bytes() == before


def test_an_amendment_names_what_it_follows_and_gives_a_week_unless_it_cannot_wait(office: Desk) -> None:
    old = read_charter(office.root / "office.charter").charter
    said = office("charter", "amend", "office.charter", "--mailboxes", "32")
    new = read_charter(office.root / "next.charter").charter
    assert new.predecessor == old.digest
    assert new.numbers.capacity == 32
    assert new.numbers.start >= office.edge.now() + WEEK - 1000
    assert new.numbers.start == old.begins(new.numbers.first)
    assert said.out.startswith(f"next.charter: from round {new.numbers.first:,}; ")
    # Whoever has a mailbox keeps it; what is new is shared out.
    assert new.shares[:2] == old.shares
    assert [(share.issuer, share.first, share.count) for share in new.shares[2:]] == [("west", 16, 8), ("east", 24, 8)]
    # A third time: whoever comes shares in what is new, who has gone does not, and no number is given twice.
    office("keys", "north", "--folder", "north")
    said = office(
        *("charter", "amend", "next.charter", "north.pub", "--remove", "east", "--mailboxes", "64", "-o", "third")
    )
    third = read_charter(office.root / "third").charter
    assert third.shares[:4] == new.shares
    assert [(share.issuer, share.first, share.count) for share in third.shares[4:]] == [
        ("west", 32, 16),
        ("north", 48, 16),
    ]
    assert said.err == ""
    said = office("charter", "amend", "office.charter", "north.pub", "-o", "none")
    assert said.err.startswith("backchannel-operator: north has no mailboxes to give out")
    office("charter", "amend", "office.charter", "--urgent", "-o", "soon.charter")
    soon = read_charter(office.root / "soon.charter").charter
    assert soon.numbers.first <= 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--day", "7"), "counts days otherwise"),
        (("--packet", "1024"), "packets of another size"),
        (("--mailboxes", "8"), "shares are of different mailboxes"),
        (("--places", "1"), "fewer mailboxes or places"),
    ],
)
def test_an_amendment_that_porters_would_not_follow_is_not_drafted(
    office: Desk, change: tuple[str, ...], message: str
) -> None:
    assert message in office("charter", "amend", "office.charter", *change, code=2).err
    assert not (office.root / "next.charter").exists()


def test_an_operator_that_leaves_signs_and_one_that_comes_does_too(office: Desk) -> None:
    office("keys", "north", "--folder", "north")
    office("charter", "amend", "office.charter", "north.pub", "--remove", "east")
    for name in ("west", "north", "east"):
        office("charter", "sign", "next.charter", "--folder", name)
    signed = read_charter(office.root / "next.charter")
    assert [seat.name for seat in signed.charter.seats] == ["west", "north"]
    assert signed.missing == ()
    assert signed.signed_by(read_charter(office.root / "office.charter").charter.seats)
    assert "no operator called south" in office("charter", "amend", "office.charter", "--remove", "south", code=2).err


def test_tickets_are_given_out_once_and_lodged_with_everybody(office: Desk) -> None:
    assert "no charter has been adopted" in office("ticket", code=3).err
    folder = office.adopted()
    lines = office("ticket", "--count", "3").out.splitlines()
    tickets = [TicketLine.parse(line) for line in lines]
    assert [(each.charter, each.mailbox) for each in tickets] == [("office", 1), ("office", 2), ("office", 3)]
    with folder.shelf() as shelf:
        assert [shelf.get(ISSUED, each.mailbox.to_bytes(8)) for each in tickets] == [each.ticket for each in tickets]
        assert len(shelf.names(LODGING)) == 3
    office("ticket", "--count", "4", "-o", "tickets.txt")
    assert len((office.root / "tickets.txt").read_text().splitlines()) == 4
    assert (office.root / "tickets.txt").stat().st_mode & 0o077 == 0
    assert "0 mailboxes of west are left" in office("ticket", code=4).err


def test_tickets_that_find_no_file_are_shown_and_not_lost(office: Desk) -> None:
    office.adopted()
    (office.root / "there").touch()
    said = office("ticket", "-o", "there", code=2)
    assert TicketLine.parse(said.out).mailbox == 1


def test_a_mailbox_is_retired_once_and_its_owner_gets_another(office: Desk) -> None:
    folder = office.adopted()
    office("ticket", "--count", "2")
    assert office("retire", "1").out == "mailbox 1 is retired\n"
    assert "retired already" in office("retire", "1", code=4).err
    assert "retired already" in office("replace", "1", code=4).err
    assert "has given out no mailbox 9" in office("replace", "9", code=4).err
    assert TicketLine.parse(office("replace", "2").out).mailbox == 3
    with folder.shelf() as shelf:
        assert [int.from_bytes(raw) for raw in shelf.names(RETIRED)] == [1, 2]
        assert [int.from_bytes(raw) for raw in shelf.names(ISSUED)] == [1, 2, 3]
    office("ticket", "--count", "4")
    assert "0 mailboxes" in office("replace", "3", code=4).err
    with folder.shelf() as shelf:
        assert len(shelf.names(RETIRED)) == 2


def looked_at(desk: Desk, **changes: object) -> Accounts:
    folder = desk.adopted()
    with folder.shelf() as shelf:
        accounts = Accounts.read(folder, shelf, desk.edge)
    assert accounts is not None
    now = accounts.charter.begins(100)
    running = Running(now - 1000, 101, "127.0.0.1:8301", (("east", 12),))
    good = replace(
        accounts,
        now=now,
        round=100,
        running=running,
        admitted=tuple((share, share.count) for share in accounts.charter.shares),
        days=(Day(now // 86_400_000, {"stands": 1000, f"east {Why.SILENT}": 2}),),
    )
    return replace(good, **changes)  # type: ignore[arg-type]


def wrong(accounts: Accounts) -> list[str]:
    return [finding.text for finding in accounts.findings() if not finding.good]


def test_the_doctor_finds_nothing_where_all_is_well(office: Desk) -> None:
    assert wrong(looked_at(office)) == []


def test_the_doctor_finds_each_thing_that_is_wrong(office: Desk) -> None:
    well = looked_at(office)
    assert well.running is not None
    today = well.now // 86_400_000
    share = well.charter.shares[0]
    for changes, said in [
        ({"running": None}, "this operator has never been served"),
        ({"running": replace(well.running, time=well.now - 600_000)}, "its last word was 600 s ago"),
        ({"running": replace(well.running, clocks=(("east", 7_000),))}, "the clock of east is +7,000 ms from this one"),
        ({"running": replace(well.running, clocks=())}, "east has not been heard"),
        ({"days": (Day(today, {"stands": 9_999, f"east {Why.OTHER}": 1}),)}, "1 are void, 1 by disagreement"),
        ({"days": (Day(today, {"stands": 9_999, f"east {Why.LIED}": 1}),)}, "1 are void, 1 by disagreement"),
        ({"days": (Day(today, {"stands": 300, f"east {Why.SILENT}": 30}),)}, "30 are void, 0 by disagreement"),
        ({"admitted": ((share, 0),)}, "west has admitted 0 of 7, and 1 make a crowd"),
        ({"untold": {"east": 3}}, "east is still to be told of 3"),
        ({"round": 5_000, "day_keys": (0, 3, 4)}, "1 keys of days that are over are still there"),
        ({"disk": replace(well.disk, free=10)}, "10 bytes are free"),
    ]:
        found = wrong(replace(well, **changes))  # type: ignore[arg-type]
        assert any(said in text for text in found), (said, found)
    # What was wrong the day before yesterday is history.
    assert wrong(replace(well, days=(Day(today - 2, {f"east {Why.OTHER}": 5}),))) == []


def test_doctor_ends_in_one_and_status_in_nought_where_nobody_serves(office: Desk) -> None:
    folder = office.adopted()
    with folder.shelf() as shelf:
        day = (office.edge.now() // 86_400_000).to_bytes(8)
        shelf.commit({(NOTES, day): encode((("east did not answer", 2), ("stands", 7)))})
    status = office("status").out
    assert "west of office: not served, round 0\n" in status
    assert "7 rounds stand, 2 are void\n    2: east did not answer\n" in status
    assert "east has admitted 0 of 7" in status
    (office.root / "west").chmod(0o755)
    said = office("doctor", code=1)
    assert f"wrong  others can read {office.root / 'west'}\n" in said.out
    assert "wrong  this operator has never been served\n" in said.out
    assert said.err.startswith("backchannel-operator: error: ")


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (("ticket", "--cont", "3"), 2, "no such option '--cont'", "backchannel-operator ticket --help"),
        (("serv",), 2, "no such command 'serv'", "backchannel-operator --help"),
        (("status",), 2, "there are no keys in ", "backchannel-operator keys NAME --url URL"),
        (("keys", "West"), 2, "a name in a charter is of small letters", None),
        (("keys", "west", "--url", "ftp://west"), 2, "west has an address that is none", None),
        (("charter", "draft", "nobody.pub"), 2, "there is no file nobody.pub", None),
        (("charter", "sign", "nowhere"), 2, "there is no file nowhere", None),
        (("serve", "a", "--listen", "8025"), 2, "--listen takes HOST:PORT", "backchannel-operator serve --listen"),
    ],
)
def test_an_error_is_one_line_and_a_hint_that_can_be_run(
    desk: Desk, words: tuple[str, ...], code: int, message: str, hint: str | None
) -> None:
    first, *rest = desk(*words, code=code).err.splitlines()
    assert first.startswith(f"backchannel-operator: error: {message}")
    assert len(rest) == (hint is not None)
    assert all(line.startswith(f"backchannel-operator: hint: {hint}") for line in rest)
    assert not (desk.root / "west").exists()


def test_a_card_that_is_none_and_keys_that_are_damaged_are_said_to_be(office: Desk) -> None:
    (office.root / "bad.pub").write_bytes(b"no card")
    assert "not the card of an operator" in office("charter", "draft", "west.pub", "bad.pub", code=4).err
    (path,) = (office.root / "west" / "keys").iterdir()
    path.write_bytes(b"no keys")
    assert "damaged" in office("status", code=5).err


@contextmanager
def serving(root: Path, *words: str, files: int = 1024) -> Iterator[subprocess.Popen[str]]:
    """A process that serves and may have so many files open, killed if a test is over before it."""
    environment = os.environ | {"BACKCHANNEL_OPERATOR": str(root / "west")}
    limited = f'ulimit -n {files} && exec "$@"'
    command = ["sh", "-c", limited, "sh", sys.executable, "-m", "backchannel.office.cli", "serve", *words]
    with subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(what: str, process: subprocess.Popen[str]) -> None:
    """Read what a process says until it says *what*."""
    assert process.stderr is not None
    for line in process.stderr:
        if what in line:
            return
    raise AssertionError(f"it ended without saying {what}")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8025", ("127.0.0.1", 8025)),
        ("[::1]:8025", ("::1", 8025)),
        (":0", ("", 0)),
        ("west.test:65535", ("west.test", 65535)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert cli._address(text) == address


def test_a_flood_beyond_what_the_system_allows_leaves_room_for_who_has_something_to_say(office: Desk) -> None:
    port = a_port()
    folder = office.adopted()
    floor, most = 100, SPARE_FILES + 100
    with serving(office.root, "office.charter", "--listen", f"127.0.0.1:{port}", files=most) as process:
        until("west serves on", process)
        charter = read_charter(office.root / "office.charter").charter
        (keys,) = folder.keys()
        box = enrolment.seal(
            *("charter", b"", ReplyKey(bytes(32))),
            charter=charter,
            operator="west",
            kem=office.edge.ciphers.kem,
            random=office.edge.random,
        )
        with ExitStack() as open_ones:
            for _ in range(floor * 4):
                open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            asks = open_ones.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            asks.sendall(request("charter", box))
            assert asks.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert process.stderr.read() == "backchannel-operator: west has stopped\n"
        assert keys.name == "west"


def test_serve_ends_at_a_signal_and_goes_on_when_it_is_started_again(office: Desk) -> None:
    listen = ("--listen", f"127.0.0.1:{a_port()}")
    # Rounds of a second, so that there are some.
    office("charter", "draft", "west.pub", "east.pub", "--mailboxes", "16", "--period", "1000", "--starts-in", "0")
    for name in ("west", "east"):
        office("charter", "sign", "office.charter", "--folder", name)
    for number, words in ((signal.SIGTERM, ("office.charter", *listen)), (signal.SIGINT, listen)):
        with serving(office.root, *words) as process:
            until(f"west serves on {listen[1]}", process)
            status = office("status").out
            assert f"served on {listen[1]}" in status
            assert "not served" not in status
            assert TicketLine.parse(office("ticket").out).charter == "office"
            time.sleep(0.5)
            process.send_signal(number)
            until("west has stopped", process)
            assert process.wait(10) == 0
    status = office("status").out
    assert "    2: this operator was started in it\n" in status
    assert "given out here: 2" in status
