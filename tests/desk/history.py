"""A history of two desks that can be taken up again after any accident, as two people would.

Each step first looks how far it came: what was done is not done again, what was
made and did not get onto the table is put there (``card --copy``, ``pack
--again``). The table is a folder from which the other side takes cards and
pouches; what lies on it has left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from backchannel import pouch as pouches
from backchannel.cli.opening import leave
from backchannel.desk import carriage, introductions, records
from backchannel.desk.carriage import Outcome
from backchannel.desk.records import Entry, Person, Stage
from backchannel.seal import card as cards
from backchannel.seal import envelope as envelopes
from backchannel.seal import ratchet
from tests.desk.two_desks import ANNA, MIKHAIL, Clock, Side, prose


@dataclass
class Post:
    """Both desks, and the table between them."""

    root: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.anna = Side(self.root, ANNA, MIKHAIL, self.clock)
        self.mikhail = Side(self.root, MIKHAIL, ANNA, self.clock)
        self.table = self.root / "table"

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.anna, self.mikhail

    def create(self) -> Post:
        self.table.mkdir(mode=0o700)
        for side in self.sides:
            side.create().close()
        return self

    def close(self) -> None:
        for side in self.sides:
            side.close()

    def other(self, side: Side) -> Side:
        return self.mikhail if side is self.anna else self.anna


Step: TypeAlias = Callable[[Post], None]


def card(who: str, name: str, generation: int) -> Step:
    def step(post: Post) -> None:
        side, path = side_of(post, who), post.table / name
        person = known(side)
        if path.exists() or (person and person.generation >= generation):
            return
        if person and side.desk.register.card_for(person.id):
            raw = introductions.waiting_card(side.desk, person)
            assert raw is not None
            leave(path, raw, lambda: None, otherwise="")
            return
        again = generation > 1
        made = introductions.make_card(side.desk, side.peer, days=30, bare=False, again=again, now=side.now)
        leave(path, made.card, lambda: side.desk.commit(made.changes), otherwise="")

    return step


def answer(who: str, first: str, name: str, generation: int) -> Step:
    def step(post: Post) -> None:
        side, path = side_of(post, who), post.table / name
        person = known(side)
        if path.exists():
            return
        if person and person.generation >= generation:
            raw = introductions.waiting_card(side.desk, person)
            assert raw is not None
            leave(path, raw, lambda: None, otherwise="")
            return
        met = introductions.meet(
            side.desk,
            (post.table / first).read_bytes(),
            alias=None,
            again=side.peer if generation > 1 else None,
            to_me=False,
            days=30,
            now=side.now,
        )
        assert met.answer is not None
        leave(path, met.answer, lambda: side.desk.commit(met.changes), otherwise="")

    return step


def complete(who: str, name: str, generation: int) -> Step:
    def step(post: Post) -> None:
        side = side_of(post, who)
        if side.person.generation < generation:
            side.introduced((post.table / name).read_bytes())

    return step


def compare(post: Post) -> None:
    for side in post.sides:
        if not side.person.compared:
            side.compare(post.other(side).words())


def write(who: str, text: str) -> Step:
    def step(post: Post) -> None:
        side = side_of(post, who)
        if not draft_of(side, text) and not own(side, text):
            side.save(prose(text))

    return step


def send(who: str, text: str) -> Step:
    def step(post: Post) -> None:
        side = side_of(post, who)
        if number := draft_of(side, text):
            side.send(number)

    return step


def recall(who: str, text: str) -> Step:
    def step(post: Post) -> None:
        side = side_of(post, who)
        for entry in own(side, text):
            if entry.stage is Stage.TRAY:
                side.recall(entry.number)

    return step


def destroy(who: str, number: int, *, line: bool = True) -> Step:
    def step(post: Post) -> None:
        side = side_of(post, who)
        entry = next((entry for entry in side.listing() if entry.number == number), None)
        if entry and entry.stage is not Stage.DESTROYED:
            side.destroy(number, line=line)

    return step


def pack(who: str, name: str) -> Step:
    def step(post: Post) -> None:
        side, path = side_of(post, who), post.table / name
        if path.exists():
            return
        waits = any(entry.stage is Stage.TRAY for entry in side.listing())
        packed = carriage.pack(side.desk, side.person, again=not waits, now=side.now)
        leave(path, packed.pouch, lambda: side.desk.commit(packed.changes), otherwise="")

    return step


def unpack(who: str, name: str) -> Step:
    def step(post: Post) -> None:
        side = side_of(post, who)
        pouch = (post.table / name).read_bytes()
        opened = side.unpack(pouch)
        assert {arrival.outcome for arrival in opened.arrivals} <= {Outcome.OPENED, Outcome.ALREADY}

    return step


def side_of(post: Post, who: str) -> Side:
    return post.anna if who == "anna" else post.mikhail


def known(side: Side) -> Person | None:
    return next((person for person in side.desk.people() if person.name == side.peer), None)


def draft_of(side: Side, text: str) -> int:
    return next((draft.number for draft in side.desk.drafts() if f"\n{text}\n" in draft.text), 0)


def own(side: Side, text: str) -> list[Entry]:
    return [entry for entry in side.listing() if entry.outgoing and says(side, entry) == text]


def says(side: Side, entry: Entry) -> str:
    """What a letter says, as far as it is still here."""
    body = side.desk.store.get(records.TEXTS, records.number_name(entry.number))
    return side.desk.letter(entry).texts[0].paragraphs[1] if body is not None else ""


STEPS: tuple[Step, ...] = (
    card("anna", "first.card", 1),
    answer("mikhail", "first.card", "answer.card", 1),
    complete("anna", "answer.card", 1),
    compare,
    write("anna", "a one"),
    send("anna", "a one"),
    pack("anna", "a1.pouch"),
    write("mikhail", "m one"),
    send("mikhail", "m one"),
    unpack("mikhail", "a1.pouch"),
    pack("mikhail", "m1.pouch"),
    unpack("anna", "m1.pouch"),
    write("anna", "a two"),
    send("anna", "a two"),
    recall("anna", "a two"),
    send("anna", "a two"),
    pack("anna", "a2.pouch"),
    destroy("mikhail", 2),
    unpack("mikhail", "a2.pouch"),
    destroy("anna", 1),
    destroy("anna", 2, line=False),
    write("anna", "a three"),
    send("anna", "a three"),
    card("mikhail", "again.card", 2),
    answer("anna", "again.card", "again-answer.card", 2),
    complete("mikhail", "again-answer.card", 2),
    compare,
    pack("anna", "a3.pouch"),
    write("anna", "a four"),
    send("anna", "a four"),
    pack("anna", "a4.pouch"),
    unpack("mikhail", "a4.pouch"),
    unpack("mikhail", "a3.pouch"),
    write("mikhail", "m two"),
    send("mikhail", "m two"),
    pack("mikhail", "m2.pouch"),
    unpack("anna", "m2.pouch"),
)


def play(post: Post, begin: int = 0, done: Callable[[object], None] = lambda _: None) -> None:
    """Carry out the steps from number *begin* on."""
    for number in range(begin, len(STEPS)):
        STEPS[number](post)
        done(number)


Line: TypeAlias = tuple[bool, int, int, Stage, str, str]


def listings(post: Post) -> tuple[list[Line], list[Line]]:
    """What both desks list, but for what chance and the courier decide: ids, the order of arrival, the pouches."""
    anna, mikhail = (sorted(line(side, entry) for entry in side.listing()) for side in post.sides)
    return anna, mikhail


def line(side: Side, entry: Entry) -> Line:
    return entry.outgoing, entry.generation, entry.index, entry.stage, entry.kind, says(side, entry)


@dataclass
class Watch:
    """What must never happen twice, whatever happens in between.

    Attributes:
        places: For each envelope sealed, the place in the ratchet that it has.
        packed: The digests of the envelopes in each pouch, in the order of packing.
        encrypted: What each key and nonce has made.
    """

    places: dict[bytes, tuple[bytes, int, int, int]] = field(default_factory=dict)
    packed: list[set[bytes]] = field(default_factory=list)
    encrypted: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)

    def check(self) -> None:
        """No two envelopes that left have one place in the ratchet."""
        places = [self.places[name] for name in set().union(*self.packed)]
        assert len(set(places)) == len(places), "a place in the ratchet was used twice"

    def of_the_first(self, pouches: int) -> Watch:
        """Everything that was sealed, and of what was packed what left before the rest was lost.

        What was sealed and never left stays in it: nothing that is sealed later
        may have a key that is known already.
        """
        return Watch(dict(self.places), self.packed[:pouches], dict(self.encrypted))


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Tell *watch* of everything that is sealed and packed."""
    seal, bag = ratchet.write, pouches.pack

    def write(state: Any, item: bytes, **arguments: Any) -> Any:
        after, envelope = seal(state, item, **arguments)
        assert after.tx is not None
        watch.places[ratchet.digest(envelope)] = (bytes(after.transcript), after.role, after.tx.turn, after.tx.n)
        return after, envelope

    def pack(sealed: Any, key: bytes, random: Any) -> bytes:
        watch.packed.append({ratchet.digest(envelope) for envelope in sealed})
        return bag(sealed, key, random)

    class Recorder:
        def __init__(self, key: bytes) -> None:
            self._key, self._real = key, ChaCha20Poly1305(key)

        def encrypt(self, nonce: bytes, data: bytes, before: bytes | None) -> bytes:
            out = self._real.encrypt(nonce, data, before)
            assert watch.encrypted.setdefault((self._key, nonce), out) == out, "one key sealed two things"
            return out

        def decrypt(self, nonce: bytes, data: bytes, before: bytes | None) -> bytes:
            return self._real.decrypt(nonce, data, before)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ratchet, "write", write)
        patch.setattr(pouches, "pack", pack)
        patch.setattr(envelopes, "ChaCha20Poly1305", Recorder)
        yield


def check_table(post: Post) -> None:
    """What lies on the table was committed before it came there."""
    for path in post.table.iterdir():
        if path.name.startswith("."):
            assert path.name.endswith(".part"), path
            continue
        raw = path.read_bytes()
        if path.suffix == ".pouch":
            assert any(carriage.packed_here(side.desk, raw) for side in post.sides), path
        else:
            assert any(knows_card(side, raw) for side in post.sides), path


def knows_card(side: Side, raw: bytes) -> bool:
    register = side.desk.register
    return cards.digest(raw) in (register.waiting.keys() | register.spent.keys()) or any(
        spent.answer == raw for spent in register.spent.values()
    )


def tidy(post: Post) -> None:
    """Nothing is left behind but what the documents name."""
    names = {str(path.relative_to(post.root)) for path in post.root.rglob("*") if "counters/" not in str(path)}
    for folder in ("anna", "mikhail"):
        names -= {f"{folder}/desk.db", f"{folder}/desk.db-journal", f"{folder}/desk.head"}
    names -= {"anna", "mikhail", "counters", "table"}
    names -= {f"table/{path.name}" for path in post.table.iterdir() if path.suffix in (".card", ".pouch")}
    assert all(Path(name).name.startswith(".") and name.endswith(".part") for name in names), names
