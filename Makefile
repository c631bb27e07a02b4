# make repro   the pipeline on the shipped data: real TCGA lung cancer, and the simulated cohort
# make test    the whole test suite
# make lint    style, types and the pipeline's own consistency

.DEFAULT_GOAL := help
.PHONY: help repro test lint lock clean
VENV := .venv
READY := $(VENV)/.ready
# The newest Python that the lock is made for.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

help:
	@sed -n 's/^# //p' Makefile | head -3

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found. Install one, or run: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	@echo "Building $(VENV) with $(PYTHON) from requirements.lock (once, a minute or two)"
	@$(PYTHON) -m venv --clear $(VENV) || { echo "error: this Python cannot make environments. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

repro: $(READY)
	dvc repro

test: $(READY)
	python -m pytest

lint: $(READY)
	ruff format --check .
	ruff check .
	mypy

lock:
	uv lock --upgrade
	uv export --quiet --frozen --extra cpu --no-emit-project --no-header --no-annotate --format requirements-txt -o requirements.lock

clean:
	rm -rf $(VENV)
