import { ahead } from "../files/ahead.ts"
import { candidates } from "./evidence.ts"
import { SIGNATURE_PREDICATE, type Verdicts } from "./interfaces.ts"
import { prepare } from "./judges.ts"
import { AT_A_TIME } from "./limits.ts"
import { kindOf } from "./statement.ts"
import { type CandidateInquiry, judgeCandidate } from "./verdict.ts"

/**
 * Finds and judges all that vouches for `subject` (spec/signing.md, "Verifying"). Bad evidence is a verdict, never an
 * end. What is of another predicate type than was asked for is `unknown` with OVM_PREDICATE_MISMATCH. Throws
 * OVM_KEY_INVALID or OVM_USAGE for an authority that cannot be understood, OVM_TOO_LARGE for too much to look at, and
 * what the source throws.
 */
export const verdicts: Verdicts = async function* (source, subject, options) {
  const wanted = options.predicateType ?? SIGNATURE_PREDICATE
  const judges = options.authorities.map(prepare)
  // Whoever has enough stops; what was begun ahead for the rest stops with it.
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  const asked: CandidateInquiry = {
    source,
    subject,
    type: wanted,
    ofThatTypeOnly: true,
    judges,
    call: { signal },
  }
  try {
    const found = candidates(source, subject, kindOf(wanted), asked.call)
    for await (const judged of ahead(found, AT_A_TIME, (candidate) => judgeCandidate(candidate, asked)))
      if (judged) yield judged.verdict
  } finally {
    stop.abort()
  }
}
