import { must, skip } from "../../check.ts"
import { Numbered } from "../../subject/numbered.ts"
import { alive, largest, signal } from "../../subject/processes.ts"
import { ticks } from "../ticks.ts"
import { apart, aside } from "./aside.ts"
import { harnessOf, type Plan, type Scene } from "./plan.ts"
import { processesOf } from "./unreachable.ts"

/** Kills the runtime, lets `meanwhile` pass, and starts it again. */
async function killed({ runtime, signal }: Scene, meanwhile: () => Promise<void> = async () => {}) {
  const harness = harnessOf(runtime)
  await harness.kill()
  await meanwhile()
  await harness.start(signal)
}

/** How many are tried until one of them leaves a number that no other process takes first. */
const MACHINES = 4

/** Whether another process could be given the number of a machine's VMM while the runtime was away. */
async function numberGiven(scene: Scene): Promise<boolean> {
  const { runtime, boot } = scene
  const harness = harnessOf(runtime)
  const id = await boot()
  const all = await processesOf(id)
  const vmm = largest(all)
  await harness.kill()
  signal(all, "SIGKILL")
  await runtime.until("the end of its processes", async () => alive(all).length === 0)
  const other = await Numbered.begin(vmm)
  // It may be anybody's now: no runtime is shown it.
  if (!other) return false
  try {
    await harness.start(scene.signal)
    const { state } = await runtime.status(id)
    must(state === "failed", `a machine whose VMM was killed is ${state}: its number is another's now`)
    await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
    must(other.lives, "it has ended a process that is nobody's of its, by its number alone")
  } finally {
    other.end()
  }
  return true
}

export const restartPlans: readonly Plan[] = [
  apart({
    name: "killed-with-machines",
    covers: ["OVMS-STA-010", "OVMS-STA-011", "OVMS-API-173"],
    waits: true,
    async run(scene) {
      const { runtime, boot, create } = scene
      const id = await boot()
      const made = await create()
      const names = [id, made].map((one) => [one, `renamed-${one.slice(0, 8)}`] as const)
      for (const [one, name] of names)
        await runtime.ask("POST /instances/{instance_id}/rename", one, { body: { name } })
      const before = await runtime.status(id)
      const counted = ticks(await runtime.logs(id))
      await killed(scene, () => new Promise((resolve) => setTimeout(resolve, 1500)))
      const after = await runtime.reaches(id, "running")
      for (const [one, name] of names) {
        const found = (await runtime.status(one)).name
        must(found === name, `its name is ${found}, and was ${name}`)
      }
      must(after.created === before.created, `it was made at ${before.created}, and at ${after.created} now`)
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
    covers: ["OVMS-STA-013", "OVMS-STA-040", "OVMS-STA-044"],
    waits: true,
    async run(scene) {
      const { runtime, boot } = scene
      const id = await boot("ticks=30 off=1")
      const again = await boot("ticks=15 off=1", { restart: "always" })
      const goes = await boot("ticks=10 off=1", { autoRemove: true })
      await killed(scene, () => new Promise((resolve) => setTimeout(resolve, 4000)))
      const { state, exit } = await runtime.reaches(id, "stopped", "failed")
      must(exit, `it is ${state}, and its end is not told`)
      must((await runtime.logs(id)).includes("GUEST-OFF"), "the end of its console is missing")
      await runtime.until("what ended meanwhile is started again as its policy says", async () => {
        const { restarts = 0 } = await runtime.status(again)
        return restarts > 0
      })
      await runtime.until("what ended meanwhile is removed", async () => {
        const { status } = await runtime.raw("GET", `/status/${goes}`)
        return status === 404
      })
    },
  }),
  {
    name: "another-process-of-its-number",
    covers: ["OVMS-STA-012"],
    async run(scene) {
      let given = false
      for (let machine = 0; machine < MACHINES && !given; machine++)
        await aside(scene, async (alone) => {
          given = await numberGiven(alone)
        })
      if (!given) skip("others were given the number each time")
    },
  },
]
