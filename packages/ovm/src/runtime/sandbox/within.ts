import { OvmError } from "../../errors.ts"

export interface Within {
  readonly ms: number
  readonly signal: AbortSignal
  /** What takes so long, in words. */
  readonly what: string
}

/**
 * Does `work` with a signal that is aborted with `signal`, or once its time is over. Its end is not waited for then,
 * for which it may need an agent that does not answer: throws OVM_AGENT_UNAVAILABLE.
 */
export async function within<T>(
  { ms, signal, what }: Within,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    late.reject(new OvmError("OVM_AGENT_UNAVAILABLE", `${what} took longer than ${ms / 1000} s`))
    over.abort()
  }, ms)
  try {
    return await Promise.race([work(AbortSignal.any([signal, over.signal])), late.promise])
  } finally {
    clearTimeout(timer)
  }
}
