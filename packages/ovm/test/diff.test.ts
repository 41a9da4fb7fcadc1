import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { readdir, rm } from "node:fs/promises"
import { basename, join } from "node:path"
import { startRegistry } from "../src/registry-server/run.ts"
import { Sandbox } from "./sandbox.ts"

// What lies between two versions of an image.

setDefaultTimeout(240_000)

const BASE = 1 << 20
const ADDED = 4096

let box: Sandbox
let registry: Awaited<ReturnType<typeof startRegistry>>

beforeAll(async () => {
  box = await Sandbox.create()
  const source = { root: box.path("registry"), readOnly: false }
  registry = await startRegistry({ hostname: "127.0.0.1", port: 0, source, log: () => {} })
  await box.file("base.raw", Buffer.alloc(BASE, 1))
  await box.file("data.raw", Buffer.alloc(ADDED, 2))
  const base = { name: "m", schemaVersion: 1, diskLayers: [{ path: "base.raw", format: "raw" }] }
  const data = { name: "data", layers: [{ path: "data.raw", format: "raw" }] }
  const sources = {
    one: { ...base, resources: { vcpus: 1 }, annotations: { about: "one" } },
    two: { ...base, resources: { vcpus: 2 }, disks: [data] },
  }
  for (const [tag, source] of Object.entries(sources)) {
    await box.ok(["pack", "-f", await box.file(`${tag}.json`, source), "-t", `m:${tag}`])
    await box.ok(["copy", `m:${tag}`, `${registry.address}/m:${tag}`])
  }
})
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]()
  await box?.[Symbol.asyncDispose]()
})

test("the parts of two versions, what they share, and the bytes that have to be moved", async () => {
  const found = await box.json(["diff", "m:one", "m:two"])
  expect(found.parts.map(({ part, change }: Record<string, string>) => `${part} ${change}`)).toEqual([
    "disk 0 same",
    "disk data 0 added",
  ])
  expect(found.manifest).toEqual([
    { pointer: "/disks", to: [{ name: "data" }] },
    { pointer: "/resources/vcpus", from: 1, to: 2 },
  ])
  expect(found.shared).toEqual({ blobs: 1, bytes: BASE })
  // The added disk, and two manifests of less than 1 KiB.
  expect(found.to_move.blobs).toBe(3)
  expect(found.to_move.bytes).toBeGreaterThan(ADDED)
  expect(found.to_move.bytes).toBeLessThan(ADDED + 2048)
  const back = await box.json(["diff", "m:two", "m:one"])
  expect(back.parts.at(-1)).toMatchObject({ part: "disk data 0", change: "removed" })
  expect(back.to_move.blobs).toBe(2)
  expect((await box.json(["diff", "m:two", "m:two"])).to_move).toEqual({ blobs: 0, bytes: 0 })
  const text = await box.ok(["diff", "m:one", "m:two"])
  expect(text).toContain("changed  manifest /resources/vcpus  1 → 2")
  expect(text).toContain("shared   1 blob, 1 MiB")
})

test("in a registry nothing but manifests is fetched for it", async () => {
  await using other = await Sandbox.create()
  const remote = (tag: string) => `${registry.address}/m:${tag}`
  const here = await box.json(["diff", "m:one", "m:two"])
  // So it cannot be fetched.
  const root = box.path("registry")
  const files = await readdir(root, { recursive: true })
  const disks = here.parts.map(({ to }: { to: { digest: string } }) => to.digest.slice("sha256:".length))
  const gone = files.filter((file) => disks.includes(basename(file)))
  expect(gone.length).toBeGreaterThan(1)
  for (const file of gone) await rm(join(root, file), { recursive: true })
  const found = await other.json(["diff", remote("one"), remote("two")])
  expect(found).toEqual({ ...here, from: found.from, to: found.to })
  await other.fails(["diff", remote("one"), remote("three")], "OVM_NAME_UNKNOWN", ["three"])
})
