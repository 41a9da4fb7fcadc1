import type { Command } from "commander"
import { findInstance } from "../../instances.ts"
import { print, printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

export function define(command: Command): void {
  command
    .description("Give a machine another name, whether it runs or not. Its id stays.")
    .argument("<instance>", "id, start of an id, or name")
    .argument("<name>", "its name from now on")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm rename debian-3f0a web")
}

async function run(text: string, name: string, { json }: { readonly json?: boolean }): Promise<void> {
  const { runtime, instance } = await findInstance(text)
  const { instance_id } = instance
  await runtime.rename(instance_id, { name })
  if (json) printJson({ instance_id, name })
  else print(`${instance_id}\n`)
}
