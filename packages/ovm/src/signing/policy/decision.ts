import type { Digest } from "../../content/digest.ts"
import type { ErrorCode } from "../../errors.ts"
import type { Evidence, Signatory, Verdict } from "../interfaces.ts"
import type { Name } from "./scope.ts"

// What is asked of a policy, and what it answers: every rule with its reason.

/** One artifact, as far as a policy looks at it. */
export interface PolicySubject {
  readonly digest: Digest
  /** RFC 3339: what the artifact says itself. */
  readonly created?: string
  /** OS/ARCHITECTURE */
  readonly platform: string
}

/** What is to be started, or pulled. */
export interface Asked {
  /** The name or path as it was asked for; for messages. */
  readonly reference: string
  /** Absent for a path. */
  readonly name?: Name
  /** What the name stands for: one of those below. */
  readonly digest: Digest
  /** Of a snapshot, its base. */
  readonly machine: PolicySubject
  readonly snapshot?: PolicySubject
  /** Through which the machine was found: a signature of it is one of the machine (OVMS-IDX-025). */
  readonly index?: Digest
}

/** A piece of evidence and whether it counts for a rule. */
export interface Weighed {
  readonly manifest: Digest
  readonly blob: Digest
  readonly form: Evidence["form"]
  readonly kind: Evidence["kind"]
  readonly status: Verdict["status"]
  readonly counts: boolean
  readonly signatory?: Signatory
  readonly signedReference?: string
  readonly signedAt?: string
  readonly code?: ErrorCode
  readonly reason?: string
}

export interface RuleFinding {
  /** JSON pointer into the policy; empty where there is none. */
  readonly pointer: string
  readonly type: string
  /** Which of them is judged. */
  readonly of: "machine" | "snapshot" | "index"
  readonly digest: Digest
  readonly holds: boolean
  readonly reason: string
  /** Why it does not hold. */
  readonly code?: ErrorCode
  readonly evidence?: readonly Weighed[]
}

export interface Decision {
  readonly reference: string
  readonly digest: Digest
  readonly allowed: boolean
  /** Path of the policy file; absent if there is none. */
  readonly policy?: string
  readonly scope?: string
  readonly why: string
  readonly rules: readonly RuleFinding[]
  /** What was found wanting, and no policy forbids. */
  readonly warnings: readonly string[]
}

/** What `Policy.decide` answers beside the decision. */
export interface PolicyJudgement {
  readonly decision: Decision
  /** The evidence that counted, by the digest of its subject: what a host needs to come to the same decision again. */
  readonly relied: readonly { readonly subject: Digest; readonly evidence: Evidence }[]
  /** Until when it may be remembered, in ms since 1970. */
  readonly expires: number
}
