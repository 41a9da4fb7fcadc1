import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { statSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { findQemu } from "../vmm/qemu/find.ts"
import type { InstanceInfo } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

const missing =
  guestMissing ||
  (await findQemu().then(
    () => "",
    () => "(skipped: QEMU is not installed)",
  ))

describe.skipIf(missing !== "")(`what a status says of devices ${missing}`, () => {
  let root: string
  let runtime: LocalRuntime
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-devices-"))
    const devices = [
      { type: "serial", name: "modem" },
      { type: "vsock", name: "lacking", required: false },
      { type: "ivshmem", name: "frames", size: 4096, mmio_addr: "0x10000000" },
      { type: "rng", name: "entropy" },
    ]
    await packGuest(join(root, "store"), "devices:1", "tick_ms=50 button=1", { devices })
    runtime = await openRuntime(root)
  })
  afterAll(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    await runtime.close()
    await rm(root, { recursive: true })
  })

  const running = (id: string) =>
    until("it runs", () => runtime.status(id), {
      is: ({ state, reachable }: InstanceInfo) => state === "running" && reachable === undefined,
    })

  test("those that the machine has, where the host has them, for a later daemon too, and none once it has ended [OVMS-API-501]", async () => {
    const { instance_id: id } = await runtime.start({ manifest: "devices:1" })
    const folder = join(root, "instances", id)
    const expected = [
      { type: "serial", name: "modem", path: join(folder, "serial-modem.sock") },
      { type: "ivshmem", name: "frames", size: 4096, path: join(folder, "shm1.ram") },
      { type: "rng", name: "entropy" },
    ]
    const { devices, warnings } = await running(id)
    expect(devices).toEqual(expected)
    expect(warnings.some((text) => text.includes("vsock"))).toBe(true)
    expect(statSync(join(folder, "serial-modem.sock")).isSocket()).toBe(true)
    await runtime.close()
    runtime = await openRuntime(root)
    expect((await running(id)).devices).toEqual(expected)
    await runtime.stop({ instance_id: id })
    const { state, devices: left } = await until("it has ended", () => runtime.status(id), {
      is: ({ state }) => state === "stopped",
    })
    expect([state, left]).toEqual(["stopped", undefined])
  })
})
