import { afterAll, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { ftruncateSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { open } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { append } from "../files/append.ts"
import { batches } from "../files/batch.ts"
import { readChunks } from "../files/chunks.ts"
import { cut, room } from "../files/sparse.testing.ts"
import { loadArchive } from "./archive/load.ts"
import { openArchive } from "./archive/reader.ts"
import { writeArchive } from "./archive/write.ts"
import { copyGraph } from "./copy.ts"
import { sha256 } from "./digest.ts"
import { type LayoutStore, openLayout } from "./layout/store.ts"
import { OCI_MANIFEST } from "./manifest.ts"
import { pushBytes } from "./store.testing.ts"

const MiB = 2 ** 20
const folder = mkdtempSync(join(tmpdir(), "ovm-sparse-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** 64 MiB with one in the middle that is not zero; `holes` says whether the file has them already. */
async function disk(name: string, holes: boolean): Promise<string> {
  const path = join(folder, name)
  await using file = await open(path, "w")
  ftruncateSync(file.fd, 64 * MiB)
  if (!holes) for (let at = 0; at < 64; at++) await file.write(new Uint8Array(MiB), 0, MiB, at * MiB)
  await file.write(randomBytes(MiB), 0, MiB, 30 * MiB + 4096)
  return path
}

async function imageOf(store: LayoutStore, path: string) {
  const layer = await store.ingestFile(path, "application/x-disk")
  const config = await pushBytes(store, Buffer.from("{}"), "application/x-config")
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] }
  return { layer, root: await pushBytes(store, Buffer.from(JSON.stringify(manifest)), OCI_MANIFEST) }
}

for (const holes of [true, false])
  test(`a disk of ${holes ? "holes" : "written zeros"} is one of holes in every store and archive`, async () => {
    const own = join(folder, `${holes}`)
    const source = await disk(`${holes}.raw`, holes)
    const stores: LayoutStore[] = []
    const make = async () => {
      const store = await openLayout(join(own, `${stores.length}`), { create: true, durable: false })
      stores.push(store)
      return store
    }
    const packed = await make()
    const { layer, root } = await imageOf(packed, source)
    await copyGraph(packed, root, await make())
    const archive = join(own, "x.tar")
    await using file = await open(archive, "w")
    let at = 0
    for await (const batch of batches(writeArchive(packed, [{ target: root, name: "x" }]))) {
      await append(file.fd, batch.chunks, at)
      at += batch.size
    }
    expect(room(archive)).toBeLessThan(3 * MiB)
    await loadArchive(await make(), readChunks(archive), archive)
    // As a pipe gives it: in pieces that fit nothing.
    await loadArchive(await make(), cut(readFileSync(archive), 60_001), archive)
    await copyGraph(await openArchive(archive), root, await make())
    const into = await (await make()).begin(layer)
    for await (const { chunks } of batches(cut(readFileSync(source), 16_384))) {
      const [gap] = into.missing()
      await into.writeAt(chunks, gap?.start ?? 0)
    }
    await into.commit()
    await into.abort()
    for (const store of stores) {
      const path = await store.path(layer)
      expect(path && room(path)).toBeLessThan(3 * MiB)
      const hash = sha256()
      for await (const chunk of await store.fetch(layer)) hash.update(chunk)
      expect(hash.digest()).toBe(layer.digest)
      await store.close()
    }
  })

test("a file that is here already is not copied again", async () => {
  await using store = await openLayout(join(folder, "again"), { create: true, durable: false })
  const source = await disk("again.raw", true)
  const first = await store.ingestFile(source, "a/b")
  const path = await store.path(first)
  const { ino } = statSync(path ?? "")
  expect(await store.ingestFile(source, "c/d")).toEqual({ ...first, mediaType: "c/d" })
  expect(statSync(path ?? "").ino).toBe(ino)
})
