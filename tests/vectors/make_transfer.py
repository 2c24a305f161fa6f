"""Vectors of docs/spec/transfer.md: `python -m tests.vectors.make_transfer` writes them.

A vector is what happens to one end of a stream, step by step. At the sending
end: `put` an envelope [text, size], that much of SHAKE-256 of the text, named
by its SHA-256; `send`, which chooses a fragment [number, SHA-256 of its bytes,
their number, last] or none; `acknowledge` [base, bitmap], and the texts of what has
arrived by it; `withdraw` a text. At the receiving end: `take` [number,
text, size, last] and the [SHA-256, size] of what is whole by it. Each step ends
with the state: first fragment that has not arrived, fragments waiting, bytes
queued; or base, bitmap, envelopes lost. A refused vector is named after the
number in §6 of its one failure, which is its last step and changes nothing that
is said to the other end.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from backchannel.keys import Digest
from backchannel.post.packet import Fragment
from backchannel.post.transfer import Incoming, Outgoing
from tests.vectors.collection import Vector, write

ROOM: Final = 100
Step = list[Any]

SENDING: Final[dict[str, list[Step]]] = {
    "nothing": [["send"], ["acknowledge", [0, 0]]],
    "one-fragment": [["put", ["a", 99]], ["send"], ["acknowledge", [1, 0]], ["send"]],
    "envelope-that-fills-its-fragment": [["put", ["a", 100]], ["send"], ["acknowledge", [1, 0]]],
    "envelope-one-byte-over": [["put", ["a", 101]], ["send"], ["send"], ["acknowledge", [2, 0]]],
    "repeated-until-it-has-arrived": [
        ["put", ["a", 150]],
        *[["send"]] * 5,
        ["acknowledge", [1, 0]],
        ["send"],
        ["send"],
    ],
    "those-never-sent-first": [["put", ["a", 150]], ["send"], ["send"], ["put", ["b", 150]], *[["send"]] * 5],
    "bitmap": [["put", ["a", 500]], *[["send"]] * 5, ["acknowledge", [1, 0b101]], *[["send"]] * 3],
    "second-envelope-arrives-first": [
        ["put", ["a", 150]],
        ["put", ["b", 50]],
        *[["send"]] * 3,
        ["acknowledge", [0, 0b10]],
        ["send"],
        ["acknowledge", [3, 0]],
    ],
    "acknowledged-late-again": [
        ["put", ["a", 250]],
        *[["send"]] * 3,
        ["acknowledge", [2, 0]],
        ["acknowledge", [0, 0]],
        ["send"],
    ],
    "window": [["put", ["a", 13_000]], *[["send"]] * 129, ["acknowledge", [1, 0]], ["send"]],
    "put-twice": [["put", ["a", 150]], ["put", ["a", 150]], ["send"], ["send"], ["send"]],
    "withdrawn": [
        ["put", ["a", 150]],
        ["put", ["b", 150]],
        ["send"],
        ["withdraw", "b"],
        ["put", ["c", 50]],
        *[["send"]] * 3,
    ],
    "withdrawn-when-it-is-not-the-last": [["put", ["a", 50]], ["put", ["b", 50]], ["withdraw", "a"], ["send"]],
    "withdrawn-when-a-part-was-sent": [["put", ["a", 150]], ["send"], ["withdraw", "a"], ["send"]],
    "withdrawn-when-a-part-has-arrived": [
        ["put", ["a", 150]],
        ["send"],
        ["acknowledge", [1, 0]],
        ["withdraw", "a"],
        ["send"],
    ],
    "withdrawn-when-it-is-not-there": [["withdraw", "a"], ["put", ["b", 50]], ["withdraw", "a"], ["send"]],
}
RECEIVING: Final[dict[str, list[Step]]] = {
    "one-fragment": [["take", [0, "a", 99, True]]],
    "two-fragments": [["take", [0, "a", 100, False]], ["take", [1, "b", 50, True]]],
    "out-of-order": [
        ["take", [2, "c", 50, True]],
        ["take", [1, "b", 100, False]],
        ["take", [4, "e", 10, True]],
        ["take", [0, "a", 100, False]],
        ["take", [3, "d", 100, False]],
    ],
    "two-envelopes-at-once": [["take", [1, "b", 10, True]], ["take", [0, "a", 10, True]]],
    "last-of-the-window": [["take", [127, "b", 10, True]], ["take", [0, "a", 10, True]]],
    "largest-envelope": [["take", [0, "a", 524_288, True]]],
    "goes-on-after-an-envelope-too-large": [
        ["take", [0, "a", 524_288, False]],
        ["take", [1, "b", 1, False]],
        ["take", [2, "c", 9, False]],
        ["take", [3, "d", 9, True]],
        ["take", [4, "e", 9, True]],
    ],
}
REFUSED: Final[dict[str, list[Step]]] = {
    "1-below-the-base": [["take", [0, "a", 10, False]], ["take", [0, "a", 10, False]]],
    "1-below-the-base-with-other-bytes": [["take", [0, "a", 10, False]], ["take", [0, "b", 10, True]]],
    "1-here-already": [["take", [3, "a", 10, False]], ["take", [3, "b", 10, True]]],
    "2-just-beyond-the-window": [["take", [128, "a", 10, True]]],
    "2-far-beyond-the-window": [["take", [2**64 - 1, "a", 10, True]]],
    "3-base-beyond-what-was-sent": [["put", ["a", 150]], ["send"], ["acknowledge", [2, 0]]],
    "3-bitmap-beyond-what-was-sent": [["put", ["a", 250]], ["send"], ["acknowledge", [0, 0b10]]],
    "3-base-when-nothing-was-sent": [["put", ["a", 50]], ["acknowledge", [1, 0]]],
    "3-base-beyond-what-was-cut": [["put", ["a", 150]], ["send"], ["send"], ["acknowledge", [3, 0]]],
    "3-bitmap-beyond-what-was-cut": [["put", ["a", 150]], ["send"], ["send"], ["acknowledge", [0, 0b10]]],
    "3-bitmap-at-the-end": [["put", ["a", 150]], ["send"], ["send"], ["acknowledge", [2, 0b1]]],
    "3-everything": [["put", ["a", 150]], ["send"], ["acknowledge", [2**64 - 1, 2**128 - 1]]],
    "4-envelope-one-byte-too-large": [["take", [0, "a", 524_288, False]], ["take", [1, "b", 1, True]]],
}


def vectors() -> dict[str, Vector]:
    sending = {f"accepted-sending-{name}": played(steps) for name, steps in SENDING.items()}
    receiving = {f"accepted-receiving-{name}": played(steps) for name, steps in RECEIVING.items()}
    refused = {f"refused-{name}": played(steps) | {"reason": int(name[0])} for name, steps in REFUSED.items()}
    return sending | receiving | refused


def shake(text: str, size: int) -> bytes:
    return hashlib.shake_256(text.encode()).digest(size)


class Sending:
    """The sending end."""

    def __init__(self) -> None:
        self.out, self.envelopes, self.texts = Outgoing(), dict[Digest, bytes](), dict[str, Digest]()

    def put(self, envelope: list[Any]) -> None:
        body = shake(*envelope)
        name = self.texts[envelope[0]] = Digest(hashlib.sha256(body).digest())
        self.envelopes[name] = body
        self.out = self.out.put(name, len(body), room=ROOM)

    def send(self) -> list[Any] | None:
        number = self.out.choose()
        if number is None:
            return None
        fragment = self.out.cut(number, envelope=self.envelopes.__getitem__)
        self.out = self.out.noted(number)
        return [fragment.number, hashlib.sha256(fragment.data).hexdigest(), len(fragment.data), fragment.last]

    def acknowledge(self, said: list[int]) -> list[str]:
        self.out, arrived = self.out.acknowledged(*said)
        return [text for name in arrived for text in self.texts if self.texts[text] == name]

    def withdraw(self, text: str) -> None:
        self.out = self.out.without(self.texts.get(text, Digest(bytes(32))))

    @property
    def state(self) -> list[Any]:
        return [self.out.base, self.out.waiting, self.out.load]


class Receiving:
    """The receiving end."""

    def __init__(self) -> None:
        self.coming = Incoming()

    def take(self, fragment: list[Any]) -> list[Any]:
        number, text, size, last = fragment
        self.coming, whole = self.coming.take(Fragment(number, shake(text, size), last))
        return [[hashlib.sha256(each).hexdigest(), len(each)] for each in whole]

    @property
    def state(self) -> list[Any]:
        return [self.coming.base, str(self.coming.bitmap), self.coming.lost]


def played(steps: list[Step]) -> Vector:
    """What comes of *steps*: with each, what it gives and the state after it."""
    end = Receiving() if steps[0][0] == "take" else Sending()
    done = []
    for what, *given in steps:
        came = getattr(end, what)(*given)
        # Numbers that JSON's readers may not hold are texts.
        told = [[*map(str, each)] if what == "acknowledge" else each for each in given]
        if what == "take":
            told = [[str(given[0][0]), *given[0][1:]]]
        done.append({"do": [what, *told], "gives": came, "state": end.state})
    return {"room": ROOM, "steps": done}


if __name__ == "__main__":
    write("transfer", vectors())
