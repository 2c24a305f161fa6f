"""Ciphers that give away nothing, for everything under a key that a coalition has not.

The claim of docs/spec/round.md §5 is that what a coalition of operators sees
can be computed without a letter. Here is what "can be computed" rests on: each
primitive of the post office, replaced by what its security says it may be
taken for (the hybrid argument, its steps made all at once).

 * a box to a key outside the coalition is uniform bytes, and a table opens it
 * what an AEAD seals under a key outside is uniform bytes, and a table opens it;
   one key and nonce seal one plaintext, or the argument would not hold
 * a packet under a key outside is the noise whose first bytes are its nonce:
   so packet and dummy are not alike, but the same
 * the stream of a seed outside is a one-time pad: what it masks first is
   uniform whatever it was, and it agrees with itself ever after

Under a key, or seed, that the coalition has, each is the real one. What it has
is what it holds, made, or finds in a box that it can open: :class:`Known`
follows all of it. Uniform bytes come from a generator that is labelled by what
the holder of the key drew, and by nothing that is sealed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest import mock

from cryptography.exceptions import InvalidSignature

from backchannel import signing
from backchannel.encoding import framed
from backchannel.errors import MalformedError, VerificationError
from backchannel.kem import PrivateKey, PublicKey
from backchannel.keys import Random, derive, sha256
from backchannel.post import enrolment, link, packet
from backchannel.post import visit as visits
from backchannel.post.charter import Charter
from backchannel.post.ciphers import NONCE_SIZE, TAG_SIZE, Ciphers, PacketCipher, QueryStream, ReplyCipher
from backchannel.post.packet import RoundKeys
from backchannel.post.retrieval import SEED_SIZE
from backchannel.post.visit import ReplyKey, Visit
from tests.simulation.seeded_kem import ENCAPSULATION_SIZE, SeededKem

# A tray is larger than any message, and its channel is outside the claim.
LARGEST: Final = enrolment.CHARTER_ROOM + 1024
# What a coalition is told: the plaintext of what it opens and seals.
Told = Callable[[str, bytes], None]
Lie = Callable[[bytes], bytes]


def uniform(size: int, *label: object) -> bytes:
    """Bytes that stand for uniform ones, the same wherever the same is drawn."""
    return hashlib.shake_256(repr(label).encode()).digest(size)


class SeededMLDSA:
    """A stand-in for both halves of ML-DSA-65, which draws when it signs. NOT secure: what it signs, anybody could."""

    def __init__(self, public: bytes) -> None:
        self.public = public

    @classmethod
    def from_public_bytes(cls, public: bytes) -> SeededMLDSA:
        return cls(public)

    @classmethod
    def from_seed_bytes(cls, seed: bytes) -> SeededMLDSA:
        return cls(uniform(1952, "mldsa", seed))

    def public_key(self) -> SeededMLDSA:
        return self

    def public_bytes_raw(self) -> bytes:
        return self.public

    def sign(self, message: bytes) -> bytes:
        return uniform(3309, "mldsa", self.public, message)

    def verify(self, signature: bytes, message: bytes) -> None:
        if signature != self.sign(message):
            raise InvalidSignature


def seeded_signatures() -> AbstractContextManager[Any]:
    """Let a signature be the same in every run, so that a history replays: nothing that is signed is of a letter."""
    return mock.patch.multiple(signing, MLDSA65PrivateKey=SeededMLDSA, MLDSA65PublicKey=SeededMLDSA)


class Reused(AssertionError):  # noqa: N818 - what happened, and no proof covers it
    """One key and nonce for two plaintexts, or a key that was outside and then is not."""


@dataclass
class Known:
    """What a coalition has, and the tables that stand for what it has not."""

    told: Told
    charter: Charter | None = None
    publics: set[bytes] = field(default_factory=set)  # of KEM keys that it holds
    keys: set[bytes] = field(default_factory=set)  # of AEADs
    seeds: set[bytes] = field(default_factory=set)  # of queries
    boxes: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = field(default_factory=dict)
    sealed: dict[tuple[bytes, bytes], dict[tuple[bytes, bytes], bytes]] = field(default_factory=dict)
    used: set[bytes] = field(default_factory=set)  # keys outside that have sealed
    noise: dict[bytes, bytes] = field(default_factory=dict)
    pads: dict[bytes, bytes] = field(default_factory=dict)

    def learn(self, *keys: bytes) -> None:
        for key in keys:
            if key in self.used:
                raise Reused("a key that sealed something for others is the coalition's, too")
            self.keys.add(key)

    def learn_box(self, info: bytes, plaintext: bytes) -> None:
        """What follows from a box that the coalition opens or has sealed."""
        label = parts(info)[0]
        if label == visits.LABEL_VISIT:
            self._learn_visit(info, plaintext)
        elif label in enrolment.KINDS.values():
            key = ReplyKey(plaintext[-ReplyKey.size :])
            self.learn(*(enrolment._keys(kind, key)[0] for kind in enrolment.KINDS))
        elif label == link.LABEL_ANSWER:
            said = parts(info)[1]
            self.learn(*derive(sha256(link.LABEL_KEYS, said), plaintext, link.LABEL_KEYS, count=2))

    def _learn_visit(self, info: bytes, plaintext: bytes) -> None:
        """The seeds; the reply key; and every key that follows from it, were it shown to another operator as well."""
        assert self.charter is not None
        with contextlib.suppress(MalformedError):  # what the coalition seals need be no visit
            visit = Visit.decode(plaintext, self.charter, parts(info)[2].decode())
            self.seeds |= {share for share in visit.shares if len(share) == SEED_SIZE}
            for seat in self.charter.seats:
                self.learn(*visits._keys(visit, self.charter, seat.name))

    def learn_root(self, root: bytes, rounds: range) -> None:
        """A correspondent of the coalition's: the keys of the rows of one turn."""
        keys = RoundKeys.of(root)
        self.learn(*(keys.key(number) for number in rounds))

    def drawn(self, raw: bytes) -> bytes:
        """Note what somebody outside drew: it may become the noise of a packet."""
        if len(raw) > packet.OVERHEAD + packet.HEAD_SIZE:
            self.noise[raw[:NONCE_SIZE]] = raw
        return raw

    def once(self, key: bytes, nonce: bytes, associated: bytes, plaintext: bytes) -> None:
        """Note that something is sealed under a key outside."""
        self.used.add(key)
        before = self.sealed.setdefault((key, nonce), {})
        if before and (associated, plaintext) not in {(a, p) for (a, _), p in before.items()}:
            raise Reused("one key and nonce for two plaintexts")

    def open(self, key: bytes, nonce: bytes, associated: bytes, sealed: bytes) -> bytes:
        try:
            return self.sealed[key, nonce][associated, sealed]
        except KeyError:
            raise VerificationError("this does not open") from None

    def outside(self) -> Ciphers:
        """The ciphers of whoever is not of the coalition."""
        return Ciphers(IdealKem(self), IdealPackets(self), IdealReplies(self), IdealStream(self))

    def inside(self, lie: Lie = bytes) -> Ciphers:
        """The ciphers of the coalition, which say another thing where it lies."""
        return Ciphers(OwnKem(self), PacketCipher(), OwnReplies(self, lie), QueryStream())

    def rehearsal(self) -> Ciphers:
        """The ciphers of a porter that starts for the seeds alone."""
        return Ciphers(Rehearsal(self), PacketCipher(), ReplyCipher(), QueryStream())


class IdealKem(SeededKem):
    """Boxes to whoever is outside are uniform."""

    def __init__(self, known: Known) -> None:
        self.known = known

    def seal(self, public: bytes, info: bytes, plaintext: bytes, random: Random) -> bytes:
        if public in self.known.publics:
            self.known.learn_box(info, plaintext)
            return super().seal(public, info, plaintext, random)
        encapsulation = random(ENCAPSULATION_SIZE)
        box = encapsulation + uniform(len(plaintext) + TAG_SIZE, "kem", public, encapsulation)
        self.known.boxes[public, box] = info, plaintext
        return box

    def open(self, private: bytes, info: bytes, box: bytes) -> bytes:
        public = self.public(private)
        found = self.known.boxes.get((public, box))
        if found is None:
            return super().open(private, info, box)  # the coalition may seal to anybody
        if found[0] != info:
            raise VerificationError("this does not open")
        return found[1]


class OwnKem(SeededKem):
    """The coalition's own."""

    def __init__(self, known: Known) -> None:
        self.known = known

    def generate(self, random: Random) -> tuple[PrivateKey, PublicKey]:
        private, public = super().generate(random)
        self.known.publics.add(public)
        return private, public

    def seal(self, public: bytes, info: bytes, plaintext: bytes, random: Random) -> bytes:
        self.known.learn_box(info, plaintext)
        self.known.told("sealed", plaintext)
        return super().seal(public, info, plaintext, random)

    def open(self, private: bytes, info: bytes, box: bytes) -> bytes:
        plaintext = super().open(private, info, box)
        self.known.learn_box(info, plaintext)
        self.known.told("opened", framed(info, plaintext))
        return plaintext


@dataclass
class IdealReplies(ReplyCipher):
    """What honest operators say to porters."""

    known: Known

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        if key in self.known.keys or len(plaintext) > LARGEST:
            return super().seal(key, nonce, plaintext, associated)
        self.known.once(key, nonce, associated, plaintext)
        out = uniform(len(plaintext) + TAG_SIZE, "reply", key, nonce, associated)
        self.known.sealed[key, nonce][associated, out] = plaintext
        return out

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        if key in self.known.keys or len(sealed) > LARGEST:
            return super().open(key, nonce, sealed, associated)
        return self.known.open(key, nonce, associated, sealed)


@dataclass
class OwnReplies(ReplyCipher):
    """What the coalition's operators say, and hear over their links."""

    known: Known
    lie: Lie

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        self.known.told("said", plaintext)
        return super().seal(key, nonce, self.lie(plaintext), associated)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        plaintext = super().open(key, nonce, sealed, associated)
        self.known.told("heard", plaintext)
        return plaintext


@dataclass
class IdealPackets(PacketCipher):
    """What porters seal to each other."""

    known: Known

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        if key in self.known.keys:
            return super().seal(key, nonce, plaintext, associated)
        self.known.once(key, nonce, associated, plaintext)
        size = len(plaintext) + TAG_SIZE
        noise = self.known.noise.get(nonce, b"")[NONCE_SIZE:]
        out = noise if len(noise) == size else uniform(size, "packet", key, nonce)
        self.known.sealed[key, nonce][associated, out] = plaintext
        return out

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        if key in self.known.keys:
            return super().open(key, nonce, sealed, associated)
        return self.known.open(key, nonce, associated, sealed)


@dataclass
class IdealStream(QueryStream):
    """What hides a query: under a seed outside, whatever is masked first comes out uniform."""

    known: Known

    def apply(self, seed: bytes, data: bytes) -> bytes:
        if seed in self.known.seeds:
            return super().apply(seed, data)
        if seed not in self.known.pads:
            self.known.pads[seed] = xor(data, uniform(len(data), "stream", seed))
        return xor(data, self.known.pads[seed])


class Rehearsal(SeededKem):
    """Tells the seeds that a porter is going to send to the coalition, before it splits a query with them."""

    def __init__(self, known: Known) -> None:
        self.known = known

    def seal(self, public: bytes, info: bytes, plaintext: bytes, random: Random) -> bytes:
        if public in self.known.publics:
            self.known.learn_box(info, plaintext)
        return super().seal(public, info, plaintext, random)


def xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def parts(info: bytes) -> list[bytes]:
    """What was framed."""
    out, at = [], 0
    while at < len(info):
        size = int.from_bytes(info[at : at + 4])
        out.append(info[at + 4 : at + 4 + size])
        at += 4 + size
    return out
