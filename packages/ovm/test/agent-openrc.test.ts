import { expect, setDefaultTimeout, test } from "bun:test"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { KERNEL, KERNEL_ARGS, MACHINE, machineMissing } from "@ovms/testkit/machines.ts"
import { until } from "@ovms/testkit/until.ts"
import { noCloudDisk } from "../src/guest/nocloud.ts"
import { Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM, and minutes on a busy host.
setDefaultTimeout(600_000)
/** What a command waits for an agent at most, in seconds. */
const WAIT = "300"

// A guest of busybox and OpenRC, as Alpine is, which is told by the disk of its first boot to have the agent as a
// service: there is no cloud-init in it, so that the test does what that does, and runs the disk's script.

const skip = await machineMissing()
if (skip) console.log(`SKIP packages/ovm/test/agent-openrc.test.ts: ${skip}`)

test.skipIf(Boolean(skip))(
  "a guest with OpenRC has an agent by its initrd and then as a service, which comes back when it is killed and powers it off in order [OVMS-FBC-016, OVMS-AGT-015, OVMS-AGT-070]",
  async () => {
    await using box = await Sandbox.create()
    const inside = (script: string) => box.ok(["exec", "--wait", WAIT, "web", "sh", "-c", script])
    const hasSaid = (line: string) =>
      until(line, () => box.ovm(["logs", "web"]), {
        is: ({ stdout }) => new RegExp(`${line}\r*\n`).test(stdout),
        deadlineMs: 300_000,
        everyMs: 300,
      })
    await writeFile(box.path("first-boot.iso"), noCloudDisk("web", { agent: true }))
    const source = {
      schemaVersion: 1,
      name: "guest/openrc",
      kernel: { path: KERNEL, args: KERNEL_ARGS },
      initrd: { path: join(MACHINE, "openrc.img") },
      diskLayers: [{ path: box.path("first-boot.iso"), format: "raw" }],
      resources: { memory: 128 << 20 },
    }
    await box.ok(["pack", "-f", await box.file("machine.json", source), "-t", "openrc:1"])
    await box.ok(["run", "-d", "--agent", "--name", "web", "openrc:1"])
    await hasSaid("OVM-STARTED")
    expect(await inside("cat /proc/1/comm; readlink /proc/$PPID/exe")).toBe("init\n/ovm-agent")

    const install = await readFile(join(import.meta.dir, "../../agent/install.sh"), "utf8")
    await box.ok(["exec", "-i", "web", "sh"], { input: install })
    expect(await inside("rc-update show default")).toMatch(/^ *ovm-agent \|/m)
    // It waits for its port, which the other one has.
    expect(await inside("rc-service ovm-agent status")).toContain("status: started")
    const parent = "sed -n 's/^PPid:[^0-9]*//p' /proc/$PPID/status"
    const whose = `readlink /proc/$PPID/exe; cat "/proc/$(${parent})/comm"; echo $PPID`
    const pids = new Set<string>()
    for (let round = 0; round < 2; round++) {
      const cut = await box.ovm(["exec", "web", "sh", "-c", "kill -KILL $PPID; sleep 600"])
      expect(cut).toMatchObject({ status: 125, stderr: expect.stringContaining("OVM_AGENT_UNAVAILABLE") })
      const [program, supervisor, pid = ""] = (await inside(whose)).split("\n")
      expect([program, supervisor]).toEqual(["/usr/local/sbin/ovm-agent", "supervise-daemo"])
      pids.add(pid)
    }
    expect(pids.size).toBe(2)

    await box.ok(["stop", "--time", "300", "web"])
    await hasSaid("OVM-STOPPED")
    expect(await box.json(["status", "web"])).toMatchObject({
      state: "stopped",
      exit: { reason: "guest-shutdown", status: 0 },
    })
  },
)
