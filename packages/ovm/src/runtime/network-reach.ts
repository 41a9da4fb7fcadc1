import { AllowedNow } from "../network/allowed-now.ts"
import type { AllowedNetwork } from "../network/rules.ts"
import type { Instance } from "./instance.ts"
import { hasEnded } from "./states.ts"

/** What machines of the host's networks may connect to, as the names in their lists stand for it just now. */
export class NetworkReach {
  /** By instance. */
  readonly #known = new Map<string, AllowedNow>()

  constructor(private readonly instances: ReadonlyMap<string, Instance>) {}

  /** That of an instance which is to be started with such a list. Throws what `allowedNetworks` throws. */
  async begin(id: string, allow: readonly string[]): Promise<void> {
    const allowed = new AllowedNow(allow)
    await allowed.begin()
    this.#known.set(id, allowed)
  }

  /** Undefined: whatever is public. Of a list that was never resolved, nothing is open. */
  of({ id, info: { network } }: Pick<Instance, "id" | "info">): readonly AllowedNetwork[] | undefined {
    if (network?.allow) return this.#known.get(id)?.networks ?? []
    return network?.outbound === false ? [] : undefined
  }

  /** Resolves what is due, and forgets who has gone. */
  async renew(): Promise<void> {
    for (const id of this.#known.keys()) if (!this.instances.has(id)) this.#known.delete(id)
    const all = [...this.instances.values()].map(async ({ id, info: { network }, state }) => {
      if (network?.name === undefined || !network.allow || hasEnded(state)) return
      const allowed = this.#known.get(id) ?? new AllowedNow(network.allow)
      this.#known.set(id, allowed)
      await allowed.renew()
    })
    await Promise.all(all)
  }
}
