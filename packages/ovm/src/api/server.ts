import { chmodSync, mkdirSync, unlinkSync } from "node:fs"
import { dirname } from "node:path"
import { OvmError, toOvmError } from "../errors.ts"
import type { Runtime } from "../runtime/interfaces.ts"
import { answers } from "./client.ts"
import { errorResponse } from "./http.ts"
import { dispatch } from "./routes.ts"
import { shortPath } from "./socket.ts"

export interface Server {
  /** Ends open streams and takes the socket away. */
  close(): Promise<void>
}

/**
 * Serves `runtime` on a Unix socket of mode 0600 in a directory of mode 0700 (spec/runtime-api.md, "Socket").
 * Throws OVM_DAEMON_RUNNING if something answers there already; a socket that nobody serves is replaced.
 */
export async function serve(
  runtime: Runtime,
  socket: string,
  log: (error: OvmError) => void = () => {},
): Promise<Server> {
  mkdirSync(dirname(socket), { recursive: true, mode: 0o700 })
  chmodSync(dirname(socket), 0o700)
  if (await answers(socket))
    throw new OvmError("OVM_DAEMON_RUNNING", `another daemon serves ${socket}`, { hint: "ovm info" })
  clear(socket)
  using path = shortPath(socket)
  const umask = process.umask(0o177)
  try {
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
    return {
      close: async () => {
        await server.stop(true)
        clear(socket)
      },
    }
  } finally {
    process.umask(umask)
  }
}

/** Throws OVM_FILE_UNREADABLE for a folder in the socket's place. */
function clear(socket: string): void {
  try {
    unlinkSync(socket)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw toOvmError(thrown)
  }
}
