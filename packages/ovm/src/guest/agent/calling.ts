import type { Duplex } from "node:stream"

/** Each wait is twice the one before, up to this. */
const LONGEST_WAIT_MS = 60_000

/**
 * Says `words` to whoever is at the other end of `channel`, again and again, ever less often, until `answer` settles,
 * and gives that back: an agent may come long after its channel. The second time is after `firstWaitMs`.
 */
export async function callUntil<Answer>(
  channel: Duplex,
  words: Uint8Array,
  { firstWaitMs, answer }: { readonly firstWaitMs: number; readonly answer: Promise<Answer> },
): Promise<Answer> {
  let wait = firstWaitMs
  let timer: NodeJS.Timeout | undefined
  const again = () => {
    // Nobody takes it yet: it will be there.
    if (channel.writableLength === 0) channel.write(words)
    wait = Math.min(wait * 2, LONGEST_WAIT_MS)
    timer = setTimeout(again, wait)
  }
  channel.write(words)
  timer = setTimeout(again, wait)
  try {
    return await answer
  } finally {
    clearTimeout(timer)
  }
}
