import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { readdirSync } from "node:fs"
import { copyFile, readFile, symlink, truncate, writeFile } from "node:fs/promises"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { findPeer, type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { finished, Sandbox } from "./sandbox.ts"

// Images as files: out of one host, into another, by way of other tools, and what is refused on the way.

const skip = guestMissing || registryMissing
if (skip) console.log(`SKIP packages/ovm/test/offline.test.ts: ${skip}`)
const [oras = "", skopeo = "", crane = ""] = ["oras", "skopeo", "crane"].map(findPeer)
for (const [name, found] of Object.entries({ oras, skopeo, crane }))
  if (!found) console.log(`SKIP packages/ovm/test/offline.test.ts: no ${name} (make peers)`)

describe.skipIf(Boolean(skip))("offline", () => {
  let registry: RegistryServer
  let box: Sandbox
  let digest: string

  beforeAll(async () => {
    registry = await startRegistry()
    box = await Sandbox.create()
    await copyFile(await buildGuest(), box.path("kernel"))
    digest = (await box.json(["pack", "--kernel", "kernel", "--args", "ticks=1", "-t", "first"])).digest
    await box.ok(["tag", "first", "r.example/machines/first:1"])
    await box.ok(["save", "-o", "first.tar", "first", "r.example/machines/first:1"])
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
    await registry?.stop()
  })

  test("save and load carry images with all their names, and the same images are the same bytes", async () => {
    await using other = await Sandbox.create()
    const loaded = await other.json(["load", "-i", box.path("first.tar")])
    const names = ["first:latest", "r.example/machines/first:1"]
    expect(loaded).toEqual(names.map((reference) => ({ reference, digest })))
    expect(await other.ok(["validate", "first"])).toContain("valid")
    await other.ok(["save", "-o", "again.tar", "r.example/machines/first:1", "first"])
    expect(await readFile(other.path("again.tar"))).toEqual(await readFile(box.path("first.tar")))
    expect(readdirSync(other.directory).filter((name) => name.includes("part"))).toEqual([])
  })

  test("a pipe does as well as a file", async () => {
    await using other = await Sandbox.create()
    const saving = box.begin(["save", "-o", "-", "first"])
    const loading = other.begin(["load", "-i", "-"], { piped: true })
    if (saving.stdout && loading.stdin) saving.stdout.pipe(loading.stdin)
    expect(await finished(loading)).toMatchObject({ status: 0, stdout: `${digest}  first:latest\n` })
  })

  test("a machine runs from an archive", async () => {
    const result = await box.ovm(["run", "--vmm", "qemu", "./first.tar:first:latest"])
    expect(result.stderr + result.stdout).toContain("tick")
  })

  test("a directory, a link and a device are written to and read as such", async () => {
    await symlink("first.tar", box.path("link.tar"))
    expect(await box.ok(["load", "-i", "link.tar"])).toContain(digest)
    await box.ok(["save", "-o", "/dev/null", "first"])
    expect((await import("node:fs")).statSync("/dev/null").isCharacterDevice()).toBe(true)
    await box.fails(["save", "-o", "kernel/x.tar", "first"], "OVM_FILE_UNREADABLE", ["kernel"])
  })

  test.each<[string, (path: string) => Promise<void>, Parameters<Sandbox["fails"]>[1], string]>([
    ["is cut", (path) => truncate(path, 9_000), "OVM_ARTIFACT_INVALID", "cut short"],
    ["is not there", async () => {}, "OVM_FILE_UNREADABLE", "is not there"],
    [
      "has another byte",
      // The last byte of the last blob: what follows is padding.
      async (path) => {
        const bytes = await readFile(path)
        const at = bytes.findLastIndex((byte) => byte !== 0)
        await writeFile(path, bytes.with(at, 0x58))
      },
      "OVM_DIGEST_MISMATCH",
      "sha256:",
    ],
    ["is none", (path) => writeFile(path, "hello"), "OVM_ARTIFACT_INVALID", "cut short"],
  ])("an archive that %s leaves no name and no blob", async (name, change, code, culprit) => {
    await using other = await Sandbox.create()
    const path = other.path(name)
    if (name !== "is not there") await copyFile(box.path("first.tar"), path)
    await change(path)
    await other.fails(["load", "-i", path], code, [culprit])
    expect(await other.json(["images"])).toEqual([])
  })

  test.skipIf(!oras)("what is no machine is refused as a whole", async () => {
    await using other = await Sandbox.create()
    await other.file("empty", "{}")
    const pushed = spawnSync(oras, ["push", "--oci-layout", "lay:1", "empty"], { cwd: other.directory })
    expect(pushed.status).toBe(0)
    await other.ok(["copy", "oci:lay:1", "oci-archive:lay.tar"])
    await other.fails(["load", "-i", "lay.tar", "--name", "x"], "OVM_ARTIFACT_INVALID", [])
    expect(await other.json(["images"])).toEqual([])
  })

  test("copy goes between all kinds of places, and keeps every byte", async () => {
    const remote = `${registry.host}/offline/first:1`
    const steps = [
      ["first", remote],
      [remote, "oci:lay:one"],
      ["oci:lay:one", "oci-archive:one.tar:two"],
      ["./one.tar", `${registry.host}/offline/other:1`],
      [`docker://${registry.host}/offline/other:1`, "./plain.tar"],
      ["oci-archive:plain.tar:1", "store:r.example/back:1"],
    ] as const
    for (const [from, to] of steps) expect(await box.json(["copy", from, to])).toMatchObject({ from, digest })
    expect(await box.json(["images"])).toContainEqual(
      expect.objectContaining({ digest, name: "r.example/back" }),
    )
    expect(await box.json(["inspect", "./one.tar:two"])).toMatchObject({ digest })
    expect(await box.ok(["validate", "./lay:one"])).toContain("valid")
  })

  test("copy says what is wrong with a place", async () => {
    await box.fails(["copy", "oci:", "first"], "OVM_REFERENCE_INVALID", ["oci:"])
    await box.fails(["copy", "oci:nowhere:1", "x"], "OVM_FILE_UNREADABLE", ["nowhere"])
    await box.fails(["copy", "first", "docker://first"], "OVM_REFERENCE_INVALID", ["registry"])
    await box.fails(["copy", "nosuch", "oci:x"], "OVM_NAME_UNKNOWN", ["nosuch"])
    const other = `${registry.host}/a/b@sha256:${"0".repeat(64)}`
    await box.fails(["copy", "first", other], "OVM_DIGEST_MISMATCH", [digest])
  })

  test.skipIf(!oras)("referrers go along when asked for", async () => {
    const remote = `${registry.host}/offline/signed:1`
    await box.ok(["copy", "first", remote])
    await box.file("sbom.json", "{}")
    const attach = ["attach", "--plain-http", "--artifact-type", "application/x.sbom", remote, "sbom.json"]
    expect(spawnSync(oras, attach, { cwd: box.directory }).status).toBe(0)
    await box.ok(["copy", "--include-referrers", remote, "oci-archive:signed.tar:1"])
    await box.ok(["copy", "--include-referrers", "oci-archive:signed.tar:1", "oci:signed:1"])
    const inLayout = ["discover", "--format", "json", "--oci-layout", "signed:1"]
    expect(spawnSync(oras, inLayout, { cwd: box.directory, encoding: "utf8" }).stdout).toContain(
      "application/x.sbom",
    )
    const copied = `${registry.host}/offline/copied:1`
    await box.ok(["copy", "--include-referrers", "oci-archive:signed.tar:1", copied])
    const discovered = spawnSync(oras, ["discover", "--plain-http", "--format", "json", copied], {
      encoding: "utf8",
    })
    expect(discovered.stdout).toContain("application/x.sbom")
  })

  describe("peers", () => {
    test.skipIf(!oras)("oras reads and writes the same archives", async () => {
      const remote = `${registry.host}/peers/oras:1`
      await box.ok(["copy", "first", "oci-archive:for-oras.tar:1"])
      const args = ["copy", "--from-oci-layout", "for-oras.tar:1", "--to-plain-http", remote]
      const copied = spawnSync(oras, args, { cwd: box.directory, encoding: "utf8" })
      expect({ status: copied.status, stderr: copied.stderr }).toEqual({ status: 0, stderr: "" })
      expect(await box.json(["copy", remote, "oci:from-oras:1"])).toMatchObject({ digest })
    })

    test.skipIf(!skopeo)("skopeo reads and writes the same archives", async () => {
      const run = (...args: string[]) =>
        spawnSync(skopeo, ["--insecure-policy", ...args], { cwd: box.directory, encoding: "utf8" })
      await box.ok(["copy", "first", "oci-archive:for-skopeo.tar:1"])
      const copied = run(
        "copy",
        "--dest-tls-verify=false",
        "oci-archive:for-skopeo.tar:1",
        `docker://${registry.host}/peers/skopeo:1`,
      )
      expect({ status: copied.status, stderr: copied.stderr }).toEqual({ status: 0, stderr: "" })
      expect(await box.json(["copy", `${registry.host}/peers/skopeo:1`, "oci:from-skopeo:1"])).toMatchObject({
        digest,
      })
      const back = run("copy", "oci:from-skopeo:1", "oci-archive:by-skopeo.tar:r.example/by/skopeo:1")
      expect({ status: back.status, stderr: back.stderr }).toEqual({ status: 0, stderr: "" })
      await using other = await Sandbox.create()
      expect(await other.ok(["load", "-i", box.path("by-skopeo.tar")])).toContain(digest)
    })

    test.skipIf(!crane)("crane pushes what ovm saved", async () => {
      await box.ok(["copy", "first", "oci:for-crane:1"])
      const remote = `${registry.host}/peers/crane:1`
      const pushed = spawnSync(crane, ["push", "--insecure", "for-crane", remote], {
        cwd: box.directory,
      })
      expect(pushed.status).toBe(0)
      expect(await box.json(["copy", remote, "oci:from-crane:1"])).toMatchObject({ digest })
    })
  })
})
