import { must } from "../../check.ts"
import { Runtime } from "../../subject/runtime.ts"
import { SmallDisk } from "../../subject/small-disk.ts"
import { needs } from "../../subject/vmms.ts"
import { ticks } from "../ticks.ts"
import { harnessOf, type Plan, type Scene } from "./plan.ts"

const RESUME = "POST /instances/{instance_id}/resume"
const ROOM = 64 << 20
/** Writes to eight clusters ten times a second that it has not written to yet, and looks whether its log is whole. */
const GROWS = { args: "console=ttyS0 tick_ms=100 grow=8 log=1", diskSize: 1 << 30 }
const STAYS = { args: "console=ttyS0 tick_ms=100" }

/** A runtime whose data is on a disk that can be full. */
export async function onSmallDisk(
  scene: Scene,
  use: (runtime: Runtime, disk: SmallDisk) => Promise<void>,
  room = ROOM,
): Promise<void> {
  const harness = await harnessOf(scene.runtime).another()
  try {
    await SmallDisk.at(harness.home, room, async (disk) => {
      const runtime = new Runtime(harness.socket, scene.runtime.machines, harness, scene.signal)
      try {
        await harness.start(scene.signal)
        await use(runtime, disk)
      } finally {
        disk.free()
        await harness.forget()
        await harness.kill()
      }
    })
  } finally {
    await harness.close()
  }
}

export const fullDiskPlans: readonly Plan[] = [
  {
    name: "full-disk",
    covers: ["OVMS-STA-027", "OVMS-STA-034", "OVMS-API-142", "OVMS-API-144"],
    async run(scene) {
      await needs(scene.runtime, "wait")
      const grower = await scene.machine({ diskless: false })
      await onSmallDisk(scene, async (runtime, disk) => {
        const start = async (manifest: string, overrides: object) => {
          const body = { manifest, overrides }
          const { instance_id } = await runtime.ask<{ instance_id: string }>("POST /start", "", { body })
          await runtime.says(instance_id, /TICK 2\r?\n/)
          return instance_id
        }
        const id = await start(grower, GROWS)
        const [stopped, removed] = [await start(runtime.guest, STAYS), await start(runtime.guest, STAYS)]
        disk.fill()
        const { reason, warnings } = await runtime.reaches(id, "paused")
        must(reason === "disk-full", `the guest that cannot write is paused because of ${reason}`)
        must(
          warnings.some((words) => /disk|space|room/i.test(words)),
          `no warning says so: ${warnings.join("; ")}`,
        )
        disk.fill()
        await runtime.refused(RESUME, "OVM_NO_SPACE", id)
        must((await runtime.status(id)).state === "paused", "a guest that stands still again is not paused")
        await runtime.ask("POST /stop", "", { body: { instance_id: stopped, grace_ms: 0 } })
        await runtime.reaches(stopped, "stopped")
        disk.fill()
        await runtime.ask("DELETE /instances/{instance_id}", removed, { query: "force=true" })
        await runtime.refused("GET /status/{instance_id}", "OVM_INSTANCE_UNKNOWN", removed)
        disk.free()
        const before = ticks(await runtime.logs(id))
        await runtime.ask(RESUME, id)
        const text = await runtime.says(id, new RegExp(`TICK ${before + 3}\\r?\\n`))
        must(!/DISK-(LOST|FAILED)/.test(text), "the guest went on, and what it had written is lost")
      })
    },
  },
]
