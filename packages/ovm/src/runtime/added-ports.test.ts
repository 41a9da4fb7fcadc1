import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { once } from "node:events"
import { closeSync, existsSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { type AddressInfo, connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { openImages } from "../images/images.ts"
import { FILTER_SOCKET } from "../network/filter.ts"
import { openPorts } from "../network/open-ports.ts"
import { findPasst } from "../network/passt.ts"
import { Policy } from "../signing/policy/policy.ts"
import { availableVmms } from "../vmm/available.ts"
import { answerOn } from "../vmm/process/filter-socket.ts"
import { connectionIn } from "../vmm/process/socket.ts"
import { look } from "./find.ts"
import type { InstanceInfo, Overrides, Port, RuntimeEvent } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"

// Real machines with passt, on a host that may be busy. That data comes through is test/network.test.ts's to see.
setDefaultTimeout(240_000)

const missing = guestMissing || (findPasst() ? "" : "passt is not installed")

let root: string
let runtime: LocalRuntime
let images: Awaited<ReturnType<typeof openImages>>

async function open(): Promise<void> {
  runtime = await openRuntime(root, { images })
}

async function reopen(id: string): Promise<void> {
  await runtime.close()
  await open()
  await status(id, ({ reachable }) => reachable !== false)
}

async function status(id: string, is: (info: InstanceInfo) => boolean): Promise<InstanceInfo> {
  return await until("that status", () => runtime.status(id), { is, everyMs: 20 })
}

async function started(network: NonNullable<Overrides["network"]> = {}): Promise<string> {
  const { instance_id: id } = await runtime.start({ manifest: "guest", overrides: { network } })
  await status(id, ({ state }) => state === "running")
  return id
}

async function portsOf(id: string): Promise<readonly Port[] | undefined> {
  return (await runtime.status(id)).network?.ports
}

/** Whether somebody takes connections there, and keeps them for a moment. */
async function isOpen({ host, address }: Port): Promise<boolean> {
  const socket = connect(host, address).on("error", () => {})
  const closed = once(socket, "close").then(() => false)
  const open = await Promise.race([once(socket, "connect").then(() => true), closed]).catch(() => false)
  const kept = open && (await Promise.race([closed, Bun.sleep(500).then(() => true)]))
  socket.destroy()
  return kept
}

/** Who connects to one that is closed may be let go only when what listens there gets to it. */
async function expectClosed(port: Port): Promise<void> {
  await until(`${port.host} is closed`, () => isOpen(port), { is: (open) => !open })
}

async function told(id: string): Promise<unknown[]> {
  const all: RuntimeEvent[] = []
  for await (const event of await runtime.events()) all.push(event)
  return all.filter((event) => event.instance_id === id && event.type === "ports").map(({ ports }) => ports)
}

/** The passts that have one of these ports open. */
function passts(...ports: readonly Port[]): number[] {
  const has = (line: string) => ports.some(({ address, host }) => line.includes(`${address}/${host}:`))
  return readdirSync("/proc").flatMap((pid) => {
    try {
      return /^\d+$/.test(pid) && has(readFileSync(`/proc/${pid}/cmdline`, "latin1")) ? [Number(pid)] : []
    } catch {
      return []
    }
  })
}

const noPasst = (...ports: readonly Port[]) =>
  until("no passt", () => passts(...ports), { is: (left) => left.length === 0, everyMs: 10 })

const descriptors = () => readdirSync("/proc/self/fd").length
const codeOf = async (work: Promise<unknown>) => (await refusal(work)).code

describe.skipIf(missing !== "")(`the ports of a machine with passt change while it runs ${missing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-added-"))
    await packGuest(join(root, "store"), "guest:latest", "tick_ms=50 button=1")
    const policy = new Policy(join(root, "policy.json"))
    images = await openImages(join(root, "store"), join(root, "derived"), policy, { damaged: () => {} })
    await open()
  })
  afterAll(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-API-265, OVMS-API-267, OVMS-API-269, OVMS-API-230
  test("at once, under the next daemon, and again when it is started again", async () => {
    const id = await started()
    const tcp = await runtime.addPort(id, { guest: 81 })
    const v6 = await runtime.addPort(id, { guest: 81, address: "::1" })
    const udp = await runtime.addPort(id, { guest: 53, protocol: "udp", address: "0.0.0.0" })
    expect(tcp).toEqual({ protocol: "tcp", address: "127.0.0.1", host: expect.any(Number), guest: 81 })
    expect(await portsOf(id)).toEqual([tcp, v6, udp])
    expect([await isOpen(tcp), await isOpen(v6)]).toEqual([true, true])
    expect(passts(tcp, v6, udp)).toHaveLength(3)

    await reopen(id)
    expect(await portsOf(id)).toEqual([tcp, v6, udp])
    expect(await runtime.removePort(id, v6)).toEqual(v6)
    expect(await runtime.removePort(id, udp)).toEqual(udp)
    expect(await isOpen(tcp)).toBe(true)
    await expectClosed(v6)
    await noPasst(v6, udp)
    expect(await told(id)).toEqual([[tcp, udp], [tcp]])

    await runtime.restart(id, { graceMs: 0 })
    await status(id, ({ state }) => state === "running")
    expect(await portsOf(id)).toEqual([tcp])
    expect(await isOpen(tcp)).toBe(true)
    await runtime.remove(id, { force: true })
    await noPasst(tcp)
  })

  test("every address, IPv4 and IPv6, one after the other", async () => {
    const id = await started()
    const v4 = await runtime.addPort(id, { guest: 80, address: "0.0.0.0" })
    const v6 = await runtime.addPort(id, { guest: 80, address: "::", host: v4.host })
    expect(v6.host).toBe(v4.host)
    expect([await isOpen({ ...v4, address: "127.0.0.1" }), await isOpen({ ...v6, address: "::1" })]).toEqual([
      true,
      true,
    ])
    await runtime.removePort(id, v4)
    await expectClosed({ ...v4, address: "127.0.0.1" })
    expect(await isOpen({ ...v6, address: "::1" })).toBe(true)
  })

  // OVMS-API-274
  test("one that it was started with is closed and held until it ends, and may be opened again", async () => {
    const id = await started({ ports: [{ guest: 80 }, { guest: 81 }, { guest: 81 }] })
    const [first, ...shared] = (await portsOf(id)) as readonly [Port, ...Port[]]
    expect(await runtime.removePort(id, first)).toEqual({ ...first, held: true })
    expect(await portsOf(id)).toEqual(shared)
    expect((await runtime.status(id)).warnings.join()).toContain(`127.0.0.1:${first.host}/tcp is closed`)
    await expectClosed(first)
    expect(await isOpen(shared[0] as Port)).toBe(true)
    const error = await refusal(runtime.removePort(id, shared[0] as Port))
    expect([error.code, error.hint]).toEqual(["OVM_UNSUPPORTED", expect.stringContaining("the other one")])
    const other = await started()
    expect(await codeOf(runtime.addPort(other, { guest: 80, host: first.host }))).toBe("OVM_PORT_IN_USE")
    expect(await codeOf(runtime.addPort(id, { guest: 82, host: first.host }))).toBe("OVM_PORT_IN_USE")

    await reopen(id)
    expect(await portsOf(id)).toEqual(shared)
    expect(await runtime.addPort(id, { guest: 80, host: first.host })).toEqual(first)
    expect(await isOpen(first)).toBe(true)
    expect((await runtime.status(id)).warnings.join()).not.toContain("is closed")
    await runtime.removePort(id, first)
    await runtime.restart(id, { graceMs: 0 })
    await status(id, ({ state }) => state === "running")
    expect(await portsOf(id)).toEqual(shared)
    await runtime.addPort(other, { guest: 80, host: first.host })
  })

  // OVMS-API-269
  test("what a daemon that died has opened or closed, and not written down, is found by the next one", async () => {
    const id = await started({ ports: [{ guest: 80 }] })
    const [kept] = (await portsOf(id)) ?? []
    const closed = await runtime.addPort(id, { guest: 81 })
    await runtime.close()
    // As far as a daemon comes that is killed before it writes, and one before there is a passt.
    const record = look(join(root, "instances"), id)
    if (!record || !("record" in record) || !record.record.machine) throw new Error("there is no record")
    const [vmm] = availableVmms(join(root, "cache"))
    const machine = await vmm?.adopt(record.record.machine)
    const [opened] = await openPorts([{ protocol: "tcp", address: "127.0.0.1", guest: 82 }])
    await machine?.ports?.open(opened as Port)
    await machine?.ports?.close(closed)
    machine?.detach()
    const half = await connectionIn(join(root, "instances", id), FILTER_SOCKET)
    writeSync(half ?? -1, "add tcp 127.0.0.1 1 83\n")
    expect(await answerOn(half ?? -1)).toBe("ok")
    closeSync(half ?? -1)
    await open()
    await status(id, ({ network }) => network?.ports?.[1]?.guest === 82)
    expect(await portsOf(id)).toEqual([kept, opened] as Port[])
    expect(await isOpen(opened as Port)).toBe(true)
    await expectClosed(closed)
  })

  // OVMS-API-275
  test("the end of what carries one is its own, and told", async () => {
    const id = await started({ ports: [{ guest: 80 }] })
    const [first] = (await portsOf(id)) as readonly [Port]
    for (const again of [false, true]) {
      const [kept, lost] = [
        await runtime.addPort(id, { guest: 81 }),
        await runtime.addPort(id, { guest: 82 }),
      ]
      if (again) await reopen(id)
      for (const pid of passts(lost)) process.kill(pid, "SIGKILL")
      const info = await status(id, ({ network }) => network?.ports?.length === 2)
      expect(info.network?.ports).toEqual([first, kept])
      expect(info.warnings.join()).toContain(`127.0.0.1:${lost.host}->82/tcp has closed`)
      expect(info.degraded).toBeUndefined()
      expect((await told(id)).at(-1)).toEqual([first, kept])
      expect(await isOpen(kept)).toBe(true)
      expect(await runtime.addPort(id, { guest: 82, host: lost.host })).toEqual(lost)
      for (const port of [kept, lost]) await runtime.removePort(id, port)
    }
  })

  test("without what carries its network none is added, and what is on record stays", async () => {
    const id = await started({ ports: [{ guest: 80 }] })
    const [first] = (await portsOf(id)) as readonly [Port]
    const added = await runtime.addPort(id, { guest: 81 })
    for (const pid of passts(first)) process.kill(pid, "SIGKILL")
    await status(id, ({ degraded }) => degraded !== undefined)
    await noPasst(added)
    const error = await refusal(runtime.addPort(id, { guest: 82 }))
    expect([error.code, error.hint]).toEqual(["OVM_STATE_CONFLICT", expect.stringContaining("ovm restart")])
    await reopen(id)
    expect(await portsOf(id)).toEqual([first, added])
    expect(await runtime.removePort(id, added)).toEqual(added)
    expect(await portsOf(id)).toEqual([first])
  })

  // OVMS-API-266, OVMS-API-268
  test("what cannot be is refused, and changes nothing", async () => {
    const id = await started({ ports: [{ guest: 80 }] })
    const [own] = (await portsOf(id)) as readonly [Port]
    const busy = createServer().listen(0, "127.0.0.1")
    await once(busy, "listening")
    const { port } = busy.address() as AddressInfo
    expect(await codeOf(runtime.addPort(id, { guest: 81, host: port }))).toBe("OVM_PORT_IN_USE")
    busy.close()
    expect(await codeOf(runtime.addPort(id, { guest: 81, host: own.host, address: "0.0.0.0" }))).toBe(
      "OVM_PORT_IN_USE",
    )
    expect(await codeOf(runtime.addPort(id, { guest: 81, address: "192.0.2.1" }))).toBe("OVM_UNSUPPORTED")
    expect(await codeOf(runtime.removePort(id, { host: 1 }))).toBe("OVM_PORT_UNKNOWN")
    // As one that an earlier version has started.
    const socket = join(root, "instances", id, FILTER_SOCKET)
    expect(existsSync(socket)).toBe(true)
    rmSync(socket)
    const error = await refusal(runtime.addPort(id, { guest: 81 }))
    expect([error.code, error.hint]).toEqual(["OVM_UNSUPPORTED", expect.stringContaining("ovm stop")])
    expect(await portsOf(id)).toEqual([own])
  })

  test("fifty of them leave no process and no descriptor", async () => {
    const id = await started()
    const kept = await runtime.addPort(id, { guest: 80 })
    // That it may close by itself is watched, by one connection.
    await Bun.sleep(300)
    const before = descriptors()
    const all: Port[] = []
    for (let times = 0; times < 50; times++) {
      const port = await runtime.addPort(id, { guest: 81 })
      all.push(port)
      await runtime.removePort(id, port)
      expect(await openPorts([port])).toEqual([port])
    }
    await noPasst(...all)
    await until("what is open", descriptors, { is: (now) => now <= before, everyMs: 20 })
    expect(await portsOf(id)).toEqual([kept])
    expect(await isOpen(kept)).toBe(true)
  })
})
