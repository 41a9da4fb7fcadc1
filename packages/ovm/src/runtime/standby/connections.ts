import { readFile } from "node:fs/promises"

const LISTENS = 0x0a
const WAITS = 0x06

/**
 * The local ports of this host's TCP connections that are open just now, whoever has them (proc(5), /proc/net/tcp): not
 * those that only listen, nor what the kernel keeps of one that is over. None where that cannot be read.
 */
export async function connectedPorts(): Promise<ReadonlySet<number>> {
  const texts = ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => readFile(path, "utf8").catch(() => ""))
  const lines = (await Promise.all(texts)).flatMap((text) => text.split("\n").slice(1))
  return new Set(lines.flatMap(connectedPort))
}

function connectedPort(line: string): readonly number[] {
  const [, port = "", state = ""] = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) \S+ ([0-9A-F]{2}) /.exec(line) ?? []
  const number = Number.parseInt(state, 16)
  return port === "" || number === LISTENS || number === WAITS ? [] : [Number.parseInt(port, 16)]
}
