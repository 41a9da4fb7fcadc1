import { lstatSync, readlinkSync, renameSync, rmSync, symlinkSync } from "node:fs"
import { dirname } from "node:path"
import { type OvmError, toOvmError } from "../errors.ts"
import type { Paths } from "../host/paths.ts"
import { refuseShared } from "./private-folder.ts"
import type { Server } from "./server.ts"

/** How often a daemon looks whether its socket is where it made it, in ms (OVMS-API-151). */
const LOOK_MS = 1_000

type Listen = (socket: string) => Promise<Server>

export interface KeptSocket {
  readonly socket: string
  close(): Promise<void>
}

/**
 * Has `listen` make the socket where the environment wants it, else in the root, and a link in the root that leads to
 * it (docs/design/0028-finding-the-daemon.md). What is removed or replaced is made anew as long as the daemon lives,
 * wherever that is possible by then. Throws what `listen` throws where it is nowhere possible at first; later that is
 * told to `log`.
 */
export async function keepSocket(
  paths: Paths,
  listen: Listen,
  log: (socket: string, error?: OvmError) => void,
): Promise<KeptSocket> {
  let server = await listenSomewhere(paths, listen)
  let failed = false
  let looking: Promise<void> | undefined
  const look = async () => {
    try {
      if (!server.isThere()) {
        server.retire()
        server = await listenSomewhere(paths, listen)
        log(server.socket)
      }
      link(paths, server.socket)
      failed = false
    } catch (thrown) {
      // Told once: the next look may find the disk with room, or the folder there.
      if (!failed) log(paths.link, toOvmError(thrown))
      failed = true
    }
  }
  const timer = setInterval(() => {
    looking ??= look().finally(() => {
      looking = undefined
    })
  }, LOOK_MS)
  return {
    get socket() {
      return server.socket
    },
    close: async () => {
      clearInterval(timer)
      await looking
      if (leadsTo(paths.link) === server.socket) rmSync(paths.link, { force: true })
      await server.close()
    },
  }
}

async function listenSomewhere(paths: Paths, listen: Listen): Promise<Server> {
  if (paths.socket !== paths.link)
    try {
      refuseShared(dirname(paths.socket))
      const server = await listen(paths.socket)
      link(paths, server.socket)
      return server
    } catch {
      // Such as a folder that went with the user's session, or the daemon of another root: the root is always there.
    }
  // What an earlier daemon's link leads to may be somebody else's by now.
  if (leadsTo(paths.link) !== undefined) rmSync(paths.link, { force: true })
  return await listen(paths.link)
}

/** In one step, so that whoever looks finds the old one or the new one. */
function link({ link }: Paths, socket: string): void {
  if (link === socket || leadsTo(link) === socket) return
  const fresh = `${link}.${process.pid}`
  try {
    rmSync(fresh, { force: true })
    symlinkSync(socket, fresh)
    renameSync(fresh, link)
  } catch (thrown) {
    rmSync(fresh, { force: true })
    throw toOvmError(thrown)
  }
}

/** Where the link at `path` leads; undefined if there is none. */
function leadsTo(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : undefined
}
