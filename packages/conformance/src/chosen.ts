import type { Profile } from "./check.ts"

interface Named {
  readonly name: string
  readonly profile: Profile
  readonly covers: readonly string[]
}

export interface Choice {
  readonly profiles: readonly Profile[]
  /** Names of checks, parts of names, or IDs of requirements with or without `OVMS-`; all checks if there are none. */
  readonly only: readonly string[]
}

/** Those of `checks` that are wanted. A word that is all of a check's name means that one alone. */
export function chosen<T extends Named>(checks: readonly T[], { profiles, only }: Choice): T[] {
  const names = new Set(checks.map(({ name }) => name))
  const means = (word: string, { name, covers }: Named) =>
    names.has(word)
      ? name === word
      : name.includes(word) || covers.includes(`OVMS-${word.replace(/^OVMS-/, "")}`)
  return checks.filter(
    (check) =>
      profiles.includes(check.profile) && (only.length === 0 || only.some((word) => means(word, check))),
  )
}
