import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { Bed, OVM, report, WRAPPER } from "../bed.ts"
import { STARTERS } from "./table.ts"

// ovm by a command that starts it in another way than it should.

/** A QEMU that is told to use KVM wherever there is its device. */
const EAGER = `#!/bin/sh
real=$(PATH=$REST command -v qemu-system-x86_64)
for word; do
  shift
  case $word in tcg | tcg,*) word=kvm ;; esac
  set -- "$@" "$word"
done
exec "$real" "$@"`

const BEFORE: Readonly<Record<string, string>> = {
  "leaves its socket to others": "sleep 60 &",
  "knows no folder of configuration": "export XDG_CONFIG_HOME=/nowhere",
  "keeps no evidence": `grep -ls dev.sigstore.bundle "$OVMS_CONFORMANCE_HOME"/store/blobs/sha256/* | xargs -r rm -f`,
  "knows processes by their numbers": `
    for record in "$OVMS_CONFORMANCE_HOME"/instances/*/instance.json; do
      pid=$(sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p' "$record" 2>/dev/null | head -n 1)
      [ -z "$pid" ] || kill -9 "$pid"
    done`,
  "believes a device file": `
    mkdir -p "$0.bin" && cat >"$0.bin/qemu-system-x86_64" <<'END' && chmod +x "$0.bin/qemu-system-x86_64"
${EAGER}
END
    export REST="$PATH" PATH="$0.bin:$PATH"`,
}

let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
})
afterAll(() => bed[Symbol.asyncDispose]())

test.each(STARTERS.map((one) => [one.fault, one] as const))(
  "a runtime that %s is caught",
  async (fault, { check, requirement }) => {
    const line = `OVM='${OVM}' exec '${join(WRAPPER, "../ovm-runtime")}'`
    const script = await bed.script(fault.replaceAll(" ", "-"), `${BEFORE[fault]}\n${line}`)
    const { results } = await report(["runtime", "--start", script, "--only", check, "--limit", "60"])
    expect(results.map(({ verdict, reason }) => [verdict, reason])).toEqual([["fail", expect.any(String)]])
    expect(results[0]?.covers).toContain(requirement)
  },
)
