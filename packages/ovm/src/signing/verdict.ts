import { type Claim, readClaim } from "./claim.ts"
import { type Candidate, faultOf, type Inquiry, pieceOf } from "./evidence.ts"
import { type Evidence, SIGNATURE_PREDICATE, type Verdict } from "./interfaces.ts"
import { judgeBy } from "./judge.ts"
import type { Judgement } from "./judgement.ts"
import type { Judge } from "./judges.ts"
import { kindOf } from "./statement.ts"

/** What is asked of one candidate. */
export interface CandidateInquiry extends Inquiry {
  /** The predicate type that it should have, or is said to have. */
  readonly type: string
  /** What turns out to be of another type is not judged. */
  readonly ofThatTypeOnly: boolean
  readonly judges: readonly Judge[]
}

/** A verdict, and the claim that it is about where there is one that can be read. */
export interface Judged {
  readonly verdict: Verdict
  readonly claim?: Claim
}

/**
 * Reads and judges one candidate; undefined if there is nothing in it, or it is gone. Bad evidence is a verdict.
 * Throws what the source throws.
 */
export async function judgeCandidate(
  candidate: Candidate,
  asked: CandidateInquiry,
): Promise<Judged | undefined> {
  const { type, ofThatTypeOnly, judges } = asked
  const isOther = (evidence: Evidence) => ofThatTypeOnly && evidence.predicateType !== type
  let evidence = placeholder(candidate, type)
  try {
    const piece = await pieceOf(asked, candidate, kindOf(type))
    if (!piece) return undefined
    evidence = { ...piece.evidence, predicateType: piece.evidence.predicateType || type }
    if (isOther(evidence)) return { verdict: ofOtherType(evidence, type) }
    const claim = await readClaim(asked, piece, evidence.predicateType)
    evidence = claim.evidence
    if (isOther(evidence)) return { verdict: ofOtherType(evidence, type) }
    return { verdict: verdictBy(await judgeBy(claim, judges), claim), claim }
  } catch (thrown) {
    const { code, message } = faultOf(thrown)
    return { verdict: { evidence, status: "invalid", code, reason: message } }
  }
}

/** What stands in a verdict for evidence that could not be read. */
function placeholder(candidate: Candidate, type: string): Evidence {
  const { form, manifest } = candidate
  const blob = "layer" in candidate ? candidate.layer : manifest
  return { form, kind: kindOf(type), predicateType: type, manifest, blob }
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
