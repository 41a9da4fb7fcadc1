import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { until } from "@ovms/testkit/until.ts"
import { Bench } from "../bench.testing.ts"
import { makeOverlay } from "../overlays.ts"
import { startedIn } from "../process/identity.ts"
import { isInhabited } from "../process/stray.ts"
import { qemuCapabilities } from "./capabilities.ts"
import { findQemu } from "./find.ts"
import { modelOf } from "./model.ts"
import { START_MS, startQemu } from "./start.ts"

setDefaultTimeout(2 * START_MS)

const missing =
  guestMissing ||
  (await findQemu().then(
    () => "",
    () => "(skipped: QEMU is not installed)",
  ))

describe.skipIf(missing !== "")(`a start ${missing}`, () => {
  const under = { module: join(import.meta.dir, "index.ts"), factory: "qemu", missing, snapshots: true }
  const bench = new Bench(mkdtempSync(join(tmpdir(), "ovm-start-")), under)
  beforeAll(async () => await bench.open(await buildGuest()))
  afterAll(() => rmSync(bench.root, { recursive: true }))

  test("whose QEMU and keeper are both killed before there is a monitor fails, and waits for nobody", async () => {
    const plan = bench.planOf("tick_ms=50")
    const found = await qemuCapabilities(join(bench.root, "cache"))
    const binary = join(bench.root, "qemu")
    await writeFile(binary, "#!/bin/sh\nexec sleep 600\n", { mode: 0o755 })
    const overlay = await makeOverlay(plan)
    const options = {
      ...{ accelerator: found.accelerator, model: modelOf(plan, found), generationId: crypto.randomUUID() },
      ...(overlay !== undefined && { overlay }),
    }
    const start = startQemu({ found: { ...found, binary }, plan, options }, {}, () => Promise.resolve())
    const refused = refusal(start)
    const { pid } = await until("it is there", () => startedIn(plan.directory))
    const keeper = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
    process.kill(Number(keeper), "SIGKILL")
    process.kill(pid, "SIGKILL")
    const { code, message } = await refused
    expect({ code, message }).toEqual({
      code: "OVM_VMM_FAILED",
      message: "QEMU and its keeper were killed before it opened its monitor",
    })
    expect(await isInhabited(plan.directory)).toBe(false)
  })
})
