"""Envelopes: every byte accounted for, and every numbered reason for refusal (docs/spec/envelope.md)."""

from __future__ import annotations

import cbor2
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from backchannel.errors import RefusedError
from backchannel.kem import PrivateKey, PublicKey
from backchannel.keys import Digest
from backchannel.seal import envelope as envelopes
from backchannel.seal import ratchet
from backchannel.seal.envelope import Body, DamagedError, Header, HeaderKey, MessageKey, NoKeyError, Opening
from tests.peer import ratchet_peer as peer
from tests.peer.side_by_side import START, meet, stream, view
from tests.simulation.seeded_kem import SeededKem

KEM = SeededKem()
HK, MK = HeaderKey(b"h" * 32), MessageKey(b"m" * 32)
HEADER = Header(4, 2, 7, Opening(bytes(range(256)) * 4 + bytes(144), PublicKey(b"p" * 1216)))
BODY = Body(12, Digest(b"b" * 32), 9, Digest(b"s" * 32), b"an item")


def sealed(header: Header = HEADER, body: Body = BODY) -> bytes:
    return envelopes.seal(header, body, keys=(HK, MK), random=stream("envelope"))


def resealed(plain: bytes) -> bytes:
    """An envelope whose body's AEAD holds *plain*."""
    start = sealed()[:2472]
    key, commit = peer.KDF(peer.head(start), MK, peer.ENVELOPE + b"body", 2)
    start += commit
    return start + ChaCha20Poly1305(key).encrypt(bytes(12), plain, start)


def altered(envelope: bytes, at: int) -> bytes:
    return envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]


# --- §1, §2, §3


def test_what_is_sealed_opens() -> None:
    envelope = sealed()
    assert envelopes.open_header(envelope, [(3, HeaderKey(bytes(32))), (4, HK)]) == HEADER
    assert envelopes.open_body(envelope, MK) == BODY


class Recorder:
    """A generator that remembers what it gave."""

    def __init__(self, seed: object) -> None:
        self.random, self.given = stream(seed), list[bytes]()

    def __call__(self, size: int) -> bytes:
        self.given.append(self.random(size))
        return self.given[-1]


def test_every_byte_of_an_envelope_comes_from_the_generator_or_from_a_key() -> None:
    first, second = (desk.ours for desk in meet(0))
    first, envelope = ratchet.write(first, b"own", kem=KEM, random=stream(0), now=START)
    second = ratchet.read(second, envelope, kem=KEM, now=START).state
    drawn = Recorder(1)
    after, envelope = ratchet.write(second, b"an item", kem=KEM, random=drawn, now=START)
    private, x, encapsulation, seed = drawn.given
    assert [len(given) for given in drawn.given] == [96, 32, 1120, 32]

    # The keys of turn 2, from the state before and what was drawn.
    assert second.peer_public
    public = KEM.public(PrivateKey(private))
    info = peer.turn_info(second.transcript, 2, second.peer_public, public)
    box = KEM.seal(second.peer_public, info, x, lambda _: encapsulation)
    root, chain, following, _ = peer.KDF(second.root, x, peer.framed(peer.RATCHET + b"keys", info, box), 4)
    assert (after.root, after.next_header_key) == (root, following)
    _, message_key = peer.KDF(second.transcript, chain, peer.RATCHET + b"step", 2)

    # Bytes 0 to 31 are the generator's; the tag and the commitment are the
    # KDF's; all the rest is the output of an AEAD.
    header_key, tag = peer.KDF(seed, second.next_header_key, peer.ENVELOPE + b"head", 2)
    header = b"".join(number.to_bytes(8) for number in (2, 0, 0)) + box + public
    body = cbor2.dumps([1, second.chain[0], 1, second.claims[1], b"an item"])
    start = seed + tag[:16]
    start += ChaCha20Poly1305(header_key).encrypt(bytes(12), header, start)
    body_key, commit = peer.KDF(peer.head(start), message_key, peer.ENVELOPE + b"body", 2)
    start += commit
    assert envelope == start + ChaCha20Poly1305(body_key).encrypt(bytes(12), body, start)


def test_no_key_of_an_aead_ever_seals_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[bytes] = []

    def watched(key: bytes) -> ChaCha20Poly1305:
        used.append(key)
        return ChaCha20Poly1305(key)

    monkeypatch.setattr(envelopes, "ChaCha20Poly1305", watched)
    desks = list(meet(0))
    for number in range(60):
        who = number * number % 7 % 2
        state, envelope = ratchet.write(desks[who].ours, b"item", kem=KEM, random=stream(number), now=START)
        desks[who].ours = state
        count = len(used)
        desks[1 - who].ours = ratchet.read(desks[1 - who].ours, envelope, kem=KEM, now=START).state
        # Opening takes the two keys that sealing took, and they are no others'.
        assert used[count - 2 : count] == used[count:]
        del used[count:]
    assert len(used) == 2 * 60 == len(set(used))


def windows(data: bytes, size: int = 8) -> set[bytes]:
    return {data[at : at + size] for at in range(len(data) - size + 1)}


def test_two_envelopes_of_one_letter_share_nothing() -> None:
    text = b"The same words, twice. " * 200
    first, second = (desk.ours for desk in meet(0))
    seen: set[bytes] = set()
    for number in range(4):
        # In one turn, and in the next ones: the header repeats its KEM step under the AEAD only.
        first, envelope = ratchet.write(first, text, kem=KEM, random=stream(number), now=START)
        assert not seen & windows(envelope)
        seen |= windows(envelope)
        if number == 1:
            second = ratchet.read(second, envelope, kem=KEM, now=START).state
            second, answer = ratchet.write(second, text, kem=KEM, random=stream("answer"), now=START)
            assert not seen & windows(answer)
            seen |= windows(answer)
            first = ratchet.read(first, answer, kem=KEM, now=START).state


def test_an_envelope_names_nobody_and_repeats_no_key() -> None:
    first, _ = (desk.ours for desk in meet(0))
    first, envelope = ratchet.write(first, b"item", kem=KEM, random=stream(0), now=START)
    stored = view(first)
    for key in (stored["T"], stored["tx"]["ct"], stored["tx"]["pk"], *first.chain, *first.claims.values()):
        assert not windows(key) & windows(envelope)


# --- §4, §5


def test_the_envelope_of_an_empty_item_is_the_smallest() -> None:
    body = Body(1, BODY.before, 0, BODY.seen_chain, b"")
    assert len(sealed(body=body)) == envelopes.MIN_SIZE == 2592


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (0, DamagedError),
        (2591, DamagedError),
        (2592, NoKeyError),
        (44 * 1024 * 1024, NoKeyError),
        (44 * 1024 * 1024 + 1, DamagedError),
    ],
)
def test_refused_1_shorter_or_longer_than_an_envelope(size: int, error: type[RefusedError]) -> None:
    with pytest.raises(error):
        envelopes.open_header(bytes(size), [(4, HK)])


def test_refused_2_no_key_that_the_desk_holds_has_made_the_tag() -> None:
    for keys in ([], [(4, HeaderKey(bytes(32)))]):
        with pytest.raises(NoKeyError):
            envelopes.open_header(sealed(), keys)


@pytest.mark.parametrize("at", [0, 31, 32, 47])
def test_refused_2_another_random_string_or_tag(at: int) -> None:
    with pytest.raises(NoKeyError):
        envelopes.open_header(altered(sealed(), at), [(4, HK)])


@pytest.mark.parametrize("at", [48, 55, 2455, 2471])
def test_refused_3_the_header_does_not_open(at: int) -> None:
    with pytest.raises(DamagedError):
        envelopes.open_header(altered(sealed(), at), [(4, HK)])


def test_refused_3_the_header_names_another_turn_than_its_key() -> None:
    with pytest.raises(DamagedError):
        envelopes.open_header(sealed(), [(5, HK)])


@pytest.mark.parametrize("at", [2472, 2503])
def test_refused_4_the_commitment_is_not_that_of_the_message_key(at: int) -> None:
    with pytest.raises(DamagedError):
        envelopes.open_body(altered(sealed(), at), MK)


def test_refused_4_under_another_message_key_before_any_of_the_body_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelopes, "ChaCha20Poly1305", None)
    with pytest.raises(DamagedError):
        envelopes.open_body(bytes(2592), MK)


@pytest.mark.parametrize("at", [0, 48, 2471])
def test_refused_4_the_body_of_another_header(at: int) -> None:
    with pytest.raises(DamagedError):
        envelopes.open_body(altered(sealed(), at), MK)


@pytest.mark.parametrize("at", [2504, -17, -16, -1])
def test_refused_5_the_body_does_not_open(at: int) -> None:
    with pytest.raises(DamagedError):
        envelopes.open_body(altered(sealed(), at % len(sealed())), MK)


@pytest.mark.parametrize("cut", [1, 16, 17])
def test_refused_5_the_body_is_cut_short(cut: int) -> None:
    with pytest.raises(DamagedError):
        envelopes.open_body(sealed()[:-cut], MK)


GOOD = [12, b"b" * 32, 9, b"s" * 32, b"an item"]


@pytest.mark.parametrize(
    "value",
    [
        [0, *GOOD[1:]],
        [b"12", *GOOD[1:]],
        [12, b"b" * 31, *GOOD[2:]],
        [12, b"b" * 33, *GOOD[2:]],
        [12, "b" * 32, *GOOD[2:]],
        [*GOOD[:2], b"9", *GOOD[3:]],
        [*GOOD[:3], b"s" * 31, b"an item"],
        [*GOOD[:3], 5, b"an item"],
        [*GOOD[:4], "an item"],
        [*GOOD[:4], []],
        GOOD[:4],
        [*GOOD, b""],
        GOOD[4],
        12,
    ],
)
def test_refused_6_the_body_is_another_value(value: object) -> None:
    with pytest.raises(DamagedError):
        envelopes.open_body(resealed(cbor2.dumps(value)), MK)


@pytest.mark.parametrize("plain", [b"", b"\x85", cbor2.dumps(GOOD) + b"\0", cbor2.dumps(GOOD)[:-1]])
def test_refused_6_the_body_is_no_encoding(plain: bytes) -> None:
    with pytest.raises(DamagedError):
        envelopes.open_body(resealed(plain), MK)


def test_the_largest_numbers_that_a_body_can_hold_are_a_body() -> None:
    body = Body(2**64 - 1, BODY.before, 2**64 - 1, BODY.seen_chain, b"")
    assert envelopes.open_body(sealed(body=body), MK) == body


def test_every_failure_to_decrypt_has_one_message() -> None:
    def opened(envelope: bytes) -> None:
        envelopes.open_header(envelope, [(4, HK)])
        envelopes.open_body(envelope, MK)

    messages = set()
    for envelope in (bytes(2591), *(altered(sealed(), at) for at in (48, 2472, 2504)), resealed(b"".ljust(72))):
        with pytest.raises(DamagedError) as refused:
            opened(envelope)
        messages.add(refused.value.message)
    assert messages == {"this envelope does not open: it is damaged"}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([0, 32, 48, 2472, 2504, 2592]), st.booleans())
def test_any_bytes_into_reading_are_an_answer_or_a_refusal(noise: bytes, at: int, whole: bool) -> None:  # noqa: FBT001
    first, second = (desk.ours for desk in meet(0))
    _, envelope = ratchet.write(first, b"item", kem=KEM, random=stream(0), now=START)
    data = noise if whole else envelope[:at] + noise + envelope[at + len(noise) :]
    try:
        assert ratchet.read(second, data, kem=KEM, now=START).item == b"item"
    except (NoKeyError, DamagedError):
        assert data != envelope
