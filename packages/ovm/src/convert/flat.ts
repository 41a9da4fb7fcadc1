import type { Call } from "../content/interfaces.ts"
import { chainNode } from "../disk/chain-node.ts"
import type { ChainFile } from "../disk/chain-reader.ts"
import { MAX_VIRTUAL_SIZE } from "../disk/inspect.ts"
import { CONVERSION, tool } from "./to-qcow2.ts"

/** Formats that a disk can be handed on in, and QEMU's names and options for them. */
export const FORMATS = {
  qcow2: ["qcow2", "compat=1.1"],
  raw: ["raw", ""],
  vmdk: ["vmdk", "subformat=streamOptimized"],
  vhd: ["vpc", "subformat=dynamic,force_size=on"],
  vhdx: ["vhdx", "subformat=dynamic"],
  vdi: ["vdi", ""],
} as const satisfies Record<string, readonly [driver: string, options: string]>

/** Of the file: a raw one is as large as the disk, however little is on it. */
const OUT = { ...CONVERSION, file: MAX_VIRTUAL_SIZE }

export type DiskFileFormat = keyof typeof FORMATS

/**
 * Writes what a guest would read of `layers`, the lowest first, into the new file `to`. The layers are verified, and
 * put together as they are to be run: what a header says of its backing file is not looked at. Throws as toQcow2 does.
 */
export async function flattenTo(
  layers: readonly ChainFile[],
  to: { readonly path: string; readonly format: DiskFileFormat },
  call: Call = {},
): Promise<void> {
  const [driver, options] = FORMATS[to.format]
  const chosen = options === "" ? [] : ["-o", options]
  const source = `json:${JSON.stringify(chainNode(layers))}`
  await tool(
    ["convert", "-q", "-O", driver, ...chosen, source, to.path],
    layers.at(-1)?.path ?? "",
    OUT,
    call,
  )
}
