import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { open, readdir, readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { until } from "@ovms/testkit/until.ts"
import { hexOf } from "../src/content/digest.ts"
import { startRegistry as embedded } from "../src/registry-server/run.ts"
import { expectFailure, Sandbox } from "./sandbox.ts"

// What is given as a disk, seen from a terminal: told apart by its bytes, and as sparse as it was.

setDefaultTimeout(240_000)
const skip =
  guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/disks.test.ts: ${skip}`)

const MiB = 2 ** 20

describe.skipIf(Boolean(skip))("disks", () => {
  let box: Sandbox
  let kernel = ""
  beforeAll(async () => {
    box = await Sandbox.create()
    kernel = await buildGuest()
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  const pack = (layer: string, name: string, ...more: string[]) => {
    const machine = ["--kernel", kernel, "--args", "button=1 tick_ms=50 hlt=1", "--memory", "32MiB"]
    return box.ovm(["pack", ...machine, "--layer", layer, "-t", name, ...more])
  }

  // OVMS-API-190
  test("what a guest wrote is committed, pushed, and there on another host", async () => {
    const source = { root: box.path("registry"), readOnly: false }
    await using registry = await embedded({ hostname: "127.0.0.1", port: 0, source, log: () => {} })
    await using there = await Sandbox.create()
    const [base, next] = [`${registry.address}/web:1`, `${registry.address}/web:2`]
    const disk = await box.file("web.raw", Buffer.alloc(64 * MiB, randomBytes(4096)))
    expect(await pack(disk, base)).toMatchObject({ status: 0 })
    await box.ok(["push", base])
    const args = "button=1 tick_ms=50 hlt=1 write=3"
    await box.ok(["run", "-d", "--name", "web", "--args", args, base])
    await box.fails(["commit", "web", "--tag", next], "OVM_STATE_CONFLICT", ["running", "ovm stop web"])
    await box.ok(["stop", "web"])
    await box.fails(["commit", "web"], "OVM_USAGE", ["--tag"])
    await box.fails(["commit", "web", "--tag", "NOT"], "OVM_REFERENCE_INVALID", ["NOT"])
    const { digest, size } = await box.json(["commit", "web", "--tag", next])
    expect(size).toBeLessThan(0.013 * 64 * MiB)
    await box.ok(["rm", "web"])
    await box.ok(["push", next])
    expect(await there.json(["pull", next])).toMatchObject({ digest })
    const read = "button=1 tick_ms=50 hlt=1 read=3"
    const id = await there.ok(["run", "-d", "--args", read, next])
    await until("it is there", () => there.ok(["logs", id]), {
      is: (text) => text.includes("SECTOR 3 [written by the guest]"),
    })
    await there.ok(["rm", "-f", id])
  })

  test("a snapshot becomes an image of its disk, which boots, and shares its layers", async () => {
    const disk = await box.file("held.raw", Buffer.alloc(4 * MiB, 7))
    expect(await pack(disk, "local/held:1")).toMatchObject({ status: 0 })
    const args = ["--args", "button=1 tick_ms=50 hlt=1 write=3"]
    const id = await box.ok(["run", "-d", "--name", "held", "--disk-size", "6MiB", ...args, "local/held:1"])
    await box.console(id, "WROTE 3")
    await box.ok(["snapshot", "held", "--tag", "s"])
    await box.ok(["rm", "-f", "held"])
    await box.fails(["commit", "local/held:1", "--tag", "local/held:2"], "OVM_UNSUPPORTED", [
      "local/held:1",
      "ovm tag",
    ])
    await box.fails(["commit", "local/held:none", "--tag", "local/held:2"], "OVM_INSTANCE_UNKNOWN", [
      "no snapshot of that name",
      "--type snapshot",
    ])
    const blobs = (await box.blobs()).length
    const made = await box.json(["commit", "local/held:s", "--tag", "local/held:2"])
    expect(made).toMatchObject({ reference: "local/held:2", size: expect.any(Number) })
    // Two manifests are all that is new, and the same snapshot gives the same image.
    expect((await box.blobs()).length).toBe(blobs + 2)
    expect(await box.json(["commit", "local/held:s", "--tag", "local/held:3"])).toMatchObject({
      digest: made.digest,
    })
    await box.ok(["rmi", "local/held:s"])
    expect(await box.json(["validate", "local/held:2"])).toMatchObject({ valid: true, kind: "image" })
    const { layers } = await box.json(["inspect", "local/held:2"])
    expect(layers).toMatchObject([{ virtual_size: 4 * MiB }, { virtual_size: 6 * MiB }])
    const read = ["--args", "button=1 tick_ms=50 hlt=1 read=3"]
    const again = await box.ok(["run", "-d", ...read, "local/held:2"])
    await box.console(again, "SECTOR 3 [written by the guest]")
    await box.ok(["rm", "-f", again])
  })

  // OVMS-API-270, OVMS-API-271
  test("a machine has a larger disk than its image, if that is asked for", async () => {
    const disk = await box.file("small.raw", Buffer.alloc(4 * MiB, 7))
    expect(await pack(disk, "local/small:1")).toMatchObject({ status: 0 })
    await box.fails(["run", "-d", "--disk-size", "3MiB", "local/small:1"], "OVM_UNSUPPORTED", [
      "diskSize",
      `${4 * MiB}`,
    ])
    await box.fails(["run", "-d", "--disk-size", "17TiB", "local/small:1"], "OVM_REQUEST_INVALID", [
      "diskSize",
    ])
    const id = await box.ok(["run", "-d", "--disk-size", "1.5GiB", "local/small:1"])
    await box.console(id, `DISK sectors=${1.5 * 2 ** 21}`)
    await box.ok(["rm", "-f", id])
  })

  test("what is no disk is refused with the command that helps; with --format raw it is taken, and told of at run (OVMS-DSK-041, OVMS-SRC-020, OVMS-SRC-021)", async () => {
    const packed = gzipSync(randomBytes(100_000))
    const padded = Buffer.concat([packed, Buffer.alloc(512 - (packed.length % 512))])
    const path = await box.file("disk.img.gz", padded)
    const refused = await pack(path, "local/gz:1")
    expectFailure(refused, "OVM_DISK_INVALID", [path, "compressed with gzip"])
    expect(refused.stderr).toContain(`gunzip ${path}`)
    const taken = await pack(path, "local/gz:1", "--format", "raw")
    expect(taken).toMatchObject({
      status: 0,
      stderr: expect.stringMatching(/^warning: .*compressed with gzip$/m),
    })
    await box.file("m.json", {
      schemaVersion: 1,
      name: "local/gz",
      kernel: { path: kernel },
      diskLayers: [{ path, format: "raw" }],
    })
    const explicit = await box.ovm(["pack", "-f", box.path("m.json"), "-t", "local/gz:2"])
    expect(explicit.stderr).toContain("compressed with gzip")
    const { instance_id: id } = await box.json(["run", "-d", "local/gz:1"])
    const { warnings } = await box.json(["status", id])
    expect(warnings.join()).toContain(
      "disk layer 0 is declared raw, but looks like a file compressed with gzip",
    )
    await box.ok(["rm", "-f", id])
  })

  test.skipIf(Boolean(registryMissing))(
    "a sparse raw disk is one wherever it goes, and pack says what a qcow2 would save",
    async () => {
      const path = box.path("sparse.raw")
      await using file = await open(path, "w")
      await file.truncate(256 * MiB)
      await file.write(randomBytes(MiB), 0, MiB, 100 * MiB)
      await using registry = await startRegistry({})
      const name = `${registry.host}/sparse:1`
      const { status, stdout, stderr } = await pack(path, name)
      expect(status).toBe(0)
      expect(stderr).toMatch(
        /sparse\.raw: 256 MiB, 1 MiB of it data: as qcow2 it would be 1\.\d MiB: qemu-img convert/,
      )
      await box.ok(["save", "-o", box.path("s.tar"), name])
      await box.ok(["copy", `store:${name}`, `oci:${box.path("layout")}`])
      await box.ok(["copy", `oci-archive:${box.path("s.tar")}`, `oci:${box.path("layout2")}`])
      // What others get has nothing in it that only we know of.
      for (const layout of ["layout", "layout2"])
        expect((await readdir(box.path(layout))).sort()).toEqual(["blobs", "index.json", "oci-layout"])
      await box.ok(["push", name])
      await using other = await Sandbox.create()
      await other.ok(["load", "-i", box.path("s.tar")])
      await using third = await Sandbox.create()
      await third.ok(["pull", name])
      const { digest } = (await box.json(["inspect", name])).layers[0]
      const blobs = (root: string) => join(root, "blobs/sha256", hexOf(digest))
      const places = [box.path("s.tar"), blobs(box.path("layout")), blobs(box.path("layout2"))]
      for (const host of [box, other, third]) places.push(blobs(join(host.home, "store")))
      for (const place of places) expect((await stat(place)).blocks * 512).toBeLessThan(3 * MiB)
      expect(stdout).toContain("sha256:")
      await writeFile(box.path("whole.raw"), await readFile(path))
      // The same bytes without a hole are the same blob.
      expect((await pack(box.path("whole.raw"), name)).stdout).toBe(stdout)
    },
  )
})
