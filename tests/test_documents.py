"""The documents say what is true: the README's commands run, its help and its links hold, every claim has its test."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from backchannel.cli.app import VERBS
from tests.cli.stage import Stage, furnish

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLAIMS = ROOT / "docs" / "claims.md"
CORE = ("errors.py", "encoding.py", "keys.py", "kem.py", "letters", "seal", "pouch")
POST = ("signing.py", "post")
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\(([^)#]+?)(?:#([^)]*))?\)")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_MAKE = re.compile(r"`make ([a-z-]+)`")


def test_the_commands_of_the_readme_run_and_say_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    furnish(tmp_path, monkeypatch, seed="readme")
    people = {who: Stage(tmp_path / who, seed=who) for who in ("anna", "mikhail")}
    Path("letter.txt").write_text("A letter of a few words.\n")
    people["mikhail"].run("init", "--name", "Mikhail Orlov", hidden=["of his own"] * 2)
    words = ""
    for who, command, expected in _console(README):
        arguments = shlex.split(command)[1:]
        hidden = ["of his own" if who == "mikhail" else "secret"] * (2 if "init" in arguments else 1)
        result = people[who].run(*arguments, hidden=hidden, stdin=words if "compare" in arguments else "")
        assert result.code == 0, result.err
        match = re.fullmatch(_pattern(expected, words), result.out.rstrip("\n"), re.DOTALL)
        assert match, f"{command}\n{result.out}"
        words = match.groupdict().get("words") or words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in _LINK.findall(text):
        assert "://" not in target, f"{target}: nothing here depends on a site"
        found = (page.parent / target).resolve()
        assert found.exists(), target
        if anchor:
            assert anchor in {_anchor(line) for line in found.read_text(encoding="utf-8").splitlines()}, anchor


def test_every_test_that_a_claim_names_exists() -> None:
    named = _TEST.findall(CLAIMS.read_text(encoding="utf-8"))
    assert named
    for file, name in named:
        assert name in _tests_of(ROOT / file), f"{file}::{name}"


def test_every_claim_names_what_shows_it() -> None:
    rows = [line for line in CLAIMS.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    for row in rows:
        shown = row.split("|")[2]
        assert _TEST.search(shown) or _MAKE.search(shown) or set(shown.strip()) <= {"-"} or "shown by" in shown, row


def test_what_the_readme_asks_to_make_can_be_made() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in _MAKE.findall(README):
        assert target in targets, target


def test_the_size_of_the_core_and_of_the_post_office_is_what_the_readme_says() -> None:
    said = [int(each.replace(",", "")) for each in re.findall(r"about ([\d,]+) lines", README)]
    for rooms, lines in zip((CORE, POST), said, strict=True):
        assert abs(_size(rooms) - lines) <= 100, _size(rooms)


def _size(rooms: tuple[str, ...]) -> int:
    """How many lines of Python *rooms* have, but for data."""
    lines = 0
    for name in rooms:
        place = ROOT / "src" / "backchannel" / name
        files = [place] if place.is_file() else [f for f in place.rglob("*.py") if f.name != "wordlist.py"]
        lines += sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    return lines


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_every_verb_is_described_in_the_documents() -> None:
    page = (ROOT / "docs" / "using" / "command-line.md").read_text(encoding="utf-8")
    for verb in VERBS:
        assert f"`{verb}`" in page or f"backchannel {verb}" in page, verb


def test_every_specification_page_has_example_bytes_and_reasons_for_refusal() -> None:
    for page in (ROOT / "docs" / "spec").glob("*.md"):
        text = page.read_text(encoding="utf-8").lower()
        if page.name == "labels.md":  # a list
            continue
        assert "example" in text, page.name
        if page.name != "commitment.md":  # it decodes nothing
            assert "refus" in text, page.name


def _console(text: str) -> list[tuple[str, str, str]]:
    block = re.findall(r"```console\n(.*?)```", text, re.DOTALL)[0]
    steps = re.split(r"^(\w+)\$ (.*)\n", block, flags=re.MULTILINE)[1:]
    return [(steps[i], steps[i + 1], steps[i + 2].rstrip("\n")) for i in range(0, len(steps), 3)]


def _pattern(expected: str, words: str) -> str:
    known = words or r"(?P<words>[a-z ]+)"
    return re.escape(expected).replace(r"\.\.\.", ".*").replace(r"\{words\}", known)


def _anchor(line: str) -> str:
    if not line.startswith("#"):
        return ""
    return re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")


def _tests_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)} | {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
