# The whole interface of the repository. Each target does its own set-up.
#   make run       the gateway on http://127.0.0.1:8080 before the embedded simulator
#   make install   bin/hedgerow
#   make test      every test            make check   format, lint, types, layers
#   make bench     the benchmarks        make verify  the long campaigns, at full size
# PYTHON=... chooses the interpreter (3.11 or newer), VENV=... where it is installed, ARGS=... adds arguments.
# `run` and `install` compile the hot path to C where a C compiler and Python's headers are there: once, half a minute.
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
COMPILED_FROM := $(if $(IS_COMPILED),deploy/compiled-wheel.sh $(shell find src -name '*.py'))
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: run install build test check bench verify

ifneq ($(COMPILED),)
run: install
	bin/hedgerow serve $(ARGS)

install: build
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

test: $(INSTALLED_DEV)
	$(BIN)/python -m pytest $(ARGS)

check: $(INSTALLED_DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=tests $(BIN)/lint-imports

bench: $(INSTALLED_DEV)
	@if test -z "$$($(PYTHON) deploy/missing-for-compiling)"; then $(MAKE) --no-print-directory build COMPILED=1 VENV=.venv-compiled; fi
	$(BIN)/python -m bench $(ARGS)

verify: $(INSTALLED_FUZZ)
	$(BIN)/python -m verification $(ARGS)

$(BUILT): $(VENV)/.python-$(VERSION) requirements/run.txt requirements/build.txt pyproject.toml $(COMPILED_FROM)
	@rm -f $(VENV)/.compiled-* $(VENV)/.plain-*
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/run.txt -r requirements/build.txt
ifneq ($(IS_COMPILED),)
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

$(INSTALLED_DEV): $(BUILT) requirements/dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

$(INSTALLED_FUZZ): $(INSTALLED_DEV) requirements/fuzz.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/fuzz.txt
	@touch $@
