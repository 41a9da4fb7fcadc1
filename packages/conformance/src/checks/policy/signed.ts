import { guestArtifact } from "../../artifact/guest.ts"
import { type Artifact, kernelOf, OCI_MANIFEST, OVMS_MANIFEST, store } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { digestOf, utf8 } from "../../registry/content.ts"
import { attach, type EvidenceChanges, type Keys, newKeys } from "../../signing/evidence.ts"
import type { Plan } from "../runtime/plan.ts"
import { skipWithoutIndexes } from "../runtime/platforms.ts"
import { believed, DIGEST_ONLY, policyPlan, type Stage, unseen } from "./stage.ts"

interface Case {
  readonly changes?: EvidenceChanges
  readonly by?: Keys
}

/** The suite's guest under a tag, with `evidence` beside it; nobody has had it before. */
function offered({ registry }: Stage, keys: Keys, evidence: readonly Case[] = [{}], tag = "1"): Artifact {
  const artifact = store(registry.repository, unseen(), tag)
  const subject = { digest: artifact.digest, size: artifact.oci.length }
  for (const { changes, by = keys } of evidence) attach(registry.repository, subject, by, changes)
  return artifact
}

/** An index of one machine, signed and attested by `keys`, as a tag; nobody has signed the machine. */
function indexed({ registry }: Stage, keys: Keys, tag: string): string {
  const { repository } = registry
  const artifact = store(repository, unseen())
  const platform = { os: "linux", architecture: "amd64" }
  const entry = {
    mediaType: OCI_MANIFEST,
    artifactType: OVMS_MANIFEST,
    digest: artifact.digest,
    size: artifact.oci.length,
    platform,
  }
  const document = { schemaVersion: 2, mediaType: INDEX, artifactType: OVMS_INDEX, manifests: [entry] }
  const bytes = utf8(JSON.stringify(document))
  const subject = { mediaType: INDEX, digest: repository.put(bytes, INDEX, tag), size: bytes.length }
  for (const changes of [{}, { predicateType: TESTED }])
    attach(repository, subject, keys, { ...changes, manifest: { subject } })
  return registry.reference(tag)
}

const INDEX = "application/vnd.oci.image.index.v1+json"
const OVMS_INDEX = "application/vnd.ovms.index.v1+json"
const TESTED = "https://example.com/tested/v1"
const tested = (predicate: object, by?: Keys): Case => ({
  changes: { predicateType: TESTED, statement: { predicate } },
  ...(by && { by }),
})

export const policySignedPlans: readonly Plan[] = [
  policyPlan("signed", ["OVMS-POL-030", "OVMS-POL-031"], async (stage) => {
    const [keys, stranger] = [newKeys(), newKeys()]
    const name = stage.registry.reference("1")
    await stage.policy({ default: { requirements: [{ type: "signed", keys: believed(keys) }] } })
    const useless: readonly (readonly Case[])[] = [
      [],
      [{ by: stranger }],
      [tested({})],
      [{ changes: { signed: utf8("something else") } }],
      [{ changes: { statement: { subject: [{ digest: { sha256: "0".repeat(64) } }] } } }],
    ]
    for (const evidence of useless) {
      offered(stage, keys, evidence)
      const { rules } = await stage.rejects(name)
      must(rules[0]?.type === "signed" && !rules[0].holds, `the rule is ${JSON.stringify(rules[0])}`)
    }
    offered(stage, keys, [...useless.flat(), { changes: { bundle: { mediaType: "nonsense" } } }, {}])
    await stage.admits(name)
  }),
  policyPlan("before-the-content", ["OVMS-POL-082"], async (stage) => {
    const { registry, policy, rejects, admits } = stage
    const [keys, stranger] = [newKeys(), newKeys()]
    await policy({ default: { requirements: [{ type: "signed", keys: believed(keys) }] } })
    const { kernel } = offered(stage, stranger)
    await rejects(registry.reference("1"))
    must(
      registry.asked(/./, digestOf(kernel)).length === 0,
      "it fetched the kernel of what it does not admit",
    )
    offered(stage, keys)
    await admits(registry.reference("1"))
  }),
  policyPlan("very-digest", ["OVMS-POL-081"], async (stage) => {
    const { registry, policy, runtime, start } = stage
    const keys = newKeys()
    await policy({ default: { requirements: [{ type: "signed", keys: believed(keys) }] } })
    const { digest } = offered(stage, keys)
    const other = store(registry.repository, guestArtifact(kernelOf(9)))
    // As soon as the signatures were asked for, the tag stands for what nobody has signed.
    registry.manners.fault = (_, __, path) => {
      if (path.includes("/referrers/") || path.includes("/blobs/"))
        registry.repository.tags.set("1", other.digest)
      return false
    }
    const id = await start({ manifest: registry.reference("1") })
    await runtime.says(id, /GUEST-READY/)
    const { image } = await runtime.status(id)
    must(image.digest === digest, `it admitted ${digest}, and started ${image.digest}`)
  }),
  policyPlan("for-whom", ["OVMS-POL-041", "OVMS-POL-043", "OVMS-POL-044"], async (stage) => {
    const keys = newKeys()
    const own = stage.registry.reference("1").slice(0, -2)
    const foreign = `${stage.registry.host}/suite/other`
    const identity = (type: string, unavailable?: string) => ({
      type,
      ...(unavailable !== undefined && { unavailable }),
    })
    // What is compared, what the signature says, whether it counts, and by which name.
    const cases: readonly (readonly [object | undefined, string | undefined, boolean, "digest"?])[] = [
      [identity("matchRepository"), own, true],
      [identity("matchRepository"), `${own}:2`, true],
      [identity("matchRepository"), foreign, false],
      [identity("matchRepository", "allow"), "other.example/suite/machine", false],
      [identity("matchReference"), `${own}:TAG`, true],
      [identity("matchReference"), `${own}:2`, false],
      [identity("matchReference"), `${own}:2`, true, "digest"],
      [identity("matchReference"), `${foreign}:1`, false, "digest"],
      [identity("matchRepository", "allow"), undefined, true],
      [identity("matchRepository", "reject"), undefined, false],
      [identity("matchRepository"), undefined, false],
      [undefined, undefined, true],
      [undefined, own, true],
      [undefined, foreign, false],
    ]
    for (const [at, [signedIdentity, said, counts, by]] of cases.entries()) {
      const [tag, reference] = [`case${at}`, said?.replace("TAG", `case${at}`)]
      const rule = { type: "signed", keys: believed(keys), ...(signedIdentity && { signedIdentity }) }
      await stage.policy({ default: { requirements: [rule] } })
      const changes: EvidenceChanges = reference === undefined ? {} : { reference }
      const { digest } = offered(stage, keys, [{ changes }], tag)
      const error = await stage.refusal(stage.registry.reference(by === "digest" ? digest : tag))
      const what = `a signature for ${reference ?? "nothing in particular"} under ${JSON.stringify(signedIdentity)}`
      if (counts) must(error === undefined, `${what} does not count: ${error?.code}`)
      else must(error?.code === "OVM_POLICY_REFUSED", `${what} counts: ${error?.code ?? "it ran"}`)
    }
  }),
  policyPlan("attested", ["OVMS-POL-050", "OVMS-POL-052", "OVMS-POL-053", "OVMS-POL-054"], async (stage) => {
    const [keys, stranger] = [newKeys(), newKeys()]
    const conditions = [
      { pointer: "/suite/passed", equals: true },
      { pointer: "/by", in: ["alice", "bob"] },
      { pointer: "/faults", exists: false },
    ]
    const rule = { type: "attested", predicateType: TESTED, keys: believed(keys), conditions }
    await stage.policy({ default: { requirements: [rule] } })
    const right = { suite: { passed: true }, by: "bob" }
    const wrong: readonly (readonly Case[])[] = [
      [{}],
      [tested(right, stranger)],
      [{ changes: { predicateType: `${TESTED}x`, statement: { predicate: right } } }],
      [tested({ ...right, by: "eve" })],
      [tested({ suite: { passed: "true" }, by: "bob" })],
      [tested({ ...right, faults: 0 })],
      // Each satisfies what the others do not: no one of them all.
      [
        tested(right, stranger),
        tested({ ...right, by: "eve" }),
        tested({ suite: { passed: false }, by: "bob" }),
      ],
    ]
    for (const evidence of wrong) {
      offered(stage, keys, evidence)
      const { rules } = await stage.rejects(stage.registry.reference("1"))
      must(rules[0]?.type === "attested" && !rules[0].holds, `the rule is ${JSON.stringify(rules[0])}`)
    }
    offered(stage, keys, [...wrong.flat(), tested(right)])
    await stage.admits(stage.registry.reference("1"))
  }),
  policyPlan("none", ["OVMS-POL-090", "OVMS-POL-091"], async (stage) => {
    const { registry, refusal, runtime, start } = stage
    const name = registry.reference("1")
    const wrong: readonly (readonly [EvidenceChanges, RegExp])[] = [
      [{ bundle: { dsseEnvelope: 1 } }, /^OVM_SIGNATURE_MALFORMED$/],
      [
        { manifest: {}, statement: { _type: "https://in-toto.io/Statement/v9" } },
        /^OVM_SIGNATURE_MALFORMED$/,
      ],
      [
        { statement: { subject: [{ digest: { sha256: "0".repeat(64) } }] } },
        /^OVM_SIGNATURE_SUBJECT_MISMATCH$/,
      ],
    ]
    for (const [changes, code] of wrong) {
      offered(stage, newKeys(), [{ changes }])
      const error = await refusal(name)
      must(
        code.test(error?.code ?? ""),
        `beside wrong evidence a start ended with ${error?.code}, and not ${code}`,
      )
    }
    const warned = async (tag: string, what: string) => {
      const id = await start({ manifest: registry.reference(tag) })
      const { warnings } = await runtime.reaches(id, "running", "stopped")
      must(
        warnings.some((words) => /sign/i.test(words)),
        `no warning says ${what}: ${warnings.join("; ")}`,
      )
    }
    offered(stage, newKeys(), [], "unsigned")
    await warned("unsigned", "that nobody has signed it")
    offered(stage, newKeys(), [{}], "stranger")
    await warned("stranger", "that nothing here can tell the signatory")
    offered(stage, newKeys(), [], "unlisted")
    registry.manners.fault = (_, response, path) => {
      if (!path.includes("/referrers/")) return false
      response.writeHead(500, { "content-length": 0 }).end()
      return true
    }
    await warned("unlisted", "that the registry cannot be asked for signatures")
  }),
  policyPlan("index", ["OVMS-IDX-025", "OVMS-IDX-026"], async (stage) => {
    const [keys, stranger] = [newKeys(), newKeys()]
    const signed = { type: "signed", keys: believed(keys) }
    const attested = { ...signed, type: "attested", predicateType: TESTED }
    await stage.policy({ default: DIGEST_ONLY })
    const unread = await stage.refusal(indexed(stage, keys, "read"))
    if (unread) skipWithoutIndexes(unread)
    await stage.policy({ default: { requirements: [signed] } })
    await stage.rejects(indexed(stage, stranger, "stranger"))
    await stage.admits(indexed(stage, keys, "signed"))
    await stage.policy({ default: { requirements: [attested] } })
    await stage.rejects(indexed(stage, keys, "attested"))
  }),
]
