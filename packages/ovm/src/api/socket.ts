import { closeSync, constants, openSync } from "node:fs"
import { basename, dirname } from "node:path"

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
