import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { type AddressInfo, connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { openImages } from "../images/images.ts"
import { openPorts } from "../network/open-ports.ts"
import { Policy } from "../signing/policy/policy.ts"
import { availableVmms } from "../vmm/available.ts"
import { look } from "./find.ts"
import type { Overrides, Port, RuntimeEvent } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

let root: string
let runtime: LocalRuntime
let images: Awaited<ReturnType<typeof openImages>>

async function open(): Promise<void> {
  runtime = await openRuntime(root, { images })
}

type Network = NonNullable<Overrides["network"]>

/** One that runs; with QEMU's own network unless it may go out. */
async function started(network: Network = { outbound: false }): Promise<string> {
  const { instance_id: id } = await runtime.start({ manifest: "guest", overrides: { network } })
  await until("it runs", () => runtime.status(id), { is: ({ state }) => state === "running", everyMs: 20 })
  return id
}

async function portsOf(id: string): Promise<readonly Port[] | undefined> {
  return (await runtime.status(id)).network?.ports
}

async function isOpen({ host, address }: Port): Promise<boolean> {
  const socket = connect(host, address)
  const open = await Promise.race([
    once(socket, "connect").then(() => true),
    once(socket, "close").then(() => false),
  ]).catch(() => false)
  socket.destroy()
  return open
}

async function told(id: string): Promise<unknown[]> {
  const all: RuntimeEvent[] = []
  for await (const event of await runtime.events()) all.push(event)
  return all.filter((event) => event.instance_id === id && event.type === "ports").map(({ ports }) => ports)
}

describe.skipIf(guestMissing !== "")(`the ports of a machine change ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-ports-"))
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
  test("of one that runs with QEMU's own network: at once, and again when it is started again", async () => {
    const id = await started({ outbound: false, ports: [{ guest: 80 }] })
    const [first] = (await portsOf(id)) ?? []
    const tcp = await runtime.addPort(id, { guest: 81 })
    const udp = await runtime.addPort(id, { guest: 53, protocol: "udp", address: "0.0.0.0" })
    expect(tcp).toEqual({ protocol: "tcp", address: "127.0.0.1", host: expect.any(Number), guest: 81 })
    expect(await portsOf(id)).toEqual([first, tcp, udp] as Port[])
    expect(await isOpen(tcp)).toBe(true)

    await runtime.close()
    await open()
    await until("it is adopted", () => runtime.status(id), { is: ({ reachable }) => reachable !== false })
    expect(await portsOf(id)).toEqual([first, tcp, udp] as Port[])

    expect(await runtime.removePort(id, { host: udp.host, address: "0.0.0.0", protocol: "udp" })).toEqual(udp)
    expect(await runtime.removePort(id, { host: first?.host ?? 0 })).toEqual(first as Port)
    expect(await isOpen(first as Port)).toBe(false)
    expect(await told(id)).toEqual([[first, tcp], [tcp]])

    await runtime.restart(id, { graceMs: 0 })
    await until("it runs", () => runtime.status(id), { is: ({ state }) => state === "running" })
    expect(await portsOf(id)).toEqual([tcp])
    expect(await isOpen(tcp)).toBe(true)
  })

  // OVMS-API-269
  test("what a daemon that died has opened or closed, and not written down, is found by the next one", async () => {
    const id = await started({ outbound: false, ports: [{ guest: 80 }, { guest: 81 }] })
    const [kept, closed] = (await portsOf(id)) ?? []
    await runtime.close()
    // As far as a daemon comes that is killed before it writes.
    const record = look(join(root, "instances"), id)
    if (!record || !("record" in record) || !record.record.machine) throw new Error("there is no record")
    const [vmm] = availableVmms(join(root, "cache"))
    const machine = await vmm?.adopt(record.record.machine)
    const [opened] = await openPorts([{ protocol: "tcp", address: "127.0.0.1", guest: 82 }])
    await machine?.ports?.open(opened as Port)
    await machine?.ports?.close(closed as Port)
    machine?.detach()
    await open()
    const found = await until("it is adopted", () => portsOf(id), { is: (ports) => ports?.[1]?.guest === 82 })
    expect(found).toEqual([kept, opened] as Port[])
    expect([await isOpen(opened as Port), await isOpen(closed as Port)]).toEqual([true, false])
  })

  // OVMS-API-265, OVMS-API-267
  test("of one that has ended: for its next start", async () => {
    const { instance_id: id } = await runtime.create({
      manifest: "guest",
      overrides: { network: { outbound: false } },
    })
    const port = await runtime.addPort(id, { guest: 80 })
    const other = await runtime.addPort(id, { guest: 81 })
    expect(await isOpen(port)).toBe(false)
    await runtime.close()
    await open()
    expect(await runtime.removePort(id, other)).toEqual(other)
    await runtime.startAgain(id)
    await until("it runs", () => runtime.status(id), { is: ({ state }) => state === "running" })
    expect(await portsOf(id)).toEqual([port])
    expect([await isOpen(port), await isOpen(other)]).toEqual([true, false])
  })

  // OVMS-API-266, OVMS-API-267, OVMS-API-268
  test("what cannot be is refused, and changes nothing", async () => {
    const id = await started({ outbound: false, ports: [{ guest: 80 }] })
    const before = await portsOf(id)
    const [own] = before ?? []
    const busy = createServer().listen(0, "127.0.0.1")
    await once(busy, "listening")
    const { port } = busy.address() as AddressInfo
    const refused = async (work: Promise<unknown>) => (await refusal(work)).code
    expect(await refused(runtime.addPort(id, { guest: 81, host: port }))).toBe("OVM_PORT_IN_USE")
    busy.close()
    const again = { guest: 81, host: own?.host ?? 0, address: "0.0.0.0" }
    expect(await refused(runtime.addPort(id, again))).toBe("OVM_PORT_IN_USE")
    const other = await started()
    expect(await refused(runtime.addPort(other, { guest: 80, host: own?.host ?? 0 }))).toBe("OVM_PORT_IN_USE")
    expect(await refused(runtime.addPort(id, { guest: 81, address: "::1" }))).toBe("OVM_UNSUPPORTED")
    expect(await refused(runtime.addPort(id, { guest: 81, address: "224.0.0.1" }))).toBe(
      "OVM_REQUEST_INVALID",
    )
    expect(await refused(runtime.removePort(id, { host: 1 }))).toBe("OVM_PORT_UNKNOWN")
    expect(await refused(runtime.removePort(id, { host: own?.host ?? 0, protocol: "udp" }))).toBe(
      "OVM_PORT_UNKNOWN",
    )
    expect(await portsOf(id)).toEqual(before)
    const alone = await started({ mode: "none" })
    expect(await refused(runtime.addPort(alone, { guest: 80 }))).toBe("OVM_UNSUPPORTED")
  })
})
