"""The service: what an operator answers on the network, and what it does not.

It speaks as much HTTP as a porter does: one POST with a length, one answer, and
the connection is closed. Whatever else comes is closed without a byte, so there
are no pages of errors that say what runs here; every answer has the same head.
This is done on the bare protocol of asyncio because of a server's comforts
nothing would be left: pages, dates, names, keep-alive, upgrades and bodies of
unknown length each had to be taken out.

A stranger costs a bounded amount of memory and time. When there are more
connections than there is room for, those go first that have not said what they
want, oldest first, then refused visits that wait for their instant; or these
first, where they have taken half of the room, so that what has still to be said
has always the other half. The first and right visits of a round, at most one a
mailbox, are never among them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from backchannel.errors import UnavailableError
from backchannel.post import enrolment, link
from backchannel.post import visit as visits
from backchannel.post.rounds import Operator, Replying

HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
)

# Implementation constants.
MAX_FIELDS: Final = 64
LINK_LIMIT: Final = 256 * 1024  # bytes of a request of another operator; tickets to lodge take most
BACKLOG: Final = 256
SPARE_FILES: Final = 128 + 2 * BACKLOG  # file descriptors that are not for connections

_REQUEST: Final = re.compile(rb"POST (/[\x21-\x7e]{0,300}) HTTP/1\.1")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_LENGTH: Final = re.compile(rb"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What strangers may cost."""

    connections: int = 16_384  # less where the system allows fewer files
    head: int = 8 * 1024  # bytes
    head_time: float = 10.0  # seconds from connecting to the end of the head
    body_time: float = 30.0  # and from there to the end of the body
    reply_time: float = 60.0  # and from the answer's instant until it is taken
    buffered: int = 256 * 1024 * 1024  # bytes of requests that are not complete
    waiting: int = 256 * 1024 * 1024  # bytes of answers to refused visits, until their instant


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a request says that matters."""

    path: str
    length: int

    @classmethod
    def parse(cls, raw: bytes) -> Head | None:
        """Parse a head without its empty line; None if it is not one that is answered."""
        first, *lines = raw.split(b"\r\n")
        request = _REQUEST.fullmatch(first)
        fields = [_FIELD.fullmatch(line) for line in lines]
        if request is None or len(fields) > MAX_FIELDS:
            return None
        said: dict[bytes, list[bytes]] = {}
        for field in fields:
            if field is None:
                return None
            said.setdefault(field[1].lower(), []).append(field[2].rstrip())
        lengths = said.get(b"content-length", [])
        # Of two ways to say a length, a proxy in front might believe the other.
        if len(said.get(b"host", [])) != 1 or len(lengths) != 1 or said.keys() & _NEVER:
            return None
        if not _LENGTH.fullmatch(lengths[0]):
            return None
        return cls(request[1].decode("ascii"), int(lengths[0]))


class Service:
    """An operator's machine on the network."""

    def __init__(
        self, machine: Operator, now: Callable[[], int], *, say: Callable[[str], None], limits: Limits | None = None
    ) -> None:
        self.machine = machine
        self.now = now
        self.limits = limits or Limits()
        self.buffered = 0
        self.waiting = 0
        self._say = say
        self._said: tuple[str, int] | None = None  # the last complaint, and the round that it was made in
        self._room = min(self.limits.connections, _files() - SPARE_FILES)
        # Each in the order in which they came.
        self.unfinished: dict[Connection, None] = {}
        self.refused: dict[Connection, None] = {}
        self.heard: dict[Connection, None] = {}

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Answer on *host* and *port*."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.create_server(lambda: Connection(self), host, port, backlog=BACKLOG)
        except OSError as error:
            reason = (error.strerror or "it failed").lower()
            raise UnavailableError(f"cannot listen on {address(host, port)}: {reason}") from None

    def close(self) -> None:
        """Drop every connection."""
        for connection in [*self.unfinished, *self.refused, *self.heard]:
            connection.drop()

    def admit(self) -> bool:
        """Make room for one connection more, if there can be."""
        while len(self.unfinished) + len(self.refused) + len(self.heard) >= self._room:
            if not self._drop_oldest():
                return False
        return True

    def store(self, connection: Connection, size: int) -> bool:
        """Count bytes of a request that is not complete, and drop the oldest where they are too many."""
        self.buffered += size
        while self.buffered > self.limits.buffered and self.unfinished:
            next(iter(self.unfinished)).drop()
        return connection in self.unfinished

    def keep(self, connection: Connection, size: int) -> bool:
        """Count bytes of an answer to a refused visit, and drop the oldest where they are too many."""
        self.waiting += size
        while self.waiting > self.limits.waiting and self.refused:
            next(iter(self.refused)).drop()
        return connection in self.refused

    def kind(self, head: Head) -> str | None:
        """What a request with this head can be; None if nothing."""
        prefix, _, kind = head.path.rpartition("/")
        # A proxy in front may pass the charter's path on, or leave it out.
        if prefix and prefix not in self._prefixes():
            return None
        if kind == "visit":
            return kind if head.length in self._visits() else None
        if kind in enrolment.KINDS:
            return kind if head.length == enrolment.REQUEST_SIZE else None
        limit = {"greeting": link.GREETING_LIMIT, "link": LINK_LIMIT}.get(kind, 0)
        return kind if 0 < head.length <= limit else None

    def answer(self, kind: str, body: bytes) -> Replying | None:
        """The answer to a request, and when it leaves; None for none."""
        now = self.now()
        try:
            if kind == "visit":
                return self.machine.visit(body, now)
            if kind == "greeting":
                said = self.machine.greeted(body)
            elif kind == "link":
                said = self.machine.serve(body, now)
            else:
                said = self.machine.ask(kind, body, now)
        except UnavailableError as error:
            # The disk is full, for instance: nothing was committed, so nothing is said.
            self._complain(error.message)
            return None
        return None if said is None else Replying(said, now)

    def _complain(self, line: str) -> None:
        """Say what is wrong once a round, however often strangers come upon it."""
        now = self.now()
        said = line, self.machine.charter_at(now).round_at(now)
        if said != self._said:
            self._said = said
            self._say(line)

    def _drop_oldest(self) -> bool:
        many = len(self.refused) > self._room // 2
        for connections in (self.refused, self.unfinished) if many else (self.unfinished, self.refused):
            oldest = next(iter(connections), None)
            if oldest is not None:
                oldest.drop()
                return True
        return False

    def _prefixes(self) -> set[str]:
        seats = [seat for signed in self.machine.charters for seat in signed.charter.seats]
        return {urlsplit(seat.url).path.rstrip("/") for seat in seats if seat.name == self.machine.name}

    def _visits(self) -> set[int]:
        """The two sizes that a visit of this round has."""
        charter = self.machine.charter_at(self.now())
        number = charter.round_at(self.now())
        if all(seat.name != self.machine.name for seat in charter.seats) or number < charter.numbers.first:
            return set()
        me = charter.seat(self.machine.name)
        return {visits.request_size(charter, number, me, more=more) for more in (False, True)}


class Connection(asyncio.Protocol):
    """One connection: a head, a body, perhaps an answer, and nothing after it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received = bytearray()
        self._kind = ""
        self._length = 0
        self._complete = False
        self._kept = 0  # bytes of an answer to a refused visit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._service.admit():
            self.drop()
            return
        self._service.unfinished[self] = None
        self._within(self._service.limits.head_time)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._complete:
            self.drop()
            return
        self._received += data
        # It may be this one that is dropped for what it takes.
        if not self._service.store(self, len(data)) or not (self._kind or self._take_head()):
            return
        if len(self._received) > self._length:
            self.drop()
        elif len(self._received) == self._length:
            self._take_body()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.drop()

    def drop(self) -> None:
        """Close without a byte more, and forget."""
        transport, self._transport = self._transport, None
        self._forget()
        if self._timer is not None:
            self._timer.cancel()
        if transport is not None:
            transport.abort()

    def _take_head(self) -> bool:
        """Whether the head is there, and one that is answered."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or end > self._service.limits.head:
            # Nothing that does not begin as a right one is waited for.
            if end > 0 or len(self._received) > self._service.limits.head or not _may_begin(self._received):
                self.drop()
            return False
        head = Head.parse(bytes(self._received[:end]))
        kind = self._service.kind(head) if head else None
        if head is None or kind is None:
            self.drop()
            return False
        self._kind, self._length = kind, head.length
        del self._received[: end + 4]
        self._service.store(self, -end - 4)
        self._within(self._service.limits.body_time)
        return True

    def _take_body(self) -> None:
        body = bytes(self._received)
        self._complete = True
        self._forget()
        reply = self._service.answer(self._kind, body)
        if reply is None:
            self.drop()
            return
        if reply.accepted:
            self._service.heard[self] = None
        else:
            self._service.refused[self] = None
            self._kept = len(reply.body)
            if not self._service.keep(self, self._kept):
                return
        delay = max(0, reply.instant - self._service.now()) / 1000
        self._set(delay, lambda: self._send(reply.body))

    def _send(self, body: bytes) -> None:
        if self._transport is not None:
            self._within(self._service.limits.reply_time)
            self._transport.write(HEAD % len(body) + body)
            self._transport.close()

    def _forget(self) -> None:
        self._service.buffered -= len(self._received)
        self._service.waiting -= self._kept
        self._received, self._kept = bytearray(), 0
        for connections in (self._service.unfinished, self._service.refused, self._service.heard):
            connections.pop(self, None)

    def _within(self, seconds: float) -> None:
        self._set(seconds, self.drop)

    def _set(self, seconds: float, what: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, what)


def address(host: str, port: int) -> str:
    """An address as it is written: the colons of IPv6 are not the port's."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _may_begin(received: bytearray) -> bool:
    return received.startswith(b"POST /"[: len(received)])


def _files() -> int:
    """How many files this process may have open, after asking for as many as it can have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1 << 16
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    return max(resource.getrlimit(resource.RLIMIT_NOFILE)[0], SPARE_FILES + 16)


_NEVER: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
