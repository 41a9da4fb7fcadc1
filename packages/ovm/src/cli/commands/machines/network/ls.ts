import type { Command } from "commander"
import { useDaemon } from "../../../daemon.ts"
import { formatAge, shortId } from "../../../format.ts"
import { printJson } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"
import { type Column, printTable } from "../../../terminal/table.ts"

interface ListOptions {
  readonly json?: boolean
}

const COLUMNS: readonly Column[] = [
  { heading: "NAME", least: 8 },
  { heading: "STATE" },
  { heading: "SUBNET" },
  { heading: "IPV6" },
  { heading: "OUTBOUND" },
  { heading: "CREATED", spare: 1 },
  { heading: "MACHINES", least: 8 },
]

export function define(command: Command): void {
  command
    .description("List networks, whether they work, and which machines were started in them.")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm network ls")
}

async function run({ json }: ListOptions): Promise<void> {
  const runtime = await useDaemon()
  const [networks, machines] = await Promise.all([runtime.networks(), runtime.list()])
  if (json) return printJson({ networks })
  const names = new Map(machines.map(({ instance_id, name }) => [instance_id, name]))
  printTable(
    COLUMNS,
    networks.map(({ name, degraded, subnet, ipv6_subnet = "no", internal, created, instances }) => [
      name,
      degraded ? "degraded" : "ready",
      subnet,
      ipv6_subnet,
      internal ? "no" : "yes",
      formatAge(created),
      instances
        .map(({ instance_id, in_use }) => {
          const name = names.get(instance_id) ?? shortId(instance_id)
          return in_use ? name : `${name} (has ended)`
        })
        .join(", "),
    ]),
  )
}
