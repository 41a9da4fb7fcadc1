import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Spec, Validation } from "@cyclonedx/cyclonedx-library"
import { findPeer } from "@ovms/testkit/registry.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import { digestOf } from "../../content/digest.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { sbomDocument } from "./document.ts"
import type { Inventory } from "./inventory.ts"

setDefaultTimeout(240_000)

const blob = (mediaType: string, name: string): Descriptor => ({ mediaType, digest: digestOf(name), size: 7 })
const disk = (name: string) => blob("application/vnd.oci.image.layer.v1.tar", name)

const MACHINE: Inventory = {
  kind: "machine",
  name: "machines/debian",
  version: "12",
  subject: blob(OCI_MANIFEST, "machine"),
  parts: [
    {
      role: "kernel",
      title: "kernel",
      descriptor: blob("application/vnd.ovms.kernel.v1", "kernel"),
      of: "machine",
      version: "6.1.0-1-amd64 (me) #1 SMP",
    },
    { role: "disk", title: "disk layer 0", descriptor: disk("base"), of: "machine", format: "qcow2" },
    { role: "disk", title: "disk layer 1", descriptor: disk("diff"), of: "machine", format: "qcow2" },
  ],
  installed: [
    {
      volume: "partition 1",
      filesystem: "ext4",
      system: { id: "debian", name: "Debian GNU/Linux 12", version: "12" },
      packages: [
        { manager: "deb", name: "base-files", version: "12.4+deb12u12", architecture: "amd64" },
        {
          manager: "deb",
          name: "libstdc++6",
          version: "1:12.2.0-14~x",
          architecture: "amd64",
          source: "gcc-12",
        },
      ],
    },
  ],
  gaps: [],
}

const SNAPSHOT: Inventory = {
  ...MACHINE,
  kind: "snapshot",
  base: MACHINE.subject,
  subject: blob(OCI_MANIFEST, "snapshot"),
  parts: [
    ...MACHINE.parts,
    { role: "overlay", title: "disk overlay 0", descriptor: disk("top"), of: "snapshot", format: "qcow2" },
    // The same bytes may be there in two parts.
    {
      role: "ram",
      title: "RAM",
      descriptor: blob("application/vnd.ovms.ramsnap.v1+zstd", "x"),
      of: "snapshot",
    },
    {
      role: "vmstate",
      title: "device state",
      descriptor: blob("application/vnd.ovms.vmstate.v1", "x"),
      of: "snapshot",
    },
  ],
  gaps: ["partition 2: crypto_LUKS is on it"],
}

const options = { created: new Date("2026-01-02T03:04:05Z"), version: "1.2.3" }
const PURL = "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14~x?arch=amd64&distro=debian-12&upstream=gcc-12"
const INVENTORIES = [
  ["a machine", MACHINE],
  ["a snapshot", SNAPSHOT],
] as const

let folder = ""
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ovm-sbom-"))
})
afterAll(() => rm(folder, { recursive: true }))

// biome-ignore lint/suspicious/noExplicitAny: the test says what it expects
const made = async (format: "cyclonedx" | "spdx", inventory: Inventory): Promise<any> =>
  JSON.parse(JSON.stringify(await sbomDocument(format, inventory, options)))

test.each(INVENTORIES)("CycloneDX of %s is valid by the official schema", async (_, inventory) => {
  const text = JSON.stringify(await made("cyclonedx", inventory))
  const judge = new Validation.JsonStrictValidator(Spec.Version.v1dot6)
  expect(await judge.validate(text)).toBeNull()
  // The judge would say so.
  expect(await judge.validate(text.replace('"SHA-256"', '"SHA-257"'))).not.toBeNull()
})

const tools = findPeer("spdx-tools")
test.skipIf(!tools).each(INVENTORIES)("SPDX of %s is valid to SPDX's own tools", async (_, inventory) => {
  const file = join(folder, "x.spdx.json")
  const judged = async (text: string) => {
    await writeFile(file, text)
    return spawnSync(tools ?? "", [file], { encoding: "utf8" })
  }
  const document = await made("spdx", inventory)
  const { status, stdout, stderr } = await judged(JSON.stringify(document))
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
  expect(Number(stdout)).toBe(document.packages.length)
  expect((await judged(JSON.stringify(document).replace("CONTAINS", "CONTAINZ"))).status).not.toBe(0)
})

test("both have every blob by digest, the kernel's version, and the packages by purl", async () => {
  for (const format of ["cyclonedx", "spdx"] as const) {
    const text = JSON.stringify(await made(format, SNAPSHOT))
    for (const { descriptor } of SNAPSHOT.parts) expect(text).toContain(descriptor.digest.slice(7))
    for (const part of [PURL, SNAPSHOT.subject.digest.slice(7), MACHINE.subject.digest.slice(7)])
      expect(text).toContain(part)
    expect(text).toContain("6.1.0-1-amd64")
    expect(text).toContain("crypto_LUKS")
  }
})

test("CycloneDX: the graph of layers, and what is not known to be all", async () => {
  const { dependencies, compositions, components } = await made("cyclonedx", SNAPSHOT)
  const ref = (name: string) =>
    components.find((one: { name: string }) => one.name === name)["bom-ref"] as string
  const on = (from: string) => dependencies.find((one: { ref: string }) => one.ref === from).dependsOn
  expect(on(ref("disk layer 1"))).toEqual([ref("disk layer 0")])
  expect(on(ref("disk overlay 0"))).toEqual([ref("disk layer 1"), ref("debian")].sort())
  expect(on(SNAPSHOT.subject.digest).sort()).toEqual(
    [MACHINE.subject.digest, ref("disk overlay 0"), ref("RAM"), ref("device state")].sort(),
  )
  expect(on(MACHINE.subject.digest)).toContain(ref("linux"))
  const disks = ["disk layer 0", "disk layer 1", "disk overlay 0"].map(ref)
  expect(compositions).toContainEqual({ aggregate: "incomplete", assemblies: disks })
  const whole = await made("cyclonedx", MACHINE)
  expect(JSON.stringify(whole.compositions)).not.toContain("incomplete")
})

test("SPDX: the graph of layers, and what is not known to be all", async () => {
  const { relationships, comment } = await made("spdx", SNAPSHOT)
  const has = (from: string, type: string, to: string) =>
    expect(relationships).toContainEqual({
      spdxElementId: from,
      relationshipType: type,
      relatedSpdxElement: to,
    })
  has("SPDXRef-Machine", "DEPENDS_ON", "SPDXRef-Base")
  has("SPDXRef-Base", "CONTAINS", "SPDXRef-Part-0")
  has("SPDXRef-Machine", "CONTAINS", "SPDXRef-Part-3")
  has("SPDXRef-Part-2", "DEPENDS_ON", "SPDXRef-Part-1")
  has("SPDXRef-Part-3", "CONTAINS", "SPDXRef-System-0")
  expect(comment).toBe("Incomplete. partition 2: crypto_LUKS is on it.")
  expect((await made("spdx", MACHINE)).comment).toBeUndefined()
})

test("the same says the same, and what differs has another serial number", async () => {
  for (const format of ["cyclonedx", "spdx"] as const) {
    expect(await made(format, MACHINE)).toEqual(await made(format, { ...MACHINE }))
    const field = format === "cyclonedx" ? "serialNumber" : "documentNamespace"
    const [one, other] = [await made(format, MACHINE), await made(format, { ...MACHINE, gaps: ["x"] })]
    expect(one[field]).toMatch(
      /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    )
    expect(one[field]).not.toBe(other[field])
  }
})
