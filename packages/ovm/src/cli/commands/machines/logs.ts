import type { Command } from "commander"
import { findInstance } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { printBytes } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

interface LogsOptions {
  readonly follow?: boolean
  readonly previous?: boolean
}

export function define(command: Command): void {
  command
    .description("Print what a machine wrote to its serial console, as it is.")
    .argument("<instance>", "id, start of an id, or name")
    .addOption(command.createOption("-f, --follow", "go on with what comes, until the machine ends"))
    .addOption(
      command
        .createOption("-p, --previous", "what it wrote in its life before, if it was started again")
        .conflicts("follow"),
    )
    .action(run)
  examples(command, "ovm logs web", "ovm logs --follow 3f2a")
}

async function run(text: string, options: LogsOptions): Promise<void> {
  const { runtime, instance } = await findInstance(text)
  await interruptible(async (signal) => {
    const { follow = false, previous = false } = options
    const console = await runtime.logs(instance.instance_id, { follow, previous, signal })
    for await (const chunk of console) await printBytes(chunk)
  })
}
