# Shared by the scripts beside it: `. "$(dirname "$0")/lib.sh"` is their first line.
# shellcheck shell=sh
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cache=$root/.cache
mkdir -p "$cache"
# mke2fs and debugfs are in /usr/sbin, which users other than root do not have on their PATH.
PATH=$root/node_modules/.bin:$PATH:/usr/sbin:/sbin
export PATH LC_ALL=C

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# lock NAME: one at a time does NAME in this checkout; held until the script ends.
lock() {
  exec 9>"$cache/$1.lock"
  flock 9
}

# quietly COMMAND…: its output, in the file $quiet_log, is shown only if it fails.
quiet_log=$cache/last-$(basename "$0" .sh).log
quietly() {
  if "$@" >"$quiet_log" 2>&1; then return; fi
  cat "$quiet_log" >&2
  return 1
}

# apt_install PACKAGE…: as root, or by a sudo that asks nothing; else names the line for an administrator and ends.
# The lists are fetched only if installing without that fails.
apt_install() {
  sudo=
  if [ "$(id -u)" != 0 ]; then
    sudo="sudo -n"
    if ! sudo -n true 2>/dev/null; then
      say "Missing here: $*"
      say "An administrator must run this once; then try again:"
      say "  apt-get update && apt-get install -y --no-install-recommends $*"
      exit 1
    fi
  fi
  say "installing from Debian: $*"
  apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300"
  # shellcheck disable=SC2086 # words on purpose
  $apt install --no-install-recommends "$@" >"$cache/apt.log" 2>&1 </dev/null ||
    { $apt update >"$cache/apt.log" 2>&1 && $apt install --no-install-recommends "$@" >"$cache/apt.log" 2>&1 </dev/null; } ||
    { cat "$cache/apt.log" >&2; die "apt-get could not install: $*"; }
}

# apt_private COMMAND…: apt with lists of its own in the cache, which takes no root. One at a time.
apt_private() {
  mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial"
  case $1 in depends) tool=apt-cache ;; *) tool=apt-get ;; esac
  flock "$cache/apt.lock" "$tool" -q -q -o APT::Sandbox::User= \
    -o Dir::State::Lists="$cache/apt/lists" -o Dir::Cache="$cache/apt" "$@"
}

# unpacked PACKAGE: its files under .cache/deb/PACKAGE, downloaded but not installed: no root is needed, no service
# starts. Since Debian 13 the name of a library whose interface changed with 64-bit times ends in t64, and files are below
# usr alone, which links beside it make up for: whoever asks by the old name and path finds it in both.
unpacked() {
  [ -d "$cache/deb/$1" ] && return
  say "unpacking from Debian: $1"
  mkdir -p "$cache/deb"
  work=$(mktemp -d "$cache/deb/.new.XXXXXX")
  (
    cd "$work"
    downloaded apt-get -qq -o APT::Sandbox::User= download "$1" >log 2>&1 ||
      { apt_private update && downloaded apt_private download "$1"; } >>log 2>&1 ||
      { cat log >&2; die "apt-get could not download $1"; }
    mkdir root
    dpkg -x ./*.deb root
    for folder in bin sbin lib lib64; do
      [ ! -d "root/usr/$folder" ] || [ -e "root/$folder" ] || ln -s "usr/$folder" "root/$folder"
    done
  ) || { rm -rf "$work"; return 1; }
  mv -T "$work/root" "$cache/deb/$1"
  rm -rf "$work"
}

# downloaded COMMAND… PACKAGE: by that name or by the one that ends in t64.
downloaded() { "$@" || "$@t64"; }
