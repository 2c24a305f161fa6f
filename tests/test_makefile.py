"""The Makefile sets itself up, and where it cannot it says what to install."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_where_venv_is_missing_make_says_what_to_install(tmp_path: Path) -> None:
    ended = _make(tmp_path, 'case "$2" in *venv*) exit 1;; esac')
    assert ended.returncode != 0
    assert "apt install python3-venv" in ended.stdout


def test_an_old_python_is_named_as_what_is_wrong(tmp_path: Path) -> None:
    ended = _make(tmp_path, "exit 1")
    assert ended.returncode != 0
    assert "needs Python 3.11 or newer" in ended.stdout


def test_no_requirement_file_holds_an_address() -> None:
    for file in (ROOT / "requirements").iterdir():
        assert "://" not in file.read_text(encoding="utf-8"), file.name


def _make(folder: Path, answers: str) -> subprocess.CompletedProcess[str]:
    """Let make set up a virtual environment with a Python that *answers* as this script does."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{answers}\n")
    python.chmod(0o755)
    venv = folder / "venv"
    command = ["make", "-C", str(ROOT), f"PYTHON={python}", f"VENV={venv}", f"{venv}/.stamp"]
    return subprocess.run(command, capture_output=True, text=True, check=False)
