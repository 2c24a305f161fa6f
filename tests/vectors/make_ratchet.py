"""Vectors of docs/spec/ratchet.md: `python -m tests.vectors.make_ratchet` writes them.

`desk` is a state under the names of §4 (a map is a list of entries, an absent
key null), `after` the fields that have changed. Writing takes `drawn` from the
generator. A refused envelope is named after the step of §6, or of §5, that
refuses it and its one failure. All are made with the seeded KEM of
tests/simulation/seeded_kem.py; those in `ratchet/recorded/` were made once with
X-Wing and are only ever opened.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from backchannel.kem import PublicKey, XWing
from backchannel.keys import Digest
from backchannel.seal import ratchet
from backchannel.seal.envelope import Opening
from tests.peer.as_json import to_json
from tests.peer.liar import lie
from tests.peer.side_by_side import KEPT, START, Desk, Refused, meet, stream, view
from tests.vectors.collection import HERE, Vector, write

RECORDED: Final = HERE / "ratchet" / "recorded"
Reading: TypeAlias = "tuple[Desk, bytes, int]"  # a desk, an envelope, and when it comes
NO_LINK: Final = Digest(bytes(32))


class Pair:
    """Two desks, and the letters between them."""

    def __init__(self) -> None:
        self.desks = meet("vectors")
        self.now, self.count = START, 0

    def write(self, *writers: int) -> bytes:
        for who in writers:
            self.count += 1
            envelope = self.desks[who].write(b"item %d" % self.count, seed=self.count, now=self.now)
        return envelope

    def exchange(self, *writers: int) -> bytes:
        for who in writers:
            envelope = self.write(who)
            self.desks[1 - who].read(envelope, now=self.now)
        return envelope

    def reading(self, who: int, envelope: bytes) -> Reading:
        return self.desks[who], envelope, self.now

    def lying(self, who: int, **said: Any) -> Reading:
        return self.reading(1 - who, lie(self.desks[who].ours, **said))


def vectors() -> dict[str, Vector]:
    """Each branch of §§3, 5 and 6 once."""
    made = {f"meeting-{side}": starting(role) for role, side in enumerate(("first", "second"))}
    made |= {f"written-{name}": writing(*make()) for name, make in WRITTEN.items()}
    made |= {f"refused-{name}": not_writing(*make()) for name, make in NOT_WRITTEN.items()}
    made |= {f"accepted-{name}": reading(*make()) for name, make in ACCEPTED.items()}
    return made | {f"refused-{name}": refusing(*make()) for name, make in REFUSED.items()}


def starting(role: int) -> Vector:
    draw = stream("meeting", "vectors")
    names = ("T", "s1", "s2")
    given = {name: draw(32).hex() for name in names}
    desk = meet("vectors")[role]
    key = desk.ours.tx.opening.public if desk.ours.tx else desk.ours.peer_public
    assert key
    return given | {"role": role, "pk0": key.hex(), "now": START, "desk": to_json(view(desk.ours))}


def writing(desk: Desk, now: int) -> Vector:
    draw = stream("drawn")
    before = to_json(view(desk.ours))
    turn = desk.ours.tx.turn if desk.ours.tx else None
    envelope = desk.write(b"an item", seed="drawn", now=now)
    assert desk.ours.tx
    drawn = [draw(size) for size in ((32,) if desk.ours.tx.turn == turn else (96, 32, 1120, 32))]
    return {
        "desk": before,
        "item": b"an item".hex(),
        "now": now,
        "drawn": b"".join(drawn).hex(),
        "envelope": envelope.hex(),
        "after": _changed(before, desk),
    }


def not_writing(desk: Desk, now: int) -> Vector:
    try:
        desk.write(b"an item", seed="drawn", now=now)
    except Refused as refused:
        return {"desk": to_json(view(desk.ours)), "item": b"an item".hex(), "now": now, "reason": refused.kind}
    raise AssertionError


def reading(desk: Desk, envelope: bytes, now: int) -> Vector:
    before = to_json(view(desk.ours))
    opened = desk.read(envelope, now=now)
    return {
        "desk": before,
        "envelope": envelope.hex(),
        "now": now,
        "opened": {"i": opened.index, "seen": opened.seen, "item": opened.item.hex()},
        "after": _changed(before, desk),
    }


def refusing(desk: Desk, envelope: bytes, now: int) -> Vector:
    reason = desk.refusal(envelope, now=now)
    return {"desk": to_json(view(desk.ours)), "envelope": envelope.hex(), "now": now, "reason": reason}


def _changed(before: Vector, desk: Desk) -> Vector:
    return {name: value for name, value in to_json(view(desk.ours)).items() if value != before[name]}


# --- writing


def _after(*writers: int, who: int, later: int = 0) -> Callable[[], tuple[Desk, int]]:
    """A desk that is about to write, after letters by *writers*, each read at once."""

    def make() -> tuple[Desk, int]:
        pair = Pair()
        if writers:
            pair.exchange(*writers)
        return pair.desks[who], pair.now + later

    return make


def _with_expired_key() -> tuple[Desk, int]:
    pair = Pair()
    pair.write(1)
    pair.exchange(1)
    return pair.desks[0], pair.now + KEPT + 1


WRITTEN: Final[dict[str, Callable[[], tuple[Desk, int]]]] = {
    "first-letter-of-the-second": _after(who=1),
    "first-letter-of-the-first": _after(who=0),
    "another-in-the-same-turn": _after(0, who=0),
    "next-turn-after-two-letters": _after(0, 0, 1, who=0),
    "next-turn-dates-keys-and-erases-roots": _after(0, 1, 0, 1, who=0, later=60),
    "keys-long-out-of-use-go": _after(0, 1, 0, 1, 0, 1, who=0, later=KEPT + 1),
    "expired-skipped-key-goes": _with_expired_key,
}


def _frozen() -> tuple[Desk, int]:
    pair = Pair()
    pair.exchange(0)
    desk, envelope, now = pair.lying(0, seen_chain=NO_LINK)
    desk.read(envelope, now=now)
    return desk, now


def _thousand() -> tuple[Desk, int]:
    desk, now = _after(0, who=0)()
    assert desk.ours.tx
    assert desk.theirs.tx
    desk.ours.tx.n = desk.theirs.tx["n"] = 1000
    return desk, now


NOT_WRITTEN: Final[dict[str, Callable[[], tuple[Desk, int]]]] = {
    "5.1-frozen": _frozen,
    "5.1-a-thousand-unanswered": _thousand,
}


# --- reading


def _plain(before: tuple[int, ...], who: int) -> Callable[[], Reading]:
    def make() -> Reading:
        pair = Pair()
        if before:
            pair.exchange(*before)
        return pair.reading(1 - who, pair.write(who))

    return make


def _over_a_gap() -> Reading:
    pair = Pair()
    pair.write(0, 0)
    return pair.reading(1, pair.write(0))


def _late(later: int = 0) -> Callable[[], Reading]:
    def make() -> Reading:
        pair = Pair()
        late = pair.write(0)
        pair.exchange(0)
        pair.now += later
        return pair.reading(1, late)

    return make


def _gap_at_the_end_of_a_turn() -> Pair:
    pair = Pair()
    pair.exchange(0)
    pair.write(0, 0)
    pair.exchange(1)
    return pair


def _closing_over_a_gap() -> Reading:
    pair = _gap_at_the_end_of_a_turn()
    return pair.reading(1, pair.write(0))


def _last_of_a_closed_turn() -> Reading:
    pair = Pair()
    pair.exchange(0)
    late = pair.write(0)
    pair.exchange(1, 0)
    return pair.reading(1, late)


def _crossing() -> Reading:
    pair = Pair()
    pair.exchange(1)
    pair.write(0)
    return pair.reading(0, pair.write(1))


def _lie(*before: int, who: int = 0, **said: Any) -> Callable[[], Reading]:
    def make() -> Reading:
        pair = Pair()
        if before:
            pair.exchange(*before)
        return pair.lying(who, **said)

    return make


def _frozen_reads() -> Reading:
    pair = Pair()
    pair.exchange(0)
    desk, envelope, now = pair.lying(0, seen_chain=NO_LINK, seed="other")
    desk.read(envelope, now=now)
    return pair.reading(1, lie(pair.desks[0].ours, n=2, before=NO_LINK))


def _another_before_a_later_one() -> Reading:
    pair = Pair()
    pair.write(0)
    begun = pair.desks[0].ours
    pair.write(0)
    pair.exchange(0)
    return pair.reading(1, lie(begun, seed="another"))


ACCEPTED: Final[dict[str, Callable[[], Reading]]] = {
    "turn-0": _plain((), 1),
    "opens-turn-1": _plain((), 0),
    "opens-turn-2-and-closes-an-empty-turn": _plain((0,), 1),
    "opens-turn-3-and-closes-turn-1": _plain((0, 1), 0),
    "another-in-the-same-turn": _plain((0,), 0),
    "over-a-gap": _over_a_gap,
    "late": _late(),
    "late-by-90-days": _late(KEPT),
    "opens-a-turn-over-a-gap-at-the-end-of-the-last": _closing_over_a_gap,
    "last-of-a-closed-turn-which-is-forgotten": _last_of_a_closed_turn,
    "crossing-a-turn-of-ones-own": _crossing,
    "freezes-another-before-this-one": _lie(0, before=NO_LINK),
    "freezes-another-before-a-later-one": _another_before_a_later_one,
    "freezes-an-old-copy": _lie(0, seen=1),
    "freezes-another-in-the-place-of-ours": _lie(0, seen_chain=NO_LINK),
    "freezes-for-the-first-of-two-reasons": _lie(0, before=NO_LINK, seen=1),
    "read-by-a-frozen-desk": _frozen_reads,
}


def _flip(data: bytes, at: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _altered(at: int) -> Callable[[], Reading]:
    def make() -> Reading:
        pair = Pair()
        return pair.reading(1, _flip(pair.write(0), at))

    return make


def _sized(size: int) -> Callable[[], Reading]:
    return lambda: Pair().reading(1, bytes(size))


def _again(*after: int) -> Callable[[], Reading]:
    def make() -> Reading:
        pair = Pair()
        envelope = pair.exchange(0)
        if after:
            pair.exchange(*after)
        return pair.reading(1, envelope)

    return make


def _again_altered() -> Reading:
    pair = Pair()
    return pair.reading(1, _flip(pair.exchange(0), -1))


def _foreign() -> Reading:
    return Pair().reading(1, meet("strangers")[0].write(b"item", seed=0, now=START))


def _own() -> Reading:
    pair = Pair()
    return pair.reading(0, pair.write(0))


def _opening(change: Callable[[Opening], Opening], *, known: bool) -> Callable[[], Reading]:
    def make() -> Reading:
        pair = Pair()
        (pair.exchange if known else pair.write)(0)
        tx = pair.desks[0].ours.tx
        assert tx
        return pair.lying(0, opening=change(tx.opening))

    return make


def _another_box(opening: Opening) -> Opening:
    return dataclasses.replace(opening, box=_flip(opening.box, -1))


def _another_key(opening: Opening) -> Opening:
    return dataclasses.replace(opening, public=PublicKey(_flip(opening.public, 0)))


def _begun(**said: Any) -> Callable[[], Reading]:
    """A lie in the first letter of turn 1."""

    def make() -> Reading:
        pair = Pair()
        pair.write(0)
        return pair.lying(0, **said)

    return make


def _turn_that_ends_too_soon() -> Reading:
    pair = Pair()
    pair.exchange(0, 0, 1)
    pair.write(0)
    return pair.lying(0, pn=1)


def _turn_that_ends_too_late() -> Reading:
    pair = Pair()
    pair.exchange(0, 1)
    pair.write(0)
    return pair.lying(0, pn=1002)


def _same_place() -> Reading:
    pair = Pair()
    pair.write(0)
    begun = pair.desks[0].ours
    pair.exchange(0)
    return pair.reading(1, lie(begun, item=b"another"))


def _beyond_the_end() -> Reading:
    pair = Pair()
    pair.exchange(0)
    pair.write(0)
    copy = pair.desks[0].ours
    pair.exchange(1, 0)
    return pair.reading(1, lie(copy))


REFUSED: Final[dict[str, Callable[[], Reading]]] = {
    "6-too-short": _sized(2591),
    "6.1-already-here": _again(),
    "6.2-turn-forgotten": _again(1, 0),
    "6.2-foreign": _foreign,
    "6.2-own": _own,
    "6.2-random-string-altered": _altered(0),
    "6.2-tag-altered": _altered(47),
    "6.2-header-altered": _altered(48),
    "6.2-another-turn": _begun(turn=3),
    "6.3-box-does-not-open": _opening(_another_box, known=False),
    "6.3-box-beside-another-key": _opening(_another_key, known=False),
    "6.3-turn-that-ends-before-letters-that-have-come": _turn_that_ends_too_soon,
    "6.3-first-turn-after-letters": _begun(pn=1),
    "6.3-too-many-missing-at-the-end-of-a-turn": _turn_that_ends_too_late,
    "6.3-another-box-for-a-known-turn": _opening(_another_box, known=True),
    "6.3-another-key-for-a-known-turn": _opening(_another_key, known=True),
    "6.4-another-letter-in-its-place": _same_place,
    "6.4-altered-copy-of-one-that-was-opened": _again_altered,
    "6.4-expired": _late(KEPT + 1),
    "6.4-beyond-the-end-of-its-turn": _beyond_the_end,
    "6.4-too-many-missing": _begun(n=1001),
    "6.5-commitment-altered": _altered(2472),
    "6.5-body-altered": _altered(-1),
    "6.5-number-too-low": _lie(0, index=1),
    "6.5-number-too-high": _lie(0, index=3),
}


# --- X-Wing


def record() -> None:
    """Write the vectors of the KEM that ships, where there are none yet."""
    RECORDED.mkdir(parents=True, exist_ok=True)
    if any(RECORDED.iterdir()):
        return
    kem = XWing()
    for side in (0, 1):
        desks = meet("recorded", kem=kem)
        # One implementation writes: two would draw differently.
        _, envelope = ratchet.write(desks[side].ours, b"an item", kem=kem, random=stream("recorded"), now=START)
        vector = reading(desks[1 - side], envelope, START)
        (RECORDED / f"x-wing-turn-{1 - side}.json").write_text(json.dumps(vector, indent=2) + "\n")


if __name__ == "__main__":
    write("ratchet", vectors())
    record()
