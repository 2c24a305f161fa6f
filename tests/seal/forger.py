"""Forging the other side's letters from what a reader's desk stores.

Everything that authenticates a letter, its reader holds too. So the reader can
write the peer's next letter, and the next but one, and a whole correspondence:
:func:`forge` rebuilds as much of the peer's state as writing takes out of the
reader's, and lets the ratchet write. It has no key but those in that state.
"""

from __future__ import annotations

from collections.abc import Sequence

from backchannel.kem import Kem
from backchannel.keys import Random
from backchannel.seal import envelope as envelopes
from backchannel.seal import ratchet
from backchannel.seal.envelope import NoKeyError
from backchannel.seal.state import Sending, State


def forge(
    state: State,
    item: bytes,
    *,
    kem: Kem,
    random: Random,
    now: int,
    crossing: bool = False,
    seen: int | None = None,
    past: Sequence[bytes] = (),
) -> bytes:
    """Make the envelope that the peer of *state* would write next.

    If the newest turn is the reader's, it is answered, unless the forged letter
    is to have been *crossing* it. The forger says up to which of the reader's
    letters the peer is to have *seen*, all that is possible unless told. A
    letter in a turn that the peer has begun carries the length of the peer's
    turn before, which a reader has in any letter of that turn among *past*;
    reading does not check it, so without one it is zero.
    """
    if state.owns_turn and not crossing:
        peer = _answering(state)
    else:
        peer = _continuing(state, state.turn - state.owns_turn, past)
    if seen is None:
        seen = state.written - (state.tx.n if crossing and state.tx else 0)
    peer.claims, peer.seen = {seen: state.chain[seen]}, seen
    return ratchet.write(peer, item, kem=kem, random=random, now=now)[1]


def _answering(state: State) -> State:
    """The peer, who has just read the newest turn of this desk and will answer it."""
    assert state.tx
    before = state.rx.get(state.turn - 1)
    peer = _peer(state, state.turn - 1)
    peer.peer_public = state.tx.opening.public
    if before:
        peer.tx = Sending(state.turn - 1, before.header_key, None, before.n, 0, before.opening)
    return peer


def _continuing(state: State, turn: int, past: Sequence[bytes]) -> State:
    """The peer, in the middle of a turn."""
    rx = state.rx[turn]
    peer = _peer(state, turn)
    peer.turn = turn
    peer.tx = Sending(turn, rx.header_key, rx.chain, rx.n, 0, rx.opening)
    for envelope in past:
        try:
            peer.tx.pn = envelopes.open_header(envelope, [(turn, rx.header_key)]).pn
        except NoKeyError:
            continue
    return peer


def _peer(state: State, turn: int) -> State:
    """What the peer has in common with this desk, and the peer's letters up to *turn*."""
    rx = state.rx.get(turn)
    written = rx.base + rx.n if rx else 0
    return State(
        role=1 - state.role,
        transcript=state.transcript,
        turn=state.turn,
        root=state.root,
        next_header_key=state.next_header_key,
        private=None,
        peer_public=None,
        tx=None,
        rx={},
        # Only its length and its last link go into a letter.
        chain=[state.claims[written]] * (written + 1),
        claims={},
    )
