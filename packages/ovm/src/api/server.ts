import { chmodSync, lstatSync, renameSync, rmSync } from "node:fs"
import { dirname, join } from "node:path"
import { OvmError, toOvmError } from "../errors.ts"
import type { Runtime } from "../runtime/interfaces.ts"
import { healthOf } from "./client.ts"
import { errorResponse } from "./http.ts"
import { privateFolder } from "./private-folder.ts"
import { dispatch } from "./routes.ts"
import { shortPath } from "./socket.ts"

export interface Server {
  readonly socket: string
  /** Whether what is at its path is still its socket. */
  isThere(): boolean
  /** Takes no more connections; those that there are go on to their end. */
  retire(): void
  /** Ends open streams and takes the socket away. */
  close(): Promise<void>
}

/**
 * Serves `runtime` on a Unix socket of mode 0600 in a directory of mode 0700 (spec/runtime-api.md, "Socket").
 * Throws OVM_DAEMON_RUNNING if something answers there already, and OVM_PERMISSION_DENIED or OVM_FILE_UNREADABLE if no such
 * folder can be had; a socket that nobody serves, or another file in its place, is replaced in one step.
 */
export async function serve(
  runtime: Runtime,
  socket: string,
  log: (error: OvmError) => void = () => {},
): Promise<Server> {
  privateFolder(dirname(socket))
  if (await healthOf(socket))
    throw new OvmError("OVM_DAEMON_RUNNING", `another daemon serves ${socket}`, { hint: "ovm info" })
  // Made under another name, so that nobody sees it before it has its mode, and its end removes nothing of others.
  const own = join(dirname(socket), `.ovm.sock.${process.pid}`)
  rmSync(own, { force: true })
  using path = shortPath(own)
  const server = Bun.serve({
    unix: path.text,
    // A console may be silent for hours. Bun takes this for Unix sockets too, whatever its types say.
    idleTimeout: 0 as never,
    // A longer body is refused by the operation, in the words of this API (http.ts).
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: async (request) => {
      try {
        return await dispatch(runtime, request)
      } catch (thrown) {
        const error = toOvmError(thrown)
        if (error.httpStatus >= 500) log(error)
        return errorResponse(error)
      }
    },
    error: (thrown) => errorResponse(toOvmError(thrown)),
  })
  try {
    chmodSync(own, 0o600)
    renameSync(own, socket)
  } catch (thrown) {
    await server.stop(true)
    throw toOvmError(thrown)
  }
  const mine = identity(socket)
  const isThere = () => identity(socket) === mine
  return {
    socket,
    isThere,
    retire: () => void server.stop(false),
    close: async () => {
      if (isThere()) rmSync(socket, { force: true })
      await server.stop(true)
    },
  }
}

function identity(path: string): string | undefined {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return found && `${found.dev} ${found.ino}`
}
