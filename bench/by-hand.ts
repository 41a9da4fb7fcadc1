// QEMU's own steps of a snapshot and of a resume, over its monitor, with nothing around them: what ovm is held against.
import { createWriteStream } from "node:fs"
import { rm } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { connectIn } from "../packages/ovm/src/vmm/process/socket.ts"
import { connectQmp, type Qmp } from "../packages/ovm/src/vmm/qemu/qmp.ts"
import type { Copying } from "../packages/ovm/src/vmm/qemu/snapshot/copying.ts"
import { spawnByHand } from "./vmm-by-hand.ts"

/** The monitor of a machine that nobody else holds. */
export async function monitor(folder: string): Promise<Qmp> {
  for (;;) {
    const qmp = await connectQmp(folder, { timeoutMs: 5000 })
    if (qmp) return qmp
    await sleep(1)
  }
}

async function until(qmp: Qmp, wanted: string): Promise<void> {
  for (;;) {
    const { status } = (await qmp.execute("query-migrate")) as { status?: string }
    if (status === wanted) return
    if (status === "failed") throw new Error("the migration by hand failed")
    await sleep(1)
  }
}

const on = (...names: string[]) => ({
  capabilities: names.map((capability) => ({ capability, state: true })),
})

let count = 0

/** The node that the guest writes to. */
export async function topOf(qmp: Qmp): Promise<string> {
  const [first] = (await qmp.execute("query-block")) as { inserted: { "node-name": string } }[]
  return first?.inserted["node-name"] ?? ""
}

/**
 * A snapshot whose stream goes into a file as it is, onto the new empty overlay in `file`, on top of the node `top`.
 * RAM is copied as ovm does it. How long the guest stood still, in milliseconds, and the new top.
 */
export async function snapshotByHand(
  qmp: Qmp,
  folder: string,
  file: string,
  { top, stopped, steps: [first, next] }: Copying & { readonly top: string },
): Promise<{ readonly paused: number; readonly total: number; readonly top: string }> {
  const began = performance.now()
  const [node, stream] = [`hand${count++}`, join(folder, "hand.stream")]
  const cache = { "no-flush": false }
  await qmp.execute("blockdev-add", { driver: "file", "node-name": `f${node}`, filename: file, cache })
  await qmp.execute("blockdev-add", {
    driver: "qcow2",
    "node-name": node,
    file: `f${node}`,
    backing: null,
    cache,
  })
  await qmp.execute("migrate-set-capabilities", on("x-ignore-shared", "pause-before-switchover", "events"))
  await qmp.execute("migrate-set-parameters", { "max-bandwidth": 1e11, "downtime-limit": first.downtime })
  const times: Record<string, number> = {}
  const unsubscribe = qmp.subscribe(({ event, time = 0 }) => {
    times[event] = time
  })
  const over = Promise.withResolvers<void>()
  const server = createServer((socket) => socket.pipe(createWriteStream(stream)).on("close", over.resolve))
  await new Promise<void>((resolve) => server.listen(join(folder, "hand.sock"), resolve))
  if (stopped) await qmp.execute("stop")
  await qmp.execute("migrate", { uri: "unix:hand.sock" })
  const longer = { "downtime-limit": next?.downtime ?? first.downtime }
  const late = setTimeout(() => qmp.execute("migrate-set-parameters", longer).catch(() => {}), first.within)
  await until(qmp, "pre-switchover")
  clearTimeout(late)
  await qmp.execute("blockdev-snapshot", { node: top, overlay: node })
  await qmp.execute("migrate-continue", { state: "pre-switchover" })
  await until(qmp, "completed")
  while (((await qmp.execute("query-status")) as { status: string }).status !== "postmigrate") await sleep(1)
  await qmp.execute("cont")
  await over.promise
  server.close()
  unsubscribe()
  const total = performance.now() - began
  await rm(stream)
  return { paused: (times.RESUME ?? Number.NaN) - (times.STOP ?? Number.NaN), total, top: node }
}

/** A machine that was spawned, loaded and started by hand. */
export interface Loaded {
  readonly pid: number
  /** Milliseconds from the spawn to the answer to `cont`. */
  readonly took: number
  end(): void
}

/** A machine that is one command away from running. */
export interface Waiting {
  readonly pid: number
  go(): Promise<void>
  end(): void
}

/**
 * Runs the command line of a machine that waits for a state in `folder`, and gives it `state`. In a session of its own
 * that yields, as a machine that is to outlive its daemon has: on a busy host the kernel gives a new session less of
 * the processors at first, and whoever starts twenty at a time wants to have a say beside them.
 */
export async function waitByHand(argv: readonly string[], folder: string, state: Buffer): Promise<Waiting> {
  const { child, linked } = await spawnByHand(argv, folder, { stdout: "ignore" })
  const qmp = await monitor(folder)
  await qmp.execute("migrate-set-capabilities", on("x-ignore-shared"))
  await qmp.execute("migrate-incoming", { uri: "unix:in" })
  const socket = await connectIn(folder, "in")
  socket?.end(state)
  await until(qmp, "completed")
  await linked
  const go = async () => {
    await qmp.execute("cont")
    qmp.close()
  }
  return { pid: child.pid ?? 0, go, end: () => child.kill("SIGKILL") }
}

/** The same, and lets it go on. */
export async function loadByHand(argv: readonly string[], folder: string, state: Buffer): Promise<Loaded> {
  const began = performance.now()
  const { pid, go, end } = await waitByHand(argv, folder, state)
  await go()
  return { pid, took: performance.now() - began, end }
}
