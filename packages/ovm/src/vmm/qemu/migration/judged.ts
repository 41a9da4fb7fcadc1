import { OvmError } from "../../../errors.ts"
import { RAM_ID } from "../model.ts"
import { type DeviceState, StreamSplitter } from "./splitter.ts"

/** A device state that was found to be whole, and what is in it. */
interface Judged {
  readonly bytes: Buffer
  readonly memory: number
  readonly state: Pick<DeviceState, "configuration">
}

/** So many are remembered, none of more bytes: clones of one snapshot have the same, and comparing costs far less. */
const MOST = 4
const MOST_BYTES = 1 << 20

const known: Judged[] = []

/**
 * What is in the device state of a machine with `memory` bytes of RAM. Throws OVM_VMM_FAILED for damage that QEMU would
 * not notice: a stream that does not fit the machine, or is cut off, or goes on.
 */
export function judgedState(bytes: Buffer, memory: number): Judged["state"] {
  const before = known.find((one) => one.memory === memory && one.bytes.equals(bytes))
  if (before) return before.state
  const { configuration } = splitState(bytes, memory)
  const state = { configuration }
  if (bytes.length <= MOST_BYTES) {
    known.unshift({ bytes, memory, state })
    known.length = Math.min(known.length, MOST)
  }
  return state
}

function splitState(bytes: Uint8Array, memory: number): DeviceState {
  const inState = () => {
    throw new OvmError("OVM_VMM_FAILED", "pages of RAM are in the device state")
  }
  const splitter = new StreamSplitter({ name: RAM_ID, size: memory }, { page: inState, zero: inState })
  splitter.push(bytes)
  return splitter.end()
}
