"""Packets: what stands in a row of the table, and the keys that open it.

A row is as many random bytes as any other, whether a packet or a dummy. Each
round has a key of its own, from a tree over the round numbers (Goldreich,
Goldwasser and Micali 1986) of which the past is erased: a row of another round
never opens, and a porter that was away for a month jumps
(docs/spec/packet.md). What a packet carries is transfer's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from backchannel.encoding import framed
from backchannel.errors import MalformedError, VerificationError
from backchannel.keys import Digest, Secret, mac
from backchannel.post.ciphers import NONCE_SIZE, TAG_SIZE, Aead

# Specification constants (docs/spec/packet.md §1, §2).
DEPTH: Final = 32  # of the tree; a round number has as many bits
OVERHEAD: Final = NONCE_SIZE + TAG_SIZE
BITMAP_SIZE: Final = 16
HEAD_SIZE: Final = 8 + BITMAP_SIZE + 8 + 1 + 2
NOTHING: Final = 0  # kinds of a fragment
PART: Final = 1
LAST: Final = 2

LABEL_TREE: Final = b"backchannel/v1/packet/tree"
LABEL_ROW: Final = b"backchannel/v1/packet/row"

Where: TypeAlias = "tuple[Digest, int, int]"
"""The charter, the mailbox of the writer and the mailbox of the reader."""


class RowKey(Secret):
    """What the row of one round is sealed with."""

    __slots__ = ()


class NodeKey(Secret):
    """A node of the tree: all keys of the rounds below it come from here."""

    __slots__ = ()


Node: TypeAlias = "tuple[int, int, NodeKey]"  # depth, prefix, key


@dataclass(frozen=True, slots=True)
class RoundKeys:
    """The keys of all rounds from one on: the fewest nodes that cover them.

    A node is (depth, prefix): it covers the rounds whose first *depth* bits are *prefix*.
    """

    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, root: bytes) -> Self:
        """The keys of all rounds under a packet *root*."""
        return cls(((0, 0, NodeKey(root)),))

    def key(self, number: int) -> RowKey:
        """The key of round *number*.

        Raises:
            VerificationError: If it was erased, or there is none.
        """
        for depth, prefix, node in self.nodes:
            if number >> (DEPTH - depth) == prefix:
                return RowKey(_leaf(node, number, DEPTH - depth))
        raise VerificationError("the key of this round was erased")

    def since(self, number: int) -> RoundKeys:
        """Erase the keys of all rounds before *number*."""
        return RoundKeys(tuple(kept for node in self.nodes for kept in _since(node, number)))

    def encode(self) -> bytes:
        """As a porter keeps them: one string, since they are kept anew in every round."""
        return b"".join(depth.to_bytes(1) + prefix.to_bytes(4) + node for depth, prefix, node in self.nodes)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote."""
        size = 5 + NodeKey.size
        nodes = (data[at : at + size] for at in range(0, len(data), size))
        return cls(tuple((node[0], int.from_bytes(node[1:5]), NodeKey(node[5:])) for node in nodes))


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of an envelope, by its number among all pieces of one stream."""

    number: int
    data: bytes
    last: bool  # of its envelope


@dataclass(frozen=True, slots=True)
class Content:
    """What is inside a packet: what has arrived of the other direction, and perhaps a fragment of this one."""

    base: int  # all fragments below it have arrived
    bitmap: int  # bit i: fragment base + 1 + i has arrived, too
    fragment: Fragment | None

    def encode(self, size: int) -> bytes:
        """The *size* bytes that a packet of so much room seals."""
        fragment = self.fragment or Fragment(0, b"", last=False)
        kind = NOTHING if self.fragment is None else LAST if fragment.last else PART
        assert len(fragment.data) <= size - HEAD_SIZE
        head = self.base.to_bytes(8) + self.bitmap.to_bytes(BITMAP_SIZE) + fragment.number.to_bytes(8)
        return (head + bytes([kind]) + len(fragment.data).to_bytes(2) + fragment.data).ljust(size, b"\0")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else.
        """
        if len(data) < HEAD_SIZE:
            raise MalformedError(_NOT_ONE)
        base, bitmap, number = (int.from_bytes(data[at]) for at in _FIELDS)
        kind, size = data[32], int.from_bytes(data[33:HEAD_SIZE])
        body, rest = data[HEAD_SIZE : HEAD_SIZE + size], data[HEAD_SIZE + size :]
        if kind > LAST or len(body) != size or any(rest) or (kind == NOTHING) != (size == 0):
            raise MalformedError(_NOT_ONE)
        if kind == NOTHING:
            if number:
                raise MalformedError(_NOT_ONE)
            return cls(base, bitmap, None)
        return cls(base, bitmap, Fragment(number, body, kind == LAST))


def room(packet: int) -> int:
    """How many bytes of an envelope a packet of *packet* bytes carries."""
    return packet - OVERHEAD - HEAD_SIZE


def seal(content: Content, key: RowKey, noise: bytes, *, where: Where, cipher: Aead) -> bytes:
    """Seal a packet as large as *noise*, which is random and would itself be the dummy.

    The nonce is the first bytes of *noise*, so packet and dummy draw the same.
    *where* is the charter, the mailbox whose row it is, and its reader's.
    """
    nonce = noise[:NONCE_SIZE]
    return nonce + cipher.seal(key, nonce, content.encode(len(noise) - OVERHEAD), _associated(where))


def open(row: bytes, key: RowKey, *, where: Where, cipher: Aead) -> Content:  # noqa: A001 - the pair of seal
    """Open a row.

    Raises:
        VerificationError: If it is no packet under *key*.
        MalformedError: If its writer sealed something that is no content.
    """
    return Content.decode(cipher.open(key, row[:NONCE_SIZE], row[NONCE_SIZE:], _associated(where)))


def _associated(where: Where) -> bytes:
    return framed(LABEL_ROW, *where)


def _since(node: Node, number: int) -> Iterator[Node]:
    """The fewest nodes below *node* that cover its rounds from *number* on, and no others."""
    depth, prefix, key = node
    if prefix << (DEPTH - depth) >= number:
        yield node
    elif (prefix + 1) << (DEPTH - depth) > number:
        for bit in (0, 1):
            yield from _since((depth + 1, prefix << 1 | bit, _child(key, bit)), number)


def _leaf(node: NodeKey, number: int, height: int) -> NodeKey:
    for at in reversed(range(height)):
        node = _child(node, number >> at & 1)
    return node


def _child(node: NodeKey, bit: int) -> NodeKey:
    return NodeKey(mac(node, LABEL_TREE, bit))


_FIELDS: Final = (slice(0, 8), slice(8, 24), slice(24, 32))
_NOT_ONE: Final = "this is not the content of a packet"
