"""The package's ratchet and the second one, desk by desk, as one: whatever one does, the other must do.

A desk here is two states that are given the same events under the same
generator; after each their fields, their envelopes and their refusals are the
same. A walk is two desks, the couriers between them, and everything that goes
wrong with either (docs/spec/ratchet.md; :mod:`tests.peer.ratchet_peer`).
"""

from __future__ import annotations

import dataclasses
import random as generators
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from backchannel.errors import RefusedError
from backchannel.kem import Kem, PublicKey
from backchannel.keys import Random
from backchannel.seal import ratchet
from backchannel.seal.envelope import DamagedError, NoKeyError, Opening
from backchannel.seal.state import FIRST, SECOND, HalfSecret, State, Transcript
from tests.peer import ratchet_peer as peer
from tests.simulation.seeded_kem import SeededKem

A = TypeVar("A")
B = TypeVar("B")

START: Final = 1_750_000_000
DAY: Final = 86_400
KEPT: Final = 90 * DAY

KINDS: Final[dict[type[RefusedError], str]] = {
    ratchet.AlreadyError: "already here",
    NoKeyError: "no key",
    DamagedError: "damaged",
    ratchet.ForkError: "fork",
    ratchet.ExpiredError: "expired",
    ratchet.TooManyMissingError: "too many missing",
    ratchet.FrozenError: "frozen",
    ratchet.UnansweredError: "unanswered",
}
REASONS: Final = (
    "two histories",
    "this desk is an old copy",
    "another letter in the place of one of ours",
)
GONE: Final = {"already here", "no key", "expired"}  # what is said of a letter whose key is no more


class Refused(Exception):  # noqa: N818 (an answer, not a fault)
    """What both said, in the words of the page."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def stream(*seed: object) -> Random:
    """A generator that gives the same bytes for the same *seed*."""
    return generators.Random(repr(seed)).randbytes


def kind(error: RefusedError) -> str:
    return KINDS[type(error)]


def view(state: State) -> dict[str, Any]:
    """The fields of docs/spec/ratchet.md §4 under their names there."""
    tx = state.tx
    return {
        "role": state.role,
        "T": state.transcript,
        "t": state.turn,
        "RK": state.root,
        "NHK": state.next_header_key,
        "sk": state.private,
        "peer_pk": state.peer_public,
        "tx": {"turn": tx.turn, "HK": tx.header_key, "CK": tx.chain, "n": tx.n, "pn": tx.pn} | _opening(tx.opening)
        if tx
        else None,
        "rx": {
            turn: {"HK": rx.header_key, "CK": rx.chain, "n": rx.n, "base": rx.base} | _opening(rx.opening)
            for turn, rx in state.rx.items()
        },
        "S": state.chain,
        "claim": state.claims,
        "skipped": state.skipped,
        "seen": state.seen,
        "opened": {name: (at.turn, at.n, at.head) for name, at in state.opened.items()},
        "pouch_keys": state.pouch_keys,
        "roots": state.roots,
        "frozen": next((reason for reason in REASONS if reason in state.frozen), None) if state.frozen else None,
    }


def _opening(opening: Opening) -> dict[str, bytes]:
    return {"ct": opening.box, "pk": opening.public}


@dataclass
class Desk:
    """One desk, twice."""

    ours: State
    theirs: peer.State
    kem: Kem = field(default_factory=SeededKem)

    def copy(self) -> Desk:
        # Neither implementation changes a state that it is given.
        return dataclasses.replace(self)

    @property
    def side(self) -> int:
        return self.ours.role

    def write(self, item: bytes, *, seed: object, now: int) -> bytes:
        """Let both write; their envelopes are the same bytes."""
        ours, envelope = self._both(
            lambda: ratchet.write(self.ours, item, kem=self.kem, random=stream(seed), now=now),
            lambda: peer.write(self.theirs, item, kem=self.kem, random=stream(seed), now=now),
        )
        assert ours[1] == envelope[1], "two envelopes"
        self.ours, self.theirs = ours[0], envelope[0]
        self.check()
        return ours[1]

    def read(self, envelope: bytes, *, now: int) -> ratchet.Opened:
        """Let both read; what they open is the same."""
        opened, (theirs, item) = self._both(
            lambda: ratchet.read(self.ours, envelope, kem=self.kem, now=now),
            lambda: peer.read(self.theirs, envelope, kem=self.kem, now=now),
        )
        assert opened.item == item, "two items"
        self.ours, self.theirs = opened.state, theirs
        self.check()
        return opened

    def refusal(self, envelope: bytes, *, now: int) -> str:
        """What both say of an envelope that neither may open."""
        try:
            self.read(envelope, now=now)
        except Refused as refused:
            return refused.kind
        raise AssertionError("this envelope has opened")

    def check(self) -> None:
        """What holds after every event."""
        assert view(self.ours) == peer.view(self.theirs)
        encoded = self.ours.encode()
        assert State.decode(encoded) == self.ours
        assert State.decode(encoded).encode() == encoded
        assert (self.ours.private is not None) == self.ours.owns_turn
        assert (self.ours.peer_public is None) == self.ours.owns_turn
        assert ratchet.carrying_key(self.ours) == peer.carrying_key(self.theirs)
        assert ratchet.opening_keys(self.ours) == peer.opening_keys(self.theirs)[::-1]

    def _both(self, ours: Callable[[], A], theirs: Callable[[], B]) -> tuple[A, B]:
        before = self.ours.encode(), peer.view(self.theirs)
        said = []
        try:
            one = ours()
        except RefusedError as error:
            said.append(kind(error))
        try:
            other = theirs()
        except peer.Refusal as error:
            said.append(error.kind)
        assert (self.ours.encode(), peer.view(self.theirs)) == before, "a state that was given has changed"
        if not said:
            return one, other
        assert len(set(said)) == 1, f"one says {said}"
        assert len(said) == 2, f"only one says {said}"
        raise Refused(said[0])


def meet(seed: object, *, kem: Kem | None = None, now: int = START) -> tuple[Desk, Desk]:
    """Two desks that have just met."""
    kem, draw = kem or SeededKem(), stream("meeting", seed)
    transcript, s1, s2 = draw(32), draw(32), draw(32)
    private, public = kem.generate(draw)
    secrets = ratchet.Secrets(Transcript(transcript), HalfSecret(s1), HalfSecret(s2))
    desks = []
    for role in (FIRST, SECOND):
        sk = private if role == SECOND else None
        ours = ratchet.start(secrets, answer=PublicKey(public), private=sk, now=now)
        theirs = peer.start(role, transcript, s1, s2, pk0=public, sk0=sk, now=now)
        desks.append(Desk(ours, theirs, kem))
        desks[-1].check()
    return desks[0], desks[1]
