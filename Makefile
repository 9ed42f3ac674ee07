# `make run` crawls the bundled demo site; `make test` needs nothing but the package index; `make help` lists the rest.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python3.14,$(shell \
	$(name) -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
VENV := .venv
BIN := $(VENV)/bin
CORE := .make/installed-core
# The many releases of what the extras need keep pip busy for minutes, and uv for seconds; pip does it where uv cannot.
INSTALLED := .make/installed
BENCH_INSTALLED := .make/installed-bench
FUZZ_INSTALLED := .make/installed-fuzz
DEMO_PORT ?= 8765
DEMO_JOB := $(if $(filter 8765,$(DEMO_PORT)),config/demo.yaml,.make/demo-$(DEMO_PORT).yaml)
WORKERS ?= 2
UNSERVED := -m 'not server and not compose and not long'
REST := -m 'server or compose or long'
# What measures pauses or CPU time of the long tests: nothing may run beside it.
ALONE := tests/fault/test_hindrances.py tests/fault/test_politeness.py
# One process more than there are cores, since many tests wait, but at most four: some take 2 GB. The tests of a file run
# one after another.
# Files keep their order, so that those that crawl begin early, and the many that are over at once fill up the end.
SIDE_BY_SIDE := --numprocesses $(shell expr $$(nproc) + 1) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# What runs every branch of the core and of what all share; the rest of the tests shows how parts fit together.
# Tests that measure time, memory or imports would measure coverage with it.
UNDISTURBED := tests/unit/test_extract_%.py tests/unit/test_command_line.py
COVERED := tests/conformance/test_store.py tests/fault/test_control_port.py tests/integration/test_manager.py \
	tests/property/test_url_properties.py $(filter-out $(UNDISTURBED),$(wildcard tests/unit/test_*.py))

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: install
install: $(INSTALLED) ## install the project and its tools into .venv

$(CORE): pyproject.toml Makefile
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 with venv found; install one or say PYTHON=..." >&2; exit 2; }
	@echo "make: installing crawlfleet from the package index into $(VENV): about a minute, once"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@mkdir -p $(@D) && touch $@

$(INSTALLED): $(CORE)
	@echo "make: installing the tools, all extras and what tests need into $(VENV): about a minute, once"
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]' \
		|| PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@mkdir -p $(@D) && touch $@

$(BENCH_INSTALLED): $(INSTALLED)
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

$(FUZZ_INSTALLED): $(INSTALLED)
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@touch $@

.PHONY: run
run: $(CORE) $(DEMO_JOB) ## serve the demo site on DEMO_PORT (8765) and crawl it with one coordinator and two workers
	@echo "make: serving the demo site at http://127.0.0.1:$(DEMO_PORT)/ and crawling it with $(WORKERS) workers: some seconds"
	@$(BIN)/python -m crawlfleet.demo --port $(DEMO_PORT) --show crawls/demo/items.jsonl -- \
		$(BIN)/crawlfleet run $(DEMO_JOB) --fresh --workers $(WORKERS)
	@echo "next, a site of the web, a page a second: $(BIN)/crawlfleet run config/quotes.yaml"

# The crawl goes where the demo site is served, not to whatever listens on another port.
.make/demo-%.yaml: config/demo.yaml Makefile
	@mkdir -p $(@D)
	@sed 's|http://127.0.0.1:8765/|http://127.0.0.1:$*/|' $< >$@

# With MEASURED=yes the tests that `make coverage` runs are run by it, once.
.PHONY: test
test: $(INSTALLED) $(if $(MEASURED),coverage) ## run all tests that need no installed server
	@echo "make: running the tests that need no installed server, up to 4 at once: about ten minutes on two cores"
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(UNSERVED) $(if $(MEASURED),$(addprefix --ignore=,$(COVERED)))

.PHONY: coverage
coverage: $(INSTALLED) ## run the tests of the core and of shared, and fail if a branch is not run
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(UNSERVED) --cov --cov-report=term $(COVERED)

# On the Python of .venv `make test` runs them all.
.PHONY: test-pythons
test-pythons: $(INSTALLED) ## run the tests of the parts on every other Python from 3.11 to 3.14 that is found
	$(BIN)/nox --no-error-on-missing-interpreters --session tests --pythons $$($(BIN)/python -c \
		'import sys; print(*(f"3.{minor}" for minor in range(11, 15) if minor != sys.version_info[1]))')

.PHONY: test-minimums
test-minimums: $(INSTALLED) ## run tests with exactly the oldest libraries that pyproject.toml allows
	$(BIN)/nox --session minimums

.PHONY: test-all
test-all: $(INSTALLED) ## run every test; needs nginx, wget2, PostgreSQL, Patroni, the documentation sites and Docker
	CRAWLFLEET_SEEDS=2200 $(BIN)/python -m pytest

.PHONY: test-rest
test-rest: $(INSTALLED) ## run what `make test` leaves out
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(REST) $(addprefix --ignore=,$(ALONE))
	$(BIN)/python -m pytest $(REST) $(ALONE)

.PHONY: test-server
test-server: $(INSTALLED) ## run the tests against nginx, wget2, PostgreSQL and Patroni
	$(BIN)/python -m pytest -m server

.PHONY: test-compose
test-compose: $(INSTALLED) ## run the test that crawls from containers
	$(BIN)/python -m pytest -m compose

.PHONY: torture
torture: $(INSTALLED) ## kill coordinator and workers at random in N runs (each once; resumes where it stopped)
	$(BIN)/python -m tests.fault.torture --runs $(or $(N),50) --out .make/torture.jsonl

.PHONY: torture-objects
torture-objects: $(INSTALLED) ## kill programs that share named objects, and their coordinator, in N runs (resumes, too)
	$(BIN)/python -m tests.fault.object_torture --runs $(or $(N),50) --out .make/object-torture.jsonl

.PHONY: torture-database
torture-database: $(INSTALLED) ## let the database and the owners of crawls die, hang and be cut off in N runs (resumes, too)
	$(BIN)/python -m tests.fault.database_torture --runs $(or $(N),50) --out .make/database-torture.jsonl

.PHONY: fuzz
fuzz: $(FUZZ_INSTALLED) ## fuzz what reads text and bytes of strangers, for N minutes (60; goes on where it stopped)
	$(BIN)/python -m tests.hostile.fuzz --minutes $(or $(N),60)

.PHONY: simulate
simulate: $(INSTALLED) ## run SEEDS seeds of the simulated crawl, STORE=postgresql over a server (resumes where it stopped)
	$(BIN)/python -m tests.simulation --seeds 0:$(or $(SEEDS),2200) --processes $$(nproc) \
		$(if $(STORE),--store $(STORE),--least 100) --state .make/simulation-$(STORE)$(or $(SEEDS),2200).json

.PHONY: check
check: $(INSTALLED) ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: schema
schema: $(INSTALLED) ## write the schema of jobs, after a change of their keys or of config/reference.yaml
	$(BIN)/crawlfleet schema >config/job.schema.json

.PHONY: docs
docs: $(INSTALLED) ## build the documents as a site, with search and the Python reference, into .make/site
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --doctree-dir .make/doctrees docs .make/site
	@echo "file://$(CURDIR)/.make/site/index.html"

.PHONY: dist
dist: $(INSTALLED) ## build sdist and wheel of a release into dist, and check them
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

.PHONY: bench
bench: $(BENCH_INSTALLED) ## compare crawlers on a real site, ARGS="--rounds 1"; benchmarks/README.md has more benchmarks
	$(BIN)/python -m benchmarks.side_by_side --write-docs $(ARGS)

.PHONY: bench-concurrency
bench-concurrency: $(BENCH_INSTALLED) ## crawl 50 slow pages by a loop, threads, processes, asyncio and the fleet
	$(BIN)/python -m benchmarks.concurrency --write-docs $(ARGS)

# For every Python 3.11 that an image may have, whatever the one here is: some releases need a newer one than 3.11.0.
.PHONY: wheels
wheels: $(INSTALLED) ## put all wheels into .wheels, for an image built without a package index
	rm -rf .wheels build
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir .wheels .
	for python in 3.11.0 3.11.99; do \
		$(BIN)/uv pip compile --quiet --generate-hashes --python-version $$python --output-file .make/wheels.lock \
			requirements.lock && \
		$(BIN)/python -m pip download --quiet --disable-pip-version-check --only-binary=:all: --python-version $$python \
			--dest .wheels --no-deps --require-hashes --requirement .make/wheels.lock || exit 1; \
	done

# For every Python and system that may build the container: which releases, and the hashes of their files.
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-annotate \
	--custom-compile-command 'make lock'
.PHONY: lock
lock: $(INSTALLED) ## write the locks of the container's wheels, with the newest releases that pyproject.toml allows
	$(LOCK) --extra postgres --output-file requirements.lock pyproject.toml
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])' \
		| $(LOCK) --output-file requirements-build.lock -

.PHONY: compose-secret
compose-secret: .secrets/fleet_secret .secrets/database_password ## create the secrets that the containers share

# The folder keeps other users out; the files themselves must be readable by the containers' own users.
.secrets/%:
	@mkdir -p -m 700 .secrets
	@$(or $(PYTHON),python3) -c 'import secrets; print(secrets.token_hex(32))' >$@

.PHONY: compose-up
compose-up: compose-secret ## crawl the demo site with one coordinator and three workers, each in a container
	$(COMPOSE) up --build --detach --scale worker=3
	$(COMPOSE) logs --follow coordinator
	@exit "$$(docker wait "$$($(COMPOSE) ps --all --quiet coordinator)")"

COORDINATORS := coordinator-a coordinator-b
.PHONY: compose-up-postgres
compose-up-postgres: compose-secret ## crawl it from PostgreSQL: two coordinators, one of which stands by, and three workers
	$(COMPOSE) --profile postgres up --build --detach --scale worker-ab=3 $(COORDINATORS) worker-ab
	$(COMPOSE) --profile postgres logs --follow $(COORDINATORS)
	@! docker wait $$($(COMPOSE) --profile postgres ps --all --quiet $(COORDINATORS)) | grep --invert-match --line-regexp 0

.PHONY: compose-down
compose-down: ## remove the containers, their network and their volumes
	$(COMPOSE) --profile postgres down --volumes --remove-orphans

.PHONY: clean
clean: ## remove the files that make has created, but not crawls/
	rm -rf $(VENV) .nox .make .wheels build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
