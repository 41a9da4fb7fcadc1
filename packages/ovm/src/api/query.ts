import { isIP } from "node:net"
import { OvmError } from "../errors.ts"
import { LOOPBACK } from "../network/forward.ts"
import type { PortNamed } from "../runtime/interfaces.ts"

/** A boolean query parameter; absent is false. Throws OVM_REQUEST_INVALID naming it. */
export function flag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name) ?? "false"
  if (value === "true") return true
  if (value === "false") return false
  throw new OvmError(
    "OVM_REQUEST_INVALID",
    `${name}: ${JSON.stringify(value.slice(0, 20))} is neither true nor false`,
  )
}

/** A whole number from 0 to `most`; undefined if it is absent. Throws OVM_REQUEST_INVALID naming it. */
export function count(query: URLSearchParams, name: string, most: number): number | undefined {
  const text = query.get(name)
  if (text === null) return undefined
  if (/^\d{1,15}$/.test(text) && Number(text) <= most) return Number(text)
  const shown = JSON.stringify(text.slice(0, 20))
  throw new OvmError("OVM_REQUEST_INVALID", `${name}: ${shown} is no whole number from 0 to ${most}`)
}

/** The most that `tail` may ask for (spec/api/openapi.yaml). */
export const MOST_LINES = 1_000_000

/** A time in RFC 3339; undefined if it is absent. Throws OVM_REQUEST_INVALID naming the parameter. */
export function instant(query: URLSearchParams, name: string): string | undefined {
  const text = query.get(name)
  if (text === null) return undefined
  if (
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(text) &&
    !Number.isNaN(Date.parse(text))
  )
    return text
  throw new OvmError(
    "OVM_REQUEST_INVALID",
    `${name}: ${JSON.stringify(text.slice(0, 40))} is no time of RFC 3339`,
  )
}

/** A port of the host. Throws OVM_REQUEST_INVALID naming the parameter that is missing or wrong (OVMS-API-267). */
export function portOf(query: URLSearchParams): PortNamed {
  const host = count(query, "host", 65535) ?? 0
  const { address = LOOPBACK, protocol = "tcp" } = Object.fromEntries(query)
  const wrong = host === 0 ? "host" : isIP(address) === 0 ? "address" : undefined
  if (wrong === undefined && (protocol === "tcp" || protocol === "udp")) return { host, address, protocol }
  const shown = JSON.stringify((query.get(wrong ?? "protocol") ?? "").slice(0, 50))
  throw new OvmError("OVM_REQUEST_INVALID", `${wrong ?? "protocol"}: ${shown} is none`)
}

/** The name that a client made up for its attachment. Throws OVM_REQUEST_INVALID naming the parameter. */
export function attachmentOf(query: URLSearchParams): string {
  const value = query.get("attachment") ?? ""
  if (/^[a-zA-Z0-9-]{1,64}$/.test(value)) return value
  throw new OvmError("OVM_REQUEST_INVALID", "attachment: it has to be 1 to 64 letters, digits and hyphens")
}

/**
 * Throws OVM_REQUEST_INVALID naming a parameter that the operation does not have, or that is there twice
 * (OVMS-API-162).
 */
export function refuseUnknown(query: URLSearchParams, known: readonly string[]): void {
  const names = [...query.keys()]
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new OvmError("OVM_REQUEST_INVALID", `${unknown.slice(0, 100)}: the operation has no such parameter`)
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice !== undefined) throw new OvmError("OVM_REQUEST_INVALID", `${twice}: it is there more than once`)
}

/** The size of a terminal, if it is there. Throws OVM_REQUEST_INVALID naming the parameter (OVMS-API-502). */
export function windowOf(query: URLSearchParams): { rows: number; columns: number } | undefined {
  const text = query.get("window")
  if (text === null) return undefined
  const [, rows, columns] = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/.exec(text) ?? []
  if (Number(rows) <= 65535 && Number(columns) <= 65535)
    return { rows: Number(rows), columns: Number(columns) }
  const shown = JSON.stringify(text.slice(0, 20))
  throw new OvmError("OVM_REQUEST_INVALID", `window: ${shown} is not ROWSxCOLUMNS, each from 1 to 65535`)
}
