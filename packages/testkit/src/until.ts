export interface Waiting<T> {
  /** Whether the value is the one that is waited for; that it is truthy, unless told. */
  readonly is?: (value: T) => boolean
  /** How long, in ms; minutes unless told. */
  readonly deadlineMs?: number
  /** How long between two looks, in ms; twice as long as a look takes unless told, within bounds. */
  readonly everyMs?: number
}

const DEADLINE_MS = 280_000
/** Bounds of what is between two looks, in ms. */
const LEAST_MS = 5
const MOST_MS = 500
const SHOWN = 2000
/** Between two looks at what is to stand still, in ms. */
const STILL_MS = 200

/**
 * Looks again and again until it sees what is waited for, and gives it: the one way in which a test waits. Throws what
 * `look` throws, and after the deadline an error that names `what` and the last value seen.
 */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  options: Waiting<T> & Required<Pick<Waiting<T>, "is">>,
): Promise<T>
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  options?: Waiting<T>,
): Promise<Exclude<T, undefined | null | false>>
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  options: Waiting<T> = {},
): Promise<T> {
  const { is = Boolean, deadlineMs = DEADLINE_MS, everyMs } = options
  const deadline = performance.now() + deadlineMs
  for (;;) {
    const began = performance.now()
    const value = await look()
    if (is(value)) return value
    if (performance.now() > deadline)
      throw new Error(`${what}: not within ${deadlineMs} ms; last seen: ${shown(value)}`)
    // Whoever looks by a command takes the processor from what is waited for.
    await Bun.sleep(everyMs ?? Math.min(Math.max(2 * (performance.now() - began), LEAST_MS), MOST_MS))
  }
}

/**
 * Looks until two looks, some time apart, see the same, and gives it: what was on its way when something was stopped
 * has come by then, however busy the host is, and what goes on is never still.
 */
export async function still<T>(what: string, look: () => T | Promise<T>): Promise<T> {
  let seen = await look()
  const again = async () => {
    await Bun.sleep(STILL_MS)
    const before = seen
    seen = await look()
    return Bun.deepEquals(before, seen)
  }
  await until(`${what}, standing still`, again, { everyMs: 0 })
  return seen
}

/** The end of long text: what came last says most. */
function shown(value: unknown): string {
  const text = typeof value === "string" ? value : Bun.inspect(value)
  return text.length > SHOWN ? `…${text.slice(-SHOWN)}` : text
}
