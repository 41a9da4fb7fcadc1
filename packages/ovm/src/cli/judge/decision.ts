import { dirname, resolve } from "node:path"
import type { Digest } from "../../content/digest.ts"
import { isPath, parseReference } from "../../registry/reference.ts"
import type { Asked, PolicySubject } from "../../signing/policy/decision.ts"
import { judge } from "../../signing/policy/judge.ts"
import { readPolicy } from "../../signing/policy/load.ts"
import { refusedBy } from "../../signing/policy/refused.ts"
import { verdicts } from "../../signing/verdicts.ts"
import { AskedJson } from "./asked-json.ts"
import { type Beside, besideIn, placeWith } from "./evidence.ts"

/** A policy, and what is asked of it. */
interface DecisionAsked {
  readonly policy: Uint8Array
  /** What the policy names, by the name that it has there: it reads no other file. */
  readonly files: ReadonlyMap<string, Uint8Array>
  /** ms since 1970. */
  readonly now: number
  readonly asked: Asked
  readonly evidence: readonly Beside[]
}

/**
 * Has a policy decide as it does before a start (spec/policy.md). Throws OVM_POLICY_REFUSED with every rule and its
 * reason as detail, OVM_POLICY_INVALID, OVM_REFERENCE_INVALID, and OVM_USAGE for a question that is none.
 */
export async function judgeDecision(file: string): Promise<{ faults: readonly []; found: object }> {
  const { policy, files, now, asked, evidence } = await AskedJson.read(file, decisionAsked)
  const path = resolve(file)
  const there = new Map([...files].map(([name, bytes]) => [resolve(dirname(path), name), bytes]))
  // The policy is where the question is, whatever else there calls itself so.
  const rules = await readPolicy(path, (name, limit) => {
    const bytes = name === path ? policy : there.get(name)
    if (!bytes) return "is not among the files"
    return bytes.byteLength > limit ? `is above ${limit} bytes` : bytes
  })
  const source = await placeWith(evidence)
  const { decision } = await judge(rules, file, asked, { source, verdicts, now })
  if (!decision.allowed) throw refusedBy(decision)
  return { faults: [], found: { scope: decision.scope } }
}

function decisionAsked(question: AskedJson): DecisionAsked {
  const evidence = question.optional("evidence", (name) => question.parts(name, besideIn))
  const files = question.optional("files", (name) => question.named(name, (part, name) => part.bytes(name)))
  return {
    policy: question.bytes("policy"),
    files: files ?? new Map(),
    now: timeIn(question, "now"),
    asked: askedIn(question),
    evidence: evidence ?? [],
  }
}

function askedIn(question: AskedJson): Asked {
  const reference = question.text("reference")
  const machine = question.part("machine", subjectIn)
  const snapshot = question.optional("snapshot", (name) => question.part(name, subjectIn))
  const index = question.optional("index", (name): Digest => question.digest(name))
  const name = isPath(reference) ? undefined : parseReference(reference)
  return {
    reference,
    digest: index ?? (snapshot ?? machine).digest,
    machine,
    ...(name && { name }),
    ...(snapshot && { snapshot }),
    ...(index && { index }),
  }
}

function subjectIn(question: AskedJson): PolicySubject {
  const created = question.optional("created", (name) => question.text(name))
  return {
    digest: question.digest("digest"),
    platform: question.text("platform"),
    ...(created !== undefined && { created }),
  }
}

function timeIn(question: AskedJson, name: string): number {
  const time = Date.parse(question.text(name))
  return Number.isNaN(time) ? question.refuse(name, "it is no time") : time
}
