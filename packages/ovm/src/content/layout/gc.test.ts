import { expect, test } from "bun:test"
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { copy } from "../copy.ts"
import type { Descriptor } from "../descriptor.ts"
import { hexOf } from "../digest.ts"
import { OCI_INDEX, OCI_MANIFEST } from "../manifest.ts"
import { MemoryStore } from "../memory.ts"
import { failure, manifestOver, pushBytes, pushImage, text } from "../store.suite.ts"
import { collectGarbage } from "./gc.ts"
import { type LayoutStore, openLayout } from "./store.ts"

async function inStore(run: (root: string) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "ovm-gc-"))
  try {
    await (await openLayout(root, { create: true })).close()
    await run(root)
  } finally {
    await rm(root, { recursive: true })
  }
}

async function during<T>(root: string, run: (store: LayoutStore) => Promise<T>): Promise<T> {
  await using store = await openLayout(root)
  return await run(store)
}

const blobs = async (root: string) => (await readdir(join(root, "blobs/sha256"))).length

test("what has a name stays with all below it, the rest goes", () =>
  inStore(async (root) => {
    const image = await during(root, async (store) => {
      await pushBytes(store, text("stray"))
      await pushImage(store, "nameless", "{}", "other layer")
      const image = await pushImage(store, "named", "{}", "layer")
      const index = await pushBytes(
        store,
        text(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [image] })),
        OCI_INDEX,
      )
      await store.tag(index, "v1")
      return image
    })
    const dry = await collectGarbage(root, { dryRun: true })
    expect(dry.removed).toHaveLength(3)
    expect(await blobs(root)).toBe(7)
    const { removed, bytes } = await collectGarbage(root)
    expect(removed.toSorted()).toEqual(dry.removed.toSorted())
    expect(bytes).toBe(dry.bytes)
    expect(await blobs(root)).toBe(4)
    expect(await readdir(join(root, "ovm/verified"))).toHaveLength(4)
    expect(await during(root, (store) => store.exists(image))).toBe(true)
    await during(root, (store) => store.untag("v1"))
    await collectGarbage(root)
    expect(await blobs(root)).toBe(0)
  }))

test("a referrer lives as long as its subject, and so do referrers of the referrer", () =>
  inStore(async (root) => {
    await during(root, async (store) => {
      const base = await pushImage(store, "base", "{}", "disk")
      const refer = async (subject: Descriptor, layer: string) => {
        const child = await pushBytes(store, text(layer))
        return pushBytes(store, manifestOver([child], layer, { subject }), OCI_MANIFEST)
      }
      const snapshot = await refer(base, "ram")
      await refer(snapshot, "signature")
      await store.tag(base, "base")
    })
    expect((await collectGarbage(root)).removed).toEqual([])
    await during(root, (store) => store.untag("base"))
    expect((await collectGarbage(root)).removed).toHaveLength(7)
  }))

test("an open store and a named lease hold what they touched", () =>
  inStore(async (root) => {
    const store = await openLayout(root)
    const image = await pushImage(store, "running", "{}", "disk")
    expect((await collectGarbage(root)).removed).toEqual([])
    await store.lease("instance-1").add(image)
    await store.close()
    expect((await collectGarbage(root)).removed).toEqual([])
    await during(root, async (other) => {
      expect(await other.leases()).toEqual([{ id: "instance-1", digests: [image.digest] }])
      await other.lease("instance-1").release()
      expect(await other.leases()).toEqual([])
    })
    expect((await collectGarbage(root)).removed).toHaveLength(3)
  }))

test("a lease's last line counts only if it is whole, and no other line may be strange", () =>
  inStore(async (root) => {
    const image = await during(root, (store) => pushImage(store, "x", "{}"))
    const lease = join(root, "ovm/leases/instance-1")
    await writeFile(lease, `${image.digest} ${image.mediaType}\nsha256:12`)
    expect((await collectGarbage(root)).removed).toEqual([])
    await writeFile(lease, "what is this\n")
    expect((await failure(collectGarbage(root), "OVM_STORE_CORRUPT")).message).toContain(lease)
    expect(await blobs(root)).toBe(2)
  }))

test("a damaged manifest stops the collection: what it refers to is unknown", () =>
  inStore(async (root) => {
    const image = await during(root, async (store) => {
      const image = await pushImage(store, "x", "{}", "layer")
      await store.tag(image, "v1")
      return image
    })
    const path = join(root, "blobs/sha256", hexOf(image.digest))
    await rm(path)
    await writeFile(path, "{}")
    expect((await failure(collectGarbage(root), "OVM_STORE_CORRUPT")).message).toContain(path)
    expect(await blobs(root)).toBe(3)
  }))

test("collecting while images are copied in takes nothing away from them", () =>
  inStore(async (root) => {
    const source = new MemoryStore()
    const names = Array.from({ length: 12 }, (_, at) => `image-${at}`)
    for (const name of names)
      await source.tag(await pushImage(source, name, "{}", "shared", `layer of ${name}`), name)
    let copying = true
    const collecting = (async () => {
      while (copying) {
        await collectGarbage(root)
        await Bun.sleep(1)
      }
    })()
    await Promise.all(
      names.map((name) => during(root, (store) => copy(source, name, store, name, { concurrency: 2 }))),
    )
    copying = false
    await collecting
    await collectGarbage(root)
    const empty = new MemoryStore()
    await during(root, async (store) => {
      for (const name of names) await copy(store, name, empty, name)
    })
    expect(await blobs(root)).toBe(2 + 2 * names.length)
  }))
