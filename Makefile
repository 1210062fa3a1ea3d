# Every command of the project. CI calls these same targets.

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python -m
LAYERS := $(wildcard api adapters headend protocols migrations)
UNIT   := $(wildcard tests/protocols tests/headend tests/test_*.py)
ARGS   ?=
# Neighbours stay together, for they share servers; whoever is done early takes from the others.
SPREAD := --numprocesses=auto --dist=worksteal
# What Python has compiled is kept: the tests start it some hundred times.
export PYTHONDONTWRITEBYTECODE :=

PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(RUN) pip --quiet
UV  := 0.13.9

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo serve test check lint bench sim blunt audit lock clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  Options for a command go into ARGS, as in: make test ARGS="-k recharge"'

demo: $(VENV)/installed ## Show a recharge reach simulated meters, nothing else needed
	@$(VENV)/bin/headend demo $(ARGS)

serve: $(VENV)/installed ## Run the head-end (see deploy/ for its settings)
	@$(VENV)/bin/headend serve $(ARGS)

test: $(VENV)/installed-dev ## Run every test, against real PostgreSQL and Mosquitto
	@$(RUN) tests.install_servers
	@$(RUN) pytest $(SPREAD) $(ARGS)

check: lint ## Format, lint, types, import contracts, unit tests; no servers
	@$(RUN) pytest $(UNIT) $(ARGS)

lint: $(VENV)/installed-dev ## Format, lint, types, import contracts
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy $(LAYERS) tests
	@$(VENV)/bin/lint-imports

bench: $(VENV)/installed-dev ## Measure what a head-end of this machine can carry
	@$(RUN) tests.bench.run $(ARGS)

sim: $(VENV)/installed-dev ## Simulate cities with faults of every kind; again: make sim SEED=123
	@$(RUN) tests.city.run $(if $(SEED),--seed $(SEED)) $(ARGS)

blunt: $(VENV)/installed-dev ## Kill the real head-end, database and broker while it sells
	@$(RUN) tests.install_servers
	@$(RUN) tests.city.blunt $(ARGS)

audit: $(VENV)/installed-dev ## Ask the advisory databases about the locked packages
	@$(RUN) pip_audit --disable-pip --require-hashes -r requirements.txt

lock: $(VENV)/bin/python ## Pin the newest allowed packages with their hashes
	@$(PIP) install uv==$(UV)
	@$(RUN) uv $(LOCK) pyproject.toml -o requirements.txt
	@$(RUN) uv $(LOCK) --group dev -c requirements.txt pyproject.toml -o requirements-dev.txt

# Extras stay in the lock: without them older pips look for a newer release of the same package.
LOCK := pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-strip-extras --no-config --no-emit-index-url --no-header --no-annotate

clean: ## Remove the environment and every cache
	rm -rf $(VENV) build dist *.egg-info .coverage htmlcov .hypothesis \
	       .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment; a stamp is renewed when the lock or pyproject.toml changes ------------------

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "headend needs Python 3.11 or newer as $(PYTHON)." >&2; \
	  echo "Install one and name it: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); \
	  echo "Python has no venv module here. On Debian and Ubuntu:" >&2; \
	  echo "  apt-get install python3-venv" >&2; exit 1; }

$(VENV)/installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing the locked packages into $(VENV); the first time this takes a minute."
	@$(PIP) install --require-hashes -r requirements.txt
	@PYTHONWARNINGS=ignore $(PIP) install --no-deps -e .
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing the locked packages and the test tools into $(VENV); this takes a minute or two."
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@PYTHONWARNINGS=ignore $(PIP) install --no-deps -e .
	@touch $(VENV)/installed $@
