import { setDefaultTimeout } from "bun:test"
import { join } from "node:path"
import { findQemu } from "../qemu/find.ts"
import { vmmSuite } from "../vmm.suite.ts"
import { ADAPTER } from "./exec.testing.ts"

// Lane: first, 2 min. A common suite of real machines.
// Real processes, on a host that may be busy.
setDefaultTimeout(240_000)

const qemu = await findQemu().then(
  () => "",
  (error: unknown) => `(skipped: ${error instanceof Error ? error.message : error})`,
)
const missing = qemu || (Bun.which("python3") ? "" : "(skipped: python3 is not installed)")

vmmSuite(ADAPTER, {
  module: join(import.meta.dir, "exec.testing.ts"),
  factory: "adapter",
  snapshots: false,
  missing,
})
