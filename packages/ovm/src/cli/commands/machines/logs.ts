import { createInterface } from "node:readline"
import { Readable } from "node:stream"
import type { Command } from "commander"
import type { Bytes } from "../../../content/interfaces.ts"
import { OvmError } from "../../../errors.ts"
import { findInstance } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { isTerminal, printBytes } from "../../output.ts"
import { parseCount } from "../../size.ts"
import { examples } from "../../terminal/examples.ts"
import { harmless } from "../../terminal/harmless.ts"

interface LogsCommandOptions {
  readonly follow?: boolean
  readonly previous?: boolean
  readonly raw?: boolean
  readonly tail?: number
  readonly since?: string
  readonly timestamps?: boolean
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
    .addOption(
      command
        .createOption(
          "--since <time>",
          "only what came then or later: 90s, 10m, 2h or 1d ago, or a time in RFC 3339",
        )
        .argParser(parseSince),
    )
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

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** How long ago, such as 90s, 10m, 2h or 1d, or a time in RFC 3339; as the latter. Throws OVM_USAGE. */
function parseSince(text: string): string {
  const [, count, unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  const ms = count === undefined ? Date.parse(text) : Date.now() - Number(count) * (UNITS[unit] ?? 0)
  if (!Number.isNaN(ms) && Math.abs(ms) < MOST_MS) return new Date(ms).toISOString()
  throw new OvmError("OVM_USAGE", `--since: ${JSON.stringify(text.slice(0, 40))} is no time`, {
    hint: "how long ago, such as 90s, 10m, 2h or 1d; or a time such as 2026-11-26T15:04:05Z",
  })
}

/** Year 9999. */
const MOST_MS = 253_402_300_799_000
