import { randomUUID } from "node:crypto"
import { readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { must, skip } from "../../check.ts"
import { pathsBelow } from "../../subject/below.ts"
import { alive, largest, processesWith, signal } from "../../subject/processes.ts"
import type { Instance } from "../../subject/runtime.ts"
import { ticks } from "../ticks.ts"
import { aside } from "./aside.ts"
import { eventsOf } from "./events.ts"
import { endsWhole } from "./left.ts"
import { canLock } from "./locks.ts"
import { harnessOf, type Plan } from "./plan.ts"
import { snapshotPlan, snapshotted } from "./snapshots.ts"
import { processesOf } from "./unreachable.ts"

// What there is of a machine, or of a runtime, beside its VMM, and what becomes of the rest without it.

/** Within which a part that has ended, or stands still, is told. */
const WITHIN_MS = 5000
const DELETE = "DELETE /instances/{instance_id}"

/** The folders of the control groups (cgroups(7), of either version) that these processes are in. */
async function groupsOf(pids: readonly number[]): Promise<string[]> {
  const lists = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cgroup`, "latin1").catch(() => "")),
  )
  const found = [...lists.join("").matchAll(/^\d+:(.*?):(.*)$/gm)]
  return [
    ...new Set(
      found.map(([, kind = "", path = ""]) => join("/sys/fs/cgroup", kind.split("=").at(-1) ?? "", path)),
    ),
  ]
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )

/** Writes nonsense over everything that a runtime keeps beside its instances. */
async function spoilBeside(home: string, id: string): Promise<number> {
  let spoilt = 0
  for (const name of await pathsBelow(home)) {
    if (name.includes(id)) continue
    const stats = await stat(join(home, name)).catch(() => undefined)
    if (!stats?.isFile()) continue
    await writeFile(join(home, name), "nothing of any use").then(
      () => spoilt++,
      () => {},
    )
  }
  return spoilt
}

export const partPlans: readonly Plan[] = [
  {
    name: "what-bounds-a-machine",
    covers: ["OVMS-API-293"],
    async run({ runtime, boot, keep }) {
      const overrides = { cpuQuota: 0.5, args: "console=ttyS0 tick_ms=100" }
      const reply = await runtime.raw("POST", "/start", { body: { manifest: runtime.guest, overrides } })
      if (reply.status >= 400) return skip("the runtime bounds no machine on this host: cpuQuota is refused")
      const id = keep(JSON.parse(reply.text).instance_id)
      await runtime.says(id, /TICK 1\r?\n/)
      const groups = await groupsOf(await processesOf(id))
      const plain = new Set(await groupsOf(await processesOf(await boot())))
      const own = groups.filter((path) => !plain.has(path))
      const there = (await Promise.all(own.map(exists))).some(Boolean)
      if (!there) return skip("a machine that is bounded is in no control group that the suite can see")
      signal(await processesOf(id), "SIGKILL")
      await runtime.until("its end is found", async () => (await runtime.status(id)).state === "failed")
      await runtime.ask(DELETE, id, { query: "force=true" })
      await runtime.until("nothing of it is left on the host", async () =>
        (await Promise.all(own.map(exists))).every((there) => !there),
      )
    },
  },
  {
    name: "damaged-store",
    covers: ["OVMS-STA-029"],
    run: (whole) =>
      aside(whole, async (scene) => {
        const { runtime, boot, signal: stop } = scene
        const harness = harnessOf(runtime)
        const id = await boot()
        const pids = await processesOf(id)
        await harness.kill()
        must((await spoilBeside(harness.home, id)) > 0, "the runtime keeps nothing beside its instances")
        await harness.start(stop)
        const { state } = await runtime.reaches(id, "running")
        must(state === "running", `a machine of a runtime whose store is damaged is ${state}`)
        await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
        await runtime.reaches(id, "stopped")
        await runtime.ask(DELETE, id)
        await endsWhole(runtime, id, pids)
      }),
  },
  {
    name: "degraded",
    covers: ["OVMS-STA-037", "OVMS-STA-038"],
    async run({ runtime, boot }) {
      const id = await boot("", { network: { mode: "user" } })
      const degraded = async () =>
        ((await runtime.status(id)) as { degraded?: readonly string[] }).degraded ?? []
      must((await degraded()).length === 0, `a whole machine is degraded: ${await degraded()}`)
      const pids = await processesOf(id)
      const vmm = largest(pids)
      const others = pids.filter((pid) => pid !== vmm)
      if (others.length === 0) return skip("the machine has no process but its VMM")
      signal(others, "SIGKILL")
      await runtime.until("degraded says what has ended", async () => (await degraded()).length > 0)
      for (const [verb, state] of [
        ["pause", "paused"],
        ["resume", "running"],
      ] as const) {
        await runtime.ask(`POST /instances/{instance_id}/${verb}`, id)
        await runtime.reaches(id, state)
      }
      must(alive([vmm]).length === 1, "the machine was ended because of that")
      await runtime.ask("POST /instances/{instance_id}/restart", id, { query: "grace_ms=0" })
      await runtime.until("nothing of it is missing", async () => {
        const { state } = await runtime.status(id)
        return state === "running" && (await degraded()).length === 0
      })
      await runtime.says(id, /TICK 2\r?\n/)
    },
  },
  {
    name: "stopped-parts",
    covers: ["OVMS-STA-039", "OVMS-API-230"],
    async run({ runtime, boot }) {
      const id = await boot("", { network: { mode: "user" } })
      const pids = await processesOf(id)
      const vmm = largest(pids)
      const others = pids.filter((pid) => pid !== vmm)
      if (others.length === 0) return skip("the machine has no process but its VMM")
      const told = async () => {
        const { degraded = [], warnings } = (await runtime.status(id)) as Instance & {
          degraded?: readonly string[]
        }
        const named = warnings.some((words) => others.some((pid) => new RegExp(`\\b${pid}\\b`).test(words)))
        return { some: degraded.length > 0, named }
      }
      signal(others, "SIGSTOP")
      try {
        await runtime.within(
          "what a signal has stopped is told, and named in a warning",
          WITHIN_MS,
          async () => {
            const { some, named } = await told()
            return some && named
          },
        )
      } finally {
        signal(others, "SIGCONT")
      }
      await runtime.within("what goes on is not said to be stopped any more", WITHIN_MS, async () => {
        const { some, named } = await told()
        return !some && !named
      })
      const events = (await eventsOf(runtime, id)).filter(({ type }) => type === "degraded")
      const [last, before] = [events.at(-1), events.at(-2)]
      must(
        before?.degraded !== undefined && last?.degraded === undefined,
        "no event says what was stopped, or went on",
      )
    },
  },
  {
    name: "warm/after-a-restart",
    profile: "snapshot",
    covers: ["OVMS-API-104"],
    run: (whole) =>
      aside(whole, async (scene) => {
        const { runtime, signal: stop } = scene
        const harness = harnessOf(runtime)
        const { source, manifest } = await snapshotted(scene)
        await runtime.ask(DELETE, source, { query: "force=true" })
        const before = alive(processesWith(harness.home))
        await runtime.ask("POST /warm", "", { body: { manifest, slots: 1 } })
        const now = alive(processesWith(harness.home))
        const slots = now.filter((pid) => !before.includes(pid))
        must(slots.length > 0, "a slot is no process of this host")
        await harness.end(stop)
        await runtime.until("no process of a slot is left", async () => alive(slots).length === 0)
        await harness.start(stop)
        await runtime.until("the slot is there again", async () => {
          const { warm } = await runtime.ask<{
            warm: readonly { reference: string; wanted: number; ready: number }[]
          }>("GET /info")
          const slots = warm.find(({ reference }) => reference === manifest)
          must(slots?.wanted === 1, `after a restart ${slots?.wanted} slots are wanted, and not 1`)
          return slots.ready === 1
        })
      }),
  },
  snapshotPlan("slots-without-room", ["OVMS-API-102"], async (scene) => {
    const { runtime } = scene
    // None of their memory is shared: 64 of them would have 2 GiB, and 1 GiB is granted for all.
    const { manifest } = await snapshotted(scene, { mlock_required: true })
    await canLock(scene, manifest)
    try {
      const body = { manifest, slots: 64 }
      await runtime.refused("POST /warm", "OVM_TOO_MANY", "", { body })
    } finally {
      await runtime.raw("POST", "/warm", { body: { manifest, slots: 0 } })
    }
  }),
  {
    name: "who-does-not-read",
    covers: ["OVMS-API-244"],
    async run({ runtime, boot }) {
      const attachment = `attachment=${randomUUID()}`
      // It looks at what is typed once a minute.
      const deaf = await boot("tick_ms=60000")
      const other = await boot()
      const stop = new AbortController()
      const deafly = runtime.with(stop.signal)
      let attached = false
      const onData = () => {
        attached = true
        return false
      }
      const ignored = (answer: Promise<unknown>) => void answer.catch(() => {})
      ignored(deafly.raw("GET", `/instances/${deaf}/attach`, { query: attachment, onData }))
      try {
        await runtime.until("it is attached", async () => attached)
        const body = Buffer.alloc(60_000, "x")
        for (let times = 0; times < 8; times++)
          ignored(deafly.raw("POST", `/instances/${deaf}/input`, { query: attachment, body }))
        const before = ticks(await runtime.logs(other))
        await runtime.until(
          "another machine goes on",
          async () => ticks(await runtime.logs(other)) > before + 5,
        )
        for (const verb of ["pause", "resume"])
          await runtime.ask(`POST /instances/{instance_id}/${verb}`, deaf)
        const { state } = await runtime.status(deaf)
        must(state === "running", `after pause and resume a guest that does not read is ${state}`)
      } finally {
        stop.abort()
      }
      await runtime.ask("POST /stop", "", { body: { instance_id: deaf, grace_ms: 0 } })
      await runtime.reaches(deaf, "stopped")
    },
  },
]
