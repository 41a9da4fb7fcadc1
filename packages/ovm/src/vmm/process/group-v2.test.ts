import { expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { linuxMissing, triedInLinux } from "./linux-v2.testing.ts"

setDefaultTimeout(300_000)

// OVMS-API-291, OVMS-API-292, OVMS-API-293
test.skipIf(linuxMissing !== "")(`version 2: root's, delegated, and neither ${linuxMissing}`, async () => {
  const said = await triedInLinux(join(import.meta.dir, "group-v2.guest.testing.ts"))
  for (const [who, folder] of [
    ["root", "/sys/fs/cgroup/ovm"],
    ["delegated", "/sys/fs/cgroup/delegated"],
  ] as const) {
    const { share, ...facts } = said.get(who) ?? {}
    const bound = ["50000 100000", "5", String(64 << 20), "20"]
    const places = [{ version: 2, folder, controllers: ["cpu", "memory", "pids"] }]
    expect<unknown>({ who, ...facts }).toEqual({ who, places, alone: true, left: false, bound })
    expect(share).toBeLessThan(0.55)
    // A guest whose host is busy counts time that it did not have.
    expect(share).toBeGreaterThan(0.2)
  }
  expect(said.get("undelegated")).toMatchObject({ code: "OVM_UNSUPPORTED" })
  expect(String(said.get("undelegated")?.message)).toContain("none was delegated to it")
})
