"""Fixtures for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.stage import Stage, furnish


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage of one's own: ``stage.run("status", "--json")``."""
    return furnish(tmp_path, monkeypatch, seed="stage")
