# Everything is one of these words. On a fresh machine with Python 3.11, pip and make:
#   make demo   sets up and runs the main job
#   make test   sets up and passes all that CI runs
# Another Python: make test PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Where `make lock` finds uv. Only those who change dependencies need it.
UV     ?= uv
# What pytest is told besides: make test ARGS="-k cadence"
ARGS   ?=
# Two workers suit a small machine: make test WORKERS=8
WORKERS ?= 2

# A stamp says what was installed: its name is the digest of the lock and of pyproject.toml, so
# that changing either installs again and changing neither installs nothing.
digest   = $(shell cat $(1) pyproject.toml | cksum | tr ' ' '-')
RUN_STAMP  := $(VENV)/installed-run-$(call digest,requirements/run.lock)
TEST_STAMP := $(VENV)/installed-test-$(call digest,requirements/test.lock)

# Some systems split ensurepip from Python; then the environment has no pip, and Python's own fills it.
PIP = $$($(BIN)/python -c 'import pip' 2>/dev/null && echo $(BIN)/python -m pip \
        || echo $(PYTHON) -m pip --python $(BIN)/python)
PIP_INSTALL = $(PIP) install --quiet --disable-pip-version-check --no-deps

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-test demo test lint format soak bench lock clean

help:
	@echo "make demo    set up and run the main job"
	@echo "make test    set up, lint, and run the tests"
	@echo "make setup   what running needs;  make setup-test   what the tests need as well"
	@echo "make lint | format | soak | bench | lock | clean"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "clew needs Python 3.11 or later, and '$(PYTHON)' is not that." >&2; \
	  echo "Name one that is: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
	  exit 1; }
	@echo "Making $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)

# run.lock holds no name that test.lock lacks, and no other version of one (`make lock` sees to
# it), so both stamps may share one environment in either order.
$(RUN_STAMP): | $(BIN)/python
	@echo "Installing what clew runs with" >&2
	@$(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements/run.lock
	@$(PIP_INSTALL) --no-build-isolation -e .
	@rm -f $(VENV)/installed-run-* && touch $@

$(TEST_STAMP): | $(BIN)/python
	@echo "Installing what clew's tests run with" >&2
	@$(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements/test.lock
	@$(PIP_INSTALL) --no-build-isolation -e .
	@rm -f $(VENV)/installed-test-* && touch $@

setup: $(RUN_STAMP)

setup-test: $(TEST_STAMP)

demo: setup
	@$(BIN)/python examples/demo.py

# The linters first, since they are quick; then the core, every branch of it by tests without I/O; then all else.
# pytest's summary is the last line. With ARGS, what they select and nothing more.
test: lint
ifeq ($(ARGS),)
	@$(BIN)/python -m pytest -n $(WORKERS) -q tests/core --cov --cov-config=tests/core/coverage.ini
	@$(BIN)/python -m pytest -n $(WORKERS) -q --ignore=tests/core
else
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)
endif

lint: setup-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache

format: setup-test
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# The long lane: the simulator over many seeds, kills and restarts. Not part of `make test`.
soak: setup-test
	@$(BIN)/python -m pytest -n $(WORKERS) -m soak $(ARGS)

bench: setup-test
	@$(BIN)/python bench/throughput.py
	@$(BIN)/python bench/large_stores.py
	@$(BIN)/python bench/verification.py
	@$(BIN)/python bench/orchestrators.py
	@$(BIN)/python bench/recovery.py
	@$(BIN)/python bench/takeover.py
	@$(BIN)/python bench/cadence.py
	@$(BIN)/python bench/searching.py
	@$(BIN)/python bench/idle.py
	@$(BIN)/python bench/waiting.py

# Pins every dependency, with hashes, for every platform. test.lock comes first and binds run.lock.
# No index is written down: a lock says what, not from where.
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate \
        --custom-compile-command "make lock" pyproject.toml requirements/build.in
lock:
	$(LOCK) --extra aws --extra postgres --group test -o requirements/test.lock
	$(LOCK) --group examples -c requirements/test.lock -o requirements/run.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov dist build
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
