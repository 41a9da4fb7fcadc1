/** Limits on what strangers attach to an artifact (spec/limits.md). Sizes are in bytes. */
export const SIGNATURE_LIMIT = 1 << 20
export const ATTESTATION_LIMIT = 32 << 20
/** Manifests and layers that are looked at for one subject. */
export const EVIDENCE_LIMIT = 20_000
/** Pieces of evidence that are fetched and judged at a time. */
export const AT_A_TIME = 8
