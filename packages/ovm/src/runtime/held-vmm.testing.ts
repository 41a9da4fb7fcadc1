import type { OvmError } from "../errors.ts"
import { availableVmms } from "../vmm/available.ts"
import type { Loaded, Loader } from "../vmm/loader.ts"
import type { Machine } from "../vmm/machine.ts"
import type { Vmm } from "../vmm/vmm.ts"

/** What VMMs do that can be held up; all but `launch` and `resume` once it is done. */
type Step = "check" | "adopt" | "launch" | "snapshot" | "load" | "resume"

/** One step of theirs that is held up, as a slow host does it, the first time that it comes. */
interface Hold {
  /** Settles once it has come. */
  readonly reached: Promise<void>
  go(): void
  fail(why: OvmError): void
}

/** The VMMs of this host, each of whose steps waits where somebody wants that. */
export class HeldVmms {
  readonly #held = new Map<Step, { reached: () => void; over: Promise<void> }>()
  readonly vmms: readonly Vmm[]

  /** `cache` is as of availableVmms. */
  constructor(cache: string) {
    this.vmms = availableVmms(cache).map((vmm) => this.#heldUp(vmm))
  }

  hold(step: Step): Hold {
    const reached = Promise.withResolvers<void>()
    const over = Promise.withResolvers<void>()
    over.promise.catch(() => {})
    this.#held.set(step, { reached: reached.resolve, over: over.promise })
    return { reached: reached.promise, go: over.resolve, fail: over.reject }
  }

  async #pass(step: Step): Promise<void> {
    const held = this.#held.get(step)
    this.#held.delete(step)
    held?.reached()
    await held?.over
  }

  #heldUp(vmm: Vmm): Vmm {
    return {
      name: vmm.name,
      capabilities: (call) => vmm.capabilities(call),
      check: async (plan, call) => {
        const found = await vmm.check(plan, call)
        await this.#pass("check")
        return found
      },
      adopt: async (record, call) => {
        await this.#pass("adopt")
        return this.#machine(await vmm.adopt(record, call))
      },
      launch: async (plan, call) => {
        await this.#pass("launch")
        call?.signal?.throwIfAborted()
        return this.#machine(await vmm.launch(plan, call))
      },
      ...(vmm.loader && { loader: this.#loader(vmm.loader) }),
    }
  }

  #machine(machine: Machine): Machine {
    const snapshot = machine.snapshot?.bind(machine)
    if (!snapshot) return machine
    const value: typeof snapshot = async (...how) => {
      const parts = await snapshot(...how)
      await this.#pass("snapshot")
      return parts
    }
    return Object.defineProperty(machine, "snapshot", { value })
  }

  #loader(loader: Loader): Loader {
    return {
      model: (plan, devices) => loader.model(plan, devices),
      macIn: (devices) => loader.macIn(devices),
      agentIn: (devices) => loader.agentIn(devices),
      check: (plan, call) => loader.check(plan, call),
      load: async (plan, call) => {
        const loaded = await loader.load(plan, call)
        await this.#pass("load")
        return this.#loaded(loaded)
      },
    }
  }

  #loaded(loaded: Loaded): Loaded {
    const { record, timings, exited } = loaded
    return {
      ...{ record, timings, exited },
      resume: async (how) => {
        await this.#pass("resume")
        return this.#machine(await loaded.resume(how))
      },
      discard: () => loaded.discard(),
    }
  }
}
