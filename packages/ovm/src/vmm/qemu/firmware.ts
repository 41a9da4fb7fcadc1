import { copyFileSync, existsSync, readdirSync, readFileSync, renameSync, statSync } from "node:fs"
import { join } from "node:path"
import { checkKernel } from "../../kernel.ts"
import { isObject } from "../../objects.ts"
import type { LaunchPlan, Unsupported } from "../plan.ts"
import { asJson } from "./options.ts"

/** Where programs look for descriptions of firmware, the first wins (QEMU: docs/interop/firmware.json). */
const FOLDERS = ["/etc/qemu/firmware", "/usr/local/share/qemu/firmware", "/usr/share/qemu/firmware"]
/** A description has a few hundred bytes. */
const MOST_BYTES = 64 << 10
/** What machines of ours do not have, or not without being asked for. */
const UNWANTED = ["requires-smm", "secure-boot", "enrolled-keys"]

/** In the machine's directory: what its firmware remembers. */
const VARIABLES = "firmware-variables.fd"
/** Names of QEMU's nodes. */
const [CODE_NODE, VARIABLES_NODE] = ["firmware", "firmware-variables"] as const

interface Flash {
  readonly path: string
  readonly format: "raw" | "qcow2"
}

/** UEFI firmware of this host, in two flashes. */
export interface Firmware {
  readonly code: Flash
  /** What the variables of a new machine are copied from. */
  readonly template: Flash
}

/** The first that its distribution offers for QEMU's q35 on x86_64, without Secure Boot; undefined if there is none. */
export function findFirmware(folders: readonly string[] = FOLDERS): Firmware | undefined {
  const names = new Map<string, string>()
  for (const folder of folders)
    for (const name of filesIn(folder)) if (!names.has(name)) names.set(name, join(folder, name))
  for (const [, path] of [...names].sort(([one], [other]) => (one < other ? -1 : 1))) {
    const found = firmwareIn(path)
    if (found && [found.code, found.template].every(({ path }) => existsSync(path))) return found
  }
  return undefined
}

function filesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".json")) : []
}

/** What the description at `path` describes, if it is what machines of ours boot by. */
function firmwareIn(path: string): Firmware | undefined {
  try {
    if (statSync(path).size > MOST_BYTES) return undefined
    const { "interface-types": types, targets, features, mapping } = JSON.parse(readFileSync(path, "utf8"))
    if (!types.includes("uefi") || features.some((one: string) => UNWANTED.includes(one))) return undefined
    const fits = ({ architecture, machines }: { architecture: string; machines: string[] }) =>
      architecture === "x86_64" && machines.some((one) => one.startsWith("pc-q35"))
    if (!targets.some(fits) || mapping.device !== "flash") return undefined
    const [code, template] = [flashOf(mapping.executable), flashOf(mapping["nvram-template"])]
    return code && template && { code, template }
  } catch {
    // One of another kind, or that somebody is just writing.
    return undefined
  }
}

function flashOf(value: unknown): Flash | undefined {
  if (!isObject(value)) return undefined
  const { filename: path, format } = value
  return typeof path === "string" && (format === "raw" || format === "qcow2") ? { path, format } : undefined
}

/** What keeps the machine of `plan` from booting by UEFI, if it is to. Throws as checkKernel does. */
export async function checkFirmware({ uefi, kernel }: LaunchPlan): Promise<readonly Unsupported[]> {
  if (!uefi) return []
  const elf = kernel && (await checkKernel(kernel.path)) === "elf"
  const reasons = [
    ...(elf
      ? ["UEFI firmware starts EFI programs, such as a bzImage of Linux, and its kernel is an ELF file"]
      : []),
    ...(findFirmware() ? [] : ["this host has no UEFI firmware for QEMU (Debian: apt-get install ovmf)"]),
  ]
  return reasons.map((reason) => ({ pointer: "/metadata/platform/uefi", severity: "fatal", reason }))
}

/**
 * Makes the variables of the machine of `plan` where there are none from an earlier life; there are all of them or
 * none. Undefined where it boots otherwise. Throws what copying throws.
 */
export function makeVariables({ uefi, directory }: LaunchPlan): Firmware | undefined {
  const firmware = uefi && findFirmware()
  if (!firmware) return undefined
  const path = join(directory, VARIABLES)
  if (!existsSync(path)) {
    copyFileSync(firmware.template.path, `${path}.making`)
    renameSync(`${path}.making`, path)
  }
  return firmware
}

/** Properties of QEMU's machine that has `firmware`, with a comma before. */
export function flashesOf(firmware: Firmware | undefined): string {
  return firmware ? `,pflash0=${CODE_NODE},pflash1=${VARIABLES_NODE}` : ""
}

/** The nodes behind them. QEMU runs in the machine's directory. */
export function firmwareArguments(firmware: Firmware | undefined): string[] {
  if (!firmware) return []
  const { code, template } = firmware
  return [
    ...asJson("-blockdev", node(CODE_NODE, code, true)),
    ...asJson("-blockdev", node(VARIABLES_NODE, { path: VARIABLES, format: template.format }, false)),
  ]
}

function node(name: string, { path, format }: Flash, readOnly: boolean): Record<string, unknown> {
  const file = { driver: "file", filename: path, "read-only": readOnly }
  return { driver: format, "node-name": name, "read-only": readOnly, file }
}

/** Whether a node of QEMU's is a flash, and no disk. */
export function isFlash(node: string): boolean {
  return node === CODE_NODE || node === VARIABLES_NODE
}

/** What a guest sees of its firmware, and its snapshots depend on: how large the flashes are. */
export function firmwareDevices({ uefi }: LaunchPlan): readonly string[] {
  const firmware = uefi && findFirmware()
  if (!firmware) return []
  const [code, variables] = [firmware.code, firmware.template].map(({ path }) => statSync(path).size)
  return [`cfi.pflash01,uefi,code=${code},variables=${variables}`]
}
