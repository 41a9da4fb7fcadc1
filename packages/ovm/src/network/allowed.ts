import { lookup } from "node:dns/promises"
import { isIP, isIPv6 } from "node:net"
import { OvmError } from "../errors.ts"
import { isWithin } from "../host/networks.ts"
import { type AllowedNetwork, isClosed } from "./rules.ts"

/** What is opened to no guest, whoever asks for it. */
const NEVER = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/96", "::ffff:0:0/96", "ff00::/8"]

const NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9][a-z0-9-]{0,62})*\.?$/i

/**
 * The networks that `entries` stand for, each a NETWORK, ADDRESS or NAME, with `:PORT` behind it or not, and what has
 * colons in brackets then. Names are resolved now, and stand for those of their addresses that are public. Throws
 * OVM_REQUEST_INVALID for an entry that is none or is never opened, OVM_UNSUPPORTED for a name without such an address.
 */
export async function allowedNetworks(entries: readonly string[]): Promise<readonly AllowedNetwork[]> {
  return (await Promise.all(entries.map(networksOf))).flat()
}

/** Those of one entry. */
export async function networksOf(entry: string): Promise<readonly AllowedNetwork[]> {
  const { what, port } = split(entry)
  const ported = (network: string) => ({ network, ...(port !== undefined && { port }) })
  const [address = "", prefix = ""] = what.split("/")
  if (isIP(address) !== 0) return [ported(checked(entry, address, prefix))]
  if (what.includes("/") || !NAME.test(what) || /^[\d.]+$/.test(what))
    throw wrong(entry, "is no network, address or name")
  const found = await lookup(what, { all: true }).catch(() => [])
  const open = found
    .map((one) => `${one.address}/${isIPv6(one.address) ? 128 : 32}`)
    .filter((one) => !isClosed(one))
  if (open.length > 0) return open.map(ported)
  throw new OvmError(
    "OVM_UNSUPPORTED",
    `network.allow: ${what} has no public address, as far as this host can tell`,
    {
      hint: "what is private is allowed by its address",
    },
  )
}

function split(entry: string): { readonly what: string; readonly port?: number } {
  if (isIPv6(entry.split("/")[0] ?? "")) return { what: entry }
  const [, bracketed, bare, port] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(entry) ?? []
  const what = bracketed ?? bare
  if (what === undefined) throw wrong(entry, "is no network, address or name")
  if (port === undefined) return { what }
  if (Number(port) < 1 || Number(port) > 65535) throw wrong(entry, `has no port: ${port}`)
  return { what, port: Number(port) }
}

/** As ADDRESS/PREFIX. */
function checked(entry: string, address: string, prefix: string): string {
  const most = isIPv6(address) ? 128 : 32
  const bits = entry.includes("/") ? Number(prefix) : most
  if ((entry.includes("/") && !/^\d{1,3}$/.test(prefix)) || bits > most)
    throw wrong(entry, `has no prefix from 0 to ${most}`)
  const network = `${address}/${bits}`
  if (NEVER.some((never) => isWithin(network, never))) throw wrong(entry, "is opened to no guest")
  return network
}

function wrong(entry: string, why: string): OvmError {
  return new OvmError("OVM_REQUEST_INVALID", `network.allow: ${JSON.stringify(entry)} ${why}`, {
    detail: { requirement: "OVMS-API-260" },
    hint: "10.1.0.0/16, 192.0.2.7:443, [2001:db8::1]:443, example.org, example.org:443",
  })
}
