import type { Socket } from "node:net"
import { OvmError } from "../../errors.ts"
import { connectIn } from "./socket.ts"
import { KEYBOARD_SOCKET } from "./traces.ts"

/** How long the keeper may take to greet: it is never busy with anything else. */
const GREETING_MS = 5000

/** What types into a machine, which one at a time does. */
export interface Keyboard {
  /** Settles once the keeper will get the bytes, or nobody will read them any more. */
  write(bytes: Uint8Array, signal?: AbortSignal): Promise<void>
  close(): void
}

/**
 * Takes the keyboard of the machine in `directory` from its keeper (docs/design/0034-keeper.md). Throws
 * OVM_STATE_CONFLICT if another one has it, OVM_UNSUPPORTED if there is none, OVM_VMM_TIMEOUT if the keeper does not
 * answer.
 */
export async function openKeyboard(directory: string): Promise<Keyboard> {
  const socket = await connectIn(directory, KEYBOARD_SOCKET)
  if (!socket)
    throw new OvmError("OVM_UNSUPPORTED", `nobody can type into the machine in ${directory}`, {
      hint: "one whose keeper was killed, or that an earlier version of ovm started, has no input: ovm restart",
    })
  socket.on("error", () => {})
  const greeting = await greetingOf(socket)
  if (greeting === "ok\n") return over(socket)
  socket.destroy()
  if (greeting === "busy\n")
    throw new OvmError("OVM_STATE_CONFLICT", `another one types into the machine in ${directory} already`)
  throw new OvmError("OVM_VMM_TIMEOUT", `the keeper of the machine in ${directory} did not answer`)
}

function greetingOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(""), GREETING_MS)
    const settle = (bytes?: Uint8Array) => {
      clearTimeout(timer)
      resolve(String(bytes ?? ""))
    }
    socket.once("data", settle)
    socket.once("close", () => settle())
  })
}

function over(socket: Socket): Keyboard {
  const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()))
  return {
    async write(bytes, signal) {
      const aborted = new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve()))
      const taken = new Promise<void>((resolve) => socket.write(bytes, () => resolve()))
      await Promise.race([taken, gone, aborted])
    },
    close: () => socket.destroy(),
  }
}
