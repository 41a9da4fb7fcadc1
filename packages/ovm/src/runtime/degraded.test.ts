import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { pidsIn, vmmsBelow } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { findPasst } from "../network/passt.ts"
import type { InstanceInfo, RuntimeEvent } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

let root: string
let runtime: LocalRuntime

async function open(): Promise<void> {
  runtime = await openRuntime(root)
}

/** The status once that is so. */
async function once(id: string, is: (info: InstanceInfo) => boolean): Promise<InstanceInfo> {
  return await until("that status", () => runtime.status(id), { is, everyMs: 20 })
}

const isWhole = ({ state, reachable, degraded }: InstanceInfo) =>
  state === "running" && reachable === undefined && degraded === undefined

async function started(ports: readonly { readonly guest: number }[] = []): Promise<string> {
  const network = ports.length > 0 ? { ports: [...ports] } : { mode: "none" as const }
  const { instance_id: id } = await runtime.start({ manifest: "guest", overrides: { network } })
  await once(id, isWhole)
  return id
}

async function told(): Promise<(readonly string[] | undefined)[]> {
  const all: RuntimeEvent[] = []
  for await (const event of await runtime.events()) all.push(event)
  return all.flatMap(({ type, degraded }) => (type === "degraded" ? [degraded] : []))
}

/** A process that nobody has waited for yet is none. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "latin1"))
  } catch {
    return false
  }
}

/** Gives its pid. */
function signalPasst(port: number | undefined, signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): number {
  const pids = readdirSync("/proc").filter((pid) => {
    try {
      const line = /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/cmdline`, "latin1") : ""
      return line.includes("passt") && line.includes(`/${port}:`)
    } catch {
      return false
    }
  })
  expect(pids).toHaveLength(1)
  for (const pid of pids) process.kill(Number(pid), signal)
  return Number(pids[0])
}

/** Those that are noted beside its VMM. */
function helpersOf(id: string): number[] {
  const noted = readFileSync(join(root, "instances", id, "helpers"), "utf8")
    .trim()
    .split("\n")
  return noted.map((line) => Number(JSON.parse(line).pid))
}

describe.skipIf(guestMissing !== "")(`what is beside a VMM ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-degraded-"))
    await packGuest(join(root, "store"), "guest:latest", "tick_ms=50 button=1")
    await open()
  })
  afterAll(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    await runtime.close()
    expect(await vmmsBelow(root)).toEqual([])
    await rm(root, { recursive: true })
  })

  // OVMS-STA-037, OVMS-STA-038, OVMS-API-230
  test.skipIf(!findPasst())("a network that is lost is told, by the next daemon too", async () => {
    const id = await started([{ guest: 80 }])
    const { network } = await runtime.status(id)
    signalPasst(network?.ports?.[0]?.host, "SIGKILL")
    const info = await once(id, ({ degraded }) => degraded !== undefined)
    expect([info.state, info.degraded, info.error]).toEqual(["running", ["network"], undefined])
    expect(await told()).toEqual([["network"]])

    await runtime.close()
    await open()
    expect((await once(id, ({ degraded }) => degraded !== undefined)).degraded).toEqual(["network"])
    expect(await told()).toEqual([["network"]])
    expect(await runtime.pause(id)).toEqual({ status: "paused" })
    expect((await runtime.status(id)).degraded).toEqual(["network"])

    await runtime.restart(id, { graceMs: 0 })
    expect((await once(id, isWhole)).network?.ports).toEqual(network?.ports)
    await runtime.stop({ instance_id: id })
    expect((await once(id, ({ state }) => state === "stopped")).degraded).toBeUndefined()
    expect(await told()).toHaveLength(1)
  })

  // OVMS-STA-037, OVMS-STA-038, OVMS-API-230
  test("a machine whose keeper was killed is not lost, and that is told", async () => {
    const id = await started()
    const folder = join(root, "instances", id)
    const keepers = pidsIn(folder, "ovm-keeper")
    expect(keepers).toHaveLength(1)
    for (const keeper of keepers) process.kill(keeper, "SIGKILL")
    const info = await once(id, ({ degraded }) => degraded !== undefined)
    expect([info.state, info.degraded]).toEqual(["running", ["keeper"]])
    expect(await told()).toContainEqual(["keeper"])

    await runtime.close()
    await open()
    expect((await once(id, ({ degraded }) => degraded !== undefined)).degraded).toEqual(["keeper"])
    await runtime.stop({ instance_id: id })
    const ended = await once(id, ({ state }) => state !== "stopping")
    expect([ended.state, ended.degraded, ended.exit?.status]).toEqual(["stopped", undefined, undefined])

    await runtime.startAgain(id)
    await once(id, isWhole)
  })

  // OVMS-STA-039, OVMS-API-230
  test.skipIf(!findPasst())(
    "what a signal has stopped is told, and by the next daemon; so is that it goes on",
    async () => {
      const id = await started([{ guest: 80 }])
      const port = (await runtime.status(id)).network?.ports?.[0]?.host
      const passt = signalPasst(port, "SIGCONT")
      const filter = helpersOf(id).filter((pid) => pid !== passt)
      const keeper = pidsIn(join(root, "instances", id), "ovm-keeper")
      const before = (await told()).length
      for (const [pids, part] of [
        [[passt], "network"],
        [filter, "network"],
        [keeper, "keeper"],
      ] as const) {
        expect(pids).toHaveLength(1)
        for (const pid of pids) process.kill(pid, "SIGSTOP")
        const info = await once(id, ({ degraded }) => degraded !== undefined)
        expect([info.state, info.degraded]).toEqual(["running", [part]])
        expect(info.warnings.join()).toMatch(
          new RegExp(`${part}: a signal has stopped \\S+ \\(process ${pids[0]}\\)`),
        )
        for (const pid of pids) process.kill(pid, "SIGCONT")
        expect((await once(id, isWhole)).warnings.join()).not.toContain("stopped")
      }
      expect((await told()).slice(before)).toEqual([
        ["network"],
        undefined,
        ["network"],
        undefined,
        ["keeper"],
        undefined,
      ])

      // Two of one part are told once, and by the next daemon.
      const both = [...filter, passt]
      for (const pid of both) process.kill(pid, "SIGSTOP")
      await once(id, ({ degraded }) => degraded !== undefined)
      await runtime.close()
      await open()
      const info = await once(id, ({ degraded }) => degraded !== undefined)
      expect(info.degraded).toEqual(["network"])
      for (const pid of both) expect(info.warnings.join()).toContain(`kill -CONT ${pid} `)
      await runtime.restart(id, { graceMs: 0 })
      await once(id, isWhole)
      await runtime.remove(id, { force: true })
    },
  )

  test("one that ends has lost nothing", async () => {
    const id = await started([{ guest: 80 }])
    const before = await told()
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    await once(id, ({ state }) => state === "stopped")
    expect(await told()).toEqual(before)
  })

  // OVMS-API-531
  test.skipIf(!findPasst())("what was stopped beside a VMM has gone before it is told to have", async () => {
    const id = await started([{ guest: 80 }])
    const port = (await runtime.status(id)).network?.ports?.[0]?.host
    const helpers = helpersOf(id)
    expect(helpers).toHaveLength(2)
    signalPasst(port, "SIGSTOP")
    for (const pid of helpers) process.kill(pid, "SIGSTOP")
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    await once(id, ({ state }) => state === "stopped")
    expect(helpers.filter(runs)).toEqual([])

    await runtime.startAgain(id)
    const again = await once(id, isWhole)
    expect(again.network?.ports?.[0]?.host).toBe(port)
    await runtime.remove(id, { force: true })
  })
})
