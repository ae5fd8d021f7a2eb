# Everything happens in .venv: `make setup` fills it once, the other targets call it first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The oldest scikit-learn that pyproject.toml allows, beside the pinned one: its checks are run, too.
LOWEST := $(VENV)/lowest-scikit-learn

.DEFAULT_GOAL := help
.PHONY: help setup demo test lock

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with every package pinned in constraints.txt (once)

demo: setup ## train a small network on the digits, track it in MLflow, show where to look
	@$(BIN)/kerasflow run experiments/digits_mlp/spec.yaml

test: setup ## lint, types, import contracts, tests
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "Some files are not formatted: run $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache >$(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log >&2; exit 1; }
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

lock: | $(BIN)/uv ## renew constraints.txt after a change of pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --quiet --all-extras --universal --python-version 3.11 \
		--annotation-style line --no-emit-index-url --custom-compile-command "make lock" --output-file constraints.txt

# Only where it is missing: setup installs by the very pins that `make lock` is to renew.
$(BIN)/uv:
	@$(MAKE) --no-print-directory setup

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kerasflow needs Python 3.11 or newer, and $(PYTHON) is %d.%d: name another, as in make setup PYTHON=python3.12" % sys.version_info[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing kerasflow and its pinned packages into $(VENV) (some minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(LOWEST) scikit-learn==1.6.0
	@touch $@
