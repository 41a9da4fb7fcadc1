const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/**
 * Runs `work` with a signal that the first Ctrl-C, SIGTERM or SIGHUP aborts, so that it can clean up and end with
 * OVM_INTERRUPTED. The second one ends this process at once.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  return await onSignals(
    (count) => (count === 1 ? controller.abort() : process.exit(130)),
    () => work(controller.signal),
  )
}

/** Runs `work`; meanwhile each signal that would end this process calls `handler` with how many have come instead. */
export async function onSignals<T>(
  handler: (count: number, signal: NodeJS.Signals) => void,
  work: () => Promise<T>,
): Promise<T> {
  let count = 0
  const listener = (signal: NodeJS.Signals) => handler(++count, signal)
  for (const signal of SIGNALS) process.on(signal, listener)
  try {
    return await work()
  } finally {
    for (const signal of SIGNALS) process.off(signal, listener)
  }
}
