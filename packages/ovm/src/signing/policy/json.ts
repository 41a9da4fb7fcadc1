import type { Decision, RuleFinding, Weighed } from "./decision.ts"

// A decision as programs read it: with the names that all JSON of this program has (docs/json.md).

/** What `ovm policy check --json` prints. */
export function decisionJson({ rules, ...decision }: Decision) {
  return { ...decision, rules: rulesJson(rules) }
}

/** The rules of a decision, as the detail of a refusal has them too (OVMS-POL-086). */
export function rulesJson(rules: readonly RuleFinding[]) {
  return rules.map(({ evidence, ...rule }) => ({
    ...rule,
    ...(evidence && { evidence: evidence.map(weighedJson) }),
  }))
}

function weighedJson({ signatory, signedReference, signedAt, ...one }: Weighed) {
  return {
    ...one,
    ...(signatory?.kind === "key" && { key_id: signatory.keyId }),
    ...(signatory?.kind === "certificate" && { identity: signatory.identity, issuer: signatory.issuer }),
    ...(signedReference !== undefined && { signed_for: signedReference }),
    ...(signedAt !== undefined && { signed_at: signedAt }),
  }
}
