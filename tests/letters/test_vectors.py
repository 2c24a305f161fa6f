"""The committed vectors are what their generators make, what the code does, and what the pages speak of."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from backchannel import encoding
from backchannel.errors import MalformedError
from backchannel.letters import Letter, commit, format_draft, parse, unpack
from tests.letters import commitment_peer
from tests.vectors import collection, make_commitment, make_encoding, make_letter, make_text_form
from tests.vectors.collection import Vector

GENERATORS: Final[dict[str, Callable[[], dict[str, Vector]]]] = {
    "encoding": make_encoding.vectors,
    "letter": make_letter.vectors,
    "text-form": make_text_form.vectors,
    "commitment": make_commitment.vectors,
}
PAGES: Final = Path(__file__).parents[2] / "docs" / "spec"


def named(form: str, beginning: str) -> list[tuple[str, Vector]]:
    return [(name, vector) for name, vector in collection.read(form).items() if name.startswith(beginning)]


def example(form: str, kind: str) -> str:
    found = re.search(f"^```{kind}\n(.*?)^```$", (PAGES / f"{form}.md").read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None, f"{form}.md has no {kind}"
    return found[1]


def example_bytes(form: str, name: str) -> bytes:
    return bytes.fromhex(re.sub("#.*", "", example(form, f"hex {name}")))


@pytest.mark.parametrize("form", GENERATORS)
def test_the_generator_writes_what_is_committed(form: str) -> None:
    committed = {path.name: path.read_bytes().decode() for path in (collection.HERE / form).iterdir()}
    assert committed == collection.files(GENERATORS[form]())


@pytest.mark.parametrize(("name", "vector"), named("encoding", "accepted-"))
def test_an_encoding_is_of_its_value(name: str, vector: Vector) -> None:
    value = encoding.decode(bytes.fromhex(vector["bytes"]))
    assert make_encoding.as_json(value) == vector["value"], name
    assert encoding.encode(value).hex() == vector["bytes"]


@pytest.mark.parametrize(("name", "vector"), named("encoding", "refused-"))
def test_an_encoding_is_refused_for_its_reason(name: str, vector: Vector) -> None:
    with pytest.raises(MalformedError) as caught:
        encoding.decode(bytes.fromhex(vector["bytes"]))
    assert caught.value.message == vector["reason"], name


@pytest.mark.parametrize(("name", "vector"), [pair for pair in named("letter", "accepted-") if "letter" in pair[1]])
def test_a_letter_is_its_parts(name: str, vector: Vector) -> None:
    letter = Letter.decode(bytes.fromhex(vector["bytes"]))
    assert make_letter.as_json(letter) == vector["letter"], name
    assert letter.encode().hex() == vector["bytes"]


@pytest.mark.parametrize(("name", "vector"), [pair for pair in named("letter", "refused-") if "bytes" in pair[1]])
def test_a_letter_is_refused_for_its_reason(name: str, vector: Vector) -> None:
    with pytest.raises(MalformedError) as caught:
        Letter.decode(bytes.fromhex(vector["bytes"]))
    assert caught.value.message == vector["reason"], name


@pytest.mark.parametrize(("name", "vector"), named("letter", "accepted-item-"))
def test_an_item_is_what_was_packed(name: str, vector: Vector) -> None:
    assert make_letter.as_json(unpack(bytes.fromhex(vector["packed"]))) == vector["item"], name


@pytest.mark.parametrize(("name", "vector"), named("letter", "refused-item-"))
def test_an_item_is_refused_for_its_reason(name: str, vector: Vector) -> None:
    with pytest.raises(MalformedError) as caught:
        unpack(bytes.fromhex(vector["packed"]))
    assert caught.value.message == vector["reason"], name


@pytest.mark.parametrize(("name", "vector"), named("text-form", "accepted-"))
def test_a_text_is_its_draft(name: str, vector: Vector) -> None:
    parsed = parse(vector["text"])
    assert make_letter.as_json(parsed.draft) == vector["draft"], name
    assert list(parsed.changes) == vector["changes"]
    assert (format_draft(parsed.draft) == vector["text"]) == (not name.startswith("accepted-changed-"))


@pytest.mark.parametrize(("name", "vector"), named("text-form", "refused-"))
def test_a_text_is_refused_for_its_reason(name: str, vector: Vector) -> None:
    with pytest.raises(MalformedError) as caught:
        parse(vector["text"])
    assert caught.value.message == vector["reason"], name


@pytest.mark.parametrize(("name", "vector"), named("commitment", ""))
def test_a_root_is_of_its_letter_for_both_implementations(name: str, vector: Vector) -> None:
    letter = Letter.decode(bytes.fromhex(vector["letter"]))
    assert commit(letter).root.hex() == vector["root"], name
    assert commitment_peer.letter_root(letter).hex() == vector["root"]


@pytest.mark.parametrize("form", ["encoding", "letter", "text-form"])
def test_a_page_speaks_of_every_refusal_and_of_no_other(form: str) -> None:
    reasons = re.findall(r"^\d+\. .*?: (`.*)$", (PAGES / f"{form}.md").read_text(), re.MULTILINE)
    spoken_of = [name for line in reasons for name in re.findall("`([a-z0-9-]+)`", line)]
    assert sorted(spoken_of) == sorted(name.removeprefix("refused-") for name, _ in named(form, "refused-"))


def test_the_bytes_on_the_page_of_the_encoding_are_its_own() -> None:
    assert encoding.encode((500, b"\0\xff", "\u00e9", ())) == example_bytes("encoding", "example")
    assert encoding.framed("ab", "\u00e9", 7) == example_bytes("encoding", "framed")


def test_the_bytes_on_the_page_of_the_letter_are_its_own() -> None:
    assert make_letter.SMALLEST.encode() == example_bytes("letter", "smallest")


def test_the_text_on_the_page_of_the_text_form_is_canonical() -> None:
    text = example("text-form", "text canonical")
    assert parse(text).changes == ()
    assert len(parse(text).draft.texts) == 2


def test_the_hashes_on_the_page_of_the_commitment_are_its_own() -> None:
    commitment = commit(make_letter.SMALLEST)
    assert commitment.texts[1].context == example_bytes("commitment", "context")
    assert commitment.texts[1].root == example_bytes("commitment", "text-root")
    assert commitment.root == example_bytes("commitment", "letter-root")
