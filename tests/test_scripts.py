"""Every script in tests/scripts is played; BACKCHANNEL_UPDATE=1 writes down what came of it."""

from __future__ import annotations

import difflib
import importlib.util
import os
import shlex
from pathlib import Path

import pytest

from backchannel.cli.app import VERBS
from tests.cli.script import Script, agrees, play
from tests.cli.stage import furnish

SCRIPTS = sorted(Path(__file__).with_name("scripts").glob("*.txt"))
UPDATE = bool(os.environ.get("BACKCHANNEL_UPDATE"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_comes_out_as_it_is_written(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, stage = Script.parse(path.read_text()), furnish(tmp_path, monkeypatch, seed=path.stem)
    holes: dict[str, str] = {}
    for step in script.steps:
        actual = play(step, stage, holes)
        if agrees(step.expected, actual, holes):
            continue
        if not UPDATE:
            difference = "\n".join(difflib.ndiff(step.expected, actual))
            pytest.fail(f"{path.name}, line {step.number}\n$ {step.command}\n{difference}", pytrace=False)
        # The blank lines before the next step are the layout of the file.
        blank = len(step.expected) - len("\n".join(step.expected).rstrip("\n").split("\n"))
        step.expected = actual + [""] * (blank if any(step.expected) else len(step.expected))
    if UPDATE:
        path.write_text(script.format())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_written_as_it_was_read(path: Path) -> None:
    assert Script.parse(path.read_text()).format() == path.read_text()


def commands() -> list[list[str]]:
    return [shlex.split(step.command) for path in SCRIPTS for step in Script.parse(path.read_text()).steps]


# A verb whose module is still to be written needs no script yet.
WRITTEN = [verb for verb, entry in VERBS.items() if importlib.util.find_spec(f"backchannel.cli.{entry.module}")]


@pytest.mark.parametrize("verb", WRITTEN)
def test_a_verb_is_used_in_some_script(verb: str) -> None:
    assert any(words[0] == "backchannel" and verb in words and "--help" not in words for words in commands())


@pytest.mark.parametrize("verb", WRITTEN)
def test_the_help_of_a_verb_is_shown_in_some_script(verb: str) -> None:
    assert ["backchannel", verb, "--help"] in commands()
