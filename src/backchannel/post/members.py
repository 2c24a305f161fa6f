"""Members: who owns which mailbox, at one operator.

Tickets are given out by one operator, lodged with all, and shown by a porter to
each (docs/spec/enrolment.md). A number is given out once, ever: a mailbox that
is retired is never another's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from backchannel.encoding import Value, decode, encode
from backchannel.errors import RefusedError
from backchannel.keys import Digest, Random
from backchannel.post.charter import Charter
from backchannel.post.charters import Charters
from backchannel.post.enrolment import Enrolment, Ticket
from backchannel.post.shelf import Changes, Shelf
from backchannel.post.visit import VisitKey

# Rooms of the shelf; a mailbox is eight bytes.
ISSUED: Final = "issued"  # mailbox: the Ticket that this operator gave out
LODGED: Final = "lodged"  # mailbox: the digest of its token here
MEMBERS: Final = "members"  # mailbox: its visit key, and from which round
RETIRED: Final = "retired"  # mailbox: nothing
LODGING: Final = "lodging"  # operator, 0, mailbox: a digest still to be lodged there
RETIRING: Final = "retiring"  # operator, 0, mailbox: still to be told there

ERRANDS_AT_ONCE: Final = 2_000  # for each operator: one that is down holds up no other's


@dataclass(frozen=True, slots=True)
class Member:
    """Who owns a mailbox: the key of its visits, and the first round that it takes part in."""

    key: VisitKey
    effective: int


class Members:
    """The mailboxes of one office, as one of its operators knows them."""

    def __init__(self, shelf: Shelf, charters: Charters, random: Random) -> None:
        self._shelf = shelf
        self._charters = charters
        self._random = random
        self._members: dict[int, Member] = {}
        for raw in shelf.names(MEMBERS):
            key, effective = _pair(shelf.get(MEMBERS, raw))
            self._members[int.from_bytes(raw)] = Member(VisitKey(key), effective)

    # What the issuer does.

    def issue(self, count: int) -> list[tuple[int, Ticket]]:
        """Make tickets for mailboxes of this operator's shares that nobody has had.

        Raises:
            RefusedError: If there are not so many.
        """
        name = self._charters.name
        own = [m for share in self._charters.newest.shares if share.issuer == name for m in share.mailboxes]
        # A share may have been another operator's before: its numbers are not given out again either.
        given = {int.from_bytes(raw) for room in (ISSUED, LODGED, RETIRED) for raw in self._shelf.names(room)}
        free = [mailbox for mailbox in own if mailbox not in given]
        if len(free) < count:
            raise RefusedError(f"{len(free)} mailboxes of {name} are left")
        made = [(mailbox, Ticket.draw(self._random)) for mailbox in free[:count]]
        changes: Changes = {}
        for mailbox, ticket in made:
            changes[ISSUED, mailbox.to_bytes(8)] = ticket
            for operator in self._charters.operators:
                self._lodge_at(operator, mailbox, ticket, changes)
        self._shelf.commit(changes)
        return made

    def introduce(self, operators: frozenset[str], changes: Changes) -> None:
        """Lodge the tickets that were given out with *operators*, who are new to the office."""
        for raw in self._shelf.names(ISSUED):
            ticket = self._shelf.get(ISSUED, raw)
            if ticket is not None and not self.retired(int.from_bytes(raw)):
                for operator in operators:
                    self._lodge_at(operator, int.from_bytes(raw), Ticket(ticket), changes)

    def retire(self, mailbox: int) -> None:
        """Give a mailbox up: here from the next round on, and everywhere with it.

        Raises:
            RefusedError: If this operator has not given it out, or it is retired already.
        """
        raw, name = mailbox.to_bytes(8), self._charters.name
        if self._shelf.get(ISSUED, raw) is None:
            raise RefusedError(f"{name} has given out no mailbox {mailbox}")
        if self.retired(mailbox):
            raise RefusedError(f"mailbox {mailbox} is retired already")
        changes = _gone(raw)
        for operator in self._charters.operators - {name}:
            changes[RETIRING, _to(operator, raw)] = b""
            changes[LODGING, _to(operator, raw)] = None
        self._shelf.commit(changes)

    def errands(self) -> list[tuple[str, tuple[Value, ...]]]:
        """What is still to be told to the other operators."""
        out: list[tuple[str, tuple[Value, ...]]] = []
        for room, kind in ((LODGING, "lodge"), (RETIRING, "retire")):
            told: dict[str, list[Value]] = {}
            for raw in self._shelf.names(room):
                operator, mailbox = raw[:-9].decode(), int.from_bytes(raw[-8:])
                each = told.setdefault(operator, [])
                if len(each) < ERRANDS_AT_ONCE:
                    each.append((mailbox, self._shelf.get(room, raw) or b""))
            out += [(operator, (kind, tuple(those))) for operator, those in told.items()]
        return out

    def told(self, peer: str, request: tuple[Any, ...]) -> None:
        """An errand was done."""
        room = LODGING if request[0] == "lodge" else RETIRING
        self._shelf.commit({(room, _to(peer, mailbox.to_bytes(8))): None for mailbox, _ in request[1]})

    # What the others do.

    def lodge(self, peer: str, lodged: Any) -> Value:
        """Take the digests of tickets for mailboxes that are *peer*'s to give out, once each.

        Nothing is answered where one is not *peer*'s to give out: that may be
        by a charter that this operator has yet to adopt, so it is to come again.
        """
        changes: Changes = {}
        theirs = True
        for mailbox, digest in lodged:
            if not self._may(peer, mailbox):
                theirs = False  # and whatever is no number, too
                continue
            raw = mailbox.to_bytes(8)
            if self._shelf.get(LODGED, raw) is None and not self.retired(mailbox):
                changes[LODGED, raw] = Digest(digest)
        self._shelf.commit(changes)
        return (len(changes),) if theirs else ()

    def give_up(self, peer: str, gone: Any) -> Value:
        """Retire mailboxes that *peer* gave out."""
        changes: Changes = {}
        for mailbox, _ in gone:
            if self._may(peer, mailbox):
                changes |= _gone(mailbox.to_bytes(8))
        self._shelf.commit(changes)
        return (len(gone),)

    def enrol(self, asked: Enrolment, charter: Charter, number: int) -> int | None:
        """Enrol who shows a ticket's code: from which round it holds; None, if it does not.

        The reply may be lost, so the same again is the same; a second owner is refused.
        """
        raw = asked.mailbox.to_bytes(8)
        if self.retired(asked.mailbox) or self._shelf.get(LODGED, raw) != asked.token.lodged():
            return None
        member = self._members.get(asked.mailbox)
        if member is not None:
            return member.effective if member.key == asked.key else None
        effective = max(charter.effective(number), charter.numbers.first)
        self._shelf.commit({(MEMBERS, raw): encode((bytes(asked.key), effective))})
        self._members[asked.mailbox] = Member(asked.key, effective)
        return effective

    def get(self, mailbox: int, number: int) -> Member | None:
        """Who owns *mailbox* in round *number*."""
        member = self._members.get(mailbox)
        return member if member and member.effective <= number and not self.retired(mailbox) else None

    def retired(self, mailbox: int) -> bool:
        # Asked of the shelf each time: another process may retire a mailbox while this one serves.
        return self._shelf.get(RETIRED, mailbox.to_bytes(8)) is not None

    def roster(self, number: int, capacity: int) -> bytes:
        """Who may hand in at this operator in round *number*: one bit a mailbox."""
        gone = {int.from_bytes(raw) for raw in self._shelf.names(RETIRED)}
        roster = bytearray(capacity // 8)
        for mailbox, member in self._members.items():
            if member.effective <= number and mailbox < capacity and mailbox not in gone:
                roster[mailbox // 8] |= 0x80 >> mailbox % 8
        return bytes(roster)

    def _lodge_at(self, operator: str, mailbox: int, ticket: Ticket, changes: Changes) -> None:
        raw, lodged = mailbox.to_bytes(8), ticket.token(mailbox, operator).lodged()
        own = operator == self._charters.name
        changes[(LODGED, raw) if own else (LODGING, _to(operator, raw))] = lodged

    def _may(self, peer: str, mailbox: int) -> bool:
        shares = [signed.charter.share_of(mailbox) for signed in self._charters.all]
        return any(share is not None and share.issuer == peer for share in shares)


def _gone(raw: bytes) -> Changes:
    return {(RETIRED, raw): b"", (LODGED, raw): None, (MEMBERS, raw): None}


def _pair(raw: bytes | None) -> Any:
    return decode(raw or b"")


def _to(operator: str, raw: bytes) -> bytes:
    return operator.encode() + b"\0" + raw
