import type { AgentSession } from "../guest/agent/session.ts"
import type { InstanceInfo } from "./interfaces.ts"

type Share = NonNullable<InstanceInfo["shares"]>[number]

/** Kept of what an agent says, in bytes. */
const MOST_WORDS = 500

/** What the agent of one machine has made of its shares. */
export class Mounts {
  #shares: readonly Share[]
  #settled: Promise<void> | undefined

  /** `served` are the tags of those that virtiofs serves as well. */
  constructor(
    { shares = [] }: Pick<InstanceInfo, "shares">,
    private readonly served: readonly string[],
  ) {
    this.#shares = shares.map(({ type: _, ...share }) => ({ ...share, mounted: false }))
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
      const { reason: _, type: __, ...rest } = share
      const tag = `ovm.${index}`
      const texts = [`tag=${tag}`, `path=${share.target}`]
      if (share.read_only) texts.push("readonly")
      if (switches) texts.push("settled")
      const made = await mount(session, texts, this.served.includes(tag))
      this.#shares = this.#shares.with(index, { ...rest, ...made })
      if (!made.mounted) failed()
    }
  }
}

/** What became of it, where not in the agent's words. Throws OVM_AGENT_UNAVAILABLE. */
async function mount(
  session: AgentSession,
  texts: readonly string[],
  virtiofs: boolean,
): Promise<Pick<Share, "mounted" | "type" | "reason">> {
  const stream = session.do(["mount", ...texts, ...(virtiofs ? ["virtiofs"] : [])])
  let words = Buffer.alloc(0)
  for await (const { bytes } of stream.output())
    words = Buffer.concat([words, bytes.subarray(0, MOST_WORDS - words.length)])
  const ending = await stream.ending
  if ("refused" in ending) {
    // An agent of before knows 9p alone (OVMS-AGT-131).
    return virtiofs ? await mount(session, texts, false) : { mounted: false, reason: ending.refused }
  }
  const said = words.toString().trim()
  if (!("status" in ending && ending.status === 0))
    return { mounted: false, reason: said || "it cannot be mounted" }
  return { mounted: true, type: virtiofs && said === "virtiofs" ? "virtiofs" : "9p" }
}
