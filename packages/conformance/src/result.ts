import type { Profile, Verdict } from "./check.ts"

export interface Result {
  readonly name: string
  readonly profile: Profile
  readonly covers: readonly string[]
  readonly verdict: Verdict
  /** Why, of all but a pass. */
  readonly reason?: string
  readonly milliseconds: number
}

/** One run of the suite against one subject. */
export interface Run {
  /** What was tested, as whoever ran the suite named it. */
  readonly subject: string
  /** What kind of subject: `wrapper`, `runtime`, `adapter`, `agent` or `registry`. */
  readonly kind: string
  readonly specification: string
  readonly suite: string
  /** RFC 3339. */
  readonly started: string
  readonly milliseconds: number
  readonly results: readonly Result[]
}

export type Tally = Readonly<Record<Verdict, number>>

export function tallyOf(results: readonly Result[]): Tally {
  const tally = { pass: 0, fail: 0, skip: 0, error: 0 }
  for (const { verdict } of results) tally[verdict]++
  return tally
}

/** 2 if the suite has a fault, 1 if the implementation has, or if not a single check passed; else 0. */
export function exitStatus(results: readonly Result[]): number {
  const { pass, fail, error } = tallyOf(results)
  if (error > 0) return 2
  return fail > 0 || pass === 0 ? 1 : 0
}

/** What became of the checks of each profile. */
export function passedProfiles(results: readonly Result[]): Map<Profile, Tally> {
  const profiles = new Map<Profile, Tally>()
  for (const profile of new Set(results.map((result) => result.profile)))
    profiles.set(profile, tallyOf(results.filter((result) => result.profile === profile)))
  return profiles
}

/** Whether a profile may be claimed: OVMS-CNF-022. */
export function isPassed({ pass, fail, skip, error }: Tally): boolean {
  return pass > 0 && pass >= skip && fail === 0 && error === 0
}
