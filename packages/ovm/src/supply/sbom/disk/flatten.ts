import { mkdtemp, rm } from "node:fs/promises"
import { join } from "node:path"
import type { Call } from "../../../content/interfaces.ts"
import { checkChain } from "../../../disk/chain.ts"
import { chainNode } from "../../../disk/chain-node.ts"
import { type DiskInfo, inspectDisk } from "../../../disk/inspect.ts"
import { runTool, unreadableDisk } from "../../../disk/tool.ts"
import { toOvmError } from "../../../errors.ts"

/** A layer's own file; base first. */
export interface LayerFile {
  readonly path: string
  readonly format: "qcow2" | "raw"
}

/**
 * What the guest sees as its disk, as one raw file that is only read. Disposing of it removes it if it was made for
 * this.
 */
export interface RawDisk extends AsyncDisposable {
  readonly path: string
  /** Bytes. */
  readonly size: number
}

/** Most that layers may have to copy, in bytes; compressed clusters count with what they inflate to. */
export const COPY_LIMIT = 64 * 2 ** 30
const LIMITS = { ms: 15 * 60_000, output: 64 * 1024 }

/**
 * The disk that `layers` make: a raw base alone as it is, a chain copied by qemu-img over explicit nodes (spec/disk.md)
 * into a sparse file in `folder`. No blob is written to. Throws OVM_DISK_INVALID, OVM_NO_SPACE, OVM_INTERRUPTED.
 */
export async function flatten(
  layers: readonly LayerFile[],
  folder: string,
  call: Call = {},
): Promise<RawDisk> {
  const infos: DiskInfo[] = []
  for (const [index, { path, format }] of layers.entries())
    infos.push(await inspectDisk(path, { format, role: index === 0 ? "base" : "diff", ...call }))
  checkChain(infos)
  const top = infos.at(-1)
  if (!top) throw unreadableDisk("there is no disk")
  const size = top.virtualSize
  if (top.format === "raw") return { path: top.path, size, [Symbol.asyncDispose]: async () => {} }
  const copied = infos.reduce((sum, info) => sum + allocated(info), 0)
  if (copied > COPY_LIMIT)
    throw unreadableDisk(`${copied} bytes would have to be copied, above ${COPY_LIMIT}`)
  const home = await mkdtemp(join(folder, "disk-")).catch((thrown: unknown) => {
    throw toOvmError(thrown)
  })
  const remove = () => rm(home, { recursive: true, force: true })
  try {
    const path = join(home, "raw")
    const args = ["convert", "-O", "raw", `json:${JSON.stringify(chainNode(infos))}`, path]
    const { status } = await runTool("qemu-img", args, LIMITS, call)
    if (status !== 0) throw unreadableDisk("qemu-img could not copy it out of its layers")
    return { path, size, [Symbol.asyncDispose]: remove }
  } catch (thrown) {
    await remove()
    throw thrown
  }
}

function allocated({ fileSize, qcow2 }: DiskInfo): number {
  return qcow2 ? qcow2.allocatedClusters * qcow2.clusterSize : fileSize
}
