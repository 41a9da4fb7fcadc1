#!/bin/sh
# Bundles packages/conformance/dist/ovms-conformance.js when anything that goes into it has changed.
. "$(dirname "$0")/lib.sh"
lock build-conformance
cd "$root"

stamp=$(find packages/conformance/package.json packages/conformance/src spec/errors.json spec/package.json spec/vectors scripts/build-conformance.ts "$0" -type f | sort | xargs sha256sum | sha256sum)
built=packages/conformance/dist/ovms-conformance.js
if [ -f $built ] && [ "$(cat "$cache/build-conformance.stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi

mkdir -p packages/conformance/dist
quietly bun scripts/build-conformance.ts || die "packages/conformance could not be bundled"
echo "$stamp" >"$cache/build-conformance.stamp"
