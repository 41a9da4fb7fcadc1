import type { Overrides } from "../interfaces.ts"
import { shownNetwork } from "../network.ts"
import type { Slot } from "./slot.ts"

/** How the machine of a slot is let go. */
export interface Letting {
  /** Without the network that it was made with. */
  readonly unlinked: boolean
  /** When the start was asked for. */
  readonly received: number
}

/**
 * How a start that asks for `overrides` takes a slot; undefined if it takes none, since its machine is another one.
 * `transient`: no later daemon sees the machine, and so none looks for its network.
 */
export function takingOf(overrides: Overrides, transient: boolean): Pick<Letting, "unlinked"> | undefined {
  // A slot passes flushes on, whoever takes it. What remains is held against the slot itself.
  const {
    name: _,
    labels: __,
    ephemeral: ___,
    restart: ____,
    autoRemove: _____,
    agent: ______,
    network,
    ...others
  } = overrides
  if (isAny(others)) return undefined
  if (network === undefined) return { unlinked: false }
  const { mode, ...more } = network
  if (!transient || isAny(more)) return undefined
  return { unlinked: mode === "none" }
}

/** Whether the machine that waits is what such a start asks for. */
export function fits({ planned: { plan } }: Slot, { agent, network }: Overrides): boolean {
  if (agent !== undefined && agent !== (plan.agent ?? false)) return false
  return network?.mode !== "user" || shownNetwork(plan).mode === "user"
}

function isAny(members: object): boolean {
  return Object.values(members).some((value) => value !== undefined)
}
