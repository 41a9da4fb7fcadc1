import { fstatSync, lstatSync, readFileSync, readlinkSync } from "node:fs"
import { createConnection, createServer, type Socket } from "node:net"
import { dirname } from "node:path"
import { OvmError } from "../errors.ts"
import { refuseShared } from "./private-folder.ts"
import { shortPath } from "./socket.ts"

/** The first descriptor that is passed (sd_listen_fds(3)). */
const FIRST = 3
/** In /proc/net/unix, of a socket that listens (SO_ACCEPTCON). */
const LISTENS = "00010000"

/** A socket that somebody listens on for this daemon, such as systemd: it outlives the daemon, and is never removed. */
export interface Activated {
  readonly descriptor: number
  readonly path: string
}

type Environment = Record<string, string | undefined>

/**
 * The socket that was passed, if one was; what says so is taken out of `env`, so that no child takes it for its own.
 * Throws OVM_USAGE for anything but one Unix socket that listens, OVM_PERMISSION_DENIED for one that others can reach.
 */
export function activatedSocket(env: Environment = process.env): Activated | undefined {
  const { LISTEN_PID, LISTEN_FDS } = env
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete env[name]
  if (LISTEN_FDS === undefined || LISTEN_PID !== String(process.pid)) return undefined
  if (LISTEN_FDS !== "1")
    throw notOurs(`${JSON.stringify(LISTEN_FDS)} sockets were passed, and the daemon has one`)
  const path = listeningPath()
  if (path === undefined) throw notOurs("what was passed is no Unix socket with a path that listens")
  const { mode, uid } = lstatSync(path)
  if (uid !== process.geteuid?.() || (mode & 0o077) !== 0)
    throw new OvmError("OVM_PERMISSION_DENIED", `${path} can be reached by others`, {
      hint: "SocketMode=0600",
    })
  refuseShared(dirname(path))
  return { descriptor: FIRST, path }
}

/** Hands on what comes by it to the daemon's own socket, wherever that is by then. Throws OVM_HOST_FAILED. */
export async function serveActivated({ descriptor: fd }: Activated, own: () => string): Promise<Disposable> {
  const clients = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (client) => {
    clients.add(client)
    client.once("close", () => clients.delete(client))
    handOn(client, own())
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen({ fd }, resolve)
  })
  return {
    [Symbol.dispose]: () => {
      server.close()
      for (const client of clients) client.destroy()
    },
  }
}

function handOn(client: Socket, socket: string): void {
  const path = shortPath(socket)
  const daemon = createConnection({ path: path.text, allowHalfOpen: true })
  daemon.once("connect", () => path[Symbol.dispose]()).once("error", () => path[Symbol.dispose]())
  for (const [from, to] of [
    [client, daemon],
    [daemon, client],
  ] as const) {
    from.pipe(to)
    from.once("error", () => to.destroy())
    from.once("close", () => to.destroy())
  }
}

/** Lines of /proc/net/unix: Num RefCount Protocol Flags Type St Inode Path. */
function listeningPath(): string | undefined {
  try {
    if (!fstatSync(FIRST).isSocket()) return undefined
    const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${FIRST}`)) ?? []
    for (const line of readFileSync("/proc/self/net/unix", "utf8").split("\n")) {
      const [, flags, found, path] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (\/.*)$/.exec(line) ?? []
      if (found === inode && flags === LISTENS) return path
    }
  } catch {
    // There is no such descriptor.
  }
  return undefined
}

function notOurs(why: string): OvmError {
  return new OvmError("OVM_USAGE", `socket activation: ${why}`, { hint: "ovm install-service --print" })
}
