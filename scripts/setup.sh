#!/bin/sh
# All that building and testing need: Debian packages, npm packages. Quick when everything is there.
. "$(dirname "$0")/lib.sh"
lock setup

missing=
while read -r thing package _; do
  case $thing in
    "" | "#"*) continue ;;
    /*) [ -e "$thing" ] ;;
    *) have "$thing" ;;
  esac || missing="$missing $package"
done <"$root/scripts/packages.list"
# One peer comes from PyPI, and Go does where it is missing or old.
python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
# shellcheck disable=SC2086 # words on purpose
[ -z "$missing" ] || apt_install $missing

# By content, not by age: a node_modules that came from elsewhere, or from an older commit, may be newer than the lock
# file.
cd "$root"
lock_sum=$(sha256sum <package-lock.json)
if [ "$(cat node_modules/.installed 2>/dev/null)" != "$lock_sum" ]; then
  say "installing npm packages"
  # Not `npm ci`: it wants the lock file to have the optional packages of every platform, also of those that a mirror
  # lacks. Versions are exact in each package.json, and what the lock file has is held to its digests all the same.
  quietly npm install --no-save --no-progress || die "npm install failed"
  echo "$lock_sum" >node_modules/.installed
fi
# npm ≥ 11 runs no install scripts, and bun's puts the binary for this machine in place.
bun --version >/dev/null 2>&1 || quietly node node_modules/bun/install.js || die "bun could not be installed"
