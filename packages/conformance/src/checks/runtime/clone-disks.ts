import { join } from "node:path"
import { counterDisk } from "../../artifact/counter.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { artifactOf } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { unique } from "../unique.ts"
import type { Plan, Scene } from "./plan.ts"
import { snapshotPlan } from "./snapshots.ts"

// The disks of machines that go on from one snapshot.

const MORE = 6

/** A snapshot of a machine whose image is called `name`; by its name. */
async function taken({ runtime }: Scene, id: string, name = "conformance"): Promise<string> {
  const tag = unique()
  await runtime.ask("POST /snapshot", "", { body: { instance_id: id, tag } })
  return `localhost/${name}:${tag}`
}

/** Goes on, and its guest finds what it has written, before the snapshot and since. */
async function findsWhatItWrote({ runtime, start }: Scene, manifest: string): Promise<string> {
  const id = await start({ manifest })
  await runtime.says(id, new RegExp(`(TICK \\d+\\r?\\n){${MORE}}`))
  const text = await runtime.logs(id)
  must(!text.includes("GUEST-READY"), "it was booted, and did not go on")
  const [lost] = /DISK-(LOST|FAILED)[^\r\n]*/.exec(text) ?? []
  must(lost === undefined, `the guest that went on does not find what it has written: ${lost}`)
  return id
}

/** Started again from its disk, of which the second sector is how often that was. */
async function bootsAgain({ runtime }: Scene, id: string): Promise<void> {
  await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
  await runtime.reaches(id, "stopped")
  await runtime.ask("POST /instances/{instance_id}/start", id)
  const text = await runtime.says(id, /BOOT [2-9]\n/)
  must(!/BOOT [3-9]/.test(text), "what another machine has written is on its disk")
}

export const cloneDiskPlans: readonly Plan[] = [
  snapshotPlan("disk-of-a-clone", ["OVMS-SNP-037", "OVMS-SNP-038", "OVMS-DSK-004"], async (scene) => {
    const { runtime, start, machine } = scene
    const args = "console=ttyS0 tick_ms=50 log=16"
    const manifest = await machine({ diskless: false })
    const id = await start({ manifest, overrides: { args, diskSize: 1 << 20 } })
    await runtime.says(id, new RegExp(`TICK ${MORE}\\r?\\n`))
    const clone = await findsWhatItWrote(scene, await taken(scene, id))
    // By an overlay more.
    await findsWhatItWrote(scene, await taken(scene, clone))
  }),
  snapshotPlan("disks-of-clones", ["OVMS-DSK-006", "OVMS-API-163"], async (scene) => {
    const { runtime, start, folder } = scene
    const layout = await writeLayout(
      join(folder, "counts"),
      artifactOf({ kernelless: true, disk: counterDisk() }),
    )
    const source = await start({ manifest: layout })
    await runtime.says(source, /BOOT 1\n/)
    const manifest = await taken(scene, source, "suite")
    const clones = [await start({ manifest }), await start({ manifest })]
    for (const clone of clones) await runtime.reaches(clone, "running")
    for (const id of [...clones, source]) await bootsAgain(scene, id)
  }),
]
