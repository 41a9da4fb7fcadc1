import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { connect } from "@ovms/client"
import { startFaults } from "@ovms/testkit/faults.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

// A daemon that is killed at the moments that its own records tell of.

const skip = guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/cut-off.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))(`what the end of a daemon cuts off ${skip}`, () => {
  let box: Sandbox
  beforeAll(async () => {
    box = await Sandbox.create()
    const disk = await box.file("disk.raw", Buffer.alloc(1 << 20))
    const diskLayers = [{ path: disk, format: "raw" as const }]
    await packGuest(join(box.home, "store"), "steady:1", "tick_ms=20 button=1", { diskLayers })
    await box.ok(["daemon", "--detach"])
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  const recorded = (id: string) =>
    JSON.parse(readFileSync(join(box.home, "instances", id, "instance.json"), "utf8")).info

  /** In the order of a restart; some are over before anybody can look. */
  const STATES = ["running", "stopping", "stopped", "starting"]

  /** Kills the daemon as soon as the record of `id` is that of `state` or a later one, which `command` brings about. */
  async function cut(command: readonly string[], id: string, state: string): Promise<void> {
    const { pid } = (await box.json(["info"])).daemon
    const before = recorded(id).started
    const isThere = (info: { state: string; started: string }) =>
      STATES.indexOf(info.state) >= STATES.indexOf(state) || info.started !== before
    const asking = box.ovm(command)
    await until(`it is ${state}`, () => isThere(recorded(id)), { everyMs: 0 })
    process.kill(pid, "SIGKILL")
    await asking
  }

  // OVMS-API-167
  test.each(["no", "always", "unless-stopped", "on-failure:3"])(
    "a restart of one with the policy %s is gone on with",
    async (policy) => {
      const id = await box.ok(["run", "-d", "--restart", policy, "--network", "none", "steady:1"])
      for (const state of ["stopping", "stopped", "starting"]) {
        const before = recorded(id).started
        await cut(["restart", "--time", "0", id], id, state)
        const info = await until(`it runs again after ${state}`, () => box.json(["status", id]), {
          is: (info) => info.state === "running" && info.started !== before,
        })
        expect(info.restarts, state).toBeUndefined()
      }
      await box.ok(["rm", "--force", id])
    },
  )

  // OVMS-STA-014
  test("a start that was cut off says so, and what to do", async () => {
    const id = await box.ok(["run", "-d", "--network", "none", "steady:1"])
    const cutOff = async () => {
      await box.ok(["stop", "--time", "0", id])
      await until("it has ended", () => recorded(id).state === "stopped")
      const { pid } = (await box.json(["info"])).daemon
      const asking = box.ovm(["start", id])
      await until("it is being started", () => recorded(id).state !== "stopped", { everyMs: 0 })
      process.kill(pid, "SIGKILL")
      return { said: await asking, info: await box.json(["status", id]) }
    }
    // On a busy host it may run by the time that the daemon is killed.
    const { said, info } = await until("a start that is cut off", cutOff, {
      is: ({ info }) => info.state !== "running",
    })
    expect(said.stderr).toMatch(/OVM_(START_INTERRUPTED|DAEMON_UNREACHABLE): /)
    expect(said.status).toBe(6)
    expect([info.state, info.error.code]).toEqual(["failed", "OVM_START_INTERRUPTED"])
    expect(await box.ok(["start", id])).toBe(id)
    await box.ok(["rm", "--force", id])
  })

  const folders = () =>
    existsSync(join(box.home, "instances")) ? readdirSync(join(box.home, "instances")) : []
  const named = async (name: string) => (await box.instances("--all")).find((one) => one.name === name)

  /** Kills the daemon once `what` is in the folder of the instance that `command` makes. */
  async function cutFirst(command: readonly string[], what: string): Promise<void> {
    const before = new Set(folders())
    const { pid } = (await box.json(["info"])).daemon
    const asking = box.ovm(command)
    const isThere = () =>
      folders().some((id) => !before.has(id) && existsSync(join(box.home, "instances", id, what)))
    await until(`${what} is there`, isThere, { everyMs: 0, deadlineMs: 20_000 })
    process.kill(pid, "SIGKILL")
    await asking
  }

  const firsts = [
    ["create", "--name", "first", "--network", "none", "steady:1"],
    ["run", "-d", "--name", "first", "--network", "none", "steady:1"],
    ["run", "-d", "--restart", "always", "--name", "first", "--network", "none", "steady:1"],
  ]
  const moments = firsts.flatMap((command) =>
    ["", "overlay.qcow2", "instance.json"].map((what) => ({ command, what })),
  )

  // OVMS-STA-014, OVMS-STA-026, OVMS-STA-040
  test.each(moments)(
    "a first start leaves nothing, or what can be started: %j",
    async ({ command, what }) => {
      await cutFirst(command, what)
      const left = await named("first")
      if (!left) expect(what).not.toBe("instance.json")
      if (!left) expect(await box.ok(command)).toBeString()
      if (command.includes("always"))
        await until("it runs by itself", () => named("first"), { is: ({ state }) => state === "running" })
      else await box.ok(["start", "first"])
      await box.console("first", "TICK 1")
      await box.ok(["rm", "--force", "first"])
      expect(folders()).toEqual([])
    },
  )

  // OVMS-STA-014, OVMS-API-165
  test.skipIf(Boolean(registryMissing))(
    `a first start that was cut off while it pulled can be started again ${registryMissing ?? ""}`,
    async () => {
      await using upstream = await startRegistry()
      await using registry = startFaults(() => undefined, upstream.host)
      const name = `${registry.host}/tests/pulled:1`
      await using there = await Sandbox.create()
      await packGuest(join(there.home, "store"), name, "tick_ms=20")
      await there.ok(["push", name])
      let held = false
      registry.fault = ({ request, url }) => {
        if (request.method !== "GET" || !url.pathname.includes("/blobs/")) return undefined
        held = true
        return new Promise(() => {})
      }
      const { pid } = (await box.json(["info"])).daemon
      const { instance_id: id } = await connect(join(box.home, "ovm.sock")).start({ manifest: name })
      await until("it pulls", () => held)
      process.kill(pid, "SIGKILL")
      registry.fault = () => undefined
      const info = await until("that is found", () => box.json(["status", id]), {
        is: ({ state }) => state === "failed",
      })
      expect(info.error.code).toBe("OVM_START_INTERRUPTED")
      await box.ok(["start", id])
      await box.console(id, "TICK 1")
      expect((await box.json(["status", id])).image.digest).toStartWith("sha256:")
      await box.ok(["rm", "--force", id])
    },
  )

  // OVMS-STA-015
  test("one that was being stopped stays so, whatever its policy", async () => {
    const id = await box.ok(["run", "-d", "--restart", "always", "--network", "none", "steady:1"])
    await cut(["stop", "--time", "0", id], id, "stopping")
    await Bun.sleep(1000)
    const info = await until("it has ended", () => box.json(["status", id]), {
      is: ({ state }) => state === "stopped",
    })
    expect(info.restarting_at).toBeUndefined()
    await Bun.sleep(500)
    expect((await box.json(["status", id])).state).toBe("stopped")
    await box.ok(["rm", "--force", id])
  })
})
