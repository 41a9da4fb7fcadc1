import { expect, setDefaultTimeout, test } from "bun:test"
import { createHash } from "node:crypto"
import { copyFileSync, mkdirSync, readFileSync } from "node:fs"
import { hostname, userInfo } from "node:os"
import { basename, join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { Ajv2020 } from "ajv/dist/2020.js"
import { Sandbox } from "./sandbox.ts"
import { SPEC } from "./vectors.ts"

setDefaultTimeout(240_000)

// What a machine was packed from, written down beside it (spec/provenance.md).

if (guestMissing) console.log(`SKIP packages/ovm/test/provenance.test.ts: ${guestMissing}`)

const schema = JSON.parse(readFileSync(join(SPEC, "schema/provenance.v1.json"), "utf8"))
const isProvenance = new Ajv2020({ strict: false }).compile(schema)
const env = { SOURCE_DATE_EPOCH: "1735689600" }
const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex")
const read = (path: string) => {
  const document = JSON.parse(readFileSync(path, "utf8"))
  expect(isProvenance(document) ? [] : isProvenance.errors).toEqual([])
  return document
}

/** A machine's files: the source in `project`, one layer below it, the kernel beside it, the initrd elsewhere. */
async function project(box: Sandbox, initrd = "../elsewhere/initrd"): Promise<void> {
  mkdirSync(box.path("project/disks"), { recursive: true })
  mkdirSync(box.path("elsewhere"))
  copyFileSync(await buildGuest(), box.path("kernel"))
  await box.file("elsewhere/initrd", "some bytes")
  await box.file("project/disks/base.raw", Buffer.alloc(4096, 1))
  await box.file("project/machine.json", {
    schemaVersion: 1,
    name: "tests/guest",
    kernel: { path: "../kernel", args: "tick_ms=20" },
    initrd: { path: initrd },
    diskLayers: [{ path: "./disks/../disks/base.raw" }],
  })
}

test.skipIf(Boolean(guestMissing))(
  // OVMS-PRV-001, OVMS-PRV-002, OVMS-PRV-003, OVMS-PRV-005, OVMS-PRV-006, OVMS-PRV-010, OVMS-PRV-011
  "every file by digest, and names that say nothing of this host",
  async () => {
    await using box = await Sandbox.create()
    await project(box, box.path("elsewhere/initrd"))
    const packed = ["pack", "-f", "project/machine.json", "-t", "guest:1", "--provenance"]
    expect(await box.json(packed)).toMatchObject({ provenance: "provenance.json" })
    const text = readFileSync(box.path("provenance.json"), "utf8")
    const { buildDefinition, runDetails } = read(box.path("provenance.json"))
    expect(buildDefinition).toMatchObject({
      buildType: "urn:ovms:build:pack:v1",
      externalParameters: {
        source: {
          name: "tests/guest",
          kernel: { path: "kernel", args: "tick_ms=20" },
          initrd: { path: "initrd" },
          diskLayers: [{ path: "disks/base.raw" }],
        },
      },
    })
    const files = ["project/machine.json", "kernel", "elsewhere/initrd", "project/disks/base.raw"]
    const names = ["machine.json", "kernel", "initrd", "disks/base.raw"]
    const parts = ["source", "kernel", "initrd", "disk 0"]
    expect(buildDefinition.resolvedDependencies).toMatchObject(
      files.map((file, index) => ({
        name: names[index],
        digest: { sha256: sha256(box.path(file)) },
        annotations: { "ovms.part": parts[index] },
      })),
    )
    expect(runDetails.builder.id).toBe("urn:ovms:builder:ovm")
    for (const secret of [
      box.directory,
      basename(box.directory),
      `"${hostname()}"`,
      `/${userInfo().username}/`,
    ])
      expect(text).not.toContain(secret)
  },
)

test.skipIf(Boolean(guestMissing))(
  "the same files give the same provenance (OVMS-PRV-004, OVMS-PRV-021)",
  async () => {
    const texts: string[] = []
    for (const _ of [1, 2]) {
      await using box = await Sandbox.create()
      await project(box)
      await box.ok(["pack", "-f", "project/machine.json", "-t", "guest:1", "--provenance", "p.json"], { env })
      const { buildDefinition, runDetails } = read(box.path("p.json"))
      expect(buildDefinition.externalParameters.sourceDateEpoch).toBe("1735689600")
      expect(runDetails.metadata).toMatchObject({
        startedOn: "2025-01-01T00:00:00Z",
        finishedOn: "2025-01-01T00:00:00Z",
      })
      texts.push(readFileSync(box.path("p.json"), "utf8"))
    }
    expect(texts[0]).toBe(texts[1] ?? "")
  },
)

test.skipIf(Boolean(guestMissing))(
  "a source that was made of flags (OVMS-PRV-003, OVMS-PRV-020)",
  async () => {
    await using box = await Sandbox.create()
    await project(box)
    const before = Date.now()
    const parts = ["--kernel", box.path("kernel"), "--layer", "project/disks/base.raw"]
    await box.ok(["pack", ...parts, "-t", "guest:1", "--provenance", box.path("p.json")])
    const { buildDefinition, runDetails } = read(box.path("p.json"))
    expect(buildDefinition.externalParameters).toEqual({
      source: {
        schemaVersion: 1,
        name: "guest",
        kernel: { path: "kernel" },
        diskLayers: [{ path: "project/disks/base.raw" }],
      },
    })
    expect(Date.parse(runDetails.metadata.startedOn)).toBeGreaterThanOrEqual(before)
    expect(runDetails.metadata.finishedOn >= runDetails.metadata.startedOn).toBe(true)
    const nowhere = ["pack", ...parts, "-t", "guest:1", "--provenance", box.path("nowhere/p.json")]
    await box.fails(nowhere, "OVM_FILE_UNREADABLE", ["nowhere"])
  },
)
