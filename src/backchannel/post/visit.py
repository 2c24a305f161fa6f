"""The visit: a porter's one request to each operator in a round, and its reply.

One sealed message hands in this round's row, asks for rows of the tables that
are read in it, and collects the answers of the visit before. Every size follows
from the charter, the round and the request's own two flags; what goes wrong has
the size of what goes right (docs/spec/visit.md). This module makes and reads
the bytes; who may visit, and what is in an answer, is rounds' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from backchannel.encoding import framed
from backchannel.errors import MalformedError, VerificationError
from backchannel.kem import BOX_OVERHEAD, Kem, PrivateKey, PublicKey
from backchannel.keys import Digest, Random, Secret, derive, equal, mac, sha256
from backchannel.post.charter import Charter
from backchannel.post.ciphers import NONCE_SIZE, TAG_SIZE, Aead
from backchannel.post.retrieval import share_size
from backchannel.signing import Signature, Signer, verify

# Specification constants (docs/spec/visit.md §1 to §4).
HEAD_SIZE: Final = 8 + 8 + 8 + 1 + 1 + 32
MAC_SIZE: Final = 32
REPLY_HEAD: Final = 8 + 8
DESCRIPTOR_SIZE: Final = 32 + 8 + 8 + 32 + 8 + 32
DAY_KEY_SIZE: Final = 8 + PublicKey.size + Signature.size
NEVER: Final = 0  # a round as "seen" and "collect" have it is one more than its number

LABEL_VISIT: Final = b"backchannel/v1/visit/request"
LABEL_MAC: Final = b"backchannel/v1/visit/mac"
LABEL_KEYS: Final = b"backchannel/v1/visit/keys"
LABEL_DAY: Final = b"backchannel/v1/visit/day"
LABEL_TABLE: Final = b"backchannel/v1/visit/table"


class VisitKey(Secret):
    """What a porter and one operator have shared since enrolment, and show to nobody."""

    __slots__ = ()


class ReplyKey(Secret):
    """What the reply to one visit, and its answers, are sealed with; fresh at every visit."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Visit:
    """What a porter asks of one operator."""

    mailbox: int
    round: int
    collect: tuple[int, bool] | None  # the round whose answers are collected, and whether it asked for more
    more: bool  # whether old tables are asked about, besides the newest
    key: ReplyKey
    deposit: bytes
    shares: tuple[bytes, ...]

    def encode(self, key: VisitKey, charter: Charter, operator: str) -> bytes:
        """The plaintext of a request, with the code that only *operator* can check."""
        collect = self.collect[0] + 1 if self.collect else NEVER
        head = self.mailbox.to_bytes(8) + self.round.to_bytes(8) + collect.to_bytes(8)
        flags = bytes([bool(self.collect and self.collect[1]), self.more])
        body = head + flags + self.key + self.deposit + b"".join(self.shares)
        return body + mac(key, LABEL_MAC, charter.digest, operator, body)

    @classmethod
    def decode(cls, data: bytes, charter: Charter, operator: str) -> Self:
        """Decode a request; whose it is, :func:`check` says.

        Raises:
            MalformedError: If it is not one, of a round that this operator could be in.
        """
        if len(data) < HEAD_SIZE:
            raise MalformedError(NO_VISIT)
        mailbox, number, collect = (int.from_bytes(data[at : at + 8]) for at in (0, 8, 16))
        if data[24] > 1 or data[25] > 1 or (data[24] and not collect) or number >= 2**32 or collect > number:
            raise MalformedError(NO_VISIT)
        more = bool(data[25])
        sizes = share_sizes(charter, number, charter.seat(operator), more=more)
        if len(data) != HEAD_SIZE + charter.numbers.packet + sum(sizes) + MAC_SIZE:
            raise MalformedError(NO_VISIT)
        at = HEAD_SIZE + charter.numbers.packet
        deposit, shares = data[HEAD_SIZE:at], []
        for size in sizes:
            shares.append(data[at : at + size])
            at += size
        asked = (collect - 1, bool(data[24])) if collect else None
        return cls(mailbox, number, asked, more, ReplyKey(data[26:HEAD_SIZE]), deposit, tuple(shares))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What an operator says of the table of one round; equal at all of them, or somebody lies or was cut off."""

    charter: Digest
    round: int
    rows: int
    roster: Digest
    present: int
    digest: Digest

    @property
    def void(self) -> bool:
        """Whether the operators did not agree on this round."""
        return self.digest == NO_TABLE

    def encode(self) -> bytes:
        numbers = self.round.to_bytes(8) + self.rows.to_bytes(8)
        return self.charter + numbers + self.roster + self.present.to_bytes(8) + self.digest

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If it is of another length.
        """
        if len(data) != DESCRIPTOR_SIZE:
            raise MalformedError("this is not the descriptor of a table")
        number, rows, present = (int.from_bytes(data[at : at + 8]) for at in (32, 40, 80))
        return cls(Digest(data[:32]), number, rows, Digest(data[48:80]), present, Digest(data[88:]))


NO_TABLE: Final = Digest(bytes(32))


def void(charter: Charter, number: int) -> Descriptor:
    """The descriptor of a round that has no table."""
    return Descriptor(charter.digest, max(number, 0), charter.numbers.capacity, NO_TABLE, 0, NO_TABLE)


def describe(charter: Charter, number: int, *, roster: bytes, rows: Sequence[tuple[int, bytes]]) -> Descriptor:
    """The descriptor of a table: the *roster*, one bit a mailbox, and the *rows* that are there, in order."""
    parts = [sha256(LABEL_TABLE, mailbox, row) for mailbox, row in rows]
    digest = sha256(LABEL_TABLE, b"".join(parts))
    return Descriptor(
        charter.digest, number, charter.numbers.capacity, sha256(LABEL_TABLE, b"roster", roster), len(rows), digest
    )


@dataclass(frozen=True, slots=True)
class DayKey:
    """The key that visits of one day are sealed to, as its operator vouches for it."""

    day: int
    key: PublicKey
    signature: Signature

    @classmethod
    def make(cls, day: int, key: PublicKey, *, charter: Charter, operator: str, signer: Signer) -> Self:
        return cls(day, key, signer.sign(LABEL_DAY, framed(charter.digest, operator, day, key)))

    def check(self, charter: Charter, operator: str) -> None:
        """Return if *operator* vouches for it.

        Raises:
            VerificationError: If it does not.
        """
        seat = charter.seats[charter.seat(operator)]
        verify(seat.signing, LABEL_DAY, framed(charter.digest, operator, self.day, self.key), self.signature)

    def encode(self) -> bytes:
        return self.day.to_bytes(8) + self.key + self.signature

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If it is of another length.
        """
        if len(data) != DAY_KEY_SIZE:
            raise MalformedError("this is not a key of the day")
        end = 8 + PublicKey.size
        return cls(int.from_bytes(data[:8]), PublicKey(data[8:end]), Signature(data[end:]))


@dataclass(frozen=True, slots=True)
class Reply:
    """What an operator says to a visit."""

    answers: bytes  # of the visit that is collected, as they were sealed then
    seen: int  # one more than the round of the visit before, or 0
    time: int  # ms, by the operator's clock
    admitted: tuple[int, ...]  # how many mailboxes of each share are filled
    tomorrow: DayKey

    def encode(self) -> bytes:
        counts = b"".join(count.to_bytes(4) for count in self.admitted)
        head = self.seen.to_bytes(8) + self.time.to_bytes(8) + counts
        return head + self.tomorrow.encode() + self.answers

    @classmethod
    def decode(cls, data: bytes, charter: Charter) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If it is too short to be one.
        """
        end = REPLY_HEAD + 4 * len(charter.shares)
        if len(data) < end + DAY_KEY_SIZE:
            raise MalformedError("this is not a reply")
        counts = tuple(int.from_bytes(data[at : at + 4]) for at in range(REPLY_HEAD, end, 4))
        tomorrow = DayKey.decode(data[end : end + DAY_KEY_SIZE])
        seen, time = int.from_bytes(data[:8]), int.from_bytes(data[8:16])
        return cls(data[end + DAY_KEY_SIZE :], seen, time, counts, tomorrow)


@dataclass(frozen=True, slots=True)
class Answers:
    """What was found for the queries of one visit: the descriptor of each table asked about, and a row a query."""

    descriptors: tuple[Descriptor, ...]
    rows: tuple[bytes, ...]

    def encode(self) -> bytes:
        return b"".join(each.encode() for each in self.descriptors) + b"".join(self.rows)

    @classmethod
    def decode(cls, data: bytes, charter: Charter, *, more: bool) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If it is of another length.
        """
        tables, queries, packet = tables_asked(charter, more=more), _queries(charter, more=more), charter.numbers.packet
        if len(data) != tables * DESCRIPTOR_SIZE + queries * packet:
            raise MalformedError("these are not answers")
        end = tables * DESCRIPTOR_SIZE
        descriptors = (Descriptor.decode(data[at : at + DESCRIPTOR_SIZE]) for at in range(0, end, DESCRIPTOR_SIZE))
        rows = (data[at : at + packet] for at in range(end, len(data), packet))
        return cls(tuple(descriptors), tuple(rows))


# Sizes.


def share_sizes(charter: Charter, number: int, operator: int, *, more: bool) -> list[int]:
    """The size of each share of a visit to *operator*, by its index."""
    capacity = charter.numbers.capacity
    queries = range(_queries(charter, more=more))
    return [share_size(capacity, explicit=charter.explicit(number, query) == operator) for query in queries]


def request_size(charter: Charter, number: int, operator: int, *, more: bool) -> int:
    """The size of a sealed visit."""
    shares = share_sizes(charter, number, operator, more=more)
    return BOX_OVERHEAD + HEAD_SIZE + charter.numbers.packet + sum(shares) + MAC_SIZE


def answers_size(charter: Charter, *, more: bool) -> int:
    """The size of the sealed answers of a visit."""
    descriptors = tables_asked(charter, more=more) * DESCRIPTOR_SIZE
    return descriptors + _queries(charter, more=more) * charter.numbers.packet + TAG_SIZE


def reply_size(charter: Charter, *, more: bool) -> int:
    """The size of a sealed reply that collects the answers of a visit."""
    return REPLY_HEAD + 4 * len(charter.shares) + DAY_KEY_SIZE + answers_size(charter, more=more) + TAG_SIZE


def tables_asked(charter: Charter, *, more: bool) -> int:
    """How many tables a visit asks about."""
    return 1 + charter.numbers.catch_up * more


def _queries(charter: Charter, *, more: bool) -> int:
    return charter.numbers.reads * tables_asked(charter, more=more)


# Sealing.


def seal(
    visit: Visit, key: VisitKey, to: PublicKey, *, charter: Charter, operator: str, kem: Kem, random: Random
) -> bytes:
    """Seal a visit to the key of the day of *operator*."""
    info = _info(charter, operator, charter.day_of(visit.round))
    return kem.seal(to, info, visit.encode(key, charter, operator), random)


def open(  # noqa: A001 - the pair of seal
    box: bytes, private: PrivateKey, day: int, *, charter: Charter, operator: str, kem: Kem
) -> tuple[Visit, bytes]:
    """Open a visit that was sealed to the key of *day*: the visit, and its bytes, to be checked.

    Raises:
        VerificationError: If it does not open.
        MalformedError: If it opens to something else.
    """
    raw = kem.open(private, _info(charter, operator, day), box)
    return Visit.decode(raw, charter, operator), raw


def check(raw: bytes, key: VisitKey, *, charter: Charter, operator: str) -> None:
    """Return if a visit is of whoever holds *key*.

    Raises:
        VerificationError: If it is not.
    """
    if not equal(mac(key, LABEL_MAC, charter.digest, operator, raw[:-MAC_SIZE]), raw[-MAC_SIZE:]):
        raise VerificationError(NO_VISIT)


def seal_reply(reply: Reply, visit: Visit, *, charter: Charter, operator: str, cipher: Aead) -> bytes:
    """Seal the reply to *visit*."""
    return cipher.seal(_keys(visit, charter, operator)[0], bytes(NONCE_SIZE), reply.encode(), b"")


def open_reply(sealed: bytes, visit: Visit, *, charter: Charter, operator: str, cipher: Aead) -> Reply:
    """Open the reply to *visit*.

    Raises:
        VerificationError: If it is not one.
        MalformedError: If its operator sealed something else.
    """
    raw = cipher.open(_keys(visit, charter, operator)[0], bytes(NONCE_SIZE), sealed, b"")
    return Reply.decode(raw, charter)


def seal_answers(answers: Answers, visit: Visit, *, charter: Charter, operator: str, cipher: Aead) -> bytes:
    """Seal answers to the key that came with their queries: nobody else can use what is collected."""
    return cipher.seal(_keys(visit, charter, operator)[1], bytes(NONCE_SIZE), answers.encode(), b"")


def open_answers(sealed: bytes, visit: Visit, *, charter: Charter, operator: str, cipher: Aead) -> Answers:
    """Open the answers to the queries of *visit*.

    Raises:
        VerificationError: If they are not.
        MalformedError: If their operator sealed something else.
    """
    raw = cipher.open(_keys(visit, charter, operator)[1], bytes(NONCE_SIZE), sealed, b"")
    return Answers.decode(raw, charter, more=visit.more)


def _keys(visit: Visit, charter: Charter, operator: str) -> list[bytes]:
    info = framed(LABEL_KEYS, charter.digest, operator, visit.mailbox, visit.round)
    # A reply key is fresh at every visit and operator, so nonces may be zero.
    return derive(b"", visit.key, info, count=2)


def _info(charter: Charter, operator: str, day: int) -> bytes:
    return framed(LABEL_VISIT, charter.digest, operator, day)


NO_VISIT: Final = "this is not a visit"
