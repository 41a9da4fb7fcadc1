#!/bin/sh
# Holds ovm against the conformance suite, as a reader and writer and as a runtime, its agent, the example adapter, and
# the registries that there are. Reports are written into .cache/conformance; arguments are the suite's options, and
# leave the registries out. The exit status is the worst of them. What is no runtime is judged beside the runtime, and
# told behind it: each of the two leaves a processor something to do.
. "$(dirname "$0")/lib.sh"
cd "$root"
export OVM="$root/dist/ovm"
version=$("$OVM" --version)
program=$root/packages/conformance/dist/ovms-conformance.js
status=0
chosen=$#
folder=$(mktemp -d)
child=
beside=
# Whoever is cut off has the suites end what they have begun.
stop() {
  trap '' INT TERM
  for one in $child $beside; do kill "$one" 2>/dev/null || true; done
  wait
}
trap 'stop; rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

worst() { [ "$1" -lt "$status" ] || status=$1; }

# Of some checks alone, the subjects that none of them is for are left out; it is a mistake if none is left.
suite() {
  kind=$1
  shift
  if [ "$chosen" != 0 ]; then
    list=$(node "$program" "$kind" "$@" --list) || exit 2
    [ -n "$list" ] || { say "$kind: no check has this profile and name"; return; }
  fi
  : >"$folder/some"
  node "$program" "$kind" "$@" --name "${named:-$version}" --report "$cache/conformance/$kind" &
  child=$!
  wait "$child" || worst $?
  child=
}

# A Linux for what takes a guest with a shell: the demo machine, with its kernel unpacked.
scripts/machine.sh
OVM_HOME=$folder/home "$OVM" pack --file "$cache/machine/unpacked.json" --tag linux >/dev/null
OVM_HOME=$folder/home "$OVM" copy linux "$folder/layout" >/dev/null
export VIRTIOFSD="${VIRTIOFSD:-$(PATH=$cache/peers/bin:$PATH command -v virtiofsd)}"
wrapper=$root/examples/conformance/ovm-wrapper
others() {
  trap stop EXIT
  trap 'exit 143' TERM
  suite wrapper "$wrapper" --linux "$folder/layout" "$@"
  named="ovm-vmm-pyqemu of $version"
  suite adapter "$root/examples/adapters/python/ovm-vmm-pyqemu" "$@"
  named=
  suite agent "$root/examples/conformance/ovm-agent" "$@"
  exit "$status"
}
(others "$@") >"$folder/others" 2>&1 &
beside=$!
suite runtime --start "$root/examples/conformance/ovm-runtime" --linux "$folder/layout" --wrapper "$wrapper" "$@"
wait "$beside" || worst $?
beside=
cat "$folder/others"
[ -e "$folder/some" ] || exit 2
if [ $# = 0 ]; then
  bun "$root/scripts/conformance-registries.ts" ${PUBLISH:+--write} || [ $status != 0 ] || status=1
fi
if [ "${PUBLISH:-}" = 1 ] && [ $status = 0 ]; then
  for kind in wrapper runtime adapter agent; do
    mkdir -p "docs/conformance/results/$kind"
    (cd "$cache/conformance/$kind" && cp report.txt report.xml ./*.svg "$root/docs/conformance/results/$kind/")
  done
fi
exit $status
