"""One line wrong, and a test fails: every mutant of the lists beside this file dies.

A list names the tests that are to notice (`tests`) and, for each mutant, the
file, the text to replace, which stands there once, its replacement, and what
would be wrong.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COPIED = ("src", "tests", "docs", "pyproject.toml", "README.md")
# Failed tests, or a module that no longer imports.
DEAD = (1, 2)
SLOWEST = 300  # seconds; a mutant that never ends has been noticed

LISTS: dict[str, dict[str, Any]] = {path.stem: tomllib.loads(path.read_text()) for path in sorted(HERE.glob("*.toml"))}
MUTANTS = [
    pytest.param(name, mutant, id=f"{name}-{number:02}-{mutant['why'].replace(' ', '-')}")
    for name, content in LISTS.items()
    for number, mutant in enumerate(content["mutant"])
]


@pytest.mark.parametrize(("name", "mutant"), MUTANTS)
def test_the_text_that_a_mutant_replaces_stands_once_in_its_file(name: str, mutant: dict[str, str]) -> None:
    del name
    assert set(mutant) == {"file", "old", "new", "why"}
    source = (ROOT / mutant["file"]).read_text()
    assert source.count(mutant["old"]) == 1
    compile(source.replace(mutant["old"], mutant["new"]), mutant["file"], "exec")
    assert mutant["old"] != mutant["new"]


@pytest.mark.parametrize("name", LISTS)
def test_the_tests_that_a_list_names_are_there(name: str) -> None:
    assert LISTS[name]["tests"]
    for path in LISTS[name]["tests"]:
        assert (ROOT / path).exists()


@pytest.mark.long
@pytest.mark.timeout(2 * SLOWEST)
@pytest.mark.parametrize("name", LISTS)
def test_without_a_mutant_the_tests_pass(name: str, tmp_path: Path) -> None:
    house = copy(tmp_path)
    said = run(house, "-c", "import backchannel; print(backchannel.__file__)")
    assert Path(said.stdout.strip()).is_relative_to(house), "the copy is not what would be tested"
    assert try_out(house, name) == 0


@pytest.mark.long
@pytest.mark.timeout(2 * SLOWEST)
@pytest.mark.parametrize(("name", "mutant"), MUTANTS)
def test_the_mutant_dies(name: str, mutant: dict[str, str], tmp_path: Path) -> None:
    house = copy(tmp_path)
    file = house / mutant["file"]
    file.write_text(file.read_text().replace(mutant["old"], mutant["new"]))
    try:
        code = try_out(house, name)
    except subprocess.TimeoutExpired:
        return
    assert code in DEAD, f"it lives: {mutant['why']}"


def copy(folder: Path) -> Path:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder.resolve()


def try_out(house: Path, name: str) -> int:
    plugins = ("-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist")
    return run(house, "-m", "pytest", "-q", "-x", "-m", "not long", *plugins, *LISTS[name]["tests"]).returncode


def run(house: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # What is installed is the source itself, by a path; this one comes before it.
    environment = os.environ | {"PYTHONPATH": str(house / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=house,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SLOWEST,
        check=False,
    )
