import type { Command } from "commander"
import { inOrder } from "../../../compose/order.ts"
import { dependenciesOf, type Project } from "../../../compose/project.ts"
import schema from "../../../compose/schema.json" with { type: "json" }
import { OvmError } from "../../../errors.ts"
import type { Runtime } from "../../../runtime/interfaces.ts"
import { printConsoles } from "../../compose/consoles.ts"
import { bringDown } from "../../compose/down.ts"
import { type Member, membersOf } from "../../compose/labels.ts"
import { missingNetworks, missingVolumes, refuseStrangers } from "../../compose/plan.ts"
import { defineProjectOptions, openProject, type ProjectOptions } from "../../compose/project-options.ts"
import { prefixes, reporter, type Tell } from "../../compose/report.ts"
import { bringUp, type UpOutcome } from "../../compose/up.ts"
import { imageOf, wantedOf } from "../../compose/wanted.ts"
import { useDaemon } from "../../daemon.ts"
import { forEach } from "../../failure.ts"
import { interruptible, onSignals } from "../../interrupt.ts"
import { printJson, warn } from "../../output.ts"
import { pullByPolicy, pullCall } from "../../pull-policy.ts"
import { examples } from "../../terminal/examples.ts"

interface UpOptions extends ProjectOptions {
  readonly detach?: boolean
  readonly wait?: boolean
  readonly removeOrphans?: boolean
  readonly schema?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Start the machines of a file, each once those are there that it depends on, and show their consoles; with " +
        "names, those machines and what they depend on. What runs already as the file says is left alone, what has " +
        "ended is started again, and what is defined otherwise is made anew, with a new disk and the same volumes. " +
        "Ctrl-C stops all of them, the last one first; with --detach they go on.",
    )
    .argument("[machine...]", "names in the file")
    .option("-d, --detach", "leave the machines running")
    .option("--wait", "until those are healthy that have a healthcheck; with --detach")
    .option("--remove-orphans", "remove machines of the project that the file does not have any more")
    .option("--schema", "print the JSON Schema of the file, and do nothing else")
    .option("--json", "print JSON: the machines that run; with --detach")
  defineProjectOptions(command).action(run)
  examples(command, "ovm up", "ovm up --detach --wait web", "ovm up -f staging.yaml -p staging --detach")
}

async function run(names: readonly string[], options: UpOptions): Promise<void> {
  if (options.schema) return printJson(schema)
  for (const option of ["json", "wait"] as const)
    if (options[option] && !options.detach)
      throw new OvmError("OVM_USAGE", `option '--${option}' needs '--detach'`, {
        hint: `ovm up -d --${option}`,
      })
  const project = await openProject(options)
  const order = chosen(project, names)
  const tell = reporter(order, options)
  const { runtime, outcomes } = await interruptible((signal) =>
    start(project, order, { ...options, tell, signal }),
  )
  if (options.json) printJson({ project: project.name, machines: outcomes.flatMap(shown) })
  const failed = new Map(outcomes.flatMap(({ machine, error }) => (error ? [[machine, error] as const] : [])))
  if (!options.detach && failed.size === 0) return await watch(runtime, project, { order, outcomes, tell })
  await forEach(
    [...failed.keys()],
    async (machine) => {
      throw failed.get(machine)
    },
    options,
  )
}

/** Names of the machines, each behind what it depends on. Throws OVM_USAGE for one that the file does not have. */
function chosen({ machines, path }: Project, names: readonly string[]): readonly string[] {
  const needs = new Map<string, readonly string[]>()
  const add = (name: string) => {
    const machine = Object.hasOwn(machines, name) ? machines[name] : undefined
    if (!machine)
      throw new OvmError("OVM_USAGE", `there is no machine ${JSON.stringify(name)} in ${path}`, {
        hint: Object.keys(machines).join(", "),
      })
    if (needs.has(name)) return
    const others = [...dependenciesOf(machine).keys()]
    needs.set(name, others)
    for (const other of others) add(other)
  }
  for (const name of names.length > 0 ? names : Object.keys(machines)) add(name)
  const found = inOrder(needs)
  return "order" in found ? found.order : []
}

interface StartOptions extends UpOptions {
  readonly tell: Tell
  readonly signal: AbortSignal
}

/** All that can be wrong is found before anything is started. */
async function start(project: Project, order: readonly string[], options: StartOptions) {
  const { signal, tell, wait } = options
  const entries = order.flatMap((machine) => {
    const entry = project.machines[machine]
    return entry ? [{ machine, entry }] : []
  })
  for (const { entry } of entries)
    await pullByPolicy(await imageOf(project, entry), entry.pull_policy ?? "missing", pullCall(entry, signal))
  const wanted = await Promise.all(entries.map(({ machine, entry }) => wantedOf(project, machine, entry)))
  const runtime = await useDaemon({ signal })
  const members = await membersOf(runtime, project.name)
  refuseStrangers(project, wanted, { all: await runtime.list({ signal }), members })
  const used = new Set(
    wanted.flatMap(({ request }) => request.overrides?.volumes ?? []).map(({ name }) => name),
  )
  const joined = new Set(wanted.flatMap(({ request }) => request.overrides?.network?.name ?? []))
  const volumes = await missingVolumes(project, used, runtime)
  for (const network of await missingNetworks(project, joined, runtime))
    await runtime
      .createNetwork(network, { signal })
      .catch(madeByOther(() => missingNetworks(project, joined, runtime)))
  for (const volume of volumes)
    await runtime
      .createVolume(volume, { signal })
      .catch(madeByOther(() => missingVolumes(project, used, runtime)))
  await orphans(runtime, project, members, options)
  const outcomes = await bringUp(runtime, wanted, { members, tell, signal, ...(wait && { wait }) })
  if (signal.aborted)
    throw new OvmError(
      "OVM_INTERRUPTED",
      `interrupted: what there is of ${project.name} stays as it is now`,
      {
        hint: "ovm up goes on with it; ovm down removes it",
      },
    )
  return { runtime, outcomes }
}

/** Another `ovm up` was first: what it has made is looked at as what was there before. */
function madeByOther(look: () => Promise<unknown>): (thrown: unknown) => Promise<void> {
  return async (thrown) => {
    if (!(thrown instanceof OvmError && thrown.code === "OVM_NAME_IN_USE")) throw thrown
    await look()
  }
}

async function orphans(
  runtime: Runtime,
  { machines, name }: Project,
  members: ReadonlyMap<string, Member>,
  { removeOrphans, tell }: StartOptions,
): Promise<void> {
  const left = new Map([...members].filter(([machine]) => !Object.hasOwn(machines, machine)))
  if (left.size === 0) return
  if (!removeOrphans)
    return warn(
      `project ${name} has ${[...left.keys()].join(", ")} as well, which the file has not: ovm up --remove-orphans removes them`,
    )
  for (const thrown of (await bringDown(runtime, left, { tell, remove: true })).values()) throw thrown
}

interface Watched {
  readonly order: readonly string[]
  readonly outcomes: readonly UpOutcome[]
  readonly tell: Tell
}

/** Shows the consoles until all machines have ended. The first Ctrl-C has them power off, the next one ends them. */
async function watch(runtime: Runtime, project: Project, { order, outcomes, tell }: Watched): Promise<void> {
  const left = new AbortController()
  const members = async () =>
    new Map([...(await membersOf(runtime, project.name))].filter(([machine]) => order.includes(machine)))
  const fresh = new Set(outcomes.filter(({ action }) => action !== "kept").map(({ machine }) => machine))
  const stop = async () => bringDown(runtime, await members(), { tell })
  const kill = async () => {
    for (const { info } of (await members()).values())
      await runtime.stop({ instance_id: info.instance_id, grace_ms: 0 }).catch(() => {})
  }
  let down: Promise<ReadonlyMap<string, unknown>> | undefined
  await onSignals(
    (count) => {
      if (count === 1) down = stop().finally(() => left.abort())
      else void kill()
    },
    async () => {
      const from = ({ machine }: Member) => (fresh.has(machine) ? {} : { tail: 0 })
      const prefix = prefixes(order, { stream: "stdout" })
      const shown = [...(await members()).values()]
      await printConsoles(runtime, shown, { follow: true, from, prefix, signal: left.signal }).catch(
        (thrown) => {
          if (!left.signal.aborted) throw thrown
        },
      )
      for (const thrown of (await down)?.values() ?? []) throw thrown
    },
  )
}

function shown({ machine, action, info }: UpOutcome) {
  if (!info) return []
  return [{ machine, instance_id: info.instance_id, name: info.name, status: info.state, action }]
}
