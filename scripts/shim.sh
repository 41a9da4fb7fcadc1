#!/bin/sh
# Compiles packages/shim/dist/ovm-keeper, the program beside each machine, when its sources have changed.
. "$(dirname "$0")/lib.sh"
lock shim
cd "$root/packages/shim"

# Small enough to be there once a machine, and without a library that a host might not have.
flags="-std=c11 -Wall -Wextra -Wconversion -Werror -Os -static -s"
most=153600

stamp=$(echo "$flags" | cat - src/* "$root/scripts/shim.sh" | sha256sum)
if [ -x dist/ovm-keeper ] && [ "$(cat "$cache/shim.stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi

mkdir -p dist
# shellcheck disable=SC2086 # words on purpose
quietly musl-gcc $flags -o dist/ovm-keeper.new src/*.c || die "the keeper could not be compiled"
[ "$(wc -c <dist/ovm-keeper.new)" -le $most ] || die "the keeper is larger than $most bytes"
mv dist/ovm-keeper.new dist/ovm-keeper
echo "$stamp" >"$cache/shim.stamp"
