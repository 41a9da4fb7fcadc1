import { OvmError } from "../errors.ts"

/** Longer identities and issuers match no regular expression: they are a stranger's text. Characters. */
const TEXT_LIMIT = 1024

export interface Pattern {
  matches(text: string): boolean
  /** For messages. */
  readonly shown: string
}

/**
 * Exactly a text, or a regular expression (ECMA-262, flag u) that matches the whole of one. Throws OVM_USAGE, naming
 * `what`.
 */
export function pattern(expected: { is: string } | { matches: string }, what: string): Pattern {
  if ("is" in expected) return { matches: (text) => text === expected.is, shown: expected.is }
  const { matches } = expected
  try {
    // On its own first: what is unbalanced in itself could still be a whole with the parentheses around it.
    new RegExp(matches, "u")
    const whole = new RegExp(`^(?:${matches})$`, "u")
    return { matches: (text) => text.length <= TEXT_LIMIT && whole.test(text), shown: `/${matches}/` }
  } catch (cause) {
    throw new OvmError("OVM_USAGE", `${what} is not a regular expression: ${matches}`, { cause })
  }
}
