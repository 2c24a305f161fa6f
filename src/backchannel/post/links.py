"""Links: the sessions of one operator with the others (post/link.py), and whose clock says what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from backchannel.encoding import Value
from backchannel.errors import MalformedError, VerificationError
from backchannel.kem import PrivateKey
from backchannel.keys import Random
from backchannel.post import link
from backchannel.post.charters import Charters
from backchannel.post.ciphers import Ciphers
from backchannel.post.link import Greeting, Session, SessionId

SESSIONS: Final = 4  # that another operator may have here at once


class Links:
    """Sessions by which this operator asks, and by which it is asked."""

    def __init__(self, charters: Charters, ciphers: Ciphers, random: Random) -> None:
        self._charters = charters
        self._ciphers = ciphers
        self._random = random
        self._asking: dict[str, Session] = {}
        self._asked: dict[SessionId, Session] = {}
        self.clocks: dict[str, int] = {}  # ms that each other's clock was ahead of this one's

    def greet(self, peer: str) -> tuple[Greeting, PrivateKey]:
        """A greeting for another operator, and what opens its answer."""
        charter = self._charters.with_peer(peer)
        seat = self._charters.seat(charter)
        assert seat is not None  # with_peer gives none other
        private, public = self._ciphers.kem.generate(self._random)
        return Greeting.make(charter, seat.name, peer, key=public, signer=seat.signer), private

    def greeted(self, raw: bytes) -> bytes | None:
        """Answer a greeting; None if it is none of an operator of this office."""
        try:
            greeting = Greeting.decode(raw)
            charter = next((s.charter for s in self._charters.all if s.charter.digest == greeting.charter), None)
            seat = self._charters.seat(charter) if charter is not None else None
            if charter is None or seat is None:
                return None
            greeting.check(charter, seat.name)
            session, answer = link.welcome(greeting, signer=seat.signer, kem=self._ciphers.kem, random=self._random)
        except (MalformedError, VerificationError):
            return None
        # Who replays a greeting must not put keys that nobody has in the place of a session in use.
        if session.id in self._asked:
            return None
        # A peer that is started again greets again; what it does not use any more is forgotten.
        theirs = [name for name, each in self._asked.items() if each.peer == session.peer]
        for name in theirs[: max(0, len(theirs) - SESSIONS + 1)]:
            del self._asked[name]
        self._asked[session.id] = session
        return answer

    def welcomed(self, greeting: Greeting, answer: bytes, private: PrivateKey) -> None:
        """Take the answer to a greeting.

        Raises:
            VerificationError: If it is none.
        """
        charter = next(s.charter for s in self._charters.all if s.charter.digest == greeting.charter)
        session = link.welcomed(greeting, answer, private, charter=charter, kem=self._ciphers.kem)
        self._asking[greeting.receiver] = session

    def linked(self, peer: str) -> bool:
        return peer in self._asking

    def unlink(self, peer: str) -> None:
        """Greet *peer* anew before the next request: it was started again, or its answers do not open."""
        self._asking.pop(peer, None)

    def request(self, peer: str, request: Value) -> tuple[int, bytes]:
        """Seal a request to *peer*: its number, and the message."""
        session = self._asking[peer]
        message = session.ask(request, self._ciphers.replies)
        return session.count, message

    def reply(self, peer: str, number: int, sealed: bytes, now: int) -> Any:
        """Open the answer to a request.

        Raises:
            VerificationError, MalformedError: If it is none.
        """
        # A list has three values a row, and is the longest answer there is.
        values = 3 * self._charters.newest.numbers.capacity + link.MAX_ASKED
        match self._asking[peer].answered(number, sealed, self._ciphers.replies, values=values):
            case (int(time), value):
                self.clocks[peer] = time - now
                return value
        raise MalformedError("this is no answer of an operator")

    def serve(self, message: bytes, now: int, answer: Callable[[str, Any], Value]) -> bytes | None:
        """Answer a sealed request of another operator by *answer*; None if it is none."""
        try:
            session = self._asked[link.session_of(message)]
            number, request = session.asked(message, self._ciphers.replies)
        except (KeyError, MalformedError, VerificationError):
            return None
        # Sessions that are used are the last to be given up.
        self._asked[session.id] = self._asked.pop(session.id)
        return session.answer(number, (now, answer(session.peer, request)), self._ciphers.replies)
