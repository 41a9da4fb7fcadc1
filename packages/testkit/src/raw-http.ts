import { createConnection } from "node:net"

/** An answer as it came, byte for byte but for its chunks. */
export interface RawAnswer {
  /** 0 if nothing came that has one. */
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/**
 * Sends bytes to a Unix socket and reads until the other side has ended, or for `ms`: what no client would send, and
 * what none would show. The socket's path must fit unix(7).
 */
export function rawRequest(socket: string, bytes: string | Uint8Array, ms = 10_000): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const connection = createConnection(socket)
    const timer = setTimeout(() => connection.destroy(), ms)
    connection.on("data", (chunk) => chunks.push(Buffer.from(chunk)))
    connection.on("error", () => {})
    connection.on("close", () => {
      clearTimeout(timer)
      resolve(parseAnswer(Buffer.concat(chunks)))
    })
    connection.write(bytes)
  })
}

/** The first answer in `bytes`: one that says no more than "go on" is passed over. */
function parseAnswer(bytes: Buffer): RawAnswer {
  const end = bytes.indexOf("\r\n\r\n")
  const [line = "", ...lines] = bytes.subarray(0, Math.max(end, 0)).toString("latin1").split("\r\n")
  const status = Number(/^HTTP\/1\.[01] (\d{3}) /.exec(`${line} `)?.[1] ?? 0)
  if (status === 100) return parseAnswer(bytes.subarray(end + 4))
  const headers = Object.fromEntries(
    lines.map((text) => [text.replace(/:.*/s, "").toLowerCase(), text.replace(/^[^:]*: ?/, "")]),
  )
  const rest = bytes.subarray(end + 4)
  const length = Number(headers["content-length"] ?? rest.length)
  const body = headers["transfer-encoding"] === "chunked" ? unchunked(rest) : rest.subarray(0, length)
  return { status, headers, body }
}

function unchunked(bytes: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; ; ) {
    const end = bytes.indexOf("\r\n", at)
    const size = end < 0 ? 0 : Number.parseInt(bytes.subarray(at, end).toString("latin1"), 16)
    if (!(size > 0)) return Buffer.concat(parts)
    parts.push(bytes.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
}
