"""Transfer: an envelope in fragments, each repeated until it has arrived.

One stream a direction of one generation of keys. Fragments are numbered through
all envelopes of the stream; the receiver says which have arrived, and delivers
each envelope exactly once, whatever is lost, repeated, reordered or crashes, if
its owner commits what :meth:`Incoming.take` returns before it acknowledges
(docs/spec/transfer.md). Values: an event gives a new state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from backchannel.encoding import Value
from backchannel.keys import Digest
from backchannel.post.packet import BITMAP_SIZE, Fragment

# Specification constants (docs/spec/transfer.md §2, §3).
WINDOW: Final = 8 * BITMAP_SIZE  # fragments beyond the first that has not arrived
MAX_ENVELOPE: Final = 512 * 1024  # bytes; what is larger goes by hand
MAX_STREAM: Final = 2**48  # fragments


@dataclass(frozen=True, slots=True)
class Queued:
    """An envelope on its way: its name, its first fragment, and how many it has."""

    name: Digest
    first: int
    count: int
    size: int


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
        return sum(each.count for each in self.queue) - len(self.arrived)

    @property
    def load(self) -> int:
        """How many bytes of envelopes have not wholly arrived."""
        return sum(each.size for each in self.queue)

    def put(self, name: Digest, size: int, *, room: int) -> Outgoing:
        """Queue an envelope of *size* bytes, *room* of which fit a packet; one that is queued stays as it is."""
        if any(each.name == name for each in self.queue):
            return self
        count = -(-size // room)
        return replace(self, queue=(*self.queue, Queued(name, self.end, count, size)), end=self.end + count)

    def choose(self) -> int | None:
        """The fragment to send now: of those in the window that have not arrived, the one sent longest ago."""
        base, sent = self.base, dict(self.sent)
        within = [number for number in self._waiting() if number < base + WINDOW]
        return min(within, key=lambda number: (sent.get(number, -1), number), default=None)

    def cut(self, number: int, *, room: int, envelope: Callable[[Digest], bytes]) -> Fragment:
        """Fragment *number*, of the bytes that *envelope* gives of a name."""
        queued = next(each for each in self.queue if each.first <= number < each.first + each.count)
        at = (number - queued.first) * room
        return Fragment(number, envelope(queued.name)[at : at + room], number == queued.first + queued.count - 1)

    def noted(self, number: int) -> Outgoing:
        """The state after fragment *number* was laid into a packet."""
        sent = {n: at for n, at in self.sent if n != number}
        return replace(self, sent=(*sent.items(), (number, self.count)), count=self.count + 1)

    def acknowledged(self, base: int, bitmap: int) -> tuple[Outgoing, tuple[Digest, ...]]:
        """Note what has arrived; the envelopes that have done so wholly by it.

        What names fragments that were never cut is a fault of the other's, and changes nothing.
        """
        if base > self.end or (bitmap and base + bitmap.bit_length() >= self.end):
            return self, ()
        arrived = {n for n in self._waiting() if n < base or (n > base and bitmap >> (n - base - 1) & 1)}
        if not arrived:
            return self, ()
        arrived |= self.arrived
        done = [each for each in self.queue if arrived >= set(range(each.first, each.first + each.count))]
        for each in done:
            arrived -= set(range(each.first, each.first + each.count))
        return (
            replace(
                self,
                queue=tuple(each for each in self.queue if each not in done),
                arrived=frozenset(arrived),
                sent=tuple((n, at) for n, at in self.sent if n in self._waiting_in(done, arrived)),
            ),
            tuple(each.name for each in done),
        )

    def without(self, name: Digest) -> Outgoing:
        """The state once the envelope *name* need not be carried: its fragments are sent no more.

        The receiver waits for numbers in order, so an envelope is taken out
        only from behind all others; any other is carried to its end.
        """
        if not self.queue or self.queue[-1].name != name or any(n >= self.queue[-1].first for n, _ in self.sent):
            return self
        return replace(self, queue=self.queue[:-1], end=self.queue[-1].first)

    def _waiting(self) -> Any:
        return (n for each in self.queue for n in range(each.first, each.first + each.count) if n not in self.arrived)

    def _waiting_in(self, done: list[Queued], arrived: set[int]) -> set[int]:
        left = [each for each in self.queue if each not in done]
        return {n for each in left for n in range(each.first, each.first + each.count)} - arrived

    def value(self) -> Value:
        queue = tuple((each.name, each.first, each.count, each.size) for each in self.queue)
        return queue, self.end, tuple(sorted(self.arrived)), self.sent, self.count

    @classmethod
    def of(cls, value: Any) -> Self:
        queue, end, arrived, sent, count = value
        return cls(tuple(Queued(Digest(n), f, c, s) for n, f, c, s in queue), end, frozenset(arrived), sent, count)


@dataclass(frozen=True, slots=True)
class Incoming:
    """What has come of the other direction."""

    base: int = 0  # all fragments below it have come
    ahead: tuple[tuple[int, Fragment], ...] = ()  # those that came before their turn
    partial: bytes = b""  # of the envelope whose last fragment has not come
    broken: bool = False  # that envelope is larger than any: it is passed over
    lost: int = field(default=0)  # how many were

    def take(self, fragment: Fragment) -> tuple[Incoming, tuple[bytes, ...]]:
        """Take a fragment: the state, and the envelopes that are whole by it."""
        ahead = dict(self.ahead)
        if not self.base <= fragment.number < min(self.base + WINDOW, MAX_STREAM) or fragment.number in ahead:
            return self, ()
        ahead[fragment.number] = fragment
        base, partial, broken, lost = self.base, self.partial, self.broken, self.lost
        whole: list[bytes] = []
        while base in ahead:
            piece = ahead.pop(base)
            base += 1
            partial = b"" if broken else partial + piece.data
            if len(partial) > MAX_ENVELOPE:
                partial, broken = b"", True
            if piece.last:
                if broken:
                    lost += 1
                else:
                    whole.append(partial)
                partial, broken = b"", False
        return Incoming(base, tuple(ahead.items()), partial, broken, lost), tuple(whole)

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
