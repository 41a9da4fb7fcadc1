import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { once } from "node:events"
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs"
import { type AddressInfo, connect, createServer, type Server } from "node:net"
import { join } from "node:path"
import { KERNEL, KERNEL_ARGS, machineMissing, NET } from "@ovms/testkit/machines.ts"
import { pidsIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(300_000)

// What a guest reaches, and who reaches it (spec/manifest.md, "network"; spec/runtime-api.md, "Network").

const skip = (await machineMissing()) || (Bun.which("passt") ? "" : "passt is not installed")
if (skip) console.log(`SKIP packages/ovm/test/network.test.ts: ${skip}`)

/** On the host's loopback, as its own services are. */
let service: Server
let reached = 0
beforeAll(async () => {
  service = createServer((socket) => {
    reached += 1
    socket.on("error", () => {}).end("a service of the host\n")
  }).listen(0, "127.0.0.1")
  await once(service, "listening")
})
afterAll(() => void service.close())

async function packed(host: Sandbox, script = ""): Promise<void> {
  const { port } = service.address() as AddressInfo
  const reach = [`gateway:${port}`, ...resolver].join()
  const run = Buffer.from(script).toString("base64")
  const source = {
    schemaVersion: 1,
    name: "net/guest",
    kernel: {
      path: KERNEL,
      args: `${KERNEL_ARGS} ovm.reach=${reach} ovm.run=${run}`,
    },
    initrd: { path: NET },
    network: [{ mode: "user", ports: [{ guest: 80 }] }],
    resources: { memory: 128 << 20 },
  }
  await host.ok(["pack", "-f", await host.file("machine.json", source), "-t", "net:1"])
}

/** The resolver of this host, if it can be connected to: what stands for the rest of the world. */
const resolver: readonly string[] = await outside()
async function outside(): Promise<string[]> {
  const address = /^nameserver ([\d.]+)$/m.exec(readFileSync("/etc/resolv.conf", "utf8"))?.[1]
  if (!address || address.startsWith("127.")) return []
  const socket = connect(53, address).setTimeout(2000)
  const open = await new Promise<boolean>((resolve) => {
    socket.once("connect", () => resolve(true))
    for (const event of ["error", "timeout"]) socket.once(event, () => resolve(false))
  })
  socket.destroy()
  return open ? [`${address}:53`] : []
}

/** The console of a guest that has told whom it reaches. */
async function ready(host: Sandbox, id: string): Promise<string> {
  return await until("a guest that is ready", () => host.ok(["logs", id]), {
    is: (text) => text.includes("OVM-READY"),
    deadlineMs: 180_000,
    everyMs: 200,
  })
}

/** What the guest's web server says by a port of this host, as soon as it does. */
async function answer(port: number): Promise<string> {
  return await until(
    `an answer of port ${port}`,
    // Also an answer that stops in the middle is none.
    () =>
      fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2000) })
        .then((response) => response.text())
        .catch(() => undefined),
    { deadlineMs: 120_000, everyMs: 50 },
  )
}

/** Command lines of the passt programs that have a port of these open. */
function passts(...ports: readonly number[]): string[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ")
        return /passt/.test(line) && ports.some((port) => line.includes(`/${port}:`)) ? [line] : []
      } catch {
        return []
      }
    })
}

async function noPasst(...ports: readonly number[]): Promise<void> {
  await until("no passt", () => passts(...ports), { is: (left) => left.length === 0 })
}

async function portOf(host: Sandbox, id: string): Promise<number> {
  const { ports } = await host.json(["port", id])
  expect(ports).toHaveLength(1)
  expect(ports[0]).toMatchObject({ protocol: "tcp", address: "127.0.0.1", guest: 80 })
  expect(await host.ok(["port", id])).toBe(`127.0.0.1:${ports[0].host}->80/tcp`)
  expect((await host.json(["status", id])).network.ports).toEqual(ports)
  return ports[0].host
}

async function macOf(host: Sandbox, id: string): Promise<string> {
  return (await host.json(["status", id])).network.mac
}

const run = async (host: Sandbox, ...args: readonly string[]): Promise<string> =>
  (await host.json(["run", "-d", ...args])).instance_id

// OVMS-GST-040, OVMS-MAN-105, OVMS-MAN-108, OVMS-API-254, OVMS-API-255, OVMS-API-258, OVMS-API-259, OVMS-SNP-160
test.skipIf(Boolean(skip))(
  "a guest has a way out and not into the host, is answered for by its ports, and so is its clone",
  async () => {
    await using host = await Sandbox.create()
    await packed(host)
    const first = await run(host, "--name", "first", "-P", "net:1")
    const port = await portOf(host, first)
    const console = await ready(host, first)
    expect(console).toContain("OVM-REACH gateway:")
    expect(console).toMatch(/OVM-REACH gateway:\d+ closed/)
    expect(reached).toBe(0)
    for (const at of resolver) expect(console).toContain(`OVM-REACH ${at} open`)
    const mac = await macOf(host, first)
    expect(console).toContain(mac)
    expect(await answer(port)).toBe(`mac ${mac}\n`)

    // A port in use is told before anything is there.
    const before = (await host.instances("--all")).length
    await host.fails(["run", "-d", "-p", `${port}:80`, "net:1"], "OVM_PORT_IN_USE", [`127.0.0.1:${port}`])
    const twice = ["-p", "18100:80", "-p", "0.0.0.0:18100:81"]
    const named = ["127.0.0.1:18100->80/tcp", "0.0.0.0:18100->81/tcp"]
    await host.fails(["run", "-d", ...twice, "net:1"], "OVM_REQUEST_INVALID", named)
    expect(await host.instances("--all")).toHaveLength(before)

    // Without the daemon, and under the next one.
    await host.ok(["daemon", "--stop"])
    expect(await answer(port)).toBe(`mac ${mac}\n`)

    await host.ok(["snapshot", first, "--tag", "up"])
    const clone = await run(host, "--name", "clone", "-p", "80", "net:up")
    const other = await portOf(host, clone)
    expect(other).not.toBe(port)
    expect(await answer(other)).toBe(`mac ${mac}\n`)
    expect(await answer(port)).toBe(`mac ${mac}\n`)
    expect(passts(port, other)).toHaveLength(2)

    // Started again it has the port that it had, and still the address.
    await host.ok(["restart", "--time", "0", clone])
    expect(await portOf(host, clone)).toBe(other)
    expect(await answer(other)).toBe(`mac ${mac}\n`)

    // Nobody is left, whoever ends it.
    const folder = join(host.home, "instances", clone)
    for (const pid of pidsIn(folder, "qemu-system-x86")) process.kill(pid, "SIGKILL")
    await noPasst(other)
    await host.ok(["rm", "--force", first])
    await noPasst(port)
  },
)

// OVMS-API-254: passt of Debian 12 alone tells a guest of a connection only once its client has said something.
test.skipIf(Boolean(skip))("a service of the guest that speaks first is heard", async () => {
  await using host = await Sandbox.create()
  await packed(host, "serve 25 echo welcome")
  const id = await run(host, "-p", "25", "net:1")
  await ready(host, id)
  const { ports } = await host.json(["port", id])
  const heard = async () => {
    const socket = connect(ports[0].host, "127.0.0.1").setTimeout(20_000, () => socket.destroy())
    let words = ""
    for await (const bytes of socket) words += bytes
    return words
  }
  for (let times = 0; times < 20; times++) expect(await heard()).toBe("welcome\n")
})

/** A connection to a port of the guest that says what it is told. */
function echo(port: number) {
  const socket = connect(port, "127.0.0.1").setTimeout(60_000, () => socket.destroy())
  const heard = socket[Symbol.asyncIterator]()
  return {
    heard,
    says: async (words: string) => {
      socket.write(words)
      for (let said = ""; said !== words; said += (await heard.next()).value ?? "the end") {
        if (!words.startsWith(said)) throw new Error(`${JSON.stringify(said)} for ${words}`)
      }
    },
    ended: async () => {
      for await (const _ of socket.on("error", () => {}));
      return true
    },
  }
}

// OVMS-API-265, OVMS-API-267, OVMS-API-274
test.skipIf(Boolean(skip))(
  "ports are added and removed while the guest runs, and others do not notice",
  async () => {
    await using host = await Sandbox.create()
    await packed(host, "serve 25 echo welcome; serve 26 cat")
    const id = await run(host, "-p", "26", "-p", "80", "net:1")
    await ready(host, id)
    const mac = await macOf(host, id)
    const { ports } = await host.json(["port", id])
    const add = async (port: string): Promise<number> => (await host.json(["port", "add", id, port])).host
    const first = echo(ports[0].host)
    await first.says("by the first\n")

    const [web, other, welcome] = [await add("80"), await add("26"), await add("25")]
    expect(await answer(web)).toBe(`mac ${mac}\n`)
    for (let times = 0; times < 10; times++)
      expect((await echo(welcome).heard.next()).value?.toString()).toBe("welcome\n")
    const [kept, lost] = [echo(other), echo(other)]
    await kept.says("by one that was added\n")
    await lost.says("and another\n")
    const large = `${"0123456789abcdef".repeat(1 << 14)}\n`
    await Promise.all([first, kept].map((one) => one.says(large)))

    // Its connections end with it, in the guest too.
    await host.ok(["port", "rm", id, `${web}`])
    await expect(fetch(`http://127.0.0.1:${web}/`)).rejects.toThrow()
    await host.ok(["daemon", "--stop"])
    await first.says("still\n")
    await kept.says("there\n")
    await host.ok(["port", "rm", id, `${other}`])
    expect(await Promise.all([kept.ended(), lost.ended()])).toEqual([true, true])
    await first.says("and on\n")

    // One of the start is shut, and who is in stays.
    const said = await host.ovm(["port", "rm", id, `${ports[0].host}`])
    expect(said.stderr).toContain("until the machine ends")
    expect(await echo(ports[0].host).ended()).toBe(true)
    await first.says("to the end\n")
    expect(await answer(ports[1].host)).toBe(`mac ${mac}\n`)
    expect((await host.json(["port", id])).ports.map((port: { host: number }) => port.host)).toEqual([
      ports[1].host,
      welcome,
    ])

    // A clone that was not asked for any has the same way to some.
    await host.ok(["snapshot", id, "--tag", "up"])
    const clone = await run(host, "net:up")
    const { host: late } = await host.json(["port", "add", clone, "80"])
    expect(await answer(late)).toBe(`mac ${mac}\n`)
    await host.ok(["rm", "--force", id, clone])
    await noPasst(ports[0].host, welcome, late)
  },
)

// OVMS-API-105, OVMS-SNP-161
test.skipIf(Boolean(skip))(
  "a slot has no passt until it is taken; a clone without a network has none",
  async () => {
    await using host = await Sandbox.create()
    await packed(host)
    // Its passts are known from everybody else's by their path.
    const passt = host.path("bin/passt")
    mkdirSync(host.path("bin"))
    symlinkSync(Bun.which("passt") ?? "", passt)
    const env = { PATH: `${host.path("bin")}:${process.env.PATH}` }
    const count = () => readdirSync("/proc").filter((pid) => commandOf(pid).startsWith(`${passt} `)).length
    const source = (await host.json(["run", "-d", "net:1"], { env })).instance_id
    await ready(host, source)
    expect(count()).toBe(1)
    await host.ok(["snapshot", source, "--tag", "up", "--stop"])
    await host.ok(["warm", "net:up"])
    await until("no passt", count, { is: (left) => left === 0 })
    const taken = await run(host, "net:up")
    expect((await host.json(["status", taken])).timings_ms.spawn).toBeUndefined()
    await until("a passt of its own", count, { is: (found) => found === 1 })

    const alone = await run(host, "--network", "none", "net:up")
    expect((await host.json(["status", alone])).network).toMatchObject({ mode: "none" })
    expect(count()).toBe(1)
    await host.fails(["run", "-d", "--network", "none", "-p", "80", "net:up"], "OVM_UNSUPPORTED", ["ports"])
  },
)

function commandOf(pid: string): string {
  try {
    return /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ") : ""
  } catch {
    return ""
  }
}

// OVMS-MAN-109, OVMS-API-251, OVMS-API-257
test.skipIf(Boolean(skip))("without passt there are ports and no way out, and that is said", async () => {
  await using host = await Sandbox.create()
  const bin = host.path("bin")
  mkdirSync(bin)
  const qemu = Bun.which("qemu-system-x86_64") ?? ""
  symlinkSync(qemu, join(bin, "qemu-system-x86_64"))
  await packed(host)
  await host.ok(["daemon", "--stop"]).catch(() => {})
  const env = { PATH: bin }
  const answered = await host.json(["run", "-d", "-P", "net:1"], { env })
  const id = answered.instance_id
  const { network, warnings } = await host.json(["status", id])
  expect(network).toMatchObject({ mode: "user", outbound: false })
  expect(warnings.join()).toContain("apt install passt")
  const console = await ready(host, id)
  expect(console).not.toMatch(/OVM-REACH \S+ open/)
  expect(reached).toBe(0)
  const mac = await macOf(host, id)
  expect(await answer(await portOf(host, id))).toBe(`mac ${mac}\n`)

  // Its network has a state, which goes into the snapshot, and is gone on from with passt there too.
  await host.ok(["snapshot", id, "--tag", "up"])
  await host.ok(["daemon", "--stop"])
  const clone = await run(host, "-p", "80", "net:up")
  const status = await host.json(["status", clone])
  expect(status.network).toMatchObject({ mode: "user", outbound: false, mac })
  expect(status.warnings.join()).toContain("QEMU's own network")
  expect(await answer(await portOf(host, clone))).toBe(`mac ${mac}\n`)

  const closed = await run(host, "--outbound", "off", "-P", "net:1")
  expect((await host.json(["status", closed])).network).toMatchObject({ outbound: false })
  expect(passts(await portOf(host, closed))).toEqual([])

  const none = await run(host, "--network", "none", "net:1")
  expect(await ready(host, none)).toContain("OVM-NET none")
  expect((await host.json(["status", none])).network).toEqual({ mode: "none" })
})
