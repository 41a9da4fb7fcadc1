import { spawnSync } from "node:child_process"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { GUEST_MEMORY, guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { type Artifact, described, withLayers } from "../../artifact/make.ts"
import { emptyOverlay } from "../../artifact/qcow2.ts"
import { must, skip } from "../../check.ts"
import { type Descriptor, digestOf } from "../../registry/content.ts"
import { processesWith } from "../../subject/processes.ts"
import { Store } from "../../subject/store.ts"
import { lacks } from "../../subject/vmms.ts"
import { aside } from "./aside.ts"
import { takenWithDisks } from "./further.ts"
import { canLock } from "./locks.ts"
import { harnessOf, type Plan, type Scene } from "./plan.ts"
import { snapshotPlan, snapshotted } from "./snapshots.ts"

// Snapshots that the runtime has taken, and of which the suite makes others.

const SNAPSHOT = "application/vnd.ovms.snapshot.v1+json"

/** The parts of a snapshot of the suite's guest that this runtime has taken. */
export async function parts(scene: Scene, request: object = {}) {
  return await partsOf(scene, (await snapshotted(scene, request)).snapshot)
}

export async function partsOf(scene: Scene, snapshot: string) {
  const store = await Store.of(harnessOf(scene.runtime))
  const oci = await store.manifest(snapshot)
  const descriptor = await store.document(oci.config)
  const layers = oci.layers ?? []
  const blobs = await Promise.all(layers.map(({ digest }) => store.bytes(digest)))
  return { oci, descriptor, layers, blobs }
}

type Parts = Awaited<ReturnType<typeof parts>>

/** The suite's guest with RAM of its own beside it; without the layers that `leaves` says. */
export function machineWithRam(
  { descriptor, layers, blobs }: Parts,
  leaves: RegExp = /^$/,
  hints: object = {},
): Artifact {
  const { base: _, parent: __, ...own } = descriptor
  const { ref, compression } = own.ram
  const made = guestArtifact(undefined, {
    document: {
      resources: { memory: 64 << 20, vcpus: 1 },
      ramSnapshot: { ref, compression, ...(own.ram.mlock_required && { mlock_required: true }), ...hints },
    },
  })
  const bytes = Buffer.from(JSON.stringify(own))
  const oci = JSON.parse(made.oci.toString())
  const more = [described(SNAPSHOT, bytes, "snapshot.json"), ...layers]
  oci.layers.push(...more.filter(({ mediaType }) => !leaves.test(mediaType)))
  const document = Buffer.from(JSON.stringify(oci))
  return { ...made, oci: document, digest: digestOf(document), blobs: [...made.blobs, bytes, ...blobs] }
}

/** The same snapshot with another descriptor, and another device state where there is one. */
export function remade({ oci, descriptor, layers, blobs }: Parts, changes: object, state?: Buffer): Artifact {
  const at = layers.findIndex(({ mediaType }) => mediaType === "application/vnd.ovms.vmstate.v1")
  const own = described("application/vnd.ovms.vmstate.v1", state ?? Buffer.alloc(0), "vmstate.bin")
  const document = { ...descriptor, ...(state && { state: { ref: own.digest } }), ...changes }
  const manifest = Buffer.from(JSON.stringify(document))
  const bytes = Buffer.from(
    JSON.stringify({
      ...oci,
      config: described(SNAPSHOT, manifest, "snapshot.json"),
      layers: state ? layers.toSpliced(at, 1, own) : layers,
    }),
  )
  const all = [manifest, ...blobs, ...(state ? [state] : [])]
  return {
    ...guestArtifact(),
    oci: bytes,
    digest: digestOf(bytes),
    manifest,
    blobs: all,
    base: guestArtifact(),
  }
}

/** One of each kind; no part of them is a secret of anybody's. */
const letters = (count: number) => "aB3dE5gH7j".repeat(Math.ceil(count / 10)).slice(0, count)
const SECRETS: Readonly<Record<string, string>> = {
  "private-key": `-----BEGIN ${"RSA PRIVATE"} KEY-----\n${letters(64)}\n`,
  "private-key-binary": "openssh-key-" + "v1\0\0\0\0\x04none\0\0\0\x04none\0\0\0\0",
  "putty-private-key": "PuTTY-User-Key-" + "File-3: ssh-ed25519\r\n",
  "aws-access-key": "AKIA" + "QY7ZOVMSSUITEABC",
  "github-token": `ghp_${letters(36)}`,
  "gitlab-token": `glpat-${letters(20)}`,
  "slack-token": `xoxb-${"1234567890"}-${letters(12)}`,
  "gcp-service-account": `{"type": ${'"service'}_account"}`,
  "google-api-key": `AIza${letters(35)}`,
  "npm-token": `npm_${letters(36)}`,
  jwt: `eyJ${letters(20)}.eyJ${letters(20)}.${letters(30)}`,
}

interface Written {
  readonly name: string
  readonly overlays: readonly { readonly ref: string }[]
}

interface Reported {
  readonly snapshot_ref: string
  readonly scrub?: { readonly checked: boolean; readonly findings: readonly { readonly kind: string }[] }
}

/** More than a MiB has, wherever it begins: RAM may be searched by larger pieces than its chunks (snapshot.md). */
const PAGES = 260

/** A key across the end of each page, and one of each kind before them. */
function secretsInPages(): Buffer {
  const bytes = Buffer.alloc((PAGES + 1) * 4096, " ")
  let at = 64
  for (const secret of Object.values(SECRETS)) at += bytes.write(secret, at, "latin1") + 8
  for (let page = 1; page <= PAGES; page++) bytes.write(SECRETS["aws-access-key"] ?? "", page * 4096 - 9)
  return bytes
}

/** The suite's guest with an initrd. */
export function withInitrd(initrd: Buffer): Artifact {
  const made = guestArtifact(undefined, { document: { initrd: { ref: digestOf(initrd) } } })
  return withLayers(made, [["application/vnd.ovms.initrd.v1", initrd]])
}

const BESIDE = ["OVMS-SNP-080", "OVMS-SNP-083", "OVMS-MAN-042", "OVMS-MAN-043"]

export const remadePlans: readonly Plan[] = [
  snapshotPlan("ram-beside-the-machine", BESIDE, async (scene) => {
    const { runtime, start, folder } = scene
    const found = await parts(scene)
    const whole = await writeLayout(join(folder, "whole"), machineWithRam(found))
    const id = await start({ manifest: whole })
    const text = await runtime.says(id, /TICK \d+\r?\n/)
    must(!text.includes("GUEST-READY"), "the machine was booted, and did not go on from its RAM")
    must((await lockedBytes(id)) < GUEST_MEMORY, "its memory is locked, and nobody asked for that")
    const { memory } = (await runtime.status(id)).resources
    must(
      memory === found.descriptor.resources.memory,
      `it has ${memory} bytes, and not those of the descriptor`,
    )
    const hinted = machineWithRam(found, undefined, { mlock_required: true })
    if (!(await lacks(runtime, "lockedMemory"))) {
      const locked = await start({ manifest: await writeLayout(join(folder, "hinted"), hinted) })
      await runtime.says(locked, /TICK \d+\r?\n/)
      must((await lockedBytes(locked)) >= GUEST_MEMORY, "the manifest's mlock_required does not hold")
    }
    for (const [what, types] of [
      ["descriptor", /snapshot/],
      ["state", /vmstate/],
    ] as const) {
      const manifest = await writeLayout(join(folder, what), machineWithRam(found, types))
      const booted = await start({ manifest })
      await runtime.says(booted, /GUEST-READY/)
      const { warnings } = await runtime.status(booted)
      must(
        warnings.some((words) => /RAM|snapshot|boot/.test(words)),
        `no warning says that a machine without ${what} was booted: ${warnings.join("; ")}`,
      )
    }
  }),
  snapshotPlan("disks-that-it-is-not-about", ["OVMS-SNP-178"], async (scene) => {
    const { runtime, folder } = scene
    const disks = [{ name: "data", overlays: [] }]
    const manifest = await writeLayout(join(folder, "other-disks"), remade(await parts(scene), { disks }))
    await runtime.refused("POST /start", "OVM_SNAPSHOT_INVALID", "", { body: { manifest } })
  }),
  snapshotPlan("overlay-of-another-size", ["OVMS-SNP-177", "OVMS-SNP-178", "OVMS-SNP-179"], async (scene) => {
    const { runtime, folder, machine, start } = scene
    const data = ["more", "data"].map((name) => ({ name, size: 1 << 20 }))
    const base = await machine({ diskless: false, document: { disks: data } })
    const id = await start({ manifest: base })
    await runtime.says(id, /TICK 2\r?\n/)
    const found = await partsOf(scene, await takenWithDisks(scene, id, "suite-overlay"))
    const [disk, ...others] = (found.descriptor.disks ?? []) as readonly Written[]
    const names = [disk, ...others].map((one) => one?.name).join()
    must(
      disk && names === "more,data",
      `the snapshot's disks are ${names}, and not those of the base in order`,
    )
    must(disk.overlays.length > 0, "the snapshot has no overlay of the further disk")
    const lacks = await writeLayout(join(folder, "lacks"), remade(found, { disks: [disk] }))
    await runtime.refused("POST /start", "OVM_SNAPSHOT_INVALID", "", { body: { manifest: lacks } })
    const overlay = emptyOverlay(2 << 20, "parent")
    const ref = digestOf(overlay)
    const layer = found.layers.find(({ digest }) => digest === disk.overlays.at(-1)?.ref)
    const layers = [...found.layers, { ...layer, digest: ref, size: overlay.length } as Descriptor]
    const disks = [{ ...disk, overlays: [{ ...disk.overlays.at(-1), ref, size: overlay.length }] }, ...others]
    const wrong = remade({ ...found, layers, blobs: [...found.blobs, overlay] }, { disks })
    const manifest = await writeLayout(join(folder, "overlay"), wrong)
    await runtime.refused("POST /start", "OVM_DISK_INVALID", "", { body: { manifest } })
  }),
  snapshotPlan("state-that-is-none", ["OVMS-API-028"], async (scene) => {
    const { runtime, folder, keep } = scene
    const { home } = harnessOf(runtime)
    const state = Buffer.alloc(25_000, "no device state of any VMM")
    const manifest = await writeLayout(join(folder, "stateless"), remade(await parts(scene), {}, state))
    const before = new Set(processesWith(home))
    const reply = await runtime.raw("POST", "/start", { body: { manifest } })
    if (reply.status < 400) {
      const { instance_id } = JSON.parse(reply.text)
      keep(instance_id)
      await runtime.reaches(instance_id, "failed")
    }
    await runtime.until("no process of the start that failed is left", async () =>
      processesWith(home).every((pid) => before.has(pid)),
    )
  }),
  snapshotPlan("secrets-everywhere", ["OVMS-SNP-097", "OVMS-SNP-098", "OVMS-SNP-099"], async (scene) => {
    const { runtime, start, folder } = scene
    const manifest = await writeLayout(join(folder, "secrets"), withInitrd(secretsInPages()))
    const id = await start({ manifest })
    await runtime.says(id, /TICK 2\r?\n/)
    const body = { instance_id: id, tag: "suite-secrets", scrub_check: "refuse" }
    const { detail } = await runtime.refused("POST /snapshot", "OVM_SECRETS_FOUND", "", { body })
    const found = new Map((Array.isArray(detail) ? detail : []).map(({ kind, count }) => [kind, count]))
    for (const kind of Object.keys(SECRETS)) must(found.get(kind) > 0, `no ${kind} is found`)
    const keys = found.get("aws-access-key")
    must(keys > PAGES, `of ${PAGES + 1} keys, nearly each in two pages, ${keys} are found`)
    const { scrub, snapshot_ref } = await runtime.ask<Reported>("POST /snapshot", "", {
      body: { ...body, scrub_check: "report" },
    })
    const kinds = new Set(scrub?.findings.map(({ kind }) => kind))
    must(
      scrub?.checked && Object.keys(SECRETS).every((kind) => kinds.has(kind)),
      `the report is ${JSON.stringify(scrub)}`,
    )
    const { descriptor } = await partsOf(scene, snapshot_ref)
    must(isDeepStrictEqual(descriptor.scrub, scrub), "the descriptor's scrub is not the report")
    for (const secret of Object.values(SECRETS))
      must(!JSON.stringify(scrub).includes(JSON.stringify(secret).slice(1, -1)), "a secret is in the report")
  }),
  snapshotPlan("memory-that-cannot-be-locked", ["OVMS-SNP-102"], async (scene) => {
    const made = remade(await parts(scene, { mlock_required: true }), {})
    const manifest = await writeLayout(join(scene.folder, "locked"), made)
    await aside(
      scene,
      async ({ runtime }) => {
        const { message } = await runtime.refused("POST /start", "OVM_UNSUPPORTED", "", {
          body: { manifest },
        })
        must(/65536|64 KiB|MEMLOCK/.test(message), `the limit is not named: ${message}`)
        const { instances } = await runtime.ask<{ instances: readonly object[] }>("GET /instances")
        must(instances.length === 0, "it was refused, and there is an instance")
      },
      {},
      locksLittle(),
    )
  }),
  snapshotPlan("memory-that-is-locked", ["OVMS-SNP-101", "OVMS-API-122"], async (scene) => {
    const { runtime, start } = scene
    const { manifest } = await snapshotted(scene, { mlock_required: true })
    await canLock(scene, manifest)
    const id = await start({ manifest })
    await runtime.says(id, /TICK \d+\r?\n/)
    const locked = await lockedBytes(id)
    must(locked >= GUEST_MEMORY, `${locked} bytes of its memory are locked, and not ${GUEST_MEMORY}`)
    const { warnings } = await runtime.status(id)
    must(
      warnings.some((words) => /\b(lock(s|ed)?|shares?)\b/.test(words)),
      `no warning says that it shares no memory: ${warnings.join("; ")}`,
    )
    if (!runtime.harness) return
    const body = { instance_id: id, tag: "suite-locked", preload_hint: true }
    const { snapshot_ref } = await runtime.ask<Reported>("POST /snapshot", "", { body })
    const { ram } = (await partsOf(scene, snapshot_ref)).descriptor
    must(ram.mlock_required === true, "a snapshot of a clone does not have the mlock_required of its own")
    must(ram.preload_hint === true, "a snapshot of a clone does not have the preload_hint that was asked for")
  }),
]

/** Has a program lock 64 KiB at most, also where it is root's; skips where nothing of this host can. */
function locksLittle(): string {
  const able = process.getuid?.() === 0 ? "setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock " : ""
  const words = `${able}prlimit --memlock=65536:65536`
  const { status } = spawnSync("/bin/sh", ["-c", `${words} true`], { stdio: "ignore" })
  return status === 0 ? words : skip("no program of this host bounds what another one may lock")
}

/** What of the memory of an instance's processes is locked. */
async function lockedBytes(id: string): Promise<number> {
  const sizes = await Promise.all(
    processesWith(id).map(async (pid) => {
      const status = await readFile(`/proc/${pid}/status`, "latin1").catch(() => "")
      return Number(/^VmLck:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
    }),
  )
  return Math.max(0, ...sizes)
}
