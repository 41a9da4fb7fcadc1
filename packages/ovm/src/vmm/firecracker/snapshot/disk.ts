import { existsSync } from "node:fs"
import { basename, join } from "node:path"
import { OvmError } from "../../../errors.ts"
import type { MachineRecord } from "../../machine.ts"
import { connectQmp, type Qmp } from "../../qemu/qmp.ts"
import { fileNodeOf, fileOfNode } from "../../qemu/snapshot/drive.ts"
import { FIRST } from "../drives.ts"

const GREETING_MS = 5000

interface Export {
  readonly id?: string
  readonly "node-name"?: string
}

/** Whether the guest writes to a first disk that the storage daemon shows. */
export function isWritten({ own, overlay }: MachineRecord): boolean {
  return own?.shown === true && overlay !== undefined
}

/** The files of all disks that it shows and the guest can write to. */
export function writtenFiles(record: MachineRecord): readonly string[] {
  const { written = [] } = record.own ?? {}
  return [...(isWritten(record) ? [`${FIRST}.raw`] : []), ...(written as readonly string[])]
}

/** The monitor of the storage daemon, to be closed. Throws OVM_VMM_FAILED, OVM_VMM_TIMEOUT. */
export async function monitorOf(directory: string): Promise<Qmp> {
  const qmp = await connectQmp(directory, { timeoutMs: GREETING_MS })
  if (qmp) return qmp
  throw new OvmError("OVM_VMM_FAILED", `the process that shows the disk in ${directory} takes no connection`)
}

/** The node that the guest reads and writes as its first disk. */
export async function shownNode(qmp: Qmp): Promise<string> {
  const exports = (await qmp.execute("query-block-exports")) as readonly Export[]
  const node = exports.find(({ id }) => id === FIRST)?.["node-name"]
  if (node === undefined) throw new OvmError("OVM_VMM_FAILED", "the storage daemon shows no disk any more")
  return node
}

/** The file of `node`, by the path that it has in `directory` if it is there, which may have been moved. */
export async function writtenFile(qmp: Qmp, node: string, directory: string): Promise<string> {
  const path = await fileOfNode(qmp, fileNodeOf(node))
  if (path === undefined) throw new OvmError("OVM_VMM_FAILED", `the storage daemon has no file of ${node}`)
  const here = join(directory, basename(path))
  return existsSync(here) ? here : path
}
