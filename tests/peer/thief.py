"""Somebody who has copied all of one desk, once, and from then on hears every envelope of both sides.

He acts never, and he is as good as a thief can be who does not break the
primitives: whatever key follows from what he has by the functions of
docs/spec/ratchet.md §3, he has. What he cannot follow is a KEM step whose
private key he lacks; then he knows the header key of that turn at most.
"""

from __future__ import annotations

import hmac
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from backchannel.errors import BackchannelError
from tests.peer import ratchet_peer as peer


class Thief:
    """What follows from one stolen state."""

    def __init__(self, state: peer.State, kem: peer.Kem) -> None:
        own = state.t % 2 != state.role
        self.victim = state.role
        self.state, self.kem = state, kem
        # The point from which he reads nothing: the victim's next own turn.
        self.blind = state.t + (2 if own else 1)
        self.chains: dict[int, tuple[bytes, int]] = {}
        self.header_keys = {state.t + 1: state.NHK}
        turns: dict[int, dict[str, Any]] = dict(state.rx)
        if state.tx is not None:
            turns[state.tx["turn"]] = state.tx
        for turn, row in turns.items():
            self.header_keys[turn] = row["HK"]
            if row["CK"] is not None:
                self.chains[turn] = row["CK"], row["n"]
        self.keys = {at: mk for at, (mk, _) in state.skipped.items()}
        self.root = state.RK
        self.public = state.tx["pk"] if own and state.tx is not None else state.peer_pk

    def recognises(self, envelope: bytes) -> bool:
        """Whether he knows that this is an envelope of the two, and where it stands."""
        return self._header(envelope) is not None

    def reads(self, envelope: bytes) -> bool:
        """Whether he reads what it says."""
        header = self._header(envelope)
        if header is None:
            return False
        turn, n, public, ct = header
        if turn not in self.chains and turn == self.state.t + 1:
            self._follow(turn, public, ct)
        if turn in self.chains:
            key, at = self.chains[turn]
            while at <= n:
                key, self.keys[turn, at] = peer.step(self.state, key)
                at += 1
            self.chains[turn] = key, at
        mk = self.keys.get((turn, n))
        if mk is None:
            return False
        _, commit = peer.KDF(peer.head(envelope), mk, peer.ENVELOPE + b"body", 2)
        if not hmac.compare_digest(commit, envelope[2472:2504]):
            return False
        peer.open_body(envelope, mk)
        return True

    def _follow(self, turn: int, public: bytes, ct: bytes) -> None:
        if self.state.sk is None:
            return
        assert self.public is not None
        info = peer.turn_info(self.state.T, turn, self.public, public)
        try:
            x = self.kem.open(self.state.sk, info, ct)
        except BackchannelError:
            return
        _, key, following, _ = peer.KDF(self.root, x, peer.framed(peer.RATCHET + b"keys", info, ct), 4)
        self.chains[turn], self.header_keys[turn + 1] = (key, 0), following

    def _header(self, envelope: bytes) -> tuple[int, int, bytes, bytes] | None:
        for turn, key in self.header_keys.items():
            k_h, tag = peer.KDF(envelope[:32], key, peer.ENVELOPE + b"head", 2)
            if tag[:16] == envelope[32:48]:
                header = ChaCha20Poly1305(k_h).decrypt(bytes(12), envelope[48:2472], envelope[:48])
                assert int.from_bytes(header[:8]) == turn
                return turn, int.from_bytes(header[8:16]), header[1192:], header[24:1192]
        return None
