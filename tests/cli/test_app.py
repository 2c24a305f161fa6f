from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from backchannel import __version__
from backchannel.cli.app import VERBS, load
from tests.cli import trial
from tests.cli.stage import Stage

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def trial_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, trial.MODULE, trial)
    monkeypatch.setitem(VERBS, trial.NAME, trial.ENTRY)


def spawn(*arguments: str, stdout: TextIO) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with the verb for tests."""
    return subprocess.run(
        [sys.executable, "-m", "tests.cli.trial", *arguments],
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("what", "code"), [("no", 1), ("not-now", 3), ("refused", 4), ("locked", 5), ("disk-full", 3), ("interrupt", 130)]
)
def test_every_kind_of_failure_has_its_exit_code(stage: Stage, what: str, code: int) -> None:
    assert stage.run("trial", what).code == code


def test_an_exit_code_that_is_no_failure_is_the_verbs_to_give(stage: Stage) -> None:
    result = stage.run("trial", "end", "--count", "6")
    assert (result.code, result.written) == (6, ())


def test_a_fault_of_ours_names_its_type_and_nothing_else(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    result = stage.run("trial", "fault")
    assert (result.code, result.err) == (70, "backchannel: error: a fault of backchannel itself: ValueError\n")
    monkeypatch.setenv("BACKCHANNEL_TRACEBACK", "1")
    assert "ValueError: a secret" in stage.run("trial", "fault").err


def test_an_interruption_is_quiet(stage: Stage) -> None:
    assert stage.run("trial", "interrupt").written == ()


def test_an_error_of_the_system_names_the_file(stage: Stage) -> None:
    assert stage.run("trial", "disk-full").err == "backchannel: error: the desk: no space left on device\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--desk", "the desk", "--json", "trial", "desk"),
        ("trial", "desk", "--desk", "the desk", "--json"),
        ("--desk", "another", "trial", "--json", "--desk", "the desk", "desk"),
    ],
)
def test_options_of_every_verb_stand_before_or_after_it(stage: Stage, arguments: tuple[str, ...]) -> None:
    assert json.loads(stage.run(*arguments).out) == {"desk": "the desk"}


def test_without_a_name_the_desk_is_the_edges(stage: Stage) -> None:
    assert stage.run("trial", "desk").out == f"{stage.home / 'desk'}\n"


def test_a_hint_names_the_desk_that_the_call_was_about(stage: Stage) -> None:
    result = stage.run("trial", "refused", "--desk", "the desk")
    assert result.err.splitlines()[1] == "backchannel: hint: backchannel --desk 'the desk' compare Nikita"
    result = stage.run("trial", "line", "the letter", "--passphrase-file", "a file")
    assert result.out == "backchannel --passphrase-file 'a file' send 'the letter'\n"


def test_errors_are_json_where_results_are(stage: Stage) -> None:
    result = stage.run("trial", "refused", "--json")
    assert json.loads(result.err) == {
        "error": "Nikita has not been compared",
        "hint": "backchannel compare Nikita",
        "exit": 4,
    }
    assert json.loads(stage.run("trial", "--count", "few", "emit", "--json").err)["exit"] == 2


def test_json_holds_nothing_that_acts_on_a_terminal(stage: Stage) -> None:
    result = stage.run("--json", "trial", "emit", "\x1b[2J\u202e\u009b")
    assert result.out.isascii()
    assert "\x1b" not in result.out
    assert json.loads(result.out)["text"] == "\x1b[2J\u202e\u009b"


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("trail", "x y"), 'no verb "trail"', "backchannel trial 'x y'"),
        (("tr\x1b[2J",), 'no verb "tr\ufffd[2J"', "backchannel --help"),
        (("trial", "emit", "--cuont", "2"), 'no option "--cuont"', "backchannel trial emit --count 2"),
        (("trial", "emit", "--cuont=2"), 'no option "--cuont"', "backchannel trial emit --count=2"),
        (("trial", "emit", "-x"), 'no option "-x"', "backchannel trial --help"),
        (("trial",), "missing argument 'WHAT'", "backchannel trial --help"),
        (("trial", "a", "b", "c"), "got unexpected extra argument (c)", "backchannel trial --help"),
        (
            ("trial", "a", "--count", "few"),
            "invalid value for '--count': 'few' is not a number",
            "backchannel trial --help",
        ),
        ((), "no verb", "backchannel --help"),
    ],
)
def test_a_usage_error_is_one_line_and_a_command_to_run(
    stage: Stage, arguments: tuple[str, ...], error: str, hint: str
) -> None:
    result = stage.run(*arguments)
    assert result.err == f"backchannel: error: {error}\nbackchannel: hint: {hint}\n"
    assert (result.code, result.out) == (2, "")


def test_the_version_is_printed_before_and_after_a_verb(stage: Stage) -> None:
    assert stage.run("--version").out == stage.run("trial", "--version").out == f"backchannel {__version__}\n"


def test_help_is_given_by_the_short_option_too(stage: Stage) -> None:
    assert stage.run("-h") == stage.run("--help")
    assert stage.run("trial", "-h") == stage.run("trial", "--help")


@pytest.mark.parametrize("name", VERBS)
def test_the_table_says_what_the_verb_says_of_itself(name: str) -> None:
    command = load(name)
    assert command.help is not None
    assert command.help.splitlines()[0] == VERBS[name].help


def test_a_table_that_names_the_wrong_module_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERBS, "trail", trial.ENTRY)
    with pytest.raises(LookupError, match="has no verb trail"):
        load("trail")


def test_no_colour_goes_anywhere_but_to_a_terminal(stage: Stage) -> None:
    assert "\x1b" not in stage.run("trial", "refused").err


def test_a_reader_who_leaves_early_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as broken:
        done = spawn("trial", "emit", "x", "--count", "100000", stdout=broken)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_result_that_cannot_be_written_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = spawn("trial", "emit", "x", stdout=full)
    assert (done.returncode, done.stderr) == (3, "backchannel: error: no space left on device\n")


def test_what_an_output_cannot_show_is_replaced(stage: Stage) -> None:
    assert stage.run("trial", "emit", b"caf\xe9".decode(errors="surrogateescape")).out == "caf?\n"
