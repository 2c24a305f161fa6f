"""The view simulator: what a coalition sees can be computed from what is public, so it tells nothing else.

:func:`tests.simulation.views.simulate` is given the charter, who enrolled, which
porter ran in which round, and what the coalition itself does and says. It has no
line, no letter and no correspondent, and yields the whole view of the real
office, whatever was written there, to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.ideal import seeded_signatures
from tests.simulation.owners import Owners
from tests.simulation.views import Public, coalitions, simulate, watch

COALITIONS = [pytest.param(each, id="+".join(each)) for each in coalitions()]


@pytest.fixture(autouse=True)
def _signatures() -> Iterator[None]:
    with seeded_signatures():
        yield


@pytest.mark.parametrize("coalition", COALITIONS)
def test_the_view_of_a_coalition_is_made_from_what_is_public(coalition: tuple[str, ...]) -> None:
    public = Public(40 + len(coalition), coalition)
    owners = Owners(public.seed, "pairs")
    assert watch(public, owners).difference(simulate(public)) == "", (public, owners)


@pytest.mark.parametrize("seed", range(50, 56))
def test_the_view_of_one_operator_of_two_is_made_from_what_is_public(seed: int) -> None:
    public, owners = Public(seed, (("east",), ("west",))[seed % 2]), Owners(seed, "wild")
    assert watch(public, owners).difference(simulate(public)) == "", (public, owners)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("coalition", COALITIONS)
def test_the_view_of_a_coalition_is_made_from_what_is_public_in_hundreds_of_histories(
    coalition: tuple[str, ...],
) -> None:
    for seed in range(1_000, 1_200):
        public, owners = Public(seed, coalition), Owners(seed, ("pairs", "busy", "wild")[seed % 3])
        assert watch(public, owners).difference(simulate(public)) == "", (public, owners)
