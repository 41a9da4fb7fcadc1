import type { Digest } from "../../content/digest.ts"
import { type OvmError, ofRegistry } from "../../errors.ts"
import type { Verdict } from "../interfaces.ts"
import type { Asked, PolicyJudgement, PolicySubject, RuleFinding } from "./decision.ts"
import type { JudgeOptions } from "./judge.ts"
import { told } from "./weigh.ts"

/** Looked at where no policy says what is wanted: more than these a registry's owner has to clear away first. */
const MOST = 256
/** Of them, so many are told. */
const TOLD = 32

/**
 * What holds where there is no policy (OVMS-POL-090, OVMS-POL-091): signatures that are there must fit what they stand
 * beside; that there are none, or by whom they are, is said and no more. Throws what `verdicts` throws.
 */
export async function judgeUnruled(asked: Asked, options: JudgeOptions): Promise<PolicyJudgement> {
  const parts: [RuleFinding["of"], Pick<PolicySubject, "digest">][] = [
    ["machine", asked.machine],
    ...(asked.index ? [["index", { digest: asked.index }] as [RuleFinding["of"], { digest: Digest }]] : []),
    // RAM beside a machine is signed with it.
    ...(asked.snapshot && asked.snapshot.digest !== asked.machine.digest
      ? [["snapshot", asked.snapshot] as [RuleFinding["of"], PolicySubject]]
      : []),
  ]
  const found: Looked[] = []
  for (const [of, subject] of parts) found.push(await look(of, subject, options))
  const rules: RuleFinding[] = found.map(({ finding }) => finding)
  // A signature of the index is one of the machine as well, and the other way round it is enough.
  const signed = found.some(({ finding: { of }, looked }) => of !== "snapshot" && looked > 0)
  const missing = ({ finding: { of }, looked }: Looked) =>
    looked === 0 && (of === "index" || (of === "machine" && asked.index !== undefined && signed))
  const warnings = found.flatMap((one) => (missing(one) ? [] : (one.warning ?? [])))
  return {
    decision: {
      reference: asked.reference,
      digest: asked.digest,
      allowed: rules.every(({ holds }) => holds),
      why: "there is no policy: what is there must be whole, and nothing need be there",
      rules,
      warnings,
    },
    relied: [],
    expires: Number.POSITIVE_INFINITY,
  }
}

/** What was found beside one artifact, and how many signatures: of some the registry has not said it. */
interface Looked {
  readonly finding: RuleFinding
  readonly warning?: string
  readonly looked: number
}

async function look(
  of: RuleFinding["of"],
  { digest }: Pick<PolicySubject, "digest">,
  { source, verdicts, now: _, ...call }: JudgeOptions,
): Promise<Looked> {
  const evidence = []
  let looked = 0
  let bad: Verdict | undefined
  let unasked: OvmError | undefined
  try {
    for await (const verdict of verdicts(source, digest, { authorities: [], ...call })) {
      // An attestation that is bad says nothing about who stands for the artifact.
      if (verdict.evidence.kind !== "signature") continue
      looked++
      if (evidence.length < TOLD) evidence.push(told(verdict, refusalOf(verdict)))
      if (verdict.status === "invalid") bad = verdict
      if (bad || looked >= MOST) break
    }
  } catch (error) {
    // Nothing asks for a signature, so that none can be had is no reason to refuse: a mirror may have all the rest.
    if (!ofRegistry(error)) throw error
    unasked = error
  }
  const base = { pointer: "", type: "signaturesIfPresent", of, digest, evidence }
  if (bad) {
    const { code = "OVM_SIGNATURE_INVALID", reason = "it is not valid" } = bad
    const told = `${bad.evidence.manifest.digest}: ${reason}`
    return { finding: { ...base, holds: false, code, reason: told }, looked }
  }
  if (unasked)
    return {
      finding: { ...base, holds: true, reason: `the registry cannot be asked: ${unasked.message}` },
      warning: `whether the ${of} is signed is not known, and no policy asks for that: ${unasked.message}`,
      looked: MOST,
    }
  if (looked === 0)
    return {
      finding: { ...base, holds: true, reason: "there is no signature" },
      warning: `the ${of} is not signed, and no policy asks for that`,
      looked,
    }
  return {
    finding: {
      ...base,
      holds: true,
      reason: `of ${looked} signatures none is bad; nothing says whom to believe`,
    },
    warning: `nothing says whether who signed the ${of} may be believed: there is no policy`,
    looked,
  }
}

function refusalOf({
  status,
  code = "OVM_SIGNATURE_KEY_UNKNOWN",
  reason = "by nobody who is known here",
}: Verdict) {
  return status === "valid" ? undefined : { code, reason }
}
