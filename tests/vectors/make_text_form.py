"""Vectors of docs/spec/text-form.md: `python -m tests.vectors.make_text_form` writes them."""

from __future__ import annotations

from typing import Final

from backchannel.errors import MalformedError
from backchannel.letters import parse
from tests.vectors.collection import Vector, write
from tests.vectors.make_letter import as_json

_TOP: Final = "Signature: unsigned\nLanguage: en\nRole: original\n"
_FULL: Final = """\
From: Anna Reuter
To: Mikhail Orlov
Date: 16 October 2031
Place: Norderhaven
Signed: A. R.
Signature: initialled
Caveat: preliminary
Answers: 3
Cites: 3:12-14
Cites: 3.2:12
Encloses: gauges.csv
Language: en
Role: original
Salutation: Dear Mr. Orlov,
Salutation: (in haste)
Close: Yours,

One thing.
| And another:

- the weir;
- the gauges,
  | on both banks.

===
Language: ru
Role: courtesy translation

Одно.
"""

ACCEPTED: Final = {
    "every-field-and-block": _FULL,
    "empty-paragraph": f"{_TOP}\n\\\n",
    "empty-item": f"{_TOP}\n- \\\n",
    "empty-lines-in-a-paragraph": f"{_TOP}\n\\\n|\n| a\n",
    "empty-lines-in-a-field": _TOP + "Close:\nClose: a\nClose:\n",
    "blanks-at-either-end": f"{_TOP}Close: \\ a \n\n\\  a  \n\n- \\ a \n",
    "backslash": f"{_TOP}Close: \\\\a\n\n\\\\a\n\n- \\\\a\n",
    "line-that-looks-like-an-item": f"{_TOP}\n\\- a\n\n\\-\n",
    "line-that-looks-like-a-break": f"{_TOP}\n\\| a\n",
    "line-that-looks-like-a-further-text": f"{_TOP}\n\\===\n",
    "line-that-looks-like-a-field": f"{_TOP}\nFrom: a\n",
    "changed-byte-order-mark": f"\ufeff{_TOP}",
    "changed-line-ends": _TOP.replace("\n", "\r\n"),
    "changed-to-nfc": f"{_TOP}\ne\u0301\n",
    "changed-wrapped-paragraph": f"{_TOP}\na \n  b\nc\n",
    "changed-wrapped-item": f"{_TOP}\n- a\n  b\n",
    "changed-wrapped-without-spaces": f"{_TOP}\n\u6c34\n\u4f4d\n",
    "changed-wrapped-korean": f"{_TOP}\n\uc218\n\uc704\n",
    "changed-wrapped-mark": f"{_TOP}\n\u304b\n\u3099\n",
    "changed-indent": f"{_TOP}\n  a\n",
    "changed-list-below-a-paragraph": f"{_TOP}\na\n- b\n",
    "changed-every-line-a-break": f"{_TOP}\n| a\n| b\n",
    "changed-order-and-case-of-fields": "role: Original\nLANGUAGE: en\n signature :unsigned\n",
    "changed-lists-of-numbers": "Answers: 1, 2\nCites: 1:1\u20132, 2:3\n",
    "changed-nothing-at-all": "",
}
REFUSED: Final = {
    "unknown-field": "Form: Anna Reuter\n",
    "neither-field-nor-blank-line": "From: Anna Reuter\nDear Mr. Orlov,\n",
    "field-twice": "From: Anna Reuter\nFrom: Mikhail Orlov\n",
    "head-field-in-a-further-text": "\n===\nFrom: Anna Reuter\n",
    "head-field-of-1025-bytes": "From: " + "x" * 1025 + "\n",
    "unknown-signature-state": "Signature: sealed\n",
    "unknown-role": "Role: copy\n",
    "language-that-is-no-tag": "Language: en_GB\n",
    "answer-that-is-no-number": "Answers: your last\n",
    "answer-to-letter-nought": "Answers: 0\n",
    "passage-without-paragraphs": "Cites: 3\n",
    "passage-backwards": "Cites: 3:4-2\n",
    "passage-of-paragraph-nought": "Cites: 3:0\n",
    "passage-of-letter-nought": "Cites: 0:1\n",
    "passage-of-a-ninth-text": "Cites: 3.9:1\n",
    "control-character": "From: Anna Reuter\n\n\x1b[2J\n",
    "nine-texts": "\n===\n" * 8,
    "sixty-five-answers": "Answers: 1\n" * 65,
    "sixty-five-enclosures": "Encloses: a\n" * 65,
}


def vectors() -> dict[str, Vector]:
    """Each text with the draft that it is and what was changed, and each refusal with its reason."""
    accepted = {f"accepted-{name}": _accepted(text) for name, text in ACCEPTED.items()}
    return accepted | {f"refused-{name}": {"text": text, "reason": _reason(text)} for name, text in REFUSED.items()}


def _accepted(text: str) -> Vector:
    parsed = parse(text)
    return {"text": text, "draft": as_json(parsed.draft), "changes": list(parsed.changes)}


def _reason(text: str) -> str:
    try:
        parse(text)
    except MalformedError as error:
        return error.message
    raise AssertionError("a refusal that is none")


if __name__ == "__main__":
    write("text-form", vectors())
