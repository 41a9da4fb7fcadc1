import { expect, test } from "bun:test"
import type { Descriptor } from "../../content/descriptor.ts"
import { digestOf } from "../../content/digest.ts"
import { MemoryStore } from "../../content/memory.ts"
import { bytesOf } from "../../content/read.ts"
import { readArtifact } from "./read.ts"
import { parseManifest } from "./validate.ts"

const TYPE = "application/vnd.ovms.manifest.v1+json"
const OCI = "application/vnd.oci.image.manifest.v1+json"
const KERNEL = "application/vnd.ovms.kernel.v1"
const EMPTY = "application/vnd.oci.empty.v1+json"

async function add(store: MemoryStore, mediaType: string, content: unknown): Promise<Descriptor> {
  const bytes = typeof content === "string" ? Buffer.from(content) : Buffer.from(JSON.stringify(content))
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
  await store.push(descriptor, bytesOf(bytes))
  return descriptor
}

async function machine(manifest: object = {}, form: "config" | "layer" = "layer") {
  const store = new MemoryStore()
  const kernel = await add(store, KERNEL, "kernel")
  const ovms = await add(store, TYPE, {
    schemaVersion: 1,
    mediaType: TYPE,
    name: "x",
    kernel: { ref: kernel.digest },
    ...manifest,
  })
  const empty = await add(store, EMPTY, {})
  const config = form === "config" ? ovms : empty
  const layers = form === "config" ? [kernel] : [ovms, kernel]
  const oci = { schemaVersion: 2, mediaType: OCI, artifactType: TYPE, config, layers }
  return { store, oci, kernel, ovms, descriptor: await add(store, OCI, oci) }
}

test.each(["config", "layer"] as const)(
  "an artifact whose OVMS manifest is a %s is read (OVMS-OCI-020)",
  async (form) => {
    const { store, descriptor, kernel, ovms } = await machine({}, form)
    const artifact = await readArtifact(store, descriptor)
    expect(artifact).toMatchObject({
      descriptor,
      manifest: { name: "x" },
      manifestDescriptor: ovms,
      kernel,
      layers: [],
      warnings: [],
    })
  },
)

test("an index is refused, and the message says so (OVMS-OCI-002)", async () => {
  const { store, descriptor } = await machine()
  const index = await add(store, "application/vnd.oci.image.index.v1+json", {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [descriptor],
  })
  const error = readArtifact(store, index)
  await expect(error).rejects.toMatchObject({
    code: "OVM_ARTIFACT_INVALID",
    exitStatus: 4,
    message: expect.stringContaining(`${index.digest} is an index`),
  })
})

test("all faults of the OVMS manifest are in the error's detail (OVMS-ERR-006, OVMS-MAN-004, OVMS-MAN-005)", async () => {
  const { store, descriptor, ovms } = await machine({ name: "A", resources: { vcpus: 0 } })
  const error = readArtifact(store, descriptor)
  await expect(error).rejects.toMatchObject({
    code: "OVM_MANIFEST_INVALID",
    exitStatus: 4,
    httpStatus: 422,
    message: expect.stringContaining(`${ovms.digest}: /name: `),
    detail: [
      { document: "manifest", pointer: "/name", requirement: "OVMS-MAN-012", code: "OVM_MANIFEST_INVALID" },
      {
        document: "manifest",
        pointer: "/resources/vcpus",
        requirement: "OVMS-MAN-061",
        code: "OVM_MANIFEST_INVALID",
      },
    ],
  })
})

test("a reserved name is unsupported, and named (OVMS-MAN-003, OVMS-ERR-007)", async () => {
  const { store, descriptor } = await machine({ config: {} })
  await expect(readArtifact(store, descriptor)).rejects.toMatchObject({
    code: "OVM_UNSUPPORTED",
    exitStatus: 7,
    message: expect.stringContaining("config"),
    detail: [{ pointer: "/config", requirement: "OVMS-MAN-003" }],
  })
})

test("a ref without a blob is a fault of the artifact (OVMS-OCI-008)", async () => {
  const digest = digestOf("nothing")
  const { store, descriptor } = await machine({ kernel: { ref: digest } })
  await expect(readArtifact(store, descriptor)).rejects.toMatchObject({
    code: "OVM_ARTIFACT_INVALID",
    message: expect.stringContaining(digest),
    detail: [{ document: "manifest", pointer: "/kernel/ref", requirement: "OVMS-OCI-030" }],
  })
})

test("too large a manifest is refused before it is fetched (OVMS-LIM-001)", async () => {
  const { store, descriptor, oci, ovms } = await machine()
  const claimed = { ...ovms, size: (4 << 20) + 1 }
  await expect(readArtifact(store, { ...descriptor, size: claimed.size })).rejects.toMatchObject({
    code: "OVM_TOO_LARGE",
  })
  const greedy = await add(store, OCI, { ...oci, layers: [claimed, oci.layers[1]] })
  await expect(readArtifact(store, greedy)).rejects.toMatchObject({
    code: "OVM_TOO_LARGE",
    message: expect.stringContaining(ovms.digest),
  })
})

test("content that is missing or another than its descriptor says is refused (OVMS-SEC-001)", async () => {
  const { store, oci, ovms, kernel } = await machine()
  const absent = await add(store, OCI, { ...oci, layers: [{ ...ovms, digest: digestOf("absent") }, kernel] })
  await expect(readArtifact(store, absent)).rejects.toMatchObject({ code: "OVM_CONTENT_MISSING" })
  const longer = await add(store, OCI, { ...oci, layers: [{ ...ovms, size: ovms.size + 1 }, kernel] })
  await expect(readArtifact(store, longer)).rejects.toMatchObject({ code: "OVM_SIZE_MISMATCH" })
})

test("data in a descriptor stands for nothing: what is fetched is verified (OVMS-OCI-061)", async () => {
  const { store, oci, ovms, kernel } = await machine()
  const lie = { schemaVersion: 1, mediaType: TYPE, name: "lie", kernel: { ref: kernel.digest } }
  const data = Buffer.from(JSON.stringify(lie)).toString("base64")
  const lying = await add(store, OCI, { ...oci, layers: [{ ...ovms, data }, kernel] })
  expect((await readArtifact(store, lying)).manifest.name).toBe("x")
  const absent = { ...ovms, digest: digestOf("absent"), data }
  const alone = await add(store, OCI, { ...oci, layers: [absent, kernel] })
  await expect(readArtifact(store, alone)).rejects.toMatchObject({ code: "OVM_CONTENT_MISSING" })
})

test("media types are compared character by character, aliases aside (OVMS-OCI-071)", async () => {
  const { store, oci, ovms, kernel } = await machine()
  const read = async (mediaType: string) =>
    readArtifact(store, await add(store, OCI, { ...oci, layers: [ovms, { ...kernel, mediaType }] }))
  expect((await read("application/vnd.acme.ovms.kernel.v1")).kernel?.digest).toBe(kernel.digest)
  for (const other of ["kernel.V1", "kernel.v10", "kernel.v", "kernel.v1+json", "kernel.v1;a=b"])
    await expect(read(`application/vnd.ovms.${other}`)).rejects.toMatchObject({
      code: "OVM_ARTIFACT_INVALID",
    })
})

test("RAM without device state is no fault, but a warning (OVMS-MAN-042)", async () => {
  const { store, oci, kernel } = await machine()
  const ram = await add(store, "application/vnd.ovms.ramsnap.v1+lz4", "ram")
  const manifest = { schemaVersion: 1, mediaType: TYPE, name: "x", kernel: { ref: kernel.digest } }
  const ovms = await add(store, TYPE, { ...manifest, ramSnapshot: { ref: ram.digest, compression: "lz4" } })
  const other = await add(store, "application/spdx+json", "an SBOM")
  const descriptor = await add(store, OCI, { ...oci, layers: [ovms, kernel, ram, other] })
  const { warnings, ramSnapshot } = await readArtifact(store, descriptor)
  expect(ramSnapshot).toEqual(ram)
  expect(warnings).toEqual([expect.stringContaining(other.digest), expect.stringContaining("ramSnapshot")])
})

test("a document with very many faults is judged in bounded space", () => {
  const members = Array.from({ length: 50_000 }, (_, i) => `"k${i}":1`).join(",")
  const error = () => parseManifest(Buffer.from(`{${members}}`))
  expect(error).toThrow(
    expect.objectContaining({ code: "OVM_MANIFEST_INVALID", message: expect.stringContaining("more)") }),
  )
  try {
    error()
  } catch (thrown) {
    expect((thrown as { detail: unknown[] }).detail.length).toBeLessThan(300)
  }
})
