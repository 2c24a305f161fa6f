"""Vectors of docs/spec/card.md: `python -m tests.vectors.make_card` writes them.

A refused card is named after its one failure and that failure's number in §3.
All are made with the seeded KEM of tests/simulation/seeded_kem.py, so that they
are made again to the byte. The ones in `card/recorded/` were made once with
X-Wing, which takes no randomness; they are only ever opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from backchannel.encoding import Value, decode, encode
from backchannel.errors import RefusedError
from backchannel.kem import PublicKey, XWing
from backchannel.keys import Digest
from backchannel.seal import card as cards
from backchannel.seal.card import Card, Carriage, Terms
from backchannel.seal.meeting import Met, Register
from backchannel.seal.state import HalfSecret, State
from tests.seal.meeting_desks import DAY, KEM, NOW, Desk
from tests.vectors.collection import HERE, Vector, write

RECORDED: Final = HERE / "card" / "recorded"
LATER: Final = NOW + 30 * DAY
FULL: Final = Terms("Ada", "Ben", LATER, Carriage(3, 70_000, Digest(b"c" * 32)), Digest(b"a" * 32))


@dataclass
class Case:
    """A card, and the desk that it is handed to."""

    desk: Desk
    card: bytes
    now: int = NOW
    to_me: bool = False
    terms: Terms | None = None
    person: str = "Ada"  # the desk's own name for who the card is from


def vectors() -> dict[str, Vector]:
    """Each branch of §3 once."""
    answered = {f"accepted-first-{name}": answering(make()) for name, make in FIRST_ACCEPTED.items()}
    completed = {f"accepted-answer-{name}": completing(make()) for name, make in ANSWER_ACCEPTED.items()}
    refused = {f"refused-{name}": refusing(name, make()) for name, make in REFUSED.items()}
    return answered | completed | refused


def answering(case: Case) -> Vector:
    vector = given(case)
    case.desk.drawn.clear()
    answer = case.desk.answer(case.card, case.person, to_me=case.to_me, terms=case.terms, now=case.now)
    drawn = b"".join(case.desk.drawn)
    return vector | {"drawn": drawn.hex(), "answer": answer.hex()} | meeting(case.desk.met[-1])


def completing(case: Case) -> Vector:
    return given(case) | meeting(case.desk.complete(case.card, now=case.now))


def refusing(name: str, case: Case) -> Vector:
    reason = int(name[:2])
    vector = given(case)
    desk, terms = case.desk, case.terms or case.desk.terms(case.person)
    try:
        if reason >= 7:
            desk.complete(case.card, now=case.now)
        else:
            desk.register.answer(
                case.card, case.person.encode(), terms, to_me=case.to_me, kem=KEM, random=desk.draw, now=case.now
            )  # fmt: skip
    except RefusedError as error:
        return vector | {"reason": reason, "message": error.message}
    raise AssertionError(f"{name} is no refusal")


def given(case: Case) -> Vector:
    """The desk as JSON, the card, and the time."""
    register = case.desk.register
    return {
        "card": case.card.hex(),
        "now": case.now,
        "desk": {
            "me": case.desk.name,
            "to_me": case.to_me,
            "waiting": [
                {"person": w.person.decode(), "card": w.card.hex(), "private": w.private.hex()}
                for w in register.waiting.values()
            ],
            "spent": [
                {"first": first.hex(), "fate": s.fate.name.lower(), "answer": s.answer.hex()}
                for first, s in register.spent.items()
            ],
            "keys": sorted(key.hex() for key in register.keys_made),
            "answered": sorted(key.hex() for key in register.keys_answered),
        },
    }


def meeting(met: Met) -> Vector:
    state: State = met.state
    line = state.tx or state.rx[0]
    assert line.chain
    keys = {"RK0": state.root, "CK0": line.chain, "HK0": line.header_key, "HK1": state.next_header_key}
    return {"transcript": state.transcript.hex(), "keys": {name: key.hex() for name, key in keys.items()}}


# --- what is accepted


def _to_ben(first: Terms | None = None, **how: Any) -> Case:
    return Case(Desk("Ben"), Desk("Ada").issue("Ben", terms=first), **how)


def _crossing() -> tuple[Desk, bytes, Desk, bytes]:
    """Two desks with a card each for the other, the lower digest first."""
    ada, ben = Desk("Ada"), Desk("Ben")
    cards_made = {ada.issue("Ben"): ada, ben.issue("Ada"): ben}
    stands, yields = sorted(cards_made, key=cards.digest)
    return cards_made[stands], stands, cards_made[yields], yields


def _crossed() -> Case:
    stays, card, gives_way, _ = _crossing()
    return Case(gives_way, card, person=stays.name)


FIRST_ACCEPTED: Final[dict[str, Callable[[], Case]]] = {
    "named": _to_ben,
    "bare": lambda: _to_ben(Terms("", "", LATER), terms=Terms("Ben", "Ada", LATER)),
    "with-place-and-archive-key": lambda: _to_ben(FULL),
    "for-a-name-in-another-case": lambda: _to_ben(Terms("Ada", "BEN", LATER)),
    "for-another-name-that-is-meant-for-them": lambda: _to_ben(Terms("Ada", "Benjamin", LATER), to_me=True),
    "with-names-of-200-bytes": lambda: _to_ben(
        Terms("\u00e9" * 100, "b" * 200, LATER), to_me=True, terms=Terms("b" * 200, "\u00e9" * 100, LATER)
    ),
    "in-its-last-second": lambda: _to_ben(now=LATER - 1),
    "that-crossed-and-is-of-the-lower-digest": _crossed,
}


def _answered(first: Terms | None = None, answer: Terms | None = None) -> Case:
    ada, ben = Desk("Ada"), Desk("Ben")
    card = ada.issue("Ben", terms=first)
    return Case(ada, ben.answer(card, to_me=True, terms=answer or ben.terms("Ada")))


ANSWER_ACCEPTED: Final[dict[str, Callable[[], Case]]] = {
    "named": _answered,
    "to-a-bare-card": lambda: _answered(Terms("", "", LATER)),
    "with-place-and-archive-key": lambda: _answered(FULL, replace(FULL, holder="Ben", reader="Ada")),
    "by-another-name": lambda: _answered(answer=Terms("Benjamin", "Ada", LATER)),
}


# --- what is refused


def _spoiled(change: Callable[[bytes], bytes]) -> Callable[[], Case]:
    """A first card with one thing changed on its way to Ben."""

    def make() -> Case:
        case = _to_ben()
        return replace(case, card=change(case.card))

    return make


def _field(at: int, value: Value) -> Callable[[], Case]:
    return _spoiled(lambda card: _with(card, at, value))


def _with(card: bytes, at: int, value: Value) -> bytes:
    values = decode(card)
    assert isinstance(values, tuple)
    return encode((*values[:at], value, *values[at + 1 :]))


def _own() -> Case:
    ben = Desk("Ben")
    return Case(ben, ben.issue("Ada", terms=Terms("Ada", "Ben", LATER)))


def _answered_already() -> Case:
    case = _to_ben()
    case.desk.answer(case.card)
    return case


def _crossed_and_higher() -> Case:
    stays, _, gives_way, card = _crossing()
    return Case(stays, card, person=gives_way.name)


def _changed(change: Callable[[Desk, Desk, bytes], bytes]) -> Callable[[], Case]:
    """An answering card, with something done to it or to the desk that awaits it."""

    def make() -> Case:
        ada, ben = Desk("Ada"), Desk("Ben")
        answer = ben.answer(ada.issue("Ben"))
        return Case(ada, change(ada, ben, answer))

    return make


def _reader_gets_own_answer() -> Case:
    case = _to_ben()
    return replace(case, card=case.desk.answer(case.card))


def _used(ada: Desk, _: Desk, answer: bytes) -> bytes:
    ada.complete(answer)
    return answer


def _copied(ada: Desk, _: Desk, answer: bytes) -> bytes:
    (first,) = ada.register.waiting.values()
    ada.complete(answer)
    return Desk("Eve").answer(first.card, to_me=True)


def _withdrawn(ada: Desk, _: Desk, answer: bytes) -> bytes:
    ada.withdraw("Ben")
    return answer


def _lapsed(ada: Desk, _: Desk, answer: bytes) -> bytes:
    ada.register = ada.register.lapse(LATER)
    return answer


def _foreign(ada: Desk, _: Desk, answer: bytes) -> bytes:
    ada.register = Register()
    return answer


def _sealed_anew(opened: Callable[[Card], bytes]) -> Callable[[], Case]:
    """An answering card whose box holds what *opened* makes of Ben's card."""

    def make() -> Case:
        ada, ben = Desk("Ada"), Desk("Ben")
        first = ada.issue("Ben")
        to = Card.decode(first, cards.LABEL_FIRST).key
        card, _ = cards.make(ben.terms("Ada"), kem=KEM, random=ben.draw)
        name = cards.digest(first)
        return Case(ada, cards.Answer(name, KEM.seal(to, name, opened(card), ben.draw)).encode())

    return make


def _padded(raw: bytes) -> bytes:
    return (len(raw).to_bytes(4) + raw).ljust(cards.OPENED_SIZE, b"\0")


def _opened(card: Card, **terms: Any) -> bytes:
    return _padded(replace(card, terms=replace(card.terms, **terms)).encode(cards.LABEL_OPENED))


def _reflected() -> Case:
    case = _sealed_anew(_opened)()
    (waiting,) = case.desk.register.waiting.values()
    mine = Card.decode(waiting.card, cards.LABEL_FIRST)
    card = Card(mine.key, HalfSecret(bytes(32)), Terms("Ben", "Ada", LATER))
    carried, _ = cards.seal_answer(card, waiting.card, to=mine.key, kem=KEM, random=Desk("Eve").draw)
    return replace(case, card=carried)


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


REFUSED: Final[dict[str, Callable[[], Case]]] = {
    "01-empty": _spoiled(lambda _: b""),
    "01-cut-short": _spoiled(lambda card: card[:-1]),
    "01-a-byte-after-its-end": _spoiled(lambda card: card + b"\0"),
    "01-larger-than-any-card": _spoiled(lambda card: card.ljust(cards.MAX_CARD + 1, b"\0")),
    "01-expiry-not-the-shortest": _spoiled(
        lambda card: card.replace(b"\x1a" + LATER.to_bytes(4), b"\x1b" + LATER.to_bytes(8))
    ),
    "01-another-label": _field(0, cards.LABEL_OPENED),
    "01-key-too-short": _field(1, bytes(1215)),
    "01-half-secret-too-long": _field(2, bytes(33)),
    "01-holder-of-201-bytes": _field(3, "a" * 201),
    "01-holder-with-a-control-character": _field(3, "Ada\x1b[2J"),
    "01-holder-not-composed": _field(3, "Zoe\u0308"),
    "01-holder-with-space-around-it": _field(3, "Ada "),
    "01-holder-on-two-lines": _field(3, "Ada\u2028Byron"),
    "01-holder-with-a-soft-hyphen": _field(3, "A\u00adda"),
    "01-holder-with-a-joiner-among-latin-letters": _field(3, "A\u200dda"),
    "01-holder-with-a-hangul-filler": _field(3, "Ada\u3164"),
    "01-reader-not-a-text": _field(4, b"Ben"),
    "01-expiry-not-a-number": _field(5, "soon"),
    "01-expiry-after-the-year-9999": _field(5, cards.MAX_EXPIRY + 1),
    "01-carriage-of-two": _field(6, (3, 70_000)),
    "01-place-of-no-office": _field(6, (64, 70_000, bytes(32))),
    "01-mailbox-0": _field(6, (3, 0, bytes(32))),
    "01-mailbox-of-no-office": _field(6, (3, 2**20, bytes(32))),
    "01-charter-too-short": _field(6, (3, 70_000, bytes(31))),
    "01-archive-key-too-short": _field(7, bytes(31)),
    "01-no-holder": _field(3, ""),
    "01-no-reader": _field(4, ""),
    "01-an-answering-card": lambda: replace(_to_ben(), card=_answered().card),
    "02-own": _own,
    "02-own-with-other-names": lambda: replace(_own(), card=_with(_own().card, 3, "Cora")),
    "03-answered": _answered_already,
    "03-answered-with-another-expiry-on-it": lambda: (
        case := _answered_already(),
        replace(case, card=_with(case.card, 5, LATER + 1)),
    )[1],
    "04-expired": lambda: _to_ben(now=LATER),
    "05-for-another-reader": lambda: Case(Desk("Cora"), Desk("Ada").issue("Ben")),
    "06-crossed-and-of-the-higher-digest": _crossed_and_higher,
    "07-cut-short": _changed(lambda _, __, answer: answer[:-1]),
    "07-name-of-the-first-card-too-short": _changed(lambda _, __, answer: _with(answer, 1, bytes(31))),
    "07-box-not-bytes": _changed(lambda _, __, answer: _with(answer, 2, "box")),
    "07-a-first-card": _changed(lambda _, __, ___: Desk("Cora").issue("Ada")),
    "08-own": _reader_gets_own_answer,
    "09-used": _changed(_used),
    "10-another-answer-came-before": _changed(_copied),
    "11-withdrawn": _changed(_withdrawn),
    "12-foreign": _changed(_foreign),
    "12-name-of-the-first-card-altered": _changed(lambda _, __, answer: _with(answer, 1, bytes(32))),
    "13-first-card-expired": lambda: replace(_answered(answer=Terms("Ben", "Ada", LATER + 1)), now=LATER),
    "13-first-card-lapsed": _changed(_lapsed),
    "13-answering-card-expired": lambda: replace(_answered(answer=Terms("Ben", "Ada", LATER - 1)), now=LATER - 1),
    "14-altered": _changed(lambda _, __, answer: _flip(answer, len(answer) - 1)),
    "14-box-shorter-than-any": _changed(lambda _, __, answer: _with(answer, 2, bytes(1135))),
    "14-opens-to-2047-bytes": _sealed_anew(lambda card: _opened(card)[:-1]),
    "14-last-byte-not-zero": _sealed_anew(lambda card: _opened(card)[:-1] + b"\1"),
    "14-length-one-too-large": _sealed_anew(lambda card: _flip(_opened(card), 3)),
    "14-opens-to-a-first-card": _sealed_anew(lambda card: _padded(card.encode(cards.LABEL_FIRST))),
    "14-no-holder": _sealed_anew(lambda card: _opened(card, holder="")),
    "14-no-reader": _sealed_anew(lambda card: _opened(card, reader="")),
    "15-own-key": _reflected,
}


# --- X-Wing


def record() -> None:
    """Write the vectors of the KEM that ships, where there are none yet."""
    RECORDED.mkdir(parents=True, exist_ok=True)
    if any(RECORDED.iterdir()):
        return
    ada, ben = Desk("Ada", kem=XWing()), Desk("Ben", kem=XWing())
    case = Case(ada, ben.answer(ada.issue("Ben")))
    _record("x-wing-answer", completing(case))
    good = Card.decode(ada.issue("Cora"), cards.LABEL_FIRST)
    bad = replace(good, key=PublicKey(good.key[:1184] + bytes(32)), terms=Terms("Ada", "Ben", LATER))
    refused = {"reason": 1, "message": "public key is not well formed"}
    _record("x-wing-refused-01-point-of-low-order", given(Case(Desk("Ben"), bad.encode(cards.LABEL_FIRST))) | refused)
    bad = replace(bad, key=PublicKey(b"\xff" * 1184 + good.key[1184:]))
    _record(
        "x-wing-refused-01-coefficient-too-large", given(Case(Desk("Ben"), bad.encode(cards.LABEL_FIRST))) | refused
    )


def _record(name: str, vector: Vector) -> None:
    (RECORDED / f"{name}.json").write_text(json.dumps(vector, indent=2) + "\n")


if __name__ == "__main__":
    write("card", vectors())
    record()
