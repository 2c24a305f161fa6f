# Everything sets itself up in .venv from a fresh clone: Python >= 3.11 and make are all it takes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
PYTEST := $(BIN)/python -m pytest
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test simulate check check-long bench format lock clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 14

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Backchannel needs Python 3.11 or newer: make PYTHON=python3.11 ...'; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo 'Python has no venv module here: on Debian or Ubuntu, apt install python3-venv'; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)  ## two letters cross in a post office, and what everybody else can know
	@$(BIN)/backchannel demo

test: $(STAMP)  ## every test that fits in five minutes; the last line names what did not run
	$(PYTEST) -n 2 -m 'not long'

simulate: $(STAMP)  ## two thousand seeded histories of a post office in bad weather; CI runs them
	$(PYTEST) -n 2 -m long -k two_thousand_histories tests/simulation/test_nothing_lost.py

check: $(STAMP)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-long: $(STAMP)  ## thousands of seeds, every crash point, coverage of the pure rooms, and the mutants
	$(PYTEST) -n 2 -m long --timeout 3600
	$(BIN)/coverage run -m pytest -q -m 'not long' tests/test_encoding.py tests/test_signing.py tests/letters tests/seal tests/pouch tests/post tests/simulation
	$(BIN)/coverage report --fail-under 100 --show-missing

bench: $(STAMP)  ## performance, as ratios within one run
	$(BIN)/python -m bench

format: $(STAMP)  ## put the source in its one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

lock: $(STAMP)  ## resolve the requirement files anew
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q pyproject.toml --extra operator -o requirements/operator.txt
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q pyproject.toml --extra operator --group dev -o requirements/dev.txt

clean:  ## remove what was built
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* build dist
