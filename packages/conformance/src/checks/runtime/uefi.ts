import { join } from "node:path"
import { efiDisk } from "../../artifact/fat.ts"
import { efiProgram } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { type Artifact, artifactOf, described } from "../../artifact/make.ts"
import { must, skip } from "../../check.ts"
import { digestOf } from "../../registry/content.ts"
import { Store } from "../../subject/store.ts"
import { harnessOf, type Plan, type Scene } from "./plan.ts"

// Machines that boot by the host's UEFI firmware: the program on their disk counts its boots in a variable.

const VARIABLES = "application/vnd.ovms.firmware-variables.v1"
const MEMORY = 64 << 20
/** Firmware takes its time where a processor is emulated. */
const BOOT_MS = 110_000

interface Wishes {
  readonly document?: object
  /** Of its own: blobs by their media types. */
  readonly more?: readonly (readonly [mediaType: string, bytes: Buffer])[]
}

/** A machine with the suite's program on its disk. */
function uefiMachine({ document, more = [] }: Wishes = {}): Artifact {
  const made = artifactOf({
    kernelless: true,
    disk: efiDisk(efiProgram()),
    document: {
      name: "conformance",
      resources: { memory: MEMORY, vcpus: 1 },
      metadata: { platform: { arch: "x86_64", uefi: true } },
      ...document,
    },
  })
  const oci = JSON.parse(made.oci.toString())
  for (const [at, [mediaType, bytes]] of more.entries())
    oci.layers.push(described(mediaType, bytes, `more${at}.bin`))
  const bytes = Buffer.from(JSON.stringify(oci))
  const blobs = [...made.blobs, ...more.map(([, blob]) => blob)]
  return { ...made, oci: bytes, digest: digestOf(bytes), blobs }
}

let layouts = 0
function laidOut({ folder }: Scene, artifact: Artifact): Promise<string> {
  return writeLayout(join(folder, `uefi-${layouts++}`), artifact)
}

/** The path of a machine that this host can boot by UEFI; skips where the runtime refuses it. */
async function bootable(scene: Scene): Promise<string> {
  const manifest = await laidOut(scene, uefiMachine())
  const reply = await scene.runtime.raw("POST", "/instances", { body: { manifest } })
  if (reply.status < 400) {
    scene.keep(JSON.parse(reply.text).instance_id)
    return manifest
  }
  must(reply.text.includes("OVM_UEFI_UNSUPPORTED"), `a machine with UEFI is refused with ${reply.text}`)
  return skip("the runtime has no UEFI firmware on this host")
}

const boots = (count: number) => new RegExp(`UEFI BOOT ${count}\\r?\\n`)

function uefiPlan(name: string, covers: readonly string[], run: Plan["run"]): Plan {
  return { name: `uefi/${name}`, profile: "uefi", covers, run }
}

export const uefiPlans: readonly Plan[] = [
  uefiPlan(
    "variables",
    ["OVMS-UEF-001", "OVMS-UEF-003", "OVMS-UEF-004", "OVMS-UEF-010", "OVMS-UEF-011", "OVMS-UEF-013"],
    async (scene) => {
      const { runtime, start } = scene
      const manifest = await bootable(scene)
      const [id, other] = [await start({ manifest }), await start({ manifest })]
      await runtime.says(id, boots(1), BOOT_MS)
      // Others of its image begin anew.
      await runtime.says(other, boots(1), BOOT_MS)
      await runtime.ask("DELETE /instances/{instance_id}", other, { query: "force=true" })
      await runtime.ask("POST /instances/{instance_id}/restart", id, { query: "grace_ms=0" })
      await runtime.says(id, boots(2), BOOT_MS)
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      const name = `localhost/conformance:suite-${process.hrtime.bigint().toString(36)}`
      const commit = "POST /instances/{instance_id}/commit"
      const { digest } = await runtime.ask<{ digest: string }>(commit, id, { body: { name } })
      const [first, second] = [await start({ manifest: name }), await start({ manifest: name })]
      await runtime.says(first, boots(3), BOOT_MS)
      await runtime.says(second, boots(3), BOOT_MS)
      await runtime.ask("DELETE /instances/{instance_id}", second, { query: "force=true" })
      // A machine that has booted is not given those of its image again.
      await runtime.ask("POST /instances/{instance_id}/restart", first, { query: "grace_ms=0" })
      await runtime.says(first, boots(4), BOOT_MS)
      const store = await Store.of(harnessOf(runtime))
      const { layers = [] } = await store.manifest(digest)
      const kept = layers.find(({ mediaType }) => mediaType === VARIABLES)
      must(kept, "an image that was committed has no variables")
      await store.bytes(kept.digest)
    },
  ),
  uefiPlan("variables-of-another-size", ["OVMS-UEF-012"], async (scene) => {
    const { runtime } = scene
    await bootable(scene)
    const small = Buffer.alloc(4096, 7)
    const document = { firmware: { variables: { ref: digestOf(small), size: small.length } } }
    const manifest = await laidOut(scene, uefiMachine({ document, more: [[VARIABLES, small]] }))
    const { message } = await runtime.refused("POST /start", "OVM_UEFI_UNSUPPORTED", "", {
      body: { manifest },
    })
    const sizes: readonly string[] = message.match(/\d{4,}/g) ?? []
    must(sizes.includes("4096") && new Set(sizes).size >= 2, `it does not name both sizes: ${message}`)
  }),
]
