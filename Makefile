# What a developer runs. `make help` lists it. Nothing outside the checkout is written but the cache (dev/cache.py) and,
# where something is missing and root may install it, Debian packages.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# cluster-down and kubeconfig must also work where nothing is installed yet.
ANY_PYTHON = $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
# Name of the cluster that cluster, cluster-down and kubeconfig mean; if absent: dev, and for kubeconfig also demo where
# that is the one that is there. The tests have their own.
NAME ?=
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.SUFFIXES:
.PHONY: help setup check lint unit test soak bench bench-cluster demo demo-down cluster cluster-down kubeconfig image clean

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "CLUSTER=current|kind|local says where clusters come from; if absent: kind where Docker answers, local otherwise."
	@echo "KEEP_CLUSTER=1 keeps the cluster of 'make test'; IMAGE=... uses an image that the cluster can pull."

setup: $(VENV)/.installed ## Install all that the other targets need (minutes the first time, then a second)
	@$(BIN)/python -m dev.cluster prepare
	@$(BIN)/python -m dev.postgres install >/dev/null

# The stamp is written last, so an installation that was cut short is done again.
$(VENV)/.installed: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(PYTHON) -m dev.debian python3-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

check: setup lint unit ## Lint, types, layers, generated files and unit tests: under a minute

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=tests $(BIN)/mypy dev tests benchmarks
	$(BIN)/lint-imports
	$(BIN)/schema-operator crd --check
	$(BIN)/python -m dev.reference --check

unit: setup
	$(BIN)/pytest --quiet tests/unit

# Tests on real servers run on the newest PostgreSQL and on one of 13 to 17; SERVERS=all runs each on every version.
SERVERS ?=
test: setup lint ## Everything: check, then all tests on real PostgreSQL servers and a real cluster
	SERVERS=$(SERVERS) $(BIN)/pytest $(PYTEST_ARGS)

# How many runs `make soak` breaks, and the seed of the moments it breaks them at.
KILLS ?= 10000
SEED ?= 4
soak: setup ## Break ten thousand runs at random moments, and prove after each that nothing is lost
	SCHEMA_OPERATOR_KILLS=$(KILLS) SCHEMA_OPERATOR_SEED=$(SEED) $(BIN)/pytest -rP -k random_kills tests/faults $(PYTEST_ARGS)

bench: setup ## Measure speed and memory beside other tools (40 minutes; nothing else should be at work)
	$(BIN)/python benchmarks/runner_start.py
	$(BIN)/python -m benchmarks.migrations
	$(BIN)/python -m benchmarks.large_script
	$(BIN)/python -m benchmarks.locks
	$(BIN)/python -m benchmarks.archives
	$(BIN)/python -m benchmarks.backfill

bench-cluster: setup ## Measure what a change takes in a cluster, and what the controller costs
	$(BIN)/python -m benchmarks.apply_to_ready
	$(BIN)/python -m benchmarks.controller_idle
	$(BIN)/python -m benchmarks.controller_speed
	$(BIN)/python -m benchmarks.many_databases
	$(BIN)/python -m benchmarks.scale 1000
	$(BIN)/python -m benchmarks.scale 10000

demo: setup ## Show the operator at work on a cluster named demo
	$(BIN)/python -m dev.demo up

demo-down: $(VENV)/.installed ## Remove the demo
	$(BIN)/python -m dev.demo down

cluster: setup ## Start a cluster (NAME=dev)
	@$(BIN)/python -m dev.cluster up $(NAME)

cluster-down: ## Remove a cluster (NAME=dev)
	@$(ANY_PYTHON) -m dev.cluster down $(NAME)

kubeconfig: ## Print where the kubeconfig of a cluster is (NAME=dev, or demo), and nothing else
	@$(ANY_PYTHON) -m dev.cluster kubeconfig $(NAME)

image: setup ## Build the image and print its name
	@$(BIN)/python -m dev.image

clean: ## Remove what was made in the checkout; the cache outside stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find operator dev tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
