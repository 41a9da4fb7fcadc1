import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { until } from "./until.ts"

/** The port on which everybody of a world listens, TCP and UDP. */
export const PORT = 7000

/** Who was connected to, or sent something, on which of its addresses. */
export interface Contact {
  readonly protocol: "tcp" | "udp"
  readonly address: string
  readonly from: string
}

/** Why there can be none here; empty if there can. */
export function worldMissing(): string {
  try {
    execFileSync("unshare", ["-n", "ip", "link", "add", "name", "v0", "type", "veth", "peer", "name", "v1"], {
      stdio: "ignore",
    })
    return ""
  } catch {
    return "networks of its own take root, ip and veth"
  }
}

/** A network namespace and a process that keeps it. */
class Place implements Disposable {
  readonly contacts: Contact[] = []
  readonly #children: ChildProcess[] = []
  readonly #keeper = spawn("unshare", ["-n", "timeout", "1200", "cat"], {
    stdio: ["pipe", "ignore", "ignore"],
  })

  get pid(): number {
    return this.#keeper.pid ?? 0
  }

  /** The words before a command that is to be run in it. */
  get inside(): readonly string[] {
    return ["nsenter", "-t", String(this.pid), "-n"]
  }

  ip(...args: readonly string[]): void {
    const [file = "", ...first] = this.inside
    execFileSync(file, [...first, "ip", ...args])
  }

  /** Everybody who listens: each of `addresses`, by TCP and UDP. Returns once they do. */
  async listen(addresses: readonly string[]): Promise<void> {
    const [file = "", ...first] = this.inside
    const args = [...first, process.execPath, import.meta.filename, ...addresses]
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] })
    this.#children.push(child)
    let rest = ""
    let ready = false
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines)
        if (line === "ready") ready = true
        else this.contacts.push(JSON.parse(line))
    })
    await until("those who listen", () => ready)
  }

  [Symbol.dispose](): void {
    for (const child of [...this.#children, this.#keeper]) child.kill("SIGKILL")
  }
}

/**
 * A host and, at the other end of its cable, a world of hosts with addresses of every sort: all in network namespaces
 * of this machine, which nothing leaves.
 */
export class World implements Disposable {
  private constructor(
    readonly host: Place,
    readonly others: Place,
  ) {}

  static async create(own: readonly string[], others: readonly string[]): Promise<World> {
    const world = new World(new Place(), new Place())
    const { host, others: far } = world
    const apart = async (place: Place) => {
      const read = (pid: number | string) => execFileSync("readlink", [`/proc/${pid}/ns/net`]).toString()
      await until("a namespace", () => read(place.pid) !== read("self"))
    }
    await Promise.all([apart(host), apart(far)])
    const peer = ["peer", "name", "far", "netns", String(far.pid)]
    host.ip("link", "add", "name", "near", "type", "veth", ...peer)
    for (const [place, name, all] of [
      [host, "near", own],
      [far, "far", others],
    ] as const) {
      place.ip("link", "set", "lo", "up")
      place.ip("link", "set", name, "up")
      for (const [at, address] of all.entries()) {
        const bits = at < 2 ? (address.includes(":") ? "64" : "24") : address.includes(":") ? "128" : "32"
        place.ip(
          "addr",
          "add",
          `${address}/${bits}`,
          "dev",
          name,
          ...(address.includes(":") ? ["nodad"] : []),
        )
      }
    }
    const [gateway = "", gateway6 = ""] = others
    host.ip("route", "add", "default", "via", gateway)
    host.ip("-6", "route", "add", "default", "via", gateway6, "dev", "near")
    await Promise.all([host.listen([...own, "127.0.0.1", "::1"]), far.listen(others)])
    return world
  }

  [Symbol.dispose](): void {
    this.host[Symbol.dispose]()
    this.others[Symbol.dispose]()
  }
}

if (import.meta.main) await listenAt(process.argv.slice(2))

/** What Place.listen runs inside. */
async function listenAt(addresses: readonly string[]): Promise<void> {
  const { createServer } = await import("node:net")
  const { createSocket } = await import("node:dgram")
  const said = (contact: Contact) => process.stdout.write(`${JSON.stringify(contact)}\n`)
  for (const address of addresses) {
    const server = createServer((socket) => {
      said({ protocol: "tcp", address, from: socket.remoteAddress ?? "" })
      socket.on("error", () => {}).end("a service\n")
    })
    await new Promise<void>((resolve) => server.listen(PORT, address, resolve))
    // Those who look for a way count it up.
    for (const port of [PORT, PORT + 1, PORT + 2]) {
      const udp = createSocket(address.includes(":") ? "udp6" : "udp4")
      udp.on("message", (_, { address: from }) => said({ protocol: "udp", address, from }))
      await new Promise<void>((resolve) => udp.bind(port, address, resolve))
    }
  }
  process.stdout.write("ready\n")
}
