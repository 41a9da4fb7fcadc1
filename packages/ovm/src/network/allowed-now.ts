import { networksOf } from "./allowed.ts"
import type { AllowedNetwork } from "./rules.ts"

/** Between two times that names are resolved (OVMS-NET-022). */
const AGAIN_MS = 30_000
/** How long what a name no longer stands for stays open. */
const KEPT_MS = 600_000
/** Networks that one entry stands for, the latest ones: whoever has a name may answer with others each time. */
const MOST = 64

type Find = (entry: string) => Promise<readonly AllowedNetwork[]>

interface Clock {
  readonly find?: Find
  readonly now?: () => number
}

/** What the entries of a list stand for, as that changes while a machine runs. */
export class AllowedNow {
  /** By entry, then by network: when it was seen last. */
  readonly #seen = new Map<string, Map<string, { readonly network: AllowedNetwork; readonly at: number }>>()
  readonly #find: Find
  readonly #now: () => number
  #next = 0

  constructor(
    private readonly entries: readonly string[],
    { find = networksOf, now = () => performance.now() }: Clock = {},
  ) {
    this.#find = find
    this.#now = now
  }

  get networks(): readonly AllowedNetwork[] {
    return [...this.#seen.values()].flatMap((found) => Array.from(found.values(), ({ network }) => network))
  }

  /** For the first time. Throws what `allowedNetworks` throws. */
  async begin(): Promise<void> {
    this.#next = this.#now() + AGAIN_MS
    const found = await Promise.all(this.entries.map(this.#find))
    for (const [at, entry] of this.entries.entries()) this.#note(entry, found[at] ?? [])
  }

  /** Again, once that is due. A name that has no answer now keeps what it had. */
  async renew(): Promise<void> {
    if (this.#now() < this.#next) return
    this.#next = this.#now() + AGAIN_MS
    const look = async (entry: string) => {
      const found = await this.#find(entry).catch(() => undefined)
      if (found) this.#note(entry, found)
    }
    await Promise.all(this.entries.map(look))
  }

  #note(entry: string, found: readonly AllowedNetwork[]): void {
    const now = this.#now()
    const seen = this.#seen.get(entry) ?? new Map()
    for (const network of found.slice(0, MOST)) {
      const key = `${network.network} ${network.port ?? ""}`
      // The latest ones are the last ones.
      seen.delete(key)
      seen.set(key, { network, at: now })
    }
    const keys = [...seen.keys()]
    for (const [at, key] of keys.entries())
      if (now - seen.get(key).at > KEPT_MS || at < keys.length - MOST) seen.delete(key)
    this.#seen.set(entry, seen)
  }
}
