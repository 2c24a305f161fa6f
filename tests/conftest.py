"""What every run of the tests says at its end: what did not run, and where to run it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"


def pytest_configure() -> None:
    # Hypothesis keeps no database: a failure prints its seed, and two runs are alike.
    settings.register_profile(
        "backchannel", deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("backchannel")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    left = ["thousands of seeds, every crash point and the mutants (make check-long)"] if _short(config) else []
    if not CORPUS.exists():
        left.append("the letters of 1961, of which the synthetic corpus has the shapes (../shared/corpus)")
    print(f"did not run: {'; '.join(left) or 'nothing'}")


def _short(config: pytest.Config) -> bool:
    return "not long" in str(config.getoption("markexpr"))
