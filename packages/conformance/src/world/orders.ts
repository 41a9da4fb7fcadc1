import type { Socket as Datagrams } from "node:dgram"

/** What a peer is told to do. */
export type Order =
  | { readonly what: "listen"; readonly addresses: readonly string[]; readonly port: number }
  | { readonly what: "nothing" }
  | { readonly what: "names"; readonly address: string; readonly names: Readonly<Record<string, string>> }
  | {
      readonly what: "ask"
      readonly protocol: "tcp" | "udp"
      readonly address: string
      readonly port: number
      readonly words: string
      readonly limitMs: number
      /** By UDP: whoever answers, and not only by the address that was spoken to. */
      readonly anybody: boolean
    }

export interface Answer {
  readonly heard?: string
  readonly problem?: string
}

/** Who has come to which of the addresses; by `dns`, `from` is the name that was asked for. */
export interface Contact {
  readonly protocol: "tcp" | "udp" | "dns"
  readonly address: string
  readonly from: string
}

/**
 * The program of a peer: orders come as lines of JSON, and so do answers and contacts go. It is run by its text, and
 * so has no names but its own.
 */
export async function serveOrders(): Promise<void> {
  const net = await import("node:net")
  const { createSocket } = await import("node:dgram")
  const { createInterface } = await import("node:readline")
  const say = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`)
  const plain = (address = "") => address.replace(/^::ffff:/, "")
  const bound = (address: string, port: number) =>
    new Promise<Datagrams>((resolve, reject) => {
      const socket = createSocket(address.includes(":") ? "udp6" : "udp4")
      socket.once("error", reject).bind(port, address, () => resolve(socket))
    })
  const listen = async (address: string, port: number) => {
    const server = net.createServer((socket) => {
      const from = plain(socket.remoteAddress)
      say({ protocol: "tcp", address, from })
      socket.on("error", () => {}).write(`${from}\n`)
      socket.pipe(socket)
    })
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(port, address, resolve)
    })
    const socket = await bound(address, port)
    socket.on("message", (bytes, from) => {
      say({ protocol: "udp", address, from: from.address })
      socket.send(bytes, from.port, from.address)
    })
  }
  const overTcp = (order: Extract<Order, { what: "ask" }>) =>
    new Promise<Answer>((resolve) => {
      const socket = net.createConnection({ host: order.address, port: order.port })
      let heard = ""
      let there = false
      const end = () => {
        clearTimeout(timer)
        socket.destroy()
        resolve(there ? { heard } : {})
      }
      const timer = setTimeout(end, order.limitMs)
      socket.on("connect", () => {
        there = true
        socket.write(order.words)
      })
      socket.on("data", (bytes) => {
        heard += bytes
      })
      socket.on("error", end).on("close", end)
    })
  const overUdp = async (order: Extract<Order, { what: "ask" }>) => {
    const socket = createSocket(order.address.includes(":") ? "udp6" : "udp4")
    // One that is connected hears nobody else.
    if (order.anybody) await new Promise<void>((resolve) => socket.bind(0, () => resolve()))
    else await new Promise<void>((resolve) => socket.connect(order.port, order.address, () => resolve()))
    return await new Promise<Answer>((resolve) => {
      const send = () =>
        order.anybody ? socket.send(order.words, order.port, order.address) : socket.send(order.words)
      const again = setInterval(send, 300)
      const end = (answer: Answer) => {
        clearInterval(again)
        clearTimeout(timer)
        socket.close()
        resolve(answer)
      }
      const timer = setTimeout(() => end({}), order.limitMs)
      socket.on("message", (bytes) => end({ heard: `${bytes}` })).on("error", () => {})
      send()
    })
  }
  let names: Readonly<Record<string, string>> = {}
  let resolver: Datagrams | undefined
  const resolved = (query: Buffer): Buffer => {
    let at = 12
    const labels: string[] = []
    for (let size = query[at] ?? 0; size > 0; size = query[at] ?? 0) {
      labels.push(query.toString("latin1", at + 1, at + 1 + size))
      at += size + 1
    }
    const name = labels.join(".").toLowerCase()
    say({ protocol: "dns", address: "", from: name })
    const found = query.readUInt16BE(at + 1) === 1 ? names[name] : undefined
    const head = Buffer.concat([query.subarray(0, 2), Buffer.from([0x85, name in names ? 0x80 : 0x83])])
    const counts = Buffer.from([0, 1, 0, found ? 1 : 0, 0, 0, 0, 0])
    const record = found
      ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...found.split(".").map(Number)])
      : Buffer.alloc(0)
    return Buffer.concat([head, counts, query.subarray(12, at + 5), record])
  }
  const done = async (order: Order): Promise<Answer> => {
    if (order.what === "ask") return await (order.protocol === "tcp" ? overTcp(order) : overUdp(order))
    if (order.what === "listen") {
      for (const address of order.addresses) await listen(address, order.port)
      return {}
    }
    if (order.what === "nothing") return {}
    names = order.names
    if (!resolver) {
      const socket = await bound(order.address, 53)
      socket.on("message", (bytes, from) => {
        try {
          socket.send(resolved(bytes), from.port, from.address)
        } catch {} // What is no query has no answer.
      })
      resolver = socket
    }
    return {}
  }
  createInterface({ input: process.stdin }).on("line", (line) => {
    const order = JSON.parse(line)
    done(order).then(
      (answer) => say({ number: order.number, ...answer }),
      (problem) => say({ number: order.number, problem: String(problem) }),
    )
  })
  process.stdin.on("end", () => process.exit())
}
