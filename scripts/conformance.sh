#!/bin/sh
# Holds ovm against the conformance suite, as a reader and writer and as a runtime, its agent, the example adapter, and
# the registries that there are. Reports are written into .cache/conformance; arguments are the suite's options, and
# leave the registries out. The exit status is the worst of them. What is no runtime is judged beside the runtime, and
# told behind it: each of the two leaves a processor something to do.
# $SUBJECT names those that are meant alone, also `second`, the reader and writer of examples/second, and
# `runtime-firecracker`, the runtime with that VMM and no other; $REGISTRY names registries. $PUBLISH=1 puts the results
# into docs/conformance.
. "$(dirname "$0")/lib.sh"
cd "$root"
export OVM="$root/dist/ovm"
version=$("$OVM" --version)
program=$root/packages/conformance/dist/ovms-conformance.js
subjects=${SUBJECT:-wrapper adapter agent runtime registries}
for subject in $subjects; do
  case $subject in
    wrapper | second | adapter | agent | runtime | registries) ;;
    runtime-firecracker) have firecracker || die "runtime-firecracker: firecracker is not on PATH" ;;
    *) die "$subject: there are wrapper, second, adapter, agent, runtime, registries and runtime-firecracker" ;;
  esac
done
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

is_meant() {
  case " $subjects " in *" $1 "*) ;; *) return 1 ;; esac
}

# suite SUBJECT KIND WORDS…
# Of some checks alone, the subjects that none of them is for are left out; it is a mistake if none is left.
suite() {
  is_meant "$1" || return 0
  subject=$1 kind=$2
  shift 2
  if [ "$chosen" != 0 ]; then
    list=$(node "$program" "$kind" "$@" --list) || exit 2
    [ -n "$list" ] || { say "$subject: no check has this profile and name"; return; }
  fi
  : >"$folder/some"
  node "$program" "$kind" "$@" --name "${named:-$version}" --report "$cache/conformance/$subject" &
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
  suite wrapper wrapper "$wrapper" --linux "$folder/layout" "$@"
  named="ovms-second of $version"
  suite second wrapper "$root/examples/second/ovms-second" "${@:---profile=core,snapshot}"
  named="ovm-vmm-pyqemu of $version"
  suite adapter adapter "$root/examples/adapters/python/ovm-vmm-pyqemu" "$@"
  named=
  suite agent agent "$root/examples/conformance/ovm-agent" "$@"
  exit "$status"
}
(others "$@") >"$folder/others" 2>&1 &
beside=$!
runtime() {
  subject=$1
  shift
  suite "$subject" runtime --start "$root/examples/conformance/ovm-runtime" --linux "$folder/layout" --wrapper "$wrapper" "$@"
}
runtime runtime "$@"
export VMM=firecracker
named="$version with Firecracker"
runtime runtime-firecracker "$@"
wait "$beside" || worst $?
beside=
cat "$folder/others"
if is_meant registries && [ $# = 0 ]; then
  : >"$folder/some"
  # shellcheck disable=SC2086 # words on purpose
  bun "$root/scripts/conformance-registries.ts" ${PUBLISH:+--write} ${REGISTRY:-} || worst $?
fi
[ -e "$folder/some" ] || exit 2
if [ "${PUBLISH:-}" = 1 ] && [ $status = 0 ]; then
  for subject in $subjects; do
    [ "$subject" != registries ] || continue
    mkdir -p "docs/conformance/results/$subject"
    (cd "$cache/conformance/$subject" && cp report.txt report.xml ./*.svg "$root/docs/conformance/results/$subject/")
  done
fi
exit $status
