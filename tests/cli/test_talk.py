from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from backchannel.cli.app import VERBS
from backchannel.cli.talk import Call, nearest
from tests.cli import trial
from tests.cli.stage import Stage


@pytest.fixture(autouse=True)
def trial_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, trial.MODULE, trial)
    monkeypatch.setitem(VERBS, trial.NAME, trial.ENTRY)


def private(name: str, data: bytes) -> str:
    Path(name).write_bytes(data)
    Path(name).chmod(0o600)
    return name


def test_results_and_talk_go_their_own_ways(stage: Stage) -> None:
    assert stage.run("trial", "emit", "a letter").written == (("out", "a letter\n"),)
    assert stage.run("trial", "say", "one\nline\x1b").written == (("err", "one line\ufffd\n"),)
    assert stage.run("trial", "warn", "look").written == (("err", "backchannel: warning: look\n"),)


def test_a_question_is_answered_by_a_line(stage: Stage) -> None:
    result = stage.run("trial", "ask", stdin="eight words \nmore")
    assert (result.out, result.err) == ("heard eight words\n", "which words? \n")
    assert stage.run("trial", "ask").code == 2


@pytest.mark.parametrize(
    ("answer", "meant"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_only_a_yes_is_a_yes(stage: Stage, answer: str, *, meant: bool) -> None:
    assert stage.run("trial", "confirm", stdin=answer).out == f"{meant}\n"


@pytest.mark.parametrize("data", [b"seven\n", b"seven\r\nand more", b"seven"])
def test_a_passphrase_is_the_first_line_of_its_file(stage: Stage, data: bytes) -> None:
    result = stage.run("trial", "passphrase", "--passphrase-file", private("pass", data))
    assert (result.out, result.err) == ("5 characters\n", "")
    assert stage.run("trial", "new", "--passphrase-file", "pass").out == "5 characters\n"


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", "is empty"), (b"\nx", "is empty"), (b"\xff", "not text in UTF-8"), (b"x" * 5000, "too long to be one")],
)
def test_a_file_that_holds_no_passphrase_is_refused(stage: Stage, data: bytes, error: str) -> None:
    result = stage.run("trial", "passphrase", "--passphrase-file", private("pass", data))
    assert result.code == 2
    assert error in result.err


def test_a_passphrase_file_that_is_not_there_is_told(stage: Stage) -> None:
    result = stage.run("trial", "passphrase", "--passphrase-file", "pass")
    assert (result.code, result.err) == (2, "backchannel: error: there is no file pass\n")


def test_a_passphrase_file_that_others_can_read_is_warned_of(stage: Stage) -> None:
    Path(private("pass", b"seven")).chmod(0o640)
    result = stage.run("trial", "passphrase", "--passphrase-file", "pass")
    assert (result.code, result.err) == (0, "backchannel: warning: others on this machine can read pass\n")


def test_without_a_file_or_a_terminal_there_is_no_passphrase(stage: Stage) -> None:
    result = stage.run("trial", "passphrase", stdin="not this\n")
    assert result.code == 5
    assert result.err == (
        "backchannel: error: no passphrase: there is no terminal to ask on, and no --passphrase-file\n"
        "backchannel: hint: backchannel --help\n"
    )


def test_a_new_passphrase_is_typed_twice_or_left_to_be_made(stage: Stage) -> None:
    assert stage.run("trial", "new", hidden=["seven", "seven"]).out == "5 characters\n"
    assert stage.run("trial", "new", hidden=[""]).out == "made for you\n"
    result = stage.run("trial", "new", hidden=["seven", "Seven"])
    assert (result.code, result.err.splitlines()[-1]) == (2, "backchannel: error: the two passphrases differ")


def test_a_passphrase_is_the_same_from_every_keyboard(stage: Stage) -> None:
    assert stage.run("trial", "passphrase", hidden=["e\u0301te\u0301"]).out == "3 characters\n"


def test_a_name_is_recognised_from_something_near_it() -> None:
    assert nearest("nikitta", ["Anna", "Nikita"]) == "Nikita"
    assert nearest("Boris", ["Anna", "Nikita"]) is None


@pytest.mark.parametrize(
    "name", ["Anna Reuter", 'a "pen" name', "O'Neill", "$(rm -r ~)", "`x`; x", "--desk", '"', "\\"]
)
def test_a_name_in_a_hint_is_one_word_for_the_shell(name: str) -> None:
    call = Call(given_desk=Path("a desk"))
    hint = call.runnable(f'backchannel compare "{name}" -o FILE')
    assert hint is not None
    assert shlex.split(hint) == ["backchannel", "--desk", "a desk", "compare", name, "-o", "FILE"]
    assert call.runnable(hint) == hint
    assert call.runnable(call.line("compare", name)) == call.line("compare", name)
