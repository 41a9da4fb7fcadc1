import { posix } from "node:path"
import { digestOf } from "../content/digest.ts"
import { OvmError } from "../errors.ts"
import { copyOf } from "./copy.ts"
import { type Dockerfile, type Instruction, stageCalled } from "./document.ts"
import { type BuildFault, buildError, Wrong } from "./faults.ts"
import { commandLineOf, withMetadata } from "./metadata.ts"
import {
  type Base,
  type Copy,
  isStage,
  type PlannedStage,
  type PlannedStep,
  type PlanOptions,
  type StepWork,
} from "./planned.ts"
import { ArgumentScope, argumentsOf, PLATFORM_ARGS } from "./scope.ts"
import { type MachineSettings, splitVariable } from "./settings.ts"
import { expand } from "./words.ts"

/** Of the form of keys: what an earlier version of this program has kept is nothing to go on from. */
const FORM = "ovm-build-1"

/** Of a command and its environment, in bytes of JSON: what a runtime is asked has a bound (spec/limits.md). */
const MOST_TO_RUN = 60 * 1024

interface StageOptions extends PlanOptions {
  readonly stage: (index: number) => Promise<PlannedStage>
}

/** Throws OVM_BUILD_INVALID, and what finding images throws. */
export async function planStage(
  file: Dockerfile,
  index: number,
  options: StageOptions,
): Promise<PlannedStage> {
  const stage = file.stages[index]
  if (!stage) throw new RangeError("no such stage")
  const faults: BuildFault[] = []
  const at = async <T>(line: number, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work()
    } catch (thrown) {
      const unknown =
        thrown instanceof OvmError && ["OVM_NAME_UNKNOWN", "OVM_REFERENCE_INVALID"].includes(thrown.code)
      if (!(thrown instanceof Wrong || unknown)) throw thrown
      faults.push({ line, message: (thrown as Error).message })
    }
  }
  const globals = globalsOf(file, options.args)
  const find = async (name: string): Promise<Base | PlannedStage> => {
    const known = stageCalled(file, name, index)
    return known === undefined ? await options.base(name) : await options.stage(known)
  }
  const from = await at(stage.line, async () => {
    const name = expand(stage.base, (variable) => globals.get(variable), file.mark)
    if (name === "") throw new Wrong(`FROM ${stage.base} names no image`)
    const found = await find(name)
    if (!isStage(found) && found.triggers) throw new Wrong(`${name} has an ONBUILD, which is not supported`)
    return found
  })
  if (!from) throw buildError(file.path, faults)
  const scope = new ArgumentScope(options.args, globals, isStage(from) ? from.args : new Map())
  const run = new StagePlan(file, from, scope, { ...options, find })
  for (const instruction of stage.instructions) await at(instruction.line, () => run.take(instruction))
  if (faults.length > 0) throw buildError(file.path, faults)
  return {
    name: stage.name ?? `${index}`,
    line: stage.line,
    from,
    steps: run.steps,
    settings: run.settings,
    args: new Map(scope.all()),
    key: run.key,
  }
}

/** Variables for FROM, and what an ARG without a value has in a stage. */
function globalsOf(
  { args, mark, path }: Dockerfile,
  given: ReadonlyMap<string, string>,
): Map<string, string> {
  const platform = Object.entries(PLATFORM_ARGS)
  const globals = new Map(platform.map(([name, value]) => [name, given.get(name) ?? value]))
  for (const { line, rest } of args)
    try {
      for (const { name, value } of argumentsOf(rest, (variable) => globals.get(variable), mark)) {
        const found = given.get(name) ?? value
        if (found !== undefined) globals.set(name, found)
      }
    } catch (thrown) {
      throw thrown instanceof Wrong ? buildError(path, [{ line, message: thrown.message }]) : thrown
    }
  return globals
}

class StagePlan {
  readonly steps: PlannedStep[] = []
  settings: MachineSettings
  key: string
  #saidCmd = false

  constructor(
    private readonly file: Dockerfile,
    from: Base | PlannedStage,
    private readonly scope: ArgumentScope,
    private readonly options: PlanOptions & { readonly find: (name: string) => Promise<Base | PlannedStage> },
  ) {
    this.settings = from.settings
    this.key = isStage(from) ? from.key : digestOf(JSON.stringify([FORM, from.digest]))
  }

  async take(instruction: Instruction): Promise<void> {
    const { keyword, rest } = instruction
    const { mark } = this.file
    const lookup = (name: string) => this.#variable(name)
    if (keyword === "ARG") {
      for (const one of argumentsOf(rest, lookup, mark)) this.scope.declare(one)
      return
    }
    if (keyword === "RUN") return this.#add(instruction, this.#runOf(rest))
    if (keyword === "WORKDIR") {
      const path = posix.resolve(this.#directory, expand(rest, lookup, mark))
      this.settings = { ...this.settings, WorkingDir: path }
      const { User: user } = this.settings
      if (path !== "/") this.#add(instruction, { kind: "folder", path, ...(user !== undefined && { user }) })
      return
    }
    if (keyword === "COPY" || keyword === "ADD") {
      const { context, isArchive, find } = this.options
      const where = { context, isArchive, lookup, mark, directory: this.#directory, from: find }
      return this.#add(instruction, { kind: "copy", ...(await copyOf(instruction, where)) })
    }
    const next = withMetadata(this.settings, instruction, { lookup, mark, saidCmd: this.#saidCmd })
    if (!next) throw new Wrong(`${keyword} is not supported`)
    this.settings = next
    this.#saidCmd ||= keyword === "CMD"
  }

  get #directory(): string {
    return this.settings.WorkingDir ?? "/"
  }

  #variable(name: string): string | undefined {
    const said = this.settings.Env?.map(splitVariable).find(([one]) => one === name)
    return said ? said[1] : this.scope.value(name)
  }

  #runOf(rest: string): StepWork {
    const { Env = [], User } = this.settings
    const named = new Set(Env.map((one) => splitVariable(one)[0]))
    const args = this.scope.all().filter(([name]) => !named.has(name))
    const command = commandLineOf(rest, this.settings)
    const environment = [...args.map(([name, value]) => `${name}=${value}`), ...Env]
    if (Buffer.byteLength(JSON.stringify([command, environment])) > MOST_TO_RUN)
      throw new Wrong(`RUN has more than ${MOST_TO_RUN} bytes with its environment`)
    return {
      kind: "run",
      command,
      environment,
      ...(User !== undefined && { user: User }),
      directory: this.#directory,
    }
  }

  #add({ line, keyword, flags, rest }: Instruction, work: StepWork): void {
    const said = [...flags].map(([name, value]) => `--${name}${value && `=${value}`} `).join("")
    this.key = digestOf(JSON.stringify([this.key, keyOf(work)]))
    this.steps.push({ line, text: `${keyword} ${said}${rest}`, key: this.key, work })
  }
}

/** All that what a step writes depends on, but for what is below it. */
function keyOf(work: StepWork): unknown {
  if (work.kind === "run")
    return { ...work, environment: work.environment.filter((one) => !ArgumentScope.isAside(one)) }
  return work.kind === "copy" ? { ...work, sources: sourcesKey(work.sources) } : work
}

function sourcesKey(sources: Copy["sources"]): unknown {
  if ("stage" in sources) {
    const { stage, paths } = sources
    return [isStage(stage) ? stage.key : stage.digest, paths]
  }
  return sources.map(({ name, folder, archive, entries }) => [
    folder ? "" : name,
    ...(archive ? ["unpacked"] : []),
    folder,
    entries.map(({ name, kind, mode, digest, link }) => [name, kind, mode, digest ?? link]),
  ])
}
