import { setTimeout as sleep } from "node:timers/promises"
import type { Command } from "commander"
import type { Call } from "../../../content/interfaces.ts"
import type { InstanceInfo, Runtime } from "../../../runtime/interfaces.ts"
import { hasEnded } from "../../../runtime/states.ts"
import { statusIfThere } from "../../../runtime/status-if-there.ts"
import { useDaemonOfInstances } from "../../daemon.ts"
import { formatSize, shortId } from "../../format.ts"
import { choose, stateOf } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { isTerminal, print, printJson } from "../../output.ts"
import { columnsOf } from "../../terminal/columns.ts"
import { examples } from "../../terminal/examples.ts"
import { type Column, table } from "../../terminal/table.ts"

interface StatsOptions {
  readonly stream: boolean
  readonly json?: boolean
}

/** What one machine takes of the host. */
interface Usage {
  readonly info: InstanceInfo
  /** Of one processor, since the look before; absent of one that was not there then. */
  readonly cpuPercent?: number
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
    let before = await look(runtime, names, { signal })
    do {
      await sleep(EVERY_MS, undefined, { signal })
      const now = await look(runtime, names, { signal })
      const usages = now.machines.map((info) => usageOf(info, before, now.at))
      before = now
      if (options.json) printJson({ instances: usages.map(modelOf) })
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

interface Look {
  /** In ms, of performance.now(). */
  readonly at: number
  readonly machines: readonly InstanceInfo[]
}

async function look(runtime: Runtime | undefined, names: readonly string[], call: Call): Promise<Look> {
  const all = (await runtime?.list(call)) ?? []
  const meant =
    names.length > 0 ? names.map((name) => choose(all, name)) : all.filter(({ state }) => !hasEnded(state))
  const at = performance.now()
  const found = await Promise.all(
    meant.map((one) => runtime && statusIfThere(runtime, one.instance_id, call)),
  )
  return { at, machines: found.filter((one) => one !== undefined) }
}

function usageOf(info: InstanceInfo, before: Look, at: number): Usage {
  const earlier = before.machines.find(({ instance_id }) => instance_id === info.instance_id)
  const [from, to] = [earlier?.resources.cpu_time_ms, info.resources.cpu_time_ms]
  if (from === undefined || to === undefined) return { info }
  // One that was started again in between has begun anew.
  return { info, cpuPercent: (Math.max(0, to - from) / (at - before.at)) * 100 }
}

function cells({ info, cpuPercent }: Usage): string[] {
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

function modelOf({ info, cpuPercent }: Usage) {
  const { instance_id, name, state, resources } = info
  return {
    instance_id,
    name,
    state,
    ...(cpuPercent !== undefined && { cpu_percent: Math.round(cpuPercent * 10) / 10 }),
    resources,
  }
}
