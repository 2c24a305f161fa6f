"""Letters to try things on: the project's own, and the printed exchange where it is at hand.

The project's own stand beside this file in text form, two principals who do not
exist writing about a river that does not either; what an editor or git would
spoil is made below. The exchange of 1961-63 is read from the folder that holds
the design, and is simply not there where that is not.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from backchannel.letters import Enclosure

_HERE: Final = Path(__file__).parent
_PRINTED: Final = _HERE.parents[2] / "shared" / "corpus"
_TEI: Final = "{http://www.tei-c.org/ns/1.0}"
_NOT_TEXT: Final = {"note", "head", "pb"}


@cache
def drafts() -> dict[str, str]:
    """Every letter in text form by name, the project's own first.

    What one answers or cites as number n is the n-th of them, which comes before it.
    """
    return own() | printed()


@cache
def own() -> dict[str, str]:
    """The project's own letters, which are always there."""
    files = {path.stem: path.read_bytes().decode() for path in sorted(_HERE.glob("[0-9]*.txt"))}
    return files | {
        "blanks": _BLANKS,
        "word-processor": "\ufeff" + unicodedata.normalize("NFD", files["02-reply"]).replace("\n", "\r\n"),
        "eight-texts": _eight_texts(),
        "long": _long(),
        "one-long-word": f"Language: en\n\n{'ж' * 300_000}\n",
        "nothing": "",
    }


@cache
def printed() -> dict[str, str]:
    """The printed exchange, where it is at hand."""
    if not _PRINTED.exists():
        return {}
    root = ET.parse(_PRINTED / "frus1961-63v06.xml").getroot()  # noqa: S314 - a file that lies there, read by tests
    documents = (div for div in root.iter(f"{_TEI}div") if div.get("type") == "document")
    letters = {f"frus-{div.get('n')}": _document(div) for div in documents}
    for path in sorted(_PRINTED.glob("*-196*.txt")):
        letters[path.stem] = f"Language: en\n\n{path.read_text()}"
    return letters


def attach(name: str) -> Enclosure:
    """The enclosure that one of the project's own letters names."""
    return Enclosure(name, "text/csv", (_HERE / "enclosures" / name).read_bytes())


def _eight_texts() -> str:
    roles = ["original", "translation", "courtesy translation", "working text"] * 2
    return "\n===\n".join(f"Language: x-{n}\nRole: {role}\n\nText {n}.\n" for n, role in enumerate(roles))


def _long() -> str:
    paragraphs = (f"Paragraph {n}. " + "The river rose by a hand. " * (n % 29) for n in range(1, 200))
    return "Language: en\n\n" + "\n\n".join(paragraphs) + "\n"


def _document(div: ET.Element) -> str:
    """One document as its author might have typed it, at the width at which it was printed."""
    names = {name.get("type"): _words(name) for name in div.findall(f"{_TEI}head/{_TEI}persName")}
    fields = {
        "From": names.get("from", ""),
        "To": names.get("to", ""),
        "Date": _words(div.find(f"{_TEI}dateline/{_TEI}date")),
        "Place": _words(div.find(f"{_TEI}dateline/{_TEI}placeName")),
        "Signed": _words(div.find(f"{_TEI}closer/{_TEI}signed")),
    }
    lines = [f"{name}: {value}" for name, value in fields.items()]
    for element in div:
        if element.tag == f"{_TEI}list":
            lines += ["", *(f"- {_words(item)}" for item in element.findall(f"{_TEI}item"))]
        elif element.tag == f"{_TEI}p":
            lines += ["", "".join(_text(element)).strip()]
    return "\n".join(lines) + "\n"


def _words(element: ET.Element | None) -> str:
    return "" if element is None else " ".join("".join(_text(element)).replace("\n| ", " ").split())


def _text(element: ET.Element) -> Iterator[str]:
    """The text of *element* without its notes and page breaks; a line break begins a line with a bar."""
    yield element.text or ""
    for child in element:
        name = child.tag.removeprefix(_TEI)
        if name == "lb":
            yield "\n| "
        elif name not in _NOT_TEXT:
            yield from _text(child)
        yield child.tail or ""


_BLANKS: Final = (
    "Signature: unsigned\nLanguage: en\nRole: original\nSalutation: Dear  Sir, \nClose: \\ \n\n"
    "Two  spaces after a stop.  And three at the end   \n\n\\   three before, one after \n\n"
    "\\ \n\n\\\t\n\nA tab\tin the middle and at the end\t\n| \n|  \n|   between breaks   \n\n"
    "- an item \n- \\ \n- \\  with  blanks  \n  |   broken  \n"
)
