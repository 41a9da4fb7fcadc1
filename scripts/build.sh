#!/bin/sh
# Compiles dist/ovm when anything that goes into it has changed.
. "$(dirname "$0")/lib.sh"
lock build
cd "$root"
scripts/static.sh

stamp=$(find packages/ovm/package.json packages/ovm/src packages/client/src packages/shim/dist packages/agent/dist packages/agent/install.sh packages/agent/ovm-agent.service packages/agent/ovm-agent.openrc packages/filter/dist packages/forward/dist packages/tap/dist spec package-lock.json scripts/compile.ts "$0" -type f | sort | xargs sha256sum | sha256sum)
if [ -x dist/ovm ] && [ "$(cat "$cache/build.stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi

mkdir -p dist
quietly bun scripts/compile.ts dist/ovm.new || die "bun build failed"
# A daemon that runs from the old file keeps it.
mv dist/ovm.new dist/ovm
echo "$stamp" >"$cache/build.stamp"
