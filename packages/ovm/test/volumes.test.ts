import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

const skip =
  guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/volumes.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("volumes on the command line", () => {
  let box: Sandbox
  beforeAll(async () => {
    box = await Sandbox.create()
    await packGuest(join(box.home, "store"), "writes:1", "tick_ms=50 hlt=1 button=1 write=3")
    await packGuest(join(box.home, "store"), "reads:1", "tick_ms=50 hlt=1 button=1 read=3")
  })
  afterAll(() => box[Symbol.asyncDispose]())

  test("a disk is made, written to by one machine and read by the next", async () => {
    expect(await box.ok(["volume", "create", "data", "--size", "8MiB"])).toBe("data")
    const { instance_id: writer } = await box.json([
      "run",
      "--detach",
      "--name",
      "writer",
      "-v",
      "data",
      "writes:1",
    ])
    await box.console(writer, "WROTE 3 [")
    await box.fails(["volume", "create", "data", "--size", "8MiB"], "OVM_NAME_IN_USE", ["ovm volume rm data"])
    expect(await box.ok(["volume", "ls"])).toMatch(
      /^NAME +SIZE +USED +CREATED +MACHINES\ndata +8 MiB .* writer$/,
    )
    await box.fails(["volume", "rm", "data"], "OVM_VOLUME_IN_USE", [writer, "ovm volume ls"])
    await box.fails(["run", "--detach", "-v", "data:ro", "reads:1"], "OVM_VOLUME_IN_USE", [writer])
    await box.ok(["rm", "--force", "writer"])
    const { instance_id: reader } = await box.json([
      "run",
      "--detach",
      "--name",
      "reader",
      "-v",
      "data:ro",
      "reads:1",
    ])
    await box.console(reader, "SECTOR 3 [written by the guest")
    expect((await box.json(["volume", "inspect", "data"])).instances).toEqual([
      { instance_id: reader, read_only: true, in_use: true },
    ])
    expect(await box.ok(["volume", "inspect", "data"])).toContain(`machine  ${reader}, read-only`)
    expect(await box.ok(["volume", "ls"])).toMatch(/ reader:ro$/)
    expect(await box.ok(["status", "reader"])).toMatch(/^volume +data, read-only$/m)
    // OVMS-VOL-009
    expect((await box.json(["status", "reader"])).volumes).toEqual([{ name: "data", read_only: true }])
    expect(await box.json(["volume", "prune"])).toEqual({ dry_run: false, removed: [] })
    await box.ok(["rm", "--force", "reader"])
    expect((await box.json(["volume", "prune", "--dry-run"])).removed).toMatchObject([{ name: "data" }])
    expect(await box.ok(["volume", "rm", "data"])).toBe("data")
    expect((await box.json(["volume", "ls"])).volumes).toEqual([])
  })

  // OVMS-VOL-011
  test("a volume of a machine whose record cannot be read is kept", async () => {
    await box.ok(["volume", "create", "keepme", "--size", "8MiB"])
    const run = ["run", "--detach", "--name", "db", "-v", "keepme", "--network", "none", "writes:1"]
    const { instance_id: db } = await box.json(run)
    await box.console(db, "WROTE 3 [")
    await box.ok(["daemon", "--stop"])
    const path = join(box.home, "instances", db, "instance.json")
    const record = await Bun.file(path).json()
    await Bun.write(path, JSON.stringify({ ...record, schema: 2 }))
    expect(await box.json(["volume", "prune", "-n"])).toEqual({ dry_run: true, removed: [] })
    expect(await box.json(["volume", "prune"])).toEqual({ dry_run: false, removed: [] })
    expect((await box.ovm(["volume", "prune"])).stderr).toContain("db has or may have")
    await box.fails(["volume", "rm", "keepme"], "OVM_VOLUME_IN_USE", [db])
    expect(await box.ok(["volume", "ls"])).toMatch(/^keepme .* db$/m)
    await box.ok(["daemon", "--stop"])
    await Bun.write(path, JSON.stringify(record))
    await box.ok(["restart", "--time", "0", "db"])
    await box.console(db, "WROTE 3 [")
    await box.ok(["rm", "--force", "db"])
    await box.ok(["volume", "rm", "keepme"])
  })

  test("what is wrong is named, and what helps", async () => {
    await box.fails(["run", "-d", "-v", "data:rx", "reads:1"], "OVM_USAGE", ["data:rx"])
    await box.fails(["run", "-d", "-v", "data", "reads:1"], "OVM_VOLUME_UNKNOWN", [
      '"data"',
      "ovm volume create",
    ])
    await box.fails(["volume", "create", "-x", "--size", "1GiB"], "OVM_USAGE", ["-x"])
    await box.fails(["volume", "create", "a/b", "--size", "1GiB"], "OVM_REQUEST_INVALID", ["name"])
    await box.fails(["volume", "create", "a", "--size", "1"], "OVM_REQUEST_INVALID", ["size"])
    await box.fails(["volume", "create", "a"], "OVM_USAGE", ["--size"])
    await box.fails(["volume", "inspect", "nothing"], "OVM_VOLUME_UNKNOWN", ["nothing"])
    await box.fails(["volume", "nonsense"], "OVM_USAGE", ["volume nonsense"])
    expect(await box.instances("--all")).toEqual([])
  })
})
