import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { artifactOf, store } from "../artifact/make.ts"
import { type Check, must } from "../check.ts"
import { attach, newKeys } from "../signing/evidence.ts"
import { newLog } from "../signing/log.ts"
import {
  attachTimed,
  certified,
  LAST_YEAR,
  NOW,
  newSigstore,
  type Signer,
  type Times,
  trustedRoot,
} from "../signing/sigstore.ts"
import { jsonOf, type Wrapper } from "../subject/wrapper.ts"
import { type Plan, type Scene, withRegistry } from "./with-registry.ts"

// Certificates, logs and times of a Sigstore of the suite's own, each wrong in one thing.

const WHO = "https://example.com/builders/1"
const ISSUER = "https://accounts.example.com"
const OURS = newSigstore()
const OTHERS = newSigstore()

const ANYBODY: Signer = { identity: WHO, issuer: ISSUER, at: NOW }
const LOGGED: Times = { logged: [OURS.signatures, NOW] }
const STAMPED: Times = { stamped: [OURS.stamper, NOW] }

/** What is asked for beside a certificate (spec/conformance.md). */
type Witness = "log" | "timestamp" | "none"

interface Case {
  readonly signer?: Partial<Signer>
  readonly times?: Times
  readonly witness?: Witness
  readonly from?: typeof OURS
  readonly identity?: string
  readonly issuer?: string
}

/** Of a machine that nobody has signed before. */
async function verified(scene: Scene, one: Case) {
  const { registry, wrapper, folder } = scene
  const name = `suite-${registry.repository.manifests.size}`
  const { digest, oci } = store(registry.repository, artifactOf({ document: { name } }), "1")
  const holder = certified(one.from ?? OURS, { ...ANYBODY, ...one.signer })
  attachTimed(registry.repository, { digest, size: oci.length }, holder, one.times ?? LOGGED)
  const root = join(folder, "root.json")
  await writeFile(root, trustedRoot(OURS))
  const { witness = "log", identity = WHO, issuer = ISSUER } = one
  const words = [witness, root, identity, issuer, registry.reference("1")]
  return await wrapper.call("verify-identity", words, scene)
}

function believes(name: string, covers: readonly string[], one: Case): Plan {
  return {
    name: `verify/identity/${name}`,
    covers,
    profile: "signing",
    async run(scene) {
      const { code, stderr } = await verified(scene, one)
      must(code === undefined, `it ended with ${code}: ${stderr.trim().slice(0, 300)}`)
    },
  }
}

/** Each of the cases is refused with the code, and one that is wrong in nothing is not. */
function refuses(
  name: string,
  covers: readonly string[],
  code: string | RegExp,
  ...cases: readonly Case[]
): Plan {
  return {
    name: `verify/identity/refuses-${name}`,
    covers,
    profile: "signing",
    async run(scene) {
      for (const [at, one] of cases.entries()) {
        const said = await verified(scene, one)
        const fits = typeof code === "string" ? said.code === code : code.test(said.code ?? "")
        must(fits, `case ${at + 1} ended ${said.code ? `with ${said.code}` : "well"}, and not with ${code}`)
      }
    },
  }
}

const EXPIRED = { at: LAST_YEAR }
const BOTH = ["OVMS-SIG-026", "OVMS-SIG-031"]

const PLANS: readonly Plan[] = [
  believes("by-a-log", ["OVMS-SIG-026", "OVMS-SIG-027"], {}),
  believes("by-a-timestamp", ["OVMS-SIG-026"], { witness: "timestamp", times: STAMPED }),
  believes("valid-now", ["OVMS-SIG-026"], { witness: "none", times: {} }),
  believes("expired-since-it-was-logged", BOTH, {
    signer: EXPIRED,
    times: { logged: [OURS.signatures, LAST_YEAR] },
  }),
  believes("expired-since-it-was-stamped", BOTH, {
    signer: EXPIRED,
    witness: "timestamp",
    times: { stamped: [OURS.stamper, LAST_YEAR] },
  }),
  refuses(
    "certificates",
    ["OVMS-SIG-026"],
    "OVM_CERTIFICATE_INVALID",
    { from: { ...OTHERS, certificates: OURS.certificates } },
    { signer: { purpose: "server" } },
    { signer: { seen: null } },
    { signer: { seen: newLog() } },
    { signer: EXPIRED },
    { signer: EXPIRED, witness: "timestamp", times: STAMPED },
    { signer: EXPIRED, witness: "none", times: {} },
  ),
  refuses(
    "timestamps",
    BOTH,
    "OVM_TIMESTAMP_INVALID",
    { witness: "timestamp", times: { stamped: [OTHERS.stamper, NOW] } },
    { witness: "timestamp", times: { ...STAMPED, other: Buffer.from("another signature") } },
    { witness: "timestamp", times: {} },
  ),
  refuses(
    "log-entries",
    BOTH,
    /^OVM_(LOG_ENTRY|TIMESTAMP)_INVALID$/,
    { times: { logged: [OTHERS.signatures, NOW] } },
    { times: {} },
    { times: STAMPED },
    {
      signer: EXPIRED,
      times: {
        ...LOGGED,
        change: ({ verificationMaterial: { tlogEntries } }) => {
          tlogEntries[0].integratedTime = String(LAST_YEAR.getTime() / 1000)
        },
      },
    },
  ),
  refuses(
    "times-that-its-signer-says",
    ["OVMS-SIG-031"],
    "OVM_CERTIFICATE_INVALID",
    // The manifest around it says last year as well.
    { signer: EXPIRED, witness: "none", times: { created: LAST_YEAR } },
  ),
  refuses(
    "identities",
    ["OVMS-SIG-027"],
    "OVM_CERTIFICATE_IDENTITY_MISMATCH",
    { identity: "https://example.com/builders/2" },
    { identity: "https://example.com/builders/" },
    { identity: `${WHO}0` },
    { identity: WHO.slice("https://".length) },
    { signer: { identity: `${WHO}0` } },
  ),
  refuses(
    "issuers",
    ["OVMS-SIG-027"],
    "OVM_CERTIFICATE_ISSUER_MISMATCH",
    { issuer: "https://accounts.example.org" },
    { issuer: `${ISSUER}/` },
    { signer: { issuer: `${ISSUER}.example.net` } },
  ),
]

/** What is said of signatures when nobody is named whose they should be. */
const againstItself: Plan = {
  name: "discover/signatures-against-themselves",
  covers: ["OVMS-SIG-028"],
  profile: "signing",
  async run(scene) {
    const { registry, wrapper } = scene
    const { repository } = registry
    const { digest, oci } = store(repository, artifactOf(), "1")
    const subject = { digest, size: oci.length }
    const holder = certified(OURS, ANYBODY)
    const other = { dsseEnvelope: { payload: "e30=", payloadType: "application/json", signatures: [] } }
    const wanted = new Map([
      [attach(repository, subject, newKeys()), "unknown"],
      [attachTimed(repository, subject, holder, {}), "unknown"],
      [attach(repository, subject, newKeys(), { bundle: other }), "invalid"],
      [attach(repository, subject, newKeys(), { statement: { subject: [] } }), "invalid"],
      [attachTimed(repository, subject, { ...holder, ...newKeys() }, {}), "invalid"],
      [
        attachTimed(repository, subject, { ...holder, certificate: Buffer.from("no certificate") }, {}),
        "invalid",
      ],
    ])
    const { code, stdout, stderr } = await wrapper.call("discover", [registry.reference("1")], scene)
    must(code === undefined, `it ended with ${code}: ${stderr.trim().slice(0, 300)}`)
    const { signatures } = jsonOf(stdout, "discover")
    must(Array.isArray(signatures), "what it printed has no signatures")
    const said = new Map(signatures.map(({ manifest, status }) => [manifest, status]))
    for (const [at, [manifest, status]] of [...wanted].entries())
      must(said.get(manifest) === status, `signature ${at + 1} is ${said.get(manifest)}, and not ${status}`)
  },
}

export const identityChecks: readonly Check<Wrapper>[] = [...PLANS, againstItself].map(withRegistry)
