import { setDefaultTimeout } from "bun:test"
import { fileURLToPath } from "node:url"
import { vmmSuite } from "./vmm.suite.ts"

// Real processes, on a host that may be busy.
setDefaultTimeout(240_000)

// What the suite asks of the life of a machine it asks of any VMM: this one has nothing of QEMU's.
const module = fileURLToPath(import.meta.resolve("@ovms/testkit/toy/index.ts"))
vmmSuite("toy", { module, factory: "toy", missing: "", snapshots: false, lifeOnly: true })
