import { type Digest, digestOf } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import { agentProgram } from "../../guest/agent/program.ts"
import type { Runtime } from "../../runtime/interfaces.ts"
import { isRefusal } from "../../signing/policy/refused.ts"
import { digestOfName, openStoreToRead } from "../store.ts"
import { admitHere } from "./admit.ts"
import { quietArgs } from "./beginning.ts"
import { Builder } from "./builder.ts"
import { standIn } from "./machine-base.ts"
import { letGoOfMachines } from "./machines-kept.ts"
import { MACHINE_NAMES } from "./step-name.ts"
import type { Steps } from "./steps-kept.ts"

/** Of what is kept of machines: what an earlier version of this program has kept is nothing to go on from. */
const FORM = "ovm-build-machine-1"

export interface MachinesOptions {
  readonly runtime: () => Promise<Runtime>
  /** Of the build. */
  readonly id: string
  readonly steps: Steps
  readonly memory?: number
  readonly cpus?: number
  /** Whether what is kept is gone on from. */
  readonly cache: boolean
  readonly say: (text: string) => void
}

/** The machines in which a stage's steps are done; all of them end together. */
export class Machines implements AsyncDisposable {
  readonly #started: Builder[] = []
  readonly #read = new Map<string, Builder>()
  /** The image whose machine was kept before. */
  #kept: string | undefined

  constructor(private readonly options: MachinesOptions) {}

  /** One of `image`, to be read from. */
  async of(image: string, call: Call): Promise<Builder> {
    const found = this.#read.get(image) ?? (await this.#boot(image, image, call))
    this.#read.set(image, found)
    return found
  }

  /**
   * One in which steps are done on top of `image`: it goes on from what `keep` has left of one, or boots. `keeps`:
   * whether it is going to be kept. Throws what admitHere and a start throw.
   */
  async begin(image: string, { keeps, ...call }: Call & { readonly keeps: boolean }): Promise<Builder> {
    await admitHere(image, call)
    const found = this.options.cache ? await this.#resumed(image, call) : undefined
    if (found) return found
    if (!keeps) return await this.#boot(image, image, call)
    const name = `${MACHINE_NAMES}:${this.options.steps.tag(`${await digestHere(image)}`)}`
    await standIn(image, name, call)
    try {
      return await this.#boot(name, image, call)
    } catch (thrown) {
      // A policy knows the image by its own name alone.
      if (!isRefusal(thrown)) throw thrown
      return await this.#boot(image, image, call)
    }
  }

  /**
   * Keeps the machine as it is, with all of `image` done in it, so that a build that does something else next goes on
   * from there (OVMS-BLD-055). One that cannot be kept is as good to go on with.
   */
  async keep(builder: Builder, image: string, call: Call): Promise<void> {
    if (image === this.#kept || !builder.reference.startsWith(`${MACHINE_NAMES}:`)) return
    try {
      await builder.snapshot(await this.#tag(image), call)
    } catch (thrown) {
      return this.#couldNot("a later build boots a machine here", thrown)
    }
    try {
      await letGoOfMachines(call)
    } catch (thrown) {
      this.#couldNot("more machines are kept than should be", thrown)
    }
  }

  async #resumed(image: string, call: Call): Promise<Builder | undefined> {
    const name = `${MACHINE_NAMES}:${await this.#tag(image)}`
    if ((await digestHere(name)) === undefined) return undefined
    try {
      const { runtime, id } = this.options
      const how = { reference: name, id, resumes: true }
      const builder = this.#keeping(await Builder.start(await runtime(), image, how, call))
      this.#kept = image
      return builder
    } catch (thrown) {
      this.#couldNot("a machine is booted", thrown)
      return undefined
    }
  }

  async #boot(reference: string, image: string, call: Call): Promise<Builder> {
    const { runtime, id, memory, cpus } = this.options
    const args = await quietArgs(image, call)
    const how = {
      reference,
      id,
      ...(memory !== undefined && { memory }),
      ...(cpus !== undefined && { cpus }),
      ...(args !== undefined && { args }),
    }
    return this.#keeping(await Builder.start(await runtime(), image, how, call))
  }

  #keeping(builder: Builder): Builder {
    this.#started.push(builder)
    return builder
  }

  /** All that a machine with the layers of `image` depends on; its arguments are the image's. */
  async #tag(image: string): Promise<string> {
    const { steps, memory, cpus } = this.options
    const key = [FORM, await digestHere(image), memory ?? 0, cpus ?? 0, digestOf(agentProgram())]
    return steps.tag(JSON.stringify(key))
  }

  #couldNot(so: string, thrown: unknown): void {
    if (!(thrown instanceof OvmError) || thrown.code === "OVM_INTERRUPTED") throw thrown
    this.options.say(`  ${so}: ${thrown.message}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#started.map((builder) => builder[Symbol.asyncDispose]()))
  }
}

async function digestHere(name: string): Promise<Digest | undefined> {
  await using store = await openStoreToRead()
  return await digestOfName(store, name)
}
