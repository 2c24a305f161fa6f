"""A correspondent who holds the keys and says with them what the page does not allow."""

from __future__ import annotations

from typing import Any

from backchannel.keys import Digest, derive
from backchannel.seal import envelope as envelopes
from backchannel.seal.envelope import Body, Header, MessageKey
from backchannel.seal.ratchet import LABEL_STEP
from backchannel.seal.state import State
from tests.peer.side_by_side import stream


def lie(state: State, *, seed: object = "lie", item: bytes = b"item", **said: Any) -> bytes:
    """The next letter of a desk that has begun its turn, but with *said* in its header and body."""
    tx = state.tx
    assert tx
    assert tx.chain
    n = said.get("n", tx.n)
    header = Header(said.get("turn", tx.turn), n, said.get("pn", tx.pn), said.get("opening", tx.opening))
    seen = said.get("seen", state.seen)
    body = Body(
        said.get("index", len(state.chain) + n - tx.n),
        said.get("before", state.chain[-1] if n == tx.n else Digest(bytes(32))),
        seen,
        said.get("seen_chain", state.claims.get(seen, Digest(bytes(32)))),
        item,
    )
    chain: bytes = tx.chain
    for _ in range(n - tx.n + 1):
        chain, key = derive(state.transcript, chain, LABEL_STEP, count=2)
    return envelopes.seal(header, body, keys=(tx.header_key, MessageKey(key)), random=stream(seed))
