"""Trace equality: whatever owners type, every coalition of all operators but one sees the same bytes.

Each history is public (who is enrolled, which porters run when, what the
network and the lying operators do: views.py) and secret (what owners write, to
whom, how much, and what becomes of their desks: owners.py). The secret is
changed and the public is not; what a coalition sees must not change, with the
ciphers of whoever is outside it ideal (ideal.py). A failure names its history,
which ``Public(...)`` and ``Owners(...)`` replay.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from backchannel.post.lines import Line
from backchannel.post.porter import Kind, _questions
from backchannel.post.tray import FromDesk, LineName, LineTerms
from tests.simulation.ideal import seeded_signatures, uniform
from tests.simulation.office import Generator
from tests.simulation.owners import TEMPERS, Owners
from tests.simulation.views import DESKS, NUMBERS, Public, View, Watched, coalitions, played, watch

COALITIONS = [pytest.param(each, id="+".join(each)) for each in coalitions()]


@pytest.fixture(autouse=True)
def _signatures() -> Iterator[None]:
    with seeded_signatures():
        yield


def differing(public: Public, secret: int, tempers: tuple[str, ...] = TEMPERS[1:]) -> str:
    """Where the views of a history part, by what is written in it; no text, if nowhere."""
    quiet = watch(public, Owners(secret, "quiet"))
    for temper in tempers:
        owners = Owners(secret, temper)
        if text := quiet.difference(watch(public, owners)):
            return f"{public}, {owners}: {text}"
    return ""


@pytest.mark.parametrize("coalition", COALITIONS)
def test_a_coalition_sees_the_same_whatever_is_written(coalition: tuple[str, ...]) -> None:
    assert not differing(Public(len(coalition) + 1, coalition), 1, ("pairs", "wild"))


@pytest.mark.parametrize("seed", [3, 5])
@pytest.mark.parametrize("coalition", COALITIONS[:2])
def test_each_of_two_operators_sees_the_same_whatever_is_written(coalition: tuple[str, ...], seed: int) -> None:
    assert not differing(Public(seed, coalition), seed)


@pytest.mark.parametrize("coalition", [COALITIONS[0], COALITIONS[3]])
def test_a_porter_that_was_put_back_hands_in_what_looks_as_before(coalition: tuple[str, ...]) -> None:
    public = Public(6, coalition, restored="boris")
    worlds = [Watched(public=public), Watched(public=public)]
    views = [played(worlds[0], None), played(worlds[1], Owners(2, "pairs"))]
    assert views[0].difference(views[1]) == ""
    assert any(carrier.said().copy for carrier in worlds[1].carriers.values() if carrier.written)


def test_in_these_histories_letters_cross_and_much_goes_wrong() -> None:
    crossed, kinds, more, notes = 0, set[str](), False, b""
    for seed in (3, 4, 6, 8):
        for temper in ("pairs", "wild"):
            world, owners = Watched(public=Public(seed, ("east",))), Owners(seed, temper)
            gathered = Gathered(owners)
            played(world, gathered)
            gathered(world)
            assert gathered.come <= owners.written, "another letter than any that was written"
            crossed += len(gathered.come)
            kinds |= gathered.kinds
            more |= any(what == "opened" and len(raw) > 800 for what, raw in world.view.entries)
            notes += b"".join(raw for house in world.houses.values() for raw in house.shelf.bodies.values())
    assert crossed > 10
    assert more, "nobody had anything to catch up with"
    assert {Kind.VOID, Kind.GARBLED, Kind.SHUT_TRAY, Kind.OLD_TRAY, Kind.NO_REPLY} <= kinds
    assert b"has another table" in notes or b"did not answer" in notes


@dataclass
class Gathered:
    """Owners whose porters' files are looked at before each round."""

    owners: Owners
    come: set[bytes] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)

    def __call__(self, world: Watched) -> None:
        for carrier in world.carriers.values():
            if carrier.written:
                said = carrier.said()
                self.come |= {hashlib.sha256(letter).digest() for _, letter in said.envelopes}
                self.kinds |= {report.kind for report in said.reports}
        self.acknowledged(world)
        self.owners(world)

    def acknowledged(self, world: Watched) -> None:
        """What a porter knows to have arrived is on the disk of the other's."""
        disks = [
            {name: Line.decode(raw) for name, raw in carrier.shelf.items("lines")}
            for carrier in world.carriers.values()
        ]
        for mine, theirs in itertools.permutations(disks, 2):
            for name in mine.keys() & theirs.keys():
                out, coming = mine[name].out, theirs[name].coming
                assert out.base <= coming.base
                assert out.arrived <= {*range(coming.base), *dict(coming.ahead)}


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("coalition", COALITIONS)
def test_a_coalition_sees_the_same_in_hundreds_of_histories(coalition: tuple[str, ...]) -> None:
    for seed in range(100, 250):
        assert not differing(Public(seed, coalition), seed)


# A correspondent in the coalition.


@dataclass
class Beside:
    """Owners of whom one, the spy, is of the coalition: what is exchanged with him is fixed, what is beside it is not."""

    secret: int
    spy: str = DESKS[0]
    friend: str = DESKS[1]
    number: dict[str, int] = field(default_factory=dict)
    carried: set[bytes] = field(default_factory=set)  # and said so, to a desk that is opened

    def __call__(self, world: Watched) -> None:
        at = world.round - NUMBERS.first + 1
        if at == 0:
            for _, root in self.spied:
                world.known.learn_root(root, range(NUMBERS.first, NUMBERS.first + 200))
        spy, friend = world.carriers[self.spy], world.carriers[self.friend]
        name = LineName(uniform(12, "spied"))
        # The spy writes at his place 1, his friend at hers 0.
        to_friend = LineTerms(name, friend.mailbox, 1, 0, 0, (-1,), self.spied)
        to_spy = LineTerms(name, spy.mailbox, 0, 1, -1, (0,), self.spied)
        # All that was ever written is said in every file, so that a porter that was away misses nothing.
        if at in {2, 9, 14}:
            self.say(world, self.spy, (to_friend,), letters(name, self.spy, at))
        if at in {2, 9, 14} or (self.secret and at > 2 and (at + self.secret) % 3 == 0):
            kept = [*self.secrets(world, at), *letters(name, self.friend, at)]
            self.say(world, self.friend, (*self.others(world), to_spy), kept)

    @property
    def spied(self) -> tuple[tuple[int, bytes], ...]:
        return tuple((turn, uniform(32, "root", turn)) for turn in (-1, 0))

    def others(self, world: Watched) -> tuple[LineTerms, ...]:
        """Another correspondent, at the place of hers that is left, who is read where the spy is not."""
        if not self.secret:
            return ()
        roots = tuple((turn, uniform(32, "secret", self.secret, turn)) for turn in (-1, 0))
        mailbox = world.carriers[DESKS[1 + self.secret % 2]].mailbox
        return (LineTerms(LineName(uniform(12, "secret", self.secret)), mailbox, 1, 0, 0, (-1,), roots),)

    def secrets(self, world: Watched, at: int) -> list[tuple[LineName, bytes]]:
        size = 100 + 400 * (self.secret % 3)
        return [(line.name, uniform(size, "secret", at)) for line in self.others(world)]

    def say(self, world: Watched, whose: str, lines: tuple[LineTerms, ...], kept: list[tuple[LineName, bytes]]) -> None:
        carrier, heard = world.carriers[whose], 0
        self.number[whose] = self.number.get(whose, 0) + 1
        # Whether she has opened what he wrote is hers to know: it is acknowledged when it has come.
        if self.secret == 2 and carrier.written and whose == self.friend:
            said = carrier.said()
            heard = said.number
            self.carried |= set(said.carried)
        left = tuple((name, letter) for name, letter in kept if hashlib.sha256(letter).digest() not in self.carried)
        world.write_tray(carrier, FromDesk(self.number[whose], heard, lines, left))


def letters(name: LineName, whose: str, at: int) -> list[tuple[LineName, bytes]]:
    """What one of the two has written until then."""
    return [(name, uniform(300, whose, when)) for when in (2, 9, 14) if at >= when]


def spied_on(public: Public, secret: int) -> tuple[View, Watched]:
    world = Watched(public=public, spies=frozenset({DESKS[0]}))
    return played(world, Beside(secret)), world


@pytest.mark.parametrize(
    ("coalition", "seed"),
    [(("east",), 6), (("west",), 9), (("west", "north"), 6), (("west", "east", "south"), 9)],
)
def test_a_correspondent_in_the_coalition_sees_what_is_exchanged_with_him_and_nothing_beside(
    coalition: tuple[str, ...], seed: int
) -> None:
    public = Public(seed, coalition)
    alone, _ = spied_on(public, 0)
    for secret in (1, 2):
        beside, _ = spied_on(public, secret)
        assert alone.difference(beside) == "", (public, secret)


def test_the_correspondent_in_the_coalition_does_get_letters() -> None:
    crossed = 0
    for seed in (1, 2, 21):
        _, world = spied_on(Public(seed, ("east",)), 1)
        spy = world.carriers[DESKS[0]]
        crossed += len(spy.said().envelopes) if spy.written else 0
    assert crossed


@pytest.mark.parametrize("others", [0, 1])
def test_in_which_query_a_correspondent_is_read_hangs_on_nobody_else(others: int) -> None:
    world = Watched(public=Public(6, ("east",)))
    played(world, None)
    porter = world.carriers[DESKS[1]].machine
    assert porter is not None
    names = [LineName(bytes([at]) * 12) for at in range(1 + others)]
    lines = {name: Line.new(LineTerms(name, 1, 0, 1, 0, (-1,), ())) for name in names}
    table = world.charter.numbers.first + 51
    where = []
    for seed in range(400):
        _, queries = _questions(porter.keeping, lines, world.charter, table + 1, random=Generator(seed))
        where.append([line for asked, line in queries if asked == table].index(names[-1]))
    assert 160 < where.count(0) < 240
    assert where.count(0) + where.count(1) == 400


def test_a_history_in_which_something_public_differs_is_told_apart() -> None:
    public = Public(1, ("east",))
    assert watch(public, None).difference(watch(replace(public, rounds=21), None))
    assert watch(public, None).difference(watch(replace(public, seed=2), None))
