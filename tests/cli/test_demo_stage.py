"""The demo's stage, where something goes wrong on it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backchannel.cli import demo_office
from backchannel.cli.demo_office import Town
from backchannel.cli.demo_stage import ENDINGS, cleared_stage, free_ports
from backchannel.cli.edge import Edge
from backchannel.cli.seeded import Seeded
from backchannel.cli.talk import Call
from backchannel.errors import UnavailableError


def test_an_operator_that_does_not_start_is_told_in_its_own_words(tmp_path: Path) -> None:
    with cleared_stage(tmp_path) as stage:
        stage.start("west", [sys.executable, "-c", "print('never'); print('no luck')"])
        with pytest.raises(UnavailableError, match=r"does not start: no luck$"):
            stage.wait_for("serves on")
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_does_not_stop_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backchannel.cli.demo_stage.ENDED", 0.1)
    with cleared_stage(tmp_path) as stage:
        stage.start("west", [sys.executable, "-c", "import time; print('serves on', flush=True); time.sleep(60)"])
        stage.wait_for("serves on")
    assert stage.processes["west"].returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def endings() -> Iterator[list[Any]]:
    """What the signals do that end a process, put back at the end."""
    before = [signal.getsignal(number) for number in ENDINGS]
    yield before
    for number, handler in zip(ENDINGS, before, strict=True):
        signal.signal(number, handler)


def test_signals_do_afterwards_what_they_did_before(tmp_path: Path, endings: list[Any]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with cleared_stage(tmp_path):
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) is not endings[1]
    assert [signal.getsignal(number) for number in ENDINGS] == [*endings[:2], signal.SIG_IGN]


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.usefixtures("endings")
def test_the_second_signal_does_not_disturb_what_the_first_has_begun(tmp_path: Path, number: signal.Signals) -> None:
    stopped = []

    async def work() -> None:
        signal.raise_signal(number)
        try:
            await asyncio.sleep(60)
        finally:
            signal.raise_signal(number)
            stopped.append(True)

    with pytest.raises(KeyboardInterrupt), cleared_stage(tmp_path) as stage:
        stage.run(work())
    assert stopped == [True]
    signal.raise_signal(number)
    assert list(tmp_path.iterdir()) == []


def test_ports_are_of_nobody_and_different() -> None:
    assert len(set(free_ports(5))) == 5


def test_letters_that_do_not_cross_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_office, "PATIENCE", 0)
    nothing: Any = None  # no charter is looked at where there are no rounds
    with cleared_stage(tmp_path) as stage:
        town = Town(Call(Edge.here()), stage, Seeded(1))
        town._homes = []
        with pytest.raises(UnavailableError, match="did not cross in 0 rounds"):
            asyncio.run(town._live(nothing))
