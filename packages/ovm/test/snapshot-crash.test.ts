import { expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { finished, Sandbox } from "./sandbox.ts"

// Many machines and many daemons, on a host that may be busy.
setDefaultTimeout(300_000)

// kill -9 of the daemon at every step of a snapshot and of a resume; and then the same again, with success.

const STEPS = 8
const skip = guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/snapshot-crash.test.ts: ${skip}`)

async function prepare(host: Sandbox): Promise<void> {
  const disk = await host.file("disk.raw", Buffer.alloc(1 << 20))
  const layers = { diskLayers: [{ path: disk, format: "raw" as const }] }
  await packGuest(join(host.home, "store"), "guest:1", "tick_ms=20 hlt=1 write=3", layers)
}

async function source(host: Sandbox, name: string): Promise<void> {
  await host.ok(["run", "-d", "--name", name, "guest:1"])
  await host.console(name, "TICK 3")
}

/** Runs a command, and kills the daemon `ms` after it began. Whether the command succeeded all the same. */
async function killedAfter(host: Sandbox, ms: number, args: readonly string[]): Promise<boolean> {
  const { daemon } = await host.json(["info"])
  const command = finished(host.begin(args))
  await Bun.sleep(ms)
  process.kill(daemon.pid, "SIGKILL")
  return (await command).status === 0
}

async function lastTick(host: Sandbox, name: string): Promise<number> {
  return Number(
    (await host.ok(["logs", name]))
      .match(/TICK (\d+)/g)
      ?.at(-1)
      ?.slice(5) ?? 0,
  )
}

/** No process and no file of an attempt is left. */
async function expectClean(host: Sandbox, instances: number): Promise<void> {
  const folder = join(host.home, "instances")
  const found = async () => {
    const ids = await readdir(folder)
    const files = await Promise.all(ids.map((id) => readdir(join(folder, id)).catch(() => [])))
    return { ids, left: files.flat().filter((name) => name.startsWith("snapshot")) }
  }
  // The next daemon sweeps while it answers already.
  await until("nothing of an attempt is left", found, {
    is: ({ ids, left }) => ids.length === instances && left.length === 0,
  })
}

test.skipIf(Boolean(skip))("a daemon that is killed at any step of a snapshot", async () => {
  await using host = await Sandbox.create()
  await prepare(host)
  await source(host, "source")
  const began = performance.now()
  await host.ok(["snapshot", "source", "--tag", "first"])
  const whole = performance.now() - began
  for (let step = 0; step < STEPS; step++) {
    const stop = step % 2 === 1
    const tag = `t${step}`
    const args = ["snapshot", "source", "--tag", tag, ...(stop ? ["--stop"] : [])]
    const succeeded = await killedAfter(host, (whole * (step + 1)) / STEPS, args)
    const names: { tag: string }[] = await host.json(["images"])
    const stored = names.some((one) => one.tag === tag)
    if (succeeded) expect(stored).toBe(true)
    // A daemon answers while it asks what it has found still, and says so.
    const { state } = await until("it is reached", () => host.json(["status", "source"]), {
      is: ({ reachable }) => reachable !== false,
    })
    if (stored && stop && state !== "running") {
      // It was through.
      await host.ok(["rm", "--force", "source"])
      await source(host, "source")
    } else {
      // It goes on, also where it was held for the snapshot.
      expect(state).toBe("running")
      const before = await lastTick(host, "source")
      await until(`ticks after ${before}`, () => lastTick(host, "source"), {
        is: (tick) => tick > before + 2,
      })
    }
    await expectClean(host, 1)
    await host.ok(["snapshot", "source", "--tag", "again"])
    const clone = await host.json(["run", "-d", "--name", "clone", "guest:again"])
    await host.console(clone.instance_id, "TICK")
    expect(await host.ok(["logs", "clone"])).not.toContain("GUEST-READY")
    if (stored) {
      await host.ok(["run", "-d", "--name", "other", `guest:${tag}`])
      await host.console("other", "TICK")
      await host.ok(["rm", "--force", "other"])
    }
    await host.ok(["rm", "--force", "clone"])
  }
  // Nothing of the attempts is left once nobody needs it.
  await host.ok(["rm", "--force", "source"])
  const names: { name: string; tag: string }[] = await host.json(["images"])
  await host.ok(["rmi", "--force", ...names.map(({ name, tag }) => `${name}:${tag}`)])
  expect(await host.blobs()).toEqual([])
})

test.skipIf(Boolean(skip))("a daemon that is killed at any step of a resume", async () => {
  await using host = await Sandbox.create()
  await prepare(host)
  await source(host, "source")
  await host.ok(["snapshot", "source", "--tag", "warm", "--stop"])
  await host.ok(["rm", "--force", "source"])
  const began = performance.now()
  await host.ok(["run", "-d", "--name", "first", "guest:warm"])
  const whole = performance.now() - began
  await host.ok(["rm", "--force", "first"])
  for (let step = 0; step < STEPS; step++) {
    const name = `r${step}`
    await killedAfter(host, (whole * (step + 1)) / STEPS, ["run", "-d", "--name", name, "guest:warm"])
    // Whatever the next daemon knows of runs, or has failed and left no process; what it does not know of is gone.
    const known: { instance_id: string; state: string }[] = await host.instances("--all")
    for (const id of await readdir(join(host.home, "instances"))) {
      const one = known.find(({ instance_id }) => instance_id === id)
      const processes = processesIn(join(host.home, "instances", id)).filter((line) => line.includes("qemu"))
      expect([one?.state, processes.length > 0]).toEqual([one?.state, one?.state === "running"])
    }
    for (const { instance_id } of known) await host.ok(["rm", "--force", instance_id])
    await expectClean(host, 0)
    await host.ok(["run", "-d", "--name", "again", "guest:warm"])
    await host.console("again", "TICK")
    await host.ok(["rm", "--force", "again"])
  }
  expect(existsSync(join(host.home, "resumed"))).toBe(false)
})
