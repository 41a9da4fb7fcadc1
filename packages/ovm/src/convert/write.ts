import { open } from "node:fs/promises"
import type { Digest } from "../content/digest.ts"
import { fillHashed } from "../content/fill-hashed.ts"
import type { Call } from "../content/interfaces.ts"
import type { ChainFile } from "../disk/chain-reader.ts"
import { BYTES } from "../disk/differing.ts"
import { CLUSTER } from "../disk/guest-writes.ts"
import { KEPT, withPlain } from "../disk/plain.ts"
import { streamed } from "../disk/streamed.ts"
import { guarded } from "../files/guarded.ts"
import { MOST_BYTES } from "./to-qcow2.ts"

interface Writing extends Call {
  /** Told how much was written, and about how much will be. */
  onBytes?(done: number, total: number): void
}

/**
 * Writes the disk `from`, which is raw or as isPlainQcow2 says, into the new qcow2 `to`: what is not zero, and no more,
 * so that the same disk gives the same bytes. It is read twice, but of what is not zero little the first time, and
 * hashed while it is written. Throws OVM_DISK_INVALID for more than there may be, OVM_NO_SPACE, OVM_INTERRUPTED.
 */
export async function writeAlone(from: ChainFile, to: string, call: Writing): Promise<Digest> {
  return await withPlain(from, (disk) =>
    guarded(async () => {
      const kinds = await disk.filled(MOST_BYTES, call)
      const count = (table: Uint8Array) => table.reduce((sum, kind) => sum + (kind === BYTES ? 1 : 0), 0)
      const total = [...kinds.values()].reduce((sum, table) => sum + count(table), 0) * CLUSTER
      const onBytes = (done: number) => call.onBytes?.(Math.min(done, total), total)
      await using file = await open(to, "wx", 0o600)
      const { digest } = await fillHashed({ path: to, fd: file.fd }, streamed(disk, kinds, call), {
        behind: true,
        atOnce: KEPT - 1,
        onBytes,
      })
      return digest
    }),
  )
}
