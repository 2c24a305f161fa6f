"""The link: how two operators speak to each other, and to nobody else.

A greeting, signed with the charter's keys, makes one key between two running
operators; everything after it is sealed under that key alone, so that neither
could show anybody what the other said of a round (docs/spec/round.md §2).
Requests are numbered upwards: an old one is not answered again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

from backchannel.encoding import Value, decode, encode, framed
from backchannel.errors import MalformedError, VerificationError
from backchannel.kem import BOX_OVERHEAD, Kem, PrivateKey, PublicKey
from backchannel.keys import Digest, Fixed, Random, Secret, derive, sha256
from backchannel.post.charter import Charter
from backchannel.post.ciphers import NONCE_SIZE, TAG_SIZE, Aead
from backchannel.signing import Signature, Signer, verify

# Specification constants (docs/spec/round.md §2).
HEAD_SIZE: Final = 16 + 8
GREETING_LIMIT: Final = 8 * 1024
MAX_ASKED: Final = 8_192  # values of a request
ROW_COST: Final = 64  # bytes that a mailbox takes in a list, with some to spare

LABEL_GREETING: Final = b"backchannel/v1/link/greeting"
LABEL_ANSWER: Final = b"backchannel/v1/link/answer"
LABEL_KEYS: Final = b"backchannel/v1/link/keys"


class SessionId(Fixed):
    """The name of one session between two operators."""

    size = 16
    __slots__ = ()


class LinkSecret(Secret):
    """What the keys of a session come from."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Greeting:
    """A fresh key from one operator to another, signed."""

    charter: Digest
    sender: str
    receiver: str
    key: PublicKey
    signature: Signature

    @classmethod
    def make(cls, charter: Charter, sender: str, receiver: str, *, key: PublicKey, signer: Signer) -> Self:
        said = framed(charter.digest, sender, receiver, key)
        return cls(charter.digest, sender, receiver, key, signer.sign(LABEL_GREETING, said))

    @property
    def said(self) -> bytes:
        return framed(self.charter, self.sender, self.receiver, self.key)

    def encode(self) -> bytes:
        return encode((LABEL_GREETING, self.charter, self.sender, self.receiver, self.key, self.signature))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else.
        """
        if len(data) > GREETING_LIMIT:
            raise MalformedError(_NO_GREETING)
        match decode(data, values=8):
            case (bytes(label), bytes(charter), str(sender), str(receiver), bytes(key), bytes(signature)) if (
                label == LABEL_GREETING
                and (len(charter), len(key), len(signature)) == (Digest.size, PublicKey.size, Signature.size)
            ):
                return cls(Digest(charter), sender, receiver, PublicKey(key), Signature(signature))
        raise MalformedError(_NO_GREETING)

    def check(self, charter: Charter, me: str) -> None:
        """Return if an operator of *charter* greets *me* with it.

        Raises:
            VerificationError: If not.
        """
        senders = [seat for seat in charter.seats if seat.name == self.sender]
        if self.charter != charter.digest or self.receiver != me or self.sender == me or not senders:
            raise VerificationError(_NO_GREETING)
        verify(senders[0].signing, LABEL_GREETING, self.said, self.signature)


@dataclass(slots=True)
class Session:
    """One session, at one of its two ends. Its count goes up with every request."""

    id: SessionId
    peer: str
    asking: bytes
    answering: bytes
    count: int = 0

    @classmethod
    def of(cls, secret: LinkSecret, greeting: Greeting, peer: str) -> Self:
        name = sha256(LABEL_KEYS, greeting.said)
        asking, answering = derive(name, secret, LABEL_KEYS, count=2)
        return cls(SessionId(name[: SessionId.size]), peer, asking, answering)

    def ask(self, request: Value, cipher: Aead) -> bytes:
        """Seal the next request."""
        self.count += 1
        head = self.id + self.count.to_bytes(8)
        return head + cipher.seal(self.asking, _nonce(self.count), encode(request), head)

    def asked(self, message: bytes, cipher: Aead) -> tuple[int, Any]:
        """Open a request: its number, and what it asks.

        Raises:
            VerificationError, MalformedError: If it is none, or not newer than the last.
        """
        number = int.from_bytes(message[SessionId.size : HEAD_SIZE])
        raw = cipher.open(self.asking, _nonce(number), message[HEAD_SIZE:], message[:HEAD_SIZE])
        # One key and number seal one answer: a request that comes again gets none.
        if number <= self.count:
            raise VerificationError("this request was answered before")
        self.count = number
        return number, decode(raw, values=MAX_ASKED)

    def answer(self, number: int, answer: Value, cipher: Aead) -> bytes:
        """Seal the answer to request *number*."""
        return cipher.seal(self.answering, _nonce(number), encode(answer), b"")

    def answered(self, number: int, sealed: bytes, cipher: Aead, *, values: int) -> Any:
        """Open the answer to request *number*, of at most so many *values*.

        Raises:
            VerificationError, MalformedError: If it is not.
        """
        return decode(cipher.open(self.answering, _nonce(number), sealed, b""), values=values)


def welcome(greeting: Greeting, *, signer: Signer, kem: Kem, random: Random) -> tuple[Session, bytes]:
    """Answer a greeting that was checked: the session, and what to send back.

    Raises:
        MalformedError: If its key is not well formed.
    """
    kem.check(greeting.key)
    secret = LinkSecret.draw(random)
    box = kem.seal(greeting.key, framed(LABEL_ANSWER, greeting.said), secret, random)
    return Session.of(secret, greeting, greeting.sender), box + signer.sign(LABEL_ANSWER, framed(greeting.said, box))


def welcomed(greeting: Greeting, answer: bytes, private: PrivateKey, *, charter: Charter, kem: Kem) -> Session:
    """The session that a greeting and its answer make.

    Raises:
        VerificationError: If the answer is not of the operator that was greeted.
    """
    if len(answer) != BOX_OVERHEAD + LinkSecret.size + Signature.size:
        raise VerificationError(_NO_GREETING)
    box, signature = answer[: -Signature.size], Signature(answer[-Signature.size :])
    seat = charter.seats[charter.seat(greeting.receiver)]
    verify(seat.signing, LABEL_ANSWER, framed(greeting.said, box), signature)
    secret = LinkSecret(kem.open(private, framed(LABEL_ANSWER, greeting.said), box))
    return Session.of(secret, greeting, greeting.receiver)


def session_of(message: bytes) -> SessionId:
    """The session that a request names.

    Raises:
        MalformedError: If it is too short to be one.
    """
    if len(message) < HEAD_SIZE + TAG_SIZE:
        raise MalformedError("this is not a request of an operator")
    return SessionId(message[: SessionId.size])


def message_limit(charter: Charter) -> int:
    """How large a message between operators may be: a list of all rows, or a batch of them."""
    return 64 * 1024 + charter.numbers.capacity * ROW_COST + ROWS_AT_ONCE * (charter.numbers.packet + 16)


ROWS_AT_ONCE: Final = 1024  # rows that one request asks for


def _nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_SIZE)


_NO_GREETING: Final = "this is not a greeting of an operator"
