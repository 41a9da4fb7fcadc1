import { join } from "node:path"
import { efiDisk } from "../../artifact/fat.ts"
import { efiProgram } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { type Artifact, artifactOf, withLayers } from "../../artifact/make.ts"
import { must, skip } from "../../check.ts"
import { digestOf } from "../../registry/content.ts"
import { errorOf } from "../../subject/answers.ts"
import { Store } from "../../subject/store.ts"
import { unique } from "../unique.ts"
import { harnessOf, type Plan, refusedCreate, type Scene } from "./plan.ts"

// Machines that boot by the host's UEFI firmware: the program on their disk counts its boots in a variable.

const VARIABLES = "application/vnd.ovms.firmware-variables.v1"
const INITRD = "application/vnd.ovms.initrd.v1"
const MEMORY = 64 << 20
/** Firmware takes its time where a processor is emulated. */
const BOOT_MS = 300_000

interface Wishes {
  readonly platform?: object
  readonly document?: object
  /** Of its own: blobs by their media types. */
  readonly more?: readonly (readonly [mediaType: string, bytes: Buffer])[]
  readonly kernel?: Buffer
}

const platformOf = (more: object = {}) => ({ platform: { arch: "x86_64", uefi: true, ...more } })

/** A machine with the suite's program, on its disk or as its kernel. */
function uefiMachine({ platform, document, more = [], kernel }: Wishes = {}): Artifact {
  const made = artifactOf({
    ...(kernel ? { kernel, diskless: true } : { kernelless: true, disk: efiDisk(efiProgram()) }),
    document: {
      name: "conformance",
      resources: { memory: MEMORY, vcpus: 1 },
      metadata: platformOf(platform),
      ...document,
    },
  })
  return withLayers(made, more)
}

let layouts = 0
function laidOut({ folder }: Scene, artifact: Artifact): Promise<string> {
  return writeLayout(join(folder, `uefi-${layouts++}`), artifact)
}

/** The path of a machine that this host can boot by UEFI; skips where the runtime refuses it. */
async function bootable(scene: Scene, wishes: Wishes = {}): Promise<string> {
  const manifest = await laidOut(scene, uefiMachine(wishes))
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
  return { name: `uefi/${name}`, profile: "uefi", slow: true, covers, run }
}

export const uefiPlans: readonly Plan[] = [
  uefiPlan(
    "variables",
    ["OVMS-UEF-001", "OVMS-UEF-003", "OVMS-UEF-004", "OVMS-UEF-010", "OVMS-UEF-011", "OVMS-UEF-013"],
    async (scene) => {
      const { runtime, start } = scene
      const manifest = await bootable(scene)
      const id = await start({ manifest })
      await runtime.says(id, boots(1), BOOT_MS)
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      const name = `localhost/conformance:${unique()}`
      const commit = "POST /instances/{instance_id}/commit"
      const { digest } = await runtime.ask<{ digest: string }>(commit, id, { body: { name } })
      const first = await start({ manifest: name })
      await runtime.says(first, boots(2), BOOT_MS)
      // A machine that has booted is not given those of its image again; others of its image begin with them.
      const second = await start({ manifest: name })
      await runtime.ask("POST /instances/{instance_id}/restart", first, { query: "grace_ms=0" })
      await runtime.says(first, boots(3), BOOT_MS)
      await runtime.says(second, boots(2), BOOT_MS)
      const store = await Store.of(harnessOf(runtime))
      const { layers = [] } = await store.manifest(digest)
      const kept = layers.find(({ mediaType }) => mediaType === VARIABLES)
      must(kept, "an image that was committed has no variables")
      await store.bytes(kept.digest)
    },
  ),
  uefiPlan("snapshot", ["OVMS-UEF-005", "OVMS-UEF-006"], async (scene) => {
    const { runtime, start } = scene
    const id = await start({ manifest: await bootable(scene) })
    await runtime.says(id, /UEFI BOOT 1\r?\n[\s\S]*TICK 1\r?\n/, BOOT_MS)
    const tag = unique()
    const body = { instance_id: id, tag }
    const { snapshot_ref } = await runtime.ask<{ snapshot_ref: string }>("POST /snapshot", "", { body })
    const clone = await start({ manifest: `localhost/conformance:${tag}` })
    const text = await runtime.says(clone, /TICK \d+\r?\n/)
    must(!text.includes("UEFI BOOT"), "the machine was booted, and did not go on")
    await runtime.ask("POST /instances/{instance_id}/restart", clone, { query: "grace_ms=0" })
    await runtime.says(clone, boots(2), BOOT_MS)
    const store = await Store.of(harnessOf(runtime))
    const { devices } = await store.document((await store.manifest(snapshot_ref)).config)
    const sizes = (devices as string[]).flatMap((words) => words.match(/\d{5,}/g) ?? [])
    must(sizes.length >= 2, `devices do not have the sizes of two flashes: ${devices.join(", ")}`)
  }),
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
  uefiPlan("program-as-kernel", ["OVMS-UEF-040", "OVMS-UEF-041", "OVMS-UEF-043"], async (scene) => {
    const { runtime, start } = scene
    const kernel = efiProgram()
    const args = "suite=one  two"
    const document = { kernel: { ref: digestOf(kernel), args } }
    const id = await start({ manifest: await bootable(scene, { kernel, document }) })
    const text = await runtime.says(id, /OPTIONS .*\r?\n/, BOOT_MS)
    must(text.includes(`OPTIONS [${args}]`), `its load options are ${/OPTIONS.*/.exec(text)?.[0]}`)
    const plain = { ref: digestOf(kernel), args: "" }
    const without = uefiMachine({ kernel, document: { kernel: plain, metadata: {} } })
    await refusedCreate(runtime, "OVM_KERNEL_INVALID", { manifest: await laidOut(scene, without) })
    const initrd = Buffer.alloc(12_345, "i")
    const both = { ...document, initrd: { ref: digestOf(initrd) } }
    const manifest = await laidOut(scene, uefiMachine({ kernel, document: both, more: [[INITRD, initrd]] }))
    const reply = await runtime.raw("POST", "/start", { body: { manifest } })
    if (reply.status >= 400) {
      const { code, message } = errorOf("POST /start", reply)
      must(
        code === "OVM_UNSUPPORTED" && message.includes("/initrd"),
        `it is refused with ${code}: ${message}`,
      )
      return
    }
    const given = await runtime.says(scene.keep(JSON.parse(reply.text).instance_id), /TICK 0\r?\n/, BOOT_MS)
    must(given.includes("INITRD 12345"), `its initrd is ${/INITRD.*/.exec(given)?.[0] ?? "not there"}`)
  }),
  uefiPlan("secure-boot-of-a-kernel", ["OVMS-UEF-042"], async (scene) => {
    const platform = { secureBoot: true }
    await bootable(scene, { platform })
    const kernel = efiProgram()
    const document = { kernel: { ref: digestOf(kernel), args: "" } }
    const manifest = await laidOut(scene, uefiMachine({ platform, kernel, document }))
    const { message } = await refusedCreate(scene.runtime, "OVM_UNSUPPORTED", { manifest })
    must(message.includes("/kernel"), `the refusal does not name /kernel: ${message}`)
  }),
]
