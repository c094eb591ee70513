# The whole interface of the repository; `make help` lists it. Each target does its own set-up.
# PYTHON=... chooses the interpreter (3.11 or newer), VENV=... where it is installed, ARGS=... adds arguments.
# `run` and `install` compile the hot path to C where a C compiler and Python's headers are there: once, about a minute.
# COMPILED=0 has them use the sources as they are. COMPILED=1 has every target use the compiled build, or fail.
PYTHON ?= python3
IS_COMPILED := $(filter 1,$(COMPILED))
VENV ?= $(if $(IS_COMPILED),.venv-compiled,.venv)
BIN := $(VENV)/bin
# The interpreter's version is part of the stamps' names: another PYTHON=... rebuilds the environment.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
BUILT := $(VENV)/.$(if $(IS_COMPILED),compiled,plain)-$(VERSION)
INSTALLED_DEV := $(VENV)/.dev-$(VERSION)
INSTALLED_FUZZ := $(VENV)/.fuzz-$(VERSION)
INSTALLED_DOCS := $(VENV)/.docs-$(VERSION)
COMPILED_FROM := $(if $(IS_COMPILED),deploy/compiled-wheel.sh $(shell find src -name '*.py'))
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.DEFAULT_GOAL := help
.PHONY: help run install build format check test-fast test test-all coverage bench verify docs

help: # this list
	@awk -F ':.*# ' '/^[a-z-]+:.*# / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "PYTHON=... chooses the interpreter, VENV=... where it is installed, ARGS=... adds arguments, COMPILED=0 or 1 the build."

ifneq ($(COMPILED),)
run: install # the gateway on http://127.0.0.1:8080, with the simulator as its upstream
	bin/hedgerow serve $(ARGS)

install: build # bin/hedgerow
	@mkdir -p bin && ln -sf "$$(readlink -f $(BIN))/hedgerow" bin/hedgerow
	@echo "hedgerow: $(if $(IS_COMPILED),compiled build,plain build$(if $(BECAUSE), ($(BECAUSE))))"
else
run install:
	@because=$$($(PYTHON) deploy/missing-for-compiling 2>/dev/null) || because="$(PYTHON) cannot be used"; \
	test -n "$$because" || $(MAKE) --no-print-directory build COMPILED=1 || because="compiling failed, see above"; \
	if test -n "$$because"; then $(MAKE) --no-print-directory $@ COMPILED=0 BECAUSE="$$because"; \
	else $(MAKE) --no-print-directory $@ COMPILED=1; fi
endif

build: $(BUILT)
	@:

PYTEST := $(BIN)/python -m pytest
# A worker for each core; the tests of one file share its servers. In the order of their folders long files are not last.
# A worker that is ended by a test's timeout is not replaced: its successor would begin with that test again, for ever.
PARALLEL := --numprocesses=auto --dist=loadfile --no-loadscope-reorder --max-worker-restart=0

# They start hundreds of interpreters: without bytecode on disk each would compile all that it imports.
test-fast test test-all coverage: export PYTHONDONTWRITEBYTECODE :=

test-fast: $(INSTALLED_DEV) # the unit tests, in seconds
	$(PYTEST) $(PARALLEL) -m "not slow and not exhaustive" $(if $(ARGS),$(ARGS),tests/unit)

test: $(INSTALLED_DEV) # the tests that need nothing but Python, in minutes
	$(PYTEST) $(PARALLEL) -m "not slow" $(ARGS)

test-all: test # every test, as CI: also packages, images, browser and a share of each campaign
	$(PYTEST) $(PARALLEL) -m slow $(ARGS)

coverage: $(INSTALLED_DEV) # the share of branches that unit and integration tests reach
	$(BIN)/python -m coverage run -m pytest -m "not slow and not exhaustive" tests/unit tests/integration $(ARGS)
	$(BIN)/python -m coverage report

format: $(INSTALLED_DEV) # rewrite the sources in the one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: $(INSTALLED_DEV) # format, lint, types, layers, words
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=tests $(BIN)/lint-imports
	$(BIN)/python -m tools.words

bench: $(INSTALLED_DEV) # the benchmarks, beside other gateways
	@if test -z "$$($(PYTHON) deploy/missing-for-compiling)"; then $(MAKE) --no-print-directory build COMPILED=1 VENV=.venv-compiled; fi
	$(BIN)/python -m bench $(ARGS)

verify: $(INSTALLED_FUZZ) # the long campaigns, at full size
	$(BIN)/python -m verification $(ARGS)

docs: $(INSTALLED_DOCS) # the site, from docs/; ARGS=--check only compares what is generated
	$(BIN)/python -m tools.reference $(ARGS)
	$(BIN)/python -m tools.capacity_chart $(ARGS)
	$(BIN)/codespell
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir $(VENV)/site

$(BUILT): $(VENV)/.python-$(VERSION) requirements/run.txt requirements/build.txt pyproject.toml $(COMPILED_FROM)
	@rm -f $(VENV)/.compiled-* $(VENV)/.plain-*
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/run.txt -r requirements/build.txt
ifneq ($(IS_COMPILED),)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/compile.txt
	@echo "compiling the hot path to C: once, for about a minute; COMPILED=0 does without"
	deploy/compiled-wheel.sh $(BIN)/python $(VENV)/wheel
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall $(VENV)/wheel/*.whl
else
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
endif
	@touch $@

$(VENV)/.python-$(VERSION):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "hedgerow needs Python 3.11 or newer, and $(PYTHON) is not. Choose one: make PYTHON=python3.13 ..." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(INSTALLED_DEV): $(BUILT) requirements/dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

$(INSTALLED_FUZZ): $(INSTALLED_DEV) requirements/fuzz.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/fuzz.txt
	@touch $@

$(INSTALLED_DOCS): $(INSTALLED_DEV) requirements/docs.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/docs.txt
	@touch $@
