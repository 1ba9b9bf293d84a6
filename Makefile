# Needs Python 3.11 or newer with pip; everything else comes from requirements/, checked by hash.

PYTHON ?=
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help run test check lint fmt bench audit lock dev clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-7s %s\n", $$1, $$2 }' Makefile
	@echo 'ARGS="..." is passed on, as in: make run ARGS="--port 9000", make test ARGS="-k chat"'

run: ## Install the gateway and start it
	@scripts/venv --project $(VENV) build run
	@exec $(BIN)/python -m gptoss_api serve $(ARGS)

test: dev ## Install what the tests need and run them
	@$(BIN)/python -m pytest $(ARGS)

check: lint test ## Everything a change must pass: lint and test

lint: dev ## Format, rules, import arrows, types
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy

fmt: dev ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

bench: dev ## Compare with other programs, side by side (bench/README.md)
	@$(BIN)/python -m bench.run $(ARGS)

audit: ## Ask PyPI for known vulnerabilities of what is pinned
	@scripts/venv $(VENV)-tools tools
	@$(VENV)-tools/bin/pip-audit --require-hashes --disable-pip -r requirements/run.txt -r requirements/dev.txt

lock: ## Pin the dependencies of pyproject.toml anew; ARGS=--upgrade takes newer releases
	@scripts/venv $(VENV)-tools tools
	@scripts/lock $(VENV)-tools/bin/uv $(ARGS)

dev:
	@scripts/venv --project $(VENV) dev

clean: ## Remove what make and the tools have made
	rm -rf $(VENV) $(VENV)-* build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +
