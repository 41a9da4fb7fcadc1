#!/bin/sh
# The sandbox loop: a machine is booted once and kept as a snapshot; ten commands, each in a machine of its own that is
# gone with it, and what each took.
. "$(dirname "$0")/demo-lib.sh"
export OVM_HOME="$here"

heading "a machine with an agent, and a snapshot of it to start from"
step pack -f .cache/machine/unpacked.json -t demo:1
step run -d --agent --name source demo:1
await_line source '^OVM-DISK'
step snapshot source --tag ready
step rm --force source
step warm demo:ready --slots 2

printf 'awk "BEGIN { for (n = 1; n <= %s; n++) sum += n; print sum }" >result\n' '$1' >"$work/sum.sh"
printf 'pear\napple\n' >"$work/words"
count=0

# sandbox STATUS WORD…: one run, which is to end with STATUS; its output, and where its time went.
sandbox() {
  wanted=$1
  shift
  count=$((count + 1))
  printf '$ ovm sandbox run %s\n' "$*"
  status=0
  output=$(timeout --foreground 180 "$ovm" sandbox run --json "$@" <"$work/words" 2>"$work/stderr") || status=$?
  [ "$status" = "$wanted" ] || { cat "$work/stderr" >&2; fail "it ended with $status, not $wanted"; }
  said=$(printf '%s' "$output" | sed -n 's/^ *"std\(out\|err\)": "\(.*\)",$/\2/p' | tr -d '\n')
  printf '    %s%s\n' "$said" "$([ "$status" = 0 ] || printf ' (exit status %s)' "$status")"
  printf '%s %s %s %s %s %s\n' "$count" "$(member started_from)" "$(member start)" "$(member agent)" "$(member command)" "$(member total)" >>"$work/times"
}

heading "ten commands, ten machines"
sandbox 0 demo:ready -- uname -r
sandbox 0 demo:ready -- sh -c 'echo from-the-first >/mnt/note; cat /mnt/note'
sandbox 0 demo:ready -- sh -c 'ls /mnt | grep -c note || true'
sandbox 0 --stdin demo:ready -- sort
sandbox 0 -w /work -f "$work/sum.sh" -o "result:$work/result" demo:ready -- sh sum.sh 1000
sandbox 3 demo:ready -- sh -c 'echo no >&2; exit 3'
sandbox 124 --timeout 1 demo:ready -- sleep 600
sandbox 0 -e WHO=nobody -u 65534 demo:ready -- sh -c 'echo $WHO is $(id -u)'
sandbox 0 --output-limit 16 demo:ready -- sh -c 'yes | head -c 1000000'
sandbox 0 demo:ready -- sh -c 'echo link $(cat /sys/class/net/e*/carrier)'
[ "$(cat "$work/result")" = 500500 ] || fail "the result did not come out"

heading "what each took, in ms"
awk 'BEGIN { print "run from start agent command total" } { print }' "$work/times" |
  while read -r a b c d e f; do printf '    %3s  %-8s  %8s  %8s  %9s  %9s\n' "$a" "$b" "$c" "$d" "$e" "$f"; done

heading "and nothing is left"
step ps --all
[ -z "$("$ovm" ps --all --quiet)" ] || fail "machines are left"
printf '\n    (all of it: %s)\n' "$(since "$started")"
