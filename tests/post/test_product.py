"""The product of queries and a table, against one of whole numbers, bit by bit."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from backchannel.post.kernels import product as kernel
from tests.simulation.office import Generator

FEW = kernel.FEW


def naive(vectors: list[bytes], table: dict[int, bytes], width: int) -> list[bytes]:
    """Row i counts where bit i of a vector is set, the first in the highest bit."""
    out = []
    for vector in vectors:
        bits = int.from_bytes(vector, "big")
        last = 8 * len(vector) - 1
        picked = [int.from_bytes(row, "big") for at, row in table.items() if bits >> (last - at) & 1]
        out.append(reduce(lambda a, b: a ^ b, picked, 0).to_bytes(width, "big"))
    return out


def check(count: int, rows: int, present: list[int], width: int) -> None:
    """Compare the two for *count* queries, a table of *rows* of which *present* are there, and packets of *width*."""
    random = Generator(count, rows, present, width)
    vectors = [random(rows // 8) for _ in range(count)]
    table = {at: random(width) for at in present}
    packed = np.frombuffer(b"".join(vectors), np.uint8).reshape(count, rows // 8)
    there = np.frombuffer(b"".join(table.values()), np.uint8).reshape(len(present), width)
    answers = kernel.product(packed, there, np.array(present, np.intp))
    assert answers.shape == (count, width)
    assert answers.dtype == np.uint8
    assert [answer.tobytes() for answer in answers] == naive(vectors, table, width)


@pytest.mark.parametrize("few", [0, 1000], ids=["by the table", "one by one"])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_product_is_the_naive_one_for_all_small_sizes(
    few: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "FEW", few)
    for rows in (8, 16, 24):
        for present in (range(0), range(1), range(rows - 1, rows), range(0, rows, 3), range(1, rows - 1), range(rows)):
            for width in (1, 7, 8, 9, 16, 31):
                check(count, rows, list(present), width)


@pytest.mark.parametrize("count", [FEW - 1, FEW, FEW + 1, 64, 65, 130])
@pytest.mark.parametrize("present", [[], [0], [255], list(range(0, 256, 5)), list(range(256))], ids=len)
def test_many_queries_are_answered_as_few_are(count: int, present: list[int]) -> None:
    check(count, 256, present, 257)


def test_every_row_alone_is_asked_for_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Generator("rows")(32 * 40)
    rows = np.frombuffer(table, np.uint8).reshape(32, 40)
    units = np.packbits(np.eye(32, dtype=np.uint8), axis=1)
    for few in (0, 1000):
        monkeypatch.setattr(kernel, "FEW", few)
        assert np.array_equal(kernel.product(units, rows, np.arange(32)), rows)


def test_what_is_multiplied_is_left_as_it_is() -> None:
    for count in (1, FEW):
        vectors, rows = np.full((count, 2), 0xA5, np.uint8), np.full((16, 9), 3, np.uint8)
        kernel.product(vectors, rows, np.arange(16))
        assert (vectors == 0xA5).all()
        assert (rows == 3).all()


def test_rows_that_do_not_lie_side_by_side_are_read_as_they_are() -> None:
    wide = np.frombuffer(Generator("wide")(16 * 32), np.uint8).reshape(16, 32)
    rows, vectors = wide[:, ::2], np.frombuffer(Generator("q")(2 * FEW), np.uint8).reshape(FEW, 2)
    there = {at: row.tobytes() for at, row in enumerate(rows)}
    answers = kernel.product(vectors, rows, np.arange(16))
    assert [answer.tobytes() for answer in answers] == naive([each.tobytes() for each in vectors], there, 16)
