# One command for each thing to do; `make help` lists them. Each target makes the environment that it needs.
# AIRFLOW, VENV, MATRIX, PYTHON, WORKERS, PYTEST and DEMO may be set on the command line: `AIRFLOW=2.11.2 make test`.

NEWEST := 3.3.2
AIRFLOW ?= $(NEWEST)
VENV ?= $(if $(filter $(NEWEST),$(AIRFLOW)),.venv,.venvs/airflow-$(AIRFLOW))
GROUPS = $(if $(filter $(NEWEST),$(AIRFLOW)),dev,test)
WORKERS ?= 2
TEST_WORKERS ?= 4
PYTEST ?=
DEMO ?=

BIN := $(VENV)/bin
READY := $(VENV)/.installed
SOURCES := pyproject.toml scripts/venv
# Whole deployments (PostgreSQL, scheduler, triggerer) take minutes each and have a target of their own.
# Twice as many processes as cores: half of the time tests wait for clocks and answers.
RUN_TESTS = -m pytest -q --show-capture=no -n $(TEST_WORKERS) --dist loadgroup --ignore=tests/deployment --ignore=tests/distributed \
	--ignore=tests/media_corpus --ignore=tests/scale -o faulthandler_timeout=120

SERVERS_TESTS = IINKED_SKIP_NOTHING=1 .venvs/servers/bin/python -m pytest -q

# Tests and measurements start many short processes; compiling Airflow again in each takes most of their time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z][a-zA-Z0-9._%-]*:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- environments

.PHONY: install
install: $(READY) ## Make .venv: Airflow, this package (editable), and what tests and checks need

$(READY): $(SOURCES) constraints/airflow-$(AIRFLOW).txt
	@mkdir -p $(dir $(VENV))
	@scripts/venv $(VENV) $(AIRFLOW) $(GROUPS)

.PHONY: constraints
constraints: $(READY) ## Write the constraints files again from today's releases
	@for version in $(NEWEST) 2.11.2 $(NEWEST)-servers; do UV=$(BIN)/uv scripts/constraints $$version; done

# --- see it work

.PHONY: demo
demo: $(READY) ## Watch a Dag wait, download, verify and delete, against the simulator
	@$(BIN)/python -m demo $(DEMO)

.PHONY: airflow
airflow: $(READY) ## Run Airflow with the example Dags and the simulator until Ctrl-C
	@$(BIN)/python -m demo.standalone

# --- checks

.PHONY: lint
lint: $(READY) ## ruff, mypy --strict and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: ci
ci: ## All that has to hold, as .ci/run does it
	@bash .ci/run

.PHONY: test
test: $(READY) ## The tests, on the newest Airflow; AIRFLOW=2.11.2 for another one
	$(BIN)/python $(RUN_TESTS) $(PYTEST)

.PHONY: test-matrix
test-matrix: $(READY) ## The tests on every Airflow and Python in use, an hour and a half; MATRIX="3.0.6 3.3.2-py3.13" for some
	$(BIN)/python scripts/matrix.py $(if $(MATRIX),--only $(MATRIX)) --workers $(WORKERS) \
		$(if $(PYTEST),$(PYTEST),--report docs/versions.md)

# --- checks against real servers on loopback; each of these targets fails when something that it needs is missing

.venvs/servers/.installed: $(SOURCES) constraints/airflow-$(NEWEST)-servers.txt
	@mkdir -p .venvs
	@scripts/venv .venvs/servers $(NEWEST)-servers test servers

AZURITE := .venvs/azurite/node_modules/.bin/azurite-blob
$(AZURITE):
	@scripts/debian npm npm --version
	@npm install --silent --no-audit --no-fund --prefix .venvs/azurite azurite@3

.PHONY: postgresql
postgresql:
	@scripts/debian postgresql sh -c 'ls /usr/lib/postgresql/*/bin/initdb || initdb --version'

.PHONY: test-stores
test-stores: .venvs/servers/.installed $(AZURITE) ## The chain against S3, Azure Blob, Google Cloud Storage and SFTP servers
	@scripts/debian openssh-server test -x /usr/sbin/sshd
	KILLS=$${KILLS:-10} KILLS_STEP=$${KILLS_STEP:-499} \
		$(SERVERS_TESTS) -n $(WORKERS) tests/stores tests/server_checks tests/crash/test_kills_stores.py \
		--ignore=tests/server_checks/test_swift.py --ignore=tests/stores/test_swift_stores.py $(PYTEST)

SWIFT := swift-proxy swift-account swift-container swift-object python3-swift python3-keystonemiddleware
.PHONY: test-stores-real
test-stores-real: .venvs/servers/.installed ## The chain against OpenStack Swift with its S3 API, from Debian's packages
	@for package in $(SWIFT); do scripts/debian $$package dpkg -s $$package; done
	$(SERVERS_TESTS) tests/server_checks/test_swift.py tests/stores/test_swift_stores.py $(PYTEST)

.PHONY: test-celery
test-celery: .venvs/servers/.installed postgresql ## The chain on CeleryExecutor: a worker lost, the broker restarted
	@scripts/debian redis-server redis-server --version
	$(SERVERS_TESTS) tests/distributed/test_celery.py $(PYTEST)

# The edge3 provider, from the group `edge` of pyproject.toml, at the versions of constraints/.
.venvs/edge/.installed: $(SOURCES) constraints/airflow-$(NEWEST).txt
	@mkdir -p .venvs
	@scripts/venv .venvs/edge $(NEWEST) test edge

.PHONY: test-edge
test-edge: .venvs/edge/.installed postgresql ## The chain on EdgeExecutor, workers lost and stopped; XComs in an object store
	IINKED_SKIP_NOTHING=1 .venvs/edge/bin/python -m pytest -q tests/distributed \
		--ignore tests/distributed/test_celery.py $(PYTEST)

FIX_WEBM := .venvs/fix-webm-duration/node_modules/fix-webm-duration
$(FIX_WEBM)/fix-webm-duration.js:
	@scripts/debian npm npm --version
	@npm install --silent --no-audit --no-fund --prefix .venvs/fix-webm-duration fix-webm-duration@1

.PHONY: gstreamer
gstreamer:
	@scripts/debian gstreamer1.0-tools gst-inspect-1.0 --version
	@scripts/debian gstreamer1.0-plugins-base gst-inspect-1.0 opusenc
	@scripts/debian gstreamer1.0-plugins-good gst-inspect-1.0 webmmux
	@scripts/debian gstreamer1.0-plugins-bad gst-inspect-1.0 h264parse
	@scripts/debian gstreamer1.0-plugins-ugly gst-inspect-1.0 x264enc
	@scripts/debian gstreamer1.0-libav gst-inspect-1.0 avenc_aac

.PHONY: test-media
test-media: $(READY) $(FIX_WEBM)/fix-webm-duration.js gstreamer ## Recordings of ffmpeg, GStreamer and Chromium, whole and broken
	@scripts/debian ffmpeg ffmpeg -version
	@scripts/debian chromium chromium --version
	IINKED_SKIP_NOTHING=1 FIX_WEBM_DURATION=$(FIX_WEBM) $(BIN)/python -m pytest -q tests/media_corpus $(PYTEST)

.PHONY: test-browser
test-browser: .venvs/servers/.installed postgresql ## Connection form and approval in Chromium; IINKED_SCREENSHOTS=docs/images keeps pictures
	@scripts/debian chromium chromium --version
	$(SERVERS_TESTS) tests/browser $(PYTEST)

.PHONY: test-deployment
test-deployment: $(READY) postgresql ## Hundreds of waits under a real scheduler, triggerer and PostgreSQL; AIRFLOW=2.11.2 too
	IINKED_SKIP_NOTHING=1 $(BIN)/python -m pytest -q tests/deployment \
		--ignore tests/deployment/test_approval.py --ignore tests/deployment/test_stop.py \
		$(if $(filter 2.%,$(AIRFLOW)),-k "not start_a_run") $(PYTEST)

.PHONY: test-approval
test-approval: $(READY) postgresql ## A person's approval under a real scheduler and API server; Airflow 3.1 and newer
	IINKED_SKIP_NOTHING=1 $(BIN)/python -m pytest -q tests/deployment/test_approval.py $(PYTEST)

.PHONY: test-scale
test-scale: $(READY) postgresql ## 20,000 packages in 400 batches while tasks and the scheduler are killed, an hour; SCALE_PACKAGES=2000 for less
	IINKED_SKIP_NOTHING=1 $(BIN)/python -m pytest -q tests/scale $(PYTEST)

.PHONY: test-stop
test-stop: $(if $(filter $(NEWEST),$(AIRFLOW)),.venvs/servers/.installed,$(READY)) postgresql ## Tasks marked, timed out, SIGTERM in the middle; ten minutes; AIRFLOW=2.11.2 too
	$(if $(filter $(NEWEST),$(AIRFLOW)),$(SERVERS_TESTS),IINKED_SKIP_NOTHING=1 $(BIN)/python -m pytest -q -k "not s3") \
		tests/deployment/test_stop.py $(PYTEST)

.PHONY: test-kill
test-kill: .venvs/servers/.installed $(AZURITE) ## 200 kills at random on disk, S3, GCS and Azure each, and at every act
	KILLS=200 KILLS_STEP=$(or $(KILLS_STEP),13) $(SERVERS_TESTS) tests/crash $(PYTEST)

.PHONY: test-mutations
test-mutations: $(READY) ## Break rules of the package on purpose, one at a time; the random histories have to find each
	$(BIN)/python -m tests.stateful.mutations

.PHONY: test-long
test-long: $(READY) ## 200 random histories of 50 steps, 100,000 malformed bodies, memory of tasks with many packages
	STATEFUL_EXAMPLES=200 STATEFUL_STEPS=50 BODIES=100000 BATCH_MEMORY=1 $(BIN)/python -m pytest -q \
		tests/stateful tests/fuzz tests/pipeline/test_batch_memory.py $(PYTEST)

.PHONY: bench
bench: $(READY) .venvs/servers/.installed $(AZURITE) postgresql ## Measure side by side and write docs/benchmarks.md; BENCH="--only downloading" for a part of it
	$(BIN)/python -m benchmarks $(BENCH)

# --- docs

.PHONY: docs
docs: $(READY) ## Build the docs site into docs/_build/html; a warning is an error
	@$(BIN)/uv pip install -q -p $(BIN)/python -r docs/requirements.txt || $(BIN)/python -m pip install -q -r docs/requirements.txt
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

.PHONY: docs-check
docs-check: $(READY) ## Every link, anchor, snippet and public name of the docs leads somewhere
	$(BIN)/python -m pytest -q tests/docs

.PHONY: dist
dist: $(READY) ## Build wheel and sdist, check them, install the wheel into an empty environment
	@$(BIN)/python scripts/check_dist.py

.PHONY: clean
clean: ## Remove what the targets made, the environments too
	rm -rf .demo .airflow .test .venvs dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis $(VENV)
