import type { GuestModel, LaunchPlan } from "../plan.ts"
import { agentArguments } from "./agent.ts"
import { boardOf } from "./board.ts"
import { deviceArguments } from "./devices.ts"
import { firstBootDrive, firstDrive, furtherDrive, volumeDrive } from "./drives.ts"
import { type Flashes, flashArguments, flashProperties } from "./flashes.ts"
import { PVPANIC, RAM_ID } from "./model.ts"
import { networkArguments } from "./network.ts"
import { asJson } from "./options.ts"
import { QMP_SOCKET } from "./qmp.ts"
import { resultArguments } from "./result.ts"
import { shareArguments } from "./shares.ts"
import { tpmArguments } from "./tpm.ts"
import { TRACE_ARGUMENTS } from "./trace.ts"
import { sharedMemory, virtiofsArguments } from "./virtiofs.ts"

export interface QemuOptions {
  readonly accelerator: string
  readonly model: GuestModel
  /** A UUID. */
  readonly generationId: string
  /** A file with the RAM of a snapshot, mapped copy on write; the guest then waits for its state. */
  readonly ram?: string
  /** All memory of the process, once it is there. */
  readonly lockMemory?: boolean
  /** The qcow2 on top of the disk's layers; absent for a machine that cannot write. */
  readonly overlay?: string
  /** The tags of those shares that virtiofs serves, in the order in which their connections are inherited. */
  readonly served?: readonly string[]
  /** Of a machine that boots by UEFI. */
  readonly flashes?: Flashes
}

/**
 * The command line for `plan`, without the program's name. Pure. Strings of a manifest come in as whole arguments
 * (kernel command line) or inside JSON (paths), where neither comma nor quote means anything; check.ts has refused NUL,
 * which no argument can hold. QEMU runs in the instance's directory, so that the names of its own files are fixed and
 * short.
 */
export function qemuArguments(plan: LaunchPlan, options: QemuOptions): string[] {
  const { accelerator, model, generationId, ram, lockMemory, flashes, served = [] } = options
  const board = boardOf(plan)
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    // The guest stays stopped until the monitor listens, so that no event is missed.
    "-S",
    ...[
      "-machine",
      `${model.machineType},${board.properties},memory-backend=${RAM_ID}${flashProperties(flashes)}`,
    ],
    ...flashArguments(flashes),
    // What code is translated into is a gigabyte unless told, and would all be locked.
    ...["-accel", lockMemory && accelerator === "tcg" ? "tcg,tb-size=128" : accelerator],
    ...["-cpu", model.cpu],
    ...["-smp", String(model.vcpus)],
    ...["-m", `${model.memory / 1024}k`],
    ...asJson("-object", served.length > 0 ? sharedMemory(model.memory) : memory(model.memory, ram)),
    ...(lockMemory ? ["-overcommit", "mem-lock=on"] : []),
    ...["-chardev", `socket,id=qmp,path=${QMP_SOCKET},server=on,wait=off`],
    ...["-mon", "chardev=qmp,mode=control"],
    ...["-chardev", "stdio,id=console,signal=off"],
    ...(board.serial
      ? asJson("-device", { driver: board.serial, chardev: "console" })
      : ["-serial", "chardev:console"]),
    ...(model.devices.includes("vmgenid")
      ? asJson("-device", { driver: "vmgenid", guid: generationId })
      : []),
    ...(model.devices.includes(PVPANIC) ? asJson("-device", { driver: PVPANIC }) : []),
    ...resultArguments(model.devices),
    ...tpmArguments(model.devices),
    // A guest that has panicked stands still until it was seen, by the next daemon if need be: machine.ts ends it then.
    ...["-action", "panic=pause"],
    ...TRACE_ARGUMENTS,
    ...boot(plan),
    ...(ram === undefined ? [] : ["-incoming", "defer"]),
    ...firstDrive(plan, options.overlay),
    ...(plan.disks ?? []).flatMap(furtherDrive),
    ...deviceArguments(plan, model.devices),
    ...firstBootDrive(plan, model),
    ...ignition(plan),
    ...(plan.volumes ?? []).flatMap(volumeDrive),
    ...(plan.shares ?? []).flatMap(shareArguments),
    ...agentArguments(model.devices),
    ...networkArguments(plan, model.devices).flatMap(([option, value]) => asJson(option, value)),
    ...virtiofsArguments(served),
  ]
}

/** The backend's id is part of a snapshot, its type is not (docs/design/0014-qemu-snapshots.md). */
function memory(size: number, path: string | undefined): Record<string, unknown> {
  if (path === undefined) return { "qom-type": "memory-backend-ram", id: RAM_ID, size }
  return { "qom-type": "memory-backend-file", id: RAM_ID, size, "mem-path": path, share: false }
}

/** Where Ignition looks for its configuration under QEMU. An option of words, in which a comma is written twice. */
function ignition({ ignition }: LaunchPlan): string[] {
  if (!ignition) return []
  return ["-fw_cfg", `name=opt/com.coreos/config,file=${ignition.path.replaceAll(",", ",,")}`]
}

function boot({ kernel, initrd }: LaunchPlan): string[] {
  if (!kernel) return []
  const files = initrd ? ["-initrd", initrd.path] : []
  return ["-kernel", kernel.path, ...files, "-append", kernel.args]
}
