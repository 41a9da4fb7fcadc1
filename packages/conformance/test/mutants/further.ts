import { createConnection, createServer, type Socket } from "node:net"
import { dirname, join } from "node:path"
import { type Frame, Frames, frameOf, TYPE, texts, textsOf } from "../../src/agent/frame.ts"
import { packed, shortened, Unpacking } from "../../src/agent/stand-in.ts"
import { type Answer, type Fault, json, STATUS } from "./fault.ts"

// What is seen by bytes alone, or by an agent.

/** What becomes of bytes in the hands of one who takes them for text; each of them is a character here. */
const asText = (bytes: string) => Buffer.from(Buffer.from(bytes, "latin1").toString()).toString("latin1")

const inConsoles = (edit: (bytes: string) => string): Fault => ({
  answer: (answer: Answer, { url }) => {
    if (url.startsWith("/logs/")) answer.body = edit(answer.body)
  },
})

/** Changes what the host says to an agent, by leading the way to it through a socket of its own. */
function toAgent(change: (frame: Frame) => readonly Frame[]): Fault {
  const led = new Set<string>()
  return {
    answer: (answer, { url }) => {
      if (!STATUS.test(url) || answer.status >= 400) return
      answer.body = json(answer.body, ({ devices = [] }) => {
        for (const device of devices) {
          if (device.path === undefined) continue
          const path = join(dirname(device.path), "led")
          if (!led.has(path)) lead(path, device.path, change)
          led.add(path)
          device.path = path
        }
      })
    },
  }
}

function lead(path: string, real: string, change: (frame: Frame) => readonly Frame[]): void {
  const server = createServer((agent: Socket) => {
    const guest = createConnection({ path: shortened(real) })
    const [unpacking, frames] = [new Unpacking(), new Frames()]
    guest.on("data", (bytes: Buffer) => {
      for (const { frame } of frames.push(unpacking.push(bytes)))
        for (const { type, stream, payload } of change(frame))
          agent.write(packed(frameOf(type, stream, payload)))
    })
    agent.pipe(guest)
    guest.on("error", () => {}).on("close", () => agent.destroy())
    agent.on("error", () => {}).on("close", () => guest.destroy())
  })
  server.on("error", () => {})
  server.listen(shortened(path)).unref()
}

/** A stream that no host has opened. */
const NOBODYS = 0x7ffffff0

/** By the names of the table. */
export const FURTHER: Readonly<Record<string, Fault>> = {
  "takes consoles for text": inConsoles(asText),
  "keeps lines until they end": inConsoles((bytes) => bytes.replace(/[^\n]+$/, "")),
  "types what is no text otherwise": {
    ask: (asked) => {
      if (/\/input\b/.test(asked.url)) asked.body = asText(asked.body)
    },
  },
  "knows of a reset alone": {
    answer: (answer, { url }) => {
      if (!STATUS.test(url) || answer.status >= 400) return
      answer.body = json(answer.body, (info) => {
        if (info.exit?.reason === "result") info.exit = { status: 0, reason: "guest-reset" }
      })
    },
  },
  "runs hooks for a link that is down": toAgent((frame) => {
    const [what, ...more] = frame.type === TYPE.open ? textsOf(frame.payload) : []
    if (what !== "hooks" || !more.includes("event=post-resume")) return [frame]
    return [frame, { type: TYPE.open, stream: NOBODYS, payload: texts("hooks", "event=link-up") }]
  }),
}
