import type { AgentSession } from "./session.ts"

/** What a guest may have programs for (spec/agent.md, "Hooks"). */
export type HookEvent = "pre-snapshot" | "post-snapshot" | "post-resume" | "link-up"

/** How long all of an event may take. */
const MOST_MS = 30_000
/** Kept of what they say, in bytes. */
const MOST_WORDS = 1000

export interface HooksEnd {
  /** Something of the guest's own was run. */
  readonly ran: boolean
  /** What went wrong, in the agent's words or in ours. */
  readonly trouble?: string
}

/**
 * Has the guest run what its author has put there for `event`; `name` is the machine's. An agent of before that knows
 * no hooks has none. Throws OVM_AGENT_UNAVAILABLE.
 */
export async function runHooks(session: AgentSession, event: HookEvent, name: string): Promise<HooksEnd> {
  const stream = session.do(["hooks", `event=${event}`, `name=${name}`])
  let late = false
  const timer = setTimeout(() => {
    late = true
    stream.kill()
  }, MOST_MS)
  let ran = false
  let words = Buffer.alloc(0)
  try {
    for await (const { channel, bytes } of stream.output())
      if (channel === "stdout") ran = true
      else words = Buffer.concat([words, bytes.subarray(0, MOST_WORDS - words.length)])
    const ending = await stream.ending
    if ("refused" in ending || ("status" in ending && ending.status === 0)) return { ran }
    const why = late ? `they took longer than ${MOST_MS / 1000} s` : words.toString().trim()
    return { ran, trouble: `hooks for ${event}: ${why || "they failed"}` }
  } finally {
    clearTimeout(timer)
  }
}
