import { type Base, isStage, type PlannedStage, type PlannedStep } from "../../build/planned.ts"
import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import type { Runtime } from "../../runtime/interfaces.ts"
import { useDaemon } from "../daemon.ts"
import { formatSize } from "../format.ts"
import { printable, printError } from "../output.ts"
import type { Builder } from "./builder.ts"
import { copyInto, makeFolder } from "./copying.ts"
import { Machines } from "./machines.ts"
import { writeMain } from "./main-file.ts"
import { Steps } from "./steps-kept.ts"
import type { BuildPlace } from "./workplace.ts"

export interface BuildingOptions {
  /** What the Dockerfile is called. */
  readonly path: string
  readonly cache: boolean
  readonly quiet: boolean
  readonly latest?: number
  readonly memory?: number
  readonly cpus?: number
}

/** What became of a step. */
export interface Done {
  readonly line: number
  readonly step: string
  /** It was there from a build before. */
  readonly cached: boolean
  /** Of its layer, in bytes; not of one that was there, and of one that wrote nothing. */
  readonly size?: number
}

/** One build: makes what its stages need, each once. Its machines are gone once it is disposed of. */
export class Building implements AsyncDisposable {
  readonly done: Done[] = []
  readonly #steps: Steps
  readonly #images = new Map<string, Promise<string>>()
  #daemon: Promise<Runtime> | undefined
  /** The end of the machines of the stage before. */
  #end: Promise<void> | undefined

  constructor(
    private readonly place: BuildPlace,
    private readonly options: BuildingOptions,
    private readonly call: Call,
  ) {
    this.#steps = Steps.open(place.folder)
  }

  /** Removes what builds have left that were killed; one in which no machine does anything need not ask a daemon. */
  async sweep(): Promise<void> {
    if (this.place.hasLeftovers()) await this.#runtime()
  }

  /** A name of what a stage makes, or of a machine that it begins with. Throws OVM_BUILD_FAILED. */
  image(from: PlannedStage | Base): Promise<string> {
    // Its key is that of what it is from: it would wait for itself.
    if (isStage(from) && from.steps.length === 0) return this.image(from.from)
    const key = isStage(from) ? from.key : from.digest
    const known = this.#images.get(key) ?? (isStage(from) ? this.#build(from) : this.#begin(from))
    this.#images.set(key, known)
    return known
  }

  /** Of what is kept of the step or base with that key. */
  kept(key: string): string {
    return this.#steps.name(key)
  }

  /** A container image becomes a machine once. */
  async #begin({ reference, digest, container }: Base): Promise<string> {
    if (!container) return reference
    const name = this.#steps.name(digest)
    if ((await this.#steps.lastKept([digest])) >= 0) return name
    this.#say(`FROM ${reference}`)
    await container.convert(name, this.call)
    return name
  }

  async #build(stage: PlannedStage): Promise<string> {
    const { steps, name } = stage
    const kept = this.options.cache ? await this.#steps.lastKept(steps.map(({ key }) => key)) : -1
    for (const { line, text } of steps.slice(0, kept + 1)) {
      this.#say(`${this.#at(line, name)} ${text}: kept`)
      this.done.push({ line, step: text, cached: true })
    }
    const before = steps[kept]
    const image = before ? this.#steps.name(before.key) : await this.image(stage.from)
    const rest = steps.slice(kept + 1)
    if (rest.length === 0) return image
    for (const { work } of rest)
      if (work.kind === "copy" && "stage" in work.sources) await this.image(work.sources.stage)
    return await this.#run(stage, image, rest)
  }

  async #run(stage: PlannedStage, from: string, steps: readonly PlannedStep[]): Promise<string> {
    // A host may bear no more than those of one stage.
    await this[Symbol.asyncDispose]()
    const machines = this.#machines()
    try {
      return await this.#perform(machines, { stage, from, steps })
    } finally {
      // Meanwhile what was made gets its name.
      this.#end = machines[Symbol.asyncDispose]()
      this.#end.catch(() => {})
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const end = this.#end
    this.#end = undefined
    await end
  }

  #machines(): Machines {
    const { memory, cpus, cache } = this.options
    return new Machines({
      runtime: () => this.#runtime(),
      id: this.place.id,
      steps: this.#steps,
      ...(memory !== undefined && { memory }),
      ...(cpus !== undefined && { cpus }),
      cache,
      say: (text) => this.#say(text),
    })
  }

  async #perform(
    machines: Machines,
    { stage, from, steps }: { stage: PlannedStage; from: string; steps: readonly PlannedStep[] },
  ): Promise<string> {
    // The one that is most likely to be another one the next time.
    const last = steps.findLastIndex(({ work }) => work.kind === "run")
    let image = from
    let builder: Builder | undefined
    for (const [at, step] of steps.entries()) {
      const { line, text, key } = step
      this.#say(`${this.#at(line, stage.name)} ${text}`)
      builder ??= await machines.begin(from, { ...this.call, keeps: last >= 0 })
      if (at === last) await machines.keep(builder, image, this.call)
      const written = await this.#step(builder, step, machines)
      const made = this.#steps.name(key)
      const size = written ? await builder.commit(made, this.call) : undefined
      if (!written) await this.#steps.keepSame(key, image, this.call)
      image = made
      this.done.push({ line, step: text, cached: false, ...(size !== undefined && { size }) })
      this.#say(size === undefined ? "  wrote nothing" : `  a layer of ${formatSize(size)}`)
    }
    return image
  }

  /** False if nothing was written. Throws OVM_BUILD_FAILED. */
  async #step(builder: Builder, { line, work }: PlannedStep, machines: Machines): Promise<boolean> {
    const { latest } = this.options
    const call = { ...this.call, ...(latest !== undefined && { latest }) }
    try {
      if (work.kind === "main") {
        await writeMain(builder, work.texts, call)
        return true
      }
      if (work.kind === "folder") return await makeFolder(builder, work, call)
      if (work.kind === "run") {
        const status = await builder.run(work, call)
        if (status === 0) return true
        throw this.#failed(line, `it ended with status ${status}`, { exit_code: status })
      }
      const machineOf = async (stage: PlannedStage | Base) =>
        await machines.of(await this.image(stage), this.call)
      await copyInto(builder, work, { ...call, machineOf })
      return true
    } catch (thrown) {
      if (!(thrown instanceof OvmError && OF_THE_GUEST.includes(thrown.code))) throw thrown
      throw this.#failed(line, thrown.message, {}, thrown)
    }
  }

  #failed(line: number, why: string, detail: object, cause?: unknown): OvmError {
    return new OvmError("OVM_BUILD_FAILED", `${this.options.path}:${line}: ${why}`, {
      detail: { line, ...detail },
      cause,
    })
  }

  /** The daemon, once what builds have left that were killed is gone. */
  #runtime(): Promise<Runtime> {
    this.#daemon ??= useDaemon(this.call).then(async (runtime) => {
      await this.place.sweep(runtime, this.call)
      return runtime
    })
    return this.#daemon
  }

  #at(line: number, stage: string): string {
    return `[${stage}:${line}]`
  }

  #say(text: string): void {
    if (!this.options.quiet) printError(`${printable(text)}\n`)
  }
}

/** What goes wrong inside a machine. */
const OF_THE_GUEST: readonly string[] = [
  "OVM_FILE_UNREADABLE",
  "OVM_AGENT_UNAVAILABLE",
  "OVM_STATE_CONFLICT",
  "OVM_GUEST_NOT_READY",
  "OVM_INSTANCE_UNKNOWN",
]
