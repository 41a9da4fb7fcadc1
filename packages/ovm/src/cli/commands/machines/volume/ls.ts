import type { Command } from "commander"
import { useDaemon } from "../../../daemon.ts"
import { formatAge, formatSize, shortId } from "../../../format.ts"
import { printJson } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"
import { type Column, printTable } from "../../../terminal/table.ts"

interface ListOptions {
  readonly json?: boolean
}

const COLUMNS: readonly Column[] = [
  { heading: "NAME", least: 8 },
  { heading: "SIZE" },
  { heading: "USED" },
  { heading: "CREATED", spare: 1 },
  { heading: "MACHINES", least: 8 },
]

export function define(command: Command): void {
  command
    .description(
      "List volumes, what they take of the disk, and which machines were started with them: NAME:ro can only read.",
    )
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm volume ls")
}

async function run({ json }: ListOptions): Promise<void> {
  const runtime = await useDaemon()
  const [volumes, machines] = await Promise.all([runtime.volumes(), runtime.list()])
  const names = new Map(machines.map(({ instance_id, name }) => [instance_id, name]))
  if (json) return printJson({ volumes })
  printTable(
    COLUMNS,
    volumes.map(({ name, size, used, created, instances }) => [
      name,
      formatSize(size),
      formatSize(used),
      formatAge(created),
      instances
        .map(({ instance_id, read_only, in_use }) => {
          const name = names.get(instance_id) ?? shortId(instance_id)
          return `${name}${read_only ? ":ro" : ""}${in_use ? "" : " (has ended)"}`
        })
        .join(", "),
    ]),
  )
}
