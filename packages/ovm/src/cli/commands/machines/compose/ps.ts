import type { Command } from "commander"
import { LABELS } from "../../../compose/labels.ts"
import { defineProjectOptions, type ProjectOptions, projectName } from "../../../compose/project-options.ts"
import { defineListing, type ListingOptions, printInstances } from "../../../instance-table.ts"
import { examples } from "../../../terminal/examples.ts"

export function define(command: Command): void {
  command.description(
    "List the machines of a project that run, are starting or stopping; with --all also those that have ended, and how.",
  )
  defineListing(defineProjectOptions(command)).action(run)
  examples(command, "ovm compose ps --all", "ovm compose ps -p staging --json")
}

async function run(options: ProjectOptions & ListingOptions): Promise<void> {
  const value = await projectName(options)
  await printInstances({ ...options, filter: [{ name: LABELS.project, value }] })
}
