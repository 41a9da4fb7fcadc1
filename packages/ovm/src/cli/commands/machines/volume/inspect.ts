import type { Command } from "commander"
import { OvmError } from "../../../../errors.ts"
import { useDaemon } from "../../../daemon.ts"
import { formatAge, formatSize } from "../../../format.ts"
import { printJson } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"
import { printListing } from "../../../terminal/lines.ts"

interface InspectOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description("Show a volume, and the machines on record that were started with it.")
    .argument("<volume>", "name of the volume")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm volume inspect data --json")
}

async function run(name: string, { json }: InspectOptions): Promise<void> {
  const volume = (await (await useDaemon()).volumes()).find((one) => one.name === name)
  if (!volume)
    throw new OvmError("OVM_VOLUME_UNKNOWN", `there is no volume ${JSON.stringify(name)}`, {
      hint: "ovm volume ls",
    })
  if (json) return printJson(volume)
  printListing([
    ["name", volume.name],
    ["size", formatSize(volume.size)],
    ["used", formatSize(volume.used)],
    ["created", `${volume.created} (${formatAge(volume.created)})`],
    ...volume.instances.map(({ instance_id, read_only, in_use }): [string, string] => [
      "machine",
      `${instance_id}${read_only ? ", read-only" : ""}${in_use ? "" : ", has ended"}`,
    ]),
  ])
}
