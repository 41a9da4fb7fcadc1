import { setDefaultTimeout } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { vmmSuite } from "../vmm.suite.ts"
import { firecracker } from "./index.ts"

// Lane: first. A common suite of real machines: minutes where KVM is emulated in software.
// Real processes, on a host that may be busy.
setDefaultTimeout(240_000)

const folder = mkdtempSync(join(tmpdir(), "ovm-firecracker-here-"))
const missing = await firecracker(folder)
  .capabilities()
  .then(
    () => "",
    (error: unknown) => `(skipped: ${error instanceof Error ? error.message : error})`,
  )
rmSync(folder, { recursive: true, force: true })

vmmSuite("firecracker", {
  module: join(import.meta.dir, "index.ts"),
  factory: "firecracker",
  missing,
  snapshots: false,
  lacks: {
    "power-off": "Firecracker has no ACPI power management: a guest ends by a reset",
    panic: "Firecracker has no pvpanic",
    result: "Firecracker has no port for results",
    standstill: "Firecracker tells its guest of an error in place of waiting for room",
    disks: "the adapter has none yet",
    linux: "the adapter has no disks yet",
  },
  asked: "KBD",
  quit: 143,
})
