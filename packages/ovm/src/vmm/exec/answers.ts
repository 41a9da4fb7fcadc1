import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import type { Guest } from "../machine.ts"
import type { Unsupported } from "../plan.ts"
import type { Capabilities } from "../vmm.ts"

// What an adapter answers is looked at before it is believed (spec/runtimes/adapter.md, "Verbs").

type Json = Readonly<Record<string, unknown>>

/** How much of a text of an adapter's counts. */
const MOST = 4096
const MOST_FINDINGS = 100
const REASONS = ["request", "disk-full", "io-error"] as const
const ENDS = ["guest-shutdown", "guest-reset", "guest-panic", "quit", "signal", "internal-error"]
/** Of one file in the machine's folder. */
const FILE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

export function capabilitiesIn(
  name: string,
  { version, binary, accelerator, ...answer }: Json,
): Capabilities {
  const { acceleratorReason, accelerators } = answer
  if (
    !texts([version, binary, accelerator, acceleratorReason]) ||
    !Array.isArray(accelerators) ||
    !texts(accelerators)
  )
    throw broken(name, "capabilities")
  return {
    name,
    version: String(version),
    binary: String(binary),
    accelerator: String(accelerator),
    acceleratorReason: String(acceleratorReason),
    accelerators,
  }
}

export function findingsIn(name: string, { findings }: Json): readonly Unsupported[] {
  if (!Array.isArray(findings) || findings.length > MOST_FINDINGS) throw broken(name, "check")
  return findings.map((one) => {
    if (!isObject(one) || !texts([one.pointer, one.reason])) throw broken(name, "check")
    const { pointer, severity, reason } = one
    if (severity !== "fatal" && severity !== "degraded") throw broken(name, "check")
    return { pointer: String(pointer), severity, reason: String(reason) }
  })
}

export interface Prepared {
  readonly argv: readonly string[]
  readonly own?: Json
  /** The name of a socket. */
  readonly agent?: string
}

export function preparedIn(name: string, { argv, own, agent }: Json): Prepared {
  const [program] = Array.isArray(argv) ? argv : []
  const isLine = Array.isArray(argv) && argv.every((word) => typeof word === "string" && !word.includes("\0"))
  if (!isLine || typeof program !== "string" || !program.startsWith("/")) throw broken(name, "prepare")
  if (own !== undefined && !isObject(own)) throw broken(name, "prepare")
  if (agent !== undefined && (typeof agent !== "string" || !FILE.test(agent))) throw broken(name, "prepare")
  return { argv, ...(own && { own }), ...(agent !== undefined && { agent }) }
}

export function guestIn({ running, reason, message }: Json): Guest {
  if (running === true) return { running }
  const known = REASONS.find((one) => one === reason) ?? "request"
  return {
    running: false,
    reason: known,
    ...(typeof message === "string" && { message: message.slice(0, MOST) }),
  }
}

/** Why a VMM ended, and what its guest handed back; neither where the adapter does not know, or says nonsense. */
export function endIn({ reason, result }: Json): { readonly reason?: string; readonly result?: number } {
  if (reason === "result" && Number.isInteger(result) && Number(result) >= 1 && Number(result) <= 127)
    return { reason, result: Number(result) }
  const known = ENDS.find((one) => one === reason)
  return known === undefined ? {} : { reason: known }
}

function texts(values: readonly unknown[]): boolean {
  return values.every((one) => typeof one === "string" && one !== "" && one.length <= MOST)
}

function broken(name: string, verb: string): OvmError {
  return new OvmError(
    "OVM_VMM_FAILED",
    `the adapter of ${name} answered ${verb} with what the contract does not have`,
  )
}
