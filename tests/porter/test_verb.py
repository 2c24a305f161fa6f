"""The verb porter: makes a porter of a pairing, lets it carry, and says what it does."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from backchannel.cli.edge import Edge
from tests.cli.stage import Stage, furnish
from tests.desk.small import Copy
from tests.porter.small import every_half_second, pairing
from tests.simulation.crash import unsynced

HALF = every_half_second()
SECRET = "by the sea"


@dataclass
class Porters(Stage):
    """A stage whose clock goes on, since a porter waits for it."""

    shift: int = 0

    @property
    def edge(self) -> Edge:
        edge = Stage.edge.fget(self)  # type: ignore[attr-defined]
        assert isinstance(edge, Edge)
        return replace(edge, clock=lambda: time.time_ns() // 1_000_000 - self.shift)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Porters]:
    plain = furnish(tmp_path, monkeypatch, seed="porter")
    Path("anna.pairing").write_bytes(pairing(numbers=HALF).encode())
    # So that the first round begins when somebody has been asked for a passphrase.
    with unsynced():
        yield Porters(plain.home, plain.seed, patch=monkeypatch, shift=time.time_ns() // 1_000_000 - HALF.start + 200)


def made(stage: Porters) -> None:
    result = stage.run("porter", "--pair", "anna.pairing", "--rounds", "0", hidden=[SECRET, SECRET])
    assert result.code == 0, result.err


def test_a_porter_is_made_of_a_pairing_and_carries_at_once(stage: Porters) -> None:
    result = stage.run("porter", "--pair", "anna.pairing", "--rounds", "2", hidden=[SECRET, SECRET])
    assert result.code == 0, result.err
    assert "porter of mailbox 3 made in" in result.err
    assert "destroy anna.pairing now: whoever has it can take this porter's place" in result.err
    assert "hint: shred -u anna.pairing" in result.err
    lines = result.out.splitlines()
    assert len(lines) == 2
    for line in lines:
        expected = r"round \d+: asked west, east for admission; 0 of 2 replied; next at \d\d:\d\d:\d\d"
        assert re.fullmatch(expected, line)
    tray = stage.home / "desk.tray"
    assert [path.name for path in tray.iterdir()] == ["porter.tray"]


def test_a_porter_that_was_made_is_opened_by_its_passphrase(stage: Porters) -> None:
    made(stage)
    result = stage.run("porter", "--rounds", "1", hidden=[SECRET])
    assert (result.code, len(result.out.splitlines())) == (0, 1)
    wrong = stage.run("porter", "--rounds", "1", hidden=["by the lake"])
    assert (wrong.code, wrong.out) == (5, "")


def test_a_passphrase_of_ten_words_is_made_and_shown_once(stage: Porters) -> None:
    result = stage.run("porter", "--pair", "anna.pairing", "--rounds", "0", hidden=[""])
    words = re.fullmatch(r"its passphrase, .*:\n\n    ([a-z ]+)\n\n", result.out)
    assert words
    assert len(words[1].split()) == 10
    assert stage.run("porter", "--rounds", "0", hidden=[words[1]]).code == 0


def test_its_passphrase_is_changed(stage: Porters) -> None:
    made(stage)
    result = stage.run("porter", "--change-passphrase", hidden=[SECRET, "by the lake", "by the lake"])
    assert (result.code, result.out) == (0, "")
    assert "the passphrase of this porter is changed" in result.err
    assert stage.run("porter", "--rounds", "0", hidden=[SECRET]).code == 5
    assert stage.run("porter", "--rounds", "0", hidden=["by the lake"]).code == 0
    words = stage.run("porter", "--change-passphrase", hidden=["by the lake", ""])
    assert words.out.startswith("it is now:\n\n    ")


def test_with_json_a_round_is_an_object_on_a_line(stage: Porters) -> None:
    made(stage)
    result = stage.run("porter", "--rounds", "2", "--json", hidden=[SECRET])
    first, second = map(json.loads, result.out.splitlines())
    assert first["errands"] == [{"operator": "west", "kind": "enrol"}, {"operator": "east", "kind": "enrol"}]
    assert second["round"] > first["round"] >= HALF.first
    assert second["replied"] == 0


def test_where_there_is_no_porter_it_says_how_one_is_made(stage: Porters) -> None:
    result = stage.run("porter", "--porter", "elsewhere")
    assert (result.code, result.out) == (1, "")
    assert "there is no porter in elsewhere" in result.err
    assert "hint: backchannel porter --porter elsewhere --pair FILE" in result.err


def test_a_porter_can_be_kept_elsewhere_with_a_tray_elsewhere(stage: Porters) -> None:
    Path("shared").mkdir()
    where = ["--porter", "elsewhere", "--tray", "shared"]
    result = stage.run("porter", "--pair", "anna.pairing", *where, "--rounds", "1", hidden=[SECRET] * 2)
    assert result.code == 0, result.err
    assert [path.name for path in Path("shared").iterdir()] == ["porter.tray"]
    assert not (stage.home / "desk.porter").exists()
    assert not (stage.home / "desk.tray").exists()


def test_a_tray_that_is_not_there_is_not_made_and_the_round_goes_on(stage: Porters) -> None:
    made(stage)
    result = stage.run("porter", "--tray", "stick", "--rounds", "2", hidden=[SECRET])
    assert (result.code, len(result.out.splitlines())) == (0, 2)
    assert result.err.count("warning: there is no folder stick to write porter.tray in") == 1
    assert not Path("stick").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--pair", "nothing"], 2, "there is no file nothing"),
        (["--pair", "rubbish"], 4, "rubbish is not a pairing"),
        (["--pair", "anna.pairing", "--change-passphrase"], 2, "a porter to be made has no passphrase yet"),
        (["--pair", "anna.pairing", "--proxy", "http://127.0.0.1:3128"], 2, "a proxy is socks5://HOST:PORT"),
        (["--rounds", "-1"], 2, "-1"),
    ],
)
def test_a_mistake_shows_before_anything_is_asked_for(
    stage: Porters, arguments: list[str], code: int, said: str
) -> None:
    Path("rubbish").write_bytes(b"rubbish")
    result = stage.run("porter", *arguments)
    assert (result.code, result.out) == (code, "")
    assert said in result.err
    assert not (stage.home / "desk.porter").exists()


def test_a_second_porter_is_not_made_over_the_first(stage: Porters) -> None:
    made(stage)
    result = stage.run("porter", "--pair", "anna.pairing")
    assert result.code == 2
    assert "there is a porter in" in result.err


def test_an_old_copy_is_refused_and_the_desk_is_to_join_anew(stage: Porters) -> None:
    made(stage)
    copy = Copy(stage.home)
    assert stage.run("porter", "--rounds", "1", hidden=[SECRET]).code == 0
    copy.put_back("desk.porter")
    result = stage.run("porter", "--rounds", "1", hidden=[SECRET])
    assert (result.code, result.out) == (4, "")
    assert "this porter is an old copy" in result.err
    assert "hint: backchannel join CHARTER --ticket-file FILE" in result.err
