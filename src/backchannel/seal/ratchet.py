"""The ratchet: which key seals which letter, and when each key is gone.

A Double Ratchet with header encryption whose Diffie-Hellman step is a KEM
(docs/spec/ratchet.md, whose §4 is the state below and whose numbered steps are
the comments). Pure: a state and an event in, a new state and bytes out; the
state given is never changed, so a refusal changes nothing.

The rules, each held by a step of :func:`write` or :func:`read`:

 * turns alternate: only who has opened turn t creates t+1
 * at most one decapsulation key is alive, and it is used once
 * a message key is gone when its letter is sealed or opened
 * nothing is believed before the body's AEAD has opened
 * only an authenticated body freezes, and a frozen state does not write
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from backchannel.encoding import framed
from backchannel.errors import MalformedError, RefusedError, VerificationError
from backchannel.kem import Kem, PrivateKey, PublicKey
from backchannel.keys import Digest, Random, derive, sha256
from backchannel.seal import envelope as envelopes
from backchannel.seal.envelope import Body, DamagedError, Header, HeaderKey, MessageKey, Opening
from backchannel.seal.state import (
    FIRST,
    SECOND,
    ChainKey,
    HalfSecret,
    PacketRoot,
    Place,
    PouchKey,
    Receiving,
    RootKey,
    Sending,
    State,
    Transcript,
    owner,
)

# Specification constants (docs/spec/ratchet.md §6, §7).
MAX_IN_TURN: Final = 1_000
MAX_SKIPPED_AT_ONCE: Final = 1_000
MAX_SKIPPED: Final = 2_000
KEPT_SECONDS: Final = 90 * 86_400
STEP_SIZE: Final = 32  # x, what a KEM step carries
NO_BOX: Final = bytes(envelopes.STEP_BOX_SIZE)  # turn 0 has no KEM step

LABEL_ROOT: Final = b"backchannel/v1/ratchet/root"
LABEL_TURN: Final = b"backchannel/v1/ratchet/turn"
LABEL_KEYS: Final = b"backchannel/v1/ratchet/keys"
LABEL_STEP: Final = b"backchannel/v1/ratchet/step"
LABEL_CARRIAGE: Final = b"backchannel/v1/ratchet/carriage"
LABEL_CHAIN: Final = b"backchannel/v1/ratchet/chain"


class ForkError(VerificationError):
    """Two different letters, or openings of a turn, claim one place."""


class ExpiredError(VerificationError):
    """The key of this letter was dropped, its time over."""


class AlreadyError(VerificationError):
    """This very envelope has been opened before."""


class TooManyMissingError(VerificationError):
    """More letters are missing before this one than keys are kept for."""


class FrozenError(RefusedError):
    """This correspondence writes no more; the two must meet again."""


class UnansweredError(RefusedError):
    """So many letters stand unanswered that their loss could not be made good."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a meeting leaves behind: the transcript and both halves."""

    transcript: Transcript
    first: HalfSecret
    second: HalfSecret


@dataclass(frozen=True, slots=True)
class Opened:
    """A letter's item, vouched for: its writer's number of it, and the state it leaves."""

    index: int
    item: bytes
    seen: int
    state: State


def start(secrets: Secrets, *, answer: PublicKey, private: PrivateKey | None, now: int) -> State:
    """Make the state that follows a meeting.

    *answer* is the answering card's key, turn 0; *private* its private key at
    the second card-holder, None at the first (docs/spec/ratchet.md §3, §4).
    """
    transcript = secrets.transcript
    role = FIRST if private is None else SECOND
    keys = derive(transcript, framed(secrets.first, secrets.second), framed(LABEL_ROOT, transcript), count=6)
    root, chain, header_key, next_header_key, before, carriage = keys
    opening = Opening(NO_BOX, answer)
    state = State(
        role=role,
        transcript=transcript,
        turn=0,
        root=RootKey(root),
        next_header_key=HeaderKey(next_header_key),
        private=private,
        peer_public=answer if role == FIRST else None,
        tx=Sending(0, HeaderKey(header_key), ChainKey(chain), 0, 0, opening) if role == SECOND else None,
        rx={0: Receiving(HeaderKey(header_key), ChainKey(chain), 0, opening, 0)} if role == FIRST else {},
        chain=[sha256(LABEL_CHAIN, transcript, role)],
        claims={0: sha256(LABEL_CHAIN, transcript, 1 - role)},
    )
    _keep_carriage(state, -1, before, now)
    _keep_carriage(state, 0, carriage, now)
    return state


def write(state: State, item: bytes, *, kem: Kem, random: Random, now: int) -> tuple[State, bytes]:
    """Seal *item* as this desk's next letter (docs/spec/ratchet.md §5).

    Draws, in this order, what a new turn needs and what the envelope needs.

    Raises:
        FrozenError, UnansweredError: Step 1.
    """
    if state.frozen:
        raise FrozenError(f"this correspondence is frozen: {state.frozen}")
    if state.owns_turn and state.tx and state.tx.n == MAX_IN_TURN:
        raise UnansweredError("a thousand letters are unanswered: they must write first, or the two meet again")
    state = _expired(state.copy(), now)
    if not state.owns_turn:
        _create_turn(state, kem=kem, random=random, now=now)
    tx = state.tx
    assert tx is not None  # the owner of the newest turn has it
    assert tx.chain is not None
    tx.chain, message_key = _step(state.transcript, tx.chain)
    body = Body(len(state.chain), state.chain[-1], state.seen, state.claims[state.seen], item)
    header = Header(tx.turn, tx.n, tx.pn, tx.opening)
    sealed = envelopes.seal(header, body, keys=(tx.header_key, message_key), random=random)
    state.chain.append(_link(state.chain[-1], digest(sealed)))
    tx.n += 1
    return state, sealed


def read(state: State, envelope: bytes, *, kem: Kem, now: int) -> Opened:
    """Open *envelope*, the steps as in docs/spec/ratchet.md §6.

    Raises:
        AlreadyError, NoKeyError, DamagedError, ForkError, ExpiredError,
        TooManyMissingError: As there; nothing has changed.
    """
    state = _expired(state.copy(), now)
    # 1. The same bytes by another carrier are the same letter.
    name = digest(envelope)
    if name in state.opened:
        raise AlreadyError("this letter is already here")
    # 2. The header keys of all live turns, and of the one the peer may begin.
    live = [(turn, rx.header_key) for turn, rx in state.rx.items()]
    if state.owns_turn:
        live.append((state.turn + 1, state.next_header_key))
    header = envelopes.open_header(envelope, live)
    # 3. The first letter of a new turn to arrive opens that turn.
    if header.turn not in state.rx:
        _open_turn(state, header, kem=kem, now=now)
    rx = state.rx[header.turn]
    if rx.opening != header.opening:
        raise ForkError("two openings of one turn: somebody else has written with these keys")
    # 4. The message key, from the chain or from among those skipped.
    place = Place(header.turn, header.n, envelopes.head(envelope))
    message_key = _take_skipped(state, place) if header.n < rx.n else _advance(state, header, now)
    # 5. Nothing above is kept unless the body opens, and has the number of its place.
    body = envelopes.open_body(envelope, message_key)
    if body.index != rx.base + header.n + 1:
        raise DamagedError
    # 6. What the writer has written and seen must agree with what this desk knows.
    state.opened[name] = place
    _check_history(state, body, name)
    # 7. Turns that are closed and complete are forgotten, keys and all.
    state.seen = max(state.seen, body.index)
    _drop_closed_turns(state)
    return Opened(body.index, body.item, body.seen, state)


def freeze(state: State, why: str) -> State:
    """Freeze by the owner's will, or because the desk is an old copy; the first reason stands."""
    state = state.copy()
    _freeze(state, why)
    return state


def lapse(state: State, now: int) -> State:
    """The state without the dated keys whose time is over; itself, if there are none."""
    lapsed = _expired(state.copy(), now)
    return state if lapsed == state else lapsed


def carrying_key(state: State) -> PouchKey:
    """The key to pack a pouch for the correspondent under (docs/spec/ratchet.md §8).

    It belongs to the newest of their turns that this desk has *answered*, so
    opening a letter changes nothing that leaves the desk.
    """
    return state.pouch_keys[state.tx.turn - 1 if state.tx else 0][0]


def opening_keys(state: State) -> list[PouchKey]:
    """The keys that pouches to this desk may be packed under: its own turns', newest first."""
    own = sorted((turn for turn in state.pouch_keys if owner(turn) == state.role), reverse=True)
    return [state.pouch_keys[turn][0] for turn in own]


def digest(envelope: bytes) -> Digest:
    """SHA-256 of the envelope's bytes: its name."""
    return Digest(hashlib.sha256(envelope).digest())


def turn_keys(root: RootKey, step: bytes, info: Digest, box: bytes) -> tuple[RootKey, ChainKey, HeaderKey, bytes]:
    """RKₜ, CKₜ, HKₜ₊₁ and CARₜ from RKₜ₋₁ and what the KEM carried."""
    keys = derive(root, step, framed(LABEL_KEYS, info, box), count=4)
    return RootKey(keys[0]), ChainKey(keys[1]), HeaderKey(keys[2]), keys[3]


def turn_info(transcript: Transcript, turn: int, before: PublicKey, public: PublicKey) -> Digest:
    """Infoₜ, which binds a KEM step to its meeting, its turn and both keys."""
    return sha256(LABEL_TURN, transcript, turn, before, public)


def _link(before: Digest, name: Digest) -> Digest:
    return sha256(LABEL_CHAIN, before, name)


def _step(transcript: Transcript, chain: ChainKey) -> tuple[ChainKey, MessageKey]:
    following, message_key = derive(transcript, chain, LABEL_STEP, count=2)
    return ChainKey(following), MessageKey(message_key)


def _create_turn(state: State, *, kem: Kem, random: Random, now: int) -> None:
    """§5 step 2: answer the peer's newest turn with one of this desk's."""
    assert state.peer_public is not None  # the newest turn is the peer's
    turn = state.turn + 1
    private, public = kem.generate(random)
    step = random(STEP_SIZE)
    info = turn_info(state.transcript, turn, state.peer_public, public)
    box = kem.seal(state.peer_public, info, step, random)
    header_key, pn = state.next_header_key, state.tx.n if state.tx else 0
    state.root, chain, state.next_header_key, carriage = turn_keys(state.root, step, info, box)
    state.tx = Sending(turn, header_key, chain, 0, pn, Opening(box, public))
    state.turn, state.private, state.peer_public = turn, private, None
    _keep_carriage(state, turn, carriage, now)
    # A key is dated when it falls out of use, not when it was made: a pouch
    # packed on the last day of a long silence is still under way.
    fallen = turn - 4, turn - 3
    for old in fallen:
        if old in state.pouch_keys:
            state.pouch_keys[old] = state.pouch_keys[old][0], now
        state.roots.pop(old, None)


def _open_turn(state: State, header: Header, *, kem: Kem, now: int) -> None:
    """§6 step 3: the peer has answered this desk's newest turn."""
    assert state.tx is not None  # this desk owns the turn before
    assert state.private is not None
    turn, opening = header.turn, header.opening
    info = turn_info(state.transcript, turn, state.tx.opening.public, opening.public)
    try:
        kem.check(opening.public)
        step = kem.open(state.private, info, opening.box)
    except (MalformedError, VerificationError):
        raise DamagedError from None
    base = _close_turn(state, turn - 2, header.pn, now)
    header_key = state.next_header_key
    state.root, chain, state.next_header_key, carriage = turn_keys(state.root, step, info, opening.box)
    state.rx[turn] = Receiving(header_key, chain, 0, opening, base)
    state.turn, state.peer_public = turn, opening.public
    # The decapsulation key has done its one service, and this desk's own turn is over.
    state.private, state.tx.chain = None, None
    _keep_carriage(state, turn, carriage, now)


def _close_turn(state: State, turn: int, end: int, now: int) -> int:
    """Complete the peer's *turn*, if there was one, and count what they have written up to its end."""
    rx = state.rx.get(turn)
    if rx is None:
        if end:
            raise DamagedError
        return 0
    # Only a holder of the keys can say where a turn ended (here and in _advance):
    # a writer who counts fewer letters than have come is another than wrote them.
    if rx.n > end:
        raise ForkError(_BEYOND_THE_END)
    _skip(state, turn, end, now)
    rx.chain = None
    return rx.base + end


def _take_skipped(state: State, place: Place) -> MessageKey:
    if (place.turn, place.n) in state.skipped:
        return state.skipped.pop((place.turn, place.n))[0]
    before = [old.head for old in state.opened.values() if (old.turn, old.n) == (place.turn, place.n)]
    if not before:
        raise ExpiredError("the key of this letter has expired")
    # Anybody on the way can alter the body of a copy; only a holder of the keys
    # can make another head, and that alone is a fork.
    if place.head in before:
        raise DamagedError
    raise ForkError("another letter has this letter's place: somebody else has written with these keys")


def _advance(state: State, header: Header, now: int) -> MessageKey:
    rx = state.rx[header.turn]
    if rx.chain is None:
        raise ForkError(_BEYOND_THE_END)
    _skip(state, header.turn, header.n, now)
    rx.chain, message_key = _step(state.transcript, rx.chain)
    rx.n += 1
    return message_key


def _skip(state: State, turn: int, end: int, now: int) -> None:
    """Keep the keys of letters of *turn* that have not come, up to number *end*."""
    rx = state.rx[turn]
    # Both bounds before any work: a writer chooses *end*.
    if end - rx.n > MAX_SKIPPED_AT_ONCE or end - rx.n + len(state.skipped) > MAX_SKIPPED:
        raise TooManyMissingError("too many letters before this one are missing")
    while rx.n < end:
        assert rx.chain is not None  # closed turns are complete
        rx.chain, key = _step(state.transcript, rx.chain)
        state.skipped[turn, rx.n] = key, now
        rx.n += 1


def _check_history(state: State, body: Body, name: Digest) -> None:
    claimed = {body.index - 1: body.before, body.index: _link(body.before, name)}
    if [index for index, link in claimed.items() if state.claims.setdefault(index, link) != link]:
        _freeze(state, "their letters have two histories: somebody else has written with their keys")
    if body.seen > state.written:
        _freeze(state, "they have read letters that this desk never wrote: this desk is an old copy")
    elif state.chain[body.seen] != body.seen_chain:
        _freeze(state, "they have read another letter in the place of one of ours")


def _freeze(state: State, why: str) -> None:
    state.frozen = state.frozen or why


def _drop_closed_turns(state: State) -> None:
    waiting = {turn for turn, _ in state.skipped}
    state.rx = {turn: rx for turn, rx in state.rx.items() if rx.chain or turn in waiting}
    state.opened = {name: place for name, place in state.opened.items() if place.turn in state.rx}


def _keep_carriage(state: State, turn: int, carriage: bytes, now: int) -> None:
    root, pouch_key = derive(state.transcript, carriage, LABEL_CARRIAGE, count=2)
    state.pouch_keys[turn] = PouchKey(pouch_key), now
    state.roots[turn] = PacketRoot(root)


def _expired(state: State, now: int) -> State:
    """§7: drop the dated keys whose time is over."""
    since, in_use = now - KEPT_SECONDS, state.tx.turn - 2 if state.tx else -1
    state.skipped = {place: kept for place, kept in state.skipped.items() if kept[1] >= since}
    state.pouch_keys = {t: kept for t, kept in state.pouch_keys.items() if t >= in_use or kept[1] >= since}
    return state


_BEYOND_THE_END: Final = "a turn has more letters than its writer counts: somebody else has written with these keys"
