import type { Command } from "commander"
import { findInstance } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { isTerminal, printBytes } from "../../output.ts"
import { parseCount } from "../../size.ts"
import { examples } from "../../terminal/examples.ts"
import { Harmless } from "../../terminal/harmless.ts"

interface LogsCommandOptions {
  readonly follow?: boolean
  readonly previous?: boolean
  readonly raw?: boolean
  readonly tail?: number
}

export function define(command: Command): void {
  command
    .description(
      "Print what a machine wrote to its serial console: as it is, but on a terminal without colours and with what " +
        "would change the screen shown as escapes.",
    )
    .argument("<instance>", "id, start of an id, or name")
    .addOption(command.createOption("-f, --follow", "go on with what comes, until the machine ends"))
    .addOption(
      command
        .createOption("-p, --previous", "what it wrote in its life before, if it was started again")
        .conflicts("follow"),
    )
    .addOption(
      command
        .createOption("-n, --tail <lines>", "only so many lines of what there is")
        .argParser((text) => parseCount(text, "--tail", 0)),
    )
    .option("--raw", "as it is on a terminal too")
    .action(run)
  examples(command, "ovm logs web", "ovm logs --follow --tail 20 3f2a")
}

async function run(text: string, options: LogsCommandOptions): Promise<void> {
  const { runtime, instance } = await findInstance(text)
  await interruptible(async (signal) => {
    const { follow = false, previous = false, raw, tail } = options
    const lines = tail === undefined ? {} : { tail }
    const console = await runtime.logs(instance.instance_id, { follow, previous, ...lines, signal })
    const harmless = raw || !isTerminal("stdout") ? undefined : new Harmless()
    for await (const chunk of console) await printBytes(harmless ? Buffer.from(harmless.take(chunk)) : chunk)
    if (harmless) await printBytes(Buffer.from(harmless.end()))
  })
}
