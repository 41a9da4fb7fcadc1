import { ahead } from "../files/ahead.ts"
import { type Claim, readClaim } from "./claim.ts"
import { type Candidate, candidates, faultOf, type Inquiry, pieceOf } from "./evidence.ts"
import { type Evidence, SIGNATURE_PREDICATE, type Verdict, type Verdicts } from "./interfaces.ts"
import { judgeBy } from "./judge.ts"
import type { Judgement } from "./judgement.ts"
import { type Judge, prepare } from "./judges.ts"
import { AT_A_TIME } from "./limits.ts"
import { kindOf } from "./statement.ts"

/**
 * Finds and judges all that vouches for `subject` (spec/signing.md, "Verifying"). Bad evidence is a verdict, never an end. What
 * is of another predicate type than was asked for is `unknown` with OVM_PREDICATE_MISMATCH. Throws OVM_KEY_INVALID or OVM_USAGE
 * for an authority that cannot be understood, OVM_TOO_LARGE for too much to look at, and what the source throws.
 */
export const verdicts: Verdicts = async function* (source, subject, options) {
  const wanted = options.predicateType ?? SIGNATURE_PREDICATE
  const judges = options.authorities.map(prepare)
  // Whoever has enough stops; what was begun ahead for the rest stops with it.
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  const asked: Asked = { source, subject, wanted, judges, call: { signal } }
  try {
    const found = candidates(source, subject, kindOf(wanted), asked.call)
    for await (const verdict of ahead(found, AT_A_TIME, (candidate) => verdictOf(candidate, asked)))
      if (verdict) yield verdict
  } finally {
    stop.abort()
  }
}

interface Asked extends Inquiry {
  readonly wanted: string
  readonly judges: readonly Judge[]
}

async function verdictOf(candidate: Candidate, asked: Asked): Promise<Verdict | undefined> {
  const { wanted, judges } = asked
  let evidence = placeholder(candidate, wanted)
  try {
    const piece = await pieceOf(asked, candidate, kindOf(wanted))
    if (!piece) return undefined
    evidence = { ...piece.evidence, predicateType: piece.evidence.predicateType || wanted }
    if (evidence.predicateType !== wanted) return ofOtherType(evidence, wanted)
    const claim = await readClaim(asked, piece, wanted)
    evidence = claim.evidence
    if (evidence.predicateType !== wanted) return ofOtherType(evidence, wanted)
    return verdictBy(await judgeBy(claim, judges), claim)
  } catch (thrown) {
    const { code, message } = faultOf(thrown)
    return { evidence, status: "invalid", code, reason: message }
  }
}

/** What stands in a verdict for evidence that could not be read. */
function placeholder(candidate: Candidate, wanted: string): Evidence {
  const { form, manifest } = candidate
  const blob = "layer" in candidate ? candidate.layer : manifest
  return { form, kind: kindOf(wanted), predicateType: wanted, manifest, blob }
}

function ofOtherType(evidence: Evidence, wanted: string): Verdict {
  const reason =
    wanted === SIGNATURE_PREDICATE
      ? `it is an attestation (${evidence.predicateType}), which is no signature`
      : `it is of the type ${evidence.predicateType}, not ${wanted}`
  return { evidence, status: "unknown", code: "OVM_PREDICATE_MISMATCH", reason }
}

function verdictBy(judgement: Judgement, claim: Claim): Verdict {
  const { evidence, signedReference, predicate } = claim
  const { status, signatory, signedAt, fault } = judgement
  return {
    evidence,
    status,
    ...(signatory && { signatory }),
    ...(signedReference !== undefined && { signedReference }),
    ...(signedAt !== undefined && { signedAt }),
    ...(status === "valid" && evidence.kind === "attestation" && { predicate }),
    ...(fault && { code: fault.code, reason: fault.message }),
  }
}
