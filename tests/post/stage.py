"""What the tests of post share: a round up to its visits, operators that say what a test wants, arbitrary values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest
from hypothesis import strategies as st

from backchannel.encoding import Value, encode
from backchannel.errors import MalformedError, VerificationError
from backchannel.keys import Digest
from backchannel.post import packet
from backchannel.post import visit as visits
from backchannel.post.charter import Charter, SignedCharter
from backchannel.post.ciphers import PacketCipher, ReplyCipher
from backchannel.post.keeping import Asked
from backchannel.post.packet import RoundKeys
from backchannel.post.porter import Porter
from backchannel.post.rounds import Operator
from backchannel.post.tray import FromDesk, LineName, LineTerms
from backchannel.post.visit import Answers, DayKey, Descriptor, Reply, Visit
from tests.simulation.office import Carrier, World

# Arbitrary values.

VALUES: Final[st.SearchStrategy[Any]] = st.recursive(
    st.integers(0, 40) | st.integers(0, 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=8).map(tuple),
    max_leaves=30,
)


@st.composite
def bent(draw: st.DrawFn, value: Any) -> Any:
    """*value* with one thing in it another, missing or twice."""
    if isinstance(value, tuple) and value and draw(st.integers(0, 5)):
        at = draw(st.integers(0, len(value) - 1))
        change = draw(st.sampled_from(("inside", "inside", "inside", "gone", "twice")))
        middle = {"inside": (draw(bent(value[at])),), "gone": (), "twice": (value[at],) * 2}[change]
        return value[:at] + middle + value[at + 1 :]
    if isinstance(value, bytes) and value and draw(st.booleans()):
        return value[:-1] if draw(st.booleans()) else tuple(value)
    return draw(VALUES)


def encodings(right: Value) -> st.SearchStrategy[bytes]:
    """Encodings of anything, and of what is nearly *right*."""
    return VALUES.map(encode) | bent(right).filter(_shallow).map(encode)


def _shallow(value: Any) -> bool:
    try:
        encode(value)
    except ValueError:
        return False
    return True


def read(decode: Callable[[bytes], Any], data: bytes, *, signed: bool = False) -> Any:
    """What *data* decodes to, or None if it is refused as it should be; anything else is a failure."""
    try:
        return decode(data)
    except MalformedError:
        return None
    except VerificationError:
        if not signed:
            raise
        return None


# A round, up to its visits.


def operator(world: World, name: str = "west") -> Operator:
    machine = world.houses[name].machine
    assert machine is not None
    return machine


def porter(carrier: Carrier) -> Porter:
    assert carrier.machine is not None
    return carrier.machine


def begun(world: World) -> None:
    """The next round, when its visits begin."""
    world.round += 1
    world.now = world.charter.begins(world.round)
    for carrier in world.carriers.values():
        world.start(carrier)
    world.agree(world.round - 1)
    world.now = world.charter.agreed_by(world.round)


def until(world: World, ready: Callable[[], Any], rounds: int = 40) -> None:
    for _ in range(rounds):
        world.turn()
        if ready():
            return
    pytest.fail("it did not come to pass")


def visited(world: World, *carriers: Carrier) -> None:
    """Rounds until all *carriers* have made visits that collected something."""
    until(world, lambda: all(porter(carrier).keeping.collecting for carrier in carriers))


def line(name: bytes, mailbox: int, **changes: Any) -> LineTerms:
    terms = LineTerms(LineName(name * 12), mailbox, 0, 1, 0, (-1,), ((-1, b"1" * 32), (0, b"0" * 32)))
    return replace(terms, **changes)


def says(world: World, carrier: Carrier, number: int, *, heard: int = 0, **said: Any) -> FromDesk:
    """Let the desk of *carrier* write its file *number*."""
    file = replace(FromDesk(number, heard, (), ()), **said)
    world.write_tray(carrier, file)
    return file


# Operators that say what a test wants.


def day_key(world: World, name: str, day: int, charter: Charter | None = None) -> DayKey:
    machine, charter = operator(world, name), charter or world.charter
    seat = machine._charters.seat(charter)
    assert seat is not None
    return machine._days.public(day, charter, seat)


@dataclass
class Mouth:
    """What the operators reply to the visits that one porter has just prepared."""

    world: World
    carrier: Carrier
    rows: dict[int, bytes] = field(default_factory=dict)  # what each query of the visit before finds; else zeros
    tables: dict[int, dict[int, bytes]] = field(default_factory=dict)  # rows that are there, by round
    lies: dict[str, dict[str, Any]] = field(default_factory=dict)  # by operator: fields of its Reply
    descriptors: dict[str, Callable[[Descriptor], Descriptor]] = field(default_factory=dict)
    sealed: dict[str, bytes] = field(default_factory=dict)  # by operator: answers, whatever they are

    @property
    def charter(self) -> Charter:
        return self.world.charter

    def answers(self, name: str, asked: Asked) -> Answers:
        tables = tuple(
            self.descriptors.get(name, _honest)(self.described(table))
            for table in dict.fromkeys(table for table, _ in asked.queries)
        )
        packet = self.charter.numbers.packet
        first = name == self.charter.seats[0].name
        rows = tuple(self.rows.get(at, bytes(packet)) if first else bytes(packet) for at in range(len(asked.queries)))
        return Answers(tables, rows)

    def described(self, table: int) -> Descriptor:
        if table not in self.tables:
            return visits.describe(self.charter, max(table, 0), roster=b"", rows=[])
        return visits.describe(self.charter, table, roster=b"", rows=sorted(self.tables[table].items()))

    def reply(self, name: str) -> bytes:
        keeping = porter(self.carrier).keeping
        assert keeping.last is not None
        answers = self.sealed.get(name)
        if answers is None and keeping.collecting is not None:
            found = self.answers(name, keeping.collecting)
            asked = visit_of(keeping.mailbox, keeping.collecting, name)
            answers = visits.seal_answers(found, asked, charter=self.charter, operator=name, cipher=ReplyCipher())
        last = keeping.last
        instant = self.charter.instant(keeping.mailbox, last.round) + self.charter.numbers.hold
        tomorrow = day_key(self.world, name, self.charter.day_of(last.round) + 1)
        size = visits.answers_size(self.charter, more=False)
        reply = Reply(answers or bytes(size), keeping.before, instant, (1, 0), tomorrow)
        reply = replace(reply, **self.lies.get(name, {}))
        visit = visit_of(keeping.mailbox, last, name)
        return visits.seal_reply(reply, visit, charter=self.charter, operator=name, cipher=ReplyCipher())

    def speak(self, *, but: Sequence[str] = (), instead: Mapping[int, bytes] | None = None) -> None:
        """Let the porter hear all of them, *but* some, and the replies of *instead* as they are, by errand."""
        started = self.carrier.started
        assert started is not None
        replies = {
            at: self.reply(errand.operator)
            for at, errand in enumerate(started.errands)
            if errand.kind == "visit" and errand.operator not in but
        }
        self.world.now = self.charter.begins(self.world.round + 1) - 1
        porter(self.carrier).hear(replies | dict(instead or {}), self.world.now)


def _honest(said: Descriptor) -> Descriptor:
    return said


def visit_of(mailbox: int, asked: Asked, name: str) -> Visit:
    return Visit(mailbox, asked.round, None, asked.more, asked.keys[name], b"", ())


def reports(carrier: Carrier) -> dict[tuple[str, str], int]:
    """What the porter has to report, by kind and operator."""
    out: dict[tuple[str, str], int] = {}
    for (_, kind, name), count in porter(carrier).keeping.reports.items():
        out[kind, name] = out.get((kind, name), 0) + count
    return out


# Charters that follow.

WEEK: Final = 7 * 86_400_000 // 60_000  # rounds of the notice


def following(world: World, rounds: int, *, signers: Sequence[str] | None = None, **numbers: Any) -> SignedCharter:
    """A charter that follows the newest, from so many rounds after this one."""
    before, keys = world.charter, {name: house.keys[0] for name, house in world.houses.items()}
    first = world.round + rounds
    changed = replace(before.numbers, first=first, start=before.begins(first), **numbers)
    signed = SignedCharter(replace(before, numbers=changed, predecessor=before.digest))
    for name in keys if signers is None else signers:
        signed = signed.sign(keys[name].signer)
    return signed


# Anna's porter, in a world where she has one.


M = LineName(b"m" * 12)
ENVELOPE = bytes(range(256)) * 4
DIGEST = Digest(hashlib.sha256(ENVELOPE).digest())


def anna(world: World) -> Carrier:
    return world.carriers["anna"]


def kinds(carrier: Carrier) -> list[tuple[str, str]]:
    assert carrier.started is not None
    return [(errand.kind, errand.operator) for errand in carrier.started.errands]


def row_of(world: World, name: str = "west") -> bytes:
    """The row that anna's visit of this round hands in."""
    started = anna(world).started
    assert started is not None
    box = next(errand.body for errand in started.errands if errand.operator == name)
    private = operator(world, name)._days.private(0)
    assert private is not None
    return visits.open(box, private, 0, charter=world.charter, operator=name, kem=world.kem)[0].deposit


def friend(world: World, number: int = 1, **changes: Any) -> FromDesk:
    """Anna's desk names one line, to somebody in mailbox 9, and an envelope for it."""
    return says(
        world,
        anna(world),
        number,
        **({"lines": (line(b"m", 9, place=0, their_place=1),), "envelopes": ((M, ENVELOPE),)} | changes),
    )


def keys_open_nothing(world: World) -> None:
    row = row_of(world)
    key = RoundKeys.of(b"0" * 32).key(world.round)
    with pytest.raises(Exception, match="does not open"):
        packet.open(row, key, where=(world.charter.digest, anna(world).mailbox, 9), cipher=PacketCipher())
