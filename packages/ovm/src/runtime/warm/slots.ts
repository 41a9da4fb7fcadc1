import type { Digest } from "../../content/digest.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { parseReference } from "../../registry/reference.ts"
import { entryOf } from "../instance.ts"
import type { WarmAnswer, WarmInfo, WarmRequest } from "../interfaces.ts"
import { assertNotResumed, denied, resumedIn } from "../resumed-once.ts"
import { assertAvailable } from "./available.ts"
import { Demand } from "./demand.ts"
import { makeSlot, type Slot, type SlotContext } from "./slot.ts"
import { readWishes, writeWishes } from "./wanted.ts"

/** How often names and VMMs are looked at again, in ms. */
const REVIEW_MS = 10_000

/** How long after a start its slot is made anew, in ms: making one would take the start's own processor. */
const REFILL_MS = 20

/** What was asked for under one name, and what there is of it. */
interface Wish {
  readonly reference: string
  wanted: number
  digest?: Digest
  /** Bytes that one slot takes at most, as far as one was made of what the name stands for. */
  each?: number
  readonly slots: Set<Slot>
  failure?: OvmError
}

export interface SlotsOptions extends SlotContext {
  readonly log?: (event: string, fields: Record<string, unknown>) => void
}

/**
 * The warm slots of one daemon (docs/design/0017-warm-slots.md): made one after the other, behind what is asked for.
 */
export class Slots {
  readonly #options: SlotsOptions
  /** By canonical reference. */
  readonly #wishes = new Map<string, Wish>()
  readonly #demand = new Demand()
  readonly #closing = new AbortController()
  #work: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined
  /** What was asked for last is not on disk. */
  #unkept = false
  /** Why what was asked for before is not known. */
  #forgotten: OvmError | undefined
  #timer: NodeJS.Timeout | undefined
  #refill: NodeJS.Timeout | undefined

  constructor(options: SlotsOptions) {
    this.#options = options
  }

  /** Begins with what an earlier daemon was asked for. */
  async open(): Promise<void> {
    await this.#remember()
    this.#timer = setInterval(async () => {
      if (this.#forgotten) await this.#remember()
      if (this.#unkept) this.#keepSometime()
      this.#settle()
    }, REVIEW_MS).unref()
    this.#settle()
  }

  /**
   * What an earlier daemon was asked for, beside what this one was. While that cannot be read, it is not written over.
   */
  async #remember(): Promise<void> {
    try {
      const kept = await readWishes(this.#options.root)
      for (const { manifest, slots } of kept) this.#wish(manifest).wanted ||= slots
      this.#forgotten = undefined
    } catch (thrown) {
      const error = toOvmError(thrown)
      if (!this.#forgotten) this.#options.log?.("wishes unread", { error: entryOf(error) })
      this.#forgotten = error
    }
  }

  /** True if there is any slot to take. */
  get ready(): boolean {
    return this.#wishes.values().some(({ slots }) => slots.size > 0)
  }

  /** See Runtime.warm. */
  async warm(request: WarmRequest): Promise<WarmAnswer> {
    const reference = parseReference(request.manifest).toString()
    return request.slots === 0 ? await this.#end(reference) : await this.#grow(reference, request.slots)
  }

  /** What nobody asked for, and what stands for nothing any more, is ended all the same. */
  async #end(reference: string): Promise<WarmAnswer> {
    const wish = this.#wishes.get(reference)
    const snapshot = wish?.digest ?? (await this.#options.images.resolve(reference))?.digest
    if (wish) wish.wanted = 0
    this.#demand.forget(reference)
    await this.#settle()
    this.#keepSometime()
    return { ...(snapshot && { snapshot }), slots: 0, ready: 0 }
  }

  async #grow(reference: string, slots: number): Promise<WarmAnswer> {
    const { descriptor } = await this.#options.images.snapshot(reference)
    const wish = this.#wish(reference)
    const before = wish.wanted
    let asked = before
    const want = async (count: number) => {
      asked = count
      wish.wanted = count
      await this.#settle()
      if (wish.slots.size === 0 && wish.failure) throw wish.failure
    }
    try {
      // What one takes is known once there is one.
      if (wish.digest !== descriptor.digest || wish.each === undefined) await want(1)
      this.#refuseTooMany(wish, slots)
      // Unless another request has said otherwise meanwhile.
      if (wish.wanted === asked) await want(slots)
    } catch (failure) {
      if (wish.wanted === asked) wish.wanted = before
      await this.#settle()
      throw failure
    }
    this.#keep()
    return { snapshot: descriptor.digest, slots, ready: wish.slots.size }
  }

  /** Throws OVM_TOO_MANY if so many slots, with what others have asked for, take more than was granted. */
  #refuseTooMany(wish: Wish, slots: number): void {
    const { warmMemory } = this.#options.limits
    const { reference, each = 0 } = wish
    const others = this.#memory((one) => (one === wish ? 0 : one.wanted))
    if (others + slots * each <= warmMemory) return
    throw new OvmError(
      "OVM_TOO_MANY",
      `slots: ${slots} of ${reference} need ${slots * each} bytes beside the ${others} of others; ${warmMemory} are granted`,
      { hint: "ovm info, ovm warm --slots 0 for what is not needed" },
    )
  }

  /** Bytes, with `count` slots of each wish. */
  #memory(count: (wish: Wish) => number): number {
    return this.#wishes.values().reduce((sum, wish) => sum + count(wish) * (wish.each ?? 0), 0)
  }

  /**
   * A machine of that name is used for one command, until what this gives is called: as many slots as are used at once
   * are kept ready for a while (OVMS-API-411), as far as there is room beside those that were asked for.
   */
  use(name: string): () => void {
    const reference = parseReference(name).toString()
    this.#wish(reference)
    this.#refillSoon()
    return this.#demand.begin(reference)
  }

  #refillSoon(): void {
    this.#refill ??= setTimeout(() => {
      this.#refill = undefined
      this.#settle()
    }, REFILL_MS)
  }

  /** A slot of that snapshot, which stays here until it is taken. */
  next(snapshot: Digest): Slot | undefined {
    for (const { slots } of this.#wishes.values())
      for (const slot of slots) if (slot.planned.image.digest === snapshot && slot.current()) return slot
    return undefined
  }

  /** It is the caller's from now on; another is made in its place, but not while the caller starts it. */
  take(slot: Slot): void {
    for (const { slots } of this.#wishes.values()) slots.delete(slot)
    this.#refillSoon()
  }

  info(): WarmInfo[] {
    return Array.from(this.#wishes.values(), ({ reference, digest, wanted, slots, failure }) => ({
      reference,
      ...(digest && { snapshot: digest }),
      wanted,
      ...(this.#demand.of(reference) > wanted && { demand: this.#demand.of(reference) }),
      ready: slots.size,
      ...(failure && { reason: entryOf(failure) }),
    }))
  }

  /** Ends all of them; what was asked for is remembered. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    clearTimeout(this.#refill)
    this.#closing.abort()
    await this.#work
    await Promise.all(this.#wishes.values().map(({ slots }) => this.#drop(slots, [...slots])))
  }

  #wish(reference: string): Wish {
    const known = this.#wishes.get(reference)
    if (known) return known
    const wish: Wish = { reference, wanted: 0, slots: new Set<Slot>() }
    this.#wishes.set(reference, wish)
    return wish
  }

  /** Ending needs no room (OVMS-STA-027): what cannot be written now is with the next review. */
  #keepSometime(): void {
    try {
      this.#keep()
      this.#unkept = false
    } catch {
      this.#unkept = true
    }
  }

  #keep(): void {
    if (this.#forgotten) throw this.#forgotten
    const wishes = this.#wishes
      .values()
      .filter(({ wanted }) => wanted > 0)
      .map(({ reference, wanted }) => ({ manifest: reference, slots: wanted }))
    writeWishes(this.#options.root, [...wishes])
  }

  /** Makes what there is into what is wanted, one change after the other. */
  #settle(): Promise<void> {
    // A round that has not begun yet sees what is wanted now.
    this.#next ??= this.#work.then(async () => {
      this.#next = undefined
      for (const wish of [...this.#wishes.values()]) {
        await this.#review(wish).catch((thrown) => this.#failed(wish, toOvmError(thrown)))
        // Not what has slots still: what was wanted may have changed during the review, and the next one ends them.
        if (this.#target(wish) === 0 && wish.slots.size === 0) this.#wishes.delete(wish.reference)
      }
    })
    this.#work = this.#next
    return this.#work
  }

  /** How many are to be ready: what was asked for, or what is needed at once. */
  #target({ reference, wanted }: Wish): number {
    return Math.max(wanted, this.#demand.of(reference))
  }

  async #review(wish: Wish): Promise<void> {
    const { signal } = this.#closing
    if (signal.aborted) return
    const { slots } = wish
    const wanted = await this.#possible(wish).catch((thrown) => {
      delete wish.digest
      return this.#failed(wish, toOvmError(thrown))
    })
    const others = [...slots].filter((slot) => slot.planned.image.digest !== wish.digest)
    await this.#drop(slots, others)
    // The last that held what its name does not stand for any more.
    if (others.length > 0) await this.#options.images.collect({ signal })
    await this.#drop(
      slots,
      [...slots].filter((slot) => !slot.current()),
    )
    await this.#drop(slots, [...slots].slice(wanted))
    while (
      slots.size < Math.min(wanted, this.#target(wish)) &&
      !signal.aborted &&
      (await this.#mayMake(wish))
    ) {
      const slot = await makeSlot(this.#options, wish.reference, { signal })
      wish.each = Math.max(wish.each ?? 0, slot.memory)
      slots.add(slot)
      slot.loaded.exited.then((exit) => this.#died(wish, slot, exit.message)).catch(() => {})
    }
    if (wanted >= wish.wanted) delete wish.failure
  }

  /** How many slots may be loaded of what the name stands for now. */
  async #possible(wish: Wish): Promise<number> {
    const target = this.#target(wish)
    if (target === 0) return 0
    await assertAvailable(this.#options.limits)
    const { images, root } = this.#options
    const { descriptor, snapshot } = await images.snapshot(wish.reference)
    if (wish.digest !== descriptor.digest) delete wish.each
    wish.digest = descriptor.digest
    if (snapshot.uniqueness.multiResume !== "deny") return target
    if (wish.wanted === 0) return 0
    await assertNotResumed(resumedIn(root), descriptor.digest)
    const holder = this.#wishes
      .values()
      .find(
        (one) =>
          one !== wish &&
          one.slots.values().some(({ planned }) => planned.image.digest === descriptor.digest),
      )
    if (holder) throw denied(descriptor.digest, `and waits in the slot of ${holder.reference}`)
    if (wish.wanted > 1) wish.failure = denied(descriptor.digest, "so it has one slot")
    return 1
  }

  /** Whether one more may be made: what nobody asked for as far as there is room, and first to go for what was. */
  async #mayMake(wish: Wish): Promise<boolean> {
    const hasRoom = () =>
      this.#assertRoom(wish).then(
        () => true,
        () => false,
      )
    if (wish.slots.size >= wish.wanted) return await hasRoom()
    for (const { slots, wanted } of this.#wishes.values())
      while (slots.size > wanted && !(await hasRoom())) await this.#drop(slots, [...slots].slice(-1))
    await this.#assertRoom(wish)
    return true
  }

  /** Before the first one is made nobody knows what it takes: there has to be something left. */
  async #assertRoom({ each = 1, reference }: Wish): Promise<void> {
    await assertAvailable(this.#options.limits, each)
    const { warmMemory } = this.#options.limits
    const used = this.#wishes
      .values()
      .reduce((sum, { slots }) => sum + [...slots].reduce((bytes, slot) => bytes + slot.memory, 0), 0)
    if (used + each > warmMemory)
      throw new OvmError(
        "OVM_TOO_MANY",
        `one more slot of ${reference} needs ${each} bytes beside ${used}; ${warmMemory} are granted`,
      )
  }

  /** Tried again with the next review, not at once: what fails now fails in a millisecond too. */
  #failed(wish: Wish, error: OvmError): number {
    if (this.#closing.signal.aborted) return 0
    const known = wish.failure?.message === error.message
    wish.failure = error
    if (!known) this.#options.log?.("slot failed", { reference: wish.reference, error: entryOf(error) })
    return 0
  }

  #died(wish: Wish, slot: Slot, message: string | undefined): void {
    if (!wish.slots.delete(slot)) return
    this.#failed(wish, new OvmError("OVM_VMM_FAILED", `a waiting slot ended${message ? `: ${message}` : ""}`))
    slot.discard().catch(this.#left)
  }

  readonly #left = (problem: unknown): void => this.#options.log?.("slot left", { problem: String(problem) })

  async #drop(slots: Set<Slot>, which: readonly Slot[]): Promise<void> {
    for (const slot of which) slots.delete(slot)
    await Promise.all(which.map((slot) => slot.discard().catch(this.#left)))
  }
}
