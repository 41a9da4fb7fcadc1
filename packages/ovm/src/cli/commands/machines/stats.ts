import { setTimeout as sleep } from "node:timers/promises"
import type { Command } from "commander"
import { useDaemonOfInstances } from "../../daemon.ts"
import { formatSize, shortId } from "../../format.ts"
import { stateOf } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { isTerminal, print, printJson } from "../../output.ts"
import { columnsOf } from "../../terminal/columns.ts"
import { examples } from "../../terminal/examples.ts"
import { type Column, table } from "../../terminal/table.ts"
import { lookAtUsage, type MachineUsage, usageModel, usagesBetween } from "../../usage.ts"

interface StatsOptions {
  readonly stream: boolean
  readonly json?: boolean
}

const EVERY_MS = 1000
/** The cursor to the corner, and everything below it gone. */
const CLEAR = "\x1b[H\x1b[J"

const COLUMNS: readonly Column[] = [
  { heading: "ID" },
  { heading: "NAME", least: 8 },
  { heading: "STATE", least: 8, spare: 2 },
  { heading: "CPU" },
  { heading: "VCPUS", spare: 1 },
  { heading: "RESIDENT" },
  { heading: "MEMORY", spare: 1 },
  { heading: "CPU TIME", spare: 3 },
]

export function define(command: Command): void {
  command
    .description(
      "Show what machines take of this host: of a processor in the last second, as 100 % each, and of memory. All " +
        "that run unless some are named. On a terminal it goes on until Ctrl-C.",
    )
    .argument("[instance...]", "names, ids, or the start of ids")
    .option("--no-stream", "look once and end")
    .option("--json", "print JSON, and end")
    .action(run)
  examples(command, "ovm stats", "ovm stats --no-stream web", "ovm stats --json")
}

async function run(names: readonly string[], options: StatsOptions): Promise<void> {
  const runtime = await useDaemonOfInstances()
  const goesOn = options.stream && !options.json && isTerminal("stdout")
  const work = async (signal: AbortSignal) => {
    let before = await lookAtUsage(runtime, names, { signal })
    do {
      await sleep(EVERY_MS, undefined, { signal })
      const now = await lookAtUsage(runtime, names, { signal })
      const usages = usagesBetween(before, now)
      before = now
      if (options.json) printJson({ instances: usages.map(usageModel) })
      else print(`${goesOn ? CLEAR : ""}${table(COLUMNS, usages.map(cells), columnsOf("stdout"))}`)
    } while (goesOn)
  }
  await interruptible((signal) =>
    work(signal).catch((thrown) => {
      // Ctrl-C is how it ends.
      if (!goesOn || !signal.aborted) throw thrown
    }),
  )
}

function cells({ info, cpuPercent }: MachineUsage): string[] {
  const { rss, memory, vcpus, cpu_time_ms } = info.resources
  return [
    shortId(info.instance_id),
    info.name,
    stateOf(info),
    cpuPercent === undefined ? "" : `${cpuPercent.toFixed(1)} %`,
    `${vcpus ?? ""}`,
    rss === undefined ? "" : formatSize(rss),
    memory === undefined ? "" : formatSize(memory),
    cpu_time_ms === undefined ? "" : `${(cpu_time_ms / 1000).toFixed(1)} s`,
  ]
}
