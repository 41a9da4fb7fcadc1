import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { finished } from "./sandbox.ts"

// What the README shows first, as `make demo` and its kin run it once all is built.

// A Debian is booted three times, on a host that may be busy.
const PATIENCE_MS = 280_000
setDefaultTimeout(300_000)

const ROOT = join(import.meta.dir, "../../..")

const skip = !existsSync(join(ROOT, "dist/ovm"))
  ? "(skipped: dist/ovm is not built)"
  : !existsSync(join(ROOT, ".cache/machine/machine.json"))
    ? "(skipped: .cache/machine is not there; make demo builds it)"
    : Bun.which("qemu-system-x86_64")
      ? ""
      : "(skipped: qemu-system-x86_64 is not installed)"
if (skip) console.log(`SKIP packages/ovm/test/demo.test.ts: ${skip}`)

describe.skipIf(skip !== "")(`the demonstrations ${skip}`, () => {
  test.each([
    ["demo.sh", "OVM-LAYER second, on top of base"],
    ["demo-snapshot.sh", "all of it"],
    ["demo-sandbox.sh", "all of it"],
  ])("%s ends well", async (script, words) => {
    const child = spawn("sh", [join(ROOT, "scripts", script)], { stdio: ["ignore", "pipe", "pipe"] })
    const { status, stdout, stderr } = await finished(child, PATIENCE_MS)
    expect({ status, stderr, end: stdout.slice(-300) }).toMatchObject({ status: 0 })
    expect(stdout).toContain(words)
  })
})
