import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { createSocket, type Socket } from "node:dgram"
import { once } from "node:events"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { networkInterfaces, tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { buildGuest } from "@ovms/testkit/guest.ts"
import { until } from "@ovms/testkit/until.ts"
import type { PortForward } from "../../network/forward.ts"
import { randomMac } from "../../network/mac.ts"
import { openPorts } from "../../network/open-ports.ts"
import { Bench } from "../bench.testing.ts"
import type { Machine } from "../machine.ts"
import type { NetworkPlan } from "../plan.ts"
import { askFilter } from "../process/filter-socket.ts"
import { endStray } from "../process/stray.ts"
import { MEMORY, SnapshotBench } from "../snapshot-bench.testing.ts"
import { firecracker } from "./index.ts"
import { networkFault } from "./network.ts"

// Real machines, whose guest answers what comes by UDP, minutes where KVM is emulated in software.
setDefaultTimeout(240_000)

const folder = mkdtempSync(join(tmpdir(), "ovm-firecracker-here-"))
const fault = await firecracker(folder)
  .capabilities()
  .then(networkFault, (error: unknown) => String(error))
rmSync(folder, { recursive: true, force: true })
const [outer] = Object.values(networkInterfaces())
  .flatMap((all = []) => all)
  .filter(({ family, internal }) => family === "IPv4" && !internal)
const note = fault ? `(skipped: ${fault})` : outer ? "" : "(skipped: this host has no network)"

const SILENCE_MS = 100
const GUEST_PORT = 7007

describe.skipIf(note !== "")(`a network of a machine's own on Firecracker ${note}`, () => {
  const under = {
    module: join(import.meta.dir, "index.ts"),
    factory: "firecracker",
    missing: "",
    snapshots: true,
  }
  const bench = new Bench(mkdtempSync(join(tmpdir(), "ovm-firecracker-user-")), under)
  const sockets: Socket[] = []
  beforeAll(async () => await bench.open(await buildGuest()))
  afterAll(async () => {
    for (const socket of sockets) socket.close()
    await Promise.all(bench.folders.map(endStray))
    rmSync(bench.root, { recursive: true })
  })

  async function bound(address: string): Promise<Socket> {
    const socket = createSocket("udp4").bind(0, address)
    await once(socket, "listening")
    sockets.push(socket)
    return socket
  }

  async function newPort(): Promise<PortForward> {
    const [port] = await openPorts([{ protocol: "udp", address: "127.0.0.1", guest: GUEST_PORT }])
    if (!port) throw new Error("no port is free")
    return port
  }

  const networkWith = (...forwards: PortForward[]): NetworkPlan => ({
    ...{ mode: "user", mac: randomMac(), outbound: true, forwards },
  })

  /** Says it again until the guest has answered: a datagram may be lost. */
  async function answerBy({ host }: PortForward, said: Uint8Array): Promise<string> {
    const client = await bound("127.0.0.1")
    const answer = once(client, "message")
    const again = async () => {
      client.send(said, host, "127.0.0.1")
      return await Promise.race([answer, sleep(SILENCE_MS)])
    }
    const [data] = (await until("the guest answers", again)) as [Buffer]
    return data.toString("latin1")
  }

  /** Has the guest send to where `socket` is. */
  function trying(socket: Socket): Buffer {
    const { address, port } = socket.address()
    return Buffer.from([...Buffer.from("try"), ...address.split(".").map(Number), port >> 8, port & 0xff])
  }

  async function launch(network: NetworkPlan, args = "tick_ms=10"): Promise<Machine> {
    const resources = { vcpus: 1, memory: MEMORY }
    const machine = await bench.vmm.launch(bench.planOf(`answer=1 ${args}`, { network, resources }))
    await bench.until(machine, "ANSWER ready\r\n")
    return machine
  }

  test("ports lead into it, and its guest reaches nothing of the host but what is allowed (OVMS-API-254, OVMS-MAN-110)", async () => {
    const [first, second] = [await newPort(), await newPort()]
    const machine = await launch(networkWith(first))
    expect(await answerBy(first, Buffer.from("hello"))).toBe("hello")

    // The answer comes behind what was tried, by the same way.
    const service = await bound(outer?.address ?? "")
    const heard: string[] = []
    service.on("message", (data) => heard.push(data.toString("latin1", 0, 3)))
    await answerBy(first, trying(service))
    expect(heard).toEqual([])
    await askFilter(
      machine.record.directory,
      `allow ${service.address().address}/32 ${service.address().port}`,
    )
    await answerBy(first, trying(service))
    await until("it is let through", () => heard.includes("try"))

    // Ports come and go while it runs (OVMS-API-265, OVMS-API-267).
    await machine.ports?.open(second)
    expect(await answerBy(second, Buffer.from("again"))).toBe("again")
    expect((await machine.ports?.list())?.open).toContainEqual(second)
    await machine.ports?.close(first)
    expect((await machine.ports?.list())?.open).toEqual([second])

    // Whoever carries it may be killed, and its end is told; with the VMM all of it is gone (OVMS-API-259).
    process.kill(carrierOf(machine), "SIGKILL")
    await machine.unlinked
    process.kill(machine.record.pid, "SIGKILL")
    await machine.exited
    expect(await openPorts([first, second], { patienceMs: 60_000 })).toHaveLength(2)
  })

  test("a clone has a network of its own, and an end with all that is beside it (OVMS-SNP-160)", async () => {
    const shots = new SnapshotBench(bench)
    const machine = await launch(networkWith(), "tick_ms=10")
    const files = { ram: bench.path("ram"), state: bench.path("state") }
    const { origin } = await shots.take(machine, files)
    const mac = bench.vmm.loader?.macIn(origin.model.devices) ?? ""
    expect(origin.model.devices).toContain(`virtio-net,mac=${mac}`)
    const port = await newPort()
    const loaded = await shots.load(
      shots.resumePlan(origin, undefined, { network: { ...networkWith(port), mac } }),
    )
    const clone = await loaded.resume()
    expect(await answerBy(port, Buffer.from("hello"))).toBe("hello")
    // One that is connected to nothing has its interface all the same.
    const loose = await shots.clone(origin)
    await shots.ticks(loose, 3)
    const carrier = carrierOf(clone)
    await shots.end(machine, clone, loose)
    await until("nothing carries any more", () => !readdirSync("/proc").includes(String(carrier)))
    expect(await openPorts([port], { patienceMs: 60_000 })).toEqual([port])
  })
})

/** The process beside a machine's VMM, in its network. */
function carrierOf({ record }: Machine): number {
  const space = (pid: string | number) => Bun.spawnSync(["readlink", `/proc/${pid}/ns/net`]).stdout.toString()
  const here = space(record.pid)
  const named = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && commOf(name) === "ovm-tap")
  return Number(named.find((pid) => space(pid) === here))
}

function commOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim()
  } catch {
    return ""
  }
}
