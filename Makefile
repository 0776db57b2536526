# Admit: `make help` lists what can be asked. Only Python 3.11+, make and the package index are needed.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
READY := .venv/.made-from-lock
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint types contract timing proof bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' Makefile

$(READY): requirements.lock pyproject.toml scripts/environment.py
	@$(PYTHON) scripts/environment.py $@

demo: $(READY) ## the demo on http://localhost:8000 (another port: PORT=8080)
	@$(BIN)/admit demo --port $(PORT)

test: $(READY) ## every check and every test; the last line counts them
	@$(BIN)/python scripts/run_tests.py $(ARGS)

lint: $(READY) ## style and likely mistakes (ruff)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(READY) ## types (mypy, strict)
	@$(BIN)/mypy && $(BIN)/mypy scripts tests/parts tests/conftest.py

contract: $(READY) ## which room may import which (import-linter)
	@$(BIN)/lint-imports --no-logo

timing: $(READY) ## does a refusal take as long for an unknown account as for a known one
	@$(BIN)/python -m benchmarks.timing $(ARGS)

proof: $(READY) ## security requirements: how many have a test, and which have none
	@$(BIN)/python scripts/proof.py $(ARGS)

bench: $(READY) ## speed, as ratios measured in one run
	@$(BIN)/python -m benchmarks $(ARGS)

lock: $(READY) ## pin the newest allowed dependencies again, with hashes
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes pyproject.toml \
		--group dev --all-extras -o requirements.lock

clean: ## remove the environment, caches and the demo's state
	rm -rf .venv .admit build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
