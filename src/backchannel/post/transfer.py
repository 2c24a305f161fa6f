"""Transfer: an envelope in fragments, each repeated until it has arrived.

One stream a direction of one generation of keys. Fragments are numbered through
all envelopes of the stream; the receiver says which have arrived, and delivers
each envelope exactly once, whatever is lost, repeated, reordered or crashes, if
its owner commits what :meth:`Incoming.take` returns before it acknowledges
(docs/spec/transfer.md). Values: an event gives a new state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from backchannel.encoding import Value
from backchannel.keys import Digest
from backchannel.post.packet import BITMAP_SIZE, Fragment

# Specification constants (docs/spec/transfer.md §2, §3).
WINDOW: Final = 8 * BITMAP_SIZE  # fragments beyond the first that has not arrived
LATE: Final = 8  # sendings after which an acknowledgement should have come, with any number of places
MAX_ENVELOPE: Final = 512 * 1024  # bytes; what is larger goes by hand
MAX_STREAM: Final = 2**48  # fragments


@dataclass(frozen=True, slots=True)
class Queued:
    """An envelope on its way: its name, its first fragment, its size, and that of all fragments but the last."""

    name: Digest
    first: int
    size: int
    room: int

    @property
    def fragments(self) -> range:
        return range(self.first, self.first + -(-self.size // self.room))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is still to be carried in one direction."""

    queue: tuple[Queued, ...] = ()
    end: int = 0  # the number of the next fragment
    arrived: frozenset[int] = frozenset()  # fragments of the queue that have arrived
    sent: tuple[tuple[int, int], ...] = ()  # fragment → the count of sendings when it was last sent
    count: int = 0

    @property
    def base(self) -> int:
        """The first fragment that has not arrived."""
        return next(self._waiting(), self.end)

    @property
    def waiting(self) -> int:
        """How many fragments have not arrived."""
        return sum(len(each.fragments) for each in self.queue) - len(self.arrived)

    @property
    def load(self) -> int:
        """How many bytes of envelopes have not wholly arrived."""
        return sum(each.size for each in self.queue)

    def put(self, name: Digest, size: int, *, room: int) -> Outgoing:
        """Queue an envelope of *size* bytes, *room* of which fit a packet; one that is queued stays as it is."""
        assert size > 0  # an envelope without a fragment would never arrive
        if any(each.name == name for each in self.queue):
            return self
        queued = Queued(name, self.end, size, room)
        return replace(self, queue=(*self.queue, queued), end=queued.fragments.stop)

    def choose(self) -> int | None:
        """The fragment to send now, of those in the window that have not arrived.

        Those sent so long ago that their acknowledgement is late, and those
        never sent, take turns: what is lost must not wait for a queue to run
        dry, and while nobody is there to acknowledge, all of a letter is laid out.
        """
        base, sent = self.base, dict(self.sent)
        within = [number for number in self._waiting() if number < base + WINDOW]
        late = [number for number in within if number in sent and self.count - sent[number] >= LATE]
        fresh = [number for number in within if number not in sent]
        some = late if late and (self.count % 2 or not fresh) else fresh or within
        return min(some, key=lambda number: (sent.get(number, -1), number), default=None)

    def cut(self, number: int, *, envelope: Callable[[Digest], bytes]) -> Fragment:
        """Fragment *number*, of the bytes that *envelope* gives of a name."""
        queued = next(each for each in self.queue if number in each.fragments)
        at = (number - queued.first) * queued.room
        data = envelope(queued.name)[at : at + queued.room]
        return Fragment(number, data, number == queued.fragments[-1])

    def noted(self, number: int) -> Outgoing:
        """The state after fragment *number* was laid into a packet."""
        sent = {n: at for n, at in self.sent if n != number}
        return replace(self, sent=(*sent.items(), (number, self.count)), count=self.count + 1)

    def acknowledged(self, base: int, bitmap: int) -> tuple[Outgoing, tuple[Digest, ...]]:
        """Note what has arrived; the envelopes that have done so wholly by it.

        What names fragments that were never sent is a fault of the other's, and changes nothing.
        """
        unsent = self._unsent
        if base > unsent or (bitmap and base + bitmap.bit_length() >= unsent):
            return self, ()
        arrived = self.arrived | {n for n in self._waiting() if n < base or (n > base and bitmap >> (n - base - 1) & 1)}
        done = [each for each in self.queue if arrived.issuperset(each.fragments)]
        queue = tuple(each for each in self.queue if each not in done)
        kept = arrived & {n for each in queue for n in each.fragments}
        # What has arrived is not chosen again, so when it was sent matters no more.
        sent = tuple((n, at) for n, at in self.sent if n not in arrived)
        return replace(self, queue=queue, arrived=kept, sent=sent), tuple(each.name for each in done)

    def without(self, name: Digest) -> Outgoing:
        """The state once the envelope *name* need not be carried.

        The receiver waits for numbers in order, so a number that may have left
        is never given again: an envelope of which nothing was sent is taken out
        from behind all others, and any other is carried to its end.
        """
        if not self.queue or self.queue[-1].name != name:
            return self
        last, used = self.queue[-1].fragments, self.arrived | {n for n, _ in self.sent}
        if used.intersection(last):
            return self
        return replace(self, queue=self.queue[:-1], end=last.start)

    @property
    def _unsent(self) -> int:
        """The first fragment that was never sent: none beyond it was."""
        sent = dict(self.sent)
        return next((number for number in self._waiting() if number not in sent), self.end)

    def _waiting(self) -> Iterator[int]:
        return (n for each in self.queue for n in each.fragments if n not in self.arrived)

    def value(self) -> Value:
        queue = tuple((each.name, each.first, each.size, each.room) for each in self.queue)
        return queue, self.end, tuple(sorted(self.arrived)), self.sent, self.count

    @classmethod
    def of(cls, value: Any) -> Self:
        queue, end, arrived, sent, count = value
        return cls(tuple(Queued(Digest(n), f, s, r) for n, f, s, r in queue), end, frozenset(arrived), sent, count)


@dataclass(frozen=True, slots=True)
class Incoming:
    """What has come of the other direction."""

    base: int = 0  # all fragments below it have come
    ahead: tuple[tuple[int, Fragment], ...] = ()  # those that came before their turn
    partial: bytes = b""  # of the envelope whose last fragment has not come
    broken: bool = False  # that envelope is larger than any: it is passed over
    lost: int = 0  # how many were

    def take(self, fragment: Fragment) -> tuple[Incoming, tuple[bytes, ...]]:
        """Take a fragment: the state, and the envelopes that are whole by it."""
        ahead = dict(self.ahead)
        if not self.base <= fragment.number < min(self.base + WINDOW, MAX_STREAM) or fragment.number in ahead:
            return self, ()
        ahead[fragment.number] = fragment
        state, whole = self, []
        while state.base in ahead:
            state, envelope = state._joined(ahead.pop(state.base))
            whole += envelope
        return replace(state, ahead=tuple(ahead.items())), tuple(whole)

    def _joined(self, piece: Fragment) -> tuple[Incoming, list[bytes]]:
        """The state after the fragment whose turn it is, and the envelope that it ends, if it ends one."""
        partial = b"" if self.broken else self.partial + piece.data
        broken = self.broken or len(partial) > MAX_ENVELOPE
        if not piece.last:
            return replace(self, base=self.base + 1, partial=b"" if broken else partial, broken=broken), []
        after = replace(self, base=self.base + 1, partial=b"", broken=False, lost=self.lost + broken)
        return after, [] if broken else [partial]

    @property
    def bitmap(self) -> int:
        """What has come beyond the base, as a packet says it."""
        return sum(1 << (number - self.base - 1) for number, _ in self.ahead)

    def value(self) -> Value:
        ahead = tuple((f.number, f.data, int(f.last)) for _, f in self.ahead)
        return self.base, ahead, self.partial, int(self.broken), self.lost

    @classmethod
    def of(cls, value: Any) -> Self:
        base, ahead, partial, broken, lost = value
        return cls(base, tuple((n, Fragment(n, d, bool(last))) for n, d, last in ahead), partial, bool(broken), lost)
