# make repro        the pipeline, its cohorts side by side: real TCGA lung cancer, and a simulated one
# make test         the tests that a change of the package needs
# make test-infra   the slow ones, whole runs of the pipeline, Docker, servers, browser and the workflows
# make lint         style, types and the pipeline's own consistency
# make dev          the environment with development tools, and the pre-commit hooks
# make docs         the documentation site, in site/; links that lead nowhere are errors
# make schema       params.schema.json, by which editors check params.yaml
# make experiments  what `dvc exp run` tried: changed parameters, and the network's cross-validated AUC
# make image        the container image `oncopixel`
# make docker-repro the pipeline in it: as you, without network, writing nothing but this folder

.DEFAULT_GOAL := help
.PHONY: help dev docs schema repro test test-infra lint prdiff experiments image docker-repro lock clean
VENV := .venv
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
READY_DOCS := $(VENV)/.ready-docs
PIP := $(VENV)/bin/pip install --quiet --disable-pip-version-check
EXPORT := uv export --quiet --frozen --no-emit-project --no-header --no-annotate --format requirements-txt
# The newest Python that the lock is made for.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

help:
	@sed -n 's/^# //p' Makefile | head -10

# What builds a package that has no wheel is locked, too: so it is installed first, and not fetched by pip.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found. Install one, or run: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	@echo "Building $(VENV) with $(PYTHON) from requirements.lock (once, a minute or two)"
	@$(PYTHON) -m venv --clear $(VENV) || { echo "error: this Python cannot make environments. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@awk '/^[^ ]/ {keep = /^(setuptools|wheel)==/} keep' requirements.lock >$(VENV)/builders.lock
	@$(PIP) --no-deps --require-hashes -r $(VENV)/builders.lock
	@$(PIP) --no-deps --require-hashes --no-build-isolation -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $(READY)

$(READY_DEV): $(READY) requirements-dev.lock
	@echo "Adding the tools of requirements-dev.lock to $(VENV) (once)"
	@$(PIP) --no-deps --require-hashes -r requirements-dev.lock
	@touch $(READY_DEV)

$(READY_DOCS): $(READY) requirements-docs.lock
	@echo "Adding what the documentation needs to $(VENV) (once)"
	@$(PIP) --no-deps --require-hashes -r requirements-docs.lock
	@touch $(READY_DOCS)

dev: $(READY_DEV)
	pre-commit install

docs: $(READY_DOCS)
	PYTHONPATH=src mkdocs build --strict

schema: $(READY)
	PYTHONPATH=src python -c "from oncopixel.core.params import json_schema; print(json_schema(), end='')" >params.schema.json

repro: $(READY)
	@scripts/repro.sh
	@PYTHONPATH=src python -m oncopixel list --html reports/index.html

# Files side by side, since fixtures are per file; in the order of the folders: the long ones come early.
PYTEST := python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
test: $(READY_DEV)
	$(PYTEST) -m "not slow" --ignore tests/pipeline --ignore tests/infra --ignore tests/browser

test-infra: $(READY_DEV) $(READY_DOCS)
	$(PYTEST) -m slow --ignore tests/pipeline --ignore tests/infra --ignore tests/browser
	$(PYTEST) tests/pipeline tests/infra tests/browser

lint: $(READY_DEV)
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	zizmor --offline --quiet .github
	check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	shellcheck .ci/run scripts/*.sh .github/scripts/*.sh
	hadolint Dockerfile

# What the work tree's results are beside those of a revision: make prdiff BASE=main
prdiff:
	@PYTHONPATH=src $(PYTHON) -m oncopixel.reporting.prdiff $(or $(BASE),HEAD)

# As docs/container.md says: make image BASE=... LOCK=requirements-gpu.lock
experiments: $(READY)
	@dvc exp show --no-pager --only-changed --drop 'Created|[^:]*(/|lock)[^:]*$$|.*:(?!cv$$)'

image:
	docker build --tag oncopixel $(foreach name,BASE LOCK,$(if $($(name)),--build-arg $(name)=$($(name)))) \
	  --build-arg VERSION=$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
	  --build-arg REVISION=$(shell git rev-parse HEAD) .

docker-repro:
	docker run --rm --init --network none --read-only --cap-drop ALL --security-opt no-new-privileges \
	  --tmpfs /tmp --user "$$(id -u):$$(id -g)" --volume "$(CURDIR)":/app oncopixel

lock: $(READY_DEV)
	uv lock --upgrade
	$(EXPORT) --extra cpu --extra s3 --no-default-groups --group build -o requirements.lock
	$(EXPORT) --extra gpu --extra s3 --no-default-groups --group build -o requirements-gpu.lock
	$(EXPORT) --extra cpu --extra s3 --extra ssh --extra dask --extra tune --all-groups --no-group docs -o requirements-dev.lock
	$(EXPORT) --only-group docs -o requirements-docs.lock

clean:
	rm -rf $(VENV) site
