import type { Digest } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import type { ErrorCode } from "../../errors.ts"
import type { EvidenceSource, Signatory, Verdict, Verdicts } from "../interfaces.ts"
import { conditionRefusal } from "./conditions.ts"
import type { Weighed } from "./decision.ts"
import { identityRefusal } from "./identity.ts"
import type { AttestedRule, SignedRule } from "./rules.ts"
import type { Name } from "./scope.ts"

/** Of evidence that does not count, so much is kept to be told. */
const TOLD = 32

export interface Evidenced {
  readonly counting: readonly Verdict[]
  /** What was looked at, the first of it, and what counts in any case. */
  readonly weighed: readonly Weighed[]
  readonly looked: number
}

export interface WeighOptions extends Call {
  readonly source: EvidenceSource
  readonly verdicts: Verdicts
  readonly name: Name | undefined
  /** It is what the name stands for, and so has the tag of the name. */
  readonly whole: boolean
  /** Whether to go on after the first that counts: for who has to choose among them. */
  readonly all: boolean
}

/** Holds the evidence of `subject` against one rule. Throws what `verdicts` throws. */
export async function weigh(
  rule: SignedRule | AttestedRule,
  subject: Digest,
  { source, verdicts, name, whole, all, ...call }: WeighOptions,
): Promise<Evidenced> {
  const counting: Verdict[] = []
  const weighed: Weighed[] = []
  let looked = 0
  const options = {
    authorities: rule.authorities,
    ...(rule.type === "attested" && { predicateType: rule.predicateType }),
    ...call,
  }
  for await (const verdict of verdicts(source, subject, options)) {
    looked++
    const refusal = evidenceRefusalOf(rule, verdict, name, whole)
    if (!refusal) counting.push(verdict)
    if (!refusal || weighed.length < TOLD) weighed.push(told(verdict, refusal))
    if (!refusal && !all) break
  }
  return { counting, weighed, looked }
}

export interface EvidenceRefusal {
  readonly code: ErrorCode
  readonly reason: string
}

/** Why a verdict does not count for a rule; undefined if it does. Pure. */
export function evidenceRefusalOf(
  rule: SignedRule | AttestedRule,
  { status, code, reason, evidence, signedReference, predicate }: Verdict,
  name: Name | undefined,
  whole: boolean,
): EvidenceRefusal | undefined {
  const { kind, predicateType } = evidence
  // Cosign takes the one for the other; here they are kept apart (OVMS-POL-030).
  if (rule.type === "signed" && kind !== "signature")
    return { code: "OVM_PREDICATE_MISMATCH", reason: "it is an attestation, which is no signature" }
  if (rule.type === "attested" && (kind !== "attestation" || predicateType !== rule.predicateType))
    return { code: "OVM_PREDICATE_MISMATCH", reason: `it is not of the type ${rule.predicateType}` }
  if (status !== "valid")
    return {
      code: code ?? "OVM_SIGNATURE_KEY_UNKNOWN",
      reason: reason ?? "nobody whom this rule names has made it",
    }
  const other = identityRefusal(signedReference, name, rule.signedIdentity, whole)
  if (other !== undefined) return { code: "OVM_SIGNATURE_REFERENCE_MISMATCH", reason: other }
  const unmet = rule.type === "attested" ? conditionRefusal(predicate, rule.conditions) : undefined
  return unmet === undefined ? undefined : { code: "OVM_PREDICATE_MISMATCH", reason: unmet }
}

/** What is told of a verdict. */
export function told(verdict: Verdict, refusal: EvidenceRefusal | undefined): Weighed {
  const { evidence, status, signatory, signedReference, signedAt } = verdict
  return {
    manifest: evidence.manifest.digest,
    blob: evidence.blob.digest,
    form: evidence.form,
    kind: evidence.kind,
    status,
    counts: refusal === undefined,
    ...(signatory && { signatory }),
    ...(signedReference !== undefined && { signedReference }),
    ...(signedAt !== undefined && { signedAt }),
    ...refusal,
  }
}

/** Equal for two signatories that are one: the same key, or the same identity vouched for by the same issuer. */
export function signatoryKey(signatory: Signatory): string {
  return signatory.kind === "key"
    ? `key ${signatory.keyId}`
    : `certificate ${JSON.stringify([signatory.identity, signatory.issuer])}`
}

export function signatoryName(signatory: Signatory): string {
  return signatory.kind === "key"
    ? `key ${signatory.keyId}`
    : `${signatory.identity}, vouched for by ${signatory.issuer}`
}
