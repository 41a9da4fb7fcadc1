import { type ErrorCode, OvmError } from "../errors.ts"
import type { Signatory, Verdict } from "./interfaces.ts"

/** What a judge says of a claim. */
export interface Judgement {
  readonly status: Verdict["status"]
  readonly signatory?: Signatory
  readonly signedAt?: string
  readonly fault?: OvmError
}

export function refused(
  status: "invalid" | "unknown",
  code: ErrorCode,
  message: string,
  cause?: unknown,
): Judgement {
  return { status, fault: new OvmError(code, message, { cause }) }
}
