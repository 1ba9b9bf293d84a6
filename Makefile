# Needs Python 3.11 or newer with pip; everything else comes from requirements/, checked by hash.

PYTHON ?=
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
E2E := $(VENV)-e2e/bin
# What drives the machines that pyproject.toml lists for coverage, and opens few sockets.
MACHINES := tests/text tests/test_corpus.py tests/emulation tests/backends tests/cli/test_anonymous.py \
	$(wildcard $(foreach name,wire calls gaps cookies session,tests/upstreams/*/test_$(name).py)) \
	$(foreach name,card cases judges raw statistics,tests/verification/test_$(name).py)
CLIENTS := tests/clients/node
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help run test measure coverage e2e conformance deploy-check fuzz check lint fmt bench release lock dev e2e-dev clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile
	@echo 'ARGS="..." is passed on, as in: make run ARGS="--port 9000", make test ARGS="-k chat"'

run: ## Install the gateway and start it
	@scripts/venv --project $(VENV) build run
	@exec $(BIN)/python -m gptoss_api serve $(ARGS)

test: dev ## Install what the tests need and run them
	@$(BIN)/python -m tests $(ARGS)

measure: dev ## Run the tests that measure, with nothing beside them
	@$(BIN)/python -m tests measure $(ARGS)

coverage: dev ## Measure the branches that the tests of the machines without sockets reach
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest --hypothesis-profile=ci -n 2 -q $(MACHINES) $(ARGS)
	@$(BIN)/python -m coverage combine -q
	@$(BIN)/python -m coverage report

e2e: $(CLIENTS)/node_modules/.package-lock.json ## Drive the gateway with frameworks and JavaScript clients (tests/clients)
	@$(E2E)/python -m tests of tests/clients $(ARGS)

conformance: ## Run the suites that say what a server must do, and write docs/conformance.md
	@scripts/venv --project $(VENV)-conformance conformance
	@$(VENV)-conformance/bin/python -m pytest -o asyncio_default_test_loop_scope=session \
		tests/conformance --report docs/conformance.md $(ARGS)

deploy-check: ## Try what is in deploy/: proxies, replicas, chart, image, alerts (tests/deploy)
	@scripts/venv --project $(VENV)-deploy deploy
	@$(VENV)-deploy/bin/python -m tests of tests/deploy $(ARGS)

fuzz: dev ## Send the gateway what its description does not allow, and its machines broken bytes
	@scripts/venv $(VENV)-fuzz fuzz
	@scripts/venv --project $(VENV)-guided run guided
	@SCHEMATHESIS=$(VENV)-fuzz/bin/schemathesis GUIDED=$(VENV)-guided/bin/python \
		$(BIN)/python -m tests of tests/fuzz $(ARGS)

check: lint test measure ## Everything a change must pass: lint, test and measure

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

release: ## Build what is published into dist/, install it in empty environments and try it
	@scripts/venv $(VENV)-release release
	@$(VENV)-release/bin/python scripts/release.py

lock: ## Pin the dependencies of pyproject.toml anew; ARGS=--upgrade takes newer releases
	@scripts/venv $(VENV)-tools tools
	@scripts/lock $(VENV)-tools/bin/uv $(ARGS)

dev:
	@scripts/venv --project $(VENV) dev

e2e-dev:
	@scripts/venv --project $(VENV)-e2e e2e

# The environment brings its own Node.js.
$(CLIENTS)/node_modules/.package-lock.json: $(CLIENTS)/package-lock.json | e2e-dev
	@echo "Installing $<"
	@$(E2E)/npm ci --prefix $(CLIENTS) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

clean: ## Remove what make and the tools have made
	rm -rf $(VENV) $(VENV)-* $(CLIENTS)/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache .hypothesis
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +
