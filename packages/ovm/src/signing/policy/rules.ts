import type { Authority } from "../interfaces.ts"
import type { Condition, SignedIdentity, SnapshotWord } from "./document.ts"

// A policy that was read, with the files that it names: what is judged by.

export type Rule = { readonly pointer: string } & (
  | { readonly type: "reject" }
  | { readonly type: "digestOnly" }
  | SignedRule
  | AttestedRule
  | { readonly type: "maxAge"; readonly hours: number }
  | { readonly type: "platforms"; readonly allowed: readonly string[] }
)

export interface SignedRule {
  readonly type: "signed"
  readonly pointer: string
  readonly authorities: readonly Authority[]
  readonly signedIdentity?: SignedIdentity
}

export interface AttestedRule {
  readonly type: "attested"
  readonly pointer: string
  readonly authorities: readonly Authority[]
  readonly signedIdentity?: SignedIdentity
  readonly predicateType: string
  readonly conditions: readonly Condition[]
}

export interface Scope {
  /** `default`, `local`, or its name. */
  readonly name: string
  readonly pointer: string
  readonly rules: readonly Rule[]
  /** Absent: the same rules. */
  readonly snapshots?: SnapshotWord | readonly Rule[]
}

/** What holds for the snapshots of a scope by themselves; undefined where there are to be none (OVMS-POL-077). */
export function rulesForSnapshots({ rules, snapshots }: Scope): readonly Rule[] | undefined {
  if (snapshots === "reject") return undefined
  if (snapshots === undefined) return rules
  return typeof snapshots === "string" ? rules.filter(({ type }) => type !== "attested") : snapshots
}

export interface Rules {
  readonly fallback: Scope
  readonly local?: Scope
  /** By name. */
  readonly scopes: ReadonlyMap<string, Scope>
}
