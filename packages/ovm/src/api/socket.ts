import { closeSync, constants, openSync } from "node:fs"
import { createConnection } from "node:net"
import { basename, dirname } from "node:path"

/** What the kernel says of a socket that nobody listens on, of no socket and of no file. */
const NOBODY: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTSOCK", "ENOENT"])

/**
 * A path to the same socket that fits in the 108 bytes which unix(7) allows, however deep its directory is.
 * Valid until disposed of; the directory must exist.
 */
export function shortPath(socket: string): { readonly text: string } & Disposable {
  if (Buffer.byteLength(socket) < 108) return { text: socket, [Symbol.dispose]: () => {} }
  const directory = openSync(dirname(socket), constants.O_RDONLY | constants.O_DIRECTORY)
  return {
    text: `/proc/self/fd/${directory}/${basename(socket)}`,
    [Symbol.dispose]: () => closeSync(directory),
  }
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
