"""Commitments: one hash that pins a letter, unit by unit, and lets any part be shown alone.

Each text is a Merkle tree over its units, each unit hidden by a salt of its own,
and the salts come from a tree of the same shape, so that one seed opens a whole
passage and says nothing about its neighbours (docs/spec/commitment.md). This
module makes the hashes; what an excerpt shows of them is the press's business.
The letter root is never sent: whoever holds the letter can compute it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from backchannel.encoding import framed
from backchannel.keys import Digest, Fixed, ReleaseSeed, Secret, mac
from backchannel.letters.letter import Head, Letter, Text
from backchannel.letters.units import segment

# Specification constants (docs/spec/commitment.md §3). A label stands beside
# the one function that uses it; what they are all for is in §3's table.
LEAF, NODE, ROOT, LETTER = b"\x00", b"\x01", b"\x02", b"\x03"  # no hash of one kind is one of another
HEADER_ROLE: Final = "header"


class Context(Fixed):
    """What binds every hash of one text to its letter's seed, its role, language and number."""

    __slots__ = ()


class SaltSeed(Secret):
    """A node of the salt tree: it opens every unit below it, and no other."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class TextCommitment:
    """One text: its context, how many units it has, the first of each paragraph, and its root."""

    context: Context
    units: int
    table: tuple[int, ...]
    root: Digest


@dataclass(frozen=True, slots=True)
class Commitment:
    """A letter: its root, and its texts by number, the header being number 0."""

    root: Digest
    texts: tuple[TextCommitment, ...]


def commit(letter: Letter) -> Commitment:
    """Compute the commitment of *letter*; 3n-2 HMACs and 2n-1 hashes for a text of n units."""
    texts = [_commit_text(letter.seed, letter.head, 0)]
    texts += [_commit_text(letter.seed, text, index) for index, text in enumerate(letter.texts, start=1)]
    return Commitment(letter_root([(text.context, text.root) for text in texts]), tuple(texts))


def text_units(text: Head | Text) -> tuple[list[str], tuple[int, ...]]:
    """The units that are committed to, and the paragraph table: the header has a unit a field."""
    if isinstance(text, Head):
        return list(text.fields), tuple(range(len(text.fields)))
    return segment(text.paragraphs)


def text_context(seed: ReleaseSeed, *, role: str, language: str, index: int) -> Context:
    """The context of a letter's text number *index*."""
    return Context(mac(seed, _CONTEXT_LABEL, role, language, index))


def salt_root(seed: ReleaseSeed, context: Context) -> SaltSeed:
    """The root of a text's salt tree."""
    return SaltSeed(mac(seed, _SALTS_LABEL, context))


def split_width(width: int) -> int:
    """How many of *width* leaves stand on the left: the largest power of two below *width* (RFC 9162 §2.1.1)."""
    return 1 << (width - 1).bit_length() - 1


def salt_children(seed: SaltSeed) -> tuple[SaltSeed, SaltSeed]:
    """The two seeds below *seed*."""
    return SaltSeed(_hmac(seed, _LEFT, _SHA256)), SaltSeed(_hmac(seed, _RIGHT, _SHA256))


def tree_root(context: Context, seed: SaltSeed, units: Sequence[str], *, first: int = 0) -> Digest:
    """The root of the tree over *units*, of which the first is the text's unit number *first*.

    With the salt root and all units this is a text's tree root; with the seed of
    a subtree and its units, that subtree's. There is at least one unit.
    """
    return Digest(_tree(_LEAF_PREFIX + framed(context), seed, units, first))


def node(left: bytes, right: bytes) -> Digest:
    """The hash of an inner node."""
    return Digest(hashlib.sha256(NODE + left + right).digest())


def text_root(context: Context, units: int, table: Sequence[int], tree: Digest) -> Digest:
    """The root of a text: its tree, and what the tree alone does not pin."""
    numbers = b"".join(first.to_bytes(8) for first in table)
    return Digest(hashlib.sha256(ROOT + framed(_ROOT_LABEL, context, units, numbers, tree)).digest())


def letter_root(texts: Sequence[tuple[Context, Digest]]) -> Digest:
    """The root of a letter from the context and root of each of its texts, the header first."""
    pairs = [part for pair in texts for part in pair]
    return Digest(hashlib.sha256(LETTER + framed(_LETTER_LABEL, len(texts), *pairs)).digest())


def _commit_text(seed: ReleaseSeed, text: Head | Text, index: int) -> TextCommitment:
    role, language = (HEADER_ROLE, "") if isinstance(text, Head) else (text.role.value, text.language)
    context = text_context(seed, role=role, language=language, index=index)
    units, table = text_units(text)
    tree = tree_root(context, salt_root(seed, context), units)
    return TextCommitment(context, len(units), table, text_root(context, len(units), table, tree))


# What follows is run once a unit, for letters of thousands: plain bytes, and a
# list at a time (bench/letters.py measures it against the bare HMACs).


def _tree(prefix: bytes, seed: bytes, units: Sequence[str], first: int) -> bytes:
    width = len(units)
    left = split_width(width + 1)  # the largest power of two up to width
    root = _full_tree(prefix, seed if left == width else _hmac(seed, _LEFT, _SHA256), units[:left], first)
    if left == width:
        return root
    rest = _tree(prefix, _hmac(seed, _RIGHT, _SHA256), units[left:], first + left)
    return hashlib.sha256(NODE + root + rest).digest()


def _full_tree(prefix: bytes, seed: bytes, units: Sequence[str], first: int) -> bytes:
    sha256 = hashlib.sha256
    seeds = [seed]
    while len(seeds) < len(units):
        seeds = [child for seed in seeds for child in (_hmac(seed, _LEFT, _SHA256), _hmac(seed, _RIGHT, _SHA256))]
    level = []
    for index, (leaf_seed, unit) in enumerate(zip(seeds, units, strict=True), start=first):
        raw = unit.encode()
        salt = _hmac(leaf_seed, _SALT, _SHA256)
        # framed(label, context, index, salt, unit), its two parts of fixed size written out.
        leaf = b"%b\0\0\0\x08%b\0\0\0\x20%b%b%b" % (prefix, index.to_bytes(8), salt, len(raw).to_bytes(4), raw)
        level.append(sha256(leaf).digest())
    while len(level) > 1:
        pairs = iter(level)
        level = [sha256(NODE + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return level[0]


_hmac: Final = hmac.digest
_SHA256: Final = "sha256"
_CONTEXT_LABEL: Final = b"backchannel/v1/commitment/context"
_SALTS_LABEL: Final = b"backchannel/v1/commitment/salts"
_ROOT_LABEL: Final = b"backchannel/v1/commitment/root"
_LETTER_LABEL: Final = b"backchannel/v1/commitment/letter"
_LEFT: Final = framed(b"backchannel/v1/commitment/left")
_RIGHT: Final = framed(b"backchannel/v1/commitment/right")
_SALT: Final = framed(b"backchannel/v1/commitment/salt")
_LEAF_PREFIX: Final = LEAF + framed(b"backchannel/v1/commitment/leaf")
