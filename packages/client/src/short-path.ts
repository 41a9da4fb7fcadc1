import { closeSync, constants, openSync } from "node:fs"
import { basename, dirname } from "node:path"

/** A path to a socket, good until closed. */
export interface ShortPath {
  readonly text: string
  close(): void
}

/**
 * A path to the same socket that fits in the 108 bytes which unix(7) allows, however deep its directory is; that must
 * exist. It is this process's alone.
 */
export function shortPath(socket: string): ShortPath {
  if (Buffer.byteLength(socket) < 108) return { text: socket, close: () => {} }
  const directory = openSync(dirname(socket), constants.O_RDONLY | constants.O_DIRECTORY)
  return { text: `/proc/self/fd/${directory}/${basename(socket)}`, close: () => closeSync(directory) }
}
