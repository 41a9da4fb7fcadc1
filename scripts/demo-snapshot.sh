#!/bin/sh
# The road of a snapshot: a running machine → an artifact in a registry → nothing left here → pulled again → three
# clones that go on from the same point, each with random bytes of its own.
. "$(dirname "$0")/demo-lib.sh"
CLONES="1 2 3"

start_registry
name=$host/demo/debian:12
warm=$host/demo/debian:counting

heading "boot a machine that counts, in its memory and on its disk"
export OVM_HOME="$here"
step pack -f .cache/machine/unpacked.json -t "$name"
booting=$(now)
step run -d --json --args "console=ttyS0 root=/dev/vda rw quiet panic=-1 no_timer_check ovm.count" "$name"
id=$(member instance_id)
await_line "$id" '^OVM-COUNT 5 '
echo "    it counts $(since "$booting") after ovm run:"
grep '^OVM-COUNT' "$work/console" | tail -2 | sed 's/^/    /'

heading "keep it as it is now, with a look for secrets; it goes on"
step snapshot --json --tag counting --scrub-check "$id"
digest=$(member snapshot_ref)
echo "    it stood still for $(member paused) ms"

heading "push it with its base, and delete everything here"
step push "$warm"
step rm --force "$id"
step rmi "$warm" "$name"
step images
[ -z "$(find "$here/store/blobs" -type f)" ] || fail "blobs are left"

heading "pull it, and look at it: a snapshot knows its base"
pulling=$(now)
step pull "$warm"
step inspect "$warm"

heading "three clones at once"
for n in $CLONES; do
  timeout --foreground 180 "$ovm" run -d --json --name "clone-$n" "$warm" </dev/null >"$work/clone-$n" 2>&1 &
  eval "job$n=$!"
done
for n in $CLONES; do
  eval "wait \$job$n" || { cat "$work/clone-$n" >&2; fail "clone $n did not start"; }
done
echo "    running $(since "$pulling") after the pull began"
for n in $CLONES; do
  await_line "clone-$n" '^OVM-COUNT .*random=[0-9a-f]*[[:cntrl:]]*$'
  first=$(sed -n 's/^OVM-COUNT \([0-9]*\) .*/\1/p' "$work/console" | head -1)
  await_line "clone-$n" "^OVM-COUNT $((first + 3)) "
  echo "$first" >>"$work/first"
  cp "$work/console" "$work/console-$n"
  output=$("$ovm" status --json "clone-$n")
  [ "$(member snapshot)" = "$digest" ] || fail "clone $n was not resumed from $digest"
  printf '  clone %s: spawn %s ms, load %s ms, resume %s ms, generation %s\n' "$n" \
    "$(member spawn)" "$(member load)" "$(member resume)" "$(member generation_id)"
  grep '^OVM-' "$work/console-$n" | head -3 | sed 's/^/    /'
done

heading "each went on from the same point"
[ "$(sort -u "$work/first" | wc -l)" = 1 ] || fail "they went on from different points: $(tr '\n' ' ' <"$work/first")"
for n in $CLONES; do
  ! grep -q '^OVM-USERSPACE' "$work/console-$n" || fail "clone $n has booted"
  grep -q "^OVM-COUNT $first disk=$((first - 1)) " "$work/console-$n" || fail "clone $n has another disk than memory"
done
echo "    OVM-COUNT $first, in memory and on disk"

heading "each with random bytes of its own, from the second line on: the kernel renews them some ms after the resume"
sed -n "s/^OVM-COUNT $((first + 1)) .*random=//p" "$work"/console-? | tr -d '\r' | sort -u >"$work/random"
sed 's/^/    /' "$work/random"
[ "$(wc -l <"$work/random")" = 3 ] || fail "clones share random bytes"
printf '\n    (all of it: %s)\n' "$(since "$started")"
