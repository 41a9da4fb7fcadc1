import type { Digest } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import type { EvidenceSource, Verdict, Verdicts } from "../interfaces.ts"
import { ageOf } from "./age.ts"
import type { Asked, PolicyJudgement, PolicySubject, RuleFinding } from "./decision.ts"
import {
  type AttestedRule,
  type Rule,
  type Rules,
  rulesForSnapshots,
  type Scope,
  type SignedRule,
} from "./rules.ts"
import { chooseScope } from "./scope.ts"
import { type Evidenced, signatoryKey, signatoryName, weigh } from "./weigh.ts"

export interface JudgeOptions extends Call {
  readonly source: EvidenceSource
  readonly verdicts: Verdicts
  /** ms since 1970. */
  readonly now: number
}

/** Holds what is asked for against a policy, rule by rule (spec/policy.md). Throws what `verdicts` throws. */
export async function judge(
  rules: Rules,
  policy: string,
  asked: Asked,
  options: JudgeOptions,
): Promise<PolicyJudgement> {
  const { scope, why } = chooseScope(rules, asked.name)
  const list = new List(asked, options)
  const same = scope.snapshots === "sameSignerAsBase" && asked.snapshot !== undefined
  await list.judge(scope.rules, "machine", asked.machine, same)
  if (asked.snapshot) await judgeSnapshot(list, scope, asked.snapshot)
  const { findings, relied, expires } = list
  return {
    decision: {
      reference: asked.reference,
      digest: asked.digest,
      allowed: findings.every(({ holds }) => holds),
      policy,
      scope: scope.name,
      why,
      rules: findings,
      warnings: [],
    },
    relied,
    expires,
  }
}

async function judgeSnapshot(list: List, scope: Scope, subject: PolicySubject) {
  const rules = rulesForSnapshots(scope)
  if (rules) return list.judge(rules, "snapshot", subject, scope.snapshots === "sameSignerAsBase")
  list.add({
    pointer: `${scope.pointer}/snapshots`,
    type: "snapshots",
    of: "snapshot",
    digest: subject.digest,
    holds: false,
    code: "OVM_POLICY_REFUSED",
    reason: "the policy has no snapshot started here",
  })
}

/** The findings about one start, one after the other. */
class List {
  readonly findings: RuleFinding[] = []
  readonly relied: { subject: PolicySubject["digest"]; evidence: Verdict["evidence"] }[] = []
  expires = Number.POSITIVE_INFINITY
  /** Who signed the base, by the pointer of the rule. */
  readonly #signatories = new Map<string, ReadonlySet<string>>()

  constructor(
    private readonly asked: Asked,
    private readonly options: JudgeOptions,
  ) {}

  add(finding: RuleFinding): void {
    this.findings.push(finding)
  }

  /** `sameSigner`: of the base, remember who signed it; of the snapshot, count nobody else. */
  async judge(rules: readonly Rule[], of: RuleFinding["of"], subject: PolicySubject, sameSigner: boolean) {
    const timed = rules.some(({ type }) => type === "maxAge")
    const signed: Verdict[] = []
    for (const rule of rules) {
      const base = { pointer: rule.pointer, type: rule.type, of, digest: subject.digest }
      if (rule.type === "signed" || rule.type === "attested") {
        const all = rule.type === "signed" && (timed || sameSigner)
        const { ofIndex, ...evidenced } = await this.#evidenced(rule, of, subject, all)
        const counting = sameSigner ? this.#bySame(rule, of, evidenced.counting) : evidenced.counting
        if (rule.type === "signed") signed.push(...counting)
        for (const verdict of counting) {
          const by = ofIndex.includes(verdict) ? (this.asked.index ?? subject.digest) : subject.digest
          this.relied.push({ subject: by, evidence: verdict.evidence })
        }
        this.add({ ...base, ...found(rule, evidenced, counting), evidence: evidenced.weighed })
      } else if (rule.type !== "maxAge") this.add({ ...base, ...plain(rule, subject) })
    }
    for (const rule of rules) {
      if (rule.type !== "maxAge") continue
      const { holds, reason, expires } = ageOf(subject, signed, rule.hours, this.options.now)
      this.expires = Math.min(this.expires, expires)
      const { pointer, type } = rule
      this.add({ pointer, type, of, digest: subject.digest, holds, reason, ...(!holds && REFUSED) })
    }
  }

  /**
   * That of the subject, and of the index that the machine was found through: where one signature is enough, of the
   * index only if the machine has none.
   */
  async #evidenced(
    rule: SignedRule | AttestedRule,
    of: RuleFinding["of"],
    { digest }: PolicySubject,
    all: boolean,
  ): Promise<Evidenced & { readonly ofIndex: readonly Verdict[] }> {
    const { index } = this.asked
    const own = await this.#weigh(rule, digest, all)
    const enough = own.counting.length > 0 && !all
    if (rule.type !== "signed" || of !== "machine" || !index || enough) return { ...own, ofIndex: [] }
    const { counting, weighed, looked } = await this.#weigh(rule, index, all)
    return {
      counting: [...own.counting, ...counting],
      weighed: [...own.weighed, ...weighed],
      looked: own.looked + looked,
      ofIndex: counting,
    }
  }

  #weigh(rule: SignedRule | AttestedRule, subject: Digest, all: boolean) {
    const { now: _, ...options } = this.options
    const whole = subject === this.asked.digest
    return weigh(rule, subject, { ...options, name: this.asked.name, whole, all })
  }

  #bySame(rule: SignedRule | AttestedRule, of: RuleFinding["of"], counting: readonly Verdict[]) {
    if (rule.type !== "signed") return counting
    if (of === "machine") {
      this.#signatories.set(rule.pointer, new Set(counting.map(keyOf)))
      return counting
    }
    const known = this.#signatories.get(rule.pointer)
    return counting.filter((verdict) => known?.has(keyOf(verdict)))
  }
}

const REFUSED = { code: "OVM_POLICY_REFUSED" } as const

function keyOf({ signatory }: Verdict): string {
  return signatory ? signatoryKey(signatory) : ""
}

/** Of rules that look at nothing but the artifact. */
function plain(rule: Exclude<Rule, { type: "signed" | "attested" | "maxAge" }>, { platform }: PolicySubject) {
  if (rule.type === "reject")
    return { holds: false, reason: "the policy has nothing started here", ...REFUSED }
  if (rule.type === "digestOnly")
    return { holds: true, reason: "its digest is verified; no more is asked for" }
  const holds = rule.allowed.includes(platform)
  const reason = `it is for ${platform}, ${holds ? "which is allowed" : `not for ${rule.allowed.join(" or ")}`}`
  return { holds, reason, ...(!holds && REFUSED) }
}

function found(
  rule: SignedRule | AttestedRule,
  { counting, weighed, looked }: Evidenced,
  taken: readonly Verdict[],
): Pick<RuleFinding, "holds" | "reason" | "code"> {
  const what = rule.type === "signed" ? "signature" : `attestation of the type ${rule.predicateType}`
  const [first] = taken
  if (first) {
    const by = first.signatory ? ` by ${signatoryName(first.signatory)}` : ""
    return { holds: true, reason: `there is a valid ${what}${by}` }
  }
  if (counting.length > 0)
    return { holds: false, ...REFUSED, reason: "whoever signed the snapshot did not sign its base" }
  const bad = weighed.find(({ code }) => code !== undefined)
  if (!bad?.code)
    return {
      holds: false,
      code: rule.type === "signed" ? "OVM_SIGNATURE_MISSING" : "OVM_ATTESTATION_MISSING",
      reason: `there is no ${what}`,
    }
  const others = looked > 1 ? `none of ${looked} pieces of evidence counts; the first:` : "the only evidence:"
  return { holds: false, code: bad.code, reason: `there is no ${what} that counts; ${others} ${bad.reason}` }
}
