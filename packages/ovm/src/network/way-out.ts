import { hasRoute } from "../host/libc.ts"

/** A root server of names (a.root-servers.net): by the way to it goes all that is public. */
const PUBLIC = {
  4: [198, 41, 0, 4],
  6: [0x20, 1, 5, 3, 0xba, 0x3e, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x30],
} as const

/** Whether this host has a way out by IPv4 or IPv6 just now, such as a default route, whichever rules lead to it. */
export function leadsOut(version: 4 | 6): boolean {
  return hasRoute(PUBLIC[version])
}

/** Whether it has none at all. */
export function isStranded(): boolean {
  return !leadsOut(4) && !leadsOut(6)
}
