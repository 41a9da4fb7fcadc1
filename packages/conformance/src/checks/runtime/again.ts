import { must } from "../../check.ts"
import { ticks } from "../ticks.ts"
import type { Plan } from "./plan.ts"

const START = "POST /instances/{instance_id}/start"
const RESTART = "POST /instances/{instance_id}/restart"
const boots = (text: string) => text.split("GUEST-READY").length - 1

/** Machines that are started again, by somebody or by themselves. */
export const againPlans: readonly Plan[] = [
  {
    name: "start-of-the-running",
    covers: ["OVMS-API-165"],
    async run({ runtime, boot }) {
      const id = await boot()
      const { status } = await runtime.ask<{ status: string }>(START, id)
      must(status === "running", `the start of what runs was answered with ${status}`)
      must(boots(await runtime.logs(id)) === 1, "what ran was booted again")
      await runtime.ask("POST /instances/{instance_id}/pause", id)
      await runtime.refused(START, "OVM_STATE_CONFLICT", id)
      must((await runtime.status(id)).state === "paused", "a start that was refused changed the state")
    },
  },
  {
    name: "restart",
    covers: ["OVMS-API-167", "OVMS-API-166"],
    async run({ runtime, boot }) {
      const id = await boot("word=restarted")
      await runtime.says(id, /TICK 3\r?\n/)
      await runtime.ask(RESTART, id, { query: "grace_ms=0" })
      await runtime.until("the machine was booted again", async () => {
        const [now, before] = [await runtime.logs(id), await runtime.logs(id, "previous=true")]
        return boots(now) === 1 && now.includes("word=restarted") && before.includes("TICK 3")
      })
      // The guest may have spoken before its machine is said to run.
      const { state } = await runtime.reaches(id, "running", "failed", "stopped")
      must(state === "running", `the machine that was restarted is ${state}`)
    },
  },
  {
    name: "always-again",
    covers: ["OVMS-STA-040", "OVMS-STA-042", "OVMS-API-181", "OVMS-API-182"],
    async run({ runtime, boot }) {
      const id = await boot("ticks=1 off=1", { restart: "always" })
      await runtime.until("it was started again by itself", async () => {
        const { restart, restarts = 0 } = await runtime.status(id)
        return restart === "always" && restarts > 0
      })
      // Each time it waits for longer: sooner or later it is seen waiting.
      await runtime.until("it waits to be started again", async () => {
        const { state, restarting_at } = await runtime.status(id)
        if (restarting_at === undefined) return false
        must(state === "stopped", `what waits to be started again is ${state}`)
        return true
      })
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      const ended = await runtime.reaches(id, "stopped")
      must(ended.restarting_at === undefined, "it is going to be started again although somebody stopped it")
    },
  },
  {
    name: "again-once",
    covers: ["OVMS-STA-043", "OVMS-STA-041"],
    async run({ runtime, boot }) {
      const id = await boot("ticks=1 panic=1", { restart: "on-failure:1" })
      const last = await runtime.until("it was started again once", async () => {
        const info = await runtime.status(id)
        return info.state === "failed" && info.restarting_at === undefined && info.restarts === 1 && info
      })
      must(last.exit?.reason === "guest-panic", `its last end is ${last.exit?.reason}`)
    },
  },
  {
    name: "only-after-failures",
    covers: ["OVMS-STA-040"],
    async run({ runtime, boot }) {
      const id = await boot("ticks=1 off=1", { restart: "on-failure" })
      const { restarting_at, restarts } = await runtime.reaches(id, "stopped")
      must(restarting_at === undefined && restarts === undefined, "a guest that powered off is started again")
    },
  },
  {
    name: "logs-since",
    covers: ["OVMS-API-075"],
    async run({ runtime, boot }) {
      const id = await boot()
      const since = (days: number) => `since=${new Date(Date.now() + days * 86_400_000).toISOString()}`
      must((await runtime.logs(id, since(1))) === "", "it says what came before a day that is still to come")
      must(
        (await runtime.logs(id, since(-1))).includes("GUEST-READY"),
        "it leaves out what came since yesterday",
      )
      // What is there now came before, and by more than the second that is left open.
      await new Promise((resolve) => setTimeout(resolve, 2500))
      const [before, now] = [ticks(await runtime.logs(id)), since(0)]
      await runtime.until("it says what came since", async () => ticks(await runtime.logs(id, now)) > before)
      must(!(await runtime.logs(id, now)).includes("GUEST-READY"), "it says what came seconds before since")
    },
  },
  {
    name: "commit-of-the-running",
    covers: ["OVMS-API-193"],
    async run({ runtime, boot }) {
      const id = await boot()
      const body = { name: "localhost/suite-committed:1" }
      await runtime.refused("POST /instances/{instance_id}/commit", "OVM_STATE_CONFLICT", id, { body })
    },
  },
  {
    name: "no-agent",
    profile: "agent",
    covers: ["OVMS-API-322", "OVMS-API-328"],
    async run({ runtime, boot, create }) {
      const exec = "POST /instances/{instance_id}/exec"
      const body = { command: ["true"], wait_ms: 0 }
      await runtime.refused(exec, "OVM_STATE_CONFLICT", await create(), { body })
      const id = await boot()
      await runtime.refused(exec, "OVM_UNSUPPORTED", id, { body })
      const ready = "GET /instances/{instance_id}/ready"
      await runtime.refused(ready, /^OVM_(UNSUPPORTED|AGENT_UNAVAILABLE)$/, id, { query: "timeout_ms=1" })
    },
  },
]
