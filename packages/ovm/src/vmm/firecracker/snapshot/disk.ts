import { existsSync } from "node:fs"
import { basename, join } from "node:path"
import { OvmError } from "../../../errors.ts"
import type { MachineRecord } from "../../machine.ts"
import { connectQmp, type Qmp } from "../../qemu/qmp.ts"
import { fileNodeOf, fileOfNode } from "../../qemu/snapshot/drive.ts"

const GREETING_MS = 5000

interface Export {
  readonly "node-name"?: string
}

/** Whether the guest writes to a disk that the storage daemon shows. */
export function isWritten({ own, overlay }: MachineRecord): boolean {
  return own?.shown === true && overlay !== undefined
}

/** The monitor of the storage daemon, to be closed. Throws OVM_VMM_FAILED, OVM_VMM_TIMEOUT. */
export async function monitorOf(directory: string): Promise<Qmp> {
  const qmp = await connectQmp(directory, { timeoutMs: GREETING_MS })
  if (qmp) return qmp
  throw new OvmError("OVM_VMM_FAILED", `the process that shows the disk in ${directory} takes no connection`)
}

/** The node that the guest reads and writes. */
export async function shownNode(qmp: Qmp): Promise<string> {
  const [shown] = (await qmp.execute("query-block-exports")) as readonly Export[]
  const node = shown?.["node-name"]
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
