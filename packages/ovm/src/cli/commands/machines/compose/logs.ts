import type { Command } from "commander"
import { OvmError } from "../../../../errors.ts"
import { printConsoles } from "../../../compose/consoles.ts"
import { membersOf } from "../../../compose/labels.ts"
import { defineProjectOptions, type ProjectOptions, projectName } from "../../../compose/project-options.ts"
import { prefixes } from "../../../compose/report.ts"
import { useDaemonOfInstances } from "../../../daemon.ts"
import { interruptible } from "../../../interrupt.ts"
import { defineRange, type RangeOptions } from "../../../log-range.ts"
import { examples } from "../../../terminal/examples.ts"

interface LogsOptions extends ProjectOptions, RangeOptions {
  readonly follow?: boolean
  readonly color?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Print what the machines of a project wrote to their consoles, each line behind the machine's name.",
    )
    .argument("[machine...]", "names in the file; all unless told")
    .option("-f, --follow", "go on with what comes, until all of them have ended")
    .option("--no-color", "the names without colours on a terminal, too")
  defineRange(defineProjectOptions(command, "--file")).action(run)
  examples(command, "ovm compose logs", "ovm compose logs --follow --tail 20 web db")
}

async function run(names: readonly string[], options: LogsOptions): Promise<void> {
  const { follow = false, color: colour = true, tail, since } = options
  const project = await projectName(options)
  const runtime = await useDaemonOfInstances()
  const members = await membersOf(runtime, project)
  const missing = names.find((name) => !members.has(name))
  if (missing !== undefined)
    throw new OvmError(
      "OVM_INSTANCE_UNKNOWN",
      `project ${project} has no machine ${JSON.stringify(missing)} on record`,
      {
        hint: "ovm compose ps --all",
      },
    )
  if (!runtime) return
  const shown = [...members.values()].filter(({ machine }) => names.length === 0 || names.includes(machine))
  const machines = shown.map(({ machine }) => machine).sort()
  const prefix = prefixes(machines, { stream: "stdout", colour })
  const range = { ...(tail !== undefined && { tail }), ...(since !== undefined && { since }) }
  await interruptible((signal) => printConsoles(runtime, shown, { follow, ...range, prefix, signal }))
}
