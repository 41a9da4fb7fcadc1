import { createConnection } from "node:net"
import { shortened } from "../../agent/stand-in.ts"
import { must, skip } from "../../check.ts"
import type { Instance } from "../../subject/runtime.ts"
import { type Plan, refusedCreate, type Scene } from "./plan.ts"

type Told = Instance & { readonly devices?: readonly { readonly name: string; readonly path?: string }[] }

const FIRST = { type: "vsock", name: "first" }

/** Skips where no machine can have such a device here. */
async function atLeastOne({ runtime, machine, keep }: Scene): Promise<void> {
  const manifest = await machine({ document: { devices: [FIRST] } })
  const reply = await runtime.raw("POST", "/instances", { body: { manifest } })
  if (reply.status >= 400) {
    must(reply.text.includes("OVM_UNSUPPORTED"), `a machine with vsock is refused with ${reply.text}`)
    skip("the runtime has no vsock device on this host")
  }
  keep(JSON.parse(reply.text).instance_id)
}

/** What comes of a connection to that port of the guest: its answer, or an end without one. */
function answered(path: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection({ path: shortened(path) })
    let text = ""
    socket.on("data", (bytes) => {
      text += bytes
      if (text.includes("\n")) socket.destroy()
    })
    socket.on("error", () => {})
    socket.on("close", () => resolve(text))
    socket.write(`CONNECT ${port}\n`)
  })
}

export const vsockPlans: readonly Plan[] = [
  {
    name: "vsock",
    covers: ["OVMS-DEV-030", "OVMS-API-501"],
    async run(scene) {
      await atLeastOne(scene)
      const { runtime, machine, start } = scene
      const manifest = await machine({ document: { devices: [FIRST] } })
      const id = await start({ manifest, overrides: { args: "console=ttyS0 tick_ms=50 agent=1" } })
      await runtime.says(id, /TICK 1\r?\n/)
      const [device] = ((await runtime.status(id)) as Told).devices ?? []
      const path = device?.name === "first" ? device.path : undefined
      must(path, "devices has no path of the socket")
      // The suite's guest listens there, and nowhere else unless somebody is connected.
      for (let times = 0; times < 2; times++) {
        const text = await answered(path, 20_311)
        must(/^OK \d+\n/.test(text), `a connection that the guest takes is answered with ${text}`)
        await runtime.says(id, new RegExp(`(AGENT \\[vsock\\]\\r?\\n[^]*){${times + 1}}`))
      }
      for (const port of [1, 20_310]) {
        const text = await answered(path, port)
        must(text === "", `a connection to a port where nobody listens is answered with ${text}`)
      }
    },
  },
  {
    name: "one-vsock",
    covers: ["OVMS-DEV-031"],
    async run(scene) {
      await atLeastOne(scene)
      const { runtime, create, machine } = scene
      const devices = (more: object) => [FIRST, { type: "vsock", name: "second", ...more }]
      const { message } = await refusedCreate(runtime, "OVM_UNSUPPORTED", {
        manifest: await machine({ document: { devices: devices({}) } }),
      })
      must(/second|\/devices\/1/.test(message), `the refusal does not name the second one: ${message}`)
      const lenient = await machine({ document: { devices: devices({ required: false }) } })
      const { warnings } = await runtime.status(await create({}, lenient))
      must(
        warnings.some((words) => /second|\/devices\/1/.test(words)),
        `no warning names the one that it cannot have: ${warnings.join("; ")}`,
      )
    },
  },
]
