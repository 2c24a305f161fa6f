"""The pages of docs/using are played: their commands run, and say what stands there.

A page has two people, and whoever else its prompts name, each with a home of
their own and one folder for all. What a page shows for a seal number or for
eight words is an example; that it is the same one in two places is checked.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from backchannel.cli.app import VERBS, load
from backchannel.office import cli as operators
from backchannel.office.edge import Edge as OperatorEdge
from backchannel.post.ciphers import Ciphers
from tests.cli.script import COMMANDS, agrees
from tests.cli.stage import CHEAP, Result, Stage, furnish

PAGES = sorted((Path(__file__).parents[1] / "docs" / "using").glob("*.md"))
NAMES = {"anna": "Anna Reuter", "mikhail": "Mikhail Orlov"}
PROMPT = re.compile(r"([a-z]*)\$ (.*)")
EXAMPLES = re.compile(r"\b\d{4}-\d{4}-\d{4}\b|\b(?:[a-z]+ ){7}[a-z]+$", re.MULTILINE)
QUESTION = re.compile(r"(.*\?) (.+)")
PROSE = "The weir at Kalm was closed on Sunday.\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_and_say_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(tmp_path, monkeypatch, seed=page.stem)
    cast: dict[str, Stage] = {}
    holes: dict[str, str] = {}
    for who, command, expected in played(page.read_text(encoding="utf-8")):
        stage = cast.setdefault(
            who, Stage(tmp_path / (who or "reader"), seed=page.stem + who, passphrase="typed unseen")
        )
        if expected is None:
            behind_the_scenes(cast, stage, command)
            continue
        typed = [found[2] for line in expected if (found := QUESTION.fullmatch(line))]
        shown = [found[1] if (found := QUESTION.fullmatch(line)) else line for line in expected]
        words = shlex.split(command)
        if words[0] == "cat":
            Path(words[1]).write_text("\n".join(expected) + "\n", encoding="utf-8")
            continue
        if words[0] == "backchannel-operator":
            shown_by = operator(stage, words[1:])
            assert agrees(shown, shown_by, holes), "\n".join([page.name, command, *shown_by])
            continue
        assert words[0] == "backchannel", command
        result = stage.run(*words[1:], stdin="".join(filled(line, holes) + "\n" for line in typed))
        assert agrees(shown, together(result), holes), "\n".join([page.name, command, *together(result)])


@pytest.mark.parametrize("verb", VERBS)
def test_the_row_of_a_verb_names_all_its_options(verb: str) -> None:
    page = next(page for page in PAGES if page.stem == "command-line").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{verb}`.*$", page, re.MULTILINE)
    own = [p.opts[0] for p in load(verb).params if isinstance(p, click.Option) and not p.hidden]
    assert [option for option in own if not re.search(rf"`{option}[ `]", row)] == []


def played(text: str) -> Iterator[tuple[str, str, list[str] | None]]:
    """Who does what, and what is shown of it; None where nothing is."""
    named = {example: f"{{example{i}}}" for i, example in enumerate(dict.fromkeys(EXAMPLES.findall(consoles(text))))}
    for block, comment in re.findall(r"```console\n(.*?)```|<!-- run: (.*?) -->", text, re.DOTALL):
        if comment:
            found = PROMPT.fullmatch(comment)
            yield (found[1], found[2], None) if found else ("anna", comment, None)
            continue
        generic = EXAMPLES.sub(lambda example: named[example[0]], block)
        parts = re.split(rf"^{PROMPT.pattern}\n", generic, flags=re.MULTILINE)
        for who, command, shown in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            yield who, command, shown.rstrip("\n").split("\n") if shown else []


def consoles(text: str) -> str:
    return "".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))


def behind_the_scenes(cast: dict[str, Stage], stage: Stage, command: str) -> None:
    """What a page has happen between its blocks."""
    words = shlex.split(command)
    if words == ["met"]:
        meet(cast, stage)
    elif words[0] == "backchannel":
        assert stage.run(*words[1:], stdin=PROSE).code == 0, command
    else:
        COMMANDS[words[0]](stage, words[1:], "")


def operator(stage: Stage, words: list[str]) -> list[str]:
    """What an operator's command says, on both streams, as a person sees it."""
    edge = OperatorEdge(
        now=lambda: stage.time * 1000,
        random=stage.random,
        ciphers=Ciphers.real(),
        words_cost=CHEAP,
        folder=stage.home / "operator",
        host="example",
    )
    both = io.StringIO()
    with contextlib.redirect_stdout(both), contextlib.redirect_stderr(both):
        operators.main(words, edge=edge)
    return [line.rstrip() for line in both.getvalue().rstrip("\n").split("\n")]


def meet(cast: dict[str, Stage], anna: Stage) -> None:
    """Let Anna and Mikhail meet, each at home."""
    home = anna.home.parent / "mikhail"
    mikhail = cast.setdefault("mikhail", Stage(home, seed="mikhail", passphrase="typed unseen"))
    for stage, name in ((anna, NAMES["anna"]), (mikhail, NAMES["mikhail"])):
        assert stage.run("init", "--name", name).code == 0
    assert anna.run("card", "--for", NAMES["mikhail"], "-o", "anna.card").code == 0
    assert mikhail.run("meet", "anna.card", "-o", "mikhail.card").code == 0
    shown = anna.run("meet", "mikhail.card").out.splitlines()[2].strip()
    assert anna.run("compare", "Mikhail", stdin=shown).code == 0
    assert mikhail.run("compare", "Anna", stdin=shown).code == 0


def together(result: Result) -> list[str]:
    """Both streams as a person sees them."""
    return [line.rstrip() for line in "".join(text for _, text in result.written).rstrip("\n").split("\n")]


def filled(text: str, holes: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda hole: holes[hole[1]], text)
