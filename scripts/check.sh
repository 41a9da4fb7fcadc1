#!/bin/sh
# Format, lint, types, width of comments, directions of imports, generated files. Does all of them, then says which
# failed.
. "$(dirname "$0")/lib.sh"
cd "$root"
failed=

check() {
  name=$1
  shift
  if "$@"; then say "ok      $name"; else say "FAILED  $name"; failed="$failed $name"; fi
}

check "format and lint" biome check
check "types" tsc --noEmit
check "width of comments" quietly bun test --timeout=240000 ./packages/ovm/test/width.test.ts
check "import directions" quietly bun test --timeout=240000 ./packages/ovm/test/imports.test.ts
check "names, parameters and sizes" quietly bun test --timeout=240000 ./packages/ovm/test/names.test.ts \
  ./packages/ovm/test/parameters.test.ts ./packages/ovm/test/sizes.test.ts
check "generated files are up to date" bun scripts/generate.ts --check
[ -z "$failed" ] || die "make check:$failed"
