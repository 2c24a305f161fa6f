"""Transfer (docs/spec/transfer.md): exactly once and in order, over a channel that does as it likes, and crashes."""

from __future__ import annotations

import hashlib
import random as generators
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.encoding import decode, encode
from backchannel.keys import Digest
from backchannel.post import transfer
from backchannel.post.packet import BITMAP_SIZE, Content, Fragment
from backchannel.post.transfer import MAX_ENVELOPE, MAX_STREAM, WINDOW, Incoming, Outgoing

ROOM = 16
LIMIT = 40 * ROOM  # of an envelope, in the simulation


def name_of(envelope: bytes) -> Digest:
    return Digest(hashlib.sha256(envelope).digest())


def queued(*sizes: int, room: int = ROOM) -> Outgoing:
    out = Outgoing()
    for at, size in enumerate(sizes):
        out = out.put(Digest(bytes([at]) * 32), size, room=room)
    return out


def sent(out: Outgoing, times: int) -> tuple[Outgoing, list[int | None]]:
    chosen = []
    for _ in range(times):
        number = out.choose()
        chosen.append(number)
        out = out if number is None else out.noted(number)
    return out, chosen


@dataclass
class Stream:
    """Two ends of a stream, what each has committed, and a channel between them.

    A step is one event; a crash loses what was not committed and nothing else.
    """

    random: generators.Random
    out: Outgoing = field(default_factory=Outgoing)
    coming: Incoming = field(default_factory=Incoming)
    envelopes: dict[Digest, bytes] = field(default_factory=dict)
    expected: list[Digest] = field(default_factory=list)  # in the order in which they were queued
    delivered: list[bytes] = field(default_factory=list)
    arrived: list[Digest] = field(default_factory=list)
    there: list[Fragment] = field(default_factory=list)  # under way
    back: list[tuple[int, int]] = field(default_factory=list)
    withdrawn: int = 0
    top: int = -1  # the highest fragment that was ever sent

    def step(self) -> None:
        actions = [self.put, self.send, self.send, self.send, self.take, self.take, self.take]
        actions += [self.say, self.say, self.hear, self.hear, self.withdraw, self.restart, self.lie]
        self.random.choice(actions)()
        self.check()

    def put(self) -> None:
        if len(self.out.queue) > 5:
            return
        size = self.random.choice([1, ROOM - 1, ROOM, ROOM + 1, 5 * ROOM, LIMIT, LIMIT + 1, 60 * ROOM])
        envelope = self.random.randbytes(size)
        name = name_of(envelope)
        if name in self.envelopes:
            return  # as small as a byte, it was there before
        self.envelopes[name] = envelope
        self.expected.append(name)
        self.out = self.out.put(name, size, room=ROOM)

    def send(self) -> None:
        number = self.out.choose()
        if number is None or self.random.random() < 0.1:  # a crash before the commit: nothing left
            return
        assert self.out.base <= number < self.out.base + WINDOW
        fragment = self.out.cut(number, envelope=self.envelopes.__getitem__)
        self.out, self.top = self.out.noted(number), max(self.top, number)
        if self.random.random() < 0.7:
            self.there.append(fragment)

    def take(self) -> None:
        if not self.there:
            return
        fragment = self.random.choice(self.there)
        if self.random.random() < 0.6:
            self.there.remove(fragment)  # otherwise it comes again
        coming, whole = self.coming.take(fragment)
        if self.random.random() < 0.8:  # a crash between take and commit otherwise
            self.coming = coming
            self.delivered += whole

    def say(self) -> None:
        content = Content.decode(Content(self.coming.base, self.coming.bitmap, None).encode(64))
        self.back.append((content.base, content.bitmap))

    def hear(self) -> None:
        if not self.back:
            return
        said = self.random.choice(self.back)
        if self.random.random() < 0.5:
            self.back.remove(said)
        self.out, arrived = self.out.acknowledged(*said)
        self.arrived += arrived

    def withdraw(self) -> None:
        name = self.random.choice(self.expected or [Digest(bytes(32))])
        before = self.out
        self.out = self.out.without(name)
        if self.out is not before:
            self.expected.remove(name)
            self.withdrawn += 1

    def restart(self) -> None:
        """Both ends from what they have stored."""
        self.out = Outgoing.of(decode(encode(self.out.value())))
        self.coming = Incoming.of(decode(encode(self.coming.value())))

    def lie(self) -> None:
        """An acknowledgement of what was never sent, which nobody's machine makes."""
        top = self.top
        for base, bitmap in ((top + 2, 0), (2**64 - 1, 2**128 - 1), (max(top, 0), 0b10), (top + 1, 1)):
            assert self.out.acknowledged(base, bitmap) == (self.out, ())

    def check(self) -> None:
        assert self.coming.bitmap < 2 ** (8 * BITMAP_SIZE - 1)
        assert len(self.coming.partial) <= LIMIT
        assert self.coming.base <= self.out.end
        # The sender knows less than the receiver has.
        assert self.out.base <= self.coming.base
        wanted = [self.envelopes[name] for name in self.expected if len(self.envelopes[name]) <= LIMIT]
        assert self.delivered == wanted[: len(self.delivered)]
        assert len(set(self.arrived)) == len(self.arrived)
        assert self.out.load == sum(len(self.envelopes[name]) for name in self.expected if name not in self.arrived)

    def finish(self) -> int:
        """Let everything through: how many fragments it took."""
        for count in range(100_000):
            number = self.out.choose()
            if number is None:
                return count
            self.coming, whole = self.coming.take(self.out.cut(number, envelope=self.envelopes.__getitem__))
            self.delivered += whole
            self.out, arrived = self.out.noted(number).acknowledged(self.coming.base, self.coming.bitmap)
            self.arrived += arrived
        raise AssertionError("a stream that never ends")


def simulate(seed: int, steps: int) -> Stream:
    stream = Stream(generators.Random(seed))
    for _ in range(steps):
        stream.step()
    left = stream.out.waiting
    assert stream.finish() <= left
    stream.check()
    assert sorted(stream.arrived) == sorted(stream.expected)
    large = [name for name in stream.expected if len(stream.envelopes[name]) > LIMIT]
    assert stream.delivered == [stream.envelopes[name] for name in stream.expected if name not in large]
    assert stream.coming.lost == len(large)
    assert stream.out == Outgoing(end=stream.out.end, count=stream.out.count)
    assert stream.coming == Incoming(base=stream.out.end, lost=stream.coming.lost)
    return stream


def test_every_envelope_is_delivered_exactly_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MAX_ENVELOPE", LIMIT)
    streams = [simulate(seed, 400) for seed in range(40)]
    # The histories were not empty ones.
    assert sum(len(stream.delivered) for stream in streams) > 100
    assert sum(stream.coming.lost for stream in streams) > 50
    assert sum(stream.withdrawn for stream in streams) > 50


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(20))
def test_every_envelope_is_delivered_exactly_once_in_thousands_of_histories(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "MAX_ENVELOPE", LIMIT)
    for seed in range(1000 + 100 * batch, 1100 + 100 * batch):
        simulate(seed, 500)


# §1, §2 The sending end.


def test_an_envelope_is_cut_into_fragments_of_one_size_and_the_rest() -> None:
    envelope = bytes(range(250))
    out = Outgoing().put(name_of(envelope), 250, room=100)
    cut = [out.cut(number, envelope=lambda _: envelope) for number in range(3)]
    assert cut == [
        Fragment(0, envelope[:100], last=False),
        Fragment(1, envelope[100:200], last=False),
        Fragment(2, envelope[200:], last=True),
    ]
    assert (out.end, out.waiting, out.load, out.base) == (3, 3, 250, 0)


def test_the_next_envelope_is_numbered_on_and_keeps_its_own_cuts() -> None:
    bodies = {Digest(bytes([at]) * 32): bytes([at]) * size for at, size in enumerate((30, 90))}
    out = queued(30).put(Digest(bytes([1]) * 32), 90, room=40)
    cut = [out.cut(number, envelope=bodies.__getitem__) for number in range(out.end)]
    assert [(len(each.data), each.last) for each in cut] == [
        (16, False),
        (14, True),
        (40, False),
        (40, False),
        (10, True),
    ]


def test_an_envelope_that_is_queued_is_not_queued_again_and_none_is_empty() -> None:
    out = queued(30)
    assert out.put(Digest(bytes(32)), 30, room=ROOM) is out
    with pytest.raises(AssertionError):
        out.put(Digest(b"e" * 32), 0, room=ROOM)


def test_those_never_sent_come_first_and_then_the_one_sent_longest_ago() -> None:
    out, chosen = sent(queued(3 * ROOM), 4)
    assert chosen == [0, 1, 2, 0]
    out, chosen = sent(out.put(Digest(b"n" * 32), ROOM, room=ROOM), 5)
    assert chosen == [3, 1, 2, 0, 3]
    out, arrived = out.acknowledged(1, 0b1)  # 0 and 2
    assert arrived == ()
    assert sent(out, 4)[1] == [1, 3, 1, 3]


def test_those_whose_acknowledgement_is_late_and_those_never_sent_take_turns() -> None:
    out, chosen = sent(queued(40 * ROOM), 8)
    assert chosen == [0, 1, 2, 3, 4, 5, 6, 7]
    out, _ = out.acknowledged(0, 0b111111)  # all but 0 and 7
    assert sent(out, 11)[1] == [8, 0, 9, 10, 11, 12, 13, 7, 14, 8, 15]


def test_all_of_a_letter_is_laid_out_though_nobody_acknowledges() -> None:
    _, chosen = sent(queued(100 * ROOM), 200)
    assert set(chosen) == set(range(100))


def test_nothing_beyond_the_window_is_sent_until_the_first_has_arrived() -> None:
    assert WINDOW == 128
    out = queued(200 * ROOM)
    for number in range(WINDOW):
        out = out.noted(number)
    all_but_the_first = 2 ** (WINDOW - 1) - 1
    out, _ = out.acknowledged(0, all_but_the_first)
    assert (out.base, out.waiting) == (0, 200 - 127)
    assert sent(out, 20)[1] == [0] * 20
    out, _ = out.acknowledged(WINDOW, 0)
    assert sent(out, 8)[1] == [*range(WINDOW, WINDOW + 8)]


def test_an_envelope_has_arrived_when_all_of_it_has_and_is_told_once() -> None:
    out, _ = sent(queued(2 * ROOM, ROOM), 3)
    out, arrived = out.acknowledged(1, 0b1)
    assert arrived == (Digest(bytes([1]) * 32),)
    assert (out.waiting, out.load, out.base) == (1, 2 * ROOM, 1)
    assert out.acknowledged(1, 0b1) == (out, ())
    out, arrived = out.acknowledged(3, 0)
    assert arrived == (Digest(bytes(32)),)
    assert out.acknowledged(3, 0) == (out, ())
    assert (out.base, out.waiting, out.load, out.choose()) == (3, 0, 0, None)


def test_an_acknowledgement_says_nothing_of_the_first_that_is_missing() -> None:
    out, _ = sent(queued(5 * ROOM), 5)
    out, _ = out.acknowledged(1, 0b100)
    assert (sorted(out.arrived), out.base) == ([0, 4], 1)


@pytest.mark.parametrize(
    ("base", "bitmap"), [(3, 0), (0, 0b10), (1, 0b1), (2, 0b1), (2**64 - 1, 0), (0, 2**127), (2**64 - 1, 2**128 - 1)]
)
def test_an_acknowledgement_of_what_was_never_sent_changes_nothing(base: int, bitmap: int) -> None:
    out, _ = sent(queued(4 * ROOM), 2)
    assert out.acknowledged(base, bitmap) == (out, ())
    assert out.acknowledged(0, 0b1)[0].waiting == 3


def test_only_an_envelope_of_which_nothing_was_sent_is_withdrawn_and_only_from_the_end() -> None:
    names = [Digest(bytes([at]) * 32) for at in range(3)]
    out = queued(ROOM, 2 * ROOM, ROOM)
    assert out.without(names[0]) is out
    assert out.without(names[1]) is out
    two = out.without(names[2])
    assert (two.end, two.load) == (3, 3 * ROOM)
    begun, _ = sent(two, 2)
    assert begun.without(names[1]) is begun
    # What has arrived was sent, too, though nobody asks when any more.
    half, _ = begun.acknowledged(2, 0)
    assert half.sent == ()
    assert half.without(names[1]) is half
    assert Outgoing().without(names[0]) == Outgoing()


# §3, §4 The receiving end.


def taken(*pieces: tuple[int, bytes, bool], coming: Incoming | None = None) -> tuple[Incoming, list[bytes]]:
    envelopes: list[bytes] = []
    coming = coming or Incoming()
    for number, data, last in pieces:
        coming, whole = coming.take(Fragment(number, data, last))
        envelopes += whole
    return coming, envelopes


@given(st.permutations(range(7)))
def test_fragments_in_any_order_are_the_envelopes_in_theirs(order: list[int]) -> None:
    pieces = [(0, b"a", False), (1, b"b", True), (2, b"c", True), (3, b"d", False), (4, b"e", False), (5, b"f", True)]
    pieces.append((6, b"g", False))
    coming, whole = taken(*(pieces[at] for at in order))
    assert whole == [b"ab", b"c", b"def"]
    assert coming == Incoming(base=7, partial=b"g")


def test_what_is_said_is_what_has_come() -> None:
    coming, _ = taken((0, b"a", False), (2, b"c", False), (5, b"f", True), (128, b"x", False))
    assert (coming.base, coming.bitmap) == (1, 1 << 0 | 1 << 3 | 1 << 126)
    out = queued(200 * ROOM)
    for number in range(128):
        out = out.noted(number)
    out = out.acknowledged(1, 0)[0].noted(128).acknowledged(coming.base, coming.bitmap)[0]
    assert out.arrived == {0, 2, 5, 128}


@pytest.mark.parametrize("number", [0, 1, 3, 2 + WINDOW, 2**48, 2**64 - 1])
def test_a_fragment_that_is_not_wanted_changes_nothing(number: int) -> None:
    coming, _ = taken((0, b"a", False), (1, b"b", False), (3, b"d", False))
    assert coming.take(Fragment(number, b"other", last=True)) == (coming, ())
    assert coming.take(Fragment(1 + WINDOW, b"x", last=True))[0] != coming


def test_a_stream_ends_at_its_last_number() -> None:
    near = Incoming(base=MAX_STREAM - 1)
    assert near.take(Fragment(MAX_STREAM - 1, b"z", last=True))[1] == (b"z",)
    assert near.take(Fragment(MAX_STREAM, b"z", last=True)) == (near, ())


def test_the_largest_envelope_is_delivered_and_one_byte_more_is_passed_over() -> None:
    half, last = bytes(MAX_ENVELOPE // 2), bytes(MAX_ENVELOPE // 2 - 1)
    coming, whole = taken((0, half, False), (1, last, False), (2, b"x", True))
    assert (len(whole[0]), coming) == (MAX_ENVELOPE, Incoming(base=3))
    coming, whole = taken((0, half, False), (1, half, False), (2, b"x", True), (3, b"next", True))
    assert (whole, coming) == ([b"next"], Incoming(base=4, lost=1))


def test_however_long_an_envelope_is_what_is_kept_of_it_is_bounded() -> None:
    piece = bytes(65_473)
    coming, most = Incoming(), 0
    for number in range(40):
        coming, none = coming.take(Fragment(number, piece, last=False))
        assert none == ()
        most = max(most, len(coming.partial))
    assert most <= MAX_ENVELOPE
    assert coming == Incoming(base=40, broken=True)
    # It is passed over up to its end, and counted once.
    coming, whole = taken((40, piece, True), (41, b"next", True), coming=coming)
    assert (whole, coming) == ([b"next"], Incoming(base=42, lost=1))


@given(st.lists(st.tuples(st.integers(0, 140), st.booleans()), max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_fragments_at_all_leave_a_state_within_its_bounds(pieces: list[tuple[int, bool]]) -> None:
    coming, _ = taken(*((number, bytes([number]) * 9, last) for number, last in pieces))
    assert len(coming.ahead) < WINDOW
    assert all(coming.base < number < coming.base + WINDOW for number, _ in coming.ahead)
    assert Incoming.of(decode(encode(coming.value()))) == coming
