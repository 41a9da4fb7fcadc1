import { createReadStream } from "node:fs"
import { stat } from "node:fs/promises"
import type { Descriptor } from "../../content/descriptor.ts"
import { sha256 } from "../../content/digest.ts"
import type { Bytes, Call } from "../../content/interfaces.ts"
import type { ChainFile } from "../../disk/chain-reader.ts"

/** A disk that is handed on: what its layers are together, or empty and of `size` bytes. */
export type DiskOut = { readonly name: string; readonly readOnly?: boolean } & (
  | { readonly layers: readonly ChainFile[] }
  | { readonly size: number }
)

/** A machine that is handed on, without a kernel of its own and without RAM. */
export interface MachineOut {
  /** Lower-case, of letters, digits, hyphens and dots. */
  readonly name: string
  readonly tag: string
  /** As OCI calls it. */
  readonly architecture: string
  /** The first one boots. */
  readonly disks: readonly DiskOut[]
  readonly vcpus: number
  /** Bytes. */
  readonly memory: number
  readonly firmware: "bios" | "uefi"
  readonly secureBoot?: boolean
  readonly tpm?: boolean
  readonly network: "user" | "none"
  /** What of it has no place where it is handed on to, in words. */
  readonly leftBehind?: readonly string[]
  /** Of its OCI manifest. */
  readonly annotations: Readonly<Record<string, string>>
}

/** A file as a blob. */
export async function blobOf(
  path: string,
  mediaType: string,
  call: Call,
): Promise<{ readonly descriptor: Descriptor; readonly open: () => Bytes }> {
  const open = () => createReadStream(path, { highWaterMark: 2 ** 20, ...call }) as Bytes
  const hash = sha256()
  for await (const chunk of open()) hash.update(chunk)
  return { descriptor: { mediaType, digest: hash.digest(), size: (await stat(path)).size }, open }
}
