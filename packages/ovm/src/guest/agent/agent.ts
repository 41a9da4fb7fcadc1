import type { Duplex } from "node:stream"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"
import { type HookEvent, runHooks } from "./hooks.ts"
import { type AgentProgram, type AgentSession, CUT, OwnSession } from "./session.ts"
import { type Resumed, reseed, settleGuest } from "./settle.ts"

/** Between two attempts to reach the channel itself. */
const AGAIN_MS = 200
/** How long an agent is borne with. */
const PATIENCE: AgentPatience = { lookMs: 10_000, answerMs: 20_000, settleMs: 300_000, aloneMs: 10_000 }
/** How long one that is called anew is waited for, to tell its guest what has happened. */
const TELL_MS = 60_000
/** Between two looks whether another program has done what it was asked before, now that the agent answers. */
const LEAVE_MS = 100

/** What is known of a machine's agent. */
export interface AgentState {
  readonly ready: boolean
  /** Since when it answers, in RFC 3339. */
  readonly since?: string
  /** Which program answers. */
  readonly program?: AgentProgram
  /** Of a machine that goes on from a snapshot: since when it is one of its own, in RFC 3339. */
  readonly renewed?: string
}

/** How long an agent is borne with, in ms. */
export interface AgentPatience {
  /** How often one that does something is asked whether it is there, and how long it may take to say so. */
  readonly lookMs: number
  readonly answerMs: number
  /** How long it may take to do what each has to do first, hooks of the guest's own and all. */
  readonly settleMs: number
  /** How long the agent is waited for before another program is called in its place. */
  readonly aloneMs: number
}

export interface AgentOptions {
  /** The channel, for one at a time; undefined while there is none. */
  readonly connect: () => Promise<Duplex | undefined>
  /** Calls another program of the guest's, which does some of it, where the agent has not answered for a while. */
  readonly other?: (signal: AbortSignal) => Promise<AgentSession | undefined>
  /** Of a machine that goes on from a snapshot. */
  readonly resumed?: Resumed
  /** Whether the guest runs just now: one that stands still is not silent. */
  readonly runs: () => boolean
  /** Its guest begins in another root than the one that it is going to have. */
  readonly switches?: boolean
  /** Hears of each that answers, before anybody else has it do anything. */
  readonly answers?: (session: AgentSession) => void
  readonly patience?: AgentPatience
}

/**
 * The agent of one machine, for as long as somebody watches it: called until it answers, and again when it has gone.
 */
export class Agent {
  #session: AgentSession | undefined
  #since: string | undefined
  /** It answers, and its guest is still in its initial RAM disk. */
  #isBooting = false
  #arrived = Promise.withResolvers<void>()
  #renewed: string | undefined
  readonly #troubles: string[] = []
  #silence: string | undefined
  readonly #settled = Promise.withResolvers<void>()
  readonly #closing = new AbortController()
  /** Those that have answered and are not over, whether others may have them do something yet or not. */
  readonly #open = new Set<AgentSession>()

  constructor(private readonly options: AgentOptions) {
    this.#renewed = options.resumed?.renewed
    void this.#keep()
    if (options.other) void this.#keepOther(options.other)
  }

  get state(): AgentState {
    return {
      ready: this.#since !== undefined,
      ...(this.#since !== undefined && { since: this.#since }),
      ...(this.#session && { program: this.#session.who }),
      ...(this.#renewed !== undefined && { renewed: this.#renewed }),
    }
  }

  /** Whether it does anything just now. */
  get busy(): boolean {
    return this.#session?.busy ?? false
  }

  /** What went wrong when the guest was made a machine of its own, as sentences. */
  get troubles(): readonly string[] {
    return this.#troubles
  }

  /** That it hung and was given up, as a sentence; undefined once one does what it is asked again. */
  get silence(): string | undefined {
    return this.#silence
  }

  /** Settles once that was done, or was not needed. */
  get settled(): Promise<void> {
    return this.#settled.promise
  }

  /**
   * Gives the guest new random bytes, before it does anything that is asked for later; if its agent has gone, the next
   * one begins with that.
   */
  renew(): void {
    const session = this.#session
    if (session) this.#inTime(session, reseed(session)).then(this.#note, () => {})
  }

  /** The conversation with one that answers just now. */
  get current(): AgentSession | undefined {
    return this.#session
  }

  /** Has the guest run its own hooks; nobody waits for them. One whose streams were cut runs them once it is back. */
  tell(event: HookEvent, name: string): void {
    this.session(TELL_MS)
      .then((session) => runHooks(session, event, name))
      .then(
        ({ trouble }) => this.#note(trouble),
        () => {},
      )
  }

  /** One that answers, within that time and before it is closed. Throws OVM_AGENT_UNAVAILABLE, OVM_INTERRUPTED. */
  async session(withinMs: number, signal?: AbortSignal): Promise<AgentSession> {
    const deadline = performance.now() + withinMs
    const over = new AbortController()
    const stop = AbortSignal.any([over.signal, this.#closing.signal, ...(signal ? [signal] : [])])
    try {
      while (!this.#session) {
        const left = deadline - performance.now()
        if (this.#closing.signal.aborted) throw silent("before the machine ended")
        const when = withinMs <= 0 ? "yet" : `within ${Math.ceil(withinMs / 1000)} s`
        if (left <= 0) throw this.#isBooting ? booting(when) : silent(when)
        await Promise.race([this.#arrived.promise, sleep(left, undefined, { signal: stop }).catch(() => {})])
        if (signal?.aborted) throw new OvmError("OVM_INTERRUPTED", "waiting for the agent was interrupted")
      }
      return this.#session
    } finally {
      over.abort()
    }
  }

  /** Has the guest power off, if the agent answers just now: says whether. That it does is seen by its end. */
  shutDown(): boolean {
    try {
      return this.#session?.do(["shutdown"]) !== undefined
    } catch {
      // Its power button is pressed as well.
      return false
    }
  }

  /** The program has let go of its end of the channel: whatever it was about to do is lost (OVMS-AGT-128). */
  gone(program: AgentProgram["name"]): void {
    for (const session of this.#open)
      if (session.who.name === program) session.close("it has closed its end of the channel")
  }

  /** The VMM has ended all streams to the guest, which stands still: the next one is called as soon as it goes on. */
  cut(): void {
    for (const session of this.#open) session.close(CUT)
  }

  close(): void {
    this.#closing.abort()
  }

  async #keep(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      const channel = await this.options.connect().catch(() => undefined)
      const session = channel && (await OwnSession.open(channel, signal))
      if (session) await this.#serve(session)
      channel?.destroy()
      await sleep(AGAIN_MS, undefined, { ref: false, signal }).catch(() => {})
    }
  }

  /** Where the agent does not answer, as in a guest that has another one (OVMS-AGT-120). */
  async #keepOther(call: (signal: AbortSignal) => Promise<AgentSession | undefined>): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      await sleep(this.#patience.aloneMs, undefined, { ref: false, signal }).catch(() => {})
      if (this.#session) continue
      const session = await call(signal).catch(() => undefined)
      if (this.#session) session?.close()
      else if (session) await this.#serve(session)
    }
  }

  /** Has the one that was called in the agent's place go, once it has done what it was asked. */
  async #dismiss(session: AgentSession): Promise<void> {
    while (session.busy && !this.#closing.signal.aborted) await sleep(LEAVE_MS, undefined, { ref: false })
    session.close("the machine's own agent answers")
  }

  /** Until it has gone, or was given up. */
  async #serve(session: AgentSession): Promise<void> {
    this.#open.add(session)
    session.closed.then(() => this.#open.delete(session))
    const gone = this.#heed(session)
    const settled = this.#settle(session)
    // On its way while the agent does the one: who waits for both waits for one answer.
    const rooted = this.#hasRoot(session)
    if ((await settled) && (await rooted)) {
      if (this.#session) void this.#dismiss(this.#session)
      this.#session = session
      this.options.answers?.(session)
      this.#since = new Date().toISOString()
      this.#arrived.resolve()
      await session.closed
      if (this.#session === session) {
        this.#session = this.#since = undefined
        this.#arrived = Promise.withResolvers()
      }
    }
    session.close()
    await gone
  }

  /** Waits until its guest has the root that it is going to have (OVMS-AGT-096). False if it has gone meanwhile. */
  async #hasRoot(session: AgentSession): Promise<boolean> {
    if (!this.options.switches) return true
    this.#isBooting = true
    try {
      await session.do(["root"]).ending
      return true
    } catch {
      return false
    } finally {
      this.#isBooting = false
    }
  }

  /** Until it has gone, or hangs while somebody waits for it (OVMS-AGT-037). */
  async #heed(session: AgentSession): Promise<void> {
    const over = new AbortController()
    session.closed.then(() => over.abort())
    const { lookMs, answerMs } = this.#patience
    for (;;) {
      await sleep(lookMs, undefined, { ref: false, signal: over.signal }).catch(() => {})
      if (over.signal.aborted) return
      // Twice: a guest may have stood still in between.
      const answers = async () => !session.busy || (await session.answers(answerMs))
      if ((await answers()) || !this.options.runs() || (await answers()) || !this.options.runs()) continue
      if (!over.signal.aborted) this.#giveUp(session, "it does not answer")
    }
  }

  get #patience(): AgentPatience {
    return this.options.patience ?? PATIENCE
  }

  #giveUp(session: AgentSession, why: string): void {
    this.#silence = `its agent was given up at ${new Date().toISOString()}, since ${why}: it is called again`
    session.close(why)
  }

  /** `work` of what every agent has to do: one that does not, though it says that it is there, is given up as well. */
  async #inTime<T>(session: AgentSession, work: Promise<T>): Promise<T> {
    const late = () => {
      if (this.options.runs()) this.#giveUp(session, "it does not do what it is asked")
    }
    const timer = setInterval(late, this.#patience.settleMs).unref()
    try {
      return await work
    } finally {
      clearInterval(timer)
    }
  }

  /** Before anything else is asked of it. False if it has gone meanwhile. */
  async #settle(session: AgentSession): Promise<boolean> {
    const { resumed } = this.options
    const onRenewed = (at: string) => {
      this.#renewed = at
      resumed?.onRenewed(at)
    }
    try {
      const own = resumed && { ...resumed, renewed: this.#renewed, onRenewed }
      await this.#inTime(session, settleGuest(session, this.#note, own))
      this.#silence = undefined
      this.#settled.resolve()
      return true
    } catch {
      return false
    }
  }

  readonly #note = (trouble: string | undefined): void => {
    if (trouble !== undefined && !this.#troubles.includes(trouble)) this.#troubles.push(trouble)
  }
}

function booting(when: string): OvmError {
  return new OvmError(
    "OVM_AGENT_UNAVAILABLE",
    `the guest has not changed to the root of its disk ${when}: what is in its initial RAM disk is lost then`,
    { hint: "ovm logs shows how far it came; wait longer: --wait SECONDS" },
  )
}

function silent(when: string): OvmError {
  return new OvmError("OVM_AGENT_UNAVAILABLE", `no agent has answered inside the machine ${when}`)
}
