import { createConnection } from "node:net"
import { shortPath as short } from "@ovms/client/short-path"

/** What the kernel says of a socket that nobody listens on, of no socket and of no file. */
const NOBODY: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTSOCK", "ENOENT"])

/** A path to the same socket that is short enough, valid until disposed of; the directory must exist. */
export function shortPath(socket: string): { readonly text: string } & Disposable {
  const { text, close } = short(socket)
  return { text, [Symbol.dispose]: close }
}

/** Whether a process listens on it, whatever that says, and however busy the host is: the kernel answers. */
export async function isServed(socket: string): Promise<boolean> {
  using path = shortPath(socket)
  const connection = createConnection(path.text)
  try {
    return await new Promise((resolve) => {
      connection.once("connect", () => resolve(true))
      connection.once("error", ({ code }: NodeJS.ErrnoException) => resolve(!NOBODY.has(code ?? "")))
    })
  } finally {
    connection.destroy()
  }
}
