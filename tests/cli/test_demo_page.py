"""What the demo says of its control follows from what came of it."""

from __future__ import annotations

import pytest

from backchannel.cli.demo_control import Outcome
from backchannel.cli.demo_page import TILE, _tile, moral
from backchannel.cli.observer import Sight


@pytest.mark.parametrize(
    ("both", "said"), [(0, "no oftener than lots"), (2, "no oftener than lots"), (4, "right oftener")]
)
def test_a_real_build_that_is_found_out_is_not_praised(both: int, said: str) -> None:
    assert said in moral(Outcome("the real one", 20, both, 0))


def test_a_tile_has_each_of_the_first_bits_in_its_place() -> None:
    seen = {("west", 3): Sight(3, 1, 0, 5_000, b"\x80\x00\x00\x01\xff\xff\x00\x00")}
    assert _tile(seen, ("west", 3), lambda sight: sight.row, lines=2) == ["▘      ▗", "▀▀▀▀▀▀▀▀"]
    assert _tile(seen, ("east", 3), lambda sight: sight.row, lines=1) == [" " * TILE]
