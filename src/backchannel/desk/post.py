"""Carriage by the post office: the desk's side of the tray.

The desk never touches a network. It gives its porter envelopes and packet
roots, and takes from it what has come, by two files in a folder (post/tray.py):
once when it is opened and once when it is locked, full or empty, and at no
other time. Everything is committed before a file is replaced, and said again
until the porter has heard it, so that a file that is missed loses nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from backchannel import files
from backchannel.encoding import Value
from backchannel.errors import (
    BackchannelError,
    MalformedError,
    NegativeError,
    RefusedError,
    UsageError,
    VerificationError,
)
from backchannel.keys import Digest
from backchannel.post import packet, tray
from backchannel.post.charter import Charter, SignedCharter
from backchannel.post.ciphers import Aead
from backchannel.post.enrolment import Ticket
from backchannel.post.keeping import Pairing, successor
from backchannel.post.lines import MAX_QUEUED
from backchannel.post.transfer import MAX_ENVELOPE
from backchannel.post.tray import FromDesk, FromPorter, LineName, LineTerms, PairingKey
from backchannel.seal.card import LABEL_FIRST, Card, Carriage
from backchannel.seal.state import State

from . import records
from .carriage import Opened, Outcome, may_leave, open_all
from .desk import Changes, Desk, keys_name
from .records import Entry, Person, PersonId, Stage, number_name

# Implementation constants.
SPARE: Final = 4096  # bytes of a file that lines and numbers may take besides roots and envelopes
STAGES: Final = (Stage.TRAY, Stage.LEFT, Stage.CARRIED, Stage.PASSED)  # of what may have to be carried


@dataclass(frozen=True, slots=True)
class Membership(records._Record):  # noqa: SLF001 - a record of the desk, in its own room
    """This desk's place in a post office, and how far it and its porter have heard each other."""

    charter: SignedCharter
    lineage: tuple[Digest, ...]  # the charters that this office has had, as far as this desk knows
    mailbox: int
    key: PairingKey
    folder: str  # the tray
    size: int  # of a tray file, bytes
    epoch: int  # how often this desk has joined; lines of an earlier time are gone
    number: int = 0  # of the desk's file
    heard: int = 0  # the number of the porter's file that was read last
    handed: dict[tuple[bytes, int], int] = field(default_factory=dict)  # line, turn → the file that first had its root
    listed: dict[int, int] = field(default_factory=dict)  # letter → the file that first had its envelope
    agreed: bytes = b""  # a charter that the owner has agreed to, until the porter follows it
    status: bytes = b""  # what the porter said last, without envelopes

    @property
    def terms(self) -> Charter:
        return self.charter.charter

    @property
    def tray(self) -> Path:
        return Path(self.folder)

    def said(self) -> FromPorter | None:
        """What the porter said last."""
        return FromPorter.decode(self.status) if self.status else None

    def _value(self) -> Value:
        return (
            self.charter.encode(),
            self.lineage,
            self.mailbox,
            self.key,
            self.folder,
            self.size,
            self.epoch,
            self.number,
            self.heard,
            tuple((line, turn + 1, since) for (line, turn), since in self.handed.items()),
            tuple(self.listed.items()),
            self.agreed,
            self.status,
        )

    @classmethod
    def _of(cls, value: Any) -> Self:
        charter, lineage, mailbox, key, folder, size, epoch, number, heard, handed, listed, agreed, status = value
        return cls(
            SignedCharter.kept(charter),
            tuple(map(Digest, lineage)),
            mailbox,
            PairingKey(key),
            folder,
            size,
            epoch,
            number,
            heard,
            {(line, turn - 1): since for line, turn, since in handed},
            dict(listed),
            agreed,
            status,
        )


@dataclass(frozen=True, slots=True)
class Came:
    """What the porter brought from one correspondent."""

    person: Person
    opened: Opened


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What became of an exchange: what came, and what is wrong with the tray, if anything."""

    came: tuple[Came, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """When a letter leaves and is there, in ms, if nothing is lost, and in how many packets."""

    leaves: int
    there: int
    packets: int


def membership(desk: Desk) -> Membership | None:
    """This desk's place in a post office, if it has one."""
    body = desk.store.get(records.POST, b"")
    return Membership.decode(body) if body else None


def join(
    desk: Desk, charter: SignedCharter, mailbox: int, ticket: Ticket, *, folder: Path, size: int
) -> tuple[Pairing, Changes]:
    """Take a place in a post office: what makes the porter, once the changes are committed.

    To join again, with another ticket, begins anew with a new porter: people
    who wrote to the old mailbox are told by :func:`announce`.

    Raises:
        RefusedError: If not all operators have signed, or this desk is an old copy.
        UsageError: If the mailbox is none of this office.
    """
    if desk.restored:
        raise RefusedError("this desk is an old copy: it joins no post office", hint="backchannel status")
    if charter.missing:
        raise RefusedError(f"this charter is not signed by {', '.join(charter.missing)}")
    charter.charter.check_keys(desk.kem)
    if charter.charter.share_of(mailbox) is None:
        raise UsageError("this ticket is not for a mailbox of this post office")
    before = membership(desk)
    known = before.lineage if before and charter.charter.digest in before.lineage else ()
    lineage = known or (charter.charter.digest,)
    key = PairingKey.draw(desk.random)
    epoch = before.epoch + 1 if before else 1
    made = Membership(charter, lineage, mailbox, key, str(folder), size, epoch)
    changes: Changes = {(records.POST, b""): made.encode()}
    for person in desk.people():
        if person.met and person.mine:
            moved = replace(person, mine=Carriage(person.mine.place, mailbox, charter.charter.digest))
            changes[records.PEOPLE, person.id] = moved.encode()
    return Pairing(charter, mailbox, ticket, key, size), changes


def place_for(desk: Desk, person: Person) -> Carriage | None:
    """Where this desk is to write to *person*: a place of its own that is free, or theirs from before; or none."""
    member = membership(desk)
    if member is None:
        return None
    if person.mine:
        return Carriage(person.mine.place, member.mailbox, member.terms.digest)
    free = sorted(set(range(member.terms.numbers.places)) - set(_taken(desk)))
    if not free:
        return None
    drawn = int.from_bytes(desk.random(8)) % len(free)
    return Carriage(free[drawn], member.mailbox, member.terms.digest)


def readable(desk: Desk, person: Person, theirs: Carriage) -> bool:
    """Whether this desk has a read to spare for what *person* leaves at their place."""
    member = membership(desk)
    if member is None or theirs.charter not in member.lineage:
        return True  # no line comes of it now
    numbers = member.terms.numbers
    others = [p for p in desk.people() if p.id != person.id and p.met and p.theirs]
    return sum(p.theirs is not None and p.theirs.place == theirs.place for p in others) < numbers.reads


def agree(desk: Desk) -> tuple[SignedCharter, Changes]:
    """Agree to the charter that the porter asks about.

    Raises:
        NegativeError: If it asks about none.
        RefusedError: If it does not follow.
    """
    member = membership(desk)
    said = member.said() if member else None
    if member is None or said is None or not said.asking:
        raise NegativeError("no charter awaits your word", hint="backchannel status")
    signed = SignedCharter.decode(said.asking)
    successor(signed, member.terms, now=0, asked=True)
    return signed, {(records.POST, b""): replace(member, agreed=said.asking).encode()}


def estimate(desk: Desk, person: Person, size: int, now: int) -> Estimate | None:
    """When an envelope of *size* bytes to *person* leaves, if the desk is locked now, and when it is there.

    Each packet is a round of this desk's place; two rounds later it has been
    read, and one more tells the desk. None where it cannot go by post.
    """
    member = membership(desk)
    if member is None or person.mine is None or not has_line(member, person) or size > MAX_ENVELOPE:
        return None
    charter, numbers = member.terms, member.terms.numbers
    said = member.said()
    name = line_name(person)
    waiting = sum(line.waiting for line in said.lines if line.name == name) if said else 0
    packets = -(-size // packet.room(numbers.packet))
    first = max(charter.round_at(now) + 1, numbers.first, (said.effective - 1) if said and said.effective else 0)
    first += (person.mine.place - first) % numbers.places
    last = first + (waiting + packets - 1) * numbers.places
    return Estimate(charter.instant(member.mailbox, first), charter.begins(last + 3), packets)


def has_line(member: Membership, person: Person) -> bool:
    """Whether letters to *person* can go by this post office."""
    mine, theirs = person.mine, person.theirs
    if mine is None or theirs is None or theirs.charter not in member.lineage:
        return False
    # What a card or a letter says of a mailbox is its writer's word.
    numbers = member.terms.numbers
    return theirs.mailbox < numbers.capacity and max(mine.place, theirs.place) < numbers.places


def line_name(person: Person) -> LineName:
    """What the porter knows a line by: nothing that says whose it is."""
    return LineName(keys_name(person, person.generation))


def exchange(desk: Desk, *, now: int, cipher: Aead) -> Exchanged:
    """Read the porter's file, and replace the desk's: at opening, and at locking.

    An old copy of a desk reads its letters and leaves the tray alone.
    """
    member = membership(desk)
    if member is None or desk.restored:
        return Exchanged()
    came: tuple[Came, ...] = ()
    trouble = ""
    try:
        came = _read(desk, member, now, cipher)
    except (MalformedError, VerificationError):
        # What lies there is not our porter's, or is damaged: ours is written all the same.
        trouble = "the porter's file in the tray does not open"
    except BackchannelError as error:
        trouble = f"the tray cannot be used: {error.message}"
    try:
        _write(desk, now, cipher)
    except BackchannelError as error:
        trouble = trouble or f"the tray cannot be used: {error.message}"
    return Exchanged(came, trouble)


def _read(desk: Desk, member: Membership, now: int, cipher: Aead) -> tuple[Came, ...]:
    file = files.read(member.tray / tray.PORTER_FILE, member.size)
    if file is None:
        return ()
    said = tray.open_from_porter(file, member.key, cipher=cipher)
    if said.number <= member.heard:
        return ()
    came = tuple(_take_envelopes(desk, said, now))
    changes: Changes = {}
    for name in said.carried:
        number = desk.store.get(records.ENVELOPES, name)
        entry = desk.entry(int.from_bytes(number)) if number and desk.store.get(records.LETTERS, number) else None
        if entry and entry.outgoing and entry.stage is Stage.LEFT:
            changes[records.LETTERS, number_name(entry.number)] = replace(entry, stage=Stage.CARRIED).encode()
    member = _heard(desk, member, said, changes)
    changes[records.POST, b""] = member.encode()
    desk.commit(changes)
    return came


def _take_envelopes(desk: Desk, said: FromPorter, now: int) -> Iterator[Came]:
    """Open what has come, each correspondent's by a commit of its own: what comes again is known."""
    for id_ in [person.id for person in desk.people()]:
        left = [envelope for name, envelope in said.envelopes if name[: PersonId.size] == id_]
        while left:
            opened = open_all(desk, desk.by_id(id_), left, pouch=0, now=now)
            desk.commit(opened.changes)
            yield Came(desk.by_id(id_), opened)
            # What was put off is opened now: once this file is heard, the porter has it no more.
            outcomes = zip(left, opened.arrivals, strict=True)
            left = [envelope for envelope, arrival in outcomes if arrival.outcome is Outcome.DEFERRED]


def _heard(desk: Desk, member: Membership, said: FromPorter, changes: Changes) -> Membership:
    """Note what the porter has heard: roots are erased here, envelopes are listed no more."""
    erased = {key for key, since in member.handed.items() if since <= said.heard}
    for person in desk.people():
        for generation in person.generations:
            name = LineName(keys_name(person, generation))
            turns = {turn for line, turn in erased if line == name}
            if turns:
                state = desk.keys(person, generation)
                for turn in turns:
                    state.roots.pop(turn, None)
                changes[records.KEYS, name] = state.encode()
    charter, lineage, agreed = member.charter, member.lineage, member.agreed
    following = SignedCharter.kept(said.charter)
    if following.charter.predecessor == charter.charter.digest:
        following = SignedCharter.decode(said.charter)
        charter, lineage, agreed = following, (*lineage, following.charter.digest), b""
    return replace(
        member,
        charter=charter,
        lineage=lineage,
        agreed=agreed,
        heard=said.number,
        handed={key: since for key, since in member.handed.items() if key not in erased},
        listed={number: since for number, since in member.listed.items() if since > said.heard},
        status=replace(said, envelopes=(), carried=()).encode(),
    )


def _write(desk: Desk, now: int, cipher: Aead) -> None:
    """Replace the desk's file: what is new in it is committed before it is there."""
    member = membership(desk)
    assert member is not None
    number, handed = member.number + 1, dict(member.handed)
    changes: Changes = {}
    envelopes: list[tuple[LineName, bytes]] = []
    listed: dict[int, int] = {}
    people = [(person, desk.keys(person)) for person in desk.people() if person.met and has_line(member, person)]
    lines = [_line(person, state) for person, state in people]
    for terms in lines:
        for turn, _ in terms.roots:
            handed.setdefault((terms.name, turn), number)
    room = tray.room(member.size) - SPARE - len(member.agreed) - sum(256 + 48 * len(terms.roots) for terms in lines)
    for person, state in people:
        full = False
        for entry, body in _waiting(desk, member, person, state):
            full = full or room < len(body) + 64
            if full:
                if entry.number in member.listed:
                    listed[entry.number] = number + 1  # it is not in this file, whichever of them is heard
                continue
            room -= len(body) + 64
            envelopes.append((line_name(person), body))
            listed[entry.number] = member.listed.get(entry.number, number)
            left = replace(entry, stage=Stage.LEFT, left=entry.left or now, posted=_posted(member, person))
            if left != entry:
                changes[records.LETTERS, number_name(entry.number)] = left.encode()
    said = FromDesk(number, member.heard, tuple(lines), tuple(envelopes), (), member.agreed)
    changes[records.POST, b""] = replace(member, number=number, handed=handed, listed=listed).encode()
    file = tray.seal(said, member.key, member.size, random=desk.random, cipher=cipher)
    # A full or missing folder shows itself before anything is committed.
    staged = files.stage(member.tray / tray.DESK_FILE, file, overwrite=True)
    try:
        desk.commit(changes)
    except BaseException:
        staged.discard()
        raise
    staged.publish()


def _line(person: Person, state: State) -> LineTerms:
    """A correspondent as the porter knows one: packets to them go under the turn of theirs that was answered."""
    assert person.mine is not None
    assert person.theirs is not None
    own = state.tx.turn if state.tx else -1
    reading = tuple(turn for turn in (own, own - 2) if turn >= -1)
    sending = state.tx.turn - 1 if state.tx else 0
    wanted = {sending, *reading}
    return LineTerms(
        line_name(person),
        person.theirs.mailbox,
        person.mine.place,
        person.theirs.place,
        sending,
        reading,
        tuple((turn, root) for turn, root in sorted(state.roots.items()) if turn in wanted),
    )


def _waiting(desk: Desk, member: Membership, person: Person, state: State) -> Iterator[tuple[Entry, bytes]]:
    """What is to be carried to *person*: first what was listed and is not yet heard of, then what is new."""
    if state.frozen:
        return
    own = [entry for entry in desk.entries(person) if entry.outgoing and entry.stage in STAGES]
    posted = _posted(member, person)
    load = 0
    for entry in own:
        body = desk.store.get(records.TRAY, number_name(entry.number))
        if body is None:
            continue
        if entry.posted == posted and entry.number not in member.listed:
            load += len(body) if entry.stage is Stage.LEFT else 0
            continue
        # By hand it left already, and the porter is not to carry it too unless it once did.
        new = entry.stage is Stage.TRAY or entry.posted not in (0, posted)
        if not may_leave(person, entry) or not (new or entry.number in member.listed):
            continue
        load += len(body)
        if len(body) <= MAX_ENVELOPE and load <= MAX_QUEUED:
            yield entry, body


def _posted(member: Membership, person: Person) -> int:
    """The stream that letters to *person* go by now: another joining, other keys or another mailbox begin a new one."""
    assert person.theirs is not None  # there is a line
    return (member.epoch << 32 | person.generation) << 20 | person.theirs.mailbox


def _taken(desk: Desk) -> Iterator[int]:
    """The places at which this desk writes, or has offered to on a card that awaits its answer."""
    for person in desk.people():
        if person.met and person.mine:
            yield person.mine.place
    for waiting in desk.register.waiting.values():
        carriage = Card.decode(waiting.card, LABEL_FIRST).terms.carriage
        if carriage:
            yield carriage.place


def name_of(envelope: bytes) -> Digest:
    """What an envelope is known by."""
    return Digest(hashlib.sha256(envelope).digest())
