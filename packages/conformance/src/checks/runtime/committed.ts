import { join } from "node:path"
import { counterDisk } from "../../artifact/counter.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { artifactOf } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { overlayOf } from "../../disk/qcow2.ts"
import { Store } from "../../subject/store.ts"
import { unique } from "../unique.ts"
import { harnessOf, type Plan, refusedCreate, type Scene } from "./plan.ts"
import { said } from "./said.ts"
import { isNamed } from "./serial-numbers.ts"

// Images that are made of what a guest wrote.

const COMMIT = "POST /instances/{instance_id}/commit"

/** Commits a machine once it has ended: its name, and the digest of what was made. */
async function committed({ runtime }: Scene, id: string) {
  await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
  await runtime.reaches(id, "stopped")
  const name = `localhost/conformance:${unique()}`
  const { digest } = await runtime.ask<{ digest: string }>(COMMIT, id, { body: { name } })
  return { name, digest }
}

export const committedPlans: readonly Plan[] = [
  {
    name: "commit",
    covers: ["OVMS-API-190", "OVMS-API-191", "OVMS-API-193", "OVMS-API-194"],
    async run(scene) {
      const { runtime, start } = scene
      const counter = artifactOf({ kernelless: true, disk: counterDisk() })
      const id = await start({ manifest: await writeLayout(join(scene.folder, "counter"), counter) })
      await runtime.says(id, /BOOT 1\n/)
      // What it wrote in an earlier life is in the image too.
      await runtime.ask("POST /instances/{instance_id}/restart", id, { query: "grace_ms=0" })
      await runtime.says(id, /BOOT 2\n/)
      // Of one that stands still as of one that has ended.
      await runtime.ask("POST /instances/{instance_id}/pause", id)
      const paused = { name: `localhost/conformance:${unique()}` }
      const answer = await runtime.ask<{ reference: string; size: number }>(COMMIT, id, { body: paused })
      must(answer.reference === paused.name, `what was called ${paused.name} is called ${answer.reference}`)
      must(answer.size > 0, `its size is ${answer.size}`)
      await runtime.ask("POST /instances/{instance_id}/resume", id)
      const { name, digest } = await committed(scene, id)
      const pinned = { name: `localhost/suite-pinned@${digest}` }
      await runtime.refused(COMMIT, "OVM_REQUEST_INVALID", id, { body: pinned })
      await runtime.says(await start({ manifest: name }), /BOOT 3\n/)
      const store = await Store.of(harnessOf(runtime))
      const { annotations } = await store.manifest(digest)
      const base = annotations?.["org.opencontainers.image.base.digest"]
      must(base === counter.digest, `the image says that its base is ${base}, and not ${counter.digest}`)
    },
  },
  {
    name: "commit-of-what-is-new",
    covers: ["OVMS-API-192", "OVMS-API-270"],
    async run(scene) {
      const { machine, runtime } = scene
      const store = await Store.of(harnessOf(runtime))
      const top = async (digest: string) => {
        const { config, layers = [] } = await store.manifest(digest)
        const { diskLayers } = await store.document(config)
        const last = layers.find((one) => one.digest === diskLayers.at(-1)?.ref)
        must(last && diskLayers.at(-1).format === "qcow2", "the last layer is no qcow2 of the manifest")
        return { count: diskLayers.length, ...overlayOf(await store.bytes(last.digest)) }
      }
      const manifest = await machine({ diskless: false })
      const first = await said(scene, manifest, "write=1", { diskSize: 1 << 20 })
      must(first.text.includes("WROTE 1 [written"), "the guest cannot write to its disk")
      must(
        first.text.includes("DISK sectors=2048"),
        "the disk does not have the size of the start for the guest",
      )
      const once = await committed(scene, first.id)
      const made = await top(once.digest)
      must(made.count === 2, `the image has ${made.count} layers, and not one more than its base`)
      must(made.clusters === 1, `its layer has ${made.clusters} clusters, and the guest wrote to one`)
      // The same bytes once more.
      const second = await said(scene, once.name, "write=1 read=1")
      must(second.text.includes("SECTOR 1 [written by the guest]"), "what was committed is not there")
      must(second.text.includes("DISK sectors=2048"), "the image that was made has a disk of another size")
      const { clusters } = await top((await committed(scene, second.id)).digest)
      must(clusters === 0, `the layer of what changed nothing has ${clusters} clusters`)
    },
  },
  {
    name: "commit-onto-what-it-has-not-written",
    covers: ["OVMS-BLD-003"],
    async run(scene) {
      const { runtime, machine } = scene
      const manifest = await machine({ diskless: false, disk: Buffer.alloc(1 << 20, 7) })
      const first = await said(scene, manifest, "write=1")
      const { name: onto } = await committed(scene, first.id)
      // Of another cluster of the same disk.
      const { id } = await said(scene, manifest, "write=1024")
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      const name = `localhost/conformance:${unique()}`
      await runtime.refused(COMMIT, "OVM_BASE_MISMATCH", id, { body: { name, onto } })
      await refusedCreate(runtime, /^OVM_(NAME_UNKNOWN|CONTENT_MISSING)$/, { manifest: name })
      // What has written to all that they say something of sees the same with them as without.
      const again = await said(scene, manifest, "write=1 write=1024")
      await runtime.ask("POST /stop", "", { body: { instance_id: again.id, grace_ms: 0 } })
      await runtime.reaches(again.id, "stopped")
      await runtime.ask(COMMIT, again.id, { body: { name, onto } })
      const { text } = await said(scene, name, "read=1024")
      must(text.includes("SECTOR 1024 [written"), `its own layer is missing: ${/SECTOR.*/.exec(text)?.[0]}`)
    },
  },
  {
    name: "commit-of-further-disks",
    covers: ["OVMS-API-273"],
    async run(scene) {
      const disks = [
        { name: "data", size: 1 << 20 },
        { name: "more", size: 2 << 20 },
      ]
      const manifest = await scene.machine({ diskless: false, document: { disks } })
      const first = await said(scene, manifest, "write=2 disk=2")
      const { name } = await committed(scene, first.id)
      const data = await said(scene, name, "read=2 disk=2")
      await isNamed(scene, data, "data", 2)
      must(
        data.text.includes("SECTOR 2 [written by the guest]"),
        "what was written to it is not in the image",
      )
      const more = await said(scene, name, "read=2 disk=3")
      must(
        more.text.includes("DISK sectors=4096"),
        "the disk that nothing was written to is not in the image",
      )
      await isNamed(scene, more, "more", 3)
      must(!more.text.includes("SECTOR 2 [written"), "what was written to one disk is on the other")
    },
  },
  {
    name: "snapshot/tag-of-another-thing",
    profile: "snapshot",
    covers: ["OVMS-API-059"],
    async run(scene) {
      const { runtime, boot, create } = scene
      const tag = unique()
      const body = { name: `localhost/conformance:${tag}` }
      await runtime.ask(COMMIT, await create({}, await scene.machine({ diskless: false })), { body })
      const id = await boot()
      const ask = { body: { instance_id: id, tag } }
      await runtime.refused("POST /snapshot", "OVM_STATE_CONFLICT", "", ask)
      await create({}, body.name)
    },
  },
]
