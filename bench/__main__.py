"""Every benchmark, as ratios within this run: ``make bench``.

The machine's speed drifts; what is claimed is therefore a ratio to a baseline
measured in the same run, interleaved. Each module of this folder has ``run``.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import bench


def main() -> int:
    for module in sorted(found.name for found in pkgutil.iter_modules(bench.__path__) if found.name != "__main__"):
        print(f"{module}:", flush=True)
        for claim, measured in importlib.import_module(f"bench.{module}").run():
            print(f"  {claim}: {measured}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
