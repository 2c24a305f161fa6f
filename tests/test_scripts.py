"""Every script in tests/scripts is played; BACKCHANNEL_UPDATE=1 writes down what came of it.

And what the scripts leave out: every verb, every option, every message of the
rooms that a person talks to occurs in one of them, and every hint in them is a
command that parses.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from backchannel.cli.app import _ARGUMENTS, _GROUP, VERBS, load
from backchannel.cli.talk import Call
from tests.cli.script import Script, Step, agrees, play
from tests.cli.stage import furnish

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(Path(__file__).with_name("scripts").glob("*.txt"))
UPDATE = bool(os.environ.get("BACKCHANNEL_UPDATE"))

# Where what goes wrong is said to a person.
SPEAKING = [
    *ROOT.glob("src/backchannel/cli/*.py"),
    *(
        ROOT / "src/backchannel/desk" / f"{name}.py"
        for name in ("introductions", "writing", "carriage", "desk", "post")
    ),
    *(ROOT / "src/backchannel/seal" / f"{name}.py" for name in ("meeting", "words")),
    *ROOT.glob("src/backchannel/pouch/*.py"),
]
# What cannot be shown in a script, and why.
UNSHOWN = {
    "a card bears both names or none": "desks have owners with names, and a card is for somebody",
    "an answering card bears both names": "the same",
    "a card is good for a day at least": "the option refuses it first",
    "this is an answering card": "meet looks which of the two a card is",
    "this is a first card": "the same",
    "this answering card bears a key of this desk's own": "its writer would have to have the key; tests/seal has it",
    "no file system in memory for the editor": "the stage has one; tests/cli/test_edge.py tells when there is none",
    "these letters are too large for one pouch": "pack leaves behind what does not fit",
    "a register of cards does not parse": "the store vouches for what it gives back",
    "the making of this desk was cut off": "power would have to fail between two commits; tests/desk has it",
    "the demo runs two operators, and these need NumPy": "the tests have it; tests/test_demo.py takes it away",
    "an operator of the demo does not start:": "the demo's own would have to fail; tests/cli/test_demo_stage.py has it",
    "the letters did not cross in": "the machine would have to be too slow; tests/cli/test_demo_stage.py has it",
    "this ticket is for the post office": "the stage has one office; tests/desk/test_post.py has what join refuses",
    "their card has a place at which too many write": "it takes three correspondents; tests/desk/test_post.py has it",
    "this desk is an old copy: it joins no post office": "the same",
    "this ticket is not for a mailbox of this post office": "a ticket of the stage is; tests/desk/test_post.py has it",
    "has no verb": "the table of verbs would be wrong; tests/cli/test_app.py has it",
}
PLACEHOLDERS = {"FILE", "WHO", "NAME", "CARD", "CHARTER"}


def steps() -> list[Step]:
    return [step for path in SCRIPTS for step in Script.parse(path.read_text()).steps]


def commands() -> list[list[str]]:
    return [shlex.split(step.command) for step in steps()]


def options(verb: str) -> list[str]:
    """The options of *verb* alone."""
    return [p.opts[0] for p in load(verb).params if isinstance(p, click.Option) and not p.hidden]


def said() -> str:
    """All that standard error says in the scripts, JSON taken apart."""
    lines = [line.removeprefix("! ") for step in steps() for line in step.expected if line.startswith("! ")]
    return "\n".join("\n".join(map(str, json.loads(line).values())) if line.startswith("{") else line for line in lines)


def hints() -> list[str]:
    """The commands that the scripts suggest, each once."""
    found = re.findall(r"^(?:backchannel: hint: )?(backchannel .*)$", said(), re.MULTILINE)
    return sorted({hint for hint in found if not hint.startswith("backchannel: ")})


def parse(words: list[str]) -> None:
    """Parse a command line as far as a call does before its verb begins."""
    # The help option of a verb is made once, for whoever is first.
    with _GROUP.make_context("backchannel", words, obj=Call(), help_option_names=["-h", "--help"]) as ctx:
        ctx.meta[_ARGUMENTS] = words
        name, verb, rest = _GROUP.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
        assert verb is not None
        verb.make_context(name, rest, parent=ctx).close()


def messages() -> Iterator[tuple[str, str]]:
    """Where an error is made, and its message as a pattern: what is filled in may be anything."""
    for path in SPEAKING:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and _makes_an_error(node.func):
                for pattern in _patterns(node.args[0]):
                    yield f"{path.name}, line {node.lineno}", pattern


def _makes_an_error(function: ast.expr) -> bool:
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    # An error of our own may make its message itself.
    return name.endswith("Error") or name == "__init__"


def _patterns(message: ast.expr) -> list[str]:
    match message:
        case ast.Constant(value=str(text)):
            return [re.escape(text)]
        case ast.JoinedStr(values=values):
            parts = [re.escape(str(v.value)) if isinstance(v, ast.Constant) else ".*" for v in values]
            return ["".join(parts)]
        case ast.IfExp(body=body, orelse=otherwise):
            return _patterns(body) + _patterns(otherwise)
    return []


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


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_used_in_some_script(verb: str) -> None:
    assert any(words[0] == "backchannel" and verb in words and "--help" not in words for words in commands())


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_is_shown_in_some_script(verb: str) -> None:
    assert ["backchannel", verb, "--help"] in commands()


@pytest.mark.parametrize(("verb", "option"), [(verb, name) for verb in VERBS for name in options(verb)])
def test_an_option_of_a_verb_is_used_in_some_script(verb: str, option: str) -> None:
    assert any(words[0] == "backchannel" and verb in words and option in words for words in commands())


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "demo"])
def test_a_verb_answers_in_json_in_some_script(verb: str) -> None:
    assert any(verb in words and "--json" in words for words in commands())


def test_every_message_that_a_person_can_meet_is_in_some_script() -> None:
    shown = said()
    missing = [
        f"{where}: {pattern}"
        for where, pattern in messages()
        if not re.search(pattern, shown) and not any(re.escape(message) in pattern for message in UNSHOWN)
    ]
    assert not missing


def test_what_is_said_not_to_be_shown_is_said_somewhere() -> None:
    patterns = [pattern for _, pattern in messages()]
    assert [message for message in UNSHOWN if not any(re.escape(message) in pattern for pattern in patterns)] == []


@pytest.mark.parametrize("hint", hints())
def test_a_hint_in_a_script_is_a_command_that_parses(hint: str) -> None:
    program, *words = shlex.split(hint)
    assert program == "backchannel"
    assert {word for word in words if word.isupper()} <= PLACEHOLDERS
    with contextlib.suppress(click.exceptions.Exit):  # --help was asked for, and given
        parse(words)
