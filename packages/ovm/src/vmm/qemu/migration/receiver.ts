import { closeSync, constants, openSync } from "node:fs"
import { rm } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { OvmError, toOvmError } from "../../../errors.ts"
import type { RamBlock } from "./head.ts"
import { RamWriter } from "./ram-file.ts"
import { type DeviceState, StreamSplitter } from "./splitter.ts"

/** In the instance's directory, where QEMU runs: it knows the socket by this name. */
export const SNAPSHOT_SOCKET = "snapshot.sock"

export interface Received extends DeviceState {
  /** Bytes of RAM that are no zero pages. */
  readonly ramData: number
}

export interface Receiver {
  /**
   * Settles when the stream is over, RAM is written and the state checked. Throws what splitter.ts and ram-file.ts
   * throw.
   */
  readonly done: Promise<Received>
  /** Stops at once; `done` fails if it was not over. */
  close(): Promise<void>
}

/** Listens in `directory` for one migration stream, and splits it: RAM goes to a new sparse file at `ram`. */
export async function listenForStream(directory: string, block: RamBlock, ram: string): Promise<Receiver> {
  const path = join(directory, SNAPSHOT_SOCKET)
  await rm(path, { force: true })
  const file = new RamWriter(ram, block.size)
  const done = Promise.withResolvers<Received>()
  done.promise.catch(() => {})
  const splitter = new StreamSplitter(block, file)
  let end = (_error?: OvmError) => {}
  const server = createServer((socket) => {
    server.close()
    const finish = (work: () => void) => {
      try {
        work()
      } catch (thrown) {
        end(toOvmError(thrown))
      }
    }
    end = (error) => {
      socket.destroy()
      if (error) done.reject(error)
    }
    socket.on("data", (chunk: Buffer) => finish(() => splitter.push(chunk)))
    socket.on("end", () =>
      finish(() => {
        file.flush()
        const state = splitter.end()
        done.resolve({ ...state, ramData: file.data })
        end()
      }),
    )
    socket.on("error", (cause) => end(new OvmError("OVM_VMM_FAILED", "the stream broke", { cause })))
  })
  const closeAll = async () => {
    server.close()
    end()
    done.reject(new OvmError("OVM_VMM_FAILED", "the snapshot's stream was given up"))
    await rm(path, { force: true })
  }
  try {
    await listenIn(directory, server)
  } catch (thrown) {
    file.close()
    await closeAll()
    throw toOvmError(thrown)
  }
  let closed = false
  return {
    done: done.promise,
    async close() {
      if (closed) return
      closed = true
      await closeAll()
      file.close()
    },
  }
}

/** Through the folder's descriptor, as a socket's path is limited to 107 bytes (unix(7)). */
async function listenIn(directory: string, server: ReturnType<typeof createServer>): Promise<void> {
  const folder = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject)
      server.listen({ path: `/proc/self/fd/${folder}/${SNAPSHOT_SOCKET}` }, resolve)
    })
  } finally {
    closeSync(folder)
  }
}
