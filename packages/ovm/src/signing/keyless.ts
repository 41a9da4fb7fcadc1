import { OvmError } from "../errors.ts"
import type { Sealer } from "./bundle/write.ts"
import { INTOTO } from "./envelope.ts"

export interface KeylessServices {
  /** The certificate authority. */
  readonly fulcioUrl: string
  /** The transparency log, of version 1. */
  readonly rekorUrl?: string
  /** An RFC 3161 timestamp authority. */
  readonly timestampUrl?: string
  /** An OpenID Connect token (JWT), which says who signs. A credential. */
  readonly identityToken: string
}

/** A retry or two, and no service is waited for longer; ms. */
const TIMEOUT = 30_000
const RETRIES = 2

/**
 * Signs with a key that lives as long as the signature takes, and that a certificate binds to an identity. Its calls
 * throw OVM_SIGNER_FAILED, naming the service and never the token.
 */
export function keylessSealer(services: KeylessServices): Sealer {
  return {
    async seal(statement) {
      const { fulcioUrl, rekorUrl, timestampUrl, identityToken } = services
      const { DSSEBundleBuilder, FulcioSigner, RekorWitness, TSAWitness } = await import("@sigstore/sign")
      const { bundleToJSON } = await import("@sigstore/bundle")
      const reached = { timeout: TIMEOUT, retry: { retries: RETRIES } }
      const signer = new FulcioSigner({
        ...reached,
        fulcioBaseURL: fulcioUrl,
        identityProvider: { getToken: async () => identityToken },
      })
      const witnesses = [
        ...(rekorUrl === undefined
          ? []
          : [new RekorWitness({ ...reached, rekorBaseURL: rekorUrl, entryType: "dsse" })]),
        ...(timestampUrl === undefined ? [] : [new TSAWitness({ ...reached, tsaBaseURL: timestampUrl })]),
      ]
      try {
        const builder = new DSSEBundleBuilder({ signer, witnesses })
        const bundle = await builder.create({ data: Buffer.from(statement), type: INTOTO })
        return Buffer.from(JSON.stringify(bundleToJSON(bundle)))
      } catch (error) {
        throw failure(error, services)
      }
    },
  }
}

/** By the library's code alone: its messages and causes may quote the token. */
function failure(error: unknown, { fulcioUrl, rekorUrl, timestampUrl }: KeylessServices): OvmError {
  const code = String((error as { code?: unknown }).code)
  const why = code.startsWith("IDENTITY_TOKEN")
    ? "the identity token is not a JWT that says who it is for"
    : code.startsWith("CA_")
      ? `${fulcioUrl} gave no certificate`
      : code.startsWith("TLOG_")
        ? `${rekorUrl} did not take the entry`
        : code.startsWith("TSA_")
          ? `${timestampUrl} gave no timestamp`
          : "keyless signing failed"
  const status = (error as { cause?: { statusCode?: unknown } }).cause?.statusCode
  return new OvmError("OVM_SIGNER_FAILED", typeof status === "number" ? `${why}: it answered ${status}` : why)
}
