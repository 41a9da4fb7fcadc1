import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call, Fetcher, ReferrerLister } from "../content/interfaces.ts"
import type { ErrorCode } from "../errors.ts"

/** The predicate type of a statement that is a signature and nothing else (spec/signing.md). */
export const SIGNATURE_PREDICATE = "https://sigstore.dev/cosign/sign/v1"

/** Where the signatures of one subject are looked for. */
export interface EvidenceSource extends Fetcher, ReferrerLister {
  /**
   * The manifest under a tag of the subject's repository; undefined if there is none. The legacy forms are found by it.
   */
  tagged(tag: string, call?: Call): Promise<Descriptor | undefined>
}

/** What vouches for a subject: found beside it and not believed yet. */
export interface Evidence {
  /** bundle: a Sigstore bundle in a referrer. legacy: a layer under the tag `sha256-….sig` or `sha256-….att`. */
  readonly form: "bundle" | "legacy"
  /** By the predicate type, not by where it was found: an attestation is no signature. */
  readonly kind: "signature" | "attestation"
  readonly predicateType: string
  /** Of the OCI manifest that it was found in. */
  readonly manifest: Descriptor
  /** Of the bundle, or of the legacy payload or envelope. */
  readonly blob: Descriptor
}

/** Who made a signature, once it was verified. */
export type Signatory =
  | { readonly kind: "key"; readonly keyId: string }
  | { readonly kind: "certificate"; readonly identity: string; readonly issuer: string }

/** What became of one piece of evidence. */
export interface Verdict {
  readonly evidence: Evidence
  /** unknown: well-formed, by somebody whom none of the authorities names. */
  readonly status: "valid" | "invalid" | "unknown"
  readonly signatory?: Signatory
  /** The repository, perhaps with a tag, that it says it was made for; absent where its form carries none. */
  readonly signedReference?: string
  /** RFC 3339: by a timestamp or a log, never by the signer's own word. */
  readonly signedAt?: string
  /** Of an attestation that is valid. */
  readonly predicate?: unknown
  /** Why it is not valid. */
  readonly code?: ErrorCode
  readonly reason?: string
}

/** Whom to believe: any one of several authorities makes a signature valid. */
export type Authority =
  | {
      readonly kind: "key"
      /** What it is called in messages: a path, or its place in a policy. */
      readonly name: string
      /** SPKI, PEM. */
      readonly publicKey: string
      /** That `trustedRoot` vouches for. Without one neither is looked at; with one, what is there has to hold. */
      readonly log?: "required"
      readonly timestamp?: "required" | "either"
      readonly trustedRoot?: string
    }
  | {
      readonly kind: "keyless"
      readonly name: string
      /** A Sigstore trusted root, JSON. */
      readonly trustedRoot: string
      /** Exactly these, or regular expressions that match the whole of them. */
      readonly identity: { readonly is: string } | { readonly matches: string }
      readonly issuer: { readonly is: string } | { readonly matches: string }
      /** Required unless told; of a timestamp `either` is one by an authority or the time that a log says. */
      readonly log?: "required" | "optional"
      readonly timestamp?: "required" | "either" | "optional"
    }

/** What `verdicts` is asked for. */
export interface VerdictOptions extends Call {
  /** Without any, signatures are held against themselves alone: form, subject, and the certificate that they carry. */
  readonly authorities: readonly Authority[]
  /** Signatures unless told: attestations of this predicate type. */
  readonly predicateType?: string
}

/** Every piece of evidence of `subject` with its verdict, one after the other: whoever has enough stops. */
export type Verdicts = (
  source: EvidenceSource,
  subject: Digest,
  options: VerdictOptions,
) => AsyncIterable<Verdict>

/** What signs: a key here, or a program that has access to one. */
export interface Signer {
  /** SPKI, PEM. */
  publicKey(call?: Call): Promise<string>
  /** Signs `message` itself, not a digest of it; ASN.1 DER for ECDSA. */
  sign(message: Uint8Array, call?: Call): Promise<Uint8Array>
}
