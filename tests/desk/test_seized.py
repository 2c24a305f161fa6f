"""A desk in the hands of somebody else: unlocked, with all that it stores; or locked, on its disk, at any moment."""

import base64
import hmac
import itertools
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from backchannel import pouch as pouches
from backchannel.desk import records
from backchannel.desk.records import Stage
from backchannel.encoding import framed
from backchannel.errors import MalformedError, VerificationError
from backchannel.kem import PrivateKey, XWing
from backchannel.keys import derive
from backchannel.letters import Letter, pack, unpack
from backchannel.pouch import ForeignPouchError
from backchannel.seal import envelope as envelopes
from backchannel.seal import ratchet
from backchannel.seal.envelope import MessageKey
from backchannel.seal.state import State
from tests.desk.small import PASSPHRASE, STEP
from tests.desk.two_desks import ANNA, MIKHAIL, Bodies, Side, Two, prose, two_desks
from tests.simulation.crash import recording

PAGE = 4096
FORWARD = 3  # how far a chain found in a dump is followed

# Random, so that compressing it leaves nothing that stands in another letter too.
SECRET = base64.b32encode(bytes((n * n * 7 + n * 13) % 251 for n in range(150))).decode()


# Seized unlocked.


def attack(envelope: bytes, dump: Bodies) -> bytes | None:
    """Try everything in *dump* on *envelope*: the item in it, if it opens."""
    return attack_all([envelope], dump)[0]


def attack_all(sealed: list[bytes], dump: Bodies) -> list[bytes | None]:
    """Every state in *dump* as it stands, and with the private key that it no longer has, should that be anywhere;
    every run of 32 bytes as message key, and as a chain to be followed.
    """
    states = [state for body in dump.values() if (state := a_state(body)) is not None]
    states += [state for old in states for state in with_private_key(old, dump)]
    keys = message_keys(dump, {bytes(state.transcript) for state in states})
    return [next(filter(None, (*(read(state, one) for state in states), opened(one, keys))), None) for one in sealed]


def message_keys(dump: Bodies, transcripts: set[bytes]) -> set[bytes]:
    keys = runs(dump.values(), 32)
    # An envelope in the tray is random to its last byte, and no chain.
    chains = runs((body for (room, _), body in dump.items() if room != records.TRAY), 32)
    for salt in transcripts:
        following = chains
        for _ in range(FORWARD):
            pairs = {step(salt, chain) for chain in following}
            following, found = {chain for chain, _ in pairs}, {key for _, key in pairs}
            keys |= found
    return keys


def with_private_key(state: State, dump: Bodies) -> Iterator[State]:
    if state.private is None and state.tx is not None:
        for key in runs((dump[name] for name in dump if name[0] in (records.KEYS, records.CARDS)), 96):
            # Its last 32 bytes are the X25519 key: that half tells, at a tenth of the cost.
            half = X25519PrivateKey.from_private_bytes(key[-32:]).public_key().public_bytes_raw()
            if half == state.tx.opening.public[-32:]:
                yield replace(state, private=PrivateKey(key))


def opened(envelope: bytes, keys: Iterable[bytes]) -> bytes | None:
    key = next((key for key in keys if opens(envelope, key)), None)
    return None if key is None else envelopes.open_body(envelope, MessageKey(key)).item


def runs(parts: Iterable[bytes], size: int) -> set[bytes]:
    return {part[at : at + size] for part in parts for at in range(len(part) - size + 1)}


def a_state(body: bytes) -> State | None:
    try:
        return State.decode(body)
    except MalformedError:
        return None


def read(state: State, envelope: bytes) -> bytes | None:
    try:
        return ratchet.read(state, envelope, kem=XWing(), now=0).item
    except VerificationError:
        return None


# HKDF-SHA-512 to 64 bytes by hand: keys.derive makes an object for each, and here are a million.


def step(salt: bytes, chain: bytes) -> tuple[bytes, bytes]:
    out = expand(hmac.digest(salt, chain, "sha512"), ratchet.LABEL_STEP)
    return out[:32], out[32:]


def opens(envelope: bytes, key: bytes) -> bool:
    out = expand(hmac.digest(envelopes.head(envelope), key, "sha512"), envelopes.LABEL_BODY)
    return out[32:] == envelope[envelopes.COMMIT]


def expand(key: bytes, info: bytes) -> bytes:
    return hmac.digest(key, info + b"\1", "sha512")


def test_the_attackers_arithmetic_is_the_ratchets() -> None:
    salt, chain = bytes(range(32)), bytes(range(32, 64))
    assert [*step(salt, chain)] == derive(salt, chain, ratchet.LABEL_STEP, count=2)


def secret_of(item: bytes | None) -> bool:
    letter = unpack(item) if item is not None else None
    return isinstance(letter, Letter) and any(SECRET in text for text in letter.texts[0].paragraphs)


def test_the_attack_opens_what_can_be_opened(tmp_path: Path) -> None:
    # Without this, an attack that never opens anything would prove nothing.
    with two_desks(tmp_path) as (anna, mikhail):
        one = anna.envelope(anna.write(prose("the first")).number)
        two = anna.envelope(anna.write(prose(SECRET)).number)
        three = anna.envelope(anna.write(prose("the third")).number)
        assert secret_of(attack(two, mikhail.bodies()))  # not yet read: its turn is still closed
        pouch = anna.pack()
        mikhail.unpack(pouches.pack([one], ratchet.carrying_key(anna.state), anna.random))
        assert secret_of(attack(two, mikhail.bodies()))  # its chain is there
        dump = mikhail.bodies()
        bare = {name: bytes(body) for name, body in dump.items() if name[0] != records.KEYS}
        state = mikhail.state
        found = next(iter(state.rx.values())).chain
        assert found is not None
        bare["odd", b""] = b"x" * 7 + bytes(found) + b"y" * 9
        bare["keys", b"other"] = anna.desk.keys(anna.person).encode()  # for its transcript alone
        assert secret_of(attack(two, bare))
        mikhail.unpack(pouches.pack([three], ratchet.carrying_key(anna.state), anna.random))
        assert secret_of(attack(two, mikhail.bodies()))  # skipped, its key kept
        mikhail.unpack(pouch)
        assert attack(two, mikhail.bodies()) is None


def opened_by_any(pouch: bytes, keys: Iterable[bytes]) -> tuple[bytes, ...] | None:
    try:
        return pouches.unpack(pouch, keys).envelopes
    except ForeignPouchError:
        return None


def test_a_letter_that_came_and_was_destroyed_does_not_open_again(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        envelope = anna.envelope(anna.write(prose(SECRET)).number)
        mikhail.receive(anna.pack())
        mikhail.destroy(1)
        assert attack(envelope, mikhail.bodies()) is None
        assert not holds_any(mikhail.bodies(), envelope)
        # Nor later, when more has been written in the same turn and in others.
        anna.write(prose("the second"))
        mikhail.receive(anna.pack())
        mikhail.write(prose("an answer"))
        anna.receive(mikhail.pack())
        assert attack(envelope, mikhail.bodies()) is None


def test_a_letter_that_was_sent_and_destroyed_does_not_open_again(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        for number, writer in enumerate((anna, mikhail)):
            entry = writer.write(prose(SECRET))
            envelope, packed = writer.envelope(entry.number), pack(writer.desk.letter(entry))
            pouch = writer.pack()
            writer.destroy(entry.number, line=number == 0)
            dump = writer.bodies()
            assert attack(envelope, dump) is None
            assert not holds_any(dump, envelope)
            assert not holds_any(dump, packed)
            assert not any(SECRET.encode() in body for body in dump.values())
            assert opened_by_any(pouch, runs(dump.values(), 32)) is not None  # a courier's copy is of no more use
            reader = mikhail if writer is anna else anna
            reader.receive(pouch)


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
def test_letters_of_before_the_seizure_stay_closed_though_nothing_was_destroyed(tmp_path: Path, every: int) -> None:
    with two_desks(tmp_path) as two:
        anna, mikhail = two
        recorded = [sealed(writer, f"letter {n} {SECRET}") for n, writer in enumerate((anna, mikhail, anna, anna))]
        for reader, writer in ((mikhail, anna), (anna, mikhail)):
            reader.receive(writer.pack())
        recorded += [sealed(anna, SECRET), sealed(mikhail, SECRET)]
        for reader, writer in ((anna, mikhail), (mikhail, anna)):
            reader.receive(writer.pack())
        two.meet_again().compare()
        for side in (mikhail, anna)[: 1 if every > 1 else 2]:
            dump = {name: body for name, body in side.bodies().items() if name[0] != records.TEXTS}
            assert set(attack_all(recorded[::every], dump)) == {None}


def sealed(writer: Side, text: str) -> bytes:
    return writer.envelope(writer.write(prose(text)).number)


def test_a_recalled_letter_does_not_open_at_either_desk_once_its_draft_is_gone(tmp_path: Path) -> None:
    with two_desks(tmp_path) as (anna, mikhail):
        entry = anna.write(prose(SECRET))
        envelope = anna.envelope(entry.number)
        draft = anna.recall(entry.number)
        anna.desk.commit({(records.DRAFTS, records.number_name(draft)): None})
        assert attack(envelope, anna.bodies()) is None
        assert not any(SECRET.encode() in body for body in anna.bodies().values())
        assert anna.desk.entry(entry.number).stage is Stage.RECALLED
        # The other desk could open it, had it ever left.
        assert secret_of(attack(envelope, mikhail.bodies()))


# The disk under it: every page decrypted, those that hold nothing as well.


def pages(side: Side) -> Iterator[bytes]:
    """The pages of the database as plain text, by hand: AES-256-CBC, its IV behind each page's content."""
    (key,) = derive(b"", side.desk.store._key, framed(b"backchannel/v1/desk/database"), count=1)
    data = (side.folder / "desk.db").read_bytes()
    for at in range(0, len(data), PAGE):
        page = data[at : at + PAGE]
        start, iv = 16 if at == 0 else 0, page[PAGE - 80 : PAGE - 64]
        yield Cipher(AES(key), CBC(iv)).decryptor().update(page[start : PAGE - 80])


def holds_any(dump: Bodies | bytes, secret: bytes, size: int = 16) -> bool:
    """Whether any run of *secret* stands anywhere; the first bytes are alike in all letters."""
    whole = dump if isinstance(dump, bytes) else b"\0".join(dump.values())
    return any(secret[at : at + size] in whole for at in range(24, len(secret) - size, 5))


@pytest.mark.parametrize("line", [True, False])
def test_no_page_of_the_database_keeps_a_destroyed_letter(tmp_path: Path, line: bool) -> None:  # noqa: FBT001
    with two_desks(tmp_path) as (anna, mikhail):
        draft = anna.save(prose(SECRET + " " + "and more, over many pages. " * 600 + SECRET[::-1]))
        assert SECRET.encode() in b"".join(pages(anna))
        assert b"CREATE TABLE" in next(pages(anna))
        entry = anna.send(draft)
        envelope, packed = anna.envelope(entry.number), pack(anna.desk.letter(entry))
        for each in (envelope, packed):
            assert holds_any(b"".join(pages(anna)), each)
        mikhail.receive(anna.pack())
        assert holds_any(b"".join(pages(mikhail)), packed)
        for side in (anna, mikhail):
            side.destroy(1, line=line)
            plain = b"".join(pages(side))
            assert SECRET.encode() not in plain
            assert SECRET[::-1].encode() not in plain
            assert b"over many pages" not in plain
            assert not holds_any(plain, packed)
            assert not holds_any(plain, envelope)
        names = {path.name for side in (anna, mikhail) for path in side.folder.iterdir()}
        assert names == {"desk.db", "desk.db-journal", "desk.head"}
        assert all((side.folder / "desk.db-journal").stat().st_size == 0 for side in (anna, mikhail))


# Seized locked, at any moment: nothing is readable, and little is to be counted.


def forms(secret: str) -> set[bytes]:
    """A text as somebody might look for it."""
    raw = secret.encode()
    found = {
        raw,
        secret.encode("utf-16-le"),
        secret.encode("utf-16-be"),
        raw.hex().encode(),
        raw.hex().upper().encode(),
    }
    # Wherever in its groups of three it begins: what depends on its neighbours is cut off.
    found |= {base64.b64encode(bytes(before) + raw)[4 if before else 0 : -4] for before in range(3)}
    return {form for form in found if len(form) > 5}  # shorter ones stand anywhere by chance


def history(two: Two) -> Iterator[str]:
    """All that is done at two desks; between any two steps somebody may look."""
    anna, mikhail = two
    card = anna.card()
    yield "card"
    answer = mikhail.answer(card)
    anna.introduced(answer)
    yield "meet"
    two.compare()
    draft = anna.save(prose(f"{SECRET} to be sent"))
    yield "write"
    number = anna.send(draft).number
    yield "send"
    anna.recall(number)
    yield "recall"
    anna.send(1)
    mikhail.receive(anna.pack())
    yield "unpack"
    mikhail.write(prose(f"{SECRET} an answer"))
    anna.receive(mikhail.pack())
    yield "answer"
    anna.destroy(3)
    mikhail.destroy(1, line=False)
    yield "destroy"
    two.meet_again().compare()
    anna.write(prose(f"{SECRET} again"))
    mikhail.receive(anna.pack())
    yield "meet again"


def test_nothing_is_readable_in_any_write_nor_in_any_file_at_any_moment(tmp_path: Path) -> None:
    names = [ANNA, MIKHAIL, "Reuter", PASSPHRASE, SECRET, "an answer", "in the tray", "received"]
    looked_for = set(itertools.chain.from_iterable(map(forms, names)))
    looked_for |= {room.encode() for room in ("letters", "envelopes", "people")} | {b"SQLite format 3"}
    seen: list[bytes] = []
    sizes: set[tuple[str, int]] = set()
    modes: set[tuple[str, int]] = set()

    def look() -> None:
        for path in tmp_path.rglob("*"):
            name = str(path.relative_to(tmp_path))
            modes.add(("folder" if path.is_dir() else "file", stat.S_IMODE(path.stat().st_mode)))
            if path.is_file():
                data = path.read_bytes()
                sizes.add((name, len(data)))
                seen.append(data)
                assert not any(form in data for form in looked_for), name

    envelopes_: set[bytes] = set()
    with recording(tmp_path) as disk:
        anna, mikhail = (Side(tmp_path, *names).create() for names in ((ANNA, MIKHAIL), (MIKHAIL, ANNA)))
        two = Two(anna, mikhail, anna.clock)
        for _ in history(two):
            look()
            for side in two:
                envelopes_ |= {body for _, body in side.desk.store.items(records.TRAY)}
        two.close()
    look()
    written = [op.data for op in disk.ops if op.kind == "write"]
    assert len(written) > 500
    assert envelopes_
    for data in written:
        assert not any(form in data for form in looked_for)
    whole = b"\0".join(seen[-6:] + written)
    assert not any(holds_any(whole, envelope) for envelope in envelopes_)
    # What can be counted: steps.
    assert {size % STEP for name, size in sizes if name.endswith("desk.db")} == {0}
    assert {size for name, size in sizes if name.endswith("-journal")} == {0}
    assert {size for name, size in sizes if name.startswith("counters")} == {32}
    assert len({size for name, size in sizes if name.endswith("desk.head")}) == 1
    assert {Path(name).name for name, _ in sizes if not name.startswith("counters")} == {
        "desk.db",
        "desk.db-journal",
        "desk.head",
    }
    assert modes == {("folder", 0o700), ("file", 0o600)}


def test_two_desks_of_different_histories_look_alike_until_the_step(tmp_path: Path) -> None:
    step = 1024 * 1024
    with two_desks(tmp_path / "much", step=step) as busy, two_desks(tmp_path / "little", step=step) as idle:
        for number in range(12):
            busy.first.write(prose(f"letter {number}"))
        busy.second.receive(busy.first.pack())
        looks = [
            sorted((path.name, path.stat().st_size) for path in each.folder.iterdir())
            for two in (busy, idle)
            for each in two
        ]
        assert all(look == looks[0] for look in looks)
