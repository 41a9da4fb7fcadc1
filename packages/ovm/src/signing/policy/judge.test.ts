import { describe, expect, test } from "bun:test"
import { digestOf } from "../../content/digest.ts"
import type { Evidence, EvidenceSource, Signatory, Verdict, Verdicts } from "../interfaces.ts"
import type { Asked, PolicyJudgement } from "./decision.ts"
import type { Condition, SignedIdentity } from "./document.ts"
import { judge } from "./judge.ts"
import type { Rule, Rules, Scope } from "./rules.ts"
import { chooseScope, type Name } from "./scope.ts"

// What follows from verdicts, whatever they come from. Real signatures are in images/policy.test.ts and
// test/policy.test.ts.

const NOW = Date.parse("2026-01-10T00:00:00Z")
const BASE = digestOf("base")
const SNAPSHOT = digestOf("snapshot")
const ALICE: Signatory = { kind: "key", keyId: "alice" }
const BOB: Signatory = { kind: "key", keyId: "bob" }
const SLSA = "https://slsa.dev/provenance/v1"

const name = (host: string | undefined, repository: string, tag?: string, digest?: string): Name => ({
  host,
  repository,
  tag,
  digest,
})
const EDGE = name("r.example", "machines/edge", "1")

function verdict(of: "signature" | "attestation", more: Partial<Verdict> = {}): Verdict {
  const blob = { mediaType: "x/y", digest: digestOf(JSON.stringify(more)), size: 1 }
  const predicateType = of === "signature" ? "https://sigstore.dev/cosign/sign/v1" : SLSA
  const evidence: Evidence = { form: "bundle", kind: of, predicateType, manifest: blob, blob }
  return { evidence, status: "valid", signatory: ALICE, ...more }
}

const nowhere = {} as EvidenceSource

/** The verdicts by subject, as signing/ would give them; how many of them were looked at. */
function verdictsOf(found: Record<string, Verdict[]>): Verdicts & { looked: number } {
  const verdicts: Verdicts & { looked: number } = Object.assign(
    async function* (_: EvidenceSource, subject: string) {
      for (const one of found[subject] ?? []) {
        verdicts.looked++
        yield one
      }
    },
    { looked: 0 },
  )
  return verdicts
}

const signed = (more: { signedIdentity?: SignedIdentity } = {}): Rule => ({
  type: "signed",
  pointer: "/p/0",
  authorities: [],
  ...more,
})
const attested = (conditions: Condition[] = []): Rule => ({
  type: "attested",
  pointer: "/p/1",
  authorities: [],
  predicateType: SLSA,
  conditions,
})
const maxAge = (hours: number): Rule => ({ type: "maxAge", pointer: "/p/2", hours })

function policyOf(rules: readonly Rule[], snapshots?: Scope["snapshots"]): Rules {
  const fallback = { name: "default", pointer: "/default", rules, ...(snapshots && { snapshots }) }
  return { fallback, scopes: new Map() }
}

const machine = { digest: BASE, platform: "linux/amd64", created: "2026-01-01T00:00:00Z" }
const snapshot = { digest: SNAPSHOT, platform: "linux/amd64", created: "2026-01-09T00:00:00Z" }

interface Case {
  readonly found?: Record<string, Verdict[]>
  readonly asked?: Partial<Asked>
  readonly snapshots?: Scope["snapshots"]
}

function decide(
  rules: readonly Rule[],
  { found = {}, asked, snapshots }: Case = {},
): Promise<PolicyJudgement> {
  const { digest } = asked?.snapshot ?? machine
  const whole: Asked = { reference: "r.example/machines/edge:1", name: EDGE, digest, machine, ...asked }
  const options = { source: nowhere, verdicts: verdictsOf(found), now: NOW }
  return judge(policyOf(rules, snapshots), "/p.json", whole, options)
}

/** Of a decision: each rule, whether it holds, and the code of why not. */
async function outcome(...args: Parameters<typeof decide>): Promise<string> {
  const { decision } = await decide(...args)
  const rules = decision.rules.map(({ of, type, holds, code }) => `${of} ${type} ${holds ? "holds" : code}`)
  expect(decision.allowed).toBe(decision.rules.every(({ holds }) => holds))
  return rules.join(", ")
}

describe("the most specific scope (OVMS-POL-012, OVMS-POL-013)", () => {
  const scope = (name: string): [string, Scope] => [name, { name, pointer: `/${name}`, rules: [] }]
  const rules: Rules = {
    fallback: scope("default")[1],
    scopes: new Map(
      [
        "r.example",
        "r.example/machines",
        "r.example/machines/edge",
        "r.example/machines/edge:broken",
        "[::1]:5000",
        "localhost",
      ].map(scope),
    ),
  }
  const chosen = (asked: Name | undefined, more: Partial<Rules> = {}) =>
    chooseScope({ ...rules, ...more }, asked).scope.name

  test.each<[string, Name, string]>([
    ["its tag", name("r.example", "machines/edge", "broken"), "r.example/machines/edge:broken"],
    ["its repository", name("r.example", "machines/edge", "1"), "r.example/machines/edge"],
    ["a path above it", name("r.example", "machines/edge/a/b", "broken"), "r.example/machines/edge"],
    ["whole parts of a path only", name("r.example", "machines/edgeless", "1"), "r.example/machines"],
    ["its host", name("r.example", "machine", "1"), "r.example"],
    ["no other port", name("r.example:5000", "machines/edge", "1"), "default"],
    ["no host below it", name("sub.r.example", "machines/edge", "1"), "default"],
    ["an address", name("[::1]:5000", "a", "1"), "[::1]:5000"],
    ["localhost, which is a host", name("localhost", "a", "1"), "localhost"],
  ])("is that of %s", (_, asked, expected) => {
    expect(chosen(asked)).toBe(expected)
  })

  test("is not chosen by a tag that a digest stands beside (OVMS-POL-015)", () => {
    expect(chosen(name("r.example", "machines/edge", "broken", BASE))).toBe("r.example/machines/edge")
    expect(chosen(name("r.example", "machines/edge", undefined, BASE))).toBe("r.example/machines/edge")
  })

  test("of paths and of names without a host is local, or default without one (OVMS-POL-014)", () => {
    const local = { local: scope("local")[1] }
    for (const asked of [undefined, name(undefined, "machines/edge", "broken")]) {
      expect(chosen(asked, local)).toBe("local")
      expect(chosen(asked)).toBe("default")
    }
  })
})

describe("requirements", () => {
  test("reject, digestOnly and platforms look at nothing but the artifact (OVMS-POL-023)", async () => {
    expect(await outcome([{ type: "reject", pointer: "/x" }])).toBe("machine reject OVM_POLICY_REFUSED")
    expect(await outcome([{ type: "digestOnly", pointer: "/x" }])).toBe("machine digestOnly holds")
    const platforms = (...allowed: string[]): Rule => ({ type: "platforms", pointer: "/x", allowed })
    expect(await outcome([platforms("linux/arm64", "linux/amd64")])).toBe("machine platforms holds")
    expect(await outcome([platforms("linux/arm64")])).toBe("machine platforms OVM_POLICY_REFUSED")
  })

  test("all of them must hold (OVMS-POL-021), and each says why (OVMS-POL-086)", async () => {
    const rules = [signed(), attested(), maxAge(1)]
    const found = { [BASE]: [verdict("signature")] }
    expect(await outcome(rules, { found })).toBe(
      "machine signed holds, machine attested OVM_PREDICATE_MISMATCH, machine maxAge OVM_POLICY_REFUSED",
    )
    const { decision } = await decide(rules, { found })
    for (const { reason } of decision.rules) expect(reason.length).toBeGreaterThan(10)
    expect(decision.rules.map(({ pointer }) => pointer)).toEqual(["/p/0", "/p/1", "/p/2"])
  })

  test("one signature that counts is enough, whatever stands before it (OVMS-POL-031)", async () => {
    const junk = Array.from({ length: 100 }, () =>
      verdict("signature", { status: "invalid", code: "OVM_SIGNATURE_MALFORMED", reason: "junk" }),
    )
    const verdicts = verdictsOf({ [BASE]: [...junk, verdict("signature"), verdict("signature")] })
    const asked = { reference: "x", name: EDGE, digest: BASE, machine }
    const { decision, relied } = await judge(policyOf([signed()]), "/p", asked, {
      source: nowhere,
      verdicts,
      now: NOW,
    })
    expect(decision.allowed).toBe(true)
    expect(verdicts.looked).toBe(101)
    expect(relied).toHaveLength(1)
    expect(decision.rules[0]?.evidence?.length).toBeLessThan(40)
  })

  test.each<[string, Verdict, string]>([
    ["an attestation", verdict("attestation"), "OVM_PREDICATE_MISMATCH"],
    [
      "a signature by somebody unknown",
      verdict("signature", { status: "unknown" }),
      "OVM_SIGNATURE_KEY_UNKNOWN",
    ],
    [
      "a signature of another digest",
      verdict("signature", { status: "invalid", code: "OVM_SIGNATURE_SUBJECT_MISMATCH", reason: "other" }),
      "OVM_SIGNATURE_SUBJECT_MISMATCH",
    ],
  ])("%s is no signature (OVMS-POL-030)", async (_, one, code) => {
    expect(await outcome([signed()], { found: { [BASE]: [one] } })).toBe(`machine signed ${code}`)
  })

  test("nothing at all is a signature that is missing", async () => {
    expect(await outcome([signed(), attested()])).toBe(
      "machine signed OVM_SIGNATURE_MISSING, machine attested OVM_ATTESTATION_MISSING",
    )
  })
})

describe("signedIdentity (OVMS-POL-041, OVMS-POL-043, OVMS-POL-044, OVMS-POL-045)", () => {
  const WRONG = "machine signed OVM_SIGNATURE_REFERENCE_MISMATCH"
  const HOLDS = "machine signed holds"
  const local = { reference: "mine:1", name: name(undefined, "mine", "1") }
  const path = { reference: "/mine", name: undefined } as unknown as Partial<Asked>
  const digest = { name: name("r.example", "machines/edge", "1", BASE) }
  const match = (unavailable?: "allow" | "reject"): SignedIdentity => ({
    type: "matchRepository",
    ...(unavailable && { unavailable }),
  })
  const exact = (repository: string): SignedIdentity => ({ type: "exactRepository", repository })
  const reference = (reference: string): SignedIdentity => ({ type: "exactReference", reference })

  test.each<[string, [said: string | undefined, wanted: SignedIdentity | undefined], Partial<Asked>, string]>(
    [
      ["nothing asked, nothing said", [undefined, undefined], {}, HOLDS],
      ["nothing asked, the same repository", ["r.example/machines/edge", undefined], {}, HOLDS],
      ["nothing asked, another tag of it", ["r.example/machines/edge:2", undefined], {}, HOLDS],
      ["nothing asked, another repository: a replay", ["r.example/machines/core", undefined], {}, WRONG],
      ["nothing asked, another host", ["s.example/machines/edge", undefined], {}, WRONG],
      ["nothing asked of a local name", ["r.example/machines/core", undefined], local, HOLDS],
      ["nothing asked of a path", ["r.example/machines/core", undefined], path, HOLDS],
      ["nothing said, reject", [undefined, match("reject")], {}, WRONG],
      ["nothing said, and nothing about that", [undefined, match()], {}, WRONG],
      ["nothing said, allow", [undefined, match("allow")], {}, HOLDS],
      ["matchRepository of a path", ["r.example/machines/edge", match("allow")], path, WRONG],
      ["matchRepository of a local name", ["mine", match()], local, HOLDS],
      ["matchReference, the same", ["r.example/machines/edge:1", { type: "matchReference" }], {}, HOLDS],
      ["matchReference, another tag", ["r.example/machines/edge:2", { type: "matchReference" }], {}, WRONG],
      ["matchReference, no tag said", ["r.example/machines/edge", { type: "matchReference" }], {}, WRONG],
      [
        "matchReference, no tag said, allow",
        ["r.example/machines/edge", { type: "matchReference", unavailable: "allow" }],
        {},
        HOLDS,
      ],
      ["matchReference by digest", ["r.example/machines/edge:2", { type: "matchReference" }], digest, HOLDS],
      ["exactRepository", ["up.example/edge:7", exact("up.example/edge")], {}, HOLDS],
      ["exactRepository of a path", ["up.example/edge", exact("up.example/edge")], path, HOLDS],
      ["exactRepository, another", ["r.example/machines/edge", exact("up.example/edge")], {}, WRONG],
      ["exactReference", ["up.example:5000/edge:7", reference("up.example:5000/edge:7")], {}, HOLDS],
      ["exactReference, another tag", ["up.example/edge:8", reference("up.example/edge:7")], {}, WRONG],
    ],
  )("%s", async (_, [signedReference, signedIdentity], asked, expected) => {
    const one = verdict("signature", signedReference === undefined ? {} : { signedReference })
    const rules = [signed(signedIdentity ? { signedIdentity } : {})]
    expect(await outcome(rules, { found: { [BASE]: [one] }, asked })).toBe(expected)
  })
})

describe("attested", () => {
  const predicate = { runDetails: { builder: { id: "ci", "a/b": [null, 1] } }, level: 3 }

  test.each<[string, Condition, boolean]>([
    ["equals", { pointer: "/runDetails/builder/id", equals: "ci" }, true],
    ["equals another", { pointer: "/runDetails/builder/id", equals: "cd" }, false],
    ["equals without conversion", { pointer: "/level", equals: "3" }, false],
    ["equals null", { pointer: "/runDetails/builder/a~1b/0", equals: null }, true],
    ["equals what is not there", { pointer: "/none", equals: null }, false],
    ["in", { pointer: "/level", in: [1, 2, 3] }, true],
    ["not in", { pointer: "/level", in: [1, 2] }, false],
    ["exists", { pointer: "/runDetails/builder", exists: true }, true],
    ["exists not", { pointer: "/runDetails/builder/a~1b/2", exists: true }, false],
    ["must not exist", { pointer: "/level", exists: false }, false],
    ["an index with a sign", { pointer: "/runDetails/builder/a~1b/+1", exists: true }, false],
    ["a member of the language", { pointer: "/constructor", exists: true }, false],
    ["the length of an array", { pointer: "/runDetails/builder/a~1b/length", exists: true }, false],
  ])("a condition: %s", async (_, condition, holds) => {
    const found = { [BASE]: [verdict("attestation", { predicate })] }
    expect(await outcome([attested([condition])], { found })).toBe(
      `machine attested ${holds ? "holds" : "OVM_PREDICATE_MISMATCH"}`,
    )
  })

  test("one attestation has to satisfy all of them (OVMS-POL-050)", async () => {
    const conditions = [
      { pointer: "/a", equals: 1 },
      { pointer: "/b", equals: 2 },
    ]
    const halves = [{ a: 1 }, { b: 2 }].map((predicate) => verdict("attestation", { predicate }))
    expect(await outcome([attested(conditions)], { found: { [BASE]: halves } })).toContain("MISMATCH")
    const whole = [...halves, verdict("attestation", { predicate: { a: 1, b: 2 } })]
    expect(await outcome([attested(conditions)], { found: { [BASE]: whole } })).toContain("holds")
  })

  test("a signature is no attestation, and neither is one of another type", async () => {
    const other = verdict("attestation")
    const wrong = { ...other, evidence: { ...other.evidence, predicateType: "https://spdx.dev/Document" } }
    const found = { [BASE]: [verdict("signature"), wrong] }
    expect(await outcome([attested()], { found })).toBe("machine attested OVM_PREDICATE_MISMATCH")
  })
})

describe("maxAge", () => {
  const at = (signedAt: string) => verdict("signature", { signedAt })

  test("counts from the newest verified time of a signature that counts (OVMS-POL-060)", async () => {
    const found = { [BASE]: [at("2026-01-02T00:00:00Z"), at("2026-01-09T00:00:00Z")] }
    const { decision, expires } = await decide([signed(), maxAge(48)], { found })
    expect(decision.allowed).toBe(true)
    expect(expires).toBe(Date.parse("2026-01-11T00:00:00Z"))
  })

  test("does not count the time of a signature that counts for nothing", async () => {
    const unknown = verdict("signature", { status: "unknown", signedAt: "2026-01-09T00:00:00Z" })
    const found = { [BASE]: [unknown, at("2026-01-02T00:00:00Z")] }
    expect(await outcome([signed(), maxAge(48)], { found })).toContain("maxAge OVM_POLICY_REFUSED")
  })

  test("counts from what the artifact says where no signature has a time", async () => {
    expect(await outcome([maxAge(9 * 24 + 1)])).toBe("machine maxAge holds")
    expect(await outcome([maxAge(9 * 24)])).toBe("machine maxAge OVM_POLICY_REFUSED")
  })

  test("refuses what says no time, no time at all, or one yet to come (OVMS-POL-061)", async () => {
    for (const created of [undefined, "yesterday", "2026-01-10T00:06:00Z"]) {
      const asked = { machine: { digest: BASE, platform: "linux/amd64", ...(created && { created }) } }
      expect(await outcome([maxAge(1)], { asked })).toBe("machine maxAge OVM_POLICY_REFUSED")
    }
    const soon = { machine: { ...machine, created: "2026-01-10T00:04:00Z" } }
    expect(await outcome([maxAge(1)], { asked: soon })).toBe("machine maxAge holds")
  })

  test("is judged for base and snapshot one by one (OVMS-POL-062)", async () => {
    expect(await outcome([maxAge(48)], { asked: { snapshot } })).toBe(
      "machine maxAge OVM_POLICY_REFUSED, snapshot maxAge holds",
    )
  })
})

describe("snapshots", () => {
  const asked = { snapshot }
  const both = (base: Verdict[], top: Verdict[]) => ({ [BASE]: base, [SNAPSHOT]: top })
  const one = verdict("signature")

  test("base and snapshot must both satisfy the rules (OVMS-POL-070, OVMS-POL-071)", async () => {
    expect(await outcome([signed()], { asked, found: both([one], [one]) })).toBe(
      "machine signed holds, snapshot signed holds",
    )
    expect(await outcome([signed()], { asked, found: both([one], []) })).toBe(
      "machine signed holds, snapshot signed OVM_SIGNATURE_MISSING",
    )
    expect(await outcome([signed()], { asked, found: both([], [one]) })).toBe(
      "machine signed OVM_SIGNATURE_MISSING, snapshot signed holds",
    )
  })

  test("signed asks all but attestations of them (OVMS-POL-072)", async () => {
    const found = both([one, verdict("attestation")], [one])
    const rules = [signed(), attested()]
    expect(await outcome(rules, { asked, found, snapshots: "signed" })).toBe(
      "machine signed holds, machine attested holds, snapshot signed holds",
    )
    expect(await outcome(rules, { asked, found })).toContain("snapshot attested OVM_PREDICATE_MISMATCH")
  })

  test("sameSignerAsBase wants one signatory for both (OVMS-POL-073)", async () => {
    const bob = verdict("signature", { signatory: BOB })
    const snapshots = "sameSignerAsBase" as const
    expect(await outcome([signed()], { asked, snapshots, found: both([one], [bob]) })).toBe(
      "machine signed holds, snapshot signed OVM_POLICY_REFUSED",
    )
    expect(await outcome([signed()], { asked, snapshots, found: both([one, bob], [bob]) })).toBe(
      "machine signed holds, snapshot signed holds",
    )
    expect(await outcome([signed()], { asked, snapshots, found: both([bob], [one, bob]) })).toContain(
      "snapshot signed holds",
    )
    // Without a snapshot there is nothing to compare.
    expect(await outcome([signed()], { snapshots, found: both([one], []) })).toBe("machine signed holds")
  })

  test("an identity is the same only with the same issuer", async () => {
    const by = (issuer: string) =>
      verdict("signature", { signatory: { kind: "certificate", identity: "ci", issuer } })
    const found = both([by("https://a")], [by("https://b")])
    expect(await outcome([signed()], { asked, snapshots: "sameSignerAsBase", found })).toContain(
      "snapshot signed OVM_POLICY_REFUSED",
    )
  })

  test("reject refuses the snapshot and not its base (OVMS-POL-075)", async () => {
    const found = both([one], [one])
    expect(await outcome([signed()], { asked, snapshots: "reject", found })).toBe(
      "machine signed holds, snapshot snapshots OVM_POLICY_REFUSED",
    )
    expect(await outcome([signed()], { snapshots: "reject", found })).toBe("machine signed holds")
  })

  test("a list of their own replaces the rules", async () => {
    const found = both([one], [])
    const snapshots: Rule[] = [{ type: "digestOnly", pointer: "/s/0" }]
    expect(await outcome([signed()], { asked, snapshots, found })).toBe(
      "machine signed holds, snapshot digestOnly holds",
    )
  })

  test("what the name does not stand for is compared by its repository alone (OVMS-POL-046)", async () => {
    const rules = [signed({ signedIdentity: { type: "matchReference" } })]
    const old = verdict("signature", { signedReference: "r.example/machines/edge:0" })
    const exact = verdict("signature", { signedReference: "r.example/machines/edge:1" })
    expect(await outcome(rules, { asked, found: both([old], [exact]) })).toBe(
      "machine signed holds, snapshot signed holds",
    )
    expect(await outcome(rules, { asked, found: both([old], [old]) })).toContain(
      "snapshot signed OVM_SIGNATURE_REFERENCE_MISMATCH",
    )
    // A snapshot that the runtime chose: the name is the machine's.
    expect(await outcome(rules, { asked: { snapshot, digest: BASE }, found: both([exact], [old]) })).toBe(
      "machine signed holds, snapshot signed holds",
    )
    expect(await outcome(rules, { asked: { snapshot, digest: BASE }, found: both([old], [old]) })).toContain(
      "machine signed OVM_SIGNATURE_REFERENCE_MISMATCH",
    )
  })

  test("RAM beside a machine is judged as a snapshot of the same digest (OVMS-POL-076)", async () => {
    const beside = { snapshot: { ...snapshot, digest: BASE } }
    expect(await outcome([signed()], { asked: beside, found: { [BASE]: [one] } })).toBe(
      "machine signed holds, snapshot signed holds",
    )
    expect(
      await outcome([signed()], { asked: beside, snapshots: "reject", found: { [BASE]: [one] } }),
    ).toContain("snapshot snapshots OVM_POLICY_REFUSED")
  })
})
