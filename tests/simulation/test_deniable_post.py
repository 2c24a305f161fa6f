"""Nobody can prove by a post office that a letter was written (docs/threat-model.md).

Two offices, the same in everything, but that in one Anna writes to Mikhail and
in the other she never does. A judge is given all that every operator keeps, and
all that Mikhail keeps. From the second office Mikhail makes, with no key but
his own, what the judge was given of the first, to the byte.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from backchannel.desk import post, records
from backchannel.encoding import decode, encode
from backchannel.keys import Digest
from backchannel.post import packet
from backchannel.post.charters import CHARTERS
from backchannel.post.ciphers import PacketCipher
from backchannel.post.lines import Line
from backchannel.post.rounds import TABLES
from backchannel.post.tray import LineName, LineTerms
from backchannel.post.visit import DESCRIPTOR_SIZE, describe
from backchannel.seal import ratchet
from backchannel.seal.state import State
from tests.seal.forger import forge
from tests.simulation.crash import unsynced
from tests.simulation.desks import Seat, introduce, seat
from tests.simulation.office import Generator, World

ANNA: Final = "Anna Reuter"
MIKHAIL: Final = "Mikhail Orlov"
ROUNDS: Final = 18  # fewer than the window: a judge is given the tables from before she wrote
READ_AFTER: Final = 3  # rounds from a row to what its reader makes of it: asked, collected, acted on

Tables = dict[bytes, bytes]


class Office:
    """An office in which Anna and Mikhail have met; and then she writes, or does not."""

    def __init__(self, root: Path, k: int) -> None:
        self.world = World(k=k, seed="deniable")
        self.anna = seat(self.world, root, ANNA, "west")
        self.mikhail = seat(self.world, root, MIKHAIL, "east")
        introduce(self.anna, self.mikhail)
        self.met = self.state(self.mikhail, ANNA)
        self.world.run(6)
        for each in (self.anna, self.mikhail):
            each.exchange()
        self.commits = self.anna.shelf.commits
        self.written: tuple[bytes, bytes] | None = None
        self.posted = self.world.round + 1

    def write(self) -> None:
        """She writes: the envelope, and the item in it."""
        entry = self.anna.write(MIKHAIL, "What I have said here is between the two of us. " * 40)
        store = self.anna.desk().store
        envelope = store.get(records.TRAY, records.number_name(entry.number))
        item = store.get(records.TEXTS, records.number_name(entry.number))
        assert envelope
        assert item
        self.written = envelope, item

    def go_on(self) -> None:
        """The rounds that a judge looks at, her desk opened and locked before them as on any day."""
        self.anna.exchange()
        self.world.run(ROUNDS)

    @staticmethod
    def state(seat: Seat, peer: str) -> State:
        desk = seat.desk()
        return desk.keys(desk.person(peer))

    def kept(self, house: str) -> tuple[Tables, dict[tuple[str, bytes], bytes]]:
        """What an operator keeps: its tables, and everything else but the charter.

        That is public, was there before anybody met, and is signed with
        randomness of its own, so that no two offices have the same.
        """
        bodies = self.world.houses[house].shelf.bodies
        tables = {name: body for (room, name), body in bodies.items() if room == TABLES}
        return tables, {where: body for where, body in bodies.items() if where[0] not in (TABLES, CHARTERS)}


@pytest.mark.parametrize("k", [2, 3])
def test_a_judge_given_all_operators_and_one_correspondent_learns_nothing_of_who_wrote(k: int, tmp_path: Path) -> None:
    with unsynced():
        wrote, never = Office(tmp_path / "wrote", k), Office(tmp_path / "never", k)
        wrote.write()
        for office in (wrote, never):
            office.go_on()
        wrote.mikhail.exchange()
    assert wrote.mikhail.texts(ANNA), "the letter that the forger is to make was never there"
    assert wrote.written is not None
    envelope, item = wrote.written

    forged = forge_envelope(never, item)
    assert forged == envelope
    tables = forge_tables(never, forged)
    for house in never.world.houses:
        real, rest = wrote.kept(house)
        dummies, same = never.kept(house)
        assert rest == same, "an operator keeps something besides tables that depends on what was written"
        assert real != dummies, "there is nothing to forge"
        assert tables == real

    opened = ratchet.read(Office.state(never.mikhail, ANNA), forged, kem=never.world.kem, now=never.mikhail.now)
    assert opened.item == item


def forge_envelope(office: Office, item: bytes) -> bytes:
    """The envelope that Anna would have sealed, from Mikhail's keys alone."""
    random = Generator(office.world.seed, ANNA, office.commits)
    random(32), random(32)  # the letter's id and its seed: here the forger takes hers, so as to come to the same bytes
    return forge(office.met, item, kem=office.world.kem, random=random, now=office.mikhail.now)


def forge_tables(office: Office, envelope: bytes) -> Tables:
    """The tables of all rounds, as if it had been carried: from dummies, and the roots that Mikhail was given."""
    charter, cipher = office.world.charter, PacketCipher()
    desk = office.mikhail.desk()
    person = desk.person(ANNA)
    assert person.mine
    assert person.theirs
    mine, hers = person.mine, person.theirs
    roots = tuple((turn, bytes(root)) for turn, root in office.met.roots.items())
    name = LineName(post.line_name(person))
    # Both ends of the line: a root carries one way, and he has them all.
    anna = _line(LineTerms(name, mine.mailbox, hers.place, mine.place, 0, (-1,), roots))
    mikhail = _line(LineTerms(name, hers.mailbox, mine.place, hers.place, -1, (0,), roots))
    anna, mikhail = (
        line.agreed(
            LineTerms(name, line.mailbox, line.place, line.their_place, line.sending, line.reading, roots), since=0
        )
        for line in (anna, mikhail)
    )
    digest = Digest(ratchet.digest(envelope))
    made: Tables = {}
    rows: dict[tuple[int, int], bytes] = {}
    dummies, _ = office.kept("west")
    for raw in sorted(dummies):
        number = int.from_bytes(raw)
        if number < office.posted:
            made[raw] = dummies[raw]
            continue
        if number == office.posted:
            room = packet.room(charter.numbers.packet)
            anna = replace(anna, out=anna.out.put(digest, len(envelope), room=room))
        table = number - READ_AFTER
        if row := rows.get((table, hers.mailbox)):
            mikhail, _, _ = mikhail.read(row, table, where=(charter.digest, hers.mailbox, mine.mailbox), cipher=cipher)
        if row := rows.get((table, mine.mailbox)):
            anna, _, _ = anna.read(row, table, where=(charter.digest, mine.mailbox, hers.mailbox), cipher=cipher)
        roster, mailboxes, joined = _opened(dummies[raw])
        size = charter.numbers.packet
        table_rows = {m: joined[at * size : at * size + size] for at, m in enumerate(mailboxes)}
        for line, writer in ((anna, hers), (mikhail, mine)):
            if line.place != number % charter.numbers.places or writer.mailbox not in table_rows:
                continue
            # The dummy that stands there is the noise that a packet would have been made of;
            # where a packet without a fragment stands, its nonce is.
            noise = table_rows[writer.mailbox]
            where = charter.digest, writer.mailbox, line.mailbox
            changed, row = line.packet(number, noise, where=where, envelope=lambda _: envelope, cipher=cipher)
            table_rows[writer.mailbox] = rows[number, writer.mailbox] = row
            if writer is hers:
                anna = changed
            else:
                mikhail = changed
        ordered = sorted(table_rows.items())
        descriptor = describe(charter, number, roster=roster, rows=ordered)
        made[raw] = encode((roster, descriptor.encode(), tuple(mailboxes), b"".join(row for _, row in ordered)))
    return made


def _line(terms: LineTerms) -> Line:
    return Line.new(terms).agreed(terms, since=0)


def _opened(table: bytes) -> tuple[bytes, tuple[int, ...], bytes]:
    value: Any = decode(table)
    roster, _, mailboxes, rows = value
    return roster, mailboxes, rows


def test_nothing_that_operators_keep_of_a_round_is_signed(tmp_path: Path) -> None:
    """What is signed in an operator's store is the charter, which is public, and speaks of no round."""
    with unsynced():
        office = Office(tmp_path, 2)
        office.write()
        office.go_on()
    for house in office.world.houses.values():
        assert house.machine is not None
        signatures = [bytes(s) for signed in house.machine.charters for _, s in signed.signatures]
        for (room, _), body in house.shelf.bodies.items():
            if room != CHARTERS:
                assert not any(signature in body for signature in signatures)
        # A signature has thousands of bytes; no body of another room has room for one beside its rows.
        tables, rest = office.kept(house.name)
        for body in tables.values():
            roster, mailboxes, rows = _opened(body)
            assert len(body) < len(roster) + DESCRIPTOR_SIZE + len(rows) + 9 * len(mailboxes) + 32
        assert {room for room, _ in rest} <= {"days", "issued", "lodged", "members", "seen", "notes"}
