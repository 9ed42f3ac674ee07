#!/bin/sh
# Make the image that stands in for python:3.11-slim where none can be pulled: Debian bookworm with its Python 3.11. It has
# PostgreSQL 15 as well, for the image in `database`.
#
# usage: base_image.sh TAG
#
# Needs debootstrap, docker and root (or sudo). The mirror is the one that this machine's apt uses. The tarball is kept
# in $XDG_CACHE_HOME/crawlfleet, so that a second run only imports it; an image that is there already is left alone.
set -eu

tag=${1:?usage: base_image.sh TAG}
suite=bookworm
packages=python3,python3-venv,ca-certificates,postgresql-15
# Caches, documents, the server's first cluster, and what its compiler of queries needs, which no session here uses.
unused_files='var/cache/apt/archives var/lib/apt/lists usr/share/doc usr/share/man usr/share/i18n usr/share/locale
    etc/postgresql/15 var/lib/postgresql/15 usr/lib/postgresql/15/lib/bitcode usr/lib/postgresql/15/lib/llvmjit.so
    usr/lib/*/libLLVM-14.so.1 usr/lib/*/libz3.so.4'
cache=${XDG_CACHE_HOME:-$HOME/.cache}/crawlfleet
tarball=$cache/base-$suite-postgresql-15.tar

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

mirror() {
    apt-get indextargets --format '$(REPO_URI)' "Release: $suite" 'Component: main' 'Created-By: Packages' |
        head -n 1 | sed -e 's#^mirror+##' -e 's#/*$##'
}

bootstrap() {
    uri=$(mirror)
    [ -n "$uri" ] || { echo "base_image.sh: apt has no source for $suite; add one to /etc/apt" >&2; exit 1; }
    root=$(mktemp -d)
    trap 'as_root rm -rf "$root"' EXIT
    # The tree need not outlive a power cut, which dpkg would see to. RUNLEVEL keeps the server from being started.
    as_root env DPKG_FORCE=unsafe-io RUNLEVEL=1 \
        debootstrap --variant=minbase --include="$packages" "$suite" "$root/tree" "$uri" >"$root/log" 2>&1 ||
        { tail -n 20 "$root/log" >&2; exit 1; }
    for unused in $unused_files; do as_root rm -rf "$root/tree"/$unused; done
    as_root tar -C "$root/tree" --numeric-owner --exclude=./dev -cf "$root/base.tar" .
    mkdir -p "$cache"
    as_root chown "$(id -u)" "$root/base.tar"
    cp "$root/base.tar" "$tarball.part" && mv "$tarball.part" "$tarball"
}

if ! docker image inspect "$tag" >/dev/null 2>&1; then
    [ -f "$tarball" ] || bootstrap
    docker import --change 'ENV LANG=C.UTF-8' "$tarball" "$tag" >/dev/null
fi
