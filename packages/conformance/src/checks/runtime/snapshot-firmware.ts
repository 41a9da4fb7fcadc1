import { join } from "node:path"
import { writeLayout } from "../../artifact/layout.ts"
import { must, skip } from "../../check.ts"
import { errorOf } from "../../subject/answers.ts"
import { hasArguments } from "./arguments.ts"
import type { Plan, Scene } from "./plan.ts"
import { partsOf, remade, withInitrd } from "./remade.ts"
import { snapshotPlan } from "./snapshots.ts"

// What firmware finds of what a machine was started with, when it boots and when it goes on.

const FOUND = /FW_CFG (?:none|\d+ \[(.*)\])\r?\n/
const asked = (file: string) => `fw_cfg=${file}`

async function taken({ runtime }: Scene, id: string, tag: string): Promise<string> {
  const body = { instance_id: id, tag }
  return (await runtime.ask<{ snapshot_ref: string }>("POST /snapshot", "", { body })).snapshot_ref
}

/** What a machine that goes on finds by now; undefined if there is nothing. */
async function foundBy({ runtime, start }: Scene, manifest: string): Promise<string | undefined> {
  const id = await start({ manifest })
  const text = await runtime.says(id, FOUND)
  must(!text.includes("GUEST-READY"), "the machine was booted, and did not go on")
  return FOUND.exec(text)?.[1]
}

/** A machine that goes on is given the kernel's arguments if its snapshot says so, as it says, and else none. */
async function argumentsOfTheSnapshot(scene: Scene): Promise<void> {
  const { runtime, boot, folder } = scene
  const id = await boot(asked("arguments"))
  const own = FOUND.exec(await runtime.says(id, FOUND))?.[1]
  if (own === undefined) skip("firmware of this runtime's VMM finds no kernel where the guest looks")
  const parts = await partsOf(scene, await taken(scene, id, "suite-arguments"))
  // As long as they were: firmware may have asked how long they are.
  const other = own.replace("tick_ms=50", "tick_ms=51")
  for (const [at, boot] of [undefined, { args: other }].entries()) {
    const manifest = await writeLayout(join(folder, `given-${at}`), remade(parts, { boot }))
    const found = await foundBy(scene, manifest)
    must(
      found === boot?.args,
      `of a snapshot with ${boot ? `the arguments ${boot.args}` : "no boot"} firmware finds ${found}`,
    )
  }
}

/** How often a machine is stopped as it begins, for one that firmware still reads to. */
const TRIES = 12

/** Stops a machine at once; whether it has said nothing yet. */
async function stoppedAtOnce({ runtime }: Scene, id: string): Promise<boolean> {
  await runtime.until("a machine that begins is paused", async () => {
    const reply = await runtime.raw("POST", `/instances/${id}/pause`)
    return reply.status < 400
  })
  return !(await runtime.logs(id)).includes("GUEST-READY")
}

/** Whatever of it the guest had read: it goes on from there, and finds all of it. */
async function goesOnBooting(scene: Scene): Promise<void> {
  const { runtime, start } = scene
  const args = "console=ttyS0 tick_ms=50 word=early"
  const initrd = Buffer.alloc(100_000, "an initrd of the suite")
  const manifest = await writeLayout(join(scene.folder, "with-initrd"), withInitrd(initrd))
  for (let left = TRIES; left > 0; left--) {
    const id = await start({ manifest, overrides: { args } })
    const tag = `suite-early-${left}`
    const body = { instance_id: id, tag }
    const early = (await stoppedAtOnce(scene, id)) && (await runtime.raw("POST", "/snapshot", { body }))
    if (early && early.status >= 400) {
      const { code, message } = errorOf("POST /snapshot", early)
      must(
        code === "OVM_STATE_CONFLICT",
        `a snapshot of a guest that boots was refused with ${code}: ${message}`,
      )
    }
    await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
    if (!early || early.status >= 400) continue
    const clone = await start({ manifest: `localhost/conformance:${tag}` })
    const text = await runtime.says(clone, /TICK \d+\r?\n/)
    await hasArguments(scene, text, args)
    const found = /INITRD .*/.exec(text)?.[0] ?? "nothing of its initrd"
    const wanted = `size=${initrd.length} head=${initrd.subarray(0, 16).toString("hex")}`
    must(found.includes(wanted), `a guest that went on booting says ${found}, and not ${wanted}`)
    return
  }
  skip("on this host no machine could be stopped before it had booted")
}

/** What Ignition was told is for the machine that was started with it, and for no clone. */
async function ignitionIsGone(scene: Scene): Promise<void> {
  const { runtime, boot } = scene
  const ignition = '{"ignition":{"version":"3.4.0"}}'
  const id = await boot(asked("opt/com.coreos/config"), { config: { ignition } })
  const own = FOUND.exec(await runtime.says(id, FOUND))?.[1]
  must(own === ignition, `a guest finds ${own} where Ignition looks`)
  await taken(scene, id, "suite-ignition")
  const found = await foundBy(scene, "localhost/conformance:suite-ignition")
  must(found === undefined, "a machine that goes on has the configuration of another one")
}

export const snapshotFirmwarePlans: readonly Plan[] = [
  snapshotPlan("arguments-where-firmware-looks", ["OVMS-SNP-132"], argumentsOfTheSnapshot),
  snapshotPlan("goes-on-booting", ["OVMS-SNP-131", "OVMS-SNP-132"], goesOnBooting),
  snapshotPlan("ignition-is-gone", ["OVMS-FBC-014"], ignitionIsGone),
]
