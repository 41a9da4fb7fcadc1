#!/bin/sh
# Compiles packages/client/dist, JavaScript and its types for Node, when anything that goes into it has changed.
. "$(dirname "$0")/lib.sh"
lock build-client
cd "$root/packages/client"

stamp=$(find package.json tsconfig.json src "$root/package-lock.json" "$root/scripts/build-client.sh" -type f | sort | xargs sha256sum | sha256sum)
if [ -d dist ] && [ "$(cat "$cache/build-client.stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi

rm -rf dist
quietly tsc --project tsconfig.json || die "packages/client could not be compiled"
# What is imported of types is called as the files are, in which no .ts is.
sed -i -E 's/(from "\.[^"]*)\.ts"/\1.js"/' dist/*.d.ts
echo "$stamp" >"$cache/build-client.stamp"
