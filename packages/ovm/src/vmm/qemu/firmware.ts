import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, statSync } from "node:fs"
import { join } from "node:path"
import { isObject } from "../../objects.ts"
import type { LaunchPlan } from "../plan.ts"

/** Where programs look for descriptions of firmware, the first wins (QEMU: docs/interop/firmware.json). */
const FOLDERS = ["/etc/qemu/firmware", "/usr/local/share/qemu/firmware", "/usr/share/qemu/firmware"]
/** A description has a few hundred bytes. */
const MOST_BYTES = 64 << 10
/** What machines do not have without being asked for. */
const SECURE = ["requires-smm", "secure-boot", "enrolled-keys"]
/** Where a qcow2 says how large its disk is (QEMU: docs/interop/qcow2). */
const [VIRTUAL_SIZE_AT, HEAD] = [24, 32]

export interface Flash {
  readonly path: string
  readonly format: "raw" | "qcow2"
}

/** UEFI firmware of this host, in two flashes. */
export interface Firmware {
  readonly code: Flash
  /** What the variables of a new machine are copied from. */
  readonly template: Flash
  /** Only code of the processor's system management mode may write to the flashes. */
  readonly smm: boolean
}

/** Which firmware a machine is to have. */
export interface WantedFirmware extends Pick<LaunchPlan, "architecture"> {
  readonly secureBoot?: boolean
  /** Bytes of the variables that it has from its image. */
  readonly variables?: number
}

export function wantedFirmware({ architecture, uefi }: LaunchPlan): WantedFirmware {
  const { initial, secureBoot } = uefi ?? {}
  return {
    ...(architecture && { architecture }),
    ...(secureBoot && { secureBoot }),
    ...(initial && { variables: initial.size }),
  }
}

/** The first that its distribution offers for QEMU's machine and that fits; undefined if there is none. */
export function findFirmware(
  wanted: WantedFirmware = {},
  folders: readonly string[] = FOLDERS,
): Firmware | undefined {
  const names = new Map<string, string>()
  for (const folder of folders)
    for (const name of filesIn(folder)) if (!names.has(name)) names.set(name, join(folder, name))
  for (const [, path] of [...names].sort(([one], [other]) => (one < other ? -1 : 1))) {
    const found = firmwareIn(path, wanted)
    if (!found || ![found.code, found.template].every(({ path }) => existsSync(path))) continue
    if (wanted.variables === undefined || sizeOfFlash(found.template) === wanted.variables) return found
  }
  return undefined
}

function filesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".json")) : []
}

/** What the description at `path` describes, if it is what machines of ours boot by. */
function firmwareIn(path: string, wanted: WantedFirmware): Firmware | undefined {
  try {
    if (statSync(path).size > MOST_BYTES) return undefined
    const { "interface-types": types, targets, features, mapping } = JSON.parse(readFileSync(path, "utf8"))
    if (!types.includes("uefi") || !suits(features, wanted)) return undefined
    const [arch, board] = wanted.architecture === "arm64" ? ["aarch64", "virt-"] : ["x86_64", "pc-q35"]
    const fits = ({ architecture, machines }: { architecture: string; machines: string[] }) =>
      architecture === arch && machines.some((one) => one.startsWith(board))
    if (!targets.some(fits) || mapping.device !== "flash") return undefined
    const [code, template] = [flashOf(mapping.executable), flashOf(mapping["nvram-template"])]
    return code && template && { code, template, smm: features.includes("requires-smm") }
  } catch {
    // One of another kind, or that somebody is just writing.
    return undefined
  }
}

/** Keys that are believed come with the template, unless the machine has variables from its image. */
function suits(features: readonly string[], { secureBoot, variables }: WantedFirmware): boolean {
  if (!secureBoot) return !SECURE.some((one) => features.includes(one))
  return features.includes("secure-boot") && (variables !== undefined || features.includes("enrolled-keys"))
}

function flashOf(value: unknown): Flash | undefined {
  if (!isObject(value)) return undefined
  const { filename: path, format } = value
  return typeof path === "string" && (format === "raw" || format === "qcow2") ? { path, format } : undefined
}

/** Bytes that the guest sees of it. */
export function sizeOfFlash({ path, format }: Flash): number {
  if (format === "raw") return statSync(path).size
  const file = openSync(path, "r")
  try {
    const head = Buffer.alloc(HEAD)
    readSync(file, head, 0, HEAD, 0)
    return Number(head.readBigUInt64BE(VIRTUAL_SIZE_AT))
  } finally {
    closeSync(file)
  }
}
