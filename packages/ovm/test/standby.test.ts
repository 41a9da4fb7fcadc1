import { expect, setDefaultTimeout, test } from "bun:test"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { machineMissing, UNPACKED } from "@ovms/testkit/machines.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(300_000)

const noVmm = Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed"
const skip = (await machineMissing()) || (Bun.which("passt") ? "" : "passt is not installed")
if (skip) console.log(`SKIP packages/ovm/test/standby.test.ts: ${skip}`)

interface Status {
  readonly state: string
  readonly reason?: string
}

const resting = ({ state, reason }: Status) => state === "paused" && reason === "standby"

test.skipIf(Boolean(skip))(
  "a Linux on standby is brought back by a connection and by a command (OVMS-STA-062, OVMS-STA-063, OVMS-STA-065)",
  async () => {
    await using host = await Sandbox.create()
    await host.ok(["pack", "-f", UNPACKED, "-t", "debian:12"])
    const asked = ["--standby-after", "8s", "-p", "80"]
    const { instance_id } = await host.json(["run", "-d", "--agent", "--name", "web", ...asked, "debian:12"])
    await host.ok(["exec", "--wait", "200", "web", "true"])
    const { network } = await host.json(["status", "web"])
    const page = async () =>
      await (
        await fetch(`http://127.0.0.1:${network.ports[0].host}/`, { signal: AbortSignal.timeout(120_000) })
      ).text()
    // Until its server is there; as long as somebody asks, it boots on.
    await until("it answers", () => page().catch(() => ""), { is: (text) => text.length > 0 })
    const status = () => host.json(["status", "web"])
    await until("it is on standby", status, { is: resting })
    expect(await host.ok(["ps"])).toContain("paused (standby)")
    const vmms = () => processesIn(join(host.home, "instances", instance_id))
    await until("its processes are gone", async () => vmms(), { is: (found) => found.length === 0 })
    // OVMS-STA-062: whoever sees that it is on standby is heard.
    expect((await page()).length).toBeGreaterThan(0)
    expect((await status()).state).toBe("running")
    await until("it is on standby", status, { is: resting })
    const clock = Number(await host.ok(["exec", "web", "date", "+%s"]))
    expect(Math.abs(clock - Date.now() / 1000)).toBeLessThan(10)
    const odd = await host.ovm(["run", "-d", "--standby-after", "soon", "debian:12"])
    expect(odd).toMatchObject({ status: 2, stderr: expect.stringContaining("--standby-after") })
  },
)

const bare = guestMissing || noVmm
const STEPS = 10

test.skipIf(Boolean(bare))(
  "a daemon that is killed while a machine is put aside, or brought back (OVMS-STA-061, OVMS-STA-064)",
  async () => {
    await using host = await Sandbox.create()
    const disk = await host.file("disk.raw", Buffer.alloc(1 << 20))
    const layers = { diskLayers: [{ path: disk, format: "raw" as const }] }
    await packGuest(join(host.home, "store"), "guest:1", "tick_ms=20 hlt=1 log=8", layers)
    const run = ["run", "-d", "--name", "one", "--standby-after", "1s", "guest:1"]
    const { instance_id } = await host.json(run)
    const folder = join(host.home, "instances", instance_id)
    const status = (): Promise<Status> => host.json(["status", "one"])
    const lastTick = async () =>
      Number(
        (await host.ok(["logs", "one"]))
          .match(/TICK (\d+)\r?\n/g)
          ?.at(-1)
          ?.match(/\d+/)?.[0] ?? 0,
      )
    let before = 0
    for (let step = 0; step < STEPS; step++) {
      const { daemon } = await host.json(["info"])
      // From the last moment before it is put aside on; then the same from the first of being brought back on.
      if (step < STEPS / 2) await Bun.sleep(800 + 120 * step)
      else {
        await until("it is on standby", status, { is: resting })
        host.begin(["resume", "one"])
        await Bun.sleep(60 * (step - STEPS / 2))
      }
      process.kill(daemon.pid, "SIGKILL")
      // The next daemon says `snapshot` until somebody listens at its ports again (OVMS-STA-062).
      const found = await until("what it is", status, { is: ({ reason }) => reason !== "snapshot" })
      expect([found.state, found.state === "paused" ? found.reason : undefined]).toEqual(
        found.state === "paused" ? ["paused", "standby"] : ["running", undefined],
      )
      await host.ok(["resume", "one"])
      const tick = await until("it goes on", lastTick, { is: (tick) => tick > before })
      before = tick
      const said = await host.ok(["logs", "one"])
      expect(said).not.toContain("DISK-LOST")
      if (step > 0) expect(said).not.toContain("GUEST-READY boot=2")
      // None where it was put aside again meanwhile.
      expect(processesIn(folder).filter((line) => line.includes("qemu")).length).toBeLessThan(2)
    }
    // Of all the attempts there is at most the one that it is put aside by now.
    const left = (await readdir(folder)).filter((name) => /^snapshot.*ram$/.test(name))
    expect(left.length).toBeLessThan(2)
  },
)
