import { createPublicKey, X509Certificate as NodeCertificate } from "node:crypto"
import { X509Certificate } from "@sigstore/core"
import {
  type SignedEntity,
  type Signer,
  type TrustMaterial,
  VerificationError,
  Verifier,
} from "@sigstore/verify"
import { type ErrorCode, OvmError } from "../errors.ts"
import type { Claim } from "./claim.ts"
import { guard } from "./guard.ts"
import type { Authority } from "./interfaces.ts"
import { type Judgement, refused } from "./judgement.ts"
import type { Judge } from "./judges.ts"
import type { PublicKey } from "./keys/public.ts"
import { type Material, materialOf } from "./material.ts"
import { signedContent } from "./signed-content.ts"
import { trustMaterial } from "./trusted-root.ts"

// Loaded only for certificates, logs and timestamps: what it imports takes longer than verifying by a key altogether.

/** Extended key usage: code signing. */
const CODE_SIGNING = "1.3.6.1.5.5.7.3.3"

/**
 * Verifies a claim by its certificate: chain, SCT, log entry, timestamp, signature, identity and issuer (OVMS-SIG-026,
 * OVMS-SIG-027). Throws OVM_KEY_INVALID for a trusted root that cannot be understood.
 */
export async function verifyCertified(
  claim: Claim,
  certificate: Buffer,
  { authority, identity, issuer }: Extract<Judge, { identity: unknown }>,
): Promise<Judgement> {
  const trusted = trustMaterial(authority.trustedRoot, authority.name)
  return judged(() => {
    const material = materialOf(claim)
    const leaf = guard("OVM_CERTIFICATE_INVALID", "the certificate cannot be read", () => {
      if (!new NodeCertificate(certificate).keyUsage?.includes(CODE_SIGNING))
        throw new Error("it is not for code signing")
      return X509Certificate.parse(Buffer.from(certificate))
    })
    const key = { $case: "certificate", certificate: leaf } as const
    const wanted = { ctlogThreshold: 1, ...thresholds(authority, "required") }
    const signer = verified({ claim, key, material }, trusted, wanted)
    const who = signer.identity?.subjectAlternativeName ?? ""
    const from = signer.identity?.extensions?.issuer ?? ""
    const signatory = { kind: "certificate", identity: who, issuer: from } as const
    const other = (code: ErrorCode, message: string): Judgement => ({
      ...refused("unknown", code, message),
      signatory,
    })
    if (!identity.matches(who))
      return other(
        "OVM_CERTIFICATE_IDENTITY_MISMATCH",
        `the certificate is for ${who}, not for ${identity.shown}`,
      )
    if (!issuer.matches(from))
      return other("OVM_CERTIFICATE_ISSUER_MISMATCH", `${from} vouched for ${who}, not ${issuer.shown}`)
    return { status: "valid", signatory, ...signedAt(material) }
  })
}

/**
 * Verifies the log entry or timestamp that an authority wants beside a signature by its key. Throws as verifyCertified
 * does.
 */
export async function verifyLogged(
  claim: Claim,
  key: PublicKey,
  authority: Extract<Authority, { kind: "key" }>,
): Promise<Judgement> {
  if (authority.trustedRoot === undefined)
    throw new OvmError(
      "OVM_KEY_INVALID",
      `${authority.name} wants a log entry or timestamp, but has no trusted root`,
    )
  const trusted = trustMaterial(authority.trustedRoot, authority.name, () => ({
    publicKey: createPublicKey(key.pem),
    validFor: () => true,
  }))
  return judged(() => {
    const material = materialOf(claim)
    const hinted = { $case: "public-key", hint: key.hint } as const
    verified({ claim, key: hinted, material }, trusted, thresholds(authority, "optional"))
    return { status: "valid", signatory: { kind: "key", keyId: key.id }, ...signedAt(material) }
  })
}

interface Thresholds {
  readonly tlogThreshold: number
  /** Of times, be they a log's or an authority's. */
  readonly timestampThreshold: number
  /** Of those by a timestamp authority. */
  readonly stamps: number
  readonly ctlogThreshold?: number
}

function thresholds(
  { log, timestamp }: Pick<Authority, "log" | "timestamp">,
  unless: "required" | "optional",
): Thresholds {
  const wish = timestamp ?? unless
  return {
    tlogThreshold: (log ?? unless) === "required" ? 1 : 0,
    timestampThreshold: wish === "optional" ? 0 : 1,
    stamps: wish === "required" ? 1 : 0,
  }
}

/** A claim with what it is verified by. */
interface Verifiable {
  readonly claim: Claim
  readonly key: SignedEntity["key"]
  readonly material: Material
}

function verified({ claim, key, material }: Verifiable, trusted: TrustMaterial, options: Thresholds): Signer {
  const { times, tlogEntries } = material
  const { stamps, ...thresholds } = options
  if (times.filter(({ timestamp }) => timestamp.$case === "timestamp-authority").length < stamps)
    throw new OvmError("OVM_TIMESTAMP_INVALID", "there is no timestamp by an authority")
  if (times.length === 0 && options.timestampThreshold > 0)
    throw new OvmError("OVM_TIMESTAMP_INVALID", "there is no timestamp, neither by an authority nor by a log")
  if (tlogEntries.length === 0 && options.tlogThreshold > 0)
    throw new OvmError("OVM_LOG_ENTRY_INVALID", "there is no entry of a transparency log")
  const entity: SignedEntity = {
    signature: signedContent(claim),
    key,
    tlogEntries: [...tlogEntries],
    timestamps:
      times.length > 0 || key.$case === "public-key" ? times.map(({ timestamp }) => timestamp) : [present()],
  }
  return new Verifier(trusted, thresholds).verify(entity)
}

/** The time at which a certificate has to be valid that nobody saw being used. */
function present(): SignedEntity["timestamps"][number] {
  const now = String(Math.floor(Date.now() / 1000))
  return {
    $case: "transparency-log",
    tlogEntry: {
      logIndex: "0",
      logId: { keyId: Buffer.alloc(0) },
      kindVersion: { kind: "", version: "" },
      integratedTime: now,
      inclusionPromise: { signedEntryTimestamp: Buffer.alloc(0) },
      inclusionProof: undefined,
      canonicalizedBody: Buffer.alloc(0),
    },
  }
}

function signedAt({ times }: Material): { signedAt?: string } {
  const [first] = times.map(({ at }) => at.getTime()).sort((a, b) => a - b)
  return first === undefined ? {} : { signedAt: new Date(first).toISOString().replace(".000Z", "Z") }
}

const CODES: Partial<Record<string, ErrorCode>> = {
  TIMESTAMP_ERROR: "OVM_TIMESTAMP_INVALID",
  CERTIFICATE_ERROR: "OVM_CERTIFICATE_INVALID",
  SIGNATURE_ERROR: "OVM_SIGNATURE_INVALID",
  PUBLIC_KEY_ERROR: "OVM_SIGNATURE_KEY_UNKNOWN",
}

/**
 * Turns what the verifier throws into a refusal: everything that it throws comes of the claim, which a stranger made.
 */
function judged(work: () => Judgement): Judgement {
  try {
    return work()
  } catch (error) {
    if (error instanceof OvmError) return { status: "invalid", fault: error }
    if (!(error instanceof Error)) throw error
    const code =
      error instanceof VerificationError
        ? (CODES[error.code] ?? "OVM_LOG_ENTRY_INVALID")
        : "OVM_SIGNATURE_MALFORMED"
    const cause = error.cause instanceof Error ? `: ${error.cause.message}` : ""
    return refused("invalid", code, `${error.message}${cause}`, error)
  }
}
