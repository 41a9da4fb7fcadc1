import type { Command } from "commander"
import { defineListing, type ListingOptions, printInstances } from "../../instance-table.ts"
import { collectFilter, type LabelFilter } from "../../labels.ts"
import { examples } from "../../terminal/examples.ts"

interface PsOptions extends ListingOptions {
  readonly filter?: readonly LabelFilter[]
}

export function define(command: Command): void {
  command.description(
    "List the machines that run, are starting or stopping; with --all also those that have ended, and how.",
  )
  defineListing(command)
    .option(
      "-f, --filter <label=name[=value]>",
      "only those with this label; again for more, all of which they have to have",
      collectFilter,
    )
    .action((options: PsOptions) => printInstances(options))
  examples(
    command,
    "ovm ps",
    "ovm ps --all --json",
    "ovm ps --filter label=tier=web",
    "ovm stop $(ovm ps --quiet)",
  )
}
