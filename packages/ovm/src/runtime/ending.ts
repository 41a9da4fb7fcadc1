import { setTimeout as sleep } from "node:timers/promises"
import { OvmError, toOvmError } from "../errors.ts"
import type { Images } from "../images/images.ts"
import type { Machine, StopMethod } from "../vmm/machine.ts"
import { readExit } from "../vmm/process/exit.ts"
import { isHeld } from "../vmm/process/held.ts"
import { endStray } from "../vmm/process/stray.ts"
import { toldEnd } from "./ends.ts"
import { entryOf, type Instance } from "./instance.ts"
import { outlive } from "./outlive.ts"
import { removeLeftovers } from "./scratch.ts"
import { hasEnded } from "./states.ts"

export type Log = (event: string, instance: Instance, fields: Record<string, unknown>) => void

/** How instances end and go. Nothing of it needs room on the disk (OVMS-STA-027). */
export class Ending {
  readonly #forgetting = new Map<Instance, Promise<void>>()

  constructor(
    private readonly instances: Map<string, Instance>,
    private readonly images: Pick<Images, "release">,
    private readonly log: Log,
    /** What a guest may take to power off unless told, in ms. */
    private readonly usualGraceMs: number,
  ) {}

  /**
   * Ends a machine; one that is still starting is cancelled. What goes wrong is in the log, and in the answer of
   * whoever waits for it: settles when the machine's process is gone. Without `graceMs` it is what an earlier stop gave
   * it, else what is usual. Rejects with OVM_VMM_TIMEOUT if it cannot be brought to an end.
   */
  end(instance: Instance, graceMs = instance.graceMs ?? this.usualGraceMs): Promise<unknown> {
    instance.graceMs = graceMs
    if (!instance.machine) {
      instance.starting.abort()
      return instance.standby ? this.#drop(instance) : Promise.resolve()
    }
    const work = endMachine(instance, instance.machine, graceMs)
    instance.stopMethod = work.catch((thrown) => {
      this.log("stop failed", instance, { error: entryOf(toOvmError(thrown)) })
      return undefined
    })
    return work
  }

  /** One on standby has no process but one that is just being loaded: whoever does that sees it, and ends it again. */
  async #drop(instance: Instance): Promise<void> {
    instance.standby = undefined
    instance.stopMethod = Promise.resolve("already")
    await instance.snapshotting
    await instance.finish({ reason: "quit" })
    this.log(instance.state, instance, toldEnd(instance.info))
    await removeLeftovers(instance.directory)
  }

  /** Begins to stop one that has not ended. `graceMs` is what its guest may take to power off. */
  async stop(instance: Instance, graceMs: number | undefined): Promise<void> {
    const first = instance.state !== "stopping"
    // Asked again with a time of its own, a stop that is under way takes that one: an impatient user has a way.
    const counts = first || graceMs !== undefined
    if (counts) this.#grant(instance, graceMs)
    if (first) {
      await instance.become("stopping")
      this.log("stopping", instance, {})
      // After a crash of the host its policy would have it started again.
      if (instance.info.restart) await outlive(instance).catch(() => {})
    } else await instance.change({})
    if (counts) void this.end(instance, graceMs)
  }

  /** Notes how long the guest of an instance may take to power off, in ms: what is usual unless told. */
  #grant(instance: Instance, graceMs = instance.graceMs ?? this.usualGraceMs): void {
    instance.graceMs = graceMs
    instance.stopBy = Date.now() + graceMs
  }

  /** Whatever may still work in the directory of one that has ended is ended. */
  async quiet({ directory, unreadable }: Instance): Promise<void> {
    // Without a status its keeper may have outlived it; and of what cannot be read nobody knows whether it has ended.
    if (unreadable || isHeld(directory) || (await readExit(directory)) === undefined)
      await endStray(directory)
  }

  /**
   * Settles once the instance has ended: one that has not is killed with `force`. Throws OVM_STATE_CONFLICT and
   * OVM_RECORD_UNREADABLE without.
   */
  async overcome(instance: Instance, force: boolean): Promise<void> {
    const { id, state, unreadable } = instance
    if (unreadable && !force) throw unreadable
    if (hasEnded(state)) return
    if (!force)
      throw new OvmError("OVM_STATE_CONFLICT", `instance ${id} is ${state}`, {
        detail: { state },
        hint: `ovm stop ${id}, or ovm rm --force ${id}`,
      })
    instance.again = false
    if (state !== "stopping") {
      await instance.become("stopping")
      this.log("stopping", instance, {})
    } else await instance.change({})
    instance.removed.abort()
    await this.end(instance, 0)
    await instance.ended
  }

  /** Removes all there is of an instance that has ended: once, whoever asks for it meanwhile. */
  forget(instance: Instance): Promise<void> {
    const under = this.#forgetting.get(instance)
    if (under) return under
    const work = this.#forget(instance).finally(() => this.#forgetting.delete(instance))
    this.#forgetting.set(instance, work)
    return work
  }

  async #forget(instance: Instance): Promise<void> {
    instance.removing = true
    try {
      await instance.snapshotting
      await this.quiet(instance)
      await this.images.release(instance.id)
      await instance.discard()
    } finally {
      instance.removing = false
    }
    this.instances.delete(instance.id)
  }
}

/**
 * Ends a machine. Where it cannot be asked, this waits, for up to `graceMs`, until it can be or has ended; then it is
 * stopped with what is left of that time, by its process if need be (OVMS-STA-023).
 */
async function endMachine(instance: Instance, machine: Machine, graceMs: number): Promise<StopMethod> {
  const began = performance.now()
  const { silence } = instance
  if (silence && !instance.unreadable) {
    const timer = new AbortController()
    const late = sleep(graceMs, undefined, { signal: timer.signal }).catch(() => {})
    await Promise.race([silence.over, machine.exited, late])
    timer.abort()
  }
  const left = Math.max(0, graceMs - (performance.now() - began))
  // Not every guest listens to its power button.
  const told = left > 0 && (instance.agent?.shutDown() ?? false)
  const how = { graceMs: left, told, ...(instance.transient && { forgotten: true }) }
  return (await instance.machine?.stop(how)) ?? "already"
}
