import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { open, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { bytesOnDisk, diskUsage } from "../src/files/disk-usage.ts"
import { Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

const skip =
  guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/system-df.test.ts: ${skip}`)

const MiB = 2 ** 20

describe.skipIf(Boolean(skip))("what takes room", () => {
  let box: Sandbox
  beforeAll(async () => {
    box = await Sandbox.create()
  })
  afterAll(() => box[Symbol.asyncDispose]())

  const df = () => box.json(["system", "df"])

  test("of a host with nothing on it is nothing", async () => {
    const { images, volumes, total } = await df()
    expect([images.count, volumes.count, total.reclaimable]).toEqual([0, 0, 0])
    expect(total.size).toBeLessThan(MiB / 4)
  })

  test("is counted once, without holes, and what is reclaimable is what the commands free", async () => {
    const path = box.path("shared.raw")
    {
      await using disk = await open(path, "w")
      await disk.truncate(64 * MiB)
      await disk.write(randomBytes(4 * MiB), 0, 4 * MiB, 8 * MiB)
    }
    const kernel = await buildGuest()
    const machine = ["--kernel", kernel, "--args", "tick_ms=50 hlt=1 button=1 write=3", "--memory", "32MiB"]
    for (const [name, more] of [
      ["a:1", []],
      ["b:1", ["--cpus", "2"]],
    ] as const)
      await box.ok(["pack", ...machine, ...more, "--layer", path, "-t", name])
    const packed = await df()
    expect(packed.images.size).toBeGreaterThan(4 * MiB)
    expect(packed.images.size).toBeLessThan(5 * MiB)
    const [first, second] = packed.images.items
    expect([first.names, second.names]).toEqual([["a:1"], ["b:1"]])
    for (const { size, own } of [first, second]) {
      expect(size).toBeGreaterThan(4 * MiB)
      expect(own).toBeLessThan(MiB / 8)
    }
    await box.ok(["tag", "a:1", "a:2"])
    const id = await box.ok(["run", "-d", "--name", "web", "a:1"])
    await box.console(id, "WROTE 3")
    await box.ok(["snapshot", "web", "--tag", "s"])
    await box.ok(["volume", "create", "used", "--size", "8MiB"])
    await box.ok(["volume", "create", "free", "--size", "8MiB"])
    await box.ok(["run", "-d", "--name", "db", "-v", "used", "b:1"])
    await writeFile(join(box.home, "volumes/free/disk.raw"), randomBytes(MiB))
    await box.ok(["stop", "--time", "0", "web"])
    // A name that now stands for something else leaves content that nothing holds.
    for (const layer of [2, 3]) {
      const own = await box.file(`own${layer}.raw`, randomBytes(layer * MiB))
      await box.ok(["pack", "--layer", own, "-t", "c:1"])
    }
    const full = await df()
    expect(full.unused.reclaimable).toBeGreaterThanOrEqual(2 * MiB)
    expect(full.unused.reclaimable).toBeLessThan(3 * MiB)
    const counts = ["images", "snapshots", "machines", "volumes"].map((kind) => full[kind].count)
    expect(counts).toEqual([3, 1, 2, 2])
    expect(full.images.items[0].names).toEqual(["a:1", "a:2"])
    expect(full.volumes.reclaimable).toBe(await bytesOnDisk(join(box.home, "volumes/free/disk.raw")))
    expect(full.machines.items.map(({ name }: { name: string }) => name).sort()).toEqual(["db", "web"])
    expect(full.machines.reclaimable).toBe(0)
    // All that there is, but for the socket's log and the layout's own files.
    const whole = await diskUsage(box.home)
    expect(full.total.size).toBeLessThanOrEqual(whole)
    expect(full.total.size).toBeGreaterThan(whole - 2 * MiB)
    expect(full.cache.reclaimable).toBeGreaterThan(0)
    expect(await box.json(["prune"])).toMatchObject({ cache: { size: full.cache.reclaimable } })
    await box.ok(["volume", "prune"])
    const after = await df()
    expect([after.cache.reclaimable, after.volumes.reclaimable, after.unused.reclaimable]).toEqual([0, 0, 0])
  })

  test("is a table, with -v one for each kind", async () => {
    const short = await box.ok(["system", "df"])
    expect(short).toMatch(/^TYPE +COUNT +SIZE +RECLAIMABLE\nimages +3 /)
    expect(short).toMatch(/\ntotal +\d/)
    const long = await box.ok(["system", "df", "-v"])
    for (const line of [
      /^a:1, a:2 /m,
      /^SNAPSHOT /m,
      /^a:s /m,
      /^MACHINE /m,
      /^web .*stopped/m,
      /^used .* 1 machine$/m,
    ])
      expect(long).toMatch(line)
    await box.fails(["system", "fd"], "OVM_USAGE", ["system fd"])
  })
})
