#!/bin/sh
# Make the lock files anew from pyproject.toml. Needs uv (pip install uv). Run it when a dependency changes.
set -eu
cd "$(dirname "$0")/.."
lock() { # NAME GROUP...: run.txt is what `make run` installs, dev.txt what the tests and checks need besides
    name=$1; shift
    uv pip compile pyproject.toml $(printf -- '--group %s ' "$@") --universal --python-version 3.11 \
        --generate-hashes --no-emit-index-url --custom-compile-command requirements/lock.sh \
        --upgrade --quiet -o "requirements/$name.txt"
}
lock run build
lock dev build dev
