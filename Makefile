# `make help` lists what can be made. Everything is installed into .venv and nowhere else.

VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
LOG := $(VENV)/install.log
# More arguments for the command of a target: make test ARGS="tests/unit -x"
ARGS ?=

# MindsDB runs on these.
PYTHONS := python3 python3.12 python3.11 python3.13 python3.10 python
FITS := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(VENV)/.ready ## start a MindsDB, run a few statements on it, stop it
	@$(RUN) examples/demo.py $(ARGS)

.PHONY: serve
serve: $(VENV)/.ready $(VENV)/shop/shop.duckdb ## run MindsDB and the sandbox until Ctrl-C
	@$(RUN) -m huggingface_api_handler.sandbox.serve --folder $(VENV)/shop $(ARGS)

# Measures what runs in the tests' own process, not the workers of MindsDB. It costs half as much time again, and
# next to nothing from Python 3.12 on, which has a faster way to measure.
MEASURE := --cov --cov-report=term
FAST_MEASURE := import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")

.PHONY: test
test: $(VENV)/.ready ## run the tests (COVERAGE=1 measures the coverage)
	@echo "Running the tests (a few minutes)."
	@$(if $(COVERAGE),COVERAGE_CORE=$$($(RUN) -c '$(FAST_MEASURE)')) $(RUN) -m pytest -q $(if $(COVERAGE),$(MEASURE)) $(ARGS)

.PHONY: lint
lint: $(VENV)/.ready ## check style, spelling, types and the layers of imports
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "Run $(BIN)/ruff format."; exit 1; }
	@$(BIN)/codespell
	@$(BIN)/lint-imports --no-logo --cache-dir $(VENV)/.import_linter_cache >$(VENV)/imports.log 2>&1 || { cat $(VENV)/imports.log; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@echo "ruff, codespell, import-linter and mypy find nothing."

.PHONY: docs-check
docs-check: $(VENV)/.ready ## check that what the documentation says is so
	@$(RUN) -m pytest -q -m docs $(ARGS)

.PHONY: gallery
gallery: $(VENV)/.ready ## run the notebook of the gallery and check what it shows
	@$(RUN) -m pytest -q tests/mindsdb/test_gallery.py $(ARGS)
	@echo "examples/gallery.ipynb ran to its end. It holds its pictures; to run it by hand, start make serve first."

.PHONY: servers
servers: $(VENV)/.ready ## ask real servers (9 GB the first time)
	@code=0; $(RUN) tests/servers/try_servers.py $(VENV)/servers $(ARGS) || code=$$?; $(RUN) docs/tables.py && exit $$code

# Guided by coverage where atheris can be installed; it has no wheel for every Python.
SECONDS ?= 1800
.PHONY: fuzz
fuzz: $(VENV)/.ready ## look for inputs that break it, for half an hour
	@$(RUN) -m pip install --quiet atheris 2>/dev/null || echo "atheris cannot be installed here: fuzzing without guidance."
	@$(RUN) -m tests.fuzz $(SECONDS)

.PHONY: bench
bench: $(VENV)/.ready ## measure against others, side by side
	@test -d benchmarks || { echo "There are no benchmarks here yet."; exit 1; }
	@$(RUN) -m benchmarks $(ARGS)

# More Pythons than those on the PATH and in pyenv: make matrix PYTHONS="/path/to/python3.12 /path/to/python3.13"
.PHONY: matrix
matrix: $(VENV)/.installed ## try every Python, older MindsDBs, the newest hub client (an hour)
	@code=0; $(RUN) tests/matrix/run.py $(ARGS) || code=$$?; $(RUN) docs/tables.py && exit $$code

.PHONY: rig
rig: $(VENV)/.ready ## show what MindsDB's task queue does when parts of it die (needs redis-server, PostgreSQL)
	@$(RUN) -m benchmarks.rig $(ARGS)

.PHONY: build
build: $(VENV)/.installed ## build wheel and source archive into dist/
	@rm -rf dist
	@$(RUN) -m hatchling build
	@ls -1 dist

.PHONY: audit
audit: $(VENV)/.installed ## look for known vulnerabilities in what is installed (asks PyPI)
	@$(RUN) -m pip install --quiet pip-audit 2>/dev/null || { echo "NOT AUDITED: pip-audit cannot be installed here."; exit 2; }
	@$(RUN) tests/audit.py $(ARGS)

# Into the MindsDB of your own: the Python that `python3` means, or the one named.
PYTHON_OF_MINDSDB ?= python3
FIND_MINDSDB := import importlib.util, sys; print(sys.executable if importlib.util.find_spec("mindsdb") else "")

.PHONY: install
install: ## install into your own MindsDB: make install PYTHON_OF_MINDSDB=/path/to/its/python
	@python=$$($(PYTHON_OF_MINDSDB) -c '$(FIND_MINDSDB)' 2>/dev/null); \
	if [ -z "$$python" ]; then \
		echo "There is no MindsDB in $(PYTHON_OF_MINDSDB). Name the Python that has it:"; \
		echo "  make install PYTHON_OF_MINDSDB=/path/to/its/bin/python"; \
		exit 1; \
	fi; \
	echo "Installing this package for $$python."; \
	"$$python" -m pip install --quiet . && cd / && "$$python" -m huggingface_api_handler install

.PHONY: clean
clean: ## remove what was built and installed here
	@if [ -x $(RUN) ] && [ -e $(VENV)/.ready ]; then $(RUN) -m huggingface_api_handler uninstall >/dev/null 2>&1 || true; fi
	@rm -rf $(VENV) dist build .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# Not built anew for each server: another one may be using the file.
$(VENV)/shop/shop.duckdb: $(shell find examples -name '*.csv' -o -name '*.png' -o -name '*.wav' -o -name '*.avi') \
		examples/make_shop.py | $(VENV)/.ready
	@mkdir -p $(@D) && $(RUN) examples/make_shop.py $@ >/dev/null

# --- how .venv comes to be: each step leaves a stamp, and is taken again when what it rests on has changed ---

$(VENV)/.made:
	@found=; \
	for python in $(or $(PYTHON),$(PYTHONS)); do \
		if "$$python" -c '$(FITS)' >/dev/null 2>&1; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "MindsDB needs Python 3.10, 3.11, 3.12 or 3.13, with venv and pip; none was found."; \
		for python in $(or $(PYTHON),$(PYTHONS)); do \
			version=$$("$$python" --version 2>/dev/null) && echo "  $$python is $$version"; \
		done; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..."; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$found" --version)."; \
	"$$found" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml requirements.txt
	@echo "Installing MindsDB and what the tests need into $(VENV): about 2 minutes and 1 GB the first time."
	@trap 'kill $$dots 2>/dev/null' EXIT; trap 'exit 130' INT TERM; \
	( while sleep 5 >/dev/null; do printf .; done ) & dots=$$!; \
	if $(RUN) -m pip install --disable-pip-version-check --editable '.[dev]' >$(LOG) 2>&1; then \
		printf ' done.\n'; \
	else \
		printf '\npip failed; the end of what it said (all of it is in $(LOG)):\n'; tail -n 20 $(LOG); exit 1; \
	fi
	@touch $@

$(VENV)/.ready: $(VENV)/.installed huggingface_api_handler/cli/link.py
	@$(RUN) -m huggingface_api_handler install >$(VENV)/link.log 2>&1 \
		|| { echo "Linking the package into MindsDB failed:"; cat $(VENV)/link.log; exit 1; }
	@touch $@
