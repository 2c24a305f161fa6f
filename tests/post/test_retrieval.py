"""Retrieval (docs/spec/retrieval.md): the row comes back, and no k-1 shares say which it was."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backchannel.post import retrieval
from backchannel.post.ciphers import QueryStream
from backchannel.post.kernels.product import product
from tests.peer import post_peer as peer
from tests.simulation.office import Generator

STREAM = QueryStream()


class Pads:
    """A stream that is chosen, seed by seed, and not made."""

    def __init__(self, pads: dict[bytes, bytes]) -> None:
        self.pads = pads

    def apply(self, seed: bytes, data: bytes) -> bytes:
        return peer.xor(self.pads[seed], data)


@st.composite
def queries(draw: st.DrawFn) -> tuple[int, int, int, int]:
    rows = 8 * draw(st.integers(1, 9))
    operators = draw(st.integers(2, 8))
    return draw(st.integers(0, rows - 1)), rows, operators, draw(st.integers(0, operators - 1))


def split(row: int, rows: int, operators: int, explicit: int, *seed: object) -> list[bytes]:
    random = Generator(*seed)
    return retrieval.split(row, rows, operators=operators, explicit=explicit, random=random, stream=STREAM)


@given(queries(), st.integers(1, 40), st.integers(0, 99))
def test_the_answers_of_all_operators_are_the_row(query: tuple[int, int, int, int], width: int, seed: int) -> None:
    row, rows, operators, explicit = query
    table = np.frombuffer(Generator("table", seed)(rows * width), np.uint8).reshape(rows, width)
    shares = split(*query, seed)
    assert [len(share) for share in shares] == [
        retrieval.share_size(rows, explicit=at == explicit) for at in range(operators)
    ]
    vectors = [retrieval.expand(share, rows, explicit=at == explicit, stream=STREAM) for at, share in enumerate(shares)]
    assert peer.xor(*vectors) == peer.unit(row, rows)
    packed = np.frombuffer(b"".join(vectors), np.uint8).reshape(operators, -1)
    answers = [answer.tobytes() for answer in product(packed, table, np.arange(rows))]
    assert retrieval.combine(answers) == table[row].tobytes()


def test_a_share_has_one_of_two_sizes() -> None:
    assert retrieval.share_size(256, explicit=True) == 32
    assert retrieval.share_size(1024, explicit=True) == 128
    assert retrieval.share_size(1024, explicit=False) == 32


@given(queries())
def test_whatever_the_row_the_same_is_drawn(query: tuple[int, int, int, int]) -> None:
    row, rows, operators, explicit = query
    drawn: list[int] = []

    def random(size: int) -> bytes:
        drawn.append(size)
        return bytes([len(drawn)]) * size

    shares = retrieval.split(row, rows, operators=operators, explicit=explicit, random=random, stream=STREAM)
    assert drawn == [32] * (operators - 1)
    seeds = [share for at, share in enumerate(shares) if at != explicit]
    assert seeds == [bytes([at + 1]) * 32 for at in range(operators - 1)]


@pytest.mark.parametrize("operators", [2, 3, 4])
def test_what_any_coalition_of_all_but_one_holds_is_the_same_for_every_row(operators: int) -> None:
    # Exactly: for the pad of the one that is left out there is another, as likely, that hides
    # another row behind the same shares.
    rows, missing, first = 16, range(operators), 3
    seeds = [bytes([at]) * 32 for at in range(operators)]
    pads = {seed: Generator("pad", seed)(rows // 8) for seed in seeds}
    for left_out, explicit, other in itertools.product(missing, range(operators), range(rows)):
        moved = dict(pads)
        if left_out != explicit:
            moved[seeds[left_out]] = peer.xor(pads[seeds[left_out]], peer.unit(first, rows), peer.unit(other, rows))
        views = []
        for row, there in ((first, pads), (other, moved)):
            order = iter([seed for at, seed in enumerate(seeds) if at != explicit])
            shares = retrieval.split(
                row,
                rows,
                operators=operators,
                explicit=explicit,
                random=lambda _, order=order: next(order),  # type: ignore[misc]
                stream=Pads(there),
            )
            views.append([share for at, share in enumerate(shares) if at != left_out])
        assert views[0] == views[1]


def test_one_wrong_bit_of_an_answer_is_one_wrong_bit_of_the_row() -> None:
    answers = [b"\x01\x02\x03", b"\x10\x20\x30"]
    assert retrieval.combine(answers) == b"\x11\x22\x33"
    assert retrieval.combine([answers[0], b"\x10\x20\x31"]) == b"\x11\x22\x32"
    assert retrieval.combine([b"\0\0\x01", b"\0\0\0", b"\0\0\x01"]) == bytes(3)
