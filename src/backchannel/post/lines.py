"""A line: one generation of keys with one correspondent, as the porter has it.

It joins the keys of packets to the streams of envelopes: what is laid into the
row of a round, and what a row that was read adds. A root carries one way only:
packets to somebody are sealed under a root of *their* turns (docs/spec/packet.md §3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from backchannel.encoding import decode, encode
from backchannel.errors import MalformedError, VerificationError
from backchannel.keys import Digest
from backchannel.post import packet
from backchannel.post.ciphers import Aead
from backchannel.post.packet import Content, RoundKeys, Where
from backchannel.post.transfer import Incoming, Outgoing
from backchannel.post.tray import LineName, LineTerms

# Specification constant (docs/spec/transfer.md §4).
MAX_QUEUED: Final = 1024 * 1024  # bytes of envelopes to one correspondent


@dataclass(frozen=True, slots=True)
class Line:
    """What the porter keeps of one correspondent."""

    name: LineName
    mailbox: int
    place: int
    their_place: int
    sending: int
    reading: tuple[int, ...]
    roots: dict[int, RoundKeys] = field(default_factory=dict)
    out: Outgoing = field(default_factory=Outgoing)
    coming: Incoming = field(default_factory=Incoming)
    heard: int = 0  # one more than the last round whose row of theirs opened

    @classmethod
    def new(cls, terms: LineTerms) -> Self:
        return cls(terms.name, terms.mailbox, terms.place, terms.their_place, terms.sending, terms.reading)

    def agreed(self, terms: LineTerms, *, since: int) -> Line:
        """The line as the desk says it stands now; roots are kept from round *since* on.

        A root that is here already stays as it is: its past is erased. Where
        they have moved, another porter is theirs, and both streams begin anew.
        """
        roots = {turn: RoundKeys.of(root).since(since) for turn, root in terms.roots} | self.roots
        kept = {turn: keys for turn, keys in roots.items() if turn == terms.sending or turn in terms.reading}
        stays = self.mailbox == terms.mailbox
        return replace(
            self,
            out=self.out if stays else Outgoing(),
            coming=self.coming if stays else Incoming(),
            mailbox=terms.mailbox,
            place=terms.place,
            their_place=terms.their_place,
            sending=terms.sending,
            reading=terms.reading,
            roots=kept,
        )

    def packet(
        self, number: int, noise: bytes, *, where: Where, envelope: Callable[[Digest], bytes], cipher: Aead
    ) -> tuple[Line, bytes]:
        """The row for round *number*, and the line without that round's key; a dummy where there is no root."""
        keys = self.roots.get(self.sending)
        if keys is None:
            return self, noise
        try:
            key = keys.key(number)
        except VerificationError:
            return self, noise  # a clock that went back: the key of that round is gone
        chosen = self.out.choose()
        fragment = None if chosen is None else self.out.cut(chosen, envelope=envelope)
        content = Content(self.coming.base, self.coming.bitmap, fragment)
        row = packet.seal(content, key, noise, where=where, cipher=cipher)
        out = self.out if chosen is None else self.out.noted(chosen)
        return replace(self, out=out, roots=self.roots | {self.sending: keys.since(number + 1)}), row

    def read(
        self, row: bytes, number: int, *, where: Where, cipher: Aead
    ) -> tuple[Line, tuple[Digest, ...], tuple[bytes, ...]]:
        """Read the row of round *number* of the other's mailbox: the line, what has arrived there, what came whole.

        Raises:
            VerificationError: If it is no packet for this line.
            MalformedError: If it is one, and its writer made it wrong.
        """
        for turn in self.reading:
            try:
                content = packet.open(row, self.roots[turn].key(number), where=where, cipher=cipher)
            except (KeyError, VerificationError):
                continue
            out, arrived = self.out.acknowledged(content.base, content.bitmap)
            coming, whole = (self.coming, ()) if content.fragment is None else self.coming.take(content.fragment)
            return replace(self, out=out, coming=coming, heard=number + 1), arrived, whole
        raise VerificationError("this row is no packet for this line")

    def forgotten(self, before: int) -> Line:
        """The line without the keys of rounds before *before*, which nobody will read again."""
        roots = {turn: keys if turn == self.sending else keys.since(before) for turn, keys in self.roots.items()}
        return replace(self, roots=roots)

    def encode(self) -> bytes:
        roots = tuple((turn + 1, keys.encode()) for turn, keys in self.roots.items())
        return encode((
            self.name,
            self.mailbox,
            self.place,
            self.their_place,
            self.sending + 1,
            tuple(turn + 1 for turn in self.reading),
            roots,
            self.out.value(),
            self.coming.value(),
            self.heard,
        ))  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode what :meth:`encode` wrote.

        Raises:
            MalformedError: If *data* is anything else.
        """
        value: Any = decode(data)
        try:
            name, mailbox, place, theirs, sending, reading, roots, out, coming, heard = value
            return cls(
                LineName(name),
                mailbox,
                place,
                theirs,
                sending - 1,
                tuple(turn - 1 for turn in reading),
                {turn - 1: RoundKeys.decode(nodes) for turn, nodes in roots},
                Outgoing.of(out),
                Incoming.of(coming),
                heard,
            )
        except (TypeError, ValueError):
            raise MalformedError("a porter's line does not parse") from None
