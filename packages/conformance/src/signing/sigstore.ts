import { OCI_MANIFEST } from "../artifact/make.ts"
import { type Repository, utf8 } from "../registry/content.ts"
import { AUTHORITY, certify, type Holder, keyId, pem, STAMPER, signerOf } from "./certificate.ts"
import { bundleOf, evidenceManifest, type Keys } from "./evidence.ts"
import { entry, type Log, newLog, PLACE, seenBy } from "./log.ts"
import { timestamp } from "./timestamp.ts"

/** An authority of certificates, one of timestamps, and the logs of both kinds: all that a trusted root names. */
export interface Sigstore {
  readonly authority: Holder
  readonly certificates: Log
  readonly signatures: Log
  readonly stamper: Holder
  /** Of whom the stamper has its certificate. */
  readonly stampers: Holder
}

const MINUTE = 60_000
export const NOW = new Date(Math.floor(Date.now() / 1000) * 1000)
export const LAST_YEAR = new Date(NOW.getTime() - 365 * 24 * 60 * MINUTE)
const LONG = { from: new Date("2020-01-01T00:00:00Z"), to: new Date("2049-01-01T00:00:00Z") }

export function newSigstore(): Sigstore {
  const authority = certify({ name: "suite", ...LONG, extensions: AUTHORITY })
  const stampers = certify({ name: "suite's times", ...LONG, extensions: AUTHORITY })
  const stamper = certify({ name: "suite's clock", issuer: stampers, ...LONG, extensions: STAMPER })
  return { authority, stampers, stamper, certificates: newLog(), signatures: newLog() }
}

/** What a certificate says, and what is said of it. */
export interface Signer {
  readonly identity: string
  readonly issuer: string
  /** The middle of the 20 minutes for which it is valid. */
  readonly at: Date
  readonly purpose?: "code" | "server"
  /** Who has seen it; nobody, if null. */
  readonly seen?: Log | null
}

export function certified({ authority, certificates }: Sigstore, signer: Signer): Holder {
  const { identity, issuer, at, purpose, seen = certificates } = signer
  return certify({
    name: "",
    issuer: authority,
    from: new Date(at.getTime() - 10 * MINUTE),
    to: new Date(at.getTime() + 10 * MINUTE),
    extensions: signerOf(identity, issuer, purpose),
    ...(seen && { witnessed: seenBy(seen, authority, at) }),
  })
}

/** The file that names them all. */
export function trustedRoot({ authority, stamper, stampers, certificates, signatures }: Sigstore): string {
  const validFor = { start: "2020-01-01T00:00:00Z" }
  const log = ({ publicKey }: Log) => ({
    baseUrl: PLACE,
    hashAlgorithm: "SHA2_256",
    publicKey: {
      rawBytes: publicKey.export({ type: "spki", format: "der" }).toString("base64"),
      keyDetails: "PKIX_ECDSA_P256_SHA_256",
      validFor,
    },
    logId: { keyId: keyId(publicKey).toString("base64") },
  })
  const chain = (...holders: readonly Holder[]) => ({
    subject: { organization: "suite", commonName: "suite" },
    certChain: {
      certificates: holders.map(({ certificate }) => ({ rawBytes: certificate.toString("base64") })),
    },
    uri: PLACE,
    validFor,
  })
  return JSON.stringify({
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    tlogs: [log(signatures)],
    ctlogs: [log(certificates)],
    certificateAuthorities: [chain(authority)],
    timestampAuthorities: [chain(stamper, stampers)],
  })
}

/** Who says when it was signed, and when that was. */
export interface Times {
  readonly logged?: readonly [log: Log, at: Date]
  readonly stamped?: readonly [stamper: Holder, at: Date]
  /** Of what was stamped, where that is not the signature. */
  readonly other?: Uint8Array
  /** What an annotation of the manifest around it says. */
  readonly created?: Date
  /** Of the finished bundle. */
  // biome-ignore lint/suspicious/noExplicitAny: any part of a bundle is changed here
  readonly change?: (bundle: any) => void
}

type Subject = { readonly digest: string; readonly size: number }

/** Who signs: whose certificate is in the bundle, or whose key is named by a hint. */
type Signatory = Holder | Keys

/** Puts a signature with its times beside its subject; the digest of the manifest around it. */
export function attachTimed(repository: Repository, subject: Subject, by: Signatory, times: Times): string {
  const bundle = JSON.parse(bundleOf(subject.digest, by).toString())
  const [{ sig }] = bundle.dsseEnvelope.signatures
  const payload = Buffer.from(bundle.dsseEnvelope.payload, "base64")
  const envelope = JSON.stringify(bundle.dsseEnvelope)
  const { logged, stamped, other } = times
  const stamp = stamped && timestamp(stamped[0], other ?? Buffer.from(sig, "base64"), stamped[1])
  const verifier = "certificate" in by ? pem(by.certificate) : by.publicPem
  if ("certificate" in by)
    bundle.verificationMaterial = { certificate: { rawBytes: by.certificate.toString("base64") } }
  Object.assign(bundle.verificationMaterial, {
    tlogEntries: logged ? [entry(logged[0], { payload, envelope, sig, verifier }, logged[1])] : [],
    timestampVerificationData: {
      rfc3161Timestamps: stamp ? [{ signedTimestamp: stamp.toString("base64") }] : [],
    },
  })
  times.change?.(bundle)
  const bytes = Buffer.from(JSON.stringify(bundle))
  repository.blob(bytes)
  repository.blob(utf8("{}"))
  const { created } = times
  const annotations = { "org.opencontainers.image.created": created?.toISOString() }
  const changes = created ? { manifest: { annotations } } : {}
  return repository.put(evidenceManifest(subject, bytes, changes), OCI_MANIFEST)
}
