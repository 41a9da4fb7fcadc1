import type { Bytes, Call } from "../content/interfaces.ts"
import { readAll } from "../content/read.ts"
import { readChunks } from "../files/chunks.ts"
import { readRegular } from "../files/regular.ts"

/**
 * What is open already, and is somebody's who typed it: standard input, and what `<(command)` of a shell stands for.
 */
const OPEN = /^\/(?:dev|proc\/self)\/fd\/(\d+)$/

/**
 * A small file that was named on the command line, or what comes through a pipe that the shell handed over. Throws
 * OVM_FILE_UNREADABLE, also for a pipe with a name, at which nobody may be writing; OVM_TOO_LARGE.
 */
export function readArgument(path: string, limit: number): Promise<Uint8Array> {
  const pipe = openPipe(path)
  return pipe ? readAll(pipe, limit, path) : readRegular(path, limit)
}

/** A file of any size that was named on the command line, or what comes through such a pipe, as it comes. */
export function argumentBytes(path: string, call: Call): Bytes {
  return openPipe(path) ?? readChunks(path, call)
}

function openPipe(path: string): Bytes | undefined {
  const fd = path === "/dev/stdin" ? "0" : OPEN.exec(path)?.[1]
  if (fd === undefined) return undefined
  return process.getBuiltinModule("node:fs").createReadStream("", { fd: Number(fd), autoClose: false })
}
