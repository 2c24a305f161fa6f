"""A desk's ratchet as JSON, under the names of docs/spec/ratchet.md §4, and both implementations from it.

Bytes are hexadecimal; a map is a list of its entries, the key's parts first.
"""

from __future__ import annotations

from typing import Any

from backchannel.kem import PrivateKey, PublicKey
from backchannel.keys import Digest
from backchannel.seal.envelope import HeaderKey, MessageKey, Opening
from backchannel.seal.state import (
    ChainKey,
    PacketRoot,
    Place,
    PouchKey,
    Receiving,
    RootKey,
    Sending,
    State,
    Transcript,
)
from tests.peer import ratchet_peer as peer
from tests.peer.side_by_side import Desk
from tests.simulation.seeded_kem import SeededKem

MAPS = ("rx", "claim", "skipped", "opened", "pouch_keys", "roots")


def to_json(view: dict[str, Any]) -> dict[str, Any]:
    """A view, of either implementation, as JSON."""
    return {name: _entries(value) if name in MAPS else _plain(value) for name, value in view.items()}


def desk(said: dict[str, Any]) -> Desk:
    """The desk that *said* is, twice."""
    theirs = _theirs(said)
    made = Desk(_ours(theirs), theirs, SeededKem())
    made.check()
    return made


def _entries(table: dict[Any, Any]) -> list[list[Any]]:
    rows = []
    for key, value in table.items():
        keys = key if isinstance(key, tuple) else (key,)
        values = value if isinstance(value, tuple) else (value,)
        rows.append([_plain(part) for part in (*keys, *values)])
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value


def _theirs(said: dict[str, Any]) -> peer.State:
    return peer.State(
        role=said["role"],
        T=_raw(said["T"]),
        t=said["t"],
        RK=_raw(said["RK"]),
        NHK=_raw(said["NHK"]),
        sk=_raw(said["sk"]),
        peer_pk=_raw(said["peer_pk"]),
        tx=_row(said["tx"]) if said["tx"] else None,
        rx={turn: _row(row) for turn, row in said["rx"]},
        S=[_raw(link) for link in said["S"]],
        claim={i: _raw(link) for i, link in said["claim"]},
        skipped={(u, n): (_raw(mk), date) for u, n, mk, date in said["skipped"]},
        seen=said["seen"],
        opened={_raw(name): (u, n, _raw(head)) for name, u, n, head in said["opened"]},
        pouch_keys={t: (_raw(key), date) for t, key, date in said["pouch_keys"]},
        roots={t: _raw(root) for t, root in said["roots"]},
        frozen=said["frozen"],
    )


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else _raw(value) for name, value in row.items()}


def _raw(value: str | None) -> Any:
    return None if value is None else bytes.fromhex(value)


def _ours(s: peer.State) -> State:
    return State(
        role=s.role,
        transcript=Transcript(s.T),
        turn=s.t,
        root=RootKey(s.RK),
        next_header_key=HeaderKey(s.NHK),
        private=PrivateKey(s.sk) if s.sk else None,
        peer_public=PublicKey(s.peer_pk) if s.peer_pk else None,
        tx=Sending(s.tx["turn"], HeaderKey(s.tx["HK"]), _chain(s.tx), s.tx["n"], s.tx["pn"], _opening(s.tx))
        if s.tx
        else None,
        rx={u: Receiving(HeaderKey(r["HK"]), _chain(r), r["n"], _opening(r), r["base"]) for u, r in s.rx.items()},
        chain=[Digest(link) for link in s.S],
        claims={i: Digest(link) for i, link in s.claim.items()},
        skipped={at: (MessageKey(mk), date) for at, (mk, date) in s.skipped.items()},
        seen=s.seen,
        opened={Digest(name): Place(u, n, Digest(head)) for name, (u, n, head) in s.opened.items()},
        pouch_keys={t: (PouchKey(key), date) for t, (key, date) in s.pouch_keys.items()},
        roots={t: PacketRoot(root) for t, root in s.roots.items()},
        frozen=s.frozen or "",
    )


def _chain(row: dict[str, Any]) -> ChainKey | None:
    return ChainKey(row["CK"]) if row["CK"] else None


def _opening(row: dict[str, Any]) -> Opening:
    return Opening(row["ct"], PublicKey(row["pk"]))
