import type { Authority } from "./interfaces.ts"
import { type PublicKey, parsePublicKey } from "./keys/public.ts"
import { type Pattern, pattern } from "./pattern.ts"

/** An authority whose key and patterns were understood. */
export type Judge =
  | { readonly authority: Extract<Authority, { kind: "key" }>; readonly key: PublicKey }
  | {
      readonly authority: Extract<Authority, { kind: "keyless" }>
      readonly identity: Pattern
      readonly issuer: Pattern
    }

/** Throws OVM_KEY_INVALID for a key, OVM_USAGE for a regular expression that cannot be understood. */
export function prepare(authority: Authority): Judge {
  if (authority.kind === "key") return { authority, key: parsePublicKey(authority.publicKey, authority.name) }
  const { name, identity, issuer } = authority
  return {
    authority,
    identity: pattern(identity, `${name}: the identity`),
    issuer: pattern(issuer, `${name}: the issuer`),
  }
}
