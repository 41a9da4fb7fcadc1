import { must } from "../../check.ts"
import { Numbered } from "../../subject/numbered.ts"
import { alive, largest, signal } from "../../subject/processes.ts"
import { ticks } from "../ticks.ts"
import { apart } from "./aside.ts"
import { harnessOf, type Plan, type Scene } from "./plan.ts"
import { processesOf } from "./unreachable.ts"

/** Kills the runtime, lets `meanwhile` pass, and starts it again. */
async function killed({ runtime, signal }: Scene, meanwhile: () => Promise<void> = async () => {}) {
  const harness = harnessOf(runtime)
  await harness.kill()
  await meanwhile()
  await harness.start(signal)
}

export const restartPlans: readonly Plan[] = [
  apart({
    name: "killed-with-machines",
    covers: ["OVMS-STA-010", "OVMS-STA-011"],
    waits: true,
    async run(scene) {
      const { runtime, boot, create } = scene
      const id = await boot()
      const made = await create()
      const before = await runtime.status(id)
      const counted = ticks(await runtime.logs(id))
      await killed(scene, () => new Promise((resolve) => setTimeout(resolve, 1500)))
      const after = await runtime.reaches(id, "running")
      must(after.name === before.name, `its name is ${after.name}, and was ${before.name}`)
      const text = await runtime.says(id, new RegExp(`TICK ${counted + 10}\\r?\\n`))
      must(text.split("GUEST-READY").length === 2, "the machine was booted again")
      for (let n = 1; n <= counted + 10; n++)
        must(
          new RegExp(`TICK ${n}\\r?\\n`).test(text),
          `what the guest wrote meanwhile is missing: TICK ${n}`,
        )
      must((await runtime.status(made)).state === "stopped", "what had not been started is another now")
    },
  }),
  apart({
    name: "ended-meanwhile",
    covers: ["OVMS-STA-013"],
    waits: true,
    async run(scene) {
      const { runtime, boot } = scene
      const id = await boot("ticks=30 off=1")
      await killed(scene, () => new Promise((resolve) => setTimeout(resolve, 4000)))
      const { state, exit } = await runtime.reaches(id, "stopped", "failed")
      must(exit, `it is ${state}, and its end is not told`)
      must((await runtime.logs(id)).includes("GUEST-OFF"), "the end of its console is missing")
    },
  }),
  apart({
    name: "another-process-of-its-number",
    covers: ["OVMS-STA-012"],
    async run(scene) {
      const { runtime, boot } = scene
      const id = await boot()
      const all = await processesOf(id)
      const vmm = largest(all)
      let other: Numbered | undefined
      try {
        await killed(scene, async () => {
          signal(all, "SIGKILL")
          await runtime.until("the end of its processes", async () => alive(all).length === 0)
          other = await Numbered.begin(vmm)
        })
        const { state } = await runtime.status(id)
        must(state === "failed", `a machine whose VMM was killed is ${state}: its number is another's now`)
        await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
        must(other?.lives, "it has ended a process that is nobody's of its, by its number alone")
      } finally {
        other?.end()
      }
    },
  }),
]
