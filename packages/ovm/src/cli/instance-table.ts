import type { Command } from "commander"
import { forwardText } from "../network/forward.ts"
import type { InstanceInfo } from "../runtime/interfaces.ts"
import { hasEnded } from "../runtime/states.ts"
import { useDaemonOfInstances } from "./daemon.ts"
import { endWord } from "./end.ts"
import { formatAge, formatSize, shortId } from "./format.ts"
import { stateOf } from "./instances.ts"
import { hasLabel, type LabelFilter } from "./labels.ts"
import { print, printJson } from "./output.ts"
import { type Column, printTable } from "./terminal/table.ts"

export interface ListingOptions {
  readonly all?: boolean
  readonly quiet?: boolean
  readonly json?: boolean
}

export function defineListing(command: Command): Command {
  command
    .option("-a, --all", "also list instances that have ended")
    .option("-q, --quiet", "print ids only, one a line")
    .option("--json", "print JSON: the InstanceList of the runtime API")
  command.options.find((option) => option.long === "--json")?.conflicts("quiet")
  return command
}

interface InstanceColumn extends Column {
  readonly cell: (instance: InstanceInfo) => string
}

const EXIT: InstanceColumn = {
  heading: "EXIT",
  least: 14,
  cell: (instance) => endWord(instance) ?? instance.error?.code ?? "",
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

/** Lists the instances that have every label of `filter`. */
export async function printInstances(
  options: ListingOptions & { readonly filter?: readonly LabelFilter[] },
): Promise<void> {
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
