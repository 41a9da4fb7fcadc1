import { expect, test } from "bun:test"
import { closeSync, ftruncateSync, openSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { mountMissing, withTmpfs } from "@ovms/testkit/tmpfs.ts"
import { type Bench, MiB } from "./bench.testing.ts"
import type { Guest, Machine } from "./machine.ts"
import type { LaunchPlan } from "./plan.ts"

/** A guest that stands still says why, and goes on where it was. */
export function standstillSuite(bench: Bench): void {
  /** A machine that writes to ever more of its disk, which is below `folder`. */
  function growing(folder: string): LaunchPlan {
    const base = bench.path("base.raw")
    const file = openSync(base, "wx")
    ftruncateSync(file, 64 * MiB)
    closeSync(file)
    const layers = [{ path: base, format: "raw" as const }]
    const disk = { layers, size: 64 * MiB, writable: true }
    return bench.planOf("tick_ms=10 grow=4", { directory: join(folder, "machine"), disk })
  }

  const next = (machine: Machine, wanted: (guest: Guest) => boolean) =>
    new Promise<void>((resolve) => {
      const look = () => wanted(machine.guest) && resolve()
      machine.onGuest(look)
      look()
    })

  // OVMS-STA-034
  test.skipIf(mountMissing !== "")(
    `a full disk of the host: the guest stands still, and goes on once there is room ${mountMissing}`,
    async () => {
      const folder = bench.path("tiny")
      // Once there is room the guest, which writes 25 MiB a second, is not to have filled it before it is looked at.
      await withTmpfs(folder, 48 * MiB, async () => {
        const ballast = join(folder, "ballast")
        writeFileSync(ballast, Buffer.alloc(45 * MiB))
        const launched = await bench.vmm.launch(growing(folder))
        await next(launched, ({ running }) => !running)
        expect(launched.guest).toMatchObject({ reason: "disk-full", message: expect.stringMatching(/space/) })
        // Resumed too early.
        expect((await refusal(launched.resume())).code).toBe("OVM_NO_SPACE")
        expect(launched.guest).toMatchObject({ running: false, reason: "disk-full" })
        // And so it is for whoever takes it over.
        launched.detach()
        const machine = await bench.vmm.adopt(launched.record)
        expect(machine.guest).toMatchObject({ running: false, reason: "disk-full" })
        await machine.pause()
        expect(machine.guest).toMatchObject({ running: false, reason: "disk-full" })
        rmSync(ballast)
        await machine.resume()
        expect(machine.guest).toEqual({ running: true })
        await bench.until(machine, "GREW 80\r\n")
        await machine.stop({ graceMs: 0 })
        expect(await bench.until(machine)).not.toContain("FAILED")
      })
    },
  )

  test.skipIf(mountMissing !== "")(
    `a guest that stands still for want of room can be stopped ${mountMissing}`,
    async () => {
      const folder = bench.path("tiny")
      await withTmpfs(folder, 3 * MiB, async () => {
        const machine = await bench.vmm.launch(growing(folder))
        await next(machine, ({ running }) => !running)
        expect(await machine.stop({ graceMs: 50 })).toBe("ended")
      })
    },
  )
}
