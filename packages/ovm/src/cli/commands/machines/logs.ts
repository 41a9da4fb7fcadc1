import { createInterface } from "node:readline"
import { Readable } from "node:stream"
import type { Command } from "commander"
import type { Bytes } from "../../../content/interfaces.ts"
import { findInstance } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { defineRange, type RangeOptions } from "../../log-range.ts"
import { isTerminal, printBytes } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"
import { harmless } from "../../terminal/harmless.ts"

interface LogsCommandOptions extends RangeOptions {
  readonly follow?: boolean
  readonly previous?: boolean
  readonly raw?: boolean
  readonly timestamps?: boolean
}

export function define(command: Command): void {
  const described = command
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
  defineRange(described)
    .option("-t, --timestamps", "begin each line with when it came")
    .option("--raw", "as it is on a terminal too")
    .action(run)
  examples(
    command,
    "ovm logs web",
    "ovm logs --follow --tail 20 3f2a",
    "ovm logs --since 10m --timestamps web",
  )
}

async function run(text: string, { raw, ...what }: LogsCommandOptions): Promise<void> {
  const { runtime, instance } = await findInstance(text)
  await interruptible(async (signal) => {
    const console = await runtime.logs(instance.instance_id, { ...what, signal })
    const bytes = what.timestamps ? timedLines(console) : console
    if (raw || !isTerminal("stdout")) for await (const chunk of bytes) await printBytes(chunk)
    else for await (const text of harmless(bytes)) await printBytes(Buffer.from(text))
  })
}

/** One line a line, behind when it came. */
async function* timedLines(entries: Bytes): Bytes {
  const lines = createInterface({ input: Readable.from(entries), crlfDelay: Number.POSITIVE_INFINITY })
  for await (const line of lines) {
    const { time, text } = JSON.parse(line) as { time: string; text: string }
    yield Buffer.from(`${time} ${text}\n`)
  }
}
