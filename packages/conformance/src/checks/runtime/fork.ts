import { isDeepStrictEqual } from "node:util"
import { must } from "../../check.ts"
import type { Instance } from "../../subject/runtime.ts"
import { ticks } from "../ticks.ts"
import { unique } from "../unique.ts"
import { eventsOf } from "./events.ts"
import type { Plan } from "./plan.ts"
import { snapshotPlan, snapshotted } from "./snapshots.ts"

const FORK = "POST /instances/{instance_id}/fork"

interface Forked {
  readonly instances?: readonly { readonly instance_id: string }[]
}

export const forkPlans: readonly Plan[] = [
  snapshotPlan(
    "fork",
    ["OVMS-API-440", "OVMS-API-442", "OVMS-API-443", "OVMS-API-445", "OVMS-API-446", "OVMS-API-447"],
    async ({ runtime, boot, keep }) => {
      const labels = { role: "source" }
      const id = await boot("word=forked", { labels, restart: "on-failure:2" })
      await runtime.says(id, /TICK 5\r?\n/)
      const counted = ticks(await runtime.logs(id))
      const name = unique()
      const answer = await runtime.ask<Forked>(FORK, id, { body: { count: 2, name } })
      const children = (answer.instances ?? []).map(({ instance_id }) => keep(instance_id))
      must(children.length === 2, `there are ${children.length} children, and not two`)
      await runtime.refused(FORK, "OVM_NAME_IN_USE", id, { body: { name } })
      const indices = []
      for (const child of children) {
        const info: Instance = await runtime.reaches(child, "running")
        must(info.fork?.source === id, "the child does not say what it was made of")
        must(info.labels?.role === "source", "the child does not have the labels of its source")
        must(info.restart === "on-failure:2", `the restart policy of the child is ${info.restart}`)
        must(
          info.volumes === undefined && info.ssh === undefined,
          "the child has what only its source is to have",
        )
        const { index } = info.fork
        must(info.name === `${name}-${index}`, `the child ${index} is called ${info.name}`)
        indices.push(index)
        const types = (await eventsOf(runtime, child)).map(({ type }) => type).join()
        must(types === "starting,running", `the events of a child are ${types}`)
      }
      must(indices.sort().join() === "0,1", `the indices are ${indices.join()}`)
      must((await runtime.status(id)).state === "running", "the source does not run any more")
      await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
      const [again] = children
      for (const child of children) {
        const text = await runtime.says(child, new RegExp(`TICK ${counted + 10}\\r?\\n`))
        must(!text.includes("GUEST-READY"), "the child was booted, and did not go on")
      }
      const before = (await runtime.status(again ?? "")).fork
      await runtime.ask("POST /instances/{instance_id}/restart", again, { query: "grace_ms=0" })
      const { fork } = await runtime.reaches(again ?? "", "running")
      must(isDeepStrictEqual(fork, before), "a child that was started again says of another fork, or of none")
    },
  ),
  snapshotPlan(
    "fork-with-ports",
    ["OVMS-API-440", "OVMS-API-441", "OVMS-API-448"],
    async ({ runtime, boot, keep }) => {
      const ports = [{ guest: 80 }, { guest: 90 }]
      const id = await boot("", { network: { mode: "user", outbound: false, ports } })
      const source = (await runtime.status(id)).network
      const { instances = [] } = await runtime.ask<Forked>(FORK, id, { body: {} })
      must(instances.length === 1, `a fork that says no count has made ${instances.length} children`)
      const [child] = instances.map(({ instance_id }) => keep(instance_id))
      must(child, "there is no child")
      const network = (await runtime.reaches(child, "running")).network
      must(network?.outbound === false, "the child reaches what its source does not")
      const guests = network.ports?.map(({ guest }) => guest).sort()
      must(guests?.join() === "80,90", `the ports of the child lead to ${guests?.join() || "nothing"}`)
      const hosts = [...(network.ports ?? []), ...(source?.ports ?? [])].map(({ host }) => host)
      must(new Set(hosts).size === 4, `the ports of source and child are ${hosts.join(", ")}`)
      await runtime.ask("POST /instances/{instance_id}/pause", id)
      const more = await runtime.ask<Forked>(FORK, id, { body: {} })
      for (const { instance_id } of more.instances ?? []) keep(instance_id)
      const { state } = await runtime.status(id)
      must(state === "paused", `what was paused is ${state} after it was forked`)
    },
  ),
  snapshotPlan("fork-refused", ["OVMS-API-450", "OVMS-API-449"], async (scene) => {
    const { runtime, create, start } = scene
    await runtime.refused(FORK, "OVM_STATE_CONFLICT", await create(), { body: {} })
    const { manifest } = await snapshotted(scene, { multi_resume: "deny" })
    const clone = await start({ manifest })
    await runtime.reaches(clone, "running")
    await runtime.refused(FORK, "OVM_RESUME_DENIED", clone, { body: {} })
  }),
  snapshotPlan(
    "warm",
    ["OVMS-API-091", "OVMS-API-100", "OVMS-API-101", "OVMS-API-103", "OVMS-API-105", "OVMS-API-106"],
    async (scene) => {
      const { runtime, start, keep } = scene
      const { manifest } = await snapshotted(scene)
      const warm = (slots: number) =>
        runtime.ask<{ ready: number }>("POST /warm", "", { body: { manifest, slots } })
      const unknown = { manifest: `${manifest}-none`, slots: 1 }
      await runtime.refused("POST /warm", "OVM_NAME_UNKNOWN", "", { body: unknown })
      await runtime.ask("POST /warm", "", { body: { ...unknown, slots: 0 } })
      must((await warm(2)).ready === 2, "two slots are not loaded")
      must((await warm(1)).ready === 1, "of two slots one is left when one is asked for")
      try {
        const info = await runtime.ask<{ warm: readonly { reference: string }[] }>("GET /info")
        must(
          info.warm.some(({ reference }) => reference === manifest),
          "GET /info does not list what is kept warm",
        )
        const other = { manifest, overrides: { memory: 64 << 20 } }
        await runtime.refused("POST /start", "OVM_SNAPSHOT_INCOMPATIBLE", "", { body: other })
        const first = await runtime.ask<{ instance_id: string; status: string }>("POST /start", "", {
          body: { manifest, overrides: { labels: { from: "slot" }, restart: "no" } },
        })
        keep(first.instance_id)
        must(first.status === "running", `a start that takes a slot is answered with ${first.status}`)
        const { timings_ms } = (await runtime.status(first.instance_id)) as Instance & { timings_ms: object }
        must(!("spawn" in timings_ms), "a start with labels alone has not taken the slot that was loaded")
        const clones = [first.instance_id, await start({ manifest })]
        const ids = await Promise.all(clones.map((id) => runtime.reaches(id, "running")))
        const [one, second] = ids.map(({ generation_id }) => generation_id)
        must(one && second && one !== second, `two machines have the generation ID ${one}`)
        for (const clone of clones) {
          const types = (await eventsOf(runtime, clone)).map(({ type }) => type).join()
          must(types === "starting,running", `the events of a clone are ${types}`)
        }
      } finally {
        await warm(0)
      }
    },
  ),
]
