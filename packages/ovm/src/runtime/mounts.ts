import type { AgentSession } from "../guest/agent/session.ts"
import type { InstanceInfo } from "./interfaces.ts"

type Share = NonNullable<InstanceInfo["shares"]>[number]

/** Kept of what an agent says, in bytes. */
const MOST_WORDS = 500

/** What the agent of one machine has made of its shares. */
export class Mounts {
  #shares: readonly Share[]
  #settled: Promise<void> | undefined

  constructor({ shares = [] }: Pick<InstanceInfo, "shares">) {
    this.#shares = shares.map((share) => ({ ...share, mounted: false }))
  }

  get shares(): readonly Share[] {
    return this.#shares
  }

  /** Settles once each is mounted, or cannot be. Undefined before `begin`. */
  get settled(): Promise<void> | undefined {
    return this.#settled
  }

  /**
   * Has an agent that answers mount all of them, those above others first. `switches`: the guest is going to change its
   * root. `failed` hears of the first that cannot be mounted.
   */
  begin(session: AgentSession, switches: boolean, failed: () => void): void {
    // An agent that goes meanwhile is asked again when it is back.
    this.#settled = this.#mountAll(session, switches, failed).catch(() => {})
  }

  async #mountAll(session: AgentSession, switches: boolean, failed: () => void): Promise<void> {
    const order = this.#shares.map(({ target }, index) => ({ target, index }))
    for (const { index } of order.sort((a, b) => (a.target < b.target ? -1 : 1))) {
      const share = this.#shares[index]
      if (!share) continue
      const { reason: _, ...rest } = share
      const reason = await mount(session, share, index, switches)
      this.#shares = this.#shares.with(
        index,
        reason === undefined ? { ...rest, mounted: true } : { ...rest, mounted: false, reason },
      )
      if (reason !== undefined) failed()
    }
  }
}

/** Why it could not be mounted, in the agent's words; undefined if it was. Throws OVM_AGENT_UNAVAILABLE. */
async function mount(
  session: AgentSession,
  { target, read_only }: Share,
  index: number,
  switches: boolean,
): Promise<string | undefined> {
  const texts = ["mount", `tag=ovm.${index}`, `path=${target}`]
  const stream = session.do([...texts, ...(read_only ? ["readonly"] : []), ...(switches ? ["settled"] : [])])
  let words = Buffer.alloc(0)
  for await (const { bytes } of stream.output())
    words = Buffer.concat([words, bytes.subarray(0, MOST_WORDS - words.length)])
  const ending = await stream.ending
  if ("refused" in ending) return ending.refused
  if ("status" in ending && ending.status === 0) return undefined
  return words.toString().trim() || "it cannot be mounted"
}
