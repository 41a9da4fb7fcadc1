import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { outside } from "../vmm/exec/index.ts"
import { qemu } from "../vmm/qemu/index.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"

setDefaultTimeout(120_000)

describe.skipIf(guestMissing !== "")(`what a start would do ${guestMissing}`, () => {
  let root: string
  let runtime: LocalRuntime
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-explain-"))
    const store = join(root, "store")
    await packGuest(store, "plain:1", "tick_ms=20")
    await packGuest(store, "prefers:1", "tick_ms=20", {
      runtimeHints: { preferredRuntime: ["nowhere", "another"] },
      devices: [{ type: "gpu", name: "g", required: false }],
    })
    await packGuest(store, "needs:1", "tick_ms=20", { devices: [{ type: "gpu", name: "g" }] })
    runtime = await openRuntime(root, { vmms: [qemu(join(root, "cache")), outside("nowhere")] })
  })
  afterAll(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-API-470, OVMS-API-472
  test("is said of each VMM in the order in which they are tried, and nothing is left", async () => {
    const { image, vmms, snapshot } = await runtime.explain({ manifest: "plain:1" })
    expect(image.reference).toEndWith("plain:1")
    expect(snapshot).toBeUndefined()
    expect(vmms).toMatchObject([
      { name: "qemu", chosen: true, findings: [] },
      { name: "nowhere", chosen: false, error: { code: "OVM_VMM_MISSING" } },
    ])
    const preferred = await runtime.explain({ manifest: "prefers:1" })
    expect(preferred.vmms).toMatchObject([
      { name: "nowhere", chosen: false },
      { name: "qemu", chosen: true, findings: [{ severity: "degraded" }] },
    ])
    expect(await runtime.list()).toEqual([])
    expect(await readdir(join(root, "instances"))).toEqual([])
    expect(
      (await readdir(join(root, "store/ovm/leases"))).filter((name) => name.startsWith("instance-")),
    ).toEqual([])
  })

  // OVMS-API-470, OVMS-API-472
  test("is said also where nothing would", async () => {
    const { vmms } = await runtime.explain({ manifest: "needs:1", overrides: { vmm: "qemu" } })
    expect(vmms).toMatchObject([
      { name: "qemu", chosen: false, findings: [{ pointer: "/devices/0/type", severity: "fatal" }] },
    ])
    for (const [manifest, overrides, code] of [
      ["plain:1", { vmm: "other" }, "OVM_UNSUPPORTED"],
      ["absent:1", {}, "OVM_NAME_UNKNOWN"],
    ] as const)
      expect((await refusal(runtime.explain({ manifest, overrides }))).code).toBe(code)
  })

  // OVMS-API-471
  test("is the snapshot's VMM for what goes on", async () => {
    const { instance_id: id } = await runtime.start({ manifest: "prefers:1" })
    await until("it runs", () => runtime.status(id), { is: ({ state }) => state === "running" })
    const { snapshot_ref } = await runtime.snapshot({ instance_id: id, tag: "shot" })
    const { snapshot, vmms } = await runtime.explain({ manifest: "prefers:shot" })
    expect(snapshot).toBe(snapshot_ref)
    expect(vmms).toMatchObject([{ name: "qemu", chosen: true, findings: [] }])
  })
})
