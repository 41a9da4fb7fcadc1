import { closeSync, readFileSync } from "node:fs"
import path from "../../../filter/dist/ovm-filter" with { type: "file" }
import { OvmError } from "../errors.ts"
import { sealedFile } from "../host/libc.ts"
import { type Background, startBackground } from "./background.ts"
import type { PortForward } from "./forward.ts"
import type { AllowedNetwork, OutboundRule } from "./rules.ts"

/** The name by which filters go in `ps` (packages/filter). */
const FILTER = "ovm-filter"
/** Where its program is, as it sees it itself (packages/filter/src/filter.h). */
const PROGRAM_AT = "/proc/self/fd/4"

/** Where one is asked for ports, in the machine's directory (packages/filter/src/asks.c). */
export const FILTER_SOCKET = "ports.sock"

let program: number | undefined

/** What a filter lets through. */
export interface Filtered extends Pick<Background, "onStay"> {
  /** The guest's own: frames that say another one are dropped. */
  readonly mac: string
  /** Those of the passt behind it. What their clients are sent is let through, wherever they are. */
  readonly forwards: readonly PortForward[]
  readonly rules: readonly OutboundRule[]
  /** The machine's: the filter makes its socket there. */
  readonly directory: string
}

/** The two ends that a filter stands between, as descriptors. */
export interface Ends {
  readonly guest: number
  readonly outside: number
}

/**
 * Starts a filter between `ends`, which it gets copies of; returns once it is ready. It ends as soon as either other
 * end has. Throws OVM_HOST_FAILED, also once `signal` comes or 10 s are over; then nothing of it is left.
 */
export async function startFilter(what: Filtered, ends: Ends, signal: AbortSignal): Promise<void> {
  program ??= sealedFile(FILTER, readFileSync(path))
  const request = sealedFile(FILTER, Buffer.from(`${requestText(what)}\0`))
  try {
    const descriptors = [request, program, ends.guest, ends.outside]
    const { directory: cwd, onStay } = what
    const filter = { program: PROGRAM_AT, name: FILTER, args: [], cwd, descriptors, onStay }
    const fault = await startBackground(filter, signal)
    if (!fault) return
    const said = `(${fault.how}) ${fault.words}`.trim()
    throw new OvmError("OVM_HOST_FAILED", `the filter of the machine's network did not start: ${said}`, {
      cause: fault.cause,
      hint: "--network none starts the machine without one",
    })
  } finally {
    closeSync(request)
  }
}

/** As packages/filter/src/rules.c reads it. Exported for its test. */
export function requestText({ mac, forwards, rules }: Omit<Filtered, "directory">): string {
  const ports = forwards.map((forward) => `port ${portText(forward)}`)
  const lines = rules.map((rule) => `${rule.open ? "open" : "closed"} ${ruleText(rule)}`)
  return [`mac ${mac}`, ...ports, ...lines].map((line) => `${line.trimEnd()}\n`).join("")
}

/** As packages/filter/src/rules.c reads it. */
export function ruleText({ network, port }: AllowedNetwork): string {
  return `${network} ${port ?? ""}`.trimEnd()
}

/** As packages/filter/src/ports.c reads and writes it. */
export function portText({ protocol, address, host, guest }: PortForward): string {
  return `${protocol} ${address} ${host} ${guest}`
}
