import { closeSync, openSync } from "node:fs"
import { dirname } from "node:path"
import type { Call } from "../content/interfaces.ts"
import { chainNode } from "../disk/chain-node.ts"
import type { ChainFile } from "../disk/chain-reader.ts"
import { MAX_VIRTUAL_SIZE } from "../disk/inspect.ts"
import { type OvmError, toOvmError } from "../errors.ts"
import { named, writeNow } from "../files/writing.ts"
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

/** More than qemu-img may have failed to write at once. */
const MORE = 1 << 20

export interface FlatFile {
  readonly path: string
  readonly format: DiskFileFormat
  /** What it is in errors: its folder unless told. */
  readonly called?: string
}

/**
 * Writes what a guest would read of `layers`, the lowest first, into the new file `to`. The layers are verified, and
 * put together as they are to be run: what a header says of its backing file is not looked at. Throws as toQcow2 does,
 * and OVM_NO_SPACE naming `to`.
 */
export async function flattenTo(layers: readonly ChainFile[], to: FlatFile, call: Call = {}): Promise<void> {
  const [driver, options] = FORMATS[to.format]
  const chosen = options === "" ? [] : ["-o", options]
  const source = `json:${JSON.stringify(chainNode(layers))}`
  const args = ["convert", "-q", "-O", driver, ...chosen, source, to.path]
  try {
    await tool(args, layers.at(-1)?.path ?? "", OUT, call)
  } catch (thrown) {
    throw isOfDisk(thrown) ? (noRoom(to) ?? thrown) : thrown
  }
}

function isOfDisk(thrown: unknown): boolean {
  const { code } = toOvmError(thrown)
  return code === "OVM_DISK_INVALID" || code === "OVM_NO_SPACE"
}

/** qemu-img has several words for a full disk, some of which would be the layer's fault: a write of our own says. */
function noRoom({ path, called = dirname(path) }: FlatFile): OvmError | undefined {
  try {
    const fd = openSync(path, "a")
    try {
      writeNow(fd, Buffer.alloc(MORE, 1))
    } finally {
      closeSync(fd)
    }
  } catch (thrown) {
    const error = toOvmError(named(called, thrown))
    return error.code === "OVM_NO_SPACE" ? error : undefined
  }
  return undefined
}
