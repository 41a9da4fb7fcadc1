#!/bin/sh
# Holds ovm against the conformance suite, as a reader and writer and as a runtime. Reports are written into
# .cache/conformance; arguments are the suite's options. The exit status is the worse of the two.
. "$(dirname "$0")/lib.sh"
cd "$root"
export OVM="$root/dist/ovm"
version=$("$OVM" --version)
status=0

suite() {
  kind=$1
  shift
  node "$root/packages/conformance/dist/ovms-conformance.js" "$kind" "$@" --name "$version" \
    --report "$cache/conformance/$kind" || { ended=$?; [ $ended -lt $status ] || status=$ended; }
}

suite wrapper "$root/examples/conformance/ovm-wrapper" "$@"
suite runtime --start "$root/examples/conformance/ovm-runtime" "$@"
if [ "${PUBLISH:-}" = 1 ] && [ $status = 0 ]; then
  for kind in wrapper runtime; do
    mkdir -p "docs/conformance/results/$kind"
    (cd "$cache/conformance/$kind" && cp report.txt report.xml ./*.svg "$root/docs/conformance/results/$kind/")
  done
fi
exit $status
