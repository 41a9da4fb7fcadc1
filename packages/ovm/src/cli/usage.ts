import type { Call } from "../content/interfaces.ts"
import type { InstanceInfo, Runtime } from "../runtime/interfaces.ts"
import { hasEnded } from "../runtime/states.ts"
import { statusIfThere } from "../runtime/status-if-there.ts"
import { choose } from "./instances.ts"

/** What machines had taken of the host by one moment. */
export interface UsageLook {
  /** In ms, of performance.now(). */
  readonly at: number
  readonly machines: readonly InstanceInfo[]
}

/** What one machine takes of the host. */
export interface MachineUsage {
  readonly info: InstanceInfo
  /** Of one processor, since the look before; absent of one that was not there then. */
  readonly cpuPercent?: number
  /** Bytes a second from and to the host's disks, likewise. */
  readonly reading?: number
  readonly writing?: number
}

/** Those that have not ended, or that `names` mean. Throws OVM_INSTANCE_UNKNOWN. */
export async function lookAtUsage(
  runtime: Runtime | undefined,
  names: readonly string[],
  call: Call,
): Promise<UsageLook> {
  const all = (await runtime?.list(call)) ?? []
  const meant =
    names.length > 0 ? names.map((name) => choose(all, name)) : all.filter(({ state }) => !hasEnded(state))
  const at = performance.now()
  const found = await Promise.all(
    meant.map((one) => runtime && statusIfThere(runtime, one.instance_id, call)),
  )
  return { at, machines: found.filter((one) => one !== undefined) }
}

/** Of each machine of the later look. */
export function usagesBetween(before: UsageLook, { at, machines }: UsageLook): MachineUsage[] {
  const seconds = (at - before.at) / 1000
  return machines.map((info) => {
    const earlier = before.machines.find(({ instance_id }) => instance_id === info.instance_id)
    // One that was started again in between has begun anew.
    const rate = (name: "cpu_time_ms" | "disk_read" | "disk_written") => {
      const [from, to] = [earlier?.resources[name], info.resources[name]]
      return from === undefined || to === undefined ? undefined : Math.max(0, to - from) / seconds
    }
    const [cpu, reading, writing] = [rate("cpu_time_ms"), rate("disk_read"), rate("disk_written")]
    return {
      info,
      ...(cpu !== undefined && { cpuPercent: cpu / 10 }),
      ...(reading !== undefined && { reading }),
      ...(writing !== undefined && { writing }),
    }
  })
}

/** What `--json` prints of it. */
export function usageModel({ info, cpuPercent }: MachineUsage) {
  const { instance_id, name, state, resources } = info
  return {
    instance_id,
    name,
    state,
    ...(cpuPercent !== undefined && { cpu_percent: Math.round(cpuPercent * 10) / 10 }),
    resources,
  }
}
