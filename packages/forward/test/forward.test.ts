import { afterAll, expect, test } from "bun:test"
import { execFileSync, spawnSync } from "node:child_process"
import { createSocket } from "node:dgram"
import { once } from "node:events"
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from "node:fs"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { copyChecked } from "@ovms/testkit/checked.ts"
import { until } from "@ovms/testkit/until.ts"
import { lockHolder } from "../../ovm/src/host/lock-holder.ts"
import { makeTap } from "../../ovm/src/host/tap.ts"
import type { PortForward } from "../../ovm/src/network/forward.ts"
import {
  beginForwards,
  closeForward,
  forwardsNow,
  openForward,
  openForwardsIn,
} from "../../ovm/src/network/named/forwarder.ts"

// A port of the host that leads to a machine's: here to one of this host's own, whose interface a tap stands for.

const SHIPPED = join(import.meta.dir, "../dist/ovm-forward")
const GUEST = "127.0.0.2"
const LOOPBACK_INDEX = 1
const root = mkdtempSync(join(tmpdir(), "ovm-forward-"))
const CHECKED = join(root, "checked")
const started: number[] = []
const closing: (() => void)[] = []
afterAll(() => {
  for (const end of closing) end()
  for (const pid of started) if (isThere(pid)) process.kill(pid, "SIGKILL")
  rmSync(root, { recursive: true })
})

const skip = tapMissing()
if (skip) console.log(`SKIP packages/forward/test/forward.test.ts: ${skip}`)

function tapMissing(): string {
  try {
    closeSync(openTap().fd)
    return ""
  } catch {
    return "interfaces cannot be made here"
  }
}

function openTap(): { readonly fd: number; readonly index: number } {
  const fd = openSync("/dev/net/tun", "r+")
  const name = makeTap(fd)
  const [link] = JSON.parse(execFileSync("ip", ["-j", "link", "show", "dev", name]).toString())
  return { fd, index: link.ifindex }
}

function isThere(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

/** A service of the guest that says again what it hears, and at the end how much that was. */
async function echo(): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let heard = 0
    socket.on("data", (bytes) => {
      heard += bytes.length
      if (!socket.write(bytes)) socket.pause()
    })
    socket.on("drain", () => socket.resume())
    socket.on("end", () => socket.end(`heard ${heard}`)).on("error", () => {})
  }).listen(0, GUEST)
  await once(server, "listening")
  closing.push(() => server.close())
  return (server.address() as AddressInfo).port
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}

function start(program: string, words: readonly string[], index = LOOPBACK_INDEX) {
  const folder = join(root, "forwards")
  mkdirSync(folder, { recursive: true })
  const itself = openSync(program, "r")
  const args = [...words, `${index}`]
  const { status, stderr } = spawnSync(program, args, {
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe", itself],
  })
  closeSync(itself)
  const [protocol, address, port, , guest] = words
  const pid = lockHolder(join(folder, `${protocol} ${address} ${port} ${guest}`))
  if (pid !== undefined) started.push(pid)
  return { status, said: `${stderr}`, pid: pid ?? 0 }
}

async function said(socket: Socket): Promise<string> {
  const pieces: Buffer[] = []
  for await (const bytes of socket) pieces.push(bytes)
  return Buffer.concat(pieces).toString("latin1")
}

async function toldBy(address: string, port: number, words: string): Promise<string> {
  const socket = connect({ host: address, port, allowHalfOpen: true })
  socket.end(words)
  return await said(socket)
}

test.skipIf(Boolean(skip))(
  "TCP goes both ways, whole and half closed, for many at once; who is refused hears it",
  async () => {
    copyChecked(join(import.meta.dir, "../src"), CHECKED)
    const guest = await echo()
    const nobody = await freePort()
    for (const program of [CHECKED, SHIPPED]) {
      const [port, six, shut] = [await freePort(), await freePort(), await freePort()]
      const ways = [
        ["tcp", "127.0.0.1", `${port}`, GUEST, `${guest}`],
        ["tcp", "::1", `${six}`, GUEST, `${guest}`],
        ["tcp", "127.0.0.1", `${shut}`, GUEST, `${nobody}`],
      ].map((words) => start(program, words))
      expect(ways.map(({ status, said }) => `${status}${said}`)).toEqual(["0", "0", "0"])
      const large = "0123456789abcdef".repeat(1 << 17)
      expect(await toldBy("127.0.0.1", port, large)).toBe(`${large}heard ${large.length}`)
      expect(await toldBy("::1", six, "six")).toBe("sixheard 3")
      const many = Array.from({ length: 200 }, async (_, at) => await toldBy("127.0.0.1", port, `${at}`))
      expect(await Promise.all(many)).toEqual(many.map((_, at) => `${at}heard ${`${at}`.length}`))
      await expect(toldBy("127.0.0.1", shut, "?")).rejects.toThrow(/ECONNRESET|socket/i)
      // One that leaves in the middle takes nobody along.
      const rude = connect(port, "127.0.0.1")
      await once(rude, "connect")
      rude.write(large)
      rude.resetAndDestroy()
      expect(await toldBy("127.0.0.1", port, "still")).toBe("stillheard 5")
      for (const { pid } of ways) expect(readFileSync(`/proc/${pid}/status`, "utf8")).not.toMatch(/^Uid:\t0/m)
      for (const { pid } of ways) process.kill(pid)
    }
  },
)

test.skipIf(Boolean(skip))(
  "who sends datagrams is answered by the address that it has spoken to",
  async () => {
    copyChecked(join(import.meta.dir, "../src"), CHECKED)
    const service = createSocket("udp4")
    service.on("message", (bytes, { port, address }) => service.send(`again ${bytes}`, port, address))
    service.bind(0, GUEST)
    await once(service, "listening")
    closing.push(() => service.close())
    const guest = service.address().port
    for (const program of [CHECKED, SHIPPED]) {
      const port = await freePort()
      const all = ["0.0.0.0", "::1"].map((host) =>
        start(program, ["udp", host, `${port}`, GUEST, `${guest}`]),
      )
      expect(all.map(({ status, said }) => `${status}${said}`)).toEqual(["0", "0"])
      for (const address of ["127.0.0.1", "127.0.0.7", "::1"]) {
        const clients = Array.from({ length: 20 }, async (_, at) => {
          const client = createSocket(address.includes(":") ? "udp6" : "udp4")
          client.connect(port, address)
          await once(client, "connect")
          client.send(`${at}`)
          const [bytes, from] = await once(client, "message")
          client.close()
          return `${bytes} of ${from.address}`
        })
        expect(await Promise.all(clients)).toEqual(clients.map((_, at) => `again ${at} of ${address}`))
      }
      for (const { pid } of all) process.kill(pid)
    }
  },
)

test.skipIf(Boolean(skip))(
  "it is open once, on record by a lock, and as long as the machine's interface is there",
  async () => {
    const directory = join(root, "machine")
    mkdirSync(directory)
    const guest = await echo()
    const [one, other] = [await freePort(), await freePort()]
    const forward = (host: number): PortForward => ({ protocol: "tcp", address: "127.0.0.1", host, guest })
    const { fd, index } = openTap()
    await beginForwards(directory, { address: GUEST, index }, [forward(one)])
    await openForward(directory, forward(other))
    expect(openForwardsIn(directory)).toEqual([one, other].sort().map(forward))
    await expect(openForward(directory, forward(one))).rejects.toThrow(
      `port 127.0.0.1:${one} (tcp) is in use`,
    )
    await closeForward(directory, forward(other))
    expect(openForwardsIn(directory)).toEqual([forward(one)])
    await expect(toldBy("127.0.0.1", other, "?")).rejects.toThrow()
    expect(await toldBy("127.0.0.1", one, "here")).toBe("hereheard 4")
    const pid = lockHolder(join(directory, "forwards", `tcp 127.0.0.1 ${one} ${guest}`)) ?? 0
    // One that is killed has closed, and the machine is there.
    await openForward(directory, forward(other))
    const killed = lockHolder(join(directory, "forwards", `tcp 127.0.0.1 ${other} ${guest}`)) ?? 0
    process.kill(killed, "SIGKILL")
    await until("its end", () => isThere(killed), { is: (there) => !there })
    expect(await forwardsNow(directory)).toEqual([forward(one)])
    // Another interface that comes and goes is none of its business.
    closeSync(openTap().fd)
    expect(await toldBy("127.0.0.1", one, "here")).toBe("hereheard 4")
    closeSync(fd)
    await until("its end", () => isThere(pid), { is: (there) => !there })
    expect(openForwardsIn(directory)).toEqual([])
    expect(await forwardsNow(directory)).toBeUndefined()
    await expect(openForward(directory, forward(one))).rejects.toThrow("the machine has ended")
  },
)

test("other words than ovm's are refused, and the program is small", () => {
  const good = ["tcp", "127.0.0.1", "1", GUEST, "80"]
  for (const words of [
    good.slice(1),
    ["sctp", ...good.slice(1)],
    good.with(1, "localhost"),
    good.with(2, "0"),
    good.with(2, "65536"),
    good.with(4, "80x"),
    good.with(3, ""),
  ])
    expect(start(SHIPPED, words)).toMatchObject({
      status: 2,
      said: expect.stringContaining("started by ovm only"),
    })
  expect(start(SHIPPED, good, 0).status).toBe(2)
  expect(statSync(SHIPPED).size).toBeLessThan(100_000)
})
