import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { machineMissing, UNPACKED } from "@ovms/testkit/machines.ts"
import { Bed, OVM, report, WRAPPER } from "../bed.ts"
import { STARTERS } from "./table.ts"

// ovm by a command that starts it in another way than it should.

/** Has a QEMU that is told something else than what it is told: `change` is done for each word, and may drop it. */
const qemu = (change: string) => `
    mkdir -p "$0.bin" && cat >"$0.bin/qemu-system-x86_64" <<'END' && chmod +x "$0.bin/qemu-system-x86_64"
#!/bin/sh
all=" $* " drop=
for word; do
  shift
  if [ "$drop" ]; then drop=; continue; fi
  ${change}
  set -- "$@" "$word"
done
exec '${Bun.which("qemu-system-x86_64")}' "$@"
END
    export PATH="$0.bin:$PATH"`

const BEFORE: Readonly<Record<string, string>> = {
  "leaves its socket to others": "sleep 60 &",
  "knows no folder of configuration": "export XDG_CONFIG_HOME=/nowhere",
  "keeps no evidence": `grep -ls dev.sigstore.bundle "$OVMS_CONFORMANCE_HOME"/store/blobs/sha256/* | xargs -r rm -f`,
  "knows processes by their numbers": `
    for record in "$OVMS_CONFORMANCE_HOME"/instances/*/instance.json; do
      pid=$(sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p' "$record" 2>/dev/null | head -n 1)
      [ -z "$pid" ] || kill -9 "$pid"
    done`,
  "believes a device file": qemu("case $word in tcg | tcg,*) word=kvm ;; esac"),
  "gives no initrd to what goes on": qemu(
    'case "$word$all" in -initrd*" -incoming "*) drop=1; continue ;; esac',
  ),
  "shares all to be written to": qemu(
    "case $word in *,readonly=on*) word=${word%%,readonly=on*}${word#*,readonly=on} ;; esac",
  ),
}

let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
})
afterAll(() => bed[Symbol.asyncDispose]())

/** What a guest with a shell alone can do. */
const INSIDE = "shares all to be written to"
const missing = await machineMissing()
if (missing) console.log(`SKIP packages/conformance/test/mutants/starters.test.ts: ${INSIDE}: ${missing}`)
const seen = STARTERS.filter(({ fault }) => fault !== INSIDE || !missing)

test.each(seen.map((one) => [one.fault, one] as const))(
  "a runtime that %s is caught",
  async (fault, { check, requirement }) => {
    const line = `OVM='${OVM}' exec '${join(WRAPPER, "../ovm-runtime")}'`
    const script = await bed.script(fault.replaceAll(" ", "-"), `${BEFORE[fault]}\n${line}`)
    const linux = fault === INSIDE ? ["--linux", await bed.packed(UNPACKED)] : []
    const { results } = await report([
      "runtime",
      "--start",
      script,
      "--only",
      check,
      "--limit",
      "60",
      ...linux,
    ])
    expect(results.map(({ verdict, reason }) => [verdict, reason])).toEqual([["fail", expect.any(String)]])
    expect(results[0]?.covers).toContain(requirement)
  },
)
