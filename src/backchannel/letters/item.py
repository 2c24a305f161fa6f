"""Items: what an envelope carries, compressed, and what else it may one day carry.

An item is its kind and a payload. A kind this version does not know is kept as
it came, so that a desk which learns it later can still read it. The compressed
form states its size and is expanded no further than that: a megabyte of zeros
costs its sender a kilobyte (docs/spec/letter.md §5).
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Final, TypeAlias

from backchannel import encoding
from backchannel.errors import MalformedError, UsageError
from backchannel.keys import Digest
from backchannel.letters.letter import MAX_LETTER, Letter

# Specification constants (docs/spec/letter.md §5).
MAX_ITEM: Final = MAX_LETTER + 256  # a letter, its kind and their heads
SIZE_SIZE: Final = 8
MAX_PLACE: Final = 64  # of a post office's places and mailboxes, whatever its charter says
MAX_MAILBOX: Final = 2**20
LETTER, EMPTY, MOVED = "letter", "empty", "moved"

# Implementation constants: level 9 gains a few percent on prose, at a tenth of a
# second a megabyte; what is larger than that is mostly pictures, where it gains nothing.
_PROSE: Final = 1024 * 1024
_PROSE_LEVEL, _BULK_LEVEL = 9, 6


@dataclass(frozen=True, slots=True)
class Empty:
    """An item that says nothing: it ends a turn of the ratchet, and covers for letters."""


@dataclass(frozen=True, slots=True)
class Moved:
    """An item that says where letters to its writer are to be left from now on: at which post office, for which mailbox."""

    place: int  # at which its writer writes
    mailbox: int
    charter: Digest


@dataclass(frozen=True, slots=True)
class Unknown:
    """An item of a kind that this version does not know, kept as it came."""

    kind: str
    payload: bytes

    def __post_init__(self) -> None:
        if _KIND.fullmatch(self.kind) is None:
            raise UsageError("an item's kind is not 1 to 64 small letters, digits, spaces and hyphens")
        if self.kind in {LETTER, EMPTY, MOVED}:
            raise UsageError("an item's kind is known")


Item: TypeAlias = Letter | Empty | Moved | Unknown


def encode(item: Item) -> bytes:
    """Encode *item*; the inverse of :func:`decode`."""
    match item:
        case Letter():
            return encoding.encode((LETTER, item.encode()))
        case Empty():
            return encoding.encode((EMPTY, b""))
        case Moved():
            return encoding.encode((MOVED, encoding.encode((item.place, item.mailbox, item.charter))))
    return encoding.encode((item.kind, item.payload))


def decode(data: bytes) -> Item:
    """Parse an item.

    Raises:
        MalformedError: For each reason in docs/spec/letter.md §5.
    """
    match encoding.decode(data, values=2):
        case (str() as kind, bytes() as payload):
            return _item(kind, payload)
    raise MalformedError("an item is not a kind and a payload")


def pack(item: Item) -> bytes:
    """Compress *item* for an envelope: its size as u64, then a zlib stream (RFC 1950)."""
    data = encode(item)
    level = _PROSE_LEVEL if len(data) <= _PROSE else _BULK_LEVEL
    return len(data).to_bytes(SIZE_SIZE) + zlib.compress(data, level)


def unpack(data: bytes, limit: int = MAX_ITEM) -> Item:
    """Expand what :func:`pack` made, to at most *limit* bytes.

    Raises:
        MalformedError: If it states more, is more or less than it states, is not
            one whole stream with nothing after it, or is not an item.
    """
    if len(data) < SIZE_SIZE:
        raise MalformedError("a packed item is shorter than its size")
    size = int.from_bytes(data[:SIZE_SIZE])
    # The limit first: what follows makes room for as much as is stated.
    if size > limit:
        raise MalformedError(f"a packed item states more than {limit:,} bytes")
    stream = zlib.decompressobj()
    try:
        # One more than stated, so that an item which is larger shows itself;
        # and never 0, by which zlib means without end.
        expanded = stream.decompress(data[SIZE_SIZE:], size + 1)
    except zlib.error:
        raise MalformedError("a packed item is not a zlib stream") from None
    if len(expanded) > size:
        raise MalformedError("a packed item is larger than it states")
    if not stream.eof:
        raise MalformedError("a packed item is cut short")
    if len(expanded) < size:
        raise MalformedError("a packed item is smaller than it states")
    if stream.unused_data:
        raise MalformedError("a packed item has bytes after its end")
    return decode(expanded)


def _item(kind: str, payload: bytes) -> Item:
    if kind == LETTER:
        return Letter.decode(payload)
    if kind == EMPTY:
        if payload:
            raise MalformedError("an empty item has a payload")
        return Empty()
    if kind == MOVED:
        match encoding.decode(payload, values=3):
            case (int(place), int(mailbox), bytes(charter)) if (
                len(charter) == Digest.size and place < MAX_PLACE and 0 < mailbox < MAX_MAILBOX
            ):
                return Moved(place, mailbox, Digest(charter))
        raise MalformedError("an item does not say where its writer has moved")
    try:
        return Unknown(kind, payload)
    except UsageError as error:
        raise MalformedError(error.message) from None


_KIND: Final = re.compile("[a-z0-9 -]{1,64}")
