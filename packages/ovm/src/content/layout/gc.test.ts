import { expect, test } from "bun:test"
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { copy } from "../copy.ts"
import type { Descriptor } from "../descriptor.ts"
import { hexOf } from "../digest.ts"
import { OCI_INDEX, OCI_MANIFEST } from "../manifest.ts"
import { MemoryStore } from "../memory.ts"
import { failure, manifestOver, pushBytes, pushImage, text } from "../store.testing.ts"
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

// OVMS-SNP-150, OVMS-SNP-152
test("one that stands for itself holds its subject, and goes though that stays", () =>
  inStore(async (root) => {
    const type = "application/vnd.ovms.snapshot.v1+json"
    const standing = (types: readonly string[]) => types.includes(type)
    const { base, named, along, signature } = await during(root, async (store) => {
      const base = await pushImage(store, "base", "{}", "disk")
      const refer = async (subject: Descriptor, layer: string, more: object = {}) => {
        const child = await pushBytes(store, text(layer))
        return pushBytes(store, manifestOver([child], layer, { subject, ...more }), OCI_MANIFEST)
      }
      const named = await refer(base, "named", { artifactType: type })
      const along = await refer(base, "along", { artifactType: type })
      const signature = await refer(named, "signature")
      await refer(base, "nobody's", { artifactType: type })
      await store.tag(base, "base")
      await store.tag(named, "named")
      await store.enter(along)
      return { base, named, along, signature }
    })
    // What nobody named or listed goes, with its layer.
    expect((await collectGarbage(root, { standing })).removed).toHaveLength(2)
    const there = () =>
      during(root, (store) => Promise.all([base, named, along, signature].map((one) => store.exists(one))))
    expect(await there()).toEqual([true, true, true, true])
    // The base loses its name: the named one still needs it, and what came along stays with it.
    await during(root, (store) => store.untag("base"))
    expect((await collectGarbage(root, { standing })).removed).toEqual([])
    await during(root, (store) => store.tag(base, "base"))
    // The named one loses its name: it goes, with what was said of it.
    await during(root, (store) => store.untag("named"))
    await collectGarbage(root, { standing })
    expect(await there()).toEqual([true, false, true, false])
    // With the base what came along goes, and its entry too.
    await during(root, (store) => store.untag("base"))
    await collectGarbage(root, { standing })
    expect(await blobs(root)).toBe(0)
    expect(await during(root, (store) => store.roots())).toEqual([])
  }))

test("what goes in a dry run is there after it, and a lease lets go of one thing at a time", () =>
  inStore(async (root) => {
    const [one, two] = await during(root, async (store) => {
      const both = [
        await pushImage(store, "one", "{}"),
        await pushImage(store, "two", "{}", "layer"),
      ] as const
      await store.lease("instance-1").add(...both)
      return both
    })
    expect((await collectGarbage(root)).removed).toEqual([])
    await during(root, async (store) => {
      await store.lease("instance-1").drop(two)
      expect(await store.leases()).toEqual([{ id: "instance-1", digests: [one.digest] }])
      await store.lease("instance-2").drop(two)
      expect(await store.leases()).toHaveLength(1)
    })
    await writeFile(join(root, "ovm/ingest/left"), "x".repeat(5000))
    const dry = await collectGarbage(root, { dryRun: true })
    expect(dry.removed).toHaveLength(2)
    expect(dry.unfinished).toBeGreaterThanOrEqual(5000)
    expect(await readdir(join(root, "ovm/ingest"))).toEqual(["left"])
    expect(await collectGarbage(root)).toEqual(dry)
    expect(await readdir(join(root, "ovm/ingest"))).toEqual([])
    expect(await collectGarbage(root)).toEqual({ removed: [], bytes: 0, unfinished: 0, forgotten: 0 })
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
      names.map((name) => during(root, (store) => copy(source, name, store, { name, concurrency: 2 }))),
    )
    copying = false
    await collecting
    await collectGarbage(root)
    const empty = new MemoryStore()
    await during(root, async (store) => {
      for (const name of names) await copy(store, name, empty, { name })
    })
    expect(await blobs(root)).toBe(2 + 2 * names.length)
  }))
