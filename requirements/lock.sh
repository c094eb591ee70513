#!/bin/sh
# Make the lock files again from pyproject.toml. Needs uv (pip install uv). Run it when a dependency changes.
set -eu
cd "$(dirname "$0")/.."
lock() { # NAME SOURCE...: what is installed where is in the Makefile and the Dockerfile
    name=$1; shift
    uv pip compile "$@" --universal --python-version 3.11 \
        --generate-hashes --no-emit-index-url --custom-compile-command requirements/lock.sh \
        --upgrade --quiet -o "requirements/$name.txt"
}
lock run pyproject.toml                         # what the running gateway needs
lock otel pyproject.toml --extra otel           # and with traces
lock build --group build                        # what makes the package
lock compile --group build --group compile       # and what compiles it
lock fuzz --group fuzz                           # what `make verify` needs besides
lock dev pyproject.toml --extra otel --group build --group dev # all, and what the tests and checks need
lock docs --group docs --constraint requirements/dev.txt # and what `make docs` needs besides
