# Every target works as the first command in a fresh clone, with only Python 3.11+, make and a package registry.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# protoc finds its plugins by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## list what make offers
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 12

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=/path/to/it" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $(READY)

setup: $(READY) ## build .venv from the lock

PROTOS := $(sort $(shell find protos -name '*.proto'))
SERVICE_PROTOS := $(filter %_service.proto,$(PROTOS))

# Writes the stubs to $(1). Services alone get gRPC stubs: message files would only yield empty ones. The descriptor set
# keeps the comments of the contract, which the stubs drop, so that reflection can serve them.
define protoc
mkdir -p $(1)/oms
$(BIN)/python -m grpc_tools.protoc -Iprotos \
	--python_out=$(1) --mypy_out=quiet:$(1) \
	--include_imports --include_source_info --descriptor_set_out=$(1)/oms/descriptors.binpb $(PROTOS)
$(BIN)/python -m grpc_tools.protoc -Iprotos \
	--grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) $(SERVICE_PROTOS)
endef

proto: $(READY) ## regenerate generated/ from protos/
	rm -rf generated/oms
	$(call protoc,generated)
