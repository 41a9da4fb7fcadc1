import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

// What a host does to machines that stay: its clock goes back, and files are deleted by hand.

const skip = guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/odd-hosts.test.ts: ${skip}`)

const DAY_MS = 24 * 3600 * 1000

describe.skipIf(Boolean(skip))(`machines on an odd host ${skip}`, () => {
  let box: Sandbox
  beforeAll(async () => {
    box = await Sandbox.create()
    const disk = await box.file("disk.raw", Buffer.alloc(1 << 20))
    const diskLayers = [{ path: disk, format: "raw" as const }]
    await packGuest(join(box.home, "store"), "steady:1", "tick_ms=20 button=1 write=9 read=9", { diskLayers })
    await box.ok(["daemon", "--detach"])
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  const run = (...options: string[]) => box.ok(["run", "-d", "--network", "none", ...options, "steady:1"])

  /** Ends the daemon; the next one finds all times of a record a day ahead, as after the clock was set back. */
  async function setBack(...ids: readonly string[]): Promise<void> {
    process.kill((await box.json(["info"])).daemon.pid, "SIGKILL")
    for (const id of ids) {
      const file = join(box.home, "instances", id, "instance.json")
      const record = JSON.parse(readFileSync(file, "utf8"))
      for (const name of ["created", "started", "finished", "restarting_at"])
        if (record.info[name])
          record.info[name] = new Date(Date.parse(record.info[name]) + DAY_MS).toISOString()
      if (record.stopBy) record.stopBy += DAY_MS
      writeFileSync(file, JSON.stringify(record))
    }
  }

  test("the clock is set back: machines go on, end, and are started again", async () => {
    const [steady, ended, leaving] = [await run(), await run(), await run("--rm")]
    await box.ok(["stop", "--time", "0", ended])
    await setBack(steady, ended, leaving)
    const states = new Map(
      (await box.instances("--all")).map(({ instance_id, state }) => [instance_id, state]),
    )
    expect([states.get(steady), states.get(ended), states.get(leaving)]).toEqual([
      "running",
      "stopped",
      "running",
    ])
    for (const command of ["ps", "stats", "top"]) expect(await box.ok([command])).not.toMatch(/\s-\d|NaN/)
    await box.ok(["start", ended])
    await box.ok(["stop", "--time", "0", steady])
    await box.ok(["stop", "--time", "0", leaving])
    await until("it is gone", async () => !(await box.ok(["ps", "--all", "--quiet"])).includes(leaving))
    const { exit, finished } = await box.json(["status", steady])
    expect(exit.reason).toBeString()
    expect(Date.parse(finished)).toBeLessThan(Date.now() + 1000)
    await box.ok(["rm", "--force", steady, ended])
  })

  test("what lies below a machine's disk was deleted: it is said, and nothing of the machine is touched", async () => {
    const id = await run()
    await box.ok(["stop", "--time", "0", id])
    const { diskLayers } = (await box.json(["inspect", "steady:1"])).manifest
    const blob = join(box.home, "store/blobs/sha256", diskLayers[0].ref.replace("sha256:", ""))
    const bytes = readFileSync(blob)
    rmSync(blob)
    await box.fails(["start", id], "OVM_CONTENT_MISSING", [diskLayers[0].ref])
    await box.fails(["commit", id, "--tag", "kept:1"], "OVM_CONTENT_MISSING", [diskLayers[0].ref])
    expect((await box.json(["status", id])).state).toBe("stopped")
    writeFileSync(blob, bytes)
    await box.ok(["start", id])
    await box.console(id, "SECTOR 9 [written by the guest]")
    await box.ok(["rm", "--force", id])
  })

  test("a daemon that may write no large file says which, and what else to look at than a console", async () => {
    await using small = await Sandbox.create()
    const disk = await small.file("disk.raw", Buffer.alloc(1 << 20))
    const diskLayers = [{ path: disk, format: "raw" as const }]
    await packGuest(join(small.home, "store"), "steady:1", "tick_ms=20", { diskLayers })
    await small.shell("ulimit -f 4; ovm daemon --detach")
    const { stderr } = await small.fails(["run", "-d", "steady:1"], "OVM_NO_SPACE", [
      "overlay.qcow2",
      "ulimit -f",
    ])
    expect(stderr).not.toContain("ovm logs")
  })
})
