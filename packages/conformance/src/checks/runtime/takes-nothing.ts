import { readFile } from "node:fs/promises"
import { createConnection, type Socket } from "node:net"
import { must, skip } from "../../check.ts"
import { aside } from "./aside.ts"
import { harnessOf, type Plan } from "./plan.ts"

const MIB = 1 << 20
/** What a runtime may take for one client that takes nothing, and for how long (limits.md). */
const MEMORY = 256 * MIB
const CLOSED_MS = 30_000 + 20_000

/** So many bytes of questions; the answers are many times as long. */
const QUESTIONS = 8 * MIB
const QUESTION = "GET /info HTTP/1.1\r\nhost: ovm\r\n\r\n"

async function resident(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "latin1").catch(() => "")
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? skip("this host has no /proc")) * 1024
}

/** Asks and asks, and takes no answer; resolves once nothing more goes out, or all has. */
async function ask(socket: Socket): Promise<void> {
  const piece = QUESTION.repeat(1000)
  for (let sent = 0; sent < QUESTIONS && !socket.destroyed; sent += piece.length) {
    if (socket.write(piece)) continue
    const went = await Promise.race([
      new Promise((resolve) => socket.once("drain", () => resolve(true))),
      new Promise((resolve) => setTimeout(resolve, 2000)),
    ])
    if (!went) return
  }
}

export const takesNothingPlans: readonly Plan[] = [
  {
    name: "bounds/client-that-takes-nothing",
    covers: ["OVMS-LIM-023"],
    slow: true,
    waits: true,
    run: (whole) =>
      aside(whole, async ({ runtime }) => {
        const { pid } = harnessOf(runtime)
        for (let times = 0; times < 100; times++) await runtime.ask("GET /info")
        const before = await resident(pid)
        const socket = createConnection({ path: runtime.socket })
        let closed = false
        socket.on("error", () => {}).on("close", () => (closed = true))
        try {
          await ask(socket)
          await runtime.ask("GET /health")
          const more = (await resident(pid)) - before
          must(more <= MEMORY, `for a client that takes nothing it takes ${Math.round(more / MIB)} MiB`)
          await runtime.until("a client that takes nothing is cut off", async () => closed, CLOSED_MS)
        } finally {
          socket.destroy()
        }
      }),
  },
]
