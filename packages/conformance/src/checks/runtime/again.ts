import { rm } from "node:fs/promises"
import { must } from "../../check.ts"
import { errorOf } from "../../subject/answers.ts"
import type { Runtime } from "../../subject/runtime.ts"
import { lacks } from "../../subject/vmms.ts"
import { ticks } from "../ticks.ts"
import { apart } from "./aside.ts"
import { eventsOf } from "./events.ts"
import { harnessOf, type Plan } from "./plan.ts"

const START = "POST /instances/{instance_id}/start"
const RESTART = "POST /instances/{instance_id}/restart"
const boots = (text: string) => text.split("GUEST-READY").length - 1

interface Wait {
  readonly restarts: number
  readonly until: number
  readonly ms: number
  /** How long it had run before. */
  readonly ran: number
}

/** What is said of one that waits to be started again: each time it waits for longer, and sooner or later is seen. */
function waiting(runtime: Runtime, id: string, restartsBefore: number): Promise<Wait> {
  return runtime.until("it waits to be started again", async () => {
    const { state, restarting_at, finished, started = "", restarts = 0 } = await runtime.status(id)
    if (restarting_at === undefined || restarts <= restartsBefore) return undefined
    must(state === "stopped", `what waits to be started again is ${state}`)
    const [until, at] = [Date.parse(restarting_at), Date.parse(finished ?? "")]
    return { restarts, until, ms: until - at, ran: at - Date.parse(started) }
  })
}

/** Clocks and timers are of milliseconds. */
const EARLY_MS = 20
/** From an end until it is counted from, on a host that has much to do. */
const LATE_MS = 700

/** It waits for as long as it says, and each time twice as long unless it has run for long. */
async function waitsLonger(runtime: Runtime, id: string): Promise<void> {
  const first = await waiting(runtime, id, 0)
  const second = await waiting(runtime, id, first.restarts)
  const wait = Math.min(100 * 2 ** first.restarts, 60_000)
  const most = wait + LATE_MS
  must(first.ms <= most, `after ${first.restarts} starts it is to wait for ${first.ms} ms, and not ${most}`)
  must(first.ms >= 100 - EARLY_MS, `it is to be started again after ${first.ms} ms`)
  must(
    // Of the first one not by how much it was late.
    second.ran > 5000 || second.ms >= Math.min(2 * Math.min(first.ms, wait), 60_000) - EARLY_MS,
    `it is to be started again after ${first.ms} ms, and then after ${second.ms}`,
  )
  const starts = (await eventsOf(runtime, id)).filter(({ type }) => type === "starting")
  const next = Date.parse(starts[first.restarts + 1]?.time ?? "")
  must(next >= first.until - EARLY_MS, `it was started again ${first.until - next} ms before it was to be`)
}

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
    covers: ["OVMS-API-167", "OVMS-API-166", "OVMS-GST-054"],
    async run({ runtime, boot }) {
      const id = await boot("word=restarted button=1")
      await runtime.says(id, /TICK 3\r?\n/)
      await runtime.ask(RESTART, id, { query: "grace_ms=60000" })
      await runtime.until("the machine was booted again", async () => {
        const [now, before] = [await runtime.logs(id), await runtime.logs(id, "previous=true")]
        return boots(now) === 1 && now.includes("word=restarted") && before.includes("TICK 3") && { before }
      })
      const ends = (await eventsOf(runtime, id)).filter(({ type }) => type === "stopped")
      must(
        ends[0]?.exit?.reason === "guest-shutdown",
        "a guest that powers off when it is asked to was not asked",
      )
      // The guest may have spoken before its machine is said to run.
      const { state } = await runtime.reaches(id, "running", "failed", "stopped")
      must(state === "running", `the machine that was restarted is ${state}`)
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      await runtime.ask(RESTART, id)
      await runtime.reaches(id, "running")
    },
  },
  {
    name: "restart-that-is-refused",
    covers: ["OVMS-API-167"],
    async run({ runtime, machine, start }) {
      const manifest = await machine({ document: { name: `gone-${process.hrtime.bigint()}` } })
      const id = await start({ manifest })
      await runtime.says(id, /TICK 1\r?\n/)
      await rm(manifest, { recursive: true })
      const reply = await runtime.raw("POST", `/instances/${id}/restart`, { query: "grace_ms=0" })
      if (reply.status < 400) return void (await runtime.reaches(id, "running"))
      errorOf(RESTART, reply)
      must(
        (await runtime.status(id)).state === "running",
        "a restart that was refused has stopped the machine",
      )
      must(
        (await runtime.logs(id, "previous=true")) === "",
        "a restart that was refused has begun a console anew",
      )
    },
  },
  apart({
    name: "restart-that-outlives-its-runtime",
    covers: ["OVMS-API-167"],
    waits: true,
    async run({ runtime, boot, signal }) {
      const id = await boot()
      runtime.raw("POST", `/instances/${id}/restart`, { query: "grace_ms=3000" }).catch(() => {})
      await runtime.until("it is stopping", async () => (await runtime.status(id)).state === "stopping")
      const harness = harnessOf(runtime)
      await harness.kill()
      await harness.start(signal)
      await runtime.until("the next runtime goes on with the restart", async () => {
        const { state } = await runtime.status(id)
        return state === "running" && boots(await runtime.logs(id, "previous=true")) === 1
      })
    },
  }),
  {
    name: "always-again",
    covers: ["OVMS-STA-040", "OVMS-STA-041", "OVMS-STA-042", "OVMS-API-181", "OVMS-API-182"],
    async run({ runtime, boot }) {
      const id = await boot("ticks=1 off=1", { restart: "always" })
      await runtime.until("it was started again by itself", async () => {
        const { restart, restarts = 0 } = await runtime.status(id)
        return restart === "always" && restarts > 0
      })
      await waitsLonger(runtime, id)
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      const ended = await runtime.reaches(id, "stopped")
      must(ended.restarting_at === undefined, "it is going to be started again although somebody stopped it")
      must(
        ended.stop_method === "already",
        `what had ended was stopped, and stop_method is ${ended.stop_method}`,
      )
    },
  },
  {
    name: "again-once",
    covers: ["OVMS-STA-040", "OVMS-STA-043", "OVMS-STA-041"],
    async run({ runtime, boot }) {
      // Where a panic is told to nobody, the guest resets in its place.
      const untold = await lacks(runtime, "panic")
      const [ended, reason] = untold ? ["stopped", "guest-reset"] : ["failed", "guest-panic"]
      const id = await boot("ticks=1 panic=1", { restart: "on-failure:1" })
      const last = await runtime.until("it was started again once", async () => {
        const info = await runtime.status(id)
        return info.state === ended && info.restarting_at === undefined && info.restarts === 1 && info
      })
      must(last.exit?.reason === reason, `its last end is ${last.exit?.reason}`)
      // From the start that somebody asked for it is counted anew.
      await runtime.ask(START, id)
      await runtime.until("it was started again once more", async () => {
        const { state, restarting_at, restarts } = await runtime.status(id)
        const starts = (await eventsOf(runtime, id)).filter(({ type }) => type === "starting").length
        return state === ended && restarting_at === undefined && restarts === 1 && starts === 4
      })
    },
  },
  {
    name: "again-by-its-policy",
    covers: ["OVMS-STA-040", "OVMS-API-180"],
    async run({ runtime, boot }) {
      const policies = [
        ["always", "panic=1"],
        ["unless-stopped", "off=1"],
        ["on-failure", ""],
        ["on-failure", "result=3"],
      ] as const
      await Promise.all(
        policies.map(async ([restart, end]) => {
          const id = await boot(`ticks=1 ${end}`, { restart })
          await runtime.until(
            `a guest of ${restart} that ends by ${end || "a reset"} is started again`,
            async () => {
              const { restarts = 0 } = await runtime.status(id)
              return restarts > 0
            },
          )
          await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
        }),
      )
    },
  },
  {
    name: "only-after-failures",
    covers: ["OVMS-STA-040"],
    async run({ runtime, boot }) {
      if (!(await lacks(runtime, "powerOff"))) {
        const id = await boot("ticks=1 off=1", { restart: "on-failure" })
        const { restarting_at, restarts } = await runtime.reaches(id, "stopped")
        must(
          restarting_at === undefined && restarts === undefined,
          "a guest that powered off is started again",
        )
      }
      const other = await boot("", { restart: "always" })
      await runtime.ask("POST /stop", "", { body: { instance_id: other, grace_ms: 0 } })
      const stopped = await runtime.reaches(other, "stopped")
      must(stopped.restarting_at === undefined, "what somebody stopped is going to be started again")
      await new Promise((resolve) => setTimeout(resolve, 500))
      must((await runtime.status(other)).state === "stopped", "what somebody stopped was started again")
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
      // What is there came before that time, and what is still to come after it, by more than the second left open.
      await new Promise((resolve) => setTimeout(resolve, 1300))
      const now = since(0)
      await new Promise((resolve) => setTimeout(resolve, 1300))
      const before = ticks(await runtime.logs(id))
      await runtime.until("it says what came since", async () => ticks(await runtime.logs(id, now)) > before)
      const east = new Date(Date.parse(now.slice("since=".length)) + 5 * 3_600_000).toISOString()
      for (const query of [now, `since=${east.replace("Z", "%2B05:00")}`]) {
        const text = await runtime.logs(id, query)
        must(!text.includes("GUEST-READY"), `it says what came seconds before ${query}`)
        must(ticks(text) > before, `it leaves out what came after ${query}`)
      }
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
