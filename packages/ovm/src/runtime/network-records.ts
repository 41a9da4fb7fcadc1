import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { textIfPresent } from "../files/present.ts"
import { replaceAtOnce } from "../files/replace.ts"
import { sweepTemporaries } from "../files/temporary.ts"
import type { NamedNetwork } from "../network/named/named-network.ts"
import { parseSubnet, subnetText } from "../network/named/subnet.ts"
import { subnet6Fault } from "../network/named/subnet6.ts"
import { isObject } from "../objects.ts"
import { INSTANCE_NAME } from "./names.ts"

/** A network as it is on record. */
export interface NetworkRecord extends NamedNetwork {
  readonly name: string
  /** RFC 3339. */
  readonly created: string
}

const SUFFIX = ".json"

/** The records of the networks of one root: a file each, and all that makes them again after the host's next boot. */
export class NetworkRecords {
  constructor(private readonly folder: string) {}

  /** Removes what a daemon that died was writing. */
  async sweep(): Promise<void> {
    await sweepTemporaries(this.folder, 0)
  }

  /** All that can be read, by name; `odd` hears of what cannot, which is left alone. */
  read(odd: (path: string) => void): readonly NetworkRecord[] {
    if (!existsSync(this.folder)) return []
    const names = readdirSync(this.folder).filter((file) => file.endsWith(SUFFIX) && !file.startsWith("."))
    return names.sort().flatMap((file) => {
      const path = join(this.folder, file)
      const found = recordIn(path, file.slice(0, -SUFFIX.length))
      if (!found) odd(path)
      return found ?? []
    })
  }

  /** Also of one that cannot be read. */
  has(name: string): boolean {
    return existsSync(this.#path(name))
  }

  /** Throws the system's error. */
  write({ name, interface: bridge, subnet, subnet6, internal, created }: NetworkRecord): void {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 })
    const subnets = { subnet: subnetText(subnet), ...(subnet6 && { ipv6_subnet: subnet6 }) }
    const record = { schema: 1, name, interface: bridge, ...subnets, internal, created }
    replaceAtOnce(this.#path(name), JSON.stringify(record))
  }

  remove(name: string): void {
    rmSync(this.#path(name), { force: true })
  }

  #path(name: string): string {
    return join(this.folder, `${name}${SUFFIX}`)
  }
}

function recordIn(path: string, name: string): NetworkRecord | undefined {
  try {
    const value: unknown = JSON.parse(textIfPresent(path) ?? "")
    if (!isObject(value) || value.schema !== 1 || value.name !== name || !INSTANCE_NAME.test(name))
      return undefined
    const { interface: bridge, subnet, ipv6_subnet: subnet6, internal, created } = value
    const parsed = parseSubnet(String(subnet))
    // It names what is made and removed with root's rights.
    if (typeof bridge !== "string" || !/^ovm-[0-9a-f]{8}$/.test(bridge) || typeof parsed === "string")
      return undefined
    // One of before there was IPv6 in them has none.
    if (subnet6 !== undefined && (typeof subnet6 !== "string" || subnet6Fault(subnet6) !== undefined))
      return undefined
    const subnets = { subnet: parsed, ...(subnet6 !== undefined && { subnet6 }) }
    return { name, interface: bridge, ...subnets, internal: internal === true, created: String(created) }
  } catch {
    return undefined
  }
}
