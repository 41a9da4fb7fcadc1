/** What an implementation may claim apart from the rest (spec/conformance.md). */
export const PROFILES = ["core", "snapshot", "signing", "agent", "uefi", "import"] as const
export type Profile = (typeof PROFILES)[number]

/**
 * `pass` and `fail` are about the implementation, `skip` says why nothing can be said of it, `error` is the suite's
 * own fault.
 */
export const VERDICTS = ["pass", "fail", "skip", "error"] as const
export type Verdict = (typeof VERDICTS)[number]

/** One thing that is looked at from outside. */
export interface Check<Subject> {
  /** Path-like and unique: `vector/invalid/manifest-…`. */
  readonly name: string
  readonly profile: Profile
  /** IDs of the requirements that an implementation breaks which fails. */
  readonly covers: readonly string[]
  /** Boots a whole system: is begun first, and has three times as long as others. */
  readonly slow?: boolean
  /** Does next to nothing but wait: run beside the others, and takes nobody's turn. */
  readonly waits?: boolean
  /** What it needs, and one check at a time can have: those that need the same are run one after the other. */
  readonly needs?: string
  /** Done is a pass. Throws by `fail` or `skip`; whatever else it throws is the suite's own fault. */
  run(subject: Subject, call: CheckCall): Promise<void>
}

export interface CheckCall {
  /** An empty folder of this check alone, removed behind it. */
  readonly folder: string
  /** Aborted when the time of the check is over. */
  readonly signal: AbortSignal
}

/** The implementation does what it must not, or not what it must. */
export class Failure extends Error {}

/** Nothing can be said, for the reason that is the message. */
export class Skipped extends Error {}

export function fail(words: string): never {
  throw new Failure(words)
}

export function skip(reason: string): never {
  throw new Skipped(reason)
}

/** Fails with `words` unless `holds`. */
export function must(holds: unknown, words: string): asserts holds {
  if (!holds) fail(words)
}
