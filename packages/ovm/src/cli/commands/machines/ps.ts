import type { Command } from "commander"
import { forwardText } from "../../../network/forward.ts"
import type { InstanceInfo } from "../../../runtime/interfaces.ts"
import { hasEnded } from "../../../runtime/states.ts"
import { useDaemonOfInstances } from "../../daemon.ts"
import { formatAge, formatSize, shortId } from "../../format.ts"
import { stateOf } from "../../instances.ts"
import { collectFilter, hasLabel, type LabelFilter } from "../../labels.ts"
import { print, printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"
import { type Column, printTable } from "../../terminal/table.ts"

interface PsOptions {
  readonly all?: boolean
  readonly filter?: readonly LabelFilter[]
  readonly quiet?: boolean
  readonly json?: boolean
}

interface InstanceColumn extends Column {
  readonly cell: (instance: InstanceInfo) => string
}

const EXIT: InstanceColumn = {
  heading: "EXIT",
  least: 14,
  cell: ({ exit, error }) => exit?.reason ?? error?.code ?? "",
}

const COLUMNS: readonly InstanceColumn[] = [
  { heading: "ID", cell: ({ instance_id }) => shortId(instance_id) },
  { heading: "NAME", least: 8, cell: ({ name }) => name },
  { heading: "IMAGE", least: 12, keep: "end", spare: 1, cell: ({ image }) => image.reference },
  { heading: "STATE", least: 8, cell: stateOf },
  EXIT,
  { heading: "VMM", spare: 4, cell: ({ vmm }) => (vmm ? `${vmm.name}/${vmm.accelerator}` : "") },
  { heading: "CPUS", spare: 3, cell: ({ resources }) => `${resources.vcpus ?? ""}` },
  {
    heading: "MEMORY",
    spare: 2,
    cell: ({ resources: { memory } }) => (memory === undefined ? "" : formatSize(memory)),
  },
  { heading: "PORTS", spare: 5, cell: ({ network }) => (network?.ports ?? []).map(forwardText).join(", ") },
  { heading: "CREATED", cell: ({ created }) => formatAge(created) },
]

export function define(command: Command): void {
  command
    .description(
      "List the machines that run, are starting or stopping; with --all also those that have ended, and how.",
    )
    .option("-a, --all", "also list instances that have ended")
    .option(
      "-f, --filter <label=name[=value]>",
      "only those with this label; again for more, all of which they have to have",
      collectFilter,
    )
    .option("-q, --quiet", "print ids only, one a line")
    .option("--json", "print JSON: the InstanceList of the runtime API")
    .action(run)
  command.options.find((option) => option.long === "--json")?.conflicts("quiet")
  examples(
    command,
    "ovm ps",
    "ovm ps --all --json",
    "ovm ps --filter label=tier=web",
    "ovm stop $(ovm ps --quiet)",
  )
}

async function run(options: PsOptions): Promise<void> {
  const runtime = await useDaemonOfInstances()
  const all = (await runtime?.list()) ?? []
  const { filter = [] } = options
  const listed = all.filter(
    (instance) =>
      (options.all || !hasEnded(instance.state)) && filter.every((label) => hasLabel(instance, label)),
  )
  if (options.json) return printJson({ instances: listed })
  const instances = listed.toSorted((a, b) => b.created.localeCompare(a.created))
  if (options.quiet) print(instances.map((instance) => `${instance.instance_id}\n`).join(""))
  else {
    // Of one that goes on there is no end to tell of.
    const columns = COLUMNS.filter((column) => options.all || column !== EXIT)
    printTable(
      columns,
      instances.map((instance) => columns.map(({ cell }) => cell(instance))),
    )
  }
}
