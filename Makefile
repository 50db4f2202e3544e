# Every target works as the first command in a fresh clone, with only Python 3.11+, make and a package registry.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-bench bench demo run test proto docs lock format lint verify chaos chaos-replicas rolling explore simulate bugs bench-history clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# protoc finds its plugins, and the tests find grpcurl, by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## list what make offers
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(READY) ## build .venv from requirements.lock; the others do so when needed

# A rebuild starts from nothing, so that no package which left the lock stays behind.
$(VENV)/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@echo "building $(VENV) from requirements.lock (once; about a minute) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(READY): $(VENV)/.locked pyproject.toml
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

demo: $(READY) ## a delivered, a declined and an undeliverable order
	@$(BIN)/oms demo

run: $(READY) ## the four services in the foreground, data in var/; Ctrl-C drains
	@$(BIN)/oms up

# A file is one worker's, so that what its tests share is made once.
test: $(READY) ## every test
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

PROTOS := $(sort $(shell find protos -name '*.proto'))
SERVICE_PROTOS := $(filter %_service.proto,$(PROTOS))

# Writes the stubs into $(1). Services alone get gRPC stubs: from a file of messages they would be empty. The descriptor set
# keeps the comments of the contract, which the stubs drop, so that server reflection can show them.
define protoc
	mkdir -p $(1)/oms
	$(BIN)/python -m grpc_tools.protoc -Iprotos \
		--python_out=$(1) --mypy_out=quiet:$(1) \
		--include_imports --include_source_info --descriptor_set_out=$(1)/oms/descriptors.binpb $(PROTOS)
	$(BIN)/python -m grpc_tools.protoc -Iprotos \
		--grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) $(SERVICE_PROTOS)
endef

proto: $(READY) ## regenerate generated/ from protos/
	@rm -rf generated/oms
	@$(call protoc,generated)

docs: $(READY) ## write the diagrams and tables in docs/ and README.md anew
	@$(BIN)/python -m docs.generate

COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11

# The image needs less than a developer: what it runs on, and what builds our wheel, at the same versions.
lock: $(READY) ## resolve the dependencies anew into requirements*.lock
	$(COMPILE) --upgrade --extra dev pyproject.toml -o requirements.lock
	$(COMPILE) --upgrade -c requirements.lock pyproject.toml -o requirements-run.lock
	$(COMPILE) --upgrade -c requirements.lock --group build -o requirements-build.lock
	$(COMPILE) --upgrade -c requirements.lock --group bench pyproject.toml -o requirements-bench.lock

format: $(READY) ## format code and protos
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/buf format --write

lint: $(READY) ## types, style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

# What the contract is compared with: the last release, or the commit before this one while there is none.
BASELINE ?= $(shell git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || git rev-parse --verify --quiet HEAD~1)

verify: $(READY) ## contract, generated code, diagrams, import rules, deploy/
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(if $(BASELINE),$(BIN)/buf breaking --against '.git#ref=$(BASELINE)',@echo "no earlier commit to compare the contract with")
	@stale=$$(mktemp -d); trap 'rm -rf "$$stale"' EXIT; \
	$(MAKE) --no-print-directory proto-into OUT="$$stale"; \
	diff -r --exclude=__pycache__ "$$stale/oms" generated/oms \
		|| { echo "generated/ is not what protos/ gives: run 'make proto' and commit the result" >&2; exit 1; }
	$(BIN)/python -m docs.generate --check
	$(BIN)/python -m pytest tests/rules tests/deploy

explore: $(READY) ## every fault at every point of a process, and every pair
	@$(BIN)/python -m bench.simulator explore

SEEDS ?= 100

simulate: $(READY) ## many orders, orchestrators and faults, from seeds: SEEDS=1000
	@$(BIN)/python -m bench.simulator simulate --seeds $(SEEDS)

bugs: $(READY) ## plant bugs, see each found, and write docs/planted_bugs.md
	@$(BIN)/python -m bench.simulator bugs

ORDERS ?= 5000

chaos: $(READY) ## services killed under load, then audited: ORDERS=5000 SEED=...
	@$(BIN)/python -m bench.chaos --orders $(ORDERS) $(if $(SEED),--seed $(SEED))

MANY := --orchestrators 3 --participants 2

chaos-replicas: $(READY) ## the same with replicas of each on one PostgreSQL: ORDERS=5000
	@$(BIN)/python -m bench.chaos $(MANY) --orders $(ORDERS) $(if $(SEED),--seed $(SEED))

rolling: $(READY) ## these restarted one by one under load: ORDERS=5000 ROUNDS=2
	@$(BIN)/python -m bench.chaos $(MANY) --rolling $(or $(ROUNDS),2) --orders $(ORDERS) $(if $(SEED),--seed $(SEED))

PROCESSES ?= 1000000

bench-history: $(READY) ## what a log of a million processes costs: PROCESSES=1000000
	@$(BIN)/python -m bench.history --processes $(PROCESSES)

# What the benchmarks are compared with, and drawn with, lives apart: the product never needs it.
BENCH_VENV := .venv-bench

$(BENCH_VENV)/.locked: requirements-bench.lock
	@echo "building $(BENCH_VENV) from requirements-bench.lock (once; about a minute) ..."
	@$(PYTHON) -m venv --clear $(BENCH_VENV)
	@$(BENCH_VENV)/bin/pip install -qq --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

setup-bench: $(BENCH_VENV)/.locked ## build .venv-bench: DBOS to compare with, matplotlib to draw with

# SECTIONS: compare participants log many overload outage. CONTENDERS and LOADS: some of them, with commas.
bench: ROUNDS = 5
bench: $(READY) ## how fast, beside others: ROUNDS=5 SECTIONS=... CONTENDERS=... LOADS=... QUICK=1
	@$(BIN)/python -m bench.speed $(SECTIONS) --rounds $(ROUNDS) $(if $(CONTENDERS),--contenders $(CONTENDERS)) \
		$(if $(LOADS),--loads $(LOADS)) $(if $(QUICK),--quick)

.PHONY: proto-into
proto-into: $(READY)
	@$(call protoc,$(OUT))

clean: ## remove what can be built again (not var/)
	rm -rf $(VENV) $(BENCH_VENV) .mypy_cache .ruff_cache .hypothesis build dist
