import type { Command } from "commander"
import { useDaemon } from "../../../daemon.ts"
import { hinted } from "../../../hinted.ts"
import { print, printJson } from "../../../output.ts"
import { parseSize } from "../../../size.ts"
import { examples } from "../../../terminal/examples.ts"

interface CreateOptions {
  readonly size: number
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description("Make a volume: a disk of zeros, which takes room on the host only where it is written to.")
    .argument("<name>", "name of the volume")
    .requiredOption("--size <size>", "what guests see, such as 10GiB", (text) => parseSize(text, "--size"))
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm volume create data --size 10GiB")
}

async function run(name: string, { size, json }: CreateOptions): Promise<void> {
  const runtime = await useDaemon()
  const volume = await runtime.createVolume({ name, size }).catch((thrown) => {
    throw hinted(thrown, "OVM_NAME_IN_USE", `ovm volume inspect ${name}; ovm volume rm ${name} deletes it`)
  })
  if (json) printJson(volume)
  else print(`${volume.name}\n`)
}
