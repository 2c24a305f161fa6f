"""What a desk keeps of one correspondence's keys, and how it is stored.

The table of docs/spec/ratchet.md §4 as types. Nothing here decides anything:
what happens to a state is the ratchet's business (seal/ratchet.py).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, Final

from backchannel.encoding import Value, decode, encode
from backchannel.errors import MalformedError
from backchannel.kem import PrivateKey, PublicKey
from backchannel.keys import Digest, Secret
from backchannel.seal.envelope import HeaderKey, MessageKey, Opening

# Specification constants (docs/spec/ratchet.md §1).
FIRST: Final = 0
SECOND: Final = 1


class Transcript(Digest):
    """T: the digest of a meeting, on which everything after it rests."""

    __slots__ = ()


class HalfSecret(Secret):
    """s₁ or s₂, one from each card."""

    __slots__ = ()


class RootKey(Secret):
    """RK: what the keys of the next turn come from."""

    __slots__ = ()


class ChainKey(Secret):
    """CK: what the message keys of one turn come from."""

    __slots__ = ()


class PouchKey(Secret):
    """What a courier's pouch is packed under."""

    __slots__ = ()


class PacketRoot(Secret):
    """What the packets of a post office are sealed under."""

    __slots__ = ()


def owner(turn: int) -> int:
    """The role that owns *turn*: even turns are the second card-holder's."""
    return SECOND if turn % 2 == 0 else FIRST


@dataclass(slots=True)
class Sending:
    """The turn this desk writes in (tx)."""

    turn: int
    header_key: HeaderKey
    chain: ChainKey | None
    n: int
    pn: int
    opening: Opening


@dataclass(slots=True)
class Receiving:
    """A turn of the peer's that this desk can read (an entry of rx)."""

    header_key: HeaderKey
    chain: ChainKey | None
    n: int
    opening: Opening
    base: int  # letters of the peer's turns before this one


@dataclass(frozen=True, slots=True)
class Place:
    """Where an opened letter stood, and the digest of everything before its commitment."""

    turn: int
    n: int
    head: Digest


@dataclass(slots=True)
class State:
    """Everything one desk keeps of one correspondence's keys (docs/spec/ratchet.md §4)."""

    role: int
    transcript: Transcript
    turn: int
    root: RootKey
    next_header_key: HeaderKey
    private: PrivateKey | None
    peer_public: PublicKey | None
    tx: Sending | None
    rx: dict[int, Receiving]
    chain: list[Digest]
    claims: dict[int, Digest]
    skipped: dict[tuple[int, int], tuple[MessageKey, int]] = field(default_factory=dict)
    seen: int = 0
    opened: dict[Digest, Place] = field(default_factory=dict)
    pouch_keys: dict[int, tuple[PouchKey, int]] = field(default_factory=dict)
    roots: dict[int, PacketRoot] = field(default_factory=dict)
    frozen: str = ""

    @property
    def owns_turn(self) -> bool:
        """Whether the newest turn is this desk's own: even at the second, odd at the first."""
        return owner(self.turn) == self.role

    @property
    def missing(self) -> tuple[int, ...]:
        """The peer's letters before the newest opened that have not come, whose keys are still kept."""
        return tuple(sorted(self.rx[turn].base + n + 1 for turn, n in self.skipped))

    @property
    def written(self) -> int:
        """How many letters this desk has written."""
        return len(self.chain) - 1

    def copy(self) -> State:
        """A state that shares nothing mutable with this one."""
        return replace(
            self,
            tx=copy(self.tx),
            rx={turn: copy(rx) for turn, rx in self.rx.items()},
            skipped=dict(self.skipped),
            chain=list(self.chain),
            claims=dict(self.claims),
            opened=dict(self.opened),
            pouch_keys=dict(self.pouch_keys),
            roots=dict(self.roots),
        )

    def encode(self) -> bytes:
        """Encode for the desk's own store."""
        return encode(_encode_state(self))

    @classmethod
    def decode(cls, data: bytes) -> State:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else.
        """
        try:
            return _decode_state(decode(data))
        except (TypeError, ValueError):
            raise MalformedError("a ratchet state does not parse") from None


# The encoding of a state: absent keys are empty, maps are arrays of entries, and
# turns are counted from 1, so that -1, the turn before the meeting, is 0.


def _encode_state(state: State) -> Value:
    tx = state.tx
    return (
        state.role,
        state.transcript,
        state.turn,
        state.root,
        state.next_header_key,
        state.private or b"",
        state.peer_public or b"",
        (tx.turn, tx.header_key, tx.chain or b"", tx.n, tx.pn, tx.opening.box, tx.opening.public) if tx else (),
        tuple(
            (turn, r.header_key, r.chain or b"", r.n, r.opening.box, r.opening.public, r.base)
            for turn, r in state.rx.items()
        ),
        b"".join(state.chain),
        tuple(state.claims.items()),
        tuple((turn, n, key, date) for (turn, n), (key, date) in state.skipped.items()),
        state.seen,
        tuple((name, place.turn, place.n, place.head) for name, place in state.opened.items()),
        tuple((turn + 1, key, date) for turn, (key, date) in state.pouch_keys.items()),
        tuple((turn + 1, root) for turn, root in state.roots.items()),
        state.frozen,
    )


def _decode_state(value: Any) -> State:
    # A value of another shape fails in unpacking or in a type's own check, and
    # State.decode makes one error of all of them.
    (
        role, transcript, turn, root, next_header_key, private, peer_public, tx, rx,
        chain, claims, skipped, seen, opened, pouch_keys, roots, frozen,
    ) = value  # fmt: skip
    return State(
        role=role,
        transcript=Transcript(transcript),
        turn=turn,
        root=RootKey(root),
        next_header_key=HeaderKey(next_header_key),
        private=PrivateKey(private) if private else None,
        peer_public=PublicKey(peer_public) if peer_public else None,
        tx=_decode_sending(tx) if tx else None,
        rx={
            turn: Receiving(HeaderKey(h), ChainKey(c) if c else None, n, Opening(b, PublicKey(p)), base)
            for turn, h, c, n, b, p, base in rx
        },
        chain=[Digest(chain[at : at + Digest.size]) for at in range(0, len(chain), Digest.size)],
        claims={index: Digest(link) for index, link in claims},
        skipped={(turn, n): (MessageKey(key), date) for turn, n, key, date in skipped},
        seen=seen,
        opened={Digest(name): Place(turn, n, Digest(head)) for name, turn, n, head in opened},
        pouch_keys={turn - 1: (PouchKey(key), date) for turn, key, date in pouch_keys},
        roots={turn - 1: PacketRoot(root) for turn, root in roots},
        frozen=frozen,
    )


def _decode_sending(value: Any) -> Sending:
    turn, header_key, chain, n, pn, box, public = value
    opening = Opening(box, PublicKey(public))
    return Sending(turn, HeaderKey(header_key), ChainKey(chain) if chain else None, n, pn, opening)
