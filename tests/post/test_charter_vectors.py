"""The vectors and the example of docs/spec/charter.md, against the package and against a second implementation."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from backchannel.errors import MalformedError, VerificationError
from backchannel.keys import Cost
from backchannel.post.charter import BOUNDS, Charter, Numbers, SignedCharter
from tests.peer import post_peer as peer
from tests.vectors import make_charter
from tests.vectors.collection import HERE, files, read

VECTORS = read("charter")
TERMS = [name for name in VECTORS if name.startswith("accepted-terms")]
FILES = [name for name in VECTORS if name.startswith("accepted-file")]
REFUSED = [name for name in VECTORS if name.startswith("refused")]
PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "charter.md").read_text()


def test_the_committed_vectors_are_what_the_generator_makes() -> None:
    made = files(make_charter.vectors())
    kept = {path.name: path.read_text() for path in (HERE / "charter").glob("*.json")}
    assert made == kept


@pytest.mark.parametrize("name", TERMS)
def test_a_charter_is_read_and_written_and_its_clock_goes_as_in_its_vector(name: str) -> None:
    vector = VECTORS[name]
    data = make_charter.made(vector)
    charter = Charter.decode(data)
    assert charter.encode() == data
    assert hashlib.sha256(data).hexdigest() == vector["sha256"]
    assert charter.digest.hex() == vector["digest"]
    for number, begins, agreed, instants in vector["instants"]:
        assert (charter.begins(number), charter.agreed_by(number)) == (begins, agreed)
        assert [charter.instant(mailbox, number) for mailbox in make_charter.MAILBOXES] == instants
    assert [[now, charter.round_at(now)] for now, _ in vector["rounds"]] == vector["rounds"]
    assert [[number, charter.day_of(number), charter.effective(number)] for number, *_ in vector["days"]] == vector[
        "days"
    ]
    for number, tables, explicit in vector["tables"]:
        assert (charter.tables(number, more=True), charter.explicit(number, 0)) == (tables, explicit)


@pytest.mark.parametrize("name", TERMS)
def test_a_second_implementation_reads_the_same_charter_and_clock(name: str) -> None:
    vector = VECTORS[name]
    charter = peer.judge(make_charter.made(vector))
    clock = peer.Clock(charter)
    assert peer.digest(charter).hex() == vector["digest"]
    for number, begins, agreed, instants in vector["instants"]:
        assert (clock.begins(number), clock.agreed_by(number)) == (begins, agreed)
        assert [clock.instant(mailbox, number) for mailbox in make_charter.MAILBOXES] == instants
    assert [[now, clock.round_at(now)] for now, _ in vector["rounds"]] == vector["rounds"]
    assert [[number, clock.day_of(number), clock.effective(number)] for number, *_ in vector["days"]] == vector["days"]
    for number, tables, explicit in vector["tables"]:
        assert (clock.tables(number, more=True), clock.explicit(number, 0)) == (tables, explicit)


@pytest.mark.parametrize("name", FILES)
def test_a_charter_file_is_read_and_written_as_in_its_vector(name: str) -> None:
    vector = VECTORS[name]
    data = make_charter.made(vector)
    file = SignedCharter.decode(data)
    assert file.encode() == data
    assert file.charter.digest.hex() == vector["digest"]
    assert [hashlib.sha256(key).hexdigest() for key, _ in file.signatures] == vector["signers"]
    assert list(file.missing) == vector["missing"]


@pytest.mark.parametrize("name", FILES)
def test_a_second_implementation_reads_the_same_file(name: str) -> None:
    vector = VECTORS[name]
    charter, *signers = peer.judge_file(make_charter.made(vector))
    assert peer.digest(charter).hex() == vector["digest"]
    assert [hashlib.sha256(key).hexdigest() for key in signers] == vector["signers"]
    assert [seat[0] for seat in charter[2] if seat[2] not in signers] == vector["missing"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_charter_is_refused_for_its_one_reason(name: str) -> None:
    vector = VECTORS[name]
    data, in_file = make_charter.made(vector), name.startswith("refused-file")
    with pytest.raises(VerificationError if vector["reason"] == 9 else MalformedError):
        (SignedCharter if in_file else Charter).decode(data)
    with pytest.raises(peer.Refusal) as judged:
        (peer.judge_file if in_file else peer.judge)(data)
    assert judged.value.reason == vector["reason"]


def test_every_reason_of_the_page_has_its_vector() -> None:
    reasons = re.findall(r"^(\d+)\. ", PAGE.partition("## §5 ")[2].partition("## §6 ")[0], re.MULTILINE)
    assert [int(reason) for reason in reasons] == list(range(1, 10))
    assert {VECTORS[name]["reason"] for name in REFUSED} == set(range(1, 10))


def test_the_bounds_of_the_page_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| ([a-z_]+) \| ([\d,]+) \| ([\d,]+) \|", PAGE, re.MULTILINE)
    said = {name: (int(low.replace(",", "")), int(high.replace(",", ""))) for name, low, high in rows}
    assert said == BOUNDS
    assert list(said) == list(peer.NUMBERS) == [each.name for each in fields(Numbers)]
    assert [*said.values()] == [*zip(peer.LEAST, peer.MOST, strict=True)]


def test_the_signatures_that_were_recorded_are_those_that_the_files_name() -> None:
    assert set(json.loads(make_charter.RECORDED.read_text())) == set(make_charter.SIGNERS)


def test_the_example_of_the_page_is_what_both_implementations_make() -> None:
    data = make_charter.raw(make_charter.GOOD)
    ours, theirs = Charter.decode(data), peer.Clock(peer.judge(data))
    assert ours.digest == theirs.digest
    instant = ours.instant(1, 1000)
    assert instant == theirs.instant(1, 1000)
    example = PAGE.partition("## §6 Example")[2]
    head, tail = data[: data.index(b"west.example") + 12], data[data.index(b"\x82\x84\x64west\x01") :]
    shown = {
        "head": head.hex(),
        "tail": tail.hex(),
        "digest": ours.digest.hex(),
        "check string": ours.check_string(Cost(8, 1, 1)).hex(),
        "instant(1, 1000)": f"{instant:,}",
        "block(1000)": f"{ours.block(1000)[0]} to {ours.block(1000)[-1]}",
    }
    assert "".join(f"{name:17} {value}\n" for name, value in shown.items()) in example
