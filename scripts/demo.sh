#!/bin/sh
# The whole road, once: files → artifact → registry → another, empty host → running machine → its own word → stopped.
# Everything happens in a temporary folder, with daemons and a registry of its own.
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
  export OVM_HOME="$there"
  for instance in $(timeout 30 "$ovm" ps --all --quiet 2>/dev/null); do timeout 30 "$ovm" rm --force "$instance"; done >/dev/null 2>&1 || true
  timeout 30 "$ovm" daemon --stop >/dev/null 2>&1 || true
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

heading "a registry: ovm's own, on a free port"
OVM_HOME="$work/registry" "$ovm" registry serve --address 127.0.0.1:0 --root "$work/registry" </dev/null >"$work/registry.log" 2>&1 &
registry=$!
port=
for _ in $(seq 100); do
  port=$(sed -n 's/.*http:\/\/127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/registry.log" 2>/dev/null)
  [ -z "$port" ] || break
  sleep 0.05
done
[ -n "$port" ] || { cat "$work/registry.log" >&2; fail "the registry did not start"; }
name=localhost:$port/demo/debian:12
warm=localhost:$port/demo/debian:warm
echo "    http://localhost:$port"

heading "on this host: make an image of a kernel, an initrd and two disk layers, and push it"
export OVM_HOME="$here"
step pack -f .cache/machine/machine.json -t "$name"
step push "$name"

heading "on another host, which has nothing yet: pull it and look at it"
export OVM_HOME="$there"
step pull "$name"
step inspect "$name"

heading "run it"
step info
booting=$(now)
step run -d --json "$name"
id=$(printf '%s' "$output" | tr -d '\n' | sed -n 's/.*"instance_id": *"\([^"]*\)".*/\1/p')
[ -n "$id" ] || fail "ovm run printed no instance_id"
for _ in $(seq 1200); do
  "$ovm" logs "$id" >"$work/console" 2>"$work/stderr" || { cat "$work/stderr" >&2; fail "ovm logs failed"; }
  ! grep -q '^OVM-DISK' "$work/console" || break
  sleep 0.1
done
grep -q '^OVM-DISK' "$work/console" || { cat "$work/console" >&2; fail "the machine did not come up"; }
echo "    first lines of the machine $(since "$booting") after ovm run"
step ps
step status "$id"
step logs "$id"
grep -q "^OVM-LAYER $(cat "$root/scripts/machine/layer/etc/layer")" "$work/console" || fail "the second layer was not read"

heading "keep it as it is now, and go on from there without booting"
step snapshot --json --tag warm "$id"
step run -d --json "$warm"
clone=$(printf '%s' "$output" | tr -d '\n' | sed -n 's/.*"instance_id": *"\([^"]*\)".*/\1/p')
step status "$clone"
step push "$warm"
step stop --time 0 "$clone"
step rm "$clone"

heading "stop it: the guest is asked to power off"
step stop --json "$id"
case $output in *'"acpi"'*) ;; *) fail "the guest did not answer the power button" ;; esac
proof=$("$ovm" logs "$id" | grep '^OVM-LAYER')
step rm "$id"

heading "the machine's own word that the second layer was read"
printf '    %s\n' "$proof"
printf '    (all of it: %s)\n' "$(since "$started")"
