// What a policy file says (spec/policy.md, spec/schema/policy.v1.json).

export interface PolicyDocument {
  readonly schemaVersion: 1
  readonly default: ScopeDocument
  readonly local?: ScopeDocument
  readonly scopes?: Readonly<Record<string, ScopeDocument>>
}

export interface ScopeDocument {
  readonly requirements: readonly RequirementDocument[]
  readonly snapshots?: SnapshotWord | readonly RequirementDocument[]
}

/** How snapshots are judged where a scope has no list of its own for them. */
export type SnapshotWord = "signed" | "sameSignerAsBase" | "reject"

export type RequirementDocument =
  | { readonly type: "reject" }
  | { readonly type: "digestOnly" }
  | ({ readonly type: "signed" } & SignersDocument)
  | ({ readonly type: "attested" } & SignersDocument & Predicate)
  | { readonly type: "maxAge"; readonly hours: number }
  | { readonly type: "platforms"; readonly allowed: readonly string[] }

export interface SignersDocument {
  readonly keys?: readonly KeyDocument[]
  readonly identities?: readonly IdentityDocument[]
  readonly trustedRoot?: string
  readonly log?: "required" | "optional"
  readonly timestamp?: "required" | "optional"
  readonly signedIdentity?: SignedIdentity
}

export interface KeyDocument {
  readonly path?: string
  readonly pem?: string
}

export interface IdentityDocument {
  readonly identity?: string
  readonly identityPattern?: string
  readonly issuer?: string
  readonly issuerPattern?: string
}

export interface SignedIdentity {
  readonly type: "matchRepository" | "matchReference" | "exactRepository" | "exactReference"
  readonly repository?: string
  readonly reference?: string
  readonly unavailable?: "allow" | "reject"
}

export interface Predicate {
  readonly predicateType: string
  readonly conditions?: readonly Condition[]
}

export type Scalar = string | number | boolean | null

/** Has exactly one of the three beside the pointer. */
export interface Condition {
  readonly pointer: string
  readonly equals?: Scalar
  readonly in?: readonly Scalar[]
  readonly exists?: boolean
}
