import { OvmError } from "../../errors.ts"
import { type AgentSession, CUT } from "./session.ts"
import type { AgentStream } from "./stream.ts"

/** How long what is written may stand still, and how long freezing may take: what is under way is written first. */
const MOST_S = 30
/** For so long it is held for sure, of the guest's time, whose clock is no faster than ours. */
export const CERTAIN_MS = 28_000
/** Kept of what the agent says, in bytes. */
const MOST_WORDS = 1000

/** File systems of a guest that stand still until this is let go of, or for half a minute. */
export interface Freeze extends Disposable {
  /**
   * Ends it. False if it was over before, or its agent has gone; not so if its streams were cut in time, of a guest
   * that stood still then.
   */
  held(): Promise<boolean>
}

/**
 * Has all file systems of a guest that are on its disks written out, and held as they are. Throws OVM_UNSUPPORTED in
 * the agent's words, OVM_AGENT_UNAVAILABLE.
 */
export async function freezeGuest(session: AgentSession): Promise<Freeze> {
  const stream = session.do(["freeze", `seconds=${MOST_S}`])
  const began = performance.now()
  let cutInTime = false
  void session.closed.then((why) => {
    cutInTime = why === CUT && performance.now() - began < CERTAIN_MS
  })
  const late = setTimeout(() => stream.kill(), MOST_S * 1000)
  try {
    await frozen(stream)
  } catch (thrown) {
    stream.kill()
    throw thrown
  } finally {
    clearTimeout(late)
  }
  const held = async () => {
    await stream.end()
    const hangs = setTimeout(() => stream.kill(), MOST_S * 1000)
    const ending = await stream.ending.catch(() => undefined)
    clearTimeout(hangs)
    return ending === undefined ? cutInTime : "status" in ending && ending.status === 0
  }
  return { held, [Symbol.dispose]: () => void (stream.over || stream.kill()) }
}

/** Settles once it says so. */
async function frozen(stream: AgentStream): Promise<void> {
  let words = ""
  for await (const { channel, bytes } of stream.output())
    if (channel === "stdout") return
    else words = (words + Buffer.from(bytes).toString()).slice(0, MOST_WORDS)
  const ending = await stream.ending
  const why = "refused" in ending ? ending.refused : words.trim()
  throw new OvmError("OVM_UNSUPPORTED", `its file systems cannot be frozen: ${why || "it took too long"}`)
}
