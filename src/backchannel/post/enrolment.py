"""Enrolment: how a mailbox gets its owner, and the other two things asked outside a visit.

A ticket is 32 bytes for one mailbox. The porter shows each operator a code of
it that is of no use at another, together with a fresh key for its visits; the
issuer has lodged a digest of that code with each (docs/spec/enrolment.md). The
key of the day, and a charter that follows, are asked for in the same way: one
sealed message to the operator's key of the charter, one sealed reply.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from backchannel.encoding import framed
from backchannel.errors import MalformedError
from backchannel.kem import BOX_OVERHEAD, Kem, PrivateKey
from backchannel.keys import Digest, Random, Secret, derive, mac, sha256
from backchannel.post.charter import Charter
from backchannel.post.ciphers import NONCE_SIZE, TAG_SIZE, Aead
from backchannel.post.visit import DAY_KEY_SIZE, DayKey, ReplyKey, VisitKey

# Specification constants (docs/spec/enrolment.md §2, §3).
BODY_SIZE: Final = 8 + 32 + 32
REQUEST_SIZE: Final = BOX_OVERHEAD + BODY_SIZE + ReplyKey.size
ENROLLED_SIZE: Final = 16
CHARTER_ROOM: Final = 128 * 1024

LABEL_ENROL: Final = b"backchannel/v1/enrolment/request"
LABEL_TOKEN: Final = b"backchannel/v1/enrolment/token"
LABEL_LODGED: Final = b"backchannel/v1/enrolment/lodged"
LABEL_DAY_KEY: Final = b"backchannel/v1/enrolment/key"
LABEL_SUCCESSOR: Final = b"backchannel/v1/enrolment/successor"
LABEL_REPLY: Final = b"backchannel/v1/enrolment/reply"
LABEL_TICKET: Final = b"backchannel/v1/enrolment/ticket"

CHECK_SIZE: Final = 3  # of a ticket as text: with its 32 bytes, 56 letters and nothing left over

KINDS: Final = {"enrol": LABEL_ENROL, "key": LABEL_DAY_KEY, "charter": LABEL_SUCCESSOR}


class Ticket(Secret):
    """What a mailbox is had for, once."""

    __slots__ = ()

    def token(self, mailbox: int, operator: str) -> Token:
        """The code of this ticket that *operator* is shown."""
        return Token(mac(self, LABEL_TOKEN, mailbox, operator))


@dataclass(frozen=True, slots=True)
class TicketLine:
    """A ticket as it is handed to a person: one line of text, which a slip of the pen makes none (§5)."""

    charter: str  # its name
    mailbox: int
    ticket: Ticket

    def format(self) -> str:
        code = base64.b32encode(self.ticket + self._check()).decode().lower()
        return f"{self.charter} {self.mailbox} {code}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what :meth:`format` wrote.

        Raises:
            MalformedError: If *text* is anything else, a letter of it wrong, for instance.
        """
        try:
            charter, mailbox, code = text.split()
            raw = base64.b32decode(code.upper())
            line = cls(charter, int(mailbox), Ticket(raw[:-CHECK_SIZE]))
            if 0 < line.mailbox < 2**20 and line.format() == f"{charter} {mailbox} {code.lower()}":
                return line
        except ValueError:
            pass
        raise MalformedError("this is not a ticket, or it was copied wrongly")

    def _check(self) -> bytes:
        return sha256(LABEL_TICKET, self.charter, self.mailbox, self.ticket)[:CHECK_SIZE]


class Token(Secret):
    """A ticket's code at one operator."""

    size: ClassVar[int] = 32
    __slots__ = ()

    def lodged(self) -> Digest:
        """What the issuer lodges of it: enough to know it by, not to show it."""
        return sha256(LABEL_LODGED, self)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a porter asks for: its mailbox, the code of its ticket, and the key of its visits."""

    mailbox: int
    token: Token
    key: VisitKey

    def encode(self) -> bytes:
        return self.mailbox.to_bytes(8) + self.token + self.key

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Decode a body of :data:`BODY_SIZE`."""
        return cls(int.from_bytes(body[:8]), Token(body[8:40]), VisitKey(body[40:]))


def size_of_reply(kind: str) -> int:
    """How large the reply to a request of that *kind* is."""
    return {"enrol": ENROLLED_SIZE, "key": 2 * DAY_KEY_SIZE, "charter": CHARTER_ROOM}[kind] + NONCE_SIZE + TAG_SIZE


def seal(kind: str, body: bytes, key: ReplyKey, *, charter: Charter, operator: str, kem: Kem, random: Random) -> bytes:
    """Seal a request to the operator's key of the charter; every kind has one size."""
    to = charter.seats[charter.seat(operator)].sealing
    return kem.seal(to, _info(kind, charter, operator), body.ljust(BODY_SIZE, b"\0") + key, random)


def open(  # noqa: A001 - the pair of seal
    kind: str, box: bytes, private: PrivateKey, *, charter: Charter, operator: str, kem: Kem
) -> tuple[bytes, ReplyKey]:
    """Open a request: its body, and the key of its reply.

    Raises:
        MalformedError, VerificationError: If it is not one.
    """
    if len(box) != REQUEST_SIZE:
        raise MalformedError("this is not a request")
    raw = kem.open(private, _info(kind, charter, operator), box)
    return raw[:BODY_SIZE], ReplyKey(raw[BODY_SIZE:])


def seal_reply(kind: str, body: bytes, key: ReplyKey, *, cipher: Aead) -> bytes:
    """Seal the reply to a request of that *kind*.

    A request that the network repeats is answered again, by then perhaps with
    something else: so the nonce follows from what is said, under a key of its own.
    """
    body = body.ljust(size_of_reply(kind) - NONCE_SIZE - TAG_SIZE, b"\0")
    sealing, naming = _keys(kind, key)
    nonce = mac(naming, LABEL_REPLY, body)[:NONCE_SIZE]
    return nonce + cipher.seal(sealing, nonce, body, b"")


def open_reply(kind: str, sealed: bytes, key: ReplyKey, *, cipher: Aead) -> bytes:
    """Open the reply to a request of that *kind*.

    Raises:
        VerificationError, MalformedError: If it is not one.
    """
    if len(sealed) != size_of_reply(kind):
        raise MalformedError("this is not a reply")
    return cipher.open(_keys(kind, key)[0], sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], b"")


def encode_enrolled(effective: int | None) -> bytes:
    """The reply to an enrolment: from which round it holds; None, that it does not."""
    return (effective + 1 if effective is not None else 0).to_bytes(8)


def decode_enrolled(body: bytes) -> int | None:
    """Decode what :func:`encode_enrolled` wrote.

    Raises:
        MalformedError: If no round has this number.
    """
    number = int.from_bytes(body[:8])
    if number > 2**32:
        raise MalformedError("no round has this number")
    return number - 1 if number else None


def decode_day_keys(body: bytes) -> tuple[DayKey, DayKey]:
    """Decode the reply to a request for keys: today's and tomorrow's."""
    return DayKey.decode(body[:DAY_KEY_SIZE]), DayKey.decode(body[DAY_KEY_SIZE:])


def encode_charter(raw: bytes) -> bytes:
    """A charter file in the room there is for it."""
    return len(raw).to_bytes(4) + raw


def decode_charter(body: bytes) -> bytes:
    """Decode what :func:`encode_charter` wrote; no bytes, if there is none.

    Raises:
        MalformedError: If it is longer than its room.
    """
    size = int.from_bytes(body[:4])
    if size > len(body) - 4:
        raise MalformedError("this is not a charter")
    return body[4 : 4 + size]


def _info(kind: str, charter: Charter, operator: str) -> bytes:
    return framed(KINDS[kind], charter.digest, operator)


def _keys(kind: str, key: ReplyKey) -> list[bytes]:
    return derive(b"", key, framed(LABEL_REPLY, kind), count=2)
