import { chmodSync, copyFileSync, existsSync, renameSync } from "node:fs"
import { open } from "node:fs/promises"
import { relative } from "node:path"
import { ChainReader, withLayers } from "../../disk/chain-reader.ts"
import type { LaunchPlan, UefiPlan } from "../plan.ts"
import { type Firmware, type Flash, findFirmware, sizeOfFlash, wantedFirmware } from "./firmware.ts"
import { asJson } from "./options.ts"

/** Names of QEMU's nodes. */
const [CODE_NODE, VARIABLES_NODE] = ["firmware", "firmware-variables"] as const
/** What is read of a template at once. */
const CHUNK = 1 << 20

/** The two flashes of a machine. */
export interface Flashes extends Pick<Firmware, "code" | "smm"> {
  /** The machine's own, raw, as QEMU finds it that runs in the machine's directory. */
  readonly variables: string
}

/**
 * Makes the variables of the machine of `plan` where there are none from an earlier life; there are all of them or
 * none. Undefined where it boots otherwise. Throws what copying throws.
 */
export async function makeVariables(plan: LaunchPlan): Promise<Flashes | undefined> {
  const { uefi } = plan
  const firmware = uefi && findFirmware(wantedFirmware(plan))
  if (!firmware) return undefined
  const { variables } = uefi
  if (!existsSync(variables)) {
    await copy(initialOf(uefi, firmware), `${variables}.making`)
    renameSync(`${variables}.making`, variables)
  }
  return { ...firmware, variables: relative(plan.directory, variables) }
}

/** A blob is bytes of a flash, whatever they look like. */
function initialOf({ initial }: UefiPlan, { template }: Firmware): Flash {
  return initial ? { path: initial.path, format: "raw" } : template
}

async function copy(from: Flash, path: string): Promise<void> {
  if (from.format === "raw") {
    copyFileSync(from.path, path)
    // A blob's own mode lets nobody write.
    return chmodSync(path, 0o600)
  }
  await using file = await open(path, "w", 0o600)
  const size = sizeOfFlash(from)
  await withLayers([from], async (layers) => {
    const disk = new ChainReader(layers)
    for (let at = 0; at < size; at += CHUNK) {
      const length = Math.min(CHUNK, size - at)
      await file.write((await disk.read(at, length)) ?? new Uint8Array(length), 0, length, at)
    }
  })
}

/** Properties of QEMU's machine that has `flashes`, with a comma before. */
export function flashProperties(flashes: Flashes | undefined): string {
  if (!flashes) return ""
  return `${flashes.smm ? ",smm=on" : ""},pflash0=${CODE_NODE},pflash1=${VARIABLES_NODE}`
}

/** The nodes behind them. */
export function flashArguments(flashes: Flashes | undefined): string[] {
  if (!flashes) return []
  const { code, variables, smm } = flashes
  return [
    ...(smm ? ["-global", "driver=cfi.pflash01,property=secure,value=on"] : []),
    ...asJson("-blockdev", node(CODE_NODE, code, true)),
    ...asJson("-blockdev", node(VARIABLES_NODE, { path: variables, format: "raw" }, false)),
  ]
}

function node(name: string, { path, format }: Flash, readOnly: boolean): Record<string, unknown> {
  const file = { driver: "file", filename: path, "read-only": readOnly }
  return { driver: format, "node-name": name, "read-only": readOnly, file }
}

/** What a guest sees of its firmware, and its snapshots depend on: how large the flashes are. */
export function flashDevices(plan: LaunchPlan): readonly string[] {
  const firmware = plan.uefi && findFirmware(wantedFirmware(plan))
  if (!firmware) return []
  const [code, variables] = [firmware.code, firmware.template].map(sizeOfFlash)
  const secure = firmware.smm ? "secure-boot," : ""
  return [`cfi.pflash01,uefi,${secure}code=${code},variables=${variables}`]
}
