import { readdirSync } from "node:fs"
import type { InstanceInfo, Runtime } from "../runtime/interfaces.ts"
import { hasEnded, STATES } from "../runtime/states.ts"
import { statusIfThere } from "../runtime/status-if-there.ts"

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number | undefined]

/** One thing that is measured, with all its samples. */
interface Metric {
  readonly name: string
  readonly type: "gauge" | "counter"
  readonly help: string
  readonly samples: readonly Sample[]
}

/** What `runtime` and this process are doing, in Prometheus' text format (OVMS-API-220). */
export async function metricsOf(runtime: Runtime): Promise<string> {
  const [info, all, networks] = await Promise.all([runtime.info(), runtime.list(), runtime.networks()])
  const going = all.filter(({ state }) => !hasEnded(state))
  const live = (await Promise.all(going.map((one) => statusIfThere(runtime, one.instance_id)))).filter(
    (one) => one !== undefined,
  )
  const { user, system } = process.cpuUsage()
  return render([
    gauge("ovm_build_info", "The daemon's version.", [[{ version: info.version }, 1]]),
    gauge(
      "ovm_instances",
      "Instances on record.",
      STATES.map((state) => [{ state }, all.filter((one) => one.state === state).length]),
    ),
    gauge("ovm_instances_limit", "Instances that may run.", [[{}, info.instances.limit]]),
    gauge("ovm_instances_unreachable", "Instances whose VMM cannot be asked just now.", [
      [{}, all.filter(({ reachable }) => reachable === false).length],
    ]),
    gauge("ovm_instances_degraded", "Instances of which something has ended while the VMM lives.", [
      [{}, all.filter(({ degraded }) => degraded !== undefined).length],
    ]),
    gauge(
      "ovm_networks_degraded",
      "Networks that machines share of which something is missing or stands still.",
      [[{}, networks.filter(({ degraded }) => degraded).length]],
    ),
    ofEach("ovm_instance_memory_bytes", "RAM of the guest.", live, ({ resources }) => resources.memory),
    ofEach("ovm_instance_resident_bytes", "Memory of the VMM.", live, ({ resources }) => resources.rss),
    {
      ...ofEach("ovm_instance_cpu_seconds_total", "Processor time of the VMM.", live, ({ resources }) =>
        seconds(resources.cpu_time_ms),
      ),
      type: "counter",
    },
    ofEach("ovm_instance_start_seconds", "From the request to a running guest.", live, ({ timings_ms }) =>
      seconds(timings_ms.total),
    ),
    gauge(
      "ovm_warm_slots_ready",
      "Slots that wait to be taken.",
      info.warm.map(({ reference, ready }) => [{ reference }, ready]),
    ),
    gauge(
      "ovm_warm_slots_wanted",
      "Slots that were asked for.",
      info.warm.map(({ reference, wanted }) => [{ reference }, wanted]),
    ),
    counter("process_cpu_seconds_total", "Processor time of the daemon.", (user + system) / 1e6),
    gauge("process_resident_memory_bytes", "Memory of the daemon.", [[{}, process.memoryUsage.rss()]]),
    gauge("process_open_fds", "Descriptors of the daemon.", [[{}, readdirSync("/proc/self/fd").length]]),
    gauge("process_start_time_seconds", "When the daemon began, since 1970.", [
      [{}, Math.round(performance.timeOrigin / 1000)],
    ]),
  ])
}

function ofEach(
  name: string,
  help: string,
  live: readonly InstanceInfo[],
  value: (info: InstanceInfo) => number | undefined,
): Metric {
  const samples = live.map(
    (info): Sample => [{ instance_id: info.instance_id, name: info.name }, value(info)],
  )
  return gauge(name, help, samples)
}

function gauge(name: string, help: string, samples: readonly Sample[]): Metric {
  return { name, type: "gauge", help, samples }
}

function counter(name: string, help: string, value: number): Metric {
  return { name, type: "counter", help, samples: [[{}, value]] }
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000
}

function render(metrics: readonly Metric[]): string {
  return metrics
    .flatMap(({ name, type, help, samples }) => [
      `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`,
      ...samples.map(([labels, value]) =>
        value === undefined ? "" : `${name}${labelsOf(labels)} ${value}\n`,
      ),
    ])
    .join("")
}

function labelsOf(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return pairs.length > 0 ? `{${pairs.join(",")}}` : ""
}

/** OVMS-API-221. */
function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`))
}
