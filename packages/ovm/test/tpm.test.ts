import { expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { textIfPresent } from "../src/files/present.ts"
import { Sandbox } from "./sandbox.ts"

// The bare-metal guest asks its TPM who made it, and how often it was started since it is there.

setDefaultTimeout(240_000)

const programs = ["qemu-system-x86_64", "swtpm"].filter((name) => !Bun.which(name))
const skip = guestMissing || (programs.length > 0 ? `${programs.join(", ")} not installed` : "")
if (skip) console.log(`SKIP packages/ovm/test/tpm.test.ts: ${skip}`)

const PLATFORM = { metadata: { platform: { arch: "x86_64", tpm: true } } } as const

async function resets(host: Sandbox, name: string): Promise<number> {
  const logs = () => host.ok(["logs", name])
  const text = await until(`${name} tells of its TPM`, logs, { is: (text) => /^TPM .*\r?\n/m.test(text) })
  return Number(/^TPM 4116 resets (\d+)\r?\n/m.exec(text)?.[1])
}

test.skipIf(Boolean(skip))(
  "a machine has a TPM of its own, which its guest reads, and which nothing else has [OVMS-UEF-030 to OVMS-UEF-035]",
  async () => {
    await using host = await Sandbox.create()
    const disk = await host.file("disk.raw", Buffer.alloc(1 << 20))
    const source = { ...PLATFORM, diskLayers: [{ path: disk, format: "raw" as const }] }
    await packGuest(join(host.home, "store"), "tpm:1", "tpm=1 tick_ms=100 hlt=1", source)
    await host.ok(["run", "-d", "--name", "one", "tpm:1"])
    const first = await resets(host, "one")
    const [instance] = await host.instances()
    const state = join(host.home, "instances", instance.instance_id, "tpm")
    expect(statSync(state).mode & 0o777).toBe(0o700)
    for (const name of readdirSync(state)) expect(statSync(join(state, name)).mode & 0o004).toBe(0)

    for (const [command, ...rest] of [["snapshot", "--tag", "no"], ["fork"]])
      await host.fails([command ?? "", "one", ...rest], "OVM_UNSUPPORTED", ["TPM"])

    await host.ok(["stop", "--time", "0", "one"])
    await host.ok(["start", "one"])
    expect(await resets(host, "one")).toBe(first + 1)

    const pid = Number(readFileSync(join(state, "pid"), "latin1"))
    const status = () => host.json(["status", "one"])
    process.kill(pid, "SIGSTOP")
    const still = await until("it is said that its TPM was stopped", status, {
      is: ({ degraded }) => degraded,
    })
    expect([still.degraded, still.warnings.join()]).toEqual([["tpm"], expect.stringContaining(`${pid}`)])
    expect(await host.ok(["ps"])).toContain("running (degraded: tpm)")
    process.kill(pid, "SIGCONT")
    await until("it goes on", status, { is: ({ degraded }) => degraded === undefined })
    process.kill(pid, "SIGKILL")
    const lost = await until("it is said that its TPM has ended", status, { is: ({ degraded }) => degraded })
    expect(lost.degraded).toEqual(["tpm"])

    await host.ok(["stop", "--time", "0", "one"])
    await host.ok(["commit", "one", "-t", "tpm:2"])
    await host.ok(["run", "-d", "--name", "two", "tpm:2"])
    expect(await resets(host, "two")).toBe(first)
    // One that was stopped does not see its VMM end, and would be in the way of the next life (OVMS-API-531).
    const [two] = await host.instances()
    const stopped = Number(readFileSync(join(host.home, "instances", two.instance_id, "tpm/pid"), "latin1"))
    process.kill(stopped, "SIGSTOP")
    expect(await host.json(["stop", "--time", "0", "two"])).toMatchObject({ status: "stopped" })
    expect(textIfPresent(`/proc/${stopped}/cmdline`) ?? "").toBe("")
    await host.ok(["start", "two"])
    expect(await resets(host, "two")).toBe(first + 1)
    await host.ok(["rm", "--force", "two"])
  },
)

test.skipIf(Boolean(skip))(
  "a host without swtpm refuses a machine with a TPM by name [OVMS-UEF-030]",
  async () => {
    await using host = await Sandbox.create()
    await packGuest(join(host.home, "store"), "tpm:1", "tpm=1", PLATFORM)
    mkdirSync(host.path("bin"))
    symlinkSync(Bun.which("qemu-system-x86_64") ?? "", host.path("bin/qemu-system-x86_64"))
    const env = { PATH: host.path("bin") }
    const culprits = ["/metadata/platform/tpm", "there is no swtpm on this host"]
    await host.fails(["run", "-d", "tpm:1"], "OVM_UNSUPPORTED", culprits, { env })
  },
)
