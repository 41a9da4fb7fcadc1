import type { Command } from "commander"
import type { RuntimeEvent } from "../../../runtime/interfaces.ts"
import { useDaemon } from "../../daemon.ts"
import { endWord } from "../../end.ts"
import { shortId } from "../../format.ts"
import { interruptible } from "../../interrupt.ts"
import { jsonText, print, printable } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

interface EventsOptions {
  readonly follow?: boolean
  readonly after?: string
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Print what happened to machines since the daemon began, as far as it is kept: that they were started, ran, " +
        "stood still, ended, were snapshotted or removed.",
    )
    .option("-f, --follow", "go on with what comes, until Ctrl-C")
    .option("--after <id>", "only what came after this event")
    .option("--json", "print JSON, an object a line: the Event of the runtime API")
    .action(run)
  examples(command, "ovm events", "ovm events --follow --json")
}

async function run({ follow = false, after, json }: EventsOptions): Promise<void> {
  await interruptible(async (signal) => {
    const runtime = await useDaemon({ signal })
    const all = await runtime.events({ follow, signal, ...(after !== undefined && { after }) })
    for await (const event of all) print(`${json ? jsonText(event) : lineOf(event)}\n`)
  })
}

function lineOf({ time, type, instance_id, name, ...event }: RuntimeEvent): string {
  if (type === "lost") return `${time}  lost  what happened before this is not known`
  const { reason, snapshot_ref, degraded, exit, error, finished } = event
  const said =
    reason ??
    snapshot_ref ??
    degraded?.join(", ") ??
    endWord(exit && { exit }) ??
    (error && `${error.code}: ${error.message}`)
  const when = finished
    ? `at ${finished}`
    : exit?.reason === "lost"
      ? "at a time that is not known"
      : undefined
  const why = when ? `${said} ${when}` : said
  const who = `${name ?? ""} (${shortId(instance_id ?? "")})`
  return printable([time, type, who, ...(why === undefined ? [] : [why])].join("  "))
}
