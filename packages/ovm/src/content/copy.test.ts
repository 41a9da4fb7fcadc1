import { expect, test } from "bun:test"
import { OvmError } from "../errors.ts"
import { type CopyEvent, copy, copyGraph } from "./copy.ts"
import type { Descriptor } from "./descriptor.ts"
import { digestOf } from "./digest.ts"
import type { Bytes, Call } from "./interfaces.ts"
import { OCI_INDEX, OCI_MANIFEST } from "./manifest.ts"
import { MemoryStore } from "./memory.ts"
import { bytesOf } from "./read.ts"
import { collect, describeBytes, failure, pushBytes, pushImage, pushReferrer, text } from "./store.testing.ts"

/** Writes down in which order content arrives. */
class Recording extends MemoryStore {
  readonly order: string[] = []
  override async push(expected: Descriptor, content: Bytes, call?: Call): Promise<void> {
    await super.push(expected, content, call)
    this.order.push(expected.digest)
  }
}

// OVMS-DST-001, OVMS-DST-002
test("copies the whole graph, children first, shared content once, and names the root", async () => {
  const source = new MemoryStore()
  const one = await pushImage(source, "one", "{}", "shared", "first")
  const two = await pushImage(source, "two", "{}", "shared", "second")
  const index = await pushBytes(
    source,
    text(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [one, two] })),
    OCI_INDEX,
  )
  await source.tag(index, "v1")
  const destination = new Recording()
  expect((await copy(source, "v1", destination, { name: "v2" })).digest).toBe(index.digest)
  expect((await destination.resolve("v2")).digest).toBe(index.digest)
  expect(destination.order).toHaveLength(new Set(destination.order).size)
  expect(destination.order).toHaveLength(7)
  const at = (digest: string) => destination.order.indexOf(digest)
  expect(at(digestOf("first"))).toBeLessThan(at(one.digest))
  expect(Math.max(at(one.digest), at(two.digest))).toBeLessThan(at(index.digest))
})

// OVMS-REF-008
test("a name that moves in the middle gives its first meaning, whole", async () => {
  const source = new MemoryStore()
  const first = await pushImage(source, "first", "{}", "old disk")
  const second = await pushImage(source, "second", "{}", "new disk")
  await source.tag(first, "v1")
  const destination = new MemoryStore()
  const moving = { onProgress: () => void source.tag(second, "v1") }
  expect(await copy(source, "v1", destination, { ...moving, name: "v1" })).toEqual(first)
  expect(await destination.exists(describeBytes(text("old disk")))).toBe(true)
  expect(await destination.exists(describeBytes(text("new disk")))).toBe(false)
})

test("tells what happens, and moves nothing that is there", async () => {
  const source = new MemoryStore()
  const image = await pushImage(source, "x", "{}", "layer")
  const destination = new MemoryStore()
  const phases = async () => {
    const events: CopyEvent[] = []
    await copyGraph(source, image, destination, { onProgress: (event) => events.push(event) })
    return events.map(({ phase, done, total }) => `${phase} ${done}/${total}`).toSorted()
  }
  const size = image.size
  expect(await phases()).toEqual(
    [
      "transfer 0/2",
      "transfer 2/2",
      "done 2/2",
      "transfer 0/5",
      "transfer 5/5",
      "done 5/5",
      `done ${size}/${size}`,
    ].toSorted(),
  )
  expect(await phases()).toEqual(["exists 2/2", "exists 5/5", `exists ${size}/${size}`].toSorted())
})

test("a manifest that is there does not hide a child that is not", async () => {
  const source = new MemoryStore()
  const image = await pushImage(source, "x", "{}", "layer")
  const destination = new MemoryStore()
  await destination.push(image, await source.fetch(image))
  await copyGraph(source, image, destination)
  expect(await collect(destination.fetch(describeBytes(text("layer"))))).toBe("layer")
})

test("no more than the asked number of transfers at a time, and one failure stops the rest", async () => {
  const source = new MemoryStore()
  const image = await pushImage(source, "x", "{}", ..."abcdefghij")
  let running = 0
  let most = 0
  let begun = 0
  class Slow extends MemoryStore {
    override async push(expected: Descriptor, content: Bytes, call?: Call): Promise<void> {
      most = Math.max(most, ++running)
      begun++
      await Bun.sleep(1)
      running--
      if (expected.digest === digestOf("c")) throw new OvmError("OVM_NO_SPACE", "full")
      await super.push(expected, content, call)
    }
  }
  await failure(copyGraph(source, image, new Slow(), { concurrency: 2 }), "OVM_NO_SPACE")
  expect(most).toBe(2)
  expect(running).toBe(0)
  expect(begun).toBeLessThan(8)
})

test("a cancelled copy says so and leaves no manifest", async () => {
  const source = new MemoryStore()
  const image = await pushImage(source, "x", "{}", "layer")
  const stop = new AbortController()
  const destination = new MemoryStore()
  const onProgress = () => stop.abort()
  await failure(copyGraph(source, image, destination, { signal: stop.signal, onProgress }), "OVM_INTERRUPTED")
  expect(await destination.exists(image)).toBe(false)
})

test("mounts what another repository of the destination has", async () => {
  const source = new MemoryStore()
  const image = await pushImage(source, "x", "{}", "layer")
  class Mounting extends MemoryStore {
    async mount(target: Descriptor, from: string): Promise<boolean> {
      if (from !== "other/repo" || target.size !== 5) return false
      await this.push(target, bytesOf(text("layer")))
      return true
    }
  }
  const phases: string[] = []
  await copyGraph(source, image, new Mounting(), {
    mountFrom: "other/repo",
    onProgress: ({ phase, total }) => phases.push(`${phase} ${total}`),
  })
  expect(phases).toContain("mounted 5")
  expect(phases).toContain("done 2")
})

const deep = "[".repeat(100_000)
test.each([
  ["JSON", "{"],
  ["JSON", deep],
  ["JSON object", "[]"],
  ["schemaVersion", "{}"],
  ["config", '{"schemaVersion":2,"config":7}'],
  ["layers[0]", '{"schemaVersion":2,"layers":[{}]}'],
  ["layers is not an array", '{"schemaVersion":2,"layers":{}}'],
  [
    "layers[0] has no size",
    `{"schemaVersion":2,"layers":[{"mediaType":"a/b","digest":"${digestOf("")}","size":-1}]}`,
  ],
  [
    "layers[0] has no sha256 digest",
    '{"schemaVersion":2,"layers":[{"mediaType":"a/b","digest":"sha512:aa","size":1}]}',
  ],
])("a manifest without sense is refused: %s", async (reason, content) => {
  const source = new MemoryStore()
  const target = await pushBytes(source, text(content), OCI_MANIFEST)
  const destination = new MemoryStore()
  const error = await failure(copyGraph(source, target, destination), "OVM_ARTIFACT_INVALID")
  expect(error.message).toContain(reason)
  expect(await destination.exists(target)).toBe(false)
})

test("a manifest above 4 MiB is not even fetched", async () => {
  const target = { mediaType: OCI_MANIFEST, digest: digestOf(""), size: 4 * 1024 * 1024 + 1 }
  const error = await failure(copyGraph(new MemoryStore(), target, new MemoryStore()), "OVM_TOO_LARGE")
  expect(error.message).toContain(target.digest)
})

test("an index nested without end is refused", async () => {
  const source = new MemoryStore()
  let top = await pushImage(source, "bottom", "{}")
  for (let level = 0; level < 10; level++)
    top = await pushBytes(source, text(JSON.stringify({ schemaVersion: 2, manifests: [top] })), OCI_INDEX)
  await failure(copyGraph(source, top, new MemoryStore()), "OVM_ARTIFACT_INVALID")
})

test("referrers are copied when asked for, and what refers to them", async () => {
  const source = new MemoryStore()
  const image = await pushImage(source, "signed", "{}", "layer")
  const index = await pushBytes(
    source,
    text(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [image] })),
    OCI_INDEX,
  )
  const sbom = await pushReferrer(source, image, "application/x.sbom")
  const signature = await pushReferrer(source, sbom, "application/x.signature")
  const ofIndex = await pushReferrer(source, index, "application/x.signature", "of the index")
  const plain = new MemoryStore()
  await copyGraph(source, index, plain)
  expect(await Promise.all([sbom, signature, ofIndex].map((each) => plain.exists(each)))).toEqual([
    false,
    false,
    false,
  ])
  const whole = new MemoryStore()
  await copyGraph(source, index, whole, { includeReferrers: true })
  expect((await Array.fromAsync(whole.referrers(sbom))).map(({ digest }) => digest)).toEqual([
    signature.digest,
  ])
  expect(await whole.exists(ofIndex)).toBe(true)
  const mute = { fetch: source.fetch.bind(source) }
  await failure(copyGraph(mute, index, whole, { includeReferrers: true }), "OVM_UNSUPPORTED")
})
