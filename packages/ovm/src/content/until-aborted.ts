import type { Bytes } from "./interfaces.ts"

/**
 * Passes `content` on until the signal is aborted, and throws its reason then: what `content` waits for may never come.
 * No promise here outlives its chunk: one that did, as Promise.race would have it, would keep all chunks in memory.
 */
export async function* untilAborted(content: Bytes, signal: AbortSignal): Bytes {
  const iterator = content[Symbol.asyncIterator]()
  let giveUp: (reason: unknown) => void = () => {}
  const abort = () => giveUp(signal.reason)
  signal.addEventListener("abort", abort, { once: true })
  try {
    while (true) {
      signal.throwIfAborted()
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        giveUp = reject
        iterator.next().then(resolve, reject)
      })
      if (next.done) return
      yield next.value
    }
  } finally {
    signal.removeEventListener("abort", abort)
    void iterator.return?.()?.catch(() => {})
  }
}
