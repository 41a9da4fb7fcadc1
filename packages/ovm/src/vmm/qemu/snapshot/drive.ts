import { existsSync } from "node:fs"
import { basename, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../../errors.ts"
import type { OverlayNodes } from "../../process/attempt.ts"
import { writes } from "../drives.ts"
import type { Qmp } from "../qmp.ts"

/** What the guest's disk is now. */
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

interface NodeInfo {
  readonly "node-name"?: string
  readonly file?: string
}

/** The guest's first disk (qapi/block-core.json, query-block); undefined without one. */
export async function driveOf(qmp: Qmp): Promise<Drive | undefined> {
  const all = (await qmp.execute("query-block")) as readonly BlockInfo[]
  const { inserted } = all.find(({ qdev }) => qdev?.startsWith(FIRST_DISK)) ?? {}
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
export function driveIn(directory: string, drive: Drive | undefined): Drive | undefined {
  const here = drive && join(directory, basename(drive.path))
  return here && existsSync(here) ? { ...drive, path: here } : drive
}

/** The node of the file below a layer's. */
export function fileNodeOf(layer: string): string {
  return layer.replace(/^layer/, "file")
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

/** From now on the guest writes to the overlay. Writes that are under way are in the old top afterwards. */
export async function switchTo(qmp: Qmp, nodes: OverlayNodes): Promise<void> {
  await qmp.execute("blockdev-snapshot", { node: nodes.below, overlay: nodes.format })
}

/** The job that takes an overlay back, while there is one. */
async function revertJob(qmp: Qmp): Promise<{ readonly ready: boolean } | undefined> {
  const jobs = (await qmp.execute("query-block-jobs")) as readonly { device: string; ready: boolean }[]
  return jobs.find(({ device }) => device === JOB)
}

const JOB = "ovm-revert"
const JOB_MS = 60_000

/**
 * Takes the overlay off again, with what was written to it since put into the layer below; works while the guest runs.
 * Nodes that are not there (any more) are no error. `topOf` tells the node that the guest writes to.
 */
export async function detachOverlay(
  qmp: Qmp,
  nodes: OverlayNodes,
  topOf = async (): Promise<string | undefined> => (await driveOf(qmp))?.node,
): Promise<void> {
  if ((await topOf()) === nodes.format) {
    // One that was begun, and whose answer came too late, goes on.
    if (!(await revertJob(qmp)))
      await qmp.execute("block-commit", {
        "job-id": JOB,
        device: nodes.format,
        "base-node": nodes.below,
      })
    const deadline = performance.now() + JOB_MS
    for (let asked = false; ; await sleep(2)) {
      const job = await revertJob(qmp)
      if (!job) break
      if (job.ready && !asked) {
        await qmp.execute("block-job-complete", { device: JOB })
        asked = true
      }
      if (performance.now() > deadline)
        throw new OvmError("OVM_VMM_TIMEOUT", `QEMU did not take an overlay back within ${JOB_MS} ms`)
    }
    if ((await topOf()) === nodes.format)
      throw new OvmError("OVM_VMM_FAILED", "QEMU could not take an overlay back")
  }
  const known = await allNodes(qmp)
  for (const name of [nodes.format, nodes.file])
    if (known.some((node) => node["node-name"] === name))
      await qmp.execute("blockdev-del", { "node-name": name })
}
