"""The vectors and the example of docs/spec/transfer.md, against the package."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.vectors import make_transfer
from tests.vectors.collection import HERE, Vector, files, read

VECTORS = read("transfer")
REFUSED = [name for name in VECTORS if name.startswith("refused")]
PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "transfer.md").read_text()


def replayed(vector: Vector) -> Vector:
    """The steps of *vector* once more."""
    steps = []
    for step in vector["steps"]:
        what, *given = step["do"]
        if what == "acknowledge":
            given = [[int(each) for each in given[0]]]
        if what == "take":
            given = [[int(given[0][0]), *given[0][1:]]]
        steps.append([what, *given])
    return make_transfer.played(steps)


def test_the_committed_vectors_are_what_the_generator_makes() -> None:
    made = files(make_transfer.vectors())
    kept = {path.name: path.read_text() for path in (HERE / "transfer").glob("*.json")}
    assert made == kept


@pytest.mark.parametrize("name", VECTORS)
def test_a_stream_goes_as_in_its_vector(name: str) -> None:
    vector = VECTORS[name]
    assert replayed(vector) | {"reason": vector.get("reason")} == vector | {"reason": vector.get("reason")}


@pytest.mark.parametrize("name", REFUSED)
def test_the_last_step_of_a_refused_vector_changes_and_delivers_nothing(name: str) -> None:
    vector = VECTORS[name]
    before, after = vector["steps"][-2:] if len(vector["steps"]) > 1 else ({"state": [0, "0", 0]}, vector["steps"][-1])
    assert not after["gives"]
    # What is too large is passed over, and counted.
    assert after["state"] == ([2, "0", 1] if vector["reason"] == 4 else before["state"])


def test_every_reason_of_the_page_has_its_vector() -> None:
    reasons = re.findall(r"^(\d+)\. ", PAGE.partition("## §6 ")[2].partition("## §7 ")[0], re.MULTILINE)
    assert [int(reason) for reason in reasons] == list(range(1, 5))
    assert {VECTORS[name]["reason"] for name in REFUSED} == set(range(1, 5))


def test_the_example_of_the_page_is_what_the_package_makes() -> None:
    end, coming = make_transfer.Sending(), make_transfer.Receiving()
    end.put(["a", 250])
    lines = []
    for _ in range(3):
        sent = end.send()
        assert sent is not None
        number, _, size, last = sent
        data = make_transfer.shake("a", 250)[100 * number : 100 * number + size]
        lines.append(f"{number}  {size:3}  {'last' if last else '    '}  {data[:8].hex()}...")
    assert "\n".join(lines) in PAGE.partition("## §7 Example")[2]
    for number, size, last in ((2, 50, True), (0, 100, False)):
        coming.take([number, "x", size, last])
    assert coming.state[:2] == [1, "1"]
    assert ((1).to_bytes(8) + (1).to_bytes(16)).hex() in PAGE
    assert "base 1 and bitmap 1" in PAGE.partition("## §7 Example")[2]
    assert hashlib.sha256(make_transfer.shake("a", 250)).hexdigest() in PAGE
