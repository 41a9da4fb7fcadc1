import { rmSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError, toOvmError } from "../../../ovm/src/errors.ts"
import { textIfPresent } from "../../../ovm/src/files/present.ts"
import type { Machine, MachineRecord } from "../../../ovm/src/vmm/machine.ts"
import type { LaunchPlan, Unsupported } from "../../../ovm/src/vmm/plan.ts"
import { endedMachine } from "../../../ovm/src/vmm/process/ended.ts"
import { killGroup } from "../../../ovm/src/vmm/process/group.ts"
import { isAlive, startedIn } from "../../../ovm/src/vmm/process/identity.ts"
import { spawnKept } from "../../../ovm/src/vmm/process/keeper.ts"
import { unreachable } from "../../../ovm/src/vmm/process/machine.ts"
import type { Capabilities, Vmm } from "../../../ovm/src/vmm/vmm.ts"
import { Link } from "./link.ts"
import { ToyMachine } from "./machine.ts"

const LAUNCH_MS = 60_000
const PORT = "port"

type Call = Parameters<Vmm["launch"]>[1]

export function toy(_cacheFolder: string): Vmm {
  return new Toy()
}

/**
 * A VMM that shares nothing with QEMU: no machine types, no processor, no disk, no snapshots, another way to be asked
 * (guest.ts). What holds it up holds up any VMM.
 */
class Toy implements Vmm {
  readonly name = "toy"

  async capabilities(): Promise<Capabilities> {
    return {
      name: this.name,
      version: "1.0",
      binary: process.execPath,
      accelerator: "none",
      acceleratorReason: "it executes nothing",
      accelerators: ["none"],
    }
  }

  async check({
    kernel,
    disk,
    disks = [],
    agent,
    ignition,
    shares,
  }: LaunchPlan): Promise<readonly Unsupported[]> {
    const severity = "fatal" as const
    return [
      ...(kernel ? [] : [{ pointer: "/kernel", severity, reason: "it has no BIOS" }]),
      ...(disk ? [{ pointer: "/diskLayers", severity, reason: "it has no disk" }] : []),
      ...(ignition ? [{ pointer: "config/ignition", severity, reason: "it has no fw_cfg" }] : []),
      ...(shares ? [{ pointer: "shares", severity, reason: "it shows no folder" }] : []),
      ...(agent ? [{ pointer: "/agent", severity, reason: "it has no way into its guest" }] : []),
      ...(disks.length > 0 ? [{ pointer: "/disks", severity, reason: "it has no disk" }] : []),
    ]
  }

  async launch(plan: LaunchPlan, call: Call = {}): Promise<Machine> {
    const { directory, kernel, resources } = plan
    const [first] = await this.check(plan)
    if (first) throw new OvmError("OVM_UNSUPPORTED", `${first.pointer}: ${first.reason}`)
    if (call.signal?.aborted) throw new OvmError("OVM_INTERRUPTED", "the launch was interrupted")
    rmSync(join(directory, PORT), { force: true })
    const began = performance.now()
    const program = [process.execPath, join(import.meta.dir, "guest.ts")]
    const { group } = await spawnKept([...program, String(resources.memory), kernel?.args ?? ""], plan)
    try {
      const { port, link } = await this.#contact(directory, call)
      const spawn = performance.now() - began
      const identity = await startedIn(directory)
      if (!identity) throw new OvmError("OVM_VMM_FAILED", `no pid was left in ${directory}`)
      const { version, accelerator } = await this.capabilities()
      const record = { vmm: this.name, version, accelerator, ...identity, directory, own: { port } }
      await link.ask("resume")
      return new ToyMachine(record, { spawn, load: 0 }, link)
    } catch (thrown) {
      await killGroup(group)
      throw toOvmError(thrown)
    }
  }

  async adopt(record: MachineRecord): Promise<Machine> {
    if (!(await isAlive(record))) return endedMachine(record)
    const link = await Link.open(Number(record.own?.port))
    if (!link) {
      if (!(await isAlive(record))) return endedMachine(record)
      throw unreachable(record)
    }
    await link.ask("look")
    // Whoever launched it died before it let it go.
    if (link.state === "waiting") await link.ask("resume")
    return new ToyMachine(record, { spawn: 0, load: 0 }, link)
  }

  /** Tries until the process listens. */
  async #contact(directory: string, { signal }: NonNullable<Call>): Promise<{ port: number; link: Link }> {
    for (const deadline = performance.now() + LAUNCH_MS; performance.now() < deadline; await sleep(5)) {
      if (signal?.aborted) throw new OvmError("OVM_INTERRUPTED", "the launch was interrupted")
      const port = Number(textIfPresent(join(directory, PORT)) || 0)
      const link = port > 0 ? await Link.open(port) : undefined
      if (link) return { port, link }
    }
    throw new OvmError("OVM_VMM_TIMEOUT", "the toy does not listen")
  }
}
