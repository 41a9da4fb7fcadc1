#!/bin/sh
# Holds ovm against the conformance suite. Reports are written into .cache/conformance; arguments are the suite's
# options. The exit status is the suite's.
. "$(dirname "$0")/lib.sh"
export OVM="$root/dist/ovm"
version=$("$OVM" --version)
exec node "$root/packages/conformance/dist/ovms-conformance.js" wrapper "$root/examples/conformance/ovm-wrapper" \
  --name "$version" --report "$cache/conformance/wrapper" "$@"
