import { stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { must, skip } from "../../check.ts"
import { pathsBelow } from "../../subject/below.ts"
import { alive, largest, processesWith, signal } from "../../subject/processes.ts"
import type { Instance, Runtime } from "../../subject/runtime.ts"
import { unique } from "../unique.ts"
import { apart } from "./aside.ts"
import { endsWhole } from "./left.ts"
import { harnessOf, type Plan, type Scene } from "./plan.ts"

// Machines whose VMM does not answer, and records that cannot be read.

const DELETE = "DELETE /instances/{instance_id}"
const PAUSE = "POST /instances/{instance_id}/pause"

/** The processes that have to do with an instance. */
export async function processesOf(id: string): Promise<number[]> {
  const all = processesWith(id)
  return all.length > 0
    ? all
    : skip("no process has the ID of its instance in its command line or in the path of its folder")
}

async function startedAgain({ runtime, signal }: Scene): Promise<void> {
  const harness = harnessOf(runtime)
  await harness.kill()
  await harness.start(signal)
}

async function listed(runtime: Runtime, id: string): Promise<Instance | undefined> {
  const { instances } = await runtime.ask<{ instances: readonly Instance[] }>("GET /instances")
  return instances.find(({ instance_id }) => instance_id === id)
}

/** Writes nonsense over all that is kept by the instance's ID, and is no disk. */
async function spoil({ runtime }: Scene, id: string): Promise<void> {
  const { home } = harnessOf(runtime)
  for (const name of await pathsBelow(home)) {
    if (!name.includes(id)) continue
    const stats = await stat(join(home, name)).catch(() => undefined)
    if (stats?.isFile() && stats.size < 65_536) await writeFile(join(home, name), "no record of anything")
  }
}

export const unreachablePlans: readonly Plan[] = [
  {
    name: "vmm-that-ends",
    covers: ["OVMS-STA-004", "OVMS-API-062", "OVMS-API-063", "OVMS-API-341"],
    async run({ runtime, boot }) {
      const id = await boot()
      signal([largest(await processesOf(id))], "SIGKILL")
      const { state, exit } = await runtime.until("its end is found", async () => {
        const instance = await runtime.status(id)
        return instance.state !== "running" && instance
      })
      must(state === "failed", `an instance whose VMM was killed is ${state}`)
      must(
        /^(signal|ended|lost)$/.test(exit?.reason ?? ""),
        `of what was killed the reason is ${exit?.reason}`,
      )
      must(
        exit?.status === undefined || exit.status === 137,
        `of what was killed the status is ${exit?.status}`,
      )
    },
  },
  apart({
    name: "vmm-that-does-not-answer",
    covers: ["OVMS-STA-020", "OVMS-STA-021", "OVMS-STA-022", "OVMS-STA-023", "OVMS-API-531"],
    waits: true,
    async run(scene) {
      const { runtime, boot } = scene
      const id = await boot()
      const pids = await processesOf(id)
      // What keeps its console, as a process of its own, could not end by itself either.
      const vmm = [largest(pids)]
      signal(vmm, "SIGSTOP")
      try {
        await startedAgain(scene)
        const { state, reachable } = await runtime.status(id)
        must(
          state === "running" && reachable === false,
          `a machine that does not answer is ${state}, reachable ${reachable}`,
        )
        await runtime.refused(PAUSE, "OVM_VMM_UNREACHABLE", id)
        must(alive(pids).length === pids.length, "a process of it was ended")
      } finally {
        signal(vmm, "SIGCONT")
      }
      await runtime.until(
        "it is reached again",
        async () => (await runtime.status(id)).reachable === undefined,
      )
      must((await runtime.status(id)).state === "running", "it does not run any more")
      signal(vmm, "SIGSTOP")
      await startedAgain(scene)
      await runtime.ask(DELETE, id, { query: "force=true" })
      const left = alive(vmm)
      await endsWhole(runtime, id, pids)
      must(left.length === 0, `it was deleted while its VMM lived, which is ${left}`)
    },
  }),
  apart({
    name: "record-that-cannot-be-read",
    covers: ["OVMS-STA-024", "OVMS-STA-025", "OVMS-STA-026", "OVMS-VOL-011"],
    async run(scene) {
      const { runtime, boot } = scene
      const volume = unique()
      await runtime.ask("POST /volumes", "", { body: { name: volume, size: 1 << 20 } })
      try {
        const id = await boot("", { volumes: [{ name: volume }] })
        const pids = await processesOf(id)
        await harnessOf(runtime).kill()
        await spoil(scene, id)
        await harnessOf(runtime).start(scene.signal)
        const instance = await listed(runtime, id)
        must(instance, "an instance whose record cannot be read is not listed")
        must(instance.error?.code === "OVM_RECORD_UNREADABLE", `its error is ${instance.error?.code}`)
        must(alive(pids).length > 0, "its process was ended")
        await runtime.refused(DELETE, "OVM_RECORD_UNREADABLE", id)
        await runtime.refused("DELETE /volumes/{name}", "OVM_VOLUME_IN_USE", volume)
        await runtime.refused("POST /start", "OVM_VOLUME_IN_USE", "", {
          body: { manifest: runtime.guest, overrides: { volumes: [{ name: volume }] } },
        })
        await runtime.ask(DELETE, id, { query: "force=true" })
        must(!(await listed(runtime, id)), "it is listed although it was deleted by force")
        await endsWhole(runtime, id, pids)
      } finally {
        await runtime.raw("DELETE", `/volumes/${volume}`)
      }
    },
  }),
  apart({
    name: "stopping-when-it-ended",
    covers: ["OVMS-STA-015"],
    waits: true,
    async run(scene) {
      const { runtime, boot } = scene
      const id = await boot()
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 4000 } })
      must(
        (await runtime.status(id)).state === "stopping",
        "the guest that hears no power button is not stopping",
      )
      await startedAgain(scene)
      await runtime.reaches(id, "stopped")
    },
  }),
]
