import { setTimeout as sleep } from "node:timers/promises"
import type { Command } from "commander"
import type { Runtime } from "../../../runtime/interfaces.ts"
import { useDaemonOfInstances } from "../../daemon.ts"
import { formatDuration, formatSize } from "../../format.ts"
import { stateOf } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { isTerminal, print, printJson } from "../../output.ts"
import { columnsOf } from "../../terminal/columns.ts"
import { examples } from "../../terminal/examples.ts"
import { fullScreen } from "../../terminal/full-screen.ts"
import { type Column, table } from "../../terminal/table.ts"
import { lookAtUsage, type MachineUsage, usageModel, usagesBetween } from "../../usage.ts"

const ORDERS = {
  cpu: descending(({ cpuPercent }) => cpuPercent),
  memory: descending(({ info }) => info.resources.rss),
  disk: descending(({ reading = 0, writing = 0 }) => reading + writing),
  uptime: descending(({ info }) => info.timings_ms.running),
  name: (a: MachineUsage, b: MachineUsage) => a.info.name.localeCompare(b.info.name),
}
type Order = keyof typeof ORDERS

interface TopOptions {
  readonly sort: Order
  readonly json?: boolean
}

const EVERY_MS = 1000
/** By its first letter each. */
const KEYS = new Map(Object.keys(ORDERS).map((order) => [order[0], order as Order]))
const QUIT = new Set(["q", "\x03", "\x04", "\x1b"])
/** Above and below the machines. */
const FRAME_LINES = 3

const COLUMNS: readonly Column[] = [
  { heading: "NAME", least: 8 },
  { heading: "STATE", least: 8, spare: 3 },
  { heading: "CPU" },
  { heading: "RESIDENT" },
  { heading: "MEMORY", spare: 2 },
  { heading: "READ/S", spare: 1 },
  { heading: "WRITTEN/S", spare: 1 },
  { heading: "UPTIME" },
]

export function define(command: Command): void {
  command
    .description(
      "Show on the whole terminal what machines take of this host, the one that takes most above, until `q` is " +
        "pressed: `c`, `m`, `d`, `u` and `n` put them in the order of processors, memory, disks, uptime and names. " +
        "All that run unless some are named. Without a terminal it is one table.",
    )
    .argument("[instance...]", "names, ids, or the start of ids")
    .addOption(
      command
        .createOption("-s, --sort <order>", "what comes first")
        .choices(Object.keys(ORDERS))
        .default("cpu"),
    )
    .option("--json", "look once, print JSON, and end")
    .action(run)
  examples(command, "ovm top", "ovm top --sort memory web db", "ovm top --json")
}

async function run(names: readonly string[], options: TopOptions): Promise<void> {
  const runtime = await useDaemonOfInstances()
  if (!options.json && isTerminal("stdin") && isTerminal("stdout"))
    return await live(runtime, names, options.sort)
  const usages = await interruptible(async (signal) => {
    const before = await lookAtUsage(runtime, names, { signal })
    await sleep(EVERY_MS, undefined, { signal })
    return usagesBetween(before, await lookAtUsage(runtime, names, { signal }))
  })
  if (options.json) printJson({ instances: usages.toSorted(ORDERS[options.sort]).map(usageModel) })
  else print(table(COLUMNS, usages.toSorted(ORDERS[options.sort]).map(cells), columnsOf("stdout")))
}

async function live(runtime: Runtime | undefined, names: readonly string[], first: Order): Promise<void> {
  let order = first
  let usages: readonly MachineUsage[] = []
  const left = new AbortController()
  using screen = fullScreen((key) => {
    if (QUIT.has(key)) return left.abort()
    order = KEYS.get(key) ?? order
    screen.show(picture(usages, order))
  }, left)
  const { signal } = left
  try {
    for (let before = await lookAtUsage(runtime, names, { signal }); ; ) {
      const now = await lookAtUsage(runtime, names, { signal })
      usages = usagesBetween(before, now)
      before = now
      screen.show(picture(usages, order))
      await sleep(EVERY_MS, undefined, { signal })
    }
  } catch (thrown) {
    if (!signal.aborted) throw thrown
  }
}

function picture(usages: readonly MachineUsage[], order: Order): string {
  const room = Math.max(1, (process.stdout.rows || 24) - FRAME_LINES)
  const cpu = usages.reduce((sum, { cpuPercent = 0 }) => sum + cpuPercent, 0)
  const memory = usages.reduce((sum, { info }) => sum + (info.resources.rss ?? 0), 0)
  const all = `${usages.length} machines, ${cpu.toFixed(1)} % of a processor, ${formatSize(memory)}`
  const rows = usages.toSorted(ORDERS[order]).slice(0, room).map(cells)
  return `${all}; by ${order}: c m d u n, q quits\n\n${table(COLUMNS, rows, columnsOf("stdout"))}`
}

function cells({ info, cpuPercent, reading, writing }: MachineUsage): string[] {
  const { rss, memory } = info.resources
  const size = (bytes: number | undefined) => (bytes === undefined ? "" : formatSize(Math.round(bytes)))
  const { running } = info.timings_ms
  return [
    info.name,
    stateOf(info),
    cpuPercent === undefined ? "" : `${cpuPercent.toFixed(1)} %`,
    size(rss),
    size(memory),
    size(reading),
    size(writing),
    running === undefined ? "" : formatDuration(running / 1000),
  ]
}

function descending(of: (usage: MachineUsage) => number | undefined) {
  return (a: MachineUsage, b: MachineUsage) => (of(b) ?? -1) - (of(a) ?? -1)
}
