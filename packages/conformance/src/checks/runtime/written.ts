import { rm } from "node:fs/promises"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { counterDisk } from "../../artifact/counter.ts"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { unpackedLz4 } from "../../artifact/lz4.ts"
import { artifactOf, store as put } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { overlayOf } from "../../disk/qcow2.ts"
import { utf8 } from "../../registry/content.ts"
import { Registry } from "../../registry/server.ts"
import { Store } from "../../subject/store.ts"
import { unique } from "../unique.ts"
import { differencesIn } from "./differences.ts"
import { harnessOf, type Plan, type Scene } from "./plan.ts"
import { snapshotPlan } from "./snapshots.ts"

// What a runtime writes when it takes a snapshot, and what it keeps for how long.

const LINE = "console=ttyS0 tick_ms=50 word=written"

// biome-ignore lint/suspicious/noExplicitAny: a document of the implementation's, of which checks ask what they want
type Descriptor = any

interface Taken {
  readonly digest: string
  readonly name: string
}

async function taken({ runtime }: Scene, id: string, tag = unique(), request = {}): Promise<Taken> {
  const body = { instance_id: id, tag, ...request }
  const { snapshot_ref } = await runtime.ask<{ snapshot_ref: string }>("POST /snapshot", "", { body })
  return { digest: snapshot_ref, name: `localhost/conformance:${tag}` }
}

/** The two documents of a snapshot. */
async function documents(store: Store, digest: string) {
  const oci = await store.manifest(digest)
  return { oci, descriptor: await store.document(oci.config) }
}

const PAGE = 4096
const CHUNK_PAGES = 64

/** The frames of RAM that lz4 has packed, and what is in one. */
async function framesOf(store: Store, { ram }: Descriptor) {
  const [table, blob] = [await store.bytes(ram.table), await store.bytes(ram.ref)]
  let end = 0
  const frames = Array.from({ length: table.readUInt32LE(24) }, (_, chunk) => {
    const begin = end
    end += table.readUInt32LE(64 + 40 * chunk)
    return blob.subarray(begin, end)
  })
  const bytes = (chunk: number) => unpackedLz4(frames[chunk] ?? Buffer.alloc(0), CHUNK_PAGES * PAGE)
  return { frames, bytes }
}

/** The pages that a map names are those that differ, and no others (OVMS-SNP-122). */
async function changedPages(store: Store, parent: Descriptor, child: Descriptor): Promise<void> {
  const { changed } = child.ram
  // Not every writer has the RAM of the parent still.
  if (changed === undefined) return
  const map = await store.bytes(changed.ref)
  const set = (page: number) => ((map[page >> 3] ?? 0) >> (page & 7)) & 1
  const pages = Array.from({ length: map.length * 8 }, (_, page) => set(page))
  const count = pages.reduce((all, bit) => all + bit, 0)
  must(count === changed.pages, `pages is ${changed.pages}, and ${count} bits are set`)
  must(count > 0, "a guest that counts has changed no page")
  const [before, after] = [await framesOf(store, parent), await framesOf(store, child)]
  for (const [chunk, frame] of after.frames.entries()) {
    const same = before.frames[chunk]?.equals(frame) ?? false
    const [was, is] = same ? [] : [before.bytes(chunk), after.bytes(chunk)]
    for (let page = 0; page < CHUNK_PAGES; page++) {
      const differs =
        was !== undefined &&
        is?.compare(was, page * PAGE, (page + 1) * PAGE, page * PAGE, (page + 1) * PAGE) !== 0
      const named = pages[chunk * CHUNK_PAGES + page] === 1
      must(
        named === differs,
        `page ${chunk * CHUNK_PAGES + page} ${differs ? "differs, and is not said to" : "is as it was, and is said to differ"}`,
      )
    }
  }
}

export const writtenPlans: readonly Plan[] = [
  snapshotPlan(
    "as-it-is-written",
    [
      "OVMS-API-055",
      "OVMS-API-120",
      "OVMS-API-122",
      "OVMS-SNP-006",
      "OVMS-SNP-025",
      "OVMS-SNP-036",
      "OVMS-SNP-037",
      "OVMS-SNP-077",
      "OVMS-SNP-122",
      "OVMS-SNP-131",
    ],
    async (scene) => {
      const { runtime, start, machine } = scene
      const store = await Store.of(harnessOf(runtime))
      const manifest = await machine({ diskless: false })
      const id = await start({ manifest, overrides: { args: `${LINE} write=1`, diskSize: 1 << 20 } })
      await runtime.says(id, /TICK 2\r?\n/)
      const packed = { compression: "lz4" }
      const first = await taken(scene, id, unique(), packed)
      const second = await taken(scene, id, unique(), packed)
      const [one, two] = [await documents(store, first.digest), await documents(store, second.digest)]
      for (const { oci, descriptor } of [one, two]) {
        const { vmm, host } = descriptor
        const wanted = {
          "org.opencontainers.image.created": descriptor.created,
          "ovms.snapshot.accelerator": vmm.accelerator,
          "ovms.snapshot.architecture": descriptor.architecture,
          "ovms.snapshot.format": vmm.format,
          "ovms.snapshot.memory": String(descriptor.resources.memory),
          "ovms.snapshot.vmm": vmm.name,
          "ovms.snapshot.vmm-version": vmm.version,
          ...(host?.cpuFeatures && { "ovms.snapshot.cpu-features": host.cpuFeatures }),
        }
        for (const [name, value] of Object.entries(wanted))
          must(oci.annotations?.[name] === value, `${name} is ${oci.annotations?.[name]}, and not ${value}`)
        // One that knows that the guest has read them leaves them out.
        const args = descriptor.boot?.args ?? `${LINE} write=1`
        must(args === `${LINE} write=1`, `boot has the arguments ${args}`)
        for (const { ref } of descriptor.overlays) {
          const { size } = overlayOf(await store.bytes(ref))
          must(size === 1 << 20, `an overlay is of a disk of ${size} bytes, and the machine's has 1 MiB`)
        }
      }
      must(one.descriptor.overlays.length === 1, `there are ${one.descriptor.overlays.length} overlays`)
      must(two.descriptor.parent === first.digest, `parent is ${two.descriptor.parent}`)
      const [lowest, ...more] = two.descriptor.overlays
      must(
        isDeepStrictEqual(lowest, one.descriptor.overlays[0]) && more.length === 1,
        "the overlays are not those of the parent and one more",
      )
      await changedPages(store, one.descriptor, two.descriptor)
      const larger = { manifest: second.name, overrides: { diskSize: 2 << 20 } }
      const refusal = await runtime.refused("POST /start", "OVM_SNAPSHOT_INCOMPATIBLE", "", { body: larger })
      const fields = differencesIn(refusal).map(({ field }) => field)
      must(fields.includes("/overlays"), `of a larger disk detail names ${fields.join(", ") || "nothing"}`)
      const counter = artifactOf({ kernelless: true, disk: counterDisk() })
      const bios = await start({ manifest: await writeLayout(join(scene.folder, "counter"), counter) })
      await runtime.says(bios, /BOOT 1\n/)
      const asked = {
        preload_hint: true,
        mlock_required: true,
        multi_resume: "deny",
      }
      const { digest } = await taken(scene, bios, unique(), asked)
      const { descriptor } = await documents(store, digest)
      for (const [made, wanted] of [
        [one.descriptor, ["lz4", false, false, "allow"]],
        [descriptor, ["zstd", ...Object.values(asked)]],
      ] as const) {
        const { ram, uniqueness } = made
        const { compression, preload_hint = false, mlock_required = false } = ram
        const found = [compression, preload_hint, mlock_required, uniqueness?.multiResume ?? "allow"]
        must(isDeepStrictEqual(found, wanted), `asked for ${wanted.join(", ")} it is ${found.join(", ")}`)
      }
      must(descriptor.boot === undefined, "a machine without a kernel has boot")
    },
  ),
  snapshotPlan("not-pushed", ["OVMS-SNP-096"], async (scene) => {
    const { runtime, start } = scene
    const registry = await Registry.start()
    try {
      put(registry.repository, guestArtifact(utf8(registry.host)), "1")
      const id = await start({ manifest: registry.reference("1") })
      await runtime.says(id, /TICK 2\r?\n/)
      await taken(scene, id)
      const [asked] = registry.asked(/^(POST|PUT|PATCH)$/, "/")
      must(asked === undefined, `nobody asked for it, and it sent ${asked?.method} ${asked?.path}`)
    } finally {
      await registry.close()
    }
  }),
  snapshotPlan("keeps-its-base", ["OVMS-SNP-150"], async (scene) => {
    const { runtime, start, machine } = scene
    // Nobody else has it: its layout is all that there is of it.
    const manifest = await machine({ document: { version: unique() } })
    const id = await start({ manifest })
    await runtime.says(id, /TICK 2\r?\n/)
    const { name } = await taken(scene, id)
    await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
    await rm(manifest, { recursive: true })
    const text = await runtime.says(await start({ manifest: name }), /TICK \d+\r?\n/)
    must(!text.includes("GUEST-READY"), "it was booted, and did not go on")
    const booted = await start({ manifest: name, overrides: { resume: false } })
    await runtime.says(booted, /GUEST-READY/)
  }),
  snapshotPlan("freed-with-its-name", ["OVMS-SNP-150", "OVMS-SNP-151"], async (scene) => {
    const { runtime, boot, start } = scene
    const store = await Store.of(harnessOf(runtime))
    const tag = unique()
    const ram = async ({ digest }: Taken) => (await documents(store, digest)).descriptor.ram.ref
    const first = await taken(scene, await boot("word=first"), tag)
    const firstRam = await ram(first)
    const second = await taken(scene, await boot("word=second"), tag)
    await runtime.until("what nothing holds any more is freed", async () => !(await store.has(firstRam)))
    must(!(await store.has(first.digest)), "the manifest of what was freed is there")
    const clone = await start({ manifest: second.name })
    await runtime.says(clone, /TICK \d+\r?\n/)
    await taken(scene, clone, tag)
    must(await store.has(await ram(second)), "what a machine goes on from was freed")
  }),
]
