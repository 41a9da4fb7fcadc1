import type { Digest } from "../../content/digest.ts"

/** The tag that Cosign's older form keeps the signatures, or the attestations, of `subject` under. */
export function legacyTag(subject: Digest, kind: "signature" | "attestation"): string {
  return `${subject.replace(":", "-")}.${kind === "signature" ? "sig" : "att"}`
}

/** The subject and kind that such a tag is for; undefined for any other tag. */
export function parseLegacyTag(
  tag: string,
): { subject: Digest; kind: "signature" | "attestation" } | undefined {
  const [, hex, end] = /^sha256-([0-9a-f]{64})\.(sig|att)$/.exec(tag) ?? []
  if (hex === undefined) return undefined
  return { subject: `sha256:${hex}`, kind: end === "sig" ? "signature" : "attestation" }
}

/** Annotations of the layers under such a tag. */
export const SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
export const CERTIFICATE_ANNOTATION = "dev.sigstore.cosign/certificate"
export const LOG_ANNOTATION = "dev.sigstore.cosign/bundle"
export const TIMESTAMP_ANNOTATION = "dev.sigstore.cosign/rfc3161timestamp"
export const PREDICATE_ANNOTATION = "predicateType"
