"""The scripts' own format."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from backchannel.cli.app import VERBS
from tests.cli import trial
from tests.cli.script import Script, agrees, play
from tests.cli.stage import Stage


@pytest.fixture(autouse=True)
def trial_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, trial.MODULE, trial)
    monkeypatch.setitem(VERBS, trial.NAME, trial.ENTRY)


def perform(stage: Stage, text: str) -> list[list[str]]:
    """What came of the steps of a script, each of which may fill holes for the next."""
    holes: dict[str, str] = {}
    done = []
    for step in Script.parse(text).steps:
        done.append(play(step, stage, holes))
        agrees(step.expected, done[-1], holes)
    return done


def test_a_script_has_comments_files_answers_and_outcomes() -> None:
    text = "# one\n\n$ file a <<END\n$ not a command\nEND\n\n$ backchannel x\n<* hidden\n< typed\n<\nout\n! err\n[2]\n\n# two\n"
    script = Script.parse(text)
    first, second = script.steps
    assert first.body == ["$ not a command"]
    assert (second.hidden, second.typed) == (["hidden"], ["typed", ""])
    assert second.expected == ["out", "! err", "[2]", ""]
    assert script.format() == text


def test_what_is_written_comes_in_the_order_of_writing(stage: Stage) -> None:
    assert perform(stage, "$ backchannel trial ask\n< {words}\n") == [["! which words?", "heard {words}"]]
    assert perform(stage, "$ backchannel trial passphrase\n<* seven\n") == [["! passphrase: ".rstrip(), "5 characters"]]
    assert perform(stage, "$ backchannel trial no\n") == [["! backchannel: error: the words differ", "[1]"]]


def test_output_that_looks_like_a_script_is_marked(stage: Stage) -> None:
    done = perform(stage, "$ file odd <<END\n# a\n! b\n[2]\n\\c\n...\n\nplain\nEND\n$ cat odd\n")
    assert done[1] == ["\\# a", "\\! b", "\\[2]", "\\\\c", "\\...", "", "plain"]


def test_dots_stand_for_what_varies() -> None:
    assert agrees(["made ... in ..."], ["made it in anna"], {})
    assert agrees(["a", "...", "d"], ["a", "b", "c", "d"], {})
    assert agrees(["a", "...", "d"], ["a", "d"], {})
    assert not agrees(["a", "...", "d"], ["a", "! b", "d"], {})
    assert agrees(["! ...", "d"], ["! a", "! b", "d"], {})
    assert not agrees(["made ..."], ["made", "two"], {})


def test_a_hole_is_filled_once(stage: Stage) -> None:
    holes: dict[str, str] = {}
    assert agrees(["{words}", "again {words}"], ["eight words", "again eight words"], holes)
    assert holes == {"words": "eight words"}
    assert not agrees(["{words}"], ["nine words"], holes)
    assert not agrees(["{a} {a}"], ["x y"], {})
    done = perform(stage, "$ backchannel trial emit 'a b'\n{words}\n\n$ backchannel trial ask\n< {words}\n")
    assert done[1] == ["! which words?", "heard a b"]


def test_blank_lines_at_the_end_are_layout() -> None:
    assert agrees(["a", "", "b", "", ""], ["a", "", "b"], {})
    assert agrees(["", ""], [], {})
    assert not agrees(["a", "b"], ["a", "", "b"], {})


def test_output_goes_to_a_file_and_input_comes_from_one(stage: Stage) -> None:
    done = perform(
        stage,
        "$ backchannel trial emit words > out\n$ cat out\n$ backchannel trial ask < out\n",
    )
    assert done == [[], ["words"], ["! which words?", "heard words"]]


def test_files_are_looked_for_moved_and_damaged(stage: Stage) -> None:
    script = "\n".join(
        f"$ {line}"
        for line in (
            "file a <<END\nabc\nEND",
            "cp a b",
            "mv b c",
            "exists a b c",
            "absent a b",
            "flip a 1",
            "cut a 2",
            "chmod 644 a",
            "rm c",
            "cp . copy",
            "rm copy",
            "clock +3 days",
        )
    )
    before = stage.time
    assert [lines for lines in perform(stage, script) if lines] == [["! b: absent"], ["! a: exists"]]
    assert Path("a").read_bytes() == b"ac"
    assert Path("a").stat().st_mode & 0o777 == 0o644
    assert not Path("c").exists()
    assert stage.time == before + 3 * 86400


def test_what_is_typed_must_be_asked_for(stage: Stage) -> None:
    with pytest.raises(AssertionError, match="never asked for"):
        perform(stage, "$ backchannel trial emit x\n<* seven\n")
