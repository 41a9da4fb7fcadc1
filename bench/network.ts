// What the filter costs: bytes a second through a published port into the guest, of a machine with it and of one that
// has passt alone, in turns. `make bench-network`.
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, mkdtempSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { until } from "@ovms/testkit/until.ts"
import { socketPair } from "../packages/ovm/src/host/libc.ts"
import { startFilter } from "../packages/ovm/src/network/filter.ts"
import { openPorts } from "../packages/ovm/src/network/open-ports.ts"
import { findPasst, startPasst } from "../packages/ovm/src/network/passt.ts"
import { outboundRules } from "../packages/ovm/src/network/rules.ts"
import { inTurns } from "./turns.ts"

const MACHINE = join(import.meta.dir, "../.cache/machine")
const MAC = "52:54:00:12:34:56"
const ROUNDS = 9
const TURN_MS = 2000
const REST_MS = 300
const BOUND = 0.95
/** The guest's port, which takes what comes. */
const TAKES = 82
const GUEST = `nc -ll -p ${TAKES} -e dd of=/dev/null bs=64k & sleep 1`

interface Machine {
  readonly port: number
  readonly child: ChildProcess
}

/** By hand, with what carries its frames at the other end of descriptor 3. */
async function boot(
  carry: (end: number, ports: Awaited<ReturnType<typeof openPorts>>) => Promise<void>,
): Promise<Machine> {
  const address = "127.0.0.1"
  const ports = await openPorts([{ protocol: "tcp", address, guest: TAKES }])
  const [vmm, other] = socketPair()
  const run = Buffer.from(GUEST).toString("base64")
  const args = [
    ...["-nodefaults", "-display", "none", "-machine", "q35", "-m", "128", "-serial", "stdio"],
    ...["-kernel", join(MACHINE, "vmlinuz"), "-initrd", join(MACHINE, "net.img")],
    ...["-append", `console=ttyS0 quiet no_timer_check ovm.run=${run}`],
    ...["-netdev", "stream,id=net,server=off,addr.type=fd,addr.str=3"],
    ...["-device", `virtio-net-pci,netdev=net,mac=${MAC},romfile=`],
  ]
  const child = spawn("timeout", ["600", "qemu-system-x86_64", ...args], {
    stdio: ["ignore", "pipe", "ignore", vmm],
  })
  closeSync(vmm)
  await carry(other, ports)
  closeSync(other)
  let said = ""
  child.stdout?.on("data", (bytes) => {
    said += bytes
  })
  await until("a guest", () => said.includes("OVM-READY"), { everyMs: 100 })
  return { child, port: ports[0]?.host ?? 0 }
}

/** Milliseconds that a megabyte takes into the guest. */
async function send(port: number): Promise<number> {
  const socket = connect(port, "127.0.0.1").on("error", () => {})
  const chunk = Buffer.alloc(256 << 10)
  let sent = 0
  for (const began = performance.now(); performance.now() - began < TURN_MS; sent += chunk.length)
    if (!socket.write(chunk)) await once(socket, "drain")
  socket.destroy()
  await Bun.sleep(REST_MS)
  return (TURN_MS * 1e6) / sent
}

/** For the filter's socket. */
const folder = mkdtempSync(join(tmpdir(), "ovm-bench-"))
const passt = findPasst()
if (!passt) throw new Error("passt is not installed")
const bare = await boot((end, ports) =>
  startPasst(passt, ports, { connection: end }, new AbortController().signal),
)
const filtered = await boot(async (guest, forwards) => {
  const [outside, inside] = socketPair()
  const { signal } = new AbortController()
  const what = { mac: MAC, forwards, rules: outboundRules(), directory: folder }
  await startFilter(what, { guest, outside }, signal)
  await startPasst(passt, forwards, { connection: inside }, signal)
  for (const end of [outside, inside]) closeSync(end)
})
const [ours = 0, theirs = 0] = await inTurns(
  ROUNDS,
  () => send(filtered.port),
  () => send(bare.port),
)
const ratio = theirs / ours
const verdict = ratio >= BOUND ? "holds" : "MISSED"
const rate = (ms: number) => `${(1000 / ms).toFixed(1)} MB/s`
console.log(
  `into a guest: ${rate(ours)} with the filter, ${rate(theirs)} without, ratio ${ratio.toFixed(2)} (bound ${BOUND}: ${verdict})`,
)
for (const { child } of [bare, filtered]) child.kill()
rmSync(folder, { recursive: true })
