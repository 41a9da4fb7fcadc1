import { closeSync, constants } from "node:fs"
import { createConnection, type Socket } from "node:net"
import { guardedSync } from "../../files/guarded.ts"
import { openIfPresent } from "../../files/present.ts"
import { unixConnection } from "../../host/libc.ts"

/** A connection that is read to its end, whatever becomes of what is written to it. */
export interface Dialled {
  /** Writes, or drops what nobody will read any more: the end is told by `ended`. */
  write(text: string): void
  destroy(): void
}

export interface Listener {
  /** What came, as UTF-8 in pieces of any length. */
  data(text: string): void
  /** Once, and last. */
  ended(): void
}

/** Connects to a socket in `directory`; undefined if nothing listens. Throws if the directory cannot be opened. */
export async function connectIn(directory: string, name: string): Promise<Socket | undefined> {
  return await throughFolder(directory, name, (path) => {
    const socket = createConnection({ path })
    return new Promise<Socket | undefined>((resolve) => {
      socket.once("connect", () => resolve(socket))
      socket.once("error", () => resolve(undefined))
    })
  })
}

/**
 * Connects as `connectIn` does, to a peer that may leave at any time, and whose last words count. node:net of Bun
 * forgets what has come and was not read yet when a write fails; only Bun's own socket goes on reading.
 */
export async function dialIn(
  directory: string,
  name: string,
  listener: Listener,
): Promise<Dialled | undefined> {
  const decoder = new TextDecoder()
  let unsent: Uint8Array = new Uint8Array()
  /**
   * What the kernel does not take is kept until it does. Bun may tell of room in the middle of a write: nothing may be
   * there then that is being written.
   */
  const send = (socket: { write(bytes: Uint8Array): number }) => {
    const bytes = unsent
    if (bytes.length === 0) return
    unsent = new Uint8Array()
    const sent = socket.write(bytes)
    if (sent >= 0 && sent < bytes.length) unsent = Buffer.concat([bytes.subarray(sent), unsent])
  }
  const socket = await throughFolder(directory, name, (unix) =>
    Bun.connect({
      unix,
      socket: {
        data: (_, bytes) => listener.data(decoder.decode(bytes, { stream: true })),
        drain: (socket) => send(socket),
        close: () => listener.ended(),
        error: () => {},
      },
    }).catch(() => undefined),
  )
  if (!socket) return undefined
  return {
    write(text) {
      const waits = unsent.length > 0
      unsent = Buffer.concat([unsent, Buffer.from(text)])
      if (!waits) send(socket)
    },
    destroy: () => socket.terminate(),
  }
}

/**
 * As `connectIn`, as a descriptor for another process, which the caller closes; whoever holds it does not wait for the
 * other side until it `waits` (host/libc.ts).
 */
export async function connectionIn(directory: string, name: string): Promise<number | undefined> {
  return await throughFolder(directory, name, async (path) => unixConnection(path))
}

/** In open(2): the file is not opened, only held, and a link is not followed. */
const O_PATH = 0o10000000

/**
 * A socket's path is limited to 107 bytes (unix(7)): it is given by a descriptor. Where its folder is a VMM's own, who
 * could put a link to another one's there, that is not followed.
 */
async function throughFolder<T>(
  directory: string,
  name: string,
  connect: (path: string) => Promise<T>,
): Promise<T | undefined> {
  const folder = guardedSync(() => openIfPresent(directory, constants.O_RDONLY | constants.O_DIRECTORY))
  if (folder === undefined) return undefined
  let held: number | undefined
  try {
    const path = `/proc/self/fd/${folder}/${name}`
    held = guardedSync(() => openIfPresent(path, O_PATH | constants.O_NOFOLLOW))
    return held === undefined ? undefined : await connect(`/proc/self/fd/${held}`)
  } finally {
    if (held !== undefined) closeSync(held)
    closeSync(folder)
  }
}
