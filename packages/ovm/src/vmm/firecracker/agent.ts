import type { Duplex } from "node:stream"
import type { MachineRecord } from "../machine.ts"
import { workplaceOf } from "../process/jailed.ts"
import { connectIn } from "../process/socket.ts"
import { VSOCK_AGENT, VSOCK_SOCKET } from "./vsock.ts"

/** Of the guest (OVMS-AGT-004). */
const PORT = 20_310
/** Firecracker gives a guest that does not answer two seconds. */
const ANSWER_MS = 5000
/** Of its answer: `OK` and a number. */
const LONGEST_ANSWER = 32

/** Loader.agentIn of Firecracker. */
export function agentInFirecracker(devices: readonly string[]): boolean {
  return devices.includes(VSOCK_AGENT)
}

/** Machine.agent of Firecracker: undefined for a machine without. */
export function agentOfFirecracker({
  directory,
  model,
}: MachineRecord): (() => Promise<Duplex | undefined>) | undefined {
  return agentInFirecracker(model?.devices ?? []) ? () => channelIn(directory) : undefined
}

/**
 * A stream to the agent: Firecracker is told which port of the guest it is for, and says whether somebody listens there
 * (docs/vsock.md of its sources). Undefined if nobody does.
 */
export async function channelIn(directory: string, ms = ANSWER_MS): Promise<Duplex | undefined> {
  const socket = await connectIn(workplaceOf(directory), VSOCK_SOCKET)
  if (!socket) return undefined
  const { promise, resolve } = Promise.withResolvers<boolean>()
  let heard = Buffer.alloc(0)
  // What the agent says may come together with the answer, or in the middle of it.
  const hear = (bytes: Buffer) => {
    heard = Buffer.concat([heard, bytes])
    const end = heard.indexOf("\n")
    if (end >= 0 || heard.length > LONGEST_ANSWER)
      resolve(/^OK \d+$/.test(heard.toString("latin1", 0, Math.max(end, 0))))
  }
  const gone = () => resolve(false)
  const timer = setTimeout(gone, ms)
  socket.on("data", hear).once("close", gone).once("error", gone)
  socket.write(`CONNECT ${PORT}\n`)
  const open = await promise
  clearTimeout(timer)
  socket.pause().off("data", hear).off("close", gone).off("error", gone)
  if (!open) {
    socket.destroy()
    return undefined
  }
  const rest = heard.subarray(heard.indexOf("\n") + 1)
  if (rest.length > 0) socket.unshift(rest)
  // Once whoever is given it listens.
  setImmediate(() => socket.resume())
  return socket
}
