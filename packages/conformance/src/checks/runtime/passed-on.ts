import { chmod, readdir, readFile, readlink } from "node:fs/promises"
import { must, skip } from "../../check.ts"
import { harnessOf, type Plan, sceneOf } from "./plan.ts"
import { listening } from "./socket.ts"

/** The inodes of the sockets that listen at a path. */
async function listeningAt(path: string): Promise<readonly string[]> {
  const lines = (await readFile("/proc/net/unix", "utf8")).split("\n")
  const fields = lines.map((line) => line.trim().split(/\s+/))
  return fields.flatMap((one) => (one[7] === path && one[3] === "00010000" ? [`socket:[${one[6]}]`] : []))
}

/** What a process has that is not its own: the socket of its runtime, or word of it. */
async function holds(pid: number, sockets: readonly string[]): Promise<string | undefined> {
  const environment = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "")
  if (/(^|\0)LISTEN_FDS=/.test(environment)) return "LISTEN_FDS in its environment"
  const names = await readdir(`/proc/${pid}/fd`).catch(() => [])
  const links = await Promise.all(names.map((one) => readlink(`/proc/${pid}/fd/${one}`).catch(() => "")))
  return links.some((link) => sockets.includes(link)) ? "the socket of the runtime" : undefined
}

export const passedOnPlans: readonly Plan[] = [
  {
    name: "socket-that-is-nobody-elses",
    covers: ["OVMS-API-492"],
    async run(scene) {
      const harness = await harnessOf(scene.runtime).another()
      try {
        const socket = await listening(harness.socket)
        await chmod(harness.socket, 0o600)
        await harness.start(scene.signal, socket)
        await sceneOf(scene.runtime.of(harness), scene, []).boot()
        const sockets = await listeningAt(harness.socket)
        must(sockets.length > 0, "nobody listens at the socket that was passed")
        const pids = (await harness.processes()).filter((pid) => pid !== harness.pid)
        if (pids.length === 0) skip("the suite sees no process of a machine that runs")
        for (const pid of pids) {
          const held = await holds(pid, sockets)
          must(held === undefined, `a process that the runtime has started has ${held}`)
        }
      } finally {
        await harness.close()
      }
    },
  },
]
