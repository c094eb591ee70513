#!/bin/sh
# Build the Dockerfile where no container registry can be reached: on stand-ins for python:3.13-slim and python:3.13, made from Debian
# packages. Needs root, buildah and debootstrap.
#
#   deploy/image/build-stand-in.sh [FOLDER]
#
# FOLDER (deploy/image/.cache by default) keeps the bases for the next time; remove it to rebuild them. The last lines printed are
# image=NAME, root=FOLDER (where the image's files lie), base_bytes=N and image_bytes=N (all files, added up).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${1:-$here/.cache}
base=localhost/hedgerow-base:stand-in
build_base=localhost/hedgerow-build-base:stand-in
image=localhost/hedgerow:stand-in
suite=trixie # Debian 13 has Python 3.13, and python:3.13-slim is made of Debian 13
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

export BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=docker # OCI's own format has no HEALTHCHECK
mkdir -p "$cache"
engine() { buildah --storage-driver vfs --root "$cache/storage" --runroot "$cache/run" "$@"; }

make_base() { # NAME PACKAGES
    if engine inspect --type image "$1" >/dev/null 2>&1; then return; fi
    log=$cache/$(basename "$1").log
    container=$(engine from scratch)
    root=$(engine mount "$container")
    debootstrap --variant=minbase --include="ca-certificates,python3-venv,python-is-python3,python3-pip$2" \
        "$suite" "$root" "$mirror" >"$log" 2>&1 || { tail "$log" >&2; exit 1; }
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
    engine config --cmd python3 "$container"
    engine commit --quiet --rm "$container" "$1" >/dev/null
}
make_base "$base" "" &
other=$!
make_base "$build_base" ,gcc,libc6-dev,python3-dev
wait $other

# What this machine needs to reach its package index is lent to the build's commands, and is no part of the image.
lent=$(mktemp -d)
trap 'rm -rf "$lent"' EXIT
cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$lent/ca.crt"
{
    echo '[global]'
    echo 'cert = /run/lent/ca.crt'
    for key in index-url extra-index-url trusted-host; do
        value=$(python3 -m pip config get "global.$key" 2>/dev/null | grep -v file: || true)
        [ -z "$value" ] || echo "$key = $value"
    done
} >"$lent/pip.conf"

engine rm hedgerow-stand-in >/dev/null 2>&1 || true
engine bud --quiet --pull-never --build-arg BASE="$base" --build-arg BUILD_BASE="$build_base" --volume "$lent:/run/lent:ro" --volume "$lent/pip.conf:/etc/pip.conf:ro" \
    --tag "$image" "$here/../.." >/dev/null
engine rmi --prune >/dev/null # the image of the time before
engine from --quiet --name hedgerow-stand-in --pull-never "$image" >/dev/null
root=$(engine mount hedgerow-stand-in)
container=$(engine from --quiet --pull-never "$base")
bytes() { du --summarize --bytes --one-file-system "$1" | cut -f 1; }
base_bytes=$(bytes "$(engine mount "$container")")
engine rm "$container" >/dev/null
printf 'image=%s\nroot=%s\nbase_bytes=%s\nimage_bytes=%s\n' "$image" "$root" "$base_bytes" "$(bytes "$root")"
