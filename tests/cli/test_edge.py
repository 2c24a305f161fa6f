from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest

from backchannel.cli.edge import Edge, memory_folder
from backchannel.keys import FULL_COST


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("BACKCHANNEL_DESK", "XDG_DATA_HOME", "XDG_STATE_HOME", "VISUAL", "EDITOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_desk_lies_in_the_home_of_its_user(home: Path) -> None:
    edge = Edge.here()
    assert edge.desk == home / ".local/share/backchannel/desk"
    assert edge.counters == home / ".local/state/backchannel"
    assert edge.editor is None


def test_a_desk_lies_where_the_environment_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("XDG_STATE_HOME", "relative, so ignored")
    monkeypatch.setenv("EDITOR", "ed")
    assert Edge.here().desk == Path("/data/backchannel/desk")
    assert Edge.here().counters == home / ".local/state/backchannel"
    assert Edge.here().editor == "ed"
    monkeypatch.setenv("BACKCHANNEL_DESK", "elsewhere")
    monkeypatch.setenv("VISUAL", "vi -n")
    assert Edge.here().desk == Path("elsewhere")
    assert Edge.here().editor == "vi -n"


@pytest.mark.usefixtures("home")
def test_the_edge_has_the_clock_and_the_generator_of_the_system() -> None:
    edge = Edge.here()
    assert abs(edge.now() - time.time()) < 5
    assert edge.local(edge.now()).timestamp() == edge.now()
    assert edge.random is os.urandom
    assert len(edge.random(32)) == 32


class Environment(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.asked.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)


def test_nothing_in_the_environment_makes_a_desk_cheaper(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment({"HOME": str(home)})
    monkeypatch.setattr(os, "environ", environment)
    edge = Edge.here()
    assert (edge.cost, edge.words_cost, edge.step) == (FULL_COST, FULL_COST, 64 * 1024 * 1024)
    assert environment.asked - {"HOME"} == {"BACKCHANNEL_DESK", "XDG_DATA_HOME", "XDG_STATE_HOME", "VISUAL", "EDITOR"}


@pytest.mark.usefixtures("home")
def test_an_edge_is_not_changed_but_made_anew() -> None:
    edge = Edge.here()
    with pytest.raises(dataclasses.FrozenInstanceError):
        edge.step = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("mounts", "found"),
    [
        ("tmpfs {} tmpfs rw 0 0\n", True),
        ("none {} ramfs rw 0 0\n", True),
        ("/dev/sda1 {} ext4 rw 0 0\n", False),
        ("tmpfs {} tmpfs rw 0 0\n/dev/sda1 {} ext4 rw 0 0\n", False),
        ("tmpfs {}/below tmpfs rw 0 0\n", False),
        ("", False),
    ],
)
def test_the_editors_file_goes_to_memory_only(tmp_path: Path, mounts: str, *, found: bool) -> None:
    table, folder = tmp_path / "mounts", tmp_path / "shm"
    folder.mkdir()
    table.write_text(mounts.replace("{}", str(folder)))
    assert memory_folder(table, folder) == (folder if found else None)


def test_a_system_that_does_not_say_what_is_mounted_has_no_memory_folder(tmp_path: Path) -> None:
    assert memory_folder(tmp_path / "mounts", tmp_path) is None
