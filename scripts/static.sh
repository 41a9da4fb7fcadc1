#!/bin/sh
# Compiles the programs in C that ovm brings along, each when its sources have changed: packages/shim/dist/ovm-keeper and
# packages/filter/dist/ovm-filter, the programs beside each machine, packages/forward/dist/ovm-forward, one beside each
# port of a machine in a network of the host, packages/tap/dist/ovm-tap, one beside each Firecracker with a network of its
# own, and packages/agent/dist/ovm-agent, the one inside.
. "$(dirname "$0")/lib.sh"
lock static

# Small enough to be there once a machine, and without a library that a host or a guest might not have. musl
# has no headers of Linux: they are taken behind its own.
flags="-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wconversion -Werror -Os -static -s"
flags="$flags -idirafter /usr/include -idirafter /usr/include/$(gcc -print-multiarch)"

# compile FOLDER PROGRAM BYTES: which it may have at most.
compile() {
  cd "$root/packages/$1"
  stamp=$(echo "$flags" | cat - src/* ../confine/src/confine.h "$root/scripts/static.sh" | sha256sum)
  if [ -x "dist/$2" ] && [ "$(cat "$cache/$1.stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
  mkdir -p dist
  # shellcheck disable=SC2086 # words on purpose
  quietly musl-gcc $flags -o "dist/$2.new" src/*.c || die "$2 could not be compiled"
  [ "$(wc -c <"dist/$2.new")" -le "$3" ] || die "$2 is larger than $3 bytes"
  mv "dist/$2.new" "dist/$2"
  echo "$stamp" >"$cache/$1.stamp"
}

compile shim ovm-keeper 153600
compile filter ovm-filter 153600
compile forward ovm-forward 153600
compile tap ovm-tap 153600
compile agent ovm-agent 204800
