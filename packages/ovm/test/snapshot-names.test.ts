import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { copyFile, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { until } from "@ovms/testkit/until.ts"
import { expectFailure, Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

// Snapshots are seen, named and removed as images are, and what nobody uses is freed.

const noMachine =
  guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
const skip = noMachine || registryMissing
if (skip) console.log(`SKIP packages/ovm/test/snapshot-names.test.ts: ${skip}`)

const MEMORY = 32 << 20

async function packed(host: Sandbox, name = "demo:1"): Promise<string> {
  await copyFile(await buildGuest(), host.path("kernel"))
  const args = ["--kernel", "kernel", "--args", "console=ttyS0 tick_ms=20", "--memory", "32MiB"]
  return (await host.json(["pack", ...args, "-t", name], { cwd: host.directory })).digest
}

async function names(host: Sandbox, ...args: string[]): Promise<string[]> {
  const images: { name: string; tag: string }[] = await host.json(["images", ...args])
  return images.map(({ name, tag }) => `${name}:${tag}`)
}

describe.skipIf(Boolean(skip))("snapshots", () => {
  // OVMS-SNP-150, OVMS-SNP-151
  test("are listed with their type and base, and rmi of one frees it and its RAM, and nothing else", async () => {
    await using host = await Sandbox.create()
    const base = await packed(host)
    const before = await host.blobs()
    await host.ok(["run", "-d", "--name", "source", "demo:1"])
    const { snapshot_ref } = await host.json(["snapshot", "source", "--tag", "s1"])
    expect(await host.json(["images"])).toMatchObject([
      { name: "demo", tag: "1", type: "machine", digest: base },
      {
        name: "demo",
        tag: "s1",
        type: "snapshot",
        digest: snapshot_ref,
        base: { digest: base, names: ["demo:1"] },
      },
    ])
    expect(await host.ok(["images"])).toMatch(/^demo +s1 +snapshot +[0-9a-f]{12} .* demo:1 /m)
    expect([await names(host, "--type", "snapshot"), await names(host, "--type", "machine")]).toEqual([
      ["demo:s1"],
      ["demo:1"],
    ])
    expect(await host.ok(["__complete", "rmi", "demo:s"])).toBe("demo:s1\tsnapshot")
    expect(await host.ok(["__complete", "warm", "demo:"])).toBe("demo:s1\tsnapshot")
    await host.ok(["run", "-d", "--name", "other", "demo:1"])
    const offered = (await host.ok(["__complete", "status", ""]))
      .split("\n")
      .map((line) => line.split("\t")[0])
    expect([offered.length, new Set(offered.slice(0, 2))]).toEqual([4, new Set(["source", "other"])])
    await host.ok(["rm", "--force", "other"])
    expect((await host.json(["info"])).cache.kinds.ram).toMatchObject({ files: 1, in_use: 0 })

    // The machine that it was taken of goes on, and is no reason to keep it.
    const { untagged, freed, removed } = await host.json(["rmi", "demo:s1"])
    expect([untagged, removed.includes(snapshot_ref)]).toEqual([["demo:s1"], true])
    expect(freed).toBeGreaterThan(0)
    expect(await host.blobs()).toEqual(before)
    expect((await host.json(["info"])).cache).toEqual({ size: 0, files: 0, in_use: 0, kinds: {} })
    expect(await host.json(["status", "source"])).toMatchObject({ state: "running" })
    expectFailure(await host.ovm(["run", "-d", "demo:s1"]), "OVM_NAME_UNKNOWN", ["demo:s1"])
    // It can be snapshotted again, and a machine goes on from that.
    await host.ok(["snapshot", "source", "--tag", "s1"])
    await host.ok(["run", "-d", "demo:s1"])
  })

  // OVMS-SNP-151
  test("a tag that is given again frees what it stood for, unless a machine goes on from it", async () => {
    await using host = await Sandbox.create()
    await packed(host)
    await host.ok(["run", "-d", "--name", "source", "demo:1"])
    const packedOnly = await host.blobs()
    await host.ok(["snapshot", "source", "--tag", "s1"])
    const first = (await host.blobs()).filter((blob) => !packedOnly.includes(blob))
    const { snapshot_ref: second } = await host.json(["snapshot", "source", "--tag", "s1"])
    // Manifest, descriptor, RAM, its table, device state: all of the first one is gone.
    expect(first.length).toBeGreaterThanOrEqual(5)
    expect((await host.blobs()).filter((blob) => first.includes(blob))).toEqual([])

    await host.ok(["run", "-d", "--name", "clone", "demo:s1"])
    expectFailure(await host.ovm(["rmi", "demo:s1"]), "OVM_IMAGE_IN_USE", ["demo:s1"])
    const { snapshot_ref: third } = await host.json(["snapshot", "source", "--tag", "s1"])
    const held = await host.blobs()
    expect([second, third].map((digest) => held.includes(digest.slice(7)))).toEqual([true, true])
    expect((await host.json(["prune"])).content.removed).toEqual([])
    await host.ok(["rm", "--force", "clone"])
    expect((await host.json(["prune"])).content.removed).toContain(second)
    expect((await host.blobs()).includes(third.slice(7))).toBe(true)
  })

  // OVMS-SNP-151
  test("a snapshot whose last name is given away by tag, load, copy or pull is freed", async () => {
    await using registry = await startRegistry()
    await using host = await Sandbox.create()
    await packed(host)
    await host.ok(["run", "-d", "--name", "source", "demo:1"])
    const of = async (tag: string): Promise<string> =>
      (await host.json(["snapshot", "source", "--tag", tag])).snapshot_ref.slice(7)
    const last = `${registry.host}/demo:last`
    await of("kept")
    await host.ok(["save", "demo:kept", "-o", "kept.tar"], { cwd: host.directory })
    await host.ok(["copy", "demo:kept", `docker://${last}`])
    await host.ok(["tag", "demo:kept", "other:1"])
    for (const [words, name] of [
      [["tag", "other:1", "demo:s1"], "demo:s1"],
      [["load", "-i", host.path("kept.tar")], "demo:kept"],
      [["copy", "other:1", "store:demo:s2"], "demo:s2"],
      [["pull", last], last],
    ] as const) {
      const taken = await of("taken")
      await host.ok(["tag", "demo:taken", name])
      await host.ok(["rmi", "demo:taken"])
      expect(await host.blobs()).toContain(taken)
      await host.ok(words)
      expect(await host.blobs(), words.join(" ")).not.toContain(taken)
    }
  })

  // OVMS-SNP-154
  test("a base goes with its snapshots only by force, and these are named", async () => {
    await using host = await Sandbox.create()
    await packed(host)
    await host.ok(["run", "-d", "--name", "source", "demo:1"])
    for (const tag of ["s1", "s2"]) await host.ok(["snapshot", "source", "--tag", tag])
    await host.ok(["tag", "demo:s1", "kept:s1"])
    expectFailure(await host.ovm(["rmi", "--force", "demo:1"]), "OVM_IMAGE_IN_USE", ["demo:1", "instance"])
    await host.ok(["rm", "--force", "source"])
    expectFailure(await host.ovm(["rmi", "demo:1"]), "OVM_IMAGE_IN_USE", [
      "2 snapshots",
      "demo:s1",
      "demo:s2",
      "kept:s1",
    ])
    expect(await names(host)).toEqual(["demo:1", "demo:s1", "demo:s2", "kept:s1"])
    const said = await host.ok(["rmi", "--force", "demo:1"])
    for (const name of ["demo:1", "demo:s1", "demo:s2", "kept:s1"])
      expect(said).toContain(`untagged ${name}\n`)
    expect(await host.blobs()).toEqual([])
    expect(await names(host)).toEqual([])
  })

  // OVMS-SNP-150, OVMS-SNP-152
  test("one that was pulled keeps its base, and one that came along goes with its base", async () => {
    await using registry = await startRegistry()
    await using here = await Sandbox.create()
    await using there = await Sandbox.create()
    const [base, warm] = [`${registry.host}/demo:1`, `${registry.host}/demo:s1`]
    const digest = await packed(here, base)
    await here.ok(["run", "-d", "--name", "source", base])
    const { snapshot_ref } = await here.json(["snapshot", "source", "--tag", "s1"])
    await here.ok(["push", warm])
    await here.ok(["push", base])

    // By its own name: the base has none here, and outlives a collection.
    await there.ok(["pull", warm])
    await packed(there, "other:1")
    await there.ok(["rmi", "other:1"])
    expect((await there.json(["images"]))[0]).toMatchObject({ type: "snapshot", base: { digest, names: [] } })
    await there.ok(["run", "-d", "--name", "clone", warm])
    await there.ok(["rm", "--force", "clone"])
    await there.ok(["rmi", warm])
    expect(await there.blobs()).toEqual([])

    // As a referrer: it has no name, and lives as long as the base.
    await there.ok(["pull", "--include-referrers", base])
    await packed(there, "other:1")
    await there.ok(["rmi", "other:1"])
    await there.ok(["prune", "--all"])
    expect(await names(there)).toEqual([base])
    expect(await there.ok(["discover", `store:${base}`])).toContain(snapshot_ref)
    await there.ok(["rmi", base])
    expect(await there.blobs()).toEqual([])
  })

  // OVMS-SNP-153
  test.each([
    ["save", (path: string) => ["save", "-o", path, "demo:s1"]],
    ["copy", (path: string) => ["copy", "demo:s1", `oci-archive:${path}:demo:s1`]],
  ])("%s takes the base along, and the other host goes on from it", async (_, write) => {
    await using here = await Sandbox.create()
    await using there = await Sandbox.create()
    await packed(here)
    await here.ok(["run", "-d", "--name", "source", "demo:1"])
    await here.ok(["snapshot", "source", "--tag", "s1"])
    const path = here.path("saved.tar")
    await here.ok(write(path))
    await there.ok(["load", "-i", path])
    expect(await names(there)).toEqual(["demo:s1"])
    await packed(there, "other:1")
    await there.ok(["rmi", "other:1"])
    await there.ok(["run", "-d", "demo:s1"])
  })
})

describe.skipIf(Boolean(skip))("prune", () => {
  test("says what it would free, frees that, and leaves what has a name or is used", async () => {
    await using host = await Sandbox.create()
    await packed(host)
    await host.ok(["run", "-d", "--name", "source", "demo:1"])
    await host.ok(["snapshot", "source", "--tag", "s1"])
    await host.ok(["run", "-d", "--name", "clone", "demo:s1"])
    await host.file("ignored", "x")
    await host.shell(`head -c 100000 /dev/urandom > ${join(host.home, "store/ovm/ingest/left")}`)
    await host.shell(`head -c 200000 /dev/urandom > ${join(host.home, "store/blobs/sha256", "0".repeat(64))}`)
    const ram = () => host.json(["info"]).then(({ cache }) => cache.kinds.ram)
    expect((await ram()).in_use).toBeGreaterThan(0)
    expect(await host.ok(["info"])).toMatch(/^cache .*ram: .* in 1 file, .* in use\)$/m)
    const dry = await host.json(["prune", "--dry-run"])
    expect(dry).toMatchObject({
      dry_run: true,
      content: { removed: [`sha256:${"0".repeat(64)}`], size: 200_000 },
    })
    expect(dry.unfinished.size).toBeGreaterThanOrEqual(100_000)
    // The clone has its RAM mapped.
    expect(dry.cache).toEqual({ size: 0, removed: [] })
    expect(await host.ok(["prune", "--dry-run"])).toContain("would free")
    expect(await host.json(["prune"])).toEqual({ ...dry, dry_run: false })
    expect((await host.json(["prune"])).freed).toBe(0)

    await host.ok(["rm", "--force", "clone"])
    const { cache } = await host.json(["prune"])
    expect(cache.removed).toMatchObject([{ kind: "ram" }])
    expect(cache.size).toBeLessThanOrEqual(MEMORY)
    expect(await ram()).toBeUndefined()
    // What was cached is made again.
    await host.ok(["run", "-d", "demo:s1"])
    expect((await ram()).files).toBe(1)
    expect(await names(host)).toEqual(["demo:1", "demo:s1"])
  })

  test("leaves slots alone, and a host without a store as one with an empty one", async () => {
    await using host = await Sandbox.create()
    expect((await host.json(["prune"])).freed).toBe(0)
    await mkdir(host.home, { recursive: true })
    await writeFile(join(host.home, "daemon.json"), '{"limits":{"warmMemory":67108864}}')
    await packed(host)
    await host.ok(["run", "-d", "--name", "source", "demo:1"])
    await host.ok(["snapshot", "source", "--tag", "s1"])
    await host.ok(["warm", "demo:s1"])
    expect((await host.json(["prune"])).cache.removed).toEqual([])
    // What waits in it has an id, but is no instance that could be stopped.
    await host.fails(["rmi", "demo:s1"], "OVM_IMAGE_IN_USE", [
      "demo:s1 is used by warm slots of demo:s1\nhint: ovm warm demo:s1 --slots 0\n",
    ])
    await host.ok(["run", "-d", "--name", "clone", "demo:s1"])
    const { instance_id } = await host.json(["status", "clone"])
    await host.fails(["rmi", "demo:s1"], "OVM_IMAGE_IN_USE", [
      `used by instance ${instance_id} and by warm slots of demo:s1`,
      `ovm rm ${instance_id}; ovm warm demo:s1 --slots 0`,
    ])
    await host.ok(["rm", "--force", "clone"])
    await host.fails(["warm", "demo:s1", "--slots", "64"], "OVM_TOO_MANY", [
      "--slots 0",
      "ovm info",
      "limits.warmMemory",
    ])
    await host.fails(["snapshot", "source", "--tag", "1"], "OVM_STATE_CONFLICT", [
      "demo:1",
      "take another --tag",
    ])
    await host.ok(["warm", "demo:s1", "--slots", "0"])
    await until("the slot is gone", () => host.ovm(["rmi", "demo:s1"]), { is: ({ status }) => status === 0 })
  })
})
