import { isIP } from "node:net"

/** Domains of two labels below which anybody can have a name; a full list of those would be out of date. */
const SHARED = /^(ac|co|com|edu|gov|net|org)\.[a-z]{2}$/

/**
 * True if two host names are likely to belong to the same people: one is below the other, or both are below one domain
 * of at least two labels, as registry-1.docker.io and auth.docker.io are.
 */
export function areRelated(a: string, b: string): boolean {
  if (a === b) return true
  if ([a, b].some((host) => isIP(host.replace(/^\[|\]$/g, "")))) return false
  return below(a, domainOf(b)) || below(b, domainOf(a))
}

/** What a host name is below, or itself if that is shared by everybody. */
function domainOf(host: string): string {
  const parent = host.split(".").slice(1).join(".")
  return parent.includes(".") && !SHARED.test(parent) ? parent : host
}

function below(host: string, domain: string): boolean {
  return domain.includes(".") && (host === domain || host.endsWith(`.${domain}`))
}
