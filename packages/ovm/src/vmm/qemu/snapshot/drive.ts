import { existsSync } from "node:fs"
import { basename, join } from "node:path"
import { OvmError } from "../../../errors.ts"
import type { OverlayNodes } from "../../process/attempt.ts"
import { writes } from "../drives.ts"
import type { Qmp } from "../qmp.ts"

/** What a disk of the guest's is now. */
export interface Drive {
  /** The node that the guest writes to, or reads. */
  readonly node: string
  readonly path: string
  readonly readOnly: boolean
  /** Bytes. */
  readonly size: number
  /** The guest's flushes are not passed on. */
  readonly ephemeral: boolean
}

interface BlockInfo {
  /** The path of the device that the guest has it by. */
  readonly qdev?: string
  readonly inserted?: {
    readonly "node-name"?: string
    readonly ro?: boolean
    readonly cache?: { readonly "no-flush"?: boolean }
    readonly image?: { readonly "virtual-size"?: number }
  }
}

/** Where QEMU has the device of drives.ts. */
const FIRST_DISK = "/machine/peripheral/disk/"
const FURTHER_DISK = /^(\/machine\/peripheral\/disk\d+)\//

interface NodeInfo {
  readonly "node-name"?: string
  readonly file?: string
}

/** The guest's first disk (qapi/block-core.json, query-block); undefined without one. */
export async function driveOf(qmp: Qmp): Promise<Drive | undefined> {
  return await driveIn(
    qmp,
    (await blocksOf(qmp)).find(({ qdev }) => qdev?.startsWith(FIRST_DISK)),
  )
}

/** Those of its further disks that it can write to, by the name that it knows each by. */
export async function furtherDrivesOf(qmp: Qmp): Promise<ReadonlyMap<string, Drive>> {
  const found = new Map<string, Drive>()
  for (const block of await blocksOf(qmp)) {
    const path = FURTHER_DISK.exec(block.qdev ?? "")?.[1]
    const drive = path === undefined ? undefined : await driveIn(qmp, block)
    if (drive && !drive.readOnly)
      found.set(String(await qmp.execute("qom-get", { path, property: "serial" })), drive)
  }
  return found
}

async function blocksOf(qmp: Qmp): Promise<readonly BlockInfo[]> {
  return (await qmp.execute("query-block")) as readonly BlockInfo[]
}

async function driveIn(qmp: Qmp, { inserted }: BlockInfo = {}): Promise<Drive | undefined> {
  const [node, size] = [inserted?.["node-name"], inserted?.image?.["virtual-size"]]
  if (node === undefined || size === undefined) return undefined
  // Of the disk itself QEMU tells the whole chain instead of a path, and only the first 4 KiB of that.
  const name = fileNodeOf(node)
  const path = await fileOfNode(qmp, name)
  if (path === undefined) throw new OvmError("OVM_VMM_FAILED", `QEMU does not tell the file of ${node}`)
  return {
    node,
    path,
    readOnly: inserted?.ro === true,
    size,
    ephemeral: inserted?.cache?.["no-flush"] === true,
  }
}

/**
 * `drive` with the path that its file has in `directory`, if it is there: QEMU tells the path by which it opened the
 * file, and the directory may have been moved since.
 */
export function driveHere<T extends Drive | undefined>(directory: string, drive: T): T {
  const here = drive && join(directory, basename(drive.path))
  return here && existsSync(here) ? { ...drive, path: here } : drive
}

/** The node of the file below a layer's. */
export function fileNodeOf(layer: string): string {
  return layer.replace(/^(disk\d+-)?layer/, "$1file")
}

/** The path by which a node was opened; undefined if there is no such node. */
export async function fileOfNode(qmp: Qmp, node: string): Promise<string | undefined> {
  return (await allNodes(qmp)).find((one) => one["node-name"] === node)?.file
}

async function allNodes(qmp: Qmp): Promise<readonly NodeInfo[]> {
  return (await qmp.execute("query-named-block-nodes", { flat: true })) as readonly NodeInfo[]
}

export function overlayNodes(below: string): OverlayNodes {
  const id = crypto.randomUUID().slice(0, 13)
  return { file: `file-${id}`, format: `layer-${id}`, below }
}

/**
 * Opens an empty overlay, ahead of the pause. It gets its backing node when it becomes the top. `ephemeral`: as the
 * disk is that it goes on top of.
 */
export async function attachOverlay(
  qmp: Qmp,
  nodes: OverlayNodes,
  path: string,
  ephemeral: boolean,
): Promise<void> {
  const access = { "read-only": false, ...writes(ephemeral) }
  await qmp.execute("blockdev-add", {
    driver: "file",
    "node-name": nodes.file,
    filename: path,
    ...access,
  })
  await qmp.execute("blockdev-add", {
    driver: "qcow2",
    "node-name": nodes.format,
    file: nodes.file,
    backing: null,
    ...access,
  })
}

/**
 * From now on the guest writes to the overlay. Writes that are under way are in the old top afterwards. Of several all
 * are changed, or none, with no write of the guest's in between.
 */
export async function switchTo(qmp: Qmp, ...all: readonly OverlayNodes[]): Promise<void> {
  const changes = all.map(({ below: node, format: overlay }) => ({ node, overlay }))
  const [one, ...others] = changes
  if (one && others.length === 0) return void (await qmp.execute("blockdev-snapshot", one))
  const actions = changes.map((data) => ({ type: "blockdev-snapshot", data }))
  await qmp.execute("transaction", { actions })
}

/** Whether the guest has a disk whose top is that node. */
export async function isTopOf(qmp: Qmp, node: string): Promise<boolean> {
  return (await blocksOf(qmp)).some(({ inserted }) => inserted?.["node-name"] === node)
}

/** Closes the nodes of an overlay that no guest writes to. Those that are not there (any more) are no error. */
export async function detachOverlay(qmp: Qmp, { file, format }: OverlayNodes): Promise<void> {
  const known = await allNodes(qmp)
  for (const name of [format, file])
    if (known.some((node) => node["node-name"] === name))
      await qmp.execute("blockdev-del", { "node-name": name })
}
