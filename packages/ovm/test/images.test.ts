import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { copyFile, readFile, rm, stat, truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { qemuImg } from "@ovms/testkit/disks.ts"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// From files to an image, to a registry, to another host, and what is said when one of them is not as it should be.

const skip = guestMissing || registryMissing || qemuImg.note
if (skip) console.log(`SKIP packages/ovm/test/images.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("images", () => {
  let registry: RegistryServer
  let box: Sandbox
  /** The digest of `first`, which every test may use and none changes. */
  let digest: string

  beforeAll(async () => {
    registry = await startRegistry()
    box = await Sandbox.create()
    await copyFile(await buildGuest(), box.path("kernel"))
    await box.file("initrd", "some bytes")
    qemuImg.run("create", "-q", "-f", "qcow2", box.path("base.qcow2"), "1M")
    qemuImg.io(box.path("base.qcow2"), "write -q -P 7 0 64k")
    qemuImg.run("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", box.path("top.qcow2"))
    qemuImg.io(box.path("top.qcow2"), "write -q -P 8 64k 64k")
    digest = (await packFirst(box)).digest
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
    await registry?.stop()
  })

  const parts = [
    "--kernel",
    "kernel",
    "--initrd",
    "initrd",
    "--layer",
    "base.qcow2",
    "--disk",
    "top.qcow2",
    "--args",
    "ticks=1",
  ]
  const packFirst = (where: Sandbox) => where.json(["pack", ...parts, "-t", "first"], { cwd: box.directory })

  describe("pack", () => {
    test("the command line has the last word on what a pack source says of memory, processors and the agent", async () => {
      const source = { schemaVersion: 1, name: "wished", kernel: { path: "kernel" } }
      const packed = async (resources: object, more: object, ...options: string[]) => {
        await box.file("wished.json", JSON.stringify({ ...source, resources, ...more }))
        return box.json(["pack", "-f", "wished.json", "-t", "wished", ...options], { cwd: box.directory })
      }
      const whole = await packed({ memory: 128 << 20, vcpus: 2 }, { agent: { protocol: "ovms.agent.v1" } })
      expect(await packed({ memory: 64 << 20, vcpus: 2 }, {}, "--memory", "128MiB", "--agent")).toEqual(whole)
      expect(await packed({ vcpus: 1 }, {}, "--memory", "128MiB", "--cpus", "2", "--agent")).toEqual(whole)
      await box.fails(["pack", "-f", "wished.json", "-t", "wished", "--kernel", "kernel"], "OVM_USAGE", [
        "--kernel <file>",
      ])
    })

    test("prints the digest, which is the same on another host", async () => {
      await using other = await Sandbox.create()
      expect(await packFirst(other)).toEqual({ reference: "first:latest", digest })
      const again = await other.ok(["pack", ...parts, "-t", "first"], { cwd: box.directory })
      expect(again).toBe(`${digest}  first:latest`)
    })

    test("a source file says the same, its paths being relative to it", async () => {
      const source = await box.file("machine.json", {
        schemaVersion: 1,
        name: "first",
        kernel: { path: "kernel", args: "ticks=1" },
        initrd: { path: "initrd" },
        diskLayers: [{ path: "base.qcow2", format: "qcow2" }, { path: "top.qcow2" }],
      })
      expect(await box.json(["pack", "-f", source, "-t", "by-file:1"], { cwd: "/" })).toMatchObject({
        digest,
      })
    })

    test("SOURCE_DATE_EPOCH is the time of creation", async () => {
      const env = { SOURCE_DATE_EPOCH: "1763856000" }
      await box.ok(["pack", "--kernel", "kernel", "-t", "dated"], { env })
      const { metadata } = await box.json(["inspect", "dated"])
      expect(metadata.created).toBe("2025-11-23T00:00:00Z")
    })

    test.each([
      ["a missing kernel", ["--kernel", "nowhere"], "OVM_FILE_UNREADABLE", ["nowhere"]],
      ["a kernel that is none", ["--kernel", "initrd"], "OVM_KERNEL_INVALID", ["initrd", "bzImage"]],
      ["a disk that is cut", ["--layer", "cut.qcow2"], "OVM_DISK_INVALID", ["cut.qcow2"]],
      ["a base with a backing file", ["--layer", "top.qcow2"], "OVM_DISK_INVALID", ["top.qcow2", "backing"]],
      ["a folder", ["--kernel", "kernel", "--initrd", "."], "OVM_FILE_UNREADABLE", ["not a regular file"]],
      [
        "a source with faults",
        ["-f", "bad.json"],
        "OVM_SOURCE_INVALID",
        ["bad.json", "/kernel/path", "/nmae", "/schemaVersion", "OVMS-SRC-"],
      ],
      ["no source", ["-f", "none.json"], "OVM_FILE_UNREADABLE", ["none.json"]],
    ] as const)("%s is refused, and nothing is left behind", async (_, args, code, culprits) => {
      await box.file("bad.json", { nmae: "x", kernel: {} })
      await copyFile(box.path("base.qcow2"), box.path("cut.qcow2"))
      await truncate(box.path("cut.qcow2"), 70_000)
      const before = await box.blobs()
      await box.fails(["pack", ...args, "-t", "never"], code, culprits)
      expect(await box.blobs()).toEqual(before)
      expect(await box.ok(["images"])).not.toContain("never")
    })
  })

  describe("inspect", () => {
    test("shows a tree to people and a model to programs", async () => {
      const tree = await box.ok(["inspect", "first"])
      for (const part of [
        "first:latest",
        digest,
        "kernel",
        "args  ticks=1",
        "initrd",
        "0  qcow2",
        "1  qcow2",
        "disk of 1 MiB",
      ])
        expect(tree).toContain(part)
      const model = await box.json(["inspect", "first"])
      expect(model).toMatchObject({ digest, name: "first", kernel: { args: "ticks=1" } })
      expect(model.layers).toHaveLength(2)
      expect(model.layers[0]).toMatchObject({
        format: "qcow2",
        virtual_size: 1 << 20,
        size: (await stat(box.path("base.qcow2"))).size,
      })
    })

    test("takes a layout by its path, with and without a tag", async () => {
      await using other = await Sandbox.create()
      await packFirst(other)
      const store = join(other.home, "store")
      expect(await box.json(["inspect", store])).toMatchObject({ digest })
      expect(await box.json(["inspect", `${store}:first:latest`])).toMatchObject({ digest })
      await box.fails(["inspect", `${store}:none`], "OVM_NAME_UNKNOWN", ["none"])
    })

    test.each([
      [["inspect", "nothing"], "OVM_NAME_UNKNOWN", ["nothing:latest", "ovm images"]],
      [["inspect", "machine.json"], "OVM_NAME_UNKNOWN", ["./machine.json"]],
      [["inspect", "./nowhere"], "OVM_FILE_UNREADABLE", ["./nowhere"]],
      [["tag", "nothing", "other"], "OVM_NAME_UNKNOWN", ["nothing:latest"]],
      [["rmi", "nothing"], "OVM_NAME_UNKNOWN", ["nothing:latest"]],
    ] as const)("%p names what is unknown", async (args, code, culprits) => {
      await box.file("machine.json", {})
      await box.fails(args, code, culprits)
    })
  })

  describe("validate", () => {
    test("images, layouts, manifests and sources that are right", async () => {
      expect(await box.ok(["validate", "first"])).toBe("first: valid (image)")
      expect(await box.json(["validate", join(box.home, "store:first:latest")])).toEqual({
        valid: true,
        kind: "image",
        faults: [],
      })
      const { manifest } = await box.json(["inspect", "first"])
      await box.file("manifest.json", manifest)
      expect(await box.json(["validate", "manifest.json"])).toEqual({
        valid: true,
        kind: "manifest",
        faults: [],
      })
      const source = await box.file("source.json", {
        schemaVersion: 1,
        name: "a",
        kernel: { path: "kernel" },
      })
      expect(await box.json(["validate", source])).toEqual({ valid: true, kind: "pack-source", faults: [] })
    })

    test("all faults of a manifest at once, on both channels", async () => {
      const manifest = {
        schemaVersion: 2,
        mediaType: "application/vnd.ovms.manifest.v1+json",
        kernel: { ref: "../../etc/passwd" },
      }
      await box.file("faulty.json", manifest)
      const { stdout } = await box.fails(["validate", "--json", "faulty.json"], "OVM_MANIFEST_INVALID", [
        "faulty.json",
        "/name",
        "/schemaVersion",
        "/kernel/ref",
        "OVMS-MAN-",
      ])
      const { valid, faults } = JSON.parse(stdout)
      expect(valid).toBe(false)
      expect(faults.map((fault: { pointer: string }) => fault.pointer).sort()).toEqual([
        "/kernel/ref",
        "/name",
        "/schemaVersion",
      ])
      for (const fault of faults)
        expect(fault).toMatchObject({
          requirement: expect.stringMatching(/^OVMS-/),
          message: expect.any(String),
        })
    })

    test("every damaged blob of an image", async () => {
      await using other = await Sandbox.create()
      await packFirst(other)
      const { kernel, layers } = await other.json(["inspect", "first"])
      const blob = (digest: string) => join(other.home, "store/blobs/sha256", digest.slice(7))
      await rm(blob(kernel.digest))
      const disk = await readFile(blob(layers[1].digest))
      await rm(blob(layers[1].digest))
      await writeFile(blob(layers[1].digest), disk.fill(1, 100, 108))
      const { status, stdout, stderr } = await other.ovm(["validate", "--json", "first"])
      expect(status).not.toBe(0)
      expect(stderr).toMatch(/OVM_CONTENT_MISSING|OVM_DIGEST_MISMATCH/)
      const { faults } = JSON.parse(stdout)
      expect(faults.map(({ pointer, code }: { pointer: string; code: string }) => [pointer, code])).toEqual([
        ["/kernel/ref", "OVM_CONTENT_MISSING"],
        ["/diskLayers/1/ref", "OVM_DIGEST_MISMATCH"],
      ])
    })
  })

  describe("names", () => {
    test("tag, images and rmi: content goes with its last name", async () => {
      await using host = await Sandbox.create()
      await packFirst(host)
      await host.ok(["tag", "first", "registry.example.com/demo/first:1.0"])
      await host.ok(["tag", digest === "" ? "" : `first@${digest}`, "second"])
      const images = await host.json(["images"])
      expect(images.map(({ name, tag }: { name: string; tag: string }) => `${name}:${tag}`)).toEqual([
        "first:latest",
        "registry.example.com/demo/first:1.0",
        "second:latest",
      ])
      const [{ size }] = images
      for (const image of images) expect(image).toMatchObject({ digest, size })
      expect(await host.ok(["images", "--quiet"])).toBe(digest)
      expect(await host.ok(["images"])).toMatch(
        /^NAME +TAG +TYPE +DIGEST +SIZE +BASE +CREATED\nfirst +latest +machine +[0-9a-f]{12} /,
      )

      expect(await host.ok(["rmi", "first", "second"])).toBe(
        "untagged first:latest\nuntagged second:latest\nfreed 0 B",
      )
      const { removed, freed } = await host.json(["rmi", "registry.example.com/demo/first:1.0"])
      expect(removed).toContain(digest)
      expect(freed).toBe(size)
      expect(await host.blobs()).toEqual([])
    })

    test("rmi of several does what it can and reports the rest", async () => {
      await using host = await Sandbox.create()
      await packFirst(host)
      const { status, stdout, stderr } = await host.ovm(["rmi", "nothing", "first"])
      expect(status).toBe(3)
      expect(stdout).toContain("untagged first:latest")
      expect(stderr).toContain("OVM_NAME_UNKNOWN")
    })
  })

  describe("a registry", () => {
    test("push, then pull on another host: the same digest, and twice is up to date", async () => {
      const name = `${registry.host}/demo/first:1.0`
      await box.ok(["tag", "first", name])
      expect(await box.json(["push", name])).toEqual({ reference: name, digest })
      expect(await box.ok(["push", name])).toBe(`${digest}  ${name}`)

      await using other = await Sandbox.create()
      expect(await other.json(["inspect", name])).toMatchObject({ digest, reference: name })
      expect(await other.blobs()).toEqual([])
      expect(await other.ok(["validate", name])).toBe(`${name}: valid (image)`)
      expect(await other.json(["pull", name])).toEqual({ reference: name, digest, up_to_date: false })
      expect(await other.ok(["pull", name])).toBe(`${digest}  ${name}  up to date`)
      expect(await other.ok(["validate", name])).toBe(`${name}: valid (image)`)
      expect(await other.json(["pull", `${registry.host}/demo/first@${digest}`])).toMatchObject({ digest })
    })

    test("a terminal sees the progress of each blob", async () => {
      const name = `${registry.host}/demo/shown`
      await box.ok(["tag", "first", name])
      const { status, output } = await box.onTerminal(["push", name])
      expect(status).toBe(0)
      // They are in another repository of the registry, from the test above.
      for (const title of ["kernel.bin", "initrd.img", "disk1.qcow2"])
        expect(output).toMatch(new RegExp(`${title} +[0-9.]+ \\S+, mounted from another repository`))
      expect(output).toContain(`${digest}  ${name}`)
    })

    test("progress stays out of pipes", async () => {
      await using other = await Sandbox.create()
      await box.ok(["tag", "first", `${registry.host}/demo/quiet`])
      await box.ok(["push", `${registry.host}/demo/quiet`])
      const { stderr } = await other.ovm(["pull", `${registry.host}/demo/quiet`])
      // Nothing but what a script may want to know as well.
      expect(stderr).toMatch(/^warning: .* is not signed, and no policy asks for that\n$/)
    })

    test("a name that it does not have, a host that is not there, an image that was never packed", async () => {
      const name = `${registry.host}/demo/nothing:1`
      await box.fails(["pull", name], "OVM_NAME_UNKNOWN", ["demo/nothing:1", `ovm login ${registry.host}`])
      await box.fails(["inspect", name], "OVM_NAME_UNKNOWN", ["demo/nothing:1"])
      await box.fails(["push", name], "OVM_NAME_UNKNOWN", [name, "on this host"])
      await box.fails(["pull", "127.0.0.1:1/demo/x"], "OVM_REGISTRY_UNREACHABLE", ["127.0.0.1:1"])
    })
  })
})
