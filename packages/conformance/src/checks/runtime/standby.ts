import { randomUUID } from "node:crypto"
import { createConnection, type Socket } from "node:net"
import { fail, must, skip } from "../../check.ts"
import { errorOf } from "../../subject/answers.ts"
import type { Instance, Runtime } from "../../subject/runtime.ts"
import { apart } from "./aside.ts"
import { harnessOf, type Plan, type Scene, TICK_MS } from "./plan.ts"

const AFTER = 1000

interface Waiting {
  readonly id: string
  readonly port: number
}

/** Is attached to a console until what it returns is called. */
async function attached({ runtime }: Scene, id: string): Promise<() => Promise<void>> {
  const stop = new AbortController()
  let there = false
  const onData = () => {
    there = true
    return false
  }
  const query = `attachment=${randomUUID()}`
  const attachment = runtime
    .with(stop.signal)
    .raw("GET", `/instances/${id}/attach`, { query, onData })
    .catch(() => {})
  await runtime.until("it is attached", async () => there)
  return async () => {
    stop.abort()
    await attachment
  }
}

/** The ID of a machine that is to be put aside; skips for a runtime that does so with none (OVMS-STA-072). */
async function askedAside(runtime: Runtime, body: object): Promise<string> {
  const reply = await runtime.raw("POST", "/start", { body })
  if (reply.status < 400) return JSON.parse(reply.text).instance_id
  const { code, message } = errorOf("POST /start", reply)
  if (code === "OVM_UNSUPPORTED" && reply.text.includes("standbyAfter"))
    skip("the runtime puts no machine on standby")
  return fail(`POST /start was refused with ${code}: ${message.slice(0, 300)}`)
}

/** A machine that is put aside soon, once it has booted: on a host that has much to do it is so before as well. */
export async function soonAside({ runtime, keep }: Scene, overrides: object): Promise<string> {
  const args = `console=ttyS0 tick_ms=${TICK_MS}`
  const body = { manifest: runtime.guest, overrides: { args, standbyAfter: AFTER, ...overrides } }
  const id = keep(await askedAside(runtime, body))
  await runtime.until("the guest has booted", async () => {
    if ((await runtime.logs(id)).includes("GUEST-READY")) return true
    const { reason } = await runtime.status(id)
    if (reason === "standby") await runtime.raw("POST", `/instances/${id}/resume`)
    return false
  })
  return id
}

async function waiting(scene: Scene): Promise<Waiting> {
  const id = await soonAside(scene, { network: { mode: "user", ports: [{ guest: 80 }] } })
  const port = (await scene.runtime.status(id)).network?.ports?.[0]?.host
  must(port, "the port is not listed")
  return { id, port }
}

function putAside({ runtime }: Scene, id: string): Promise<Instance> {
  return runtime.until("it is put on standby", async () => {
    const instance = await runtime.status(id)
    return instance.reason === "standby" && instance
  })
}

/** A connection to a port of this host that stays open, or why there is none. */
function connected(port: number): Promise<Socket | string> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: "127.0.0.1" })
    socket.once("connect", () => resolve(socket))
    socket.on("error", ({ message }) => resolve(message))
  })
}

export const standbyPlans: readonly Plan[] = [
  {
    name: "standby-or-not",
    covers: ["OVMS-API-490", "OVMS-STA-072"],
    async run({ runtime, keep }) {
      const body = { manifest: runtime.guest, overrides: { standbyAfter: 3_600_000 } }
      const id = keep(await askedAside(runtime, body))
      const { standby_after: after } = (await runtime.status(id)) as Instance & { standby_after?: number }
      must(after === 3_600_000, `a machine that is to be put aside has the standby_after ${after}`)
      await runtime.reaches(id, "running")
      await runtime.ask("POST /instances/{instance_id}/restart", id, { query: "grace_ms=0" })
      const again = (await runtime.reaches(id, "running")) as Instance & { standby_after?: number }
      must(again.standby_after === after, `in its next life it has the standby_after ${again.standby_after}`)
    },
  },
  {
    name: "standby-that-listens",
    profile: "snapshot",
    covers: ["OVMS-STA-062", "OVMS-STA-063"],
    async run(scene) {
      const { runtime } = scene
      const { id, port } = await waiting(scene)
      await putAside(scene, id)
      const socket = await connected(port)
      must(typeof socket !== "string", `nobody listens at the port of a machine on standby: ${socket}`)
      try {
        await runtime.reaches(id, "running")
      } finally {
        socket.destroy()
      }
    },
  },
  {
    name: "standby-while-somebody-talks",
    profile: "snapshot",
    covers: ["OVMS-STA-060"],
    waits: true,
    async run(scene) {
      const { runtime } = scene
      const { id } = await waiting(scene)
      const leave = await attached(scene, id)
      await new Promise((resolve) => setTimeout(resolve, 4 * AFTER))
      const { state } = await runtime.status(id)
      await leave()
      must(state === "running", `somebody is attached to its console, and it is ${state}`)
      await putAside(scene, id)
    },
  },
  {
    name: "standby-of-one-console",
    profile: "snapshot",
    covers: ["OVMS-STA-074"],
    async run(scene) {
      const { runtime } = scene
      const { id } = await waiting(scene)
      await putAside(scene, id)
      const before = await runtime.logs(id)
      await runtime.raw("POST", `/instances/${id}/resume`)
      const goesOn = async () => (await runtime.logs(id)) !== before
      await runtime.until("the guest goes on", goesOn)
      const now = await runtime.logs(id)
      must(
        now.startsWith(before),
        "the console of a machine that was brought back has lost what it wrote before",
      )
      const earlier = await runtime.logs(id, "previous=true")
      must(earlier === "", "what a machine wrote before it was put aside is told as of a life before")
    },
  },
  apart({
    name: "standby-that-is-over",
    profile: "snapshot",
    covers: ["OVMS-STA-064"],
    waits: true,
    async run(scene) {
      const { runtime, signal } = scene
      const harness = harnessOf(runtime)
      const { id, port } = await waiting(scene)
      await putAside(scene, id)
      const sockets: (Socket | string)[] = []
      const goesOn = async () => {
        const before = await runtime.logs(id)
        sockets.push(await connected(port))
        await runtime.until("the guest goes on", async () => {
          if ((await runtime.logs(id)) !== before) return true
          // It was put aside while somebody came.
          if ((await runtime.status(id)).reason === "standby") sockets.push(await connected(port))
          return false
        })
      }
      try {
        await goesOn()
        await harness.kill()
        await harness.start(signal)
        // By now it may have been put aside anew; then it goes on from there.
        await goesOn()
        const counts = [...(await runtime.logs(id)).matchAll(/TICK (\d+)\r?\n/g)].map(([, n]) => Number(n))
        must(new Set(counts).size === counts.length, "the guest has gone on twice from one instant")
      } finally {
        for (const socket of sockets) if (typeof socket !== "string") socket.destroy()
      }
    },
  }),
]
