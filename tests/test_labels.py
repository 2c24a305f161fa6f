"""Every label stands once in the code and once on its page (docs/spec/labels.md), and nothing else does."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "backchannel"
SPEC = ROOT / "docs" / "spec"
PAGE = SPEC / "labels.md"
SHAPE = re.compile(r"backchannel/v1/[a-z]+(-[a-z]+)*/[a-z]+(-[a-z]+)*")
ROW = re.compile(
    r"\| `(?P<label>[^`]+)` \| \[(?P<page>[a-z-]+\.md)\]\((?P=page)\)(?: §\d+)?, `(?P<file>[^`]+)` \| \S.*\|"
)


def labels_of(file: Path) -> list[str]:
    """Every constant of *file* that could be taken for a label; a docstring says more than one."""
    values = [node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)]
    texts = [value.decode(errors="replace") if isinstance(value, bytes) else value for value in values]
    return [text for text in texts if isinstance(text, str) and text.startswith("backchannel/")]


LABELS = [
    (file.relative_to(SOURCE).as_posix(), label) for file in sorted(SOURCE.rglob("*.py")) for label in labels_of(file)
]
ROWS = [match for line in PAGE.read_text().splitlines() if (match := ROW.fullmatch(line))]


def test_there_are_labels_to_look_at() -> None:
    assert len(LABELS) > 30


def test_each_label_stands_in_one_place_of_the_code() -> None:
    assert {label: count for label, count in Counter(label for _, label in LABELS).items() if count > 1} == {}


@pytest.mark.parametrize(("file", "label"), LABELS, ids=[label for _, label in LABELS])
def test_a_label_is_well_formed_and_bytes(file: str, label: str) -> None:
    assert SHAPE.fullmatch(label)
    assert f'b"{label}"' in (SOURCE / file).read_text()


def test_no_label_is_the_beginning_of_another() -> None:
    # Not every use frames its label, so none may be read as another and what follows it,
    # unless both are framed, as the desk's are.
    names = sorted({label for _, label in LABELS if not label.startswith("backchannel/v1/desk/")})
    begun = [(a, b) for a in names for b in names if a != b and b.startswith(a)]
    assert begun == [("backchannel/v1/commitment/salt", "backchannel/v1/commitment/salts")]


def test_the_page_lists_every_label_where_it_stands_and_no_other() -> None:
    assert [(row["file"], row["label"]) for row in ROWS] == sorted(LABELS, key=lambda pair: pair[1])


def test_every_row_of_the_page_is_one_label() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row["label"] for row in ROWS])
def test_the_page_that_a_row_names_has_its_format_and_its_purpose(row: re.Match[str]) -> None:
    page = (SPEC / row["page"]).read_text()
    form, _, purpose = row["label"].rpartition("/")
    assert f"{form}/" in page
    assert re.search(rf"(?<![a-z]){purpose}(?![a-z])", page)
