import { join } from "node:path"
import { toOvmError } from "../errors.ts"
import type { Images } from "../images/images.ts"
import { rounded } from "../rounded.ts"
import { spokenOf } from "../vmm/available.ts"
import type { MachineRecord, Usage } from "../vmm/machine.ts"
import type { Vmm } from "../vmm/vmm.ts"
import { agentWarnings, shownAgent } from "./agents.ts"
import { entryOf, type Instance } from "./instance.ts"
import type { InstanceInfo, RuntimeInfo, VmmInfo } from "./interfaces.ts"
import { shownLogin } from "./login.ts"
import { suspension } from "./suspended.ts"

/** The status of an instance as clients see it: with how long it has run, and whether it can be asked. */
export async function shown(instance: Instance): Promise<InstanceInfo> {
  const suspended = await suspension(instance)
  const { directory, info, request, silence, unreadable, degraded, machine, mounts } = instance
  const { ssh, exec } = request?.overrides ?? {}
  const agent = shownAgent(instance)
  const error = unreadable ?? silence?.error ?? suspended
  return withRunning({
    ...info,
    // It is still being put aside.
    ...(instance.standby && !instance.watched && { reason: "snapshot" as const }),
    ...(exec && { command: exec.command }),
    ...(ssh && { ssh: shownLogin(directory, ssh) }),
    ...((silence || suspended) && { reachable: false }),
    ...volumesOf(instance),
    ...devicesOf(instance),
    ...(info.shares && machine && mounts && { shares: [...mounts.shares] }),
    ...(agent && { agent }),
    warnings: [
      ...info.warnings,
      ...shareWarnings(instance),
      ...agentWarnings(instance),
      ...(machine ? degraded.warnings : []),
    ],
    ...(machine && degraded.all.length > 0 && { degraded: [...degraded.all] }),
    ...(error && { error: entryOf(error) }),
  })
}

function shareWarnings({ machine }: Instance): readonly string[] {
  const { shareFailure } = machine?.record ?? {}
  return shareFailure === undefined ? [] : [`shares: by 9p, since virtiofs cannot be had: ${shareFailure}`]
}

function volumesOf({ volumes = [] }: Instance): Pick<InstanceInfo, "volumes"> {
  if (volumes.length === 0) return {}
  return { volumes: volumes.map(({ name, readOnly = false }) => ({ name, read_only: readOnly })) }
}

/** Of a machine that is there: what it has may change from one life to the next. */
function devicesOf({ machine, directory }: Instance): Pick<InstanceInfo, "devices"> {
  const { devices = [] } = machine?.record ?? {}
  if (devices.length === 0) return {}
  return {
    devices: devices.map(({ file, ...device }) => ({
      ...device,
      ...(file !== undefined && { path: join(directory, file) }),
    })),
  }
}

/** How long it has run, or ran: from its own times, so that nothing needs to be written while it runs. */
function withRunning(info: InstanceInfo): InstanceInfo {
  if (!info.started) return info
  const running = Date.parse(info.finished ?? new Date().toISOString()) - Date.parse(info.started)
  return { ...info, timings_ms: { ...info.timings_ms, running: Math.max(0, running) } }
}

/** With what its VMM's process takes of the host. */
export function withUsage(info: InstanceInfo, { rss, cpuTime, diskRead, diskWritten }: Usage): InstanceInfo {
  const transfers = {
    ...(diskRead !== undefined && { disk_read: diskRead }),
    ...(diskWritten !== undefined && { disk_written: diskWritten }),
  }
  return { ...info, resources: { ...info.resources, rss, cpu_time_ms: cpuTime, ...transfers } }
}

/** What a status says of a machine that has just begun to run. */
export function enteredAt({ generationId }: MachineRecord): Partial<InstanceInfo> {
  return { started: new Date().toISOString(), ...(generationId && { generation_id: generationId }) }
}

/** Milliseconds since `start`, which is a time of performance.now(). */
export function since(start: number): number {
  return rounded(performance.now() - start)
}

/** What GET /info says of a runtime that does not change while it runs, or not by its own doing. */
export async function factsAbout(options: {
  readonly version: string
  readonly root: string
  readonly vmms: readonly Vmm[]
  readonly images: Pick<Images, "policyInfo">
}): Promise<Omit<RuntimeInfo, "instances" | "warm">> {
  const { version, root, vmms, images } = options
  const { error, ...policy } = await images.policyInfo()
  return {
    version,
    pid: process.pid,
    root,
    vmms: await Promise.all(spokenOf(vmms).map(describe)),
    policy: { ...policy, ...(error && { error: entryOf(error) }) },
  }
}

/** What GET /info says of a VMM, be it usable or not. */
export async function describe(vmm: Vmm): Promise<VmmInfo> {
  try {
    const { name, version, binary, accelerator, acceleratorReason, jailed } = await vmm.capabilities()
    return {
      ...{ name, version, binary, accelerator, accelerator_reason: acceleratorReason },
      ...(jailed && { jailed: jailed.active, jailed_reason: jailed.reason }),
    }
  } catch (error) {
    return { name: vmm.name, error: entryOf(toOvmError(error)) }
  }
}
