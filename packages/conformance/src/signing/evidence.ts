import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { OCI_MANIFEST } from "../artifact/make.ts"
import { digestOf, type Repository, utf8 } from "../registry/content.ts"

export const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
export const SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
export const IN_TOTO = "application/vnd.in-toto+json"
const EMPTY = "application/vnd.oci.empty.v1+json"

export interface Keys {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** SPKI. */
  readonly publicPem: string
  /** PKCS#8, without a password. */
  readonly privatePem: string
}

export function newKeys(): Keys {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const publicPem = publicKey.export({ type: "spki", format: "pem" }).toString()
  const privatePem = privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  return { privateKey, publicKey, publicPem, privatePem }
}

/** What DSSE signs (its pre-authentication encoding). */
export function dsseBytes(payloadType: string, payload: Uint8Array): Buffer {
  return Buffer.concat([
    Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `),
    payload,
  ])
}

export interface EvidenceChanges {
  /** Of the statement. */
  readonly predicateType?: string
  readonly reference?: string
  readonly statement?: object
  readonly payloadType?: string
  /** Signed in place of the payload that is sent. */
  readonly signed?: Uint8Array
  readonly signatures?: (signature: object) => readonly object[]
  readonly bundle?: object
  /** Of the manifest around it. */
  readonly manifest?: object
}

/** A bundle that signs `subject`, as `changes` would have it. */
export function bundleOf(
  subject: string,
  keys: Pick<Keys, "privateKey" | "publicKey">,
  changes: EvidenceChanges = {},
): Buffer {
  const { predicateType = SIGNATURE, payloadType = IN_TOTO, reference } = changes
  const statement = {
    _type: "https://in-toto.io/Statement/v1",
    subject: [
      {
        digest: { sha256: subject.slice("sha256:".length) },
        ...(reference !== undefined && { annotations: { "ovms.reference": reference } }),
      },
    ],
    predicateType,
    predicate: {},
    ...changes.statement,
  }
  const payload = Buffer.from(JSON.stringify(statement))
  // Ed25519 has its own.
  const hash = keys.privateKey.asymmetricKeyType === "ed25519" ? null : "sha256"
  const sig = sign(hash, dsseBytes(payloadType, changes.signed ?? payload), keys.privateKey).toString(
    "base64",
  )
  const spki = keys.publicKey.export({ type: "spki", format: "der" })
  const signatures = changes.signatures?.({ sig }) ?? [{ sig }]
  const bundle = {
    mediaType: BUNDLE,
    verificationMaterial: { publicKey: { hint: createHash("sha256").update(spki).digest("base64") } },
    dsseEnvelope: { payload: payload.toString("base64"), payloadType, signatures },
    ...changes.bundle,
  }
  return Buffer.from(JSON.stringify(bundle))
}

/** The manifest that refers to `subject` with the bundle as its layer. */
export function evidenceManifest(
  subject: { readonly digest: string; readonly size: number },
  bundle: Buffer,
  changes: EvidenceChanges = {},
): Buffer {
  const empty = digestOf(utf8("{}"))
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: BUNDLE,
    config: { mediaType: EMPTY, digest: empty, size: 2, artifactType: BUNDLE },
    layers: [{ mediaType: BUNDLE, digest: digestOf(bundle), size: bundle.length }],
    annotations: {
      "dev.sigstore.bundle.content": "dsse-envelope",
      "dev.sigstore.bundle.predicateType": changes.predicateType ?? SIGNATURE,
    },
    subject: { mediaType: OCI_MANIFEST, ...subject },
    ...changes.manifest,
  }
  return Buffer.from(JSON.stringify(manifest))
}

/** Puts a signature of `subject` beside it; the digest of its manifest. */
export function attach(
  repository: Repository,
  subject: { readonly digest: string; readonly size: number },
  keys: Keys,
  changes: EvidenceChanges = {},
): string {
  const bundle = bundleOf(subject.digest, keys, changes)
  repository.blob(bundle)
  repository.blob(utf8("{}"))
  return repository.put(evidenceManifest(subject, bundle, changes), OCI_MANIFEST)
}
