// The process behind a toy machine: no processor, but what the bare-metal guest does of its own accord
// (guest/README.md), by the words of its command line. Arguments: bytes of memory, command line. It listens on
// loopback, and writes the port to `port`.
import { renameSync, writeFileSync, writeSync } from "node:fs"
import { createServer, type Socket } from "node:net"

type State = "waiting" | "running" | "paused" | "panicked"

const [memory = "0", line = ""] = process.argv.slice(2)
const words = new Map(
  line.split(" ").map((word): [string, string | undefined] => {
    const [name = "", value] = word.split("=")
    return [name, value]
  }),
)
const number = (name: string, otherwise: number) => Number(words.get(name) ?? otherwise)
const say = (text: string) => void writeSync(1, `${text}\r\n`)

let state: State = "waiting"
let ticks = 0
const clients = new Set<Socket>()

function tell(text: string): void {
  for (const client of clients) client.write(`${text}\n`)
}

function become(next: State): void {
  state = next
  tell(state)
}

/** Says why to whoever listens, and ends. */
function end(reason: string): void {
  tell(`over ${reason}`)
  const last = [...clients].map((client) => new Promise<void>((resolve) => client.end(resolve)))
  Promise.allSettled(last).then(() => process.exit(0))
}

function tick(): void {
  if (state !== "running") return
  say(`TICK ${++ticks}`)
  if (ticks < number("ticks", Number.POSITIVE_INFINITY)) return void setTimeout(tick, number("tick_ms", 500))
  if (words.has("off")) {
    say("GUEST-OFF")
    end("guest-shutdown")
  } else if (words.has("panic")) {
    say("GUEST-PANIC")
    become("panicked")
  } else {
    say(words.has("fault") ? "GUEST-FAULT" : "GUEST-DONE")
    end("guest-reset")
  }
}

const commands: Readonly<Record<string, () => void>> = {
  look: () => tell(state),
  pause: () => become(state === "running" ? "paused" : state),
  resume: () => {
    if (state === "waiting") say(`GUEST-READY ram_kib=${Number(memory) >> 10}\r\nCMDLINE [${line}]`)
    if (state !== "panicked") {
      const stood = state !== "running"
      become("running")
      if (stood) setTimeout(tick, number("tick_ms", 500))
    }
  },
  button: () => {
    if (!words.has("button")) return tell(state)
    say("POWER-BUTTON")
    end("guest-shutdown")
  },
  quit: () => end(state === "panicked" ? "guest-panic" : "quit"),
}

const server = createServer((client) => {
  clients.add(client)
  client.on("error", () => {})
  client.on("close", () => clients.delete(client))
  client.on("data", (bytes) => {
    for (const word of bytes.toString().split("\n")) commands[word]?.()
  })
})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  writeFileSync("port.new", String(typeof address === "object" ? address?.port : ""))
  renameSync("port.new", "port")
})
