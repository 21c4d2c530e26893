# Everything here works on a machine with Python 3.11 or later, Node, git and make. `make` alone lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The first interpreter that runs and is new enough (a pyenv shim may exist and not run).
PYTHON ?= $(firstword $(foreach python,python3.11 python3 python3.12 python3.13,$(shell \
	$(python) -c 'import sys; sys.version_info >= (3, 11) and print("$(python)")' 2>/dev/null)))
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-emit-package synapse-agent-client --no-emit-package synapse-agent-server
PYTEST_ARGS ?=
# More than the cores of a small machine: tests spend about half of their time waiting.
WORKERS ?= 3
SEED ?=
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup $(if $(SEED),--randomly-seed=$(SEED))
# A failed test runs once more, alone: a busy machine is not a fault. A test that fails twice fails.
FAILED := build/failed-tests.txt
define run-tests
mkdir -p build; rm -f $(FAILED); FAILED_TESTS=$(FAILED) $(PYTEST) $(1) || { \
	[ -s $(FAILED) ] && echo "Failed beside others, and run once more alone:" && cat $(FAILED) \
	&& $(BIN)/python -m pytest -p no:randomly @$(FAILED); }
endef
# Tests that depend on the HTTP library: the client's connections and what it passes to httpx, the backend's client,
# and the conformance cases.
HTTPX2_TESTS := tests/synapse_sdk/clients/agent/_transport tests/synapse_sdk/clients/agent/test_client.py \
	tests/synapse_sdk/clients/agent/_session/test_generated_client.py tests/generator/test_endpoints.py \
	tests/synapse_agent/plugins/backend tests/conformance/test_cases.py tests/conformance/test_job_logs.py \
	tests/conformance/test_run_once.py
BENCH_ARGS ?=
RUNNER ?= local

# The generators call ruff, the tests call uv and synapse-agent.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Without bytecode, each of the hundreds of processes that the tests start would compile its imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/.project-installed node_modules/.installed ## Build .venv and node_modules from the locks (quick when nothing changed)

.venv/.uv-installed: requirements/bootstrap.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; name it with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --require-hashes --requirement $<
	touch $@

# uv takes a second, and pip half a minute, but uv does not read pip's configuration: if only pip has a working index,
# pip installs the same lock. Bytecode pays off at once: the generators and each agent
# that a test starts are new processes.
.venv/.lock-installed: requirements/dev.lock .venv/.uv-installed
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes --requirement $< \
		|| $(BIN)/pip install --quiet --require-hashes --requirement $<
	touch $@

.venv/.project-installed: pyproject.toml distributions/agent/pyproject.toml src/synapse_sdk/_version.py .venv/.lock-installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python --offline --no-deps --no-build-isolation --editable . --editable distributions/agent
	touch $@

NPM_OPTIONS := --ignore-scripts --no-audit --no-fund --loglevel=error

node_modules/.installed: package-lock.json .npmrc
	npm ci $(NPM_OPTIONS)
	touch $@

# Larger than all other tools together, and needed by one test.
tests/mock/node_modules/.installed: tests/mock/package-lock.json
	npm ci $(NPM_OPTIONS) --prefix tests/mock
	touch $@

.PHONY: lock
lock: .venv/.uv-installed ## Pin the newest releases that pyproject.toml admits
	$(COMPILE) --all-extras --group dev --output-file requirements/dev.lock pyproject.toml
	$(COMPILE) --constraint requirements/dev.lock --output-file requirements/bootstrap.lock - <<< uv
	npm install --package-lock-only $(NPM_OPTIONS)
	npm install --package-lock-only $(NPM_OPTIONS) --prefix tests/mock --omit-lockfile-registry-resolved
	for client in fastmcp openapi_python_client python; do (cd tests/clients/$$client && \
		$(CURDIR)/$(COMPILE) --output-file requirements.txt requirements.in); done
	cd tests/clients && $(CURDIR)/$(COMPILE) --output-file openapi_generator.txt openapi_generator.in
	for client in hey_api openapi_fetch; do npm install --package-lock-only $(NPM_OPTIONS) --prefix tests/clients/$$client \
		--omit-lockfile-registry-resolved; done

.PHONY: generate
generate: setup ## Write generated/ from openapi.yaml
	$(BIN)/python generator/generate.py

# Make 3.81, which macOS has, mixes the output of two steps.
TOGETHER := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
# The longest first.
CHECKED := types generated words screenshots page pyright lint contract imports format compatible reference readme

.PHONY: check
check: setup ## Check format, lint, types, architecture, contract, words, and that generated files are current
	@$(MAKE) --no-print-directory --jobs 2 $(TOGETHER) --keep-going $(CHECKED:%=check-%)

.PHONY: $(CHECKED:%=check-%)
check-format:
	$(BIN)/ruff format --check .
check-lint:
	$(BIN)/ruff check .
check-types:
	$(BIN)/mypy
check-imports:
	$(BIN)/lint-imports --no-cache --no-logo
check-readme: check-types # which writes the cache that both use
	$(BIN)/python docs/scripts/readme_types.py
	$(BIN)/mypy build/typing/readme.py
check-pyright:
	node_modules/.bin/pyright --warnings
check-page:
	node_modules/.bin/tsc --project web
check-contract:
	node_modules/.bin/redocly lint
	$(BIN)/openapi-spec-validator openapi.yaml
check-generated:
	$(BIN)/python generator/generate.py --check
check-compatible:
	$(BIN)/python generator/spec_diff.py
check-reference:
	$(BIN)/python docs/scripts/cli_reference.py --check
check-screenshots:
	PYTHONPATH=tests/terminal:tests/helpers $(BIN)/python docs/scripts/screenshots.py --check
check-words:
	$(BIN)/python docs/scripts/words.py

.PHONY: spec-diff
spec-diff: setup ## Compare the contract with that of the last release, or of REF: does its version fit?
	$(BIN)/python generator/spec_diff.py $(REF)

.PHONY: reference
reference: setup ## Write docs/reference/cli.md from the commands
	$(BIN)/python docs/scripts/cli_reference.py

.PHONY: screenshots
screenshots: setup ## Take the pictures of the terminal and of the agent's page again: docs/images/
	PYTHONPATH=tests/terminal:tests/helpers $(BIN)/python docs/scripts/screenshots.py
	PYTHONPATH=tests/helpers $(BIN)/python docs/scripts/page_screenshots.py

.PHONY: format
format: setup ## Format the code, and fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: test
test: setup tests/mock/node_modules/.installed ## Run the tests; with PYTEST_ARGS="-k lookup" some of them, on httpx alone
	$(call run-tests,$(PYTEST_ARGS))
	$(if $(PYTEST_ARGS),,export SYNAPSE_HTTP_LIBRARY=httpx2; $(call run-tests,-k "not ray" $(HTTPX2_TESTS)))

RUNS ?= 10
.PHONY: orders
orders: setup tests/mock/node_modules/.installed ## Run the tests RUNS times (10), each time in another random order
	for run in $$(seq $(RUNS)); do $(PYTEST) $(PYTEST_ARGS); done

CHECKS ?=
.PHONY: long
long: setup ## Run the slow checks of docs/design/long-checks.md; with CHECKS="crash soak" some of them
	$(BIN)/python docs/scripts/long_checks.py $(CHECKS)

.PHONY: clients
clients: setup ## Make a client with each of seven other generators, and run the main job with it (some minutes)
	$(BIN)/python -m pytest -m "long or not long" tests/clients

.PHONY: mutants
mutants: setup ## Break the retry and error modules in every small way; fail if no test notices (some minutes)
	$(BIN)/python tests/mutants/mutants.py

KILLS ?= 100
PHASE ?= all
.PHONY: crash
crash: setup ## Kill an agent KILLS times (100), and check that nothing is lost, half-done or left over; PHASE=adopted: during jobs
	$(BIN)/python tests/crash --kills $(KILLS) --runner $(RUNNER) --phase $(PHASE)

BASE ?= HEAD~1
.PHONY: upgrade
upgrade: setup ## Upgrade during jobs: from the agent of BASE (the last commit) to this one, both installed from wheels
	$(BIN)/python tests/upgrade --base $(BASE)

SECONDS_OF_CHAOS ?= 300
.PHONY: chaos
chaos: setup ## Fill disks, lock, reset, kill and freeze at random for SECONDS_OF_CHAOS (300), under a load of 50 callers
	$(BIN)/python tests/chaos --seconds $(SECONDS_OF_CHAOS) --runner $(RUNNER)

MINUTES ?= 10
.PHONY: soak
soak: setup ## Load an agent for MINUTES (10), and check that nothing grows
	$(BIN)/python tests/soak --minutes $(MINUTES)

CALLS ?= 10000
.PHONY: served
served: setup ## Kill the worker of a served action KILLS (100) times among CALLS (10000), and check that no call is lost
	$(BIN)/python tests/served --calls $(CALLS) --kills $(KILLS)

GIGABYTES ?= 10
.PHONY: large
large: setup ## Send GIGABYTES (10) to an agent that is killed half-way, run on them and fetch them; fail if memory is not flat
	$(BIN)/python tests/large --gigabytes $(GIGABYTES)

.PHONY: docs
docs: setup ## Write the documentation site: build/docs/index.html
	$(BIN)/python docs/scripts/site_pages.py build

.PHONY: dist
dist: setup ## Build the wheels and the sdists, the same bytes each time for a commit, and check them: dist/
	rm -rf dist
	export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct); \
	for project in . distributions/agent; do (cd $$project && $(CURDIR)/$(BIN)/python -m hatchling build -d $(CURDIR)/dist); done
	$(BIN)/twine check --strict dist/*

.PHONY: release
release: dist ## Check that this commit can be released, and tag it: the package's version and the contract's
	$(BIN)/python distributions/release.py

.PHONY: pythons
pythons: setup ## Install the wheels on each supported Python of this machine, and run an action
	$(BIN)/python -m pytest -m "long or not long" tests/test_distribution.py -k each_python

.PHONY: demo
demo: setup ## Fetch, run and delete plugins on a temporary agent (RUNNER=ray: on a temporary cluster)
	$(BIN)/python examples/demo.py --runner $(RUNNER)

.PHONY: bench
bench: setup ## Compare client and agent with their peers, and write bench/RESULTS.md (BENCH_ARGS="agent" for some rows)
	$(BIN)/python -m bench $(BENCH_ARGS)
