// How fast a guest is reached by a port of its host, both ways, beside the same command line and passt by hand. Part of
// `make bench-machine`.
import { connect as connectTo } from "node:net"
import { join } from "node:path"
import { findPasst } from "../packages/ovm/src/network/passt.ts"
import { MACHINE, OVM, output, untilSaid, withHome } from "./programs.ts"
import { inTurns } from "./turns.ts"
import { recipeOf, runByHand } from "./vmm-by-hand.ts"

const ROUNDS = 5
const MIB = 16
const BOUND = 0.95
const HAND = { web: 18_080, sink: 18_081 }

const source = {
  schemaVersion: 1,
  name: "bench/ports",
  kernel: {
    path: join(MACHINE, "vmlinuz"),
    args: `console=ttyS0 quiet panic=-1 no_timer_check ovm.blob=${MIB}`,
  },
  initrd: { path: join(MACHINE, "net.img") },
  resources: { memory: 192 << 20 },
}

/** Milliseconds until the guest's file has come. */
async function down(port: number): Promise<number> {
  const began = performance.now()
  const response = await fetch(`http://127.0.0.1:${port}/blob`)
  let length = 0
  for await (const bytes of response.body ?? []) length += bytes.length
  if (length !== MIB << 20) throw new Error(`${length} bytes have come`)
  return performance.now() - began
}

/** Milliseconds until the guest has taken as much and hung up. */
async function up(port: number): Promise<number> {
  const began = performance.now()
  const socket = connectTo(port, "127.0.0.1")
  socket.end(Buffer.alloc(MIB << 20, 7)).resume()
  await new Promise((resolve, reject) => socket.once("close", resolve).once("error", reject))
  const took = performance.now() - began
  // Its next listener.
  await Bun.sleep(1000)
  return took
}

function rate(what: string, [ours = 0, theirs = 0]: readonly number[]): void {
  const [a, b] = [(MIB * 1000) / ours, (MIB * 1000) / theirs]
  const verdict = a / b >= BOUND ? "holds" : "MISSED"
  console.log(
    `${what}: ${a.toFixed(1)} MiB/s, by hand ${b.toFixed(1)} MiB/s, ratio ${(a / b).toFixed(2)} (bound ${BOUND}: ${verdict})`,
  )
}

if (findPasst() === undefined) throw new Error("passt is not installed")
await withHome(async (env, home) => {
  await Bun.write(join(home, "machine.json"), JSON.stringify(source))
  output([OVM, "pack", "-f", join(home, "machine.json"), "-t", "ports:1"], env)
  const run = ["run", "-d", "--json", "-p", "0:80", "-p", "0:81", "ports:1"]
  const { instance_id: id } = JSON.parse(output([OVM, ...run], env))
  const { ports } = JSON.parse(output([OVM, "port", id, "--json"], env)) as {
    ports: { guest: number; host: number }[]
  }
  const host = (guest: number) => ports.find((port) => port.guest === guest)?.host ?? 0
  const forward = (guest: number, at: number) =>
    ({ protocol: "tcp", address: "127.0.0.1", host: at, guest }) as const
  const recipe = await recipeOf(join(home, "instances", id))
  const child = await runByHand(recipe, join(home, "hand"), [forward(80, HAND.web), forward(81, HAND.sink)])
  try {
    await untilSaid(child.stdout as AsyncIterable<Uint8Array>, "OVM-READY")
    while (!output([OVM, "logs", id], env).includes("OVM-READY")) await Bun.sleep(200)
    rate(
      "a published port, from the guest",
      await inTurns(
        ROUNDS,
        () => down(host(80)),
        () => down(HAND.web),
      ),
    )
    rate(
      "a published port, into the guest",
      await inTurns(
        ROUNDS,
        () => up(host(81)),
        () => up(HAND.sink),
      ),
    )
  } finally {
    child.kill("SIGKILL")
    output([OVM, "rm", "--force", id], env)
  }
})
