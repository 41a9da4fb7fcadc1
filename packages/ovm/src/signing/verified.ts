import type { Descriptor } from "../content/descriptor.ts"
import { type ErrorCode, OvmError } from "../errors.ts"
import type { EvidenceSource, Verdict, VerdictOptions } from "./interfaces.ts"
import { heldAgainst } from "./reference.ts"
import { verdicts } from "./verdicts.ts"

/** What is to be verified, and where what vouches for it is looked for. */
export interface Examined {
  /** For messages. */
  readonly name: string
  readonly target: Descriptor
  readonly evidence: EvidenceSource
}

export interface VerifiedOptions extends VerdictOptions {
  /** The reference that it has to be signed for, where it says for which. */
  readonly expected?: string
  /** Go on after the first valid one, and give what was refused as well. */
  readonly all: boolean
}

/** Refusals that an error's detail lists; more are counted. */
const SHOWN = 20

/**
 * The valid signatures of a subject, or attestations where a predicate type is given: the first one, or all. Throws
 * the most telling refusal if there is none, whose detail has the others, and what `verdicts` throws.
 */
export async function verified(subject: Examined, options: VerifiedOptions): Promise<readonly Verdict[]> {
  const findings: Verdict[] = []
  const refused: Verdict[] = []
  let valid = false
  let others = 0
  for await (const verdict of verdicts(subject.evidence, subject.target.digest, options)) {
    const finding = heldAgainst(verdict, options.expected)
    if (finding.status === "valid") {
      if (!options.all) return [finding]
      valid = true
    } else if (refused.length < SHOWN) refused.push(finding)
    else others++
    if (options.all) findings.push(finding)
  }
  if (valid) return findings
  throw refusal(subject, refused, others, options.predicateType)
}

/** From those who nearly did to what was never meant. */
const TELLING: readonly ErrorCode[] = [
  "OVM_SIGNATURE_REFERENCE_MISMATCH",
  "OVM_CERTIFICATE_IDENTITY_MISMATCH",
  "OVM_CERTIFICATE_ISSUER_MISMATCH",
]

function refusal(
  { name }: Examined,
  refused: readonly Verdict[],
  others: number,
  predicateType: string | undefined,
): OvmError {
  // That there are statements of other types is no news where one type is asked for.
  const worth =
    predicateType === undefined ? refused : refused.filter(({ code }) => code !== "OVM_PREDICATE_MISMATCH")
  const first =
    worth.find(({ code }) => code !== undefined && TELLING.includes(code)) ??
    worth.find(({ status }) => status === "invalid") ??
    worth.find(({ code }) => code !== "OVM_PREDICATE_MISMATCH") ??
    worth[0]
  const wanted = predicateType === undefined ? "signature" : `attestation of the type ${predicateType}`
  const detail = refused.map(({ evidence, status, code, reason }) => ({
    manifest: evidence.manifest.digest,
    status,
    code,
    reason,
  }))
  if (!first?.code)
    return new OvmError(
      predicateType === undefined ? "OVM_SIGNATURE_MISSING" : "OVM_ATTESTATION_MISSING",
      `${name} has no ${wanted}`,
      { detail: { refused: detail } },
    )
  const more = refused.length + others - 1
  const count = more === 0 ? "" : ` (and ${more} more that do not count)`
  return new OvmError(first.code, `${name} has no valid ${wanted}: ${first.reason}${count}`, {
    detail: { refused: detail, others },
  })
}
