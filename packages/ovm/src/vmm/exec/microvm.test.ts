import { setDefaultTimeout } from "bun:test"
import { join } from "node:path"
import { findQemu } from "../qemu/find.ts"
import { vmmSuite } from "../vmm.suite.ts"

// Lane: first, 1 min. A common suite of real machines.
// Real processes, on a host that may be busy.
setDefaultTimeout(240_000)

const missing = await findQemu().then(
  () => "",
  (error: unknown) => `(skipped: ${error instanceof Error ? error.message : error})`,
)

vmmSuite("microvm", {
  module: join(import.meta.dir, "exec.testing.ts"),
  factory: "microvm",
  snapshots: false,
  missing,
  lacks: { linux: "Debian's kernel does not find out how fast microvm's processor is" },
})
