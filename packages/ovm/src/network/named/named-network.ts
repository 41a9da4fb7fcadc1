import type { AllowedNetwork } from "../rules.ts"
import type { Subnet } from "./subnet.ts"
import type { Subnet6 } from "./subnet6.ts"

/** A network of this host that machines share, as the parts of it on the host are made. */
export interface NamedNetwork {
  /** Of the bridge, and of what else the host has of it. */
  readonly interface: string
  readonly subnet: Subnet
  /** Absent: it is one of IPv4 alone. */
  readonly subnet6?: Subnet6
  /** Nothing leads out. */
  readonly internal: boolean
}

/** Whom a network knows: what its machines are called, and the addresses that they are given. */
export interface NetworkMember {
  readonly name: string
  readonly mac: string
  readonly address: string
  /** All that it may connect to outside the network; absent: whatever is public. */
  readonly reach?: readonly AllowedNetwork[]
}

/** A name for a new one: nobody else has it, so that whatever bears it is ours. At most 15 characters. */
export function newInterface(): string {
  return `ovm-${crypto.randomUUID().slice(0, 8)}`
}
