# One command for each thing to do; `make help` lists them. Each target makes the environment that it needs.
# VENV, AIRFLOW, MATRIX, PYTHON, WORKERS, PYTEST and DEMO may be set on the command line.

AIRFLOW ?= 3.3.2
MATRIX ?= 3.3.2 2.11.2
VENV ?= .venv
WORKERS ?= 2
PYTEST ?=
DEMO ?=

BIN := $(VENV)/bin
READY := $(VENV)/.installed
SOURCES := pyproject.toml scripts/venv
# Whole deployments (PostgreSQL, scheduler, triggerer) take minutes each and have a target of their own.
RUN_TESTS = -m pytest -q --show-capture=no -n $(WORKERS) --ignore=tests/deployment --ignore=tests/distributed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z][a-zA-Z0-9._%-]*:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- environments

.PHONY: install
install: $(READY) ## Make .venv: Airflow, this package (editable), and what tests and checks need

$(READY): $(SOURCES) constraints/airflow-$(AIRFLOW).txt
	@scripts/venv $(VENV) $(AIRFLOW) dev

.venvs/airflow-%/.installed: $(SOURCES) constraints/airflow-%.txt
	@mkdir -p .venvs
	@scripts/venv .venvs/airflow-$* $* test

.PHONY: constraints
constraints: $(READY) ## Write the constraints files anew from today's releases
	@for version in $(MATRIX) $(AIRFLOW)-stores; do UV=$(BIN)/uv scripts/constraints $$version; done

# --- see it work

.PHONY: demo
demo: $(READY) ## Watch a Dag wait, download, prove and delete, against the simulator
	@$(BIN)/python -m demo $(DEMO)

.PHONY: airflow
airflow: $(READY) ## Run Airflow with the example Dags and the simulator until Ctrl-C
	@$(BIN)/python -m demo.standalone

# --- checks

.PHONY: lint
lint: $(READY) ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: test
test: $(READY) ## The tests, on the newest Airflow
	$(BIN)/python $(RUN_TESTS) $(PYTEST)

.PHONY: test-matrix
test-matrix: $(MATRIX:%=test-airflow-%) ## The tests on each Airflow of MATRIX

.PHONY: $(MATRIX:%=test-airflow-%)
$(MATRIX:%=test-airflow-%): test-airflow-%: .venvs/airflow-%/.installed
	.venvs/airflow-$*/bin/python $(RUN_TESTS) $(PYTEST)

.venvs/stores/.installed: $(SOURCES) constraints/airflow-$(AIRFLOW)-stores.txt
	@mkdir -p .venvs
	@scripts/venv .venvs/stores $(AIRFLOW)-stores test stores
	@npm install --silent --no-audit --no-fund --prefix .venvs/stores azurite@3
	@touch $@

.PHONY: test-stores
test-stores: .venvs/stores/.installed ## The chain against S3 (moto) and Azure Blob (azurite), servers on loopback
	IINKED_TEST_STORES=1 AIRFLOW_HOME=$(CURDIR)/.test/stores .venvs/stores/bin/python -m pytest -q tests/stores $(PYTEST)

.PHONY: test-deployment
test-deployment: $(READY) ## Hundreds of waits under a real scheduler, triggerer and PostgreSQL
	AIRFLOW_HOME=$(CURDIR)/.test/deployment $(BIN)/python -m pytest -q tests/deployment $(PYTEST)

.PHONY: test-kill
test-kill: $(READY) ## Kill the worker 200 times at random moments of the chain, and at every single act of it
	KILLS=200 AIRFLOW_HOME=$(CURDIR)/.test/kill $(BIN)/python -m pytest -q tests/kills $(PYTEST)

.PHONY: test-versions
test-versions: $(READY) ## A selection of the tests on every Airflow in use, each with the dependencies of its time
	$(BIN)/python scripts/matrix.py

.PHONY: bench
bench: $(READY) ## Measure side by side and write docs/benchmarks.md; BENCH="--only downloading" for a part of it
	AIRFLOW_HOME=$(CURDIR)/.test/bench $(BIN)/python -m benchmarks $(BENCH)

# --- docs

.PHONY: docs
docs: $(READY) ## Build the docs site into docs/_build/html; a warning is an error
	@$(BIN)/uv pip install -q -p $(BIN)/python -r docs/requirements.txt || $(BIN)/python -m pip install -q -r docs/requirements.txt
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

.PHONY: dist
dist: $(READY) ## Build wheel and sdist, check them, install the wheel into an empty environment
	@$(BIN)/python scripts/check_dist.py

.PHONY: clean
clean: ## Remove what the targets made, the environments too
	rm -rf .demo .airflow .test .venvs dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis $(VENV)
