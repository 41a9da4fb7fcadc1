import { expect, setDefaultTimeout, test } from "bun:test"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { machineMissing, UNPACKED } from "@ovms/testkit/machines.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { finished, Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM; and many machines, on a host that may be busy.
setDefaultTimeout(300_000)

const STEPS = 8
const noVmm = Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed"
const skip = await machineMissing()
if (skip) console.log(`SKIP packages/ovm/test/fork.test.ts: ${skip}`)

test.skipIf(Boolean(skip))(
  "children of a Linux know their index, and nothing else that the others do not (OVMS-API-444)",
  async () => {
    await using host = await Sandbox.create()
    await host.ok(["pack", "-f", UNPACKED, "-t", "debian:12"])
    await host.ok(["run", "-d", "--agent", "--name", "web", "debian:12"])
    await host.console("web", "OVM-DISK")
    await host.ok(["exec", "web", "sh", "-c", "echo mine >/note && (sleep 3600 &)"])
    const { instances } = await host.json(["fork", "web", "-n", "2", "--name", "job"])
    expect(instances.map(({ name, index }: Record<string, unknown>) => [name, index])).toEqual([
      ["job-0", 0],
      ["job-1", 1],
    ])
    const script = "cat /note; echo $OVMS_FORK_INDEX; head -c 16 /dev/urandom | sha256sum"
    const said = await Promise.all(
      [0, 1].map((index) => host.ok(["exec", `job-${index}`, "sh", "-c", script])),
    )
    expect(said.map((text) => text.split("\n").slice(0, 2))).toEqual([0, 1].map((n) => ["mine", `${n}`]))
    expect(new Set(said.map((text) => text.split("\n")[2])).size).toBe(2)
    // What ran goes on; and the request has the last word.
    expect(await host.ok(["exec", "job-1", "sh", "-c", "ps | grep -c '[s]leep 3600'"])).toBe("1")
    const own = ["exec", "-e", "OVMS_FORK_INDEX=x", "job-1", "sh", "-c", "echo $OVMS_FORK_INDEX"]
    expect(await host.ok(own)).toBe("x")
    expect(await host.ok(["exec", "web", "sh", "-c", "echo [$OVMS_FORK_INDEX]"])).toBe("[]")
    expect(await host.ok(["status", "job-1"])).toMatch(/fork of +[0-9a-f-]{36}, index 1/)
    const clock = Number(await host.ok(["exec", "job-1", "date", "+%s"]))
    expect(Math.abs(clock - Date.now() / 1000)).toBeLessThan(10)
    await host.ok(["restart", "--time", "0", "job-1"])
    await host.console("job-1", "OVM-DISK")
    expect(await host.ok(["exec", "job-1", "sh", "-c", "echo $OVMS_FORK_INDEX"])).toBe("1")
    const many = await host.ovm(["fork", "web", "-n", "101"])
    expect(many).toMatchObject({ status: 2, stderr: expect.stringContaining("OVM_USAGE: --count") })
    const odd = await host.ovm(["fork", "web", "--name", "a b"])
    expect(odd.stderr).toMatch(/OVM_REQUEST_INVALID: .*\/name/)
  },
)

const bare = guestMissing || noVmm

test.skipIf(Boolean(bare))("a daemon that is killed at any step of a fork (OVMS-API-440)", async () => {
  await using host = await Sandbox.create()
  const disk = await host.file("disk.raw", Buffer.alloc(1 << 20))
  const layers = { diskLayers: [{ path: disk, format: "raw" as const }] }
  await packGuest(join(host.home, "store"), "guest:1", "tick_ms=20 hlt=1 write=3", layers)
  await host.ok(["run", "-d", "--name", "source", "guest:1"])
  await host.console("source", "TICK 3")
  const folder = join(host.home, "instances")
  const lastTick = async (name: string) =>
    Number(
      (await host.ok(["logs", name]))
        .match(/TICK (\d+)\r?\n/g)
        ?.at(-1)
        ?.match(/\d+/)?.[0] ?? 0,
    )
  const goesOn = async (name: string) => {
    const before = await lastTick(name)
    await until(`ticks of ${name} after ${before}`, () => lastTick(name), { is: (tick) => tick > before + 2 })
  }
  const began = performance.now()
  await host.ok(["fork", "source", "-n", "3", "--name", "job"])
  const whole = performance.now() - began
  for (let step = 0; step < STEPS; step++) {
    for (const name of ["job-0", "job-1", "job-2"]) await host.ovm(["rm", "--force", name])
    const { daemon } = await host.json(["info"])
    const command = finished(host.begin(["fork", "source", "-n", "3", "--name", "job"]))
    await Bun.sleep((whole * (step + 1)) / STEPS)
    process.kill(daemon.pid, "SIGKILL")
    await command
    const known: { instance_id: string; name: string; state: string }[] = await host.instances("--all")
    expect(known.find(({ name }) => name === "source")?.state).toBe("running")
    await goesOn("source")
    // Whatever the next daemon knows of runs, or has failed and left no process; of the rest nothing is left.
    const ids = await until("what nobody knows of is gone", () => readdir(folder), {
      is: (ids) => ids.length === known.length,
    })
    for (const id of ids) {
      const one = known.find(({ instance_id }) => instance_id === id)
      const vmms = processesIn(join(folder, id)).filter((line) => line.includes("qemu"))
      expect([one?.state, vmms.length]).toEqual([one?.state, one?.state === "running" ? 1 : 0])
      const left = (await readdir(join(folder, id))).filter((name) => name.startsWith("snapshot"))
      expect([one?.name, left]).toEqual([one?.name, []])
      if (one?.state === "running") await goesOn(one.name)
    }
  }
  for (const name of ["job-0", "job-1", "job-2"]) await host.ovm(["rm", "--force", name])
  await host.ok(["fork", "source", "-n", "2", "--name", "job"])
  await goesOn("job-1")
})
