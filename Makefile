# The whole interface of the repository. Each target does its own set-up.
#   make run       the gateway on http://127.0.0.1:8080 before the embedded testing server
#   make install   .venv/bin/hedgerow
#   make test      every test            make check   format, lint, types, layers
#   make bench     the benchmarks        make prove   the long campaigns, at full size
# PYTHON=... chooses the interpreter (3.11 or newer), VENV=... where it is installed, ARGS=... adds arguments.
# COMPILED=1 compiles the hot path to C (needs a C compiler): a fifth to a third less CPU for each request.
PYTHON ?= python3
VENV ?= $(if $(COMPILED),.venv-compiled,.venv)
BIN := $(VENV)/bin
# The interpreter's version is part of the stamps' names: another PYTHON=... makes the environment anew.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
MADE := $(VENV)/.made-$(VERSION)
INSTALLED_DEV := $(VENV)/.dev-$(VERSION)
INSTALLED_FUZZ := $(VENV)/.fuzz-$(VERSION)
COMPILED_FROM := $(if $(COMPILED),$(shell find src -name '*.py'))
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: run install test check bench prove

run: install
	$(BIN)/hedgerow serve $(ARGS)

install: $(MADE)

test: $(INSTALLED_DEV)
	$(BIN)/python -m pytest $(ARGS)

check: $(INSTALLED_DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED_DEV)
	@if command -v cc >/dev/null; then $(MAKE) --no-print-directory install COMPILED=1 VENV=.venv-compiled; fi
	$(BIN)/python -m bench $(ARGS)

prove: $(INSTALLED_FUZZ)
	$(BIN)/python -m prove $(ARGS)

$(MADE): $(VENV)/.python-$(VERSION) requirements/run.txt requirements/build.txt pyproject.toml $(COMPILED_FROM)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/run.txt -r requirements/build.txt
ifdef COMPILED
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/compile.txt
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

$(INSTALLED_DEV): $(MADE) requirements/dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

$(INSTALLED_FUZZ): $(INSTALLED_DEV) requirements/fuzz.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/fuzz.txt
	@touch $@
