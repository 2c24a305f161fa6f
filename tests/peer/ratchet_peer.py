"""The ratchet and the envelope once more, as a straight line.

Written from docs/spec/ratchet.md and docs/spec/envelope.md and from nothing
else, so that a slip in the package and a hole in a page show as a difference
between the two. A comment names the section and step a line comes from: R is
ratchet.md, E is envelope.md. Nothing here is fast, and nothing is wiped.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

if TYPE_CHECKING:
    from collections.abc import Callable

RATCHET = b"backchannel/v1/ratchet/"  # R§2, L_p
ENVELOPE = b"backchannel/v1/envelope/"  # E§1, L_p
NO_CT = bytes(1168)  # R§3: turn 0 has no KEM step
LEAST, MOST = 2592, 44 * 1024 * 1024  # E§4
MOST_IN_TURN = 1000  # R§5.1
MOST_AT_ONCE, MOST_KEPT = 1000, 2000  # R§6.4
KEPT_SECONDS = 90 * 86400  # R§7, R§8


class Kem(Protocol):
    # Any: keys may have types of their own, here they are bytes.
    def generate(self, random: Callable[[int], bytes]) -> tuple[Any, Any]: ...
    def check(self, public: Any) -> None: ...
    def seal(self, public: Any, info: bytes, plaintext: bytes, random: Callable[[int], bytes]) -> bytes: ...
    def open(self, private: Any, info: bytes, box: bytes) -> bytes: ...


class Refusal(Exception):  # noqa: N818 (an answer, not a fault)
    """R§5.1 and R§6: a letter that is not written, an envelope that is not opened; nothing has changed."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass
class State:
    """R§4, field for field. tx and the values of rx are dicts with the names of the table."""

    role: int
    T: bytes
    t: int
    RK: bytes
    NHK: bytes
    sk: bytes | None
    peer_pk: bytes | None
    tx: dict[str, Any] | None
    rx: dict[int, dict[str, Any]]
    S: list[bytes]
    claim: dict[int, bytes]
    skipped: dict[tuple[int, int], tuple[bytes, int]] = field(default_factory=dict)
    seen: int = 0
    opened: dict[bytes, tuple[int, int, bytes]] = field(default_factory=dict)
    pouch_keys: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    roots: dict[int, bytes] = field(default_factory=dict)
    frozen: str | None = None


# --- R§2, functions


def framed(*parts: bytes | int) -> bytes:
    out = b""
    for part in parts:
        data = part.to_bytes(8, "big") if isinstance(part, int) else part
        out += len(data).to_bytes(4, "big") + data
    return out


def H(label: bytes, *parts: bytes | int) -> bytes:  # noqa: N802 (the page's name)
    return hashlib.sha256(framed(label, *parts)).digest()


def KDF(salt: bytes, ikm: bytes, info: bytes, count: int) -> list[bytes]:  # noqa: N802 (the page's name)
    prk = hmac.new(salt, ikm, "sha512").digest()  # RFC 5869 §2.2
    out, block = b"", b""
    for i in range(1, 9):  # RFC 5869 §2.3
        block = hmac.new(prk, block + info + bytes([i]), "sha512").digest()
        out += block
    return [out[32 * k : 32 * k + 32] for k in range(count)]


# --- R§3, keys


def turn_info(T: bytes, t: int, old_pk: bytes, pk: bytes) -> bytes:  # noqa: N803 (the page's name)
    return H(RATCHET + b"turn", T, t, old_pk, pk)


def turn_keys(s: State, x: bytes, info: bytes, ct: bytes) -> list[bytes]:
    return KDF(s.RK, x, framed(RATCHET + b"keys", info, ct), 4)  # RK, CK, next HK, CAR


def step(s: State, ck: bytes) -> list[bytes]:
    return KDF(s.T, ck, RATCHET + b"step", 2)  # CK, MK


def link(before: bytes, digest: bytes) -> bytes:
    return H(RATCHET + b"chain", before, digest)


def add_carriage(s: State, t: int, car: bytes, now: int) -> None:
    s.roots[t], key = KDF(s.T, car, RATCHET + b"carriage", 2)  # R§8: split when made or opened
    s.pouch_keys[t] = (key, now)


# --- R§4, the state after the meeting


def start(role: int, T: bytes, s1: bytes, s2: bytes, *, pk0: bytes, sk0: bytes | None = None, now: int) -> State:  # noqa: N803
    rk, ck, hk0, hk1, car_before, car0 = KDF(T, framed(s1, s2), framed(RATCHET + b"root", T), 6)
    tx, rx = None, {}
    if role == 1:
        tx = {"turn": 0, "HK": hk0, "CK": ck, "n": 0, "pn": 0, "ct": NO_CT, "pk": pk0}
    else:
        rx = {0: {"HK": hk0, "CK": ck, "n": 0, "ct": NO_CT, "pk": pk0, "base": 0}}
    s = State(
        role=role,
        T=T,
        t=0,
        RK=rk,
        NHK=hk1,
        sk=sk0 if role == 1 else None,
        peer_pk=pk0 if role == 0 else None,
        tx=tx,
        rx=rx,
        S=[H(RATCHET + b"chain", T, role)],
        claim={0: H(RATCHET + b"chain", T, 1 - role)},
    )
    add_carriage(s, -1, car_before, now)
    add_carriage(s, 0, car0, now)
    return s


# --- R§5, writing


def write(state: State, item: bytes, *, kem: Kem, random: Callable[[int], bytes], now: int) -> tuple[State, bytes]:
    if state.frozen:  # 1
        raise Refusal("frozen")
    own = state.t % 2 != state.role  # R§1: the first (0) owns the odd turns
    if own and state.tx is not None and state.tx["n"] == MOST_IN_TURN:
        raise Refusal("unanswered")
    s = copy.deepcopy(state)
    erase_dated(s, now)
    if not own:  # 2
        assert s.peer_pk is not None
        u = s.t + 1
        sk, pk = kem.generate(random)
        x = random(32)
        info = turn_info(s.T, u, s.peer_pk, pk)
        ct = kem.seal(s.peer_pk, info, x, random)
        rk, ck, nhk, car = turn_keys(s, x, info, ct)
        s.tx = {"turn": u, "HK": s.NHK, "CK": ck, "n": 0, "pn": s.tx["n"] if s.tx else 0, "ct": ct, "pk": pk}
        s.t, s.RK, s.NHK, s.sk, s.peer_pk = u, rk, nhk, sk, None
        add_carriage(s, u, car, now)
        for t in [t for t in s.roots if t < u - 2]:  # R§8: fallen out of use at this moment
            s.pouch_keys[t] = (s.pouch_keys[t][0], now)
            del s.roots[t]
    assert s.tx is not None
    s.tx["CK"], mk = step(s, s.tx["CK"])  # 3
    header = b"".join(s.tx[name].to_bytes(8, "big") for name in ("turn", "n", "pn"))  # 4, E§2
    header += s.tx["ct"] + s.tx["pk"]
    body = cbor2.dumps([len(s.S), s.S[-1], s.seen, s.claim[s.seen], item], canonical=True)  # 4, E§3
    envelope = seal_envelope(random(32), s.tx["HK"], mk, header, body)  # 5
    s.S.append(link(s.S[-1], hashlib.sha256(envelope).digest()))
    s.tx["n"] += 1
    return s, envelope


def seal_envelope(r: bytes, hk: bytes, mk: bytes, header: bytes, body: bytes) -> bytes:
    """E§1."""
    k_h, tag = KDF(r, hk, ENVELOPE + b"head", 2)
    out = r + tag[:16]
    out += ChaCha20Poly1305(k_h).encrypt(bytes(12), header, out)
    k_b, commit = KDF(hashlib.sha256(out).digest(), mk, ENVELOPE + b"body", 2)
    out += commit
    out += ChaCha20Poly1305(k_b).encrypt(bytes(12), body, out)
    if len(out) > MOST:  # E§4
        raise ValueError("an item this long fits in no envelope")
    return out


# --- R§6, reading


def read(state: State, envelope: bytes, *, kem: Kem, now: int) -> tuple[State, bytes]:  # noqa: C901, PLR0912 (the steps in one piece, as on the page)
    s = copy.deepcopy(state)
    erase_dated(s, now)
    if not LEAST <= len(envelope) <= MOST:  # E§5.1
        raise Refusal("damaged")
    digest = hashlib.sha256(envelope).digest()
    if digest in s.opened:  # 1
        raise Refusal("already here")
    u, n, pn, ct, pk = open_header(s, envelope)  # 2
    if u not in s.rx:  # 3
        open_turn(s, u, pn, ct, pk, kem, now)
    elif (ct, pk) != (s.rx[u]["ct"], s.rx[u]["pk"]):
        raise Refusal("fork")
    if n < s.rx[u]["n"]:  # 4
        if (u, n) not in s.skipped:
            heads = {head for *at, head in s.opened.values() if at == [u, n]}
            if heads - {head(envelope)}:
                raise Refusal("fork")
            raise Refusal("damaged" if heads else "expired")
        mk, _ = s.skipped.pop((u, n))
    else:
        if s.rx[u]["CK"] is None:
            raise Refusal("fork")
        skip(s, u, n, now)
        s.rx[u]["CK"], mk = step(s, s.rx[u]["CK"])
        s.rx[u]["n"] = n + 1
    i, before, seen, ours, item = open_body(envelope, mk)  # 5
    if i != s.rx[u]["base"] + n + 1:
        raise Refusal("damaged")
    s.opened[digest] = (u, n, head(envelope))  # 6
    after = link(before, digest)
    reasons = []
    if s.claim.get(i - 1, before) != before or s.claim.get(i, after) != after:
        reasons.append("two histories")
    if seen > len(s.S) - 1:
        reasons.append("this desk is an old copy")
    elif ours != s.S[seen]:
        reasons.append("another letter in the place of one of ours")
    s.claim.setdefault(i - 1, before)
    s.claim.setdefault(i, after)
    if s.frozen is None and reasons:
        s.frozen = reasons[0]
    s.seen = max(s.seen, i)  # 7
    waited_for = {u for u, _ in s.skipped}
    s.rx = {u: chain for u, chain in s.rx.items() if chain["CK"] is not None or u in waited_for}
    s.opened = {d: at for d, at in s.opened.items() if at[0] in s.rx}
    return s, item


def head(envelope: bytes) -> bytes:
    """R§2."""
    return hashlib.sha256(envelope[:2472]).digest()


def open_header(s: State, envelope: bytes) -> tuple[int, int, int, bytes, bytes]:
    """R§6.2, E§1."""
    keys = {u: chain["HK"] for u, chain in s.rx.items()}
    if s.t % 2 != s.role:
        keys[s.t + 1] = s.NHK
    for u, hk in keys.items():
        k_h, tag = KDF(envelope[:32], hk, ENVELOPE + b"head", 2)
        if not hmac.compare_digest(tag[:16], envelope[32:48]):
            continue
        try:
            header = ChaCha20Poly1305(k_h).decrypt(bytes(12), envelope[48:2472], envelope[:48])
        except InvalidTag:
            raise Refusal("damaged") from None
        turn, n, pn = (int.from_bytes(header[at : at + 8], "big") for at in (0, 8, 16))  # E§2
        if turn != u:
            raise Refusal("damaged")
        return turn, n, pn, header[24:1192], header[1192:]
    raise Refusal("no key")


def open_turn(s: State, u: int, pn: int, ct: bytes, pk: bytes, kem: Kem, now: int) -> None:
    """R§6.3, for a turn that is not in rx."""
    assert s.sk is not None
    assert s.tx is not None
    try:
        kem.check(pk)
        info = turn_info(s.T, u, s.tx["pk"], pk)
        x = kem.open(s.sk, info, ct)
    except Exception:  # noqa: BLE001 (whatever outside bytes provoke is one refusal)
        raise Refusal("damaged") from None
    base = 0
    if u - 2 in s.rx:
        if pn < s.rx[u - 2]["n"]:
            raise Refusal("fork")
        skip(s, u - 2, pn, now)
        s.rx[u - 2]["CK"] = None
        base = s.rx[u - 2]["base"] + pn
    elif pn != 0:
        raise Refusal("damaged")
    rk, ck, nhk, car = turn_keys(s, x, info, ct)
    s.rx[u] = {"HK": s.NHK, "CK": ck, "n": 0, "ct": ct, "pk": pk, "base": base}
    s.t, s.RK, s.NHK, s.peer_pk, s.sk, s.tx["CK"] = u, rk, nhk, pk, None, None
    add_carriage(s, u, car, now)


def skip(s: State, u: int, n: int, now: int) -> None:
    """R§6.4: keep the keys of turn u from where its chain is up to n, which is not kept."""
    chain = s.rx[u]
    missing = n - chain["n"]
    if missing > MOST_AT_ONCE or len(s.skipped) + missing > MOST_KEPT:
        raise Refusal("too many missing")
    while chain["n"] < n:
        chain["CK"], mk = step(s, chain["CK"])
        s.skipped[u, chain["n"]] = (mk, now)
        chain["n"] += 1


def open_body(envelope: bytes, mk: bytes) -> tuple[int, bytes, int, bytes, bytes]:
    """R§6.5, E§1, E§3."""
    k_b, commit = KDF(head(envelope), mk, ENVELOPE + b"body", 2)
    if not hmac.compare_digest(commit, envelope[2472:2504]):  # E§5.4
        raise Refusal("damaged")
    try:
        body = ChaCha20Poly1305(k_b).decrypt(bytes(12), envelope[2504:], envelope[:2504])
    except InvalidTag:  # E§5.5
        raise Refusal("damaged") from None
    try:
        value: Any = cbor2.loads(body)
        # The types one by one, and the bytes again: cbor2 reads more than the encoding has.
        fits = type(value) is list and [type(v) for v in value] == [int, bytes, int, bytes, bytes]
        fits = fits and all(0 <= v < 1 << 64 for v in (value[0], value[2]))
        fits = fits and len(value[1]) == len(value[3]) == 32
        fits = fits and cbor2.dumps(value, canonical=True) == body
    except Exception:  # noqa: BLE001 (whatever outside bytes provoke is one refusal)
        raise Refusal("damaged") from None
    if not fits or value[0] == 0:  # E§5.6
        raise Refusal("damaged")
    i, before, seen, ours, item = value
    return i, before, seen, ours, item


# --- R§7 and R§8, erasure and carriage


def erase_dated(s: State, now: int) -> None:
    """At the start of every writing and reading: what is more than 90 days past its date."""
    s.skipped = {at: (mk, date) for at, (mk, date) in s.skipped.items() if now - date <= KEPT_SECONDS}
    if s.tx is None:  # R§8: at the first before it has written, all are kept
        return
    least = s.tx["turn"] - 2
    s.pouch_keys = {
        t: (key, date) for t, (key, date) in s.pouch_keys.items() if t >= least or now - date <= KEPT_SECONDS
    }


def carrying_key(s: State) -> bytes:
    """R§8: the newest of the correspondent's turns that this desk has answered."""
    return s.pouch_keys[s.tx["turn"] - 1 if s.tx else 0][0]


def opening_keys(s: State) -> list[bytes]:
    """R§8: every pouch key kept of this desk's own turns, oldest first."""
    return [key for t, (key, _) in sorted(s.pouch_keys.items()) if t % 2 != s.role]


def view(s: State) -> dict[str, Any]:
    """Every field of R§4 under its name there."""
    return dataclasses.asdict(s)
