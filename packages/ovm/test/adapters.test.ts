import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdir, rm, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { machineMissing, UNPACKED } from "@ovms/testkit/machines.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

// The example adapter, as a user has it: enabled in daemon.json, and on PATH.
setDefaultTimeout(240_000)

const EXAMPLES = resolve(import.meta.dir, "../../../examples/adapters/python")
const skip =
  guestMissing ||
  (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)") ||
  (Bun.which("python3") ? "" : "(skipped: python3 is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/adapters.test.ts: ${skip}`)
const noMachine = await machineMissing()

describe.skipIf(Boolean(skip))("an adapter outside of the program", () => {
  let box: Sandbox
  let env: Readonly<Record<string, string>>
  /** While this file is there the adapter takes its time to start, so that nothing is in time by chance. */
  let slow: string
  const settings = (vmms: readonly string[]) =>
    writeFile(join(box.home, "daemon.json"), JSON.stringify({ vmms }))
  const restart = async () => {
    await box.ok(["daemon", "--stop"])
    await box.ok(["daemon", "--detach"], { env })
  }
  beforeAll(async () => {
    box = await Sandbox.create()
    const folder = join(box.directory, "adapters")
    await mkdir(folder)
    slow = join(folder, "slow")
    const program = `#!/bin/sh\n[ -e ${slow} ] && sleep 1.5\nexec ${EXAMPLES}/ovm-vmm-pyqemu\n`
    await writeFile(join(folder, "ovm-vmm-pyqemu"), program, { mode: 0o755 })
    env = { PATH: `${folder}:${process.env.PATH}` }
    await packGuest(join(box.home, "store"), "ticks:1", "tick_ms=20 button=1")
  })
  afterAll(() => box[Symbol.asyncDispose]())

  // OVMS-ADP-002, OVMS-ADP-003
  test("is executed only once the operator has named it", async () => {
    await box.ok(["daemon", "--detach"], { env })
    await box.fails(["run", "--detach", "--vmm", "pyqemu", "ticks:1"], "OVM_UNSUPPORTED", ["pyqemu"])
    await settings(["qemu", "pyqemu"])
    await restart()
    const { vmms } = await box.json(["info"])
    expect(vmms).toMatchObject([{ name: "qemu" }, { name: "pyqemu", accelerator: "tcg" }])
    const said = await box.ok(["run", "--explain", "--vmm", "pyqemu", "ticks:1"])
    expect(said).toMatch(/^chosen +pyqemu \d.* \(tcg\)$/m)
    expect(await box.ok(["run", "--explain", "ticks:1"])).toMatch(
      /^chosen +qemu .*\n.*pyqemu .*, which is not needed$/m,
    )
    expect(await box.json(["run", "--explain", "ticks:1"])).toMatchObject({ vmms: [{ name: "qemu" }, {}] })
    expect(await box.instances("--all")).toEqual([])
    await settings(["qemu", "../pyqemu"])
    await restart()
    const culprits = ["../pyqemu", "hint: mend the file; daemon.json"]
    await box.fails(["run", "--detach", "ticks:1"], "OVM_SETTINGS_INVALID", culprits)
    await settings(["qemu", "pyqemu"])
    await restart()
  })

  // OVMS-ADP-020, OVMS-ADP-021, OVMS-ADP-033
  test("runs a machine that outlives it and the daemon", async () => {
    const run = ["run", "--detach", "--name", "m", "--vmm", "pyqemu", "ticks:1"]
    const { instance_id: id } = await box.json(run)
    await box.console(id, "TICK 3\r\n")
    expect(await box.json(["status", "m"])).toMatchObject({ state: "running", vmm: { name: "pyqemu" } })
    await box.ok(["pause", "m"])
    expect((await box.json(["status", "m"])).state).toBe("paused")
    await box.ok(["resume", "m"])
    // The adapter is killed: the machine goes on, another one takes it over, and nobody who asks is refused.
    const signal = (name: string) => {
      const { exitCode } = Bun.spawnSync(["pkill", name, "-f", join(EXAMPLES, "ovm-vmm-pyqemu")])
      expect(exitCode).toBe(0)
    }
    await writeFile(slow, "")
    signal("-KILL")
    // Its end is known, and the next one is not there yet.
    await Bun.sleep(1200)
    for (let asked = 0; asked < 4; asked++) await box.ok([asked % 2 ? "resume" : "pause", "m"])
    // What it was asked when it ended, the next one is asked.
    signal("-STOP")
    const paused = box.ok(["pause", "m"])
    await Bun.sleep(500)
    signal("-KILL")
    await paused
    await rm(slow)
    expect((await box.json(["status", "m"])).state).toBe("paused")
    await box.ok(["resume", "m"])
    await restart()
    await until("it is taken over", () => box.json(["status", "m"]), {
      is: ({ state, reachable }) => state === "running" && reachable !== false,
    })
    await box.ok(["stop", "m"])
    expect(await box.json(["status", "m"])).toMatchObject({
      state: "stopped",
      exit: { status: 0, reason: "guest-shutdown" },
    })
    await box.ok(["start", "m"])
    await box.console(id, "TICK 2\r\n")
    await box.fails(["snapshot", "m", "--tag", "s"], "OVM_UNSUPPORTED", [])
    // Without it on PATH nothing of the machine is lost.
    await box.ok(["daemon", "--stop"])
    await box.ok(["daemon", "--detach"])
    expect(await box.json(["status", "m"])).toMatchObject({ state: "running", reachable: false })
    await restart()
    await box.ok(["rm", "--force", "m"])
  })

  test.skipIf(Boolean(noMachine))(
    `runs the very Linux that the VMM of this program runs, with disk and agent ${noMachine}`,
    async () => {
      await box.ok(["pack", "--file", UNPACKED, "--agent", "--tag", "linux:1"])
      for (const vmm of ["pyqemu", "qemu"]) {
        const run = ["run", "--detach", "--name", vmm, "--vmm", vmm, "--network", "none", "linux:1"]
        await box.json(run)
        await box.console(vmm, "OVM-DISK writable")
        expect(await box.ok(["exec", vmm, "cat", "/etc/layer"])).toContain("second")
        await box.ok(["stop", "--time", "60", vmm])
        expect((await box.json(["status", vmm])).exit.reason).toBe("guest-shutdown")
        await box.ok(["rm", vmm])
      }
    },
  )
})
