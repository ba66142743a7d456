# Everything a checkout needs. Each target does the set-up it needs; nothing outside the checkout is written.
#
#   make setup    .venv with the gateway (.venv/bin/gatewright), compiled, the test tools and the local model
#   make compiled the hottest modules as machine code, after they were changed; without it their sources run
#   make demo     a real answer from the local model, plain and streamed, in about a minute from a fresh clone
#   make check    format, lint, types, import contracts and the fast tests; about a minute
#   make test     every test, real sockets, processes and SDKs included
#   make soak     the accounting of recorded traffic, races and killed processes, many times over; a quarter of an hour
#   make bench    throughput, latency and memory beside nginx and HAProxy; PEERS=1 adds other gateways
#   make docs     the documentation site in site/, and its generated pages in docs/reference/
#   make format   rewrite the sources in the house format
#   make lock     choose new versions of all dependencies and lock them
#   make clean    remove what the other targets made, except .venv and the models

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The distribution's interpreter first: it is built with profile-guided optimisation, and one compiled by hand without
# it needs a third more CPU per request. Any other: make setup PYTHON=/path/to/python
PYTHON ?= $(firstword $(foreach p,/usr/bin/python3.11 /usr/bin/python3.13 /usr/bin/python3.12 python3.11 python3, \
	$(shell "$(p)" -c 'import ensurepip, sys, venv; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)) python3)
BIN := .venv/bin
MODELS := .cache/models
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
FAST := not sockets and not local_model and not node and not truth and not sdks

.PHONY: help setup compiled demo check test soak bench docs docs-pages format lock clean
.PHONY: check-format check-lint check-types check-imports check-tests check-others

help:
	@sed -n 's/^#   \(make .*\)/\1/p' Makefile

setup: .venv/.ready $(MODELS)/.ready compiled

# Machine code of what runs for every request; see hatch_build.py. Nothing to do while the sources are the same.
compiled: .venv/.ready
	@$(BIN)/python hatch_build.py

demo: setup
	$(BIN)/gatewright demo

check: .venv/.ready
	@$(MAKE) --no-print-directory -k -j2 -Otarget check-tests check-others check-types check-imports check-lint check-format

check-format:
	$(BIN)/ruff format --check .

check-lint:
	$(BIN)/ruff check .

check-types:
	$(BIN)/mypy

check-imports:
	$(BIN)/lint-imports

# In two halves, for two cores.
SECOND := tests/unit/dialects tests/unit/control
check-tests:
	$(BIN)/pytest -m "$(FAST)" tests/unit tests/contract $(SECOND:%=--ignore=%)

check-others:
	$(BIN)/pytest -m "$(FAST)" -p no:cacheprovider $(SECOND) tests/repo $(wildcard tests/golden)

# In two halves, for two cores: the data plane's tests, in which time plays a part, and those of control; beside them
# all others.
TIMED := (sockets or local_model or node) and not sdks and not truth
test:
	@$(MAKE) --no-print-directory -j2 setup .venv/.sdks .cache/frameworks/.ready tests/node/node_modules/.ready
	@echo "test: all but those of the data plane and control run beside these; they are shown at the end (.cache/test.log)"
	@(nice -n 5 $(BIN)/pytest -rs -p no:cacheprovider -m "not ($(TIMED))" && \
	  nice -n 5 $(BIN)/pytest -rs -p no:cacheprovider -m "$(TIMED)" --ignore=tests/dataplane --ignore=tests/control) >.cache/test.log 2>&1 & others=$$!; \
	  failed=0; $(BIN)/pytest -rs -m "$(TIMED)" tests/dataplane || failed=$$?; \
	  $(BIN)/pytest -rs -p no:cacheprovider -m "$(TIMED)" tests/control || failed=$$?; \
	  wait $$others || failed=$$?; cat .cache/test.log; exit $$failed

soak: setup
	SOAK=1 $(BIN)/pytest -rs tests/truth/test_ledger_books.py tests/dataplane/test_ledger_chaos.py \
	  tests/dataplane/test_budget_race.py tests/control/test_ledger_kill.py

# Compiled first, as an installed package is: a start that compiles seventeen thousand lines is not what users see.
bench: .venv/.ready compiled
	$(BIN)/python -m compileall -q src/gatewright
	$(BIN)/python -m bench
	$(BIN)/python docs/generate.py

docs: docs-pages .venv/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "docs: site/index.html"

docs-pages: .venv/.ready
	$(BIN)/python docs/generate.py

format: .venv/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# pip, not a faster installer: it is what honours the index, proxy and certificate settings a machine already has.
.venv/.ready: requirements/dev.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "setup: Python 3.11 or newer is needed; name one with: make setup PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "setup: $(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "setup: making .venv"; "$(PYTHON)" -m venv .venv; }
	@echo "setup: installing the locked dependencies (about half a minute)"
	@$(PIP) install --require-hashes --no-deps -r requirements/dev.txt
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@$(BIN)/python -m compileall -q src/gatewright
	@touch $@

.venv/.docs: .venv/.ready requirements/docs.txt
	@$(PIP) install --require-hashes --no-deps -r requirements/docs.txt
	@touch $@

.venv/.sdks: .venv/.ready requirements/sdks.txt
	@echo "setup: installing the vendors' clients for the tests (about half a minute)"
	@$(PIP) install --require-hashes --no-deps -r requirements/sdks.txt
	@touch $@

.cache/frameworks/.ready: requirements/frameworks.txt
	@echo "setup: installing the frameworks for the tests into .cache/frameworks (about a minute)"
	@test -x .cache/frameworks/bin/python || "$(PYTHON)" -m venv .cache/frameworks
	@.cache/frameworks/bin/python -m pip --disable-pip-version-check -qq install --require-hashes --no-deps -r $<
	@touch $@

$(MODELS)/.ready: | .venv/.ready
	$(BIN)/gatewright local pull --to $(MODELS)
	@touch $@

tests/node/node_modules/.ready: tests/node/package.json tests/node/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "setup: installing the Node SDK under tests/node"; npm --prefix tests/node ci --no-audit --no-fund --silent && touch $@; \
	else echo "setup: npm is not here, so the tests of the Node SDK will be SKIPPED (packages: apt.txt)" >&2; fi

# Constraints keep the files in step: what dev installs is what runtime names, and docs fits into the same .venv.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" --upgrade

lock: .venv/.ready
	$(PIP) install --target .cache/uv uv
	PATH="$(CURDIR)/.cache/uv/bin:$$PATH" $(LOCK) pyproject.toml -o requirements/runtime.txt
	PATH="$(CURDIR)/.cache/uv/bin:$$PATH" $(LOCK) pyproject.toml --extra local -c requirements/runtime.txt -o requirements/local.txt
	PATH="$(CURDIR)/.cache/uv/bin:$$PATH" $(LOCK) pyproject.toml --extra local --extra postgres --extra redis --group dev -c requirements/local.txt -o requirements/dev.txt
	PATH="$(CURDIR)/.cache/uv/bin:$$PATH" $(LOCK) --group sdks -c requirements/dev.txt -o requirements/sdks.txt
	PATH="$(CURDIR)/.cache/uv/bin:$$PATH" $(LOCK) --group frameworks -o requirements/frameworks.txt
	PATH="$(CURDIR)/.cache/uv/bin:$$PATH" $(LOCK) --group docs -c requirements/dev.txt -o requirements/docs.txt

clean:
	rm -rf site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/node/node_modules
	find src tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +
