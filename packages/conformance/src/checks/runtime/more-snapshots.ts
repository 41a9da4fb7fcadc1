import { must } from "../../check.ts"
import type { Instance, Runtime } from "../../subject/runtime.ts"
import { needs } from "../../subject/vmms.ts"
import { ticks } from "../ticks.ts"
import { unique } from "../unique.ts"
import { takenWithDisks } from "./further.ts"
import type { Plan } from "./plan.ts"
import { snapshotPlan, snapshotted } from "./snapshots.ts"
import { soonAside } from "./standby.ts"

const SNAPSHOT = "POST /snapshot"

interface Slots {
  readonly reference: string
  readonly wanted: number
  readonly ready: number
}

async function slotsOf(runtime: Runtime, manifest: string): Promise<Slots | undefined> {
  const { warm } = await runtime.ask<{ warm: readonly Slots[] }>("GET /info")
  return warm.find(({ reference }) => reference === manifest)
}

type Timed = Instance & { readonly timings_ms: { readonly total: number } }

/** Has slots of a snapshot as long as `use` takes. */
async function withSlots(runtime: Runtime, manifest: string, slots: number, use: () => Promise<void>) {
  await runtime.ask("POST /warm", "", { body: { manifest, slots } })
  try {
    await runtime.until("a slot is loaded", async () => ((await slotsOf(runtime, manifest))?.ready ?? 0) > 0)
    await use()
  } finally {
    await runtime.raw("POST", "/warm", { body: { manifest, slots: 0 } })
  }
}

export const moreSnapshotPlans: readonly Plan[] = [
  snapshotPlan("how-long-it-took", ["OVMS-API-057"], async ({ runtime, boot }) => {
    const body = { instance_id: await boot(), tag: unique() }
    const { timings_ms } = await runtime.ask<{ timings_ms?: Record<string, number> }>(SNAPSHOT, "", { body })
    if (!timings_ms) return
    const { paused, total } = timings_ms
    must(paused !== undefined && total !== undefined, `timings_ms is ${JSON.stringify(timings_ms)}`)
    must(paused > 0 && paused <= total, `the guest did not run for ${paused} ms of ${total}`)
  }),
  snapshotPlan("name-of-another-one", ["OVMS-API-107", "OVMS-API-340"], async (scene) => {
    const { runtime, start } = scene
    const { source, snapshot, manifest } = await snapshotted(scene)
    await withSlots(runtime, manifest, 1, async () => {
      const tag = manifest.split(":").at(-1)
      const body = { instance_id: source, tag }
      const { snapshot_ref } = await runtime.ask<{ snapshot_ref: string }>(SNAPSHOT, "", { body })
      must(snapshot_ref !== snapshot, "two snapshots have one digest")
      const from = (await runtime.status(await start({ manifest }))).snapshot
      must(
        from === snapshot_ref,
        `a start by the name went on from ${from}, and the name stands for ${snapshot_ref}`,
      )
    })
  }),
  snapshotPlan("one-slot-of-what-goes-on-once", ["OVMS-API-103", "OVMS-API-109"], async (scene) => {
    const { runtime, start } = scene
    const { manifest } = await snapshotted(scene, { multi_resume: "deny" })
    const { ready } = await runtime.ask<{ ready: number }>("POST /warm", "", { body: { manifest, slots: 2 } })
    must(ready <= 1, `it says that ${ready} slots are loaded of a snapshot that may go on once`)
    await withSlots(runtime, manifest, 2, async () => {
      await new Promise((resolve) => setTimeout(resolve, 1500))
      const { ready } = (await slotsOf(runtime, manifest)) ?? { ready: 0 }
      must(ready <= 1, `there are ${ready} slots of a snapshot that may go on once`)
      await start({ manifest })
      await runtime.refused("POST /start", "OVM_RESUME_DENIED", "", { body: { manifest } })
    })
  }),
  snapshotPlan("no-slots-for-hints", ["OVMS-API-108"], async (scene) => {
    const { runtime, machine, start } = scene
    const runtimeHints = { coldStartTargetMs: 1 }
    const manifest = await machine({ document: { name: unique(), runtimeHints } })
    const id = await start({ manifest })
    await runtime.says(id, /TICK 2\r?\n/)
    const tag = unique()
    await runtime.ask(SNAPSHOT, "", { body: { instance_id: id, tag } })
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const { warm } = await runtime.ask<{ warm: readonly Slots[] }>("GET /info")
    must(
      !warm.some(({ reference }) => reference.endsWith(`:${tag}`)),
      "a hint of the manifest has made slots",
    )
  }),
  snapshotPlan("of-what-cannot-go-on", ["OVMS-SNP-135"], async ({ runtime, boot }) => {
    await needs(runtime, "powerOff")
    const id = await boot("ticks=2 sleep=1")
    await runtime.says(id, /GUEST-SLEEPS/)
    // It says so a moment before.
    await runtime.until("a snapshot of a guest that sleeps is refused", async () => {
      await new Promise((resolve) => setTimeout(resolve, 500))
      const reply = await runtime.raw("POST", "/snapshot", { body: { instance_id: id, tag: unique() } })
      return reply.status >= 400
    })
    const body = { instance_id: id, tag: unique() }
    await runtime.refused(SNAPSHOT, "OVM_STATE_CONFLICT", "", { body })
  }),
  snapshotPlan(
    "with-further-disks",
    ["OVMS-SNP-038", "OVMS-SNP-163", "OVMS-SNP-175", "OVMS-SNP-177"],
    async (scene) => {
      const { runtime, machine, start } = scene
      const disks = [{ name: "data", size: 1 << 20 }]
      const manifest = await machine({ diskless: false, document: { disks } })
      const args = "console=ttyS0 tick_ms=50 disk=2 log=8"
      const id = await start({ manifest, overrides: { args } })
      await runtime.says(id, /TICK 3\r?\n/)
      const tag = unique()
      await takenWithDisks(scene, id, tag)
      await runtime.says(id, new RegExp(`TICK ${ticks(await runtime.logs(id)) + 3}\\r?\\n`))
      const clone = await start({ manifest: `localhost/conformance:${tag}` })
      const first = ticks(await runtime.says(clone, /TICK \d+\r?\n/))
      const text = await runtime.says(clone, new RegExp(`TICK ${first + 3}\\r?\\n`))
      must(!text.includes("GUEST-READY"), "the machine was booted, and did not go on")
      must(!text.includes("DISK-LOST"), "the further disk of the clone is of another instant than its memory")
    },
  ),
  {
    name: "hints-and-places",
    covers: ["OVMS-MAN-059", "OVMS-MAN-083"],
    async run({ runtime, machine, start }) {
      const devices = [{ type: "rng", name: "entropy", mmio_addr: "0xd0000000" }]
      const runtimeHints = { preferredRuntime: ["no-such-vmm"] }
      const id = await start({ manifest: await machine({ document: { devices, runtimeHints } }) })
      await runtime.says(id, /TICK 1\r?\n/)
      const { warnings, vmm } = (await runtime.status(id)) as Instance & { vmm?: { name: string } }
      must(
        warnings.some((words) => /mmio_addr|entropy/.test(words)),
        `no warning is about mmio_addr: ${warnings.join("; ")}`,
      )
      must(vmm?.name !== "no-such-vmm", "it runs on a VMM that nobody has enabled")
    },
  },
  {
    name: "standby",
    profile: "snapshot",
    covers: ["OVMS-STA-061", "OVMS-STA-063", "OVMS-STA-065", "OVMS-STA-067"],
    async run(scene) {
      const { runtime } = scene
      const id = await soonAside(scene, { network: { mode: "user" } })
      const before = (await runtime.status(id)) as Timed
      const put = await runtime.until("it is put on standby", async () => {
        const instance = await runtime.status(id)
        return instance.reason === "standby" && instance
      })
      must(put.state === "paused", `a machine on standby is ${put.state}`)
      must(
        put.resources.rss === undefined || put.resources.rss === 0,
        "the VMM of a machine on standby is there",
      )
      const counted = ticks(await runtime.logs(id))
      await runtime.ask("POST /instances/{instance_id}/resume", id)
      const after = (await runtime.reaches(id, "running")) as Timed
      must(after.generation_id === before.generation_id, "it has another generation ID than before")
      must(after.network?.mac === before.network?.mac, "it has another MAC address than before")
      must(
        after.timings_ms.total > 0 && after.timings_ms.total !== before.timings_ms.total,
        "timings_ms are not those of when it was brought back",
      )
      const text = await runtime.until("the guest goes on", async () => {
        const all = await runtime.logs(id)
        return ticks(all) > counted && all
      })
      must(text.split("GUEST-READY").length <= 2, "it was booted, and did not go on")
    },
  },
  {
    name: "standby-that-is-stopped",
    profile: "snapshot",
    covers: ["OVMS-STA-066", "OVMS-STA-068"],
    async run(scene) {
      const { runtime, folder } = scene
      const id = await soonAside(scene, {})
      await runtime.until("it is put on standby", async () => (await runtime.status(id)).reason === "standby")
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      const shares = [{ source: folder, target: "/src" }]
      const reply = await runtime.raw("POST", "/instances", {
        body: { manifest: runtime.guest, overrides: { standbyAfter: 1000, shares } },
      })
      must(
        reply.status >= 400 && reply.text.includes("OVM_UNSUPPORTED"),
        `a machine with shares is put aside: ${reply.text}`,
      )
    },
  },
]
