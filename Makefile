# The two commands are `make run` and `make test`; `make` lists the rest.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# Passed on to the command: make test ARGS="-k receipt -x"
ARGS ?=
# Test processes, each with a Postgres and a Temporal of its own.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n : 4)))

# The first Python that is new enough and can make a virtual environment. A name on
# PATH may be a shim that refuses to run, so each is asked.
FIT := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3,\
	$(if $(shell $(p) -c '$(FIT)' >/dev/null 2>&1 && echo yes),$(p))))

##@ Use
.PHONY: run demo reset
run: $(VENV)/.run ## Run the whole stack here, with a demo election and one ballot
	@exec $(BIN)/votepyramid up $(ARGS)

demo: $(VENV)/.run ## Replay the 5,650 ballots of a real ward and compare the counts
	@exec $(BIN)/votepyramid replay demo/minneapolis-2017-ward-9.csv $(ARGS)

reset: $(VENV)/.run ## Throw the state of `make run` away
	@exec $(BIN)/votepyramid reset $(ARGS)

##@ Check
.PHONY: test lint bench bench-proofs bench-pages
test: $(VENV)/.dev ## Run the whole suite on a real Postgres and a real Temporal
	@exec $(BIN)/pytest -n $(JOBS) $(ARGS)

lint: $(VENV)/.dev ## Check style, types and which package may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.dev ## Measure against one workflow per vote (needs Debian's PostgreSQL)
	@exec $(BIN)/python -m bench $(ARGS)

bench-proofs: $(VENV)/.dev ## Measure the logs, proofs and an audit, with a million votes
	@exec $(BIN)/python -m bench.proofs $(ARGS)

bench-pages: $(VENV)/.dev ## Measure the administrators' pages, with a million votes
	@exec $(BIN)/python -m bench.pages $(ARGS)

##@ Maintain
.PHONY: screenshots lock clean help
screenshots: $(VENV)/.dev ## Take the pictures of docs/images anew
	@exec $(BIN)/pytest -q tests/admin_ui/screenshots.py

COMPILE := uv pip compile --quiet --universal --generate-hashes --no-annotate \
	--no-header --python-version 3.11
lock: ## Pin the newest versions that pyproject.toml allows (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv on PATH." >&2; exit 1; }
	@$(COMPILE) --upgrade -o requirements.lock pyproject.toml
	@$(COMPILE) --upgrade -c requirements.lock --extra dev -o requirements-dev.lock \
		pyproject.toml

clean: ## Remove the virtual environment and caches; `var/` stays
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The virtual environment. A stamp file says which lock is in it, so that the second
# time nothing is asked of a package index.
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-input
COUNT := awk '/^Collecting / {if (++n % 10 == 0) print "  " n " packages"} \
	/ERROR|error:/ {print > "/dev/stderr"}'

$(BIN)/pip:
	@if [ -z "$(PYTHON)" ]; then echo "votepyramid needs Python 3.11 or newer with" \
		"venv (Debian: apt-get install python3-venv); PYTHON=/path/to/python" \
		"names one that is not on PATH." >&2; exit 1; fi
	@echo "Making $(VENV) with $(PYTHON)."
	@$(PYTHON) -m venv $(VENV)

define install
	@echo "Installing the packages of $(1) into $(VENV) (about a minute)."
	@set -o pipefail; $(INSTALL) --require-hashes -r $(1) | $(COUNT)
	@$(INSTALL) --quiet --no-deps --no-build-isolation -e .
endef

$(VENV)/.run: requirements.lock pyproject.toml setup.py | $(BIN)/pip
	$(call install,requirements.lock)
	@touch $@

# The larger lock holds all of the smaller one, so both stamps are made.
$(VENV)/.dev: requirements-dev.lock pyproject.toml setup.py | $(BIN)/pip
	$(call install,requirements-dev.lock)
	@touch $(VENV)/.run $@
