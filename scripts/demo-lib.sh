# What the demos have in common: `. "$(dirname "$0")/demo-lib.sh"` is their first line.
# Everything happens in a temporary folder, with daemons and a registry of its own.
# shellcheck shell=sh
. "$(dirname "$0")/lib.sh"
ovm=$root/dist/ovm
started=$(date +%s%N)
cd "$root"
work=$(mktemp -d "${TMPDIR:-/tmp}/ovm-demo.XXXXXX")
here=$work/a
there=$work/b
registry=
# Nobody's credentials are used.
export DOCKER_CONFIG="$work/docker"

cleanup() {
  trap - EXIT INT TERM
  for home in "$here" "$there"; do
    [ -d "$home" ] || continue
    export OVM_HOME="$home"
    for instance in $(timeout 30 "$ovm" ps --all --quiet 2>/dev/null); do timeout 30 "$ovm" rm --force "$instance"; done >/dev/null 2>&1 || true
    timeout 30 "$ovm" daemon --stop >/dev/null 2>&1 || true
  done
  [ -z "$registry" ] || kill "$registry" 2>/dev/null || true
  rm -rf "$work"
}
trap 'status=$?; cleanup; exit $status' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

now() { date +%s%N; }
since() { printf '%s' "$1 $(now)" | awk '{ printf "%.2f s", ($2 - $1) / 1e9 }'; }
heading() { printf '\n# %s\n' "$*"; }
fail() { say "demo: $*"; exit 1; }

# step WORD…: shows an ovm command, its output and how long it took; $output keeps what it printed.
step() {
  printf '$ ovm %s\n' "$*"
  began=$(now)
  output=$(timeout --foreground 180 "$ovm" "$@" </dev/null 2>"$work/stderr") || { cat "$work/stderr" >&2; fail "ovm $1 failed"; }
  [ -z "$output" ] || printf '%s\n' "$output" | sed 's/^/    /'
  printf '    (%s)\n' "$(since "$began")"
}

# member NAME: that text or number in the JSON that the last step printed.
member() {
  value=$(printf '%s' "$output" | tr -d '\n' | sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",} ]*\).*/\1/p")
  [ -n "$value" ] || fail "no $1 was printed"
  printf '%s' "$value"
}

# await_line INSTANCE PATTERN: until the console has a line like it; $work/console keeps the console.
await_line() {
  for _ in $(seq 1200); do
    "$ovm" logs "$1" >"$work/console" 2>"$work/stderr" || { cat "$work/stderr" >&2; fail "ovm logs failed"; }
    ! grep -q "$2" "$work/console" || return 0
    sleep 0.1
  done
  cat "$work/console" >&2
  fail "the machine did not say $2"
}

# answer PORT PATH: what a machine serves there, once it does; $answer keeps it.
answer() {
  printf '$ curl http://127.0.0.1:%s%s\n' "$1" "$2"
  began=$(now)
  for _ in $(seq 300); do
    ! answer=$(timeout 10 "$cache/deb/busybox-static/bin/busybox" wget -q -O - "http://127.0.0.1:$1$2" 2>/dev/null) || {
      printf '    %s\n    (%s)\n' "$answer" "$(since "$began")"
      return 0
    }
    sleep 0.2
  done
  fail "nothing answers on port $1"
}

# start_registry: ovm's own, on a free port; $host is its name.
start_registry() {
  heading "a registry: ovm's own, on a free port"
  OVM_HOME="$work/registry" "$ovm" registry serve --address 127.0.0.1:0 --root "$work/registry" </dev/null >"$work/registry.log" 2>&1 &
  registry=$!
  port=
  for _ in $(seq 100); do
    port=$(sed -n 's/.*http:\/\/127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/registry.log" 2>/dev/null) || true
    [ -z "$port" ] || break
    sleep 0.05
  done
  [ -n "$port" ] || { cat "$work/registry.log" >&2; fail "the registry did not start"; }
  host=localhost:$port
  echo "    http://$host"
}
