"""Letters and drafts for Hypothesis: everything that is valid, leaning towards what is easily misread."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from hypothesis import strategies as st

from backchannel.keys import LetterId, ReleaseSeed
from backchannel.letters import (
    Citation,
    Draft,
    Enclosure,
    Head,
    Items,
    Letter,
    Paragraph,
    Passage,
    Role,
    SignatureState,
    Text,
)
from backchannel.letters.draft import MAX_NUMBER

# What begins lines, separates units, wraps, composes, or is wide.
NASTY: Final = " \t\\|-=:\u200bax\u0301\u0338\u3099\u304b\u4e00\uac00\u1100\u1161\U0001f600\ufeff\u2028\u05d0"


def _characters(extra: str) -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(NASTY + extra), st.characters(exclude_categories=("Cc", "Cs")))


contents = st.one_of(
    st.text(_characters("\n"), max_size=24),
    st.lists(st.sampled_from(["===", "- ", "| ", "\\", "\n", "From: x", "  ", "word"]), max_size=5).map("".join),
)
lines = st.text(_characters(""), max_size=16).map(lambda text: re.sub("[\u2028\u2029]", "", text).strip())
ids = st.binary(min_size=32, max_size=32).map(LetterId)
seeds = st.binary(min_size=32, max_size=32).map(ReleaseSeed)
languages = st.text("abcXYZ019-", min_size=1, max_size=35)
heads = st.builds(Head, lines, lines, lines, lines, lines, st.sampled_from(SignatureState), lines)
blocks = st.one_of(
    st.builds(Paragraph, contents),
    st.builds(Items, st.lists(contents, min_size=1, max_size=4).map(tuple)),
)
texts = st.builds(Text, st.sampled_from(Role), languages, contents, st.lists(blocks, max_size=5).map(tuple), contents)
citations = st.builds(
    lambda name, text, pair: Citation(name, text, min(pair), max(pair)),
    ids,
    st.integers(0, 7),
    st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
)
enclosures = st.builds(
    Enclosure,
    st.text("abcдж .-_", min_size=1, max_size=12).map(str.strip).filter(lambda name: name not in {"", ".", ".."}),
    st.sampled_from(["text/plain", "image/png", "application/vnd.oasis.opendocument.text"]),
    st.binary(max_size=64),
)
letters = st.builds(
    Letter,
    id=ids,
    seed=seeds,
    head=heads,
    texts=st.lists(texts, min_size=1, max_size=3).map(tuple),
    answers=st.lists(ids, max_size=3).map(tuple),
    citations=st.lists(citations, max_size=3).map(tuple),
    enclosures=st.lists(enclosures, max_size=3, unique_by=lambda file: file.name.casefold()).map(tuple),
)


def composed(text: str) -> str:
    """*text* as ``parse`` leaves it."""
    return unicodedata.normalize("NFC", text)


numbers = st.integers(1, MAX_NUMBER)
passages = st.builds(
    lambda letter, text, pair: Passage(letter, text, min(pair), max(pair)),
    numbers,
    st.integers(1, 8),
    st.tuples(numbers, numbers),
)
_composed_lines = lines.map(composed)
_composed = contents.map(composed)
_composed_blocks = st.one_of(
    st.builds(Paragraph, _composed),
    st.builds(Items, st.lists(_composed, min_size=1, max_size=4).map(tuple)),
)
drafts = st.builds(
    Draft,
    st.builds(
        Head,
        _composed_lines,
        _composed_lines,
        _composed_lines,
        _composed_lines,
        _composed_lines,
        st.sampled_from(SignatureState),
        _composed_lines,
    ),
    st.lists(
        st.builds(
            Text,
            st.sampled_from(Role),
            languages,
            _composed,
            st.lists(_composed_blocks, max_size=5).map(tuple),
            _composed,
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    st.lists(numbers, max_size=3).map(tuple),
    st.lists(passages, max_size=3).map(tuple),
    st.lists(_composed_lines.filter(bool), max_size=3).map(tuple),
)
