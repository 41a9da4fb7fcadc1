import { setMaxListeners } from "node:events"
import { createConnection, type Socket } from "node:net"
import { setTimeout } from "node:timers/promises"
import { must } from "../../check.ts"
import type { Runtime } from "../../subject/runtime.ts"
import { aside } from "./aside.ts"
import type { Plan } from "./plan.ts"

// More clients at a time than a runtime takes (limits.md), and clients that do not come to the point.

const STREAMS = 128
const CONNECTIONS = 1024
/** The time for a request, and for whoever closes what has none. */
const REQUEST_MS = 30_000
const CLOSED_MS = REQUEST_MS + 20_000

/** Connects without asking for anything; resolves once the connection is there. */
function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path })
    socket.once("connect", () => {
      socket.on("error", () => {})
      resolve(socket)
    })
    socket.once("error", reject)
  })
}

/** Follows a console until `stop`: the status of the answer, 0 of one that goes on. */
function following(runtime: Runtime, id: string, stop: AbortSignal): Promise<number> {
  return new Promise((resolve) => {
    const onData = (text: string) => {
      if (text.includes("GUEST-READY")) resolve(0)
      return false
    }
    runtime
      .with(stop)
      .raw("GET", `/logs/${id}`, { query: "follow=true", onData })
      .then(
        ({ status }) => resolve(status),
        () => resolve(-1),
      )
  })
}

/** What is sent on a connection at first, and each second. */
const SLOWLY: Readonly<Record<string, { readonly begin?: string; readonly more?: string }>> = {
  nothing: {},
  "headers without an end": { begin: "GET /health HTTP/1.1\r\nhost: ovm\r\n", more: "x-more: slowly\r\n" },
  "a path, byte by byte": { begin: "GET /", more: "a" },
  "a body, byte by byte": {
    begin:
      "POST /stop HTTP/1.1\r\nhost: ovm\r\ncontent-type: application/json\r\ncontent-length: 4096\r\n\r\n",
    more: " ",
  },
}

export const crowdPlans: readonly Plan[] = [
  {
    name: "bounds/streams",
    covers: ["OVMS-LIM-011", "OVMS-LIM-022"],
    run: (whole) =>
      aside(whole, async ({ runtime, boot }) => {
        const id = await boot("tick_ms=60000")
        const stop = new AbortController()
        setMaxListeners(0, stop.signal)
        try {
          const all = Array.from({ length: STREAMS + 8 }, () => following(runtime, id, stop.signal))
          const ends = await Promise.all(all)
          const open = ends.filter((status) => status === 0).length
          must(open === STREAMS, `${open} clients follow a console, and the limit is ${STREAMS}`)
          must(
            ends.every((status) => status === 0 || status === 429),
            `some were answered with ${ends.filter((status) => status !== 0)}`,
          )
          await runtime.refused("GET /logs/{instance_id}", "OVM_TOO_MANY", id, { query: "follow=true" })
          must((await runtime.logs(id)).includes("GUEST-READY"), "nobody else can read the console")
        } finally {
          stop.abort()
        }
        await runtime.until("a stream that has ended makes room", async () => {
          const again = new AbortController()
          const status = await following(runtime, id, again.signal)
          again.abort()
          return status === 0
        })
      }),
  },
  {
    name: "bounds/connections",
    covers: ["OVMS-LIM-020"],
    run: (whole) =>
      aside(whole, async ({ runtime }) => {
        const sockets: Socket[] = []
        try {
          for (let refused = 0; sockets.length < CONNECTIONS + 64 && refused < 200; ) {
            const socket = await connected(runtime.socket).catch(() => undefined)
            if (socket) sockets.push(socket)
            // So many at once may fill a queue that the runtime has not come to: that is no refusal.
            refused = socket ? 0 : refused + 1
            if (!socket) await setTimeout(10)
          }
          const reply = await runtime.raw("GET", "/health").catch(() => undefined)
          must(!reply || /OVM_TOO_MANY/.test(reply.text), `above the bound it answers ${reply?.text}`)
        } finally {
          for (const socket of sockets) socket.destroy()
        }
        await runtime.until("it answers again", async () => {
          const reply = await runtime.raw("GET", "/health").catch(() => undefined)
          return reply?.status === 200
        })
      }),
  },
  {
    name: "bounds/time-of-a-request",
    covers: ["OVMS-LIM-021"],
    waits: true,
    async run({ runtime, boot }) {
      const sockets: Socket[] = []
      const open = new Set<string>()
      for (const [what, { begin }] of Object.entries(SLOWLY)) {
        const socket = await connected(runtime.socket)
        sockets.push(socket)
        open.add(what)
        socket.once("close", () => open.delete(what)).resume()
        if (begin) socket.write(begin)
      }
      const drip = setInterval(() => {
        for (const [at, { more }] of Object.values(SLOWLY).entries()) if (more) sockets[at]?.write(more)
      }, 1000)
      const id = await boot("tick_ms=60000")
      const stop = new AbortController()
      let over = false
      const stream = runtime.with(stop.signal).raw("GET", `/logs/${id}`, { query: "follow=true" })
      stream.then(
        () => (over = true),
        () => {},
      )
      try {
        await runtime.until(
          async () => `what is no whole request for long is cut off: ${[...open].join(", ")}`,
          async () => open.size === 0,
          CLOSED_MS,
        )
        must(!over, "a stream that says nothing is closed as well")
      } finally {
        clearInterval(drip)
        stop.abort()
        for (const socket of sockets) socket.destroy()
      }
    },
  },
]
