import { lstat, stat } from "node:fs/promises"
import { dirname, join } from "node:path"
import { GUEST_MEMORY } from "../../artifact/guest.ts"
import { must } from "../../check.ts"
import { pathsBelow } from "../../subject/below.ts"
import { ticks } from "../ticks.ts"
import { unique } from "../unique.ts"
import { apart } from "./aside.ts"
import { differencesIn } from "./differences.ts"
import { eventsOf } from "./events.ts"
import { harnessOf, type Plan, refusedCreate, type Scene } from "./plan.ts"

interface Snapshot {
  readonly snapshot_ref: string
}

/** A running machine, and a snapshot of it under a name. */
export async function snapshotted({ runtime, boot }: Scene, request: object = {}, overrides: object = {}) {
  const source = await boot("word=snapshotted", overrides)
  await runtime.says(source, /TICK 5\r?\n/)
  const tag = unique()
  const counted = ticks(await runtime.logs(source))
  const body = { instance_id: source, tag, ...request }
  const { snapshot_ref } = await runtime.ask<Snapshot>("POST /snapshot", "", { body })
  must(/^sha256:[0-9a-f]{64}$/.test(snapshot_ref), `snapshot_ref is ${snapshot_ref}`)
  return { source, counted, snapshot: snapshot_ref, manifest: `localhost/conformance:${tag}` }
}

/** The first number that a machine has counted to. */
function firstTick(text: string): number {
  return Number(/TICK (\d+)\r?\n/.exec(text)?.[1] ?? 0)
}

/** What the guest has found in its memory, oldest first: it says so again whenever it was told of a new one. */
function generationIds(text: string): string[] {
  return [...text.matchAll(/VMGENID addr=\w+ id=(\w{32})\r?\n/g)].map(([, id = ""]) => id)
}

/** A UUID as the guest reads it: GUIDs are in memory with their first three fields the lowest byte first. */
function inMemory(id: string): string {
  const [a, b, c, d, e] = id.split("-")
  const swapped = (hex = "") => (hex.match(/../g) ?? []).reverse().join("")
  return swapped(`${d}${e}`) + swapped(`${swapped(a)}${swapped(b)}${swapped(c)}`)
}

/** A clone that is started again is a machine that was booted. */
async function bootsNext({ runtime }: Scene, clone: string): Promise<void> {
  await runtime.ask("POST /stop", "", { body: { instance_id: clone, grace_ms: 0 } })
  const before = await runtime.reaches(clone, "stopped")
  await runtime.ask("POST /instances/{instance_id}/start", clone)
  await runtime.says(clone, /GUEST-READY/)
  const { snapshot, generation_id } = await runtime.status(clone)
  must(
    snapshot === undefined && (generation_id === undefined || generation_id !== before.generation_id),
    `what was booted says that it goes on from ${snapshot}, with the generation ID ${generation_id}`,
  )
}

/** Whether one of the folders of a file below `home` lets nobody else in. */
async function isKeptIn(home: string, name: string): Promise<boolean> {
  const folder = dirname(name)
  if (folder === ".") return false
  const { mode } = await stat(join(home, folder))
  return (mode & 0o077) === 0 || (await isKeptIn(home, folder))
}

/** Files as large as the RAM of a guest hold one, which nobody else can read, or come to. */
async function ramOfItsUser(home: string): Promise<void> {
  for (const name of await pathsBelow(home)) {
    const stats = await lstat(join(home, name)).catch(() => undefined)
    if (!stats?.isFile() || stats.size !== GUEST_MEMORY || /\/blobs\/sha256\//.test(`/${name}`)) continue
    must(
      (stats.mode & 0o077) === 0 || (await isKeptIn(home, name)),
      `${name} holds RAM, and has the mode ${(stats.mode & 0o777).toString(8)}`,
    )
  }
}

export function snapshotPlan(name: string, covers: readonly string[], run: Plan["run"]): Plan {
  return { name: `snapshot/${name}`, covers, run, profile: "snapshot" }
}

export const snapshotPlans: readonly Plan[] = [
  snapshotPlan(
    "goes-on",
    ["OVMS-API-053", "OVMS-API-054", "OVMS-API-163", "OVMS-API-230", "OVMS-SNP-090", "OVMS-SNP-174"],
    async (scene) => {
      const { runtime, start } = scene
      const { source, counted, snapshot, manifest } = await snapshotted(scene)
      const clone = await start({ manifest })
      const text = await runtime.says(clone, /TICK \d+\r?\n/)
      must(!text.includes("GUEST-READY"), "the machine was booted, and did not go on")
      must(firstTick(text) > 1 && firstTick(text) >= counted, `the clone counts from ${firstTick(text)} on`)
      const { snapshot: from, warnings } = await runtime.status(clone)
      const day = new Date().toISOString().slice(0, 8)
      must(
        warnings.some((words) => words.includes(day)),
        `no warning says when the snapshot was taken: ${warnings.join("; ")}`,
      )
      must(from === snapshot, `the clone says that it goes on from ${from}`)
      must((await runtime.status(source)).state === "running", "the source does not run any more")
      await runtime.says(source, new RegExp(`TICK ${counted + 5}\\r?\\n`))
      const told = (await eventsOf(runtime, source)).filter(({ type }) => type === "snapshot")
      must(told.length === 1 && told[0]?.snapshot_ref === snapshot, `the events say ${JSON.stringify(told)}`)
      await bootsNext(scene, clone)
    },
  ),
  snapshotPlan("clones-differ", ["OVMS-SNP-090", "OVMS-SNP-095"], async (scene) => {
    const { runtime, start } = scene
    const { source, manifest } = await snapshotted(scene)
    const clones = [await start({ manifest }), await start({ manifest })]
    const ids = []
    for (const clone of clones) {
      const { generation_id } = await runtime.reaches(clone, "running")
      must(generation_id, "the clone has no generation_id")
      ids.push(generation_id)
      await runtime.until("the guest has the generation ID of its own", async () =>
        generationIds(await runtime.logs(clone)).includes(inMemory(generation_id)),
      )
    }
    const old = generationIds(await runtime.logs(source)).at(-1)
    must(new Set([...ids.map(inMemory), old]).size === 3, "two machines have the same generation ID")
    if (runtime.harness) await ramOfItsUser(runtime.harness.home)
  }),
  snapshotPlan("stop", ["OVMS-API-054"], async (scene) => {
    const { runtime, start } = scene
    const { source, manifest } = await snapshotted(scene, { stop: true })
    await runtime.reaches(source, "stopped")
    const last = ticks(await runtime.logs(source))
    const first = firstTick(await runtime.says(await start({ manifest }), /TICK \d+\r?\n/))
    must(first > last, `the clone counts from ${first} on, and its source had gone on to ${last}`)
  }),
  snapshotPlan("paused-stays-paused", ["OVMS-API-052", "OVMS-API-054"], async ({ runtime, boot }) => {
    const id = await boot()
    await runtime.says(id, /TICK 2\r?\n/)
    await runtime.ask("POST /instances/{instance_id}/pause", id)
    await runtime.ask("POST /snapshot", "", { body: { instance_id: id, tag: unique() } })
    const { state, reason } = await runtime.status(id)
    must(state === "paused" && reason === "request", `the machine that was paused is ${state}: ${reason}`)
  }),
  snapshotPlan("of-the-stopped", ["OVMS-API-052"], async ({ runtime, create }) => {
    const body = { instance_id: await create(), tag: unique() }
    await runtime.refused("POST /snapshot", "OVM_STATE_CONFLICT", "", { body })
  }),
  snapshotPlan("another-memory", ["OVMS-SNP-077", "OVMS-SNP-074"], async (scene) => {
    const { manifest } = await snapshotted(scene)
    for (const [field, overrides] of [
      ["/resources/memory", { memory: 64 << 20 }],
      ["/resources/vcpus", { vcpus: 2 }],
    ] as const) {
      const body = { manifest, overrides }
      const refusal = await scene.runtime.refused("POST /start", "OVM_SNAPSHOT_INCOMPATIBLE", "", { body })
      const fields = differencesIn(refusal).map((one) => one.field)
      must(fields.includes(field), `detail names ${fields.join(", ") || "nothing"}, and not ${field}`)
    }
  }),
  snapshotPlan("only-once", ["OVMS-API-120", "OVMS-SNP-091", "OVMS-SNP-141"], async (scene) => {
    const { runtime, start } = scene
    const { manifest } = await snapshotted(scene, { multi_resume: "deny" })
    const clone = await start({ manifest })
    await runtime.refused("POST /start", "OVM_RESUME_DENIED", "", { body: { manifest } })
    await runtime.reaches(clone, "running")
    // What is made of it may not go on twice either, whoever asks for that.
    const tag = unique()
    await runtime.ask("POST /snapshot", "", { body: { instance_id: clone, tag, multi_resume: "allow" } })
    const next = { manifest: manifest.replace(/[^:]*$/, tag) }
    await start(next)
    await runtime.refused("POST /start", "OVM_RESUME_DENIED", "", { body: next })
  }),
  apart(
    snapshotPlan("only-once-for-ever", ["OVMS-SNP-091", "OVMS-SNP-092"], async (scene) => {
      const { runtime, start, signal } = scene
      const harness = harnessOf(runtime)
      const { manifest } = await snapshotted(scene, { multi_resume: "deny" })
      await runtime.reaches(await start({ manifest }), "running")
      await harness.kill()
      await harness.start(signal)
      await runtime.refused("POST /start", "OVM_RESUME_DENIED", "", { body: { manifest } })
    }),
  ),
  snapshotPlan("boot-in-its-place", ["OVMS-API-038", "OVMS-API-172", "OVMS-API-472"], async (scene) => {
    const { manifest, snapshot } = await snapshotted(scene)
    const said = await scene.runtime.ask<{ snapshot?: string }>("POST /explain", "", { body: { manifest } })
    must(said.snapshot === snapshot, `a start would go on from ${said.snapshot}, as POST /explain has it`)
    await refusedCreate(scene.runtime, "OVM_UNSUPPORTED", { manifest })
    await scene.create({ resume: false }, manifest)
    const id = await scene.start({ manifest, overrides: { resume: false } })
    await scene.runtime.says(id, /GUEST-READY/)
  }),
]
