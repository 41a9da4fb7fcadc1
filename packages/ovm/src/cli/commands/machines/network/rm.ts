import type { Command } from "commander"
import { useDaemon } from "../../../daemon.ts"
import { forEach } from "../../../failure.ts"
import { print, printJson } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"

interface RemoveOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description("Delete networks. One that a machine on record was started in is not deleted.")
    .argument("<network...>", "names of networks")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm network rm lab")
}

async function run(names: readonly string[], options: RemoveOptions): Promise<void> {
  const runtime = await useDaemon()
  const remove = async (name: string) => {
    await runtime.removeNetwork(name)
    if (options.json) printJson({ name })
    else print(`${name}\n`)
  }
  await forEach(names, remove, options)
}
