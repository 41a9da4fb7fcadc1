import type { Command } from "commander"
import type { InstanceInfo } from "../../../runtime/interfaces.ts"
import { useDaemonOfInstances } from "../../daemon.ts"
import { formatAge, formatSize, shortId } from "../../format.ts"
import { hasEnded, stateOf } from "../../instances.ts"
import { print, printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"
import { table } from "../../terminal/table.ts"

interface PsOptions {
  readonly all?: boolean
  readonly quiet?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "List the machines that run, are starting or stopping; with --all also those that have ended.",
    )
    .option("-a, --all", "also list instances that have ended")
    .option("-q, --quiet", "print ids only, one a line")
    .option("--json", "print JSON: the InstanceList of the runtime API")
    .action(run)
  examples(command, "ovm ps", "ovm ps --all --json", "ovm stop $(ovm ps --quiet)")
}

async function run(options: PsOptions): Promise<void> {
  const runtime = await useDaemonOfInstances()
  const all = (await runtime?.list()) ?? []
  const listed = all.filter((instance) => options.all || !hasEnded(instance.state))
  if (options.json) return printJson({ instances: listed })
  const instances = listed.toSorted((a, b) => b.created.localeCompare(a.created))
  if (options.quiet) print(instances.map((instance) => `${instance.instance_id}\n`).join(""))
  else print(table(["ID", "NAME", "IMAGE", "STATE", "VMM", "CPUS", "MEMORY", "CREATED"], instances.map(row)))
}

function row(instance: InstanceInfo): string[] {
  const { vmm, resources } = instance
  return [
    shortId(instance.instance_id),
    instance.name,
    instance.image.reference,
    stateOf(instance),
    vmm ? `${vmm.name}/${vmm.accelerator}` : "",
    `${resources.vcpus ?? ""}`,
    resources.memory === undefined ? "" : formatSize(resources.memory),
    formatAge(instance.created),
  ]
}
