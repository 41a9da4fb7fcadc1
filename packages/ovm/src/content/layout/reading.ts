import { accessSync, constants, existsSync } from "node:fs"
import { resolve as absolute, dirname } from "node:path"
import { OvmError } from "../../errors.ts"
import { guarded } from "../../files/guarded.ts"
import { isAbsent } from "../../files/present.ts"
import { isAnothers } from "../../host/anothers.ts"
import type { Descriptor } from "../descriptor.ts"
import { LayoutFiles } from "./files.ts"
import { type LayoutReader, LayoutReaderStore, readLayout } from "./reader.ts"
import { FileStamps, MemoryStamps, type Stamps } from "./stamps.ts"
import { openLayout } from "./store.ts"

/**
 * Opens the store at `root`, made if absent, to be read only. Where it may be written to, what is touched is held until
 * it is closed, as in any store. Somebody else's, or one on a read-only file system, is read without a lock, lease or
 * stamp: its content is hashed, and whoever owns it may collect it meanwhile, which is OVM_CONTENT_MISSING. In a place
 * of somebody else's none is made. Throws what openLayout throws.
 */
export function openToRead(root: string): Promise<LayoutReader> {
  return guarded(async () => {
    const files = new LayoutFiles(absolute(root))
    // One that is not there cannot be read, whoever asks: making it tells why.
    if (!existsSync(files.marker))
      return isAnothers(files.root)
        ? new NoLayout(files, new MemoryStamps())
        : openLayout(root, { create: true })
    return isWritable(files) ? openLayout(root) : readLayout(root)
  })
}

/** Where there is none: nothing is in it. */
class NoLayout extends LayoutReaderStore {
  override async resolve(reference: string): Promise<Descriptor> {
    throw new OvmError("OVM_NAME_UNKNOWN", `${reference} is not in ${this.root}`)
  }

  override async roots(): Promise<Descriptor[]> {
    return []
  }

  override async *list(): AsyncIterable<{ reference: string; target: Descriptor }> {}
}

/** Stamps of what is verified in a store that is only read: kept in it where that can be done. */
export function stampsToRead(files: LayoutFiles): Stamps {
  return isWritable(files) ? new FileStamps(files.verified) : new MemoryStamps()
}

/**
 * Whether this user may write what a reader writes: the lock and leases, or the folders for them where there are none
 * yet.
 */
function isWritable(files: LayoutFiles): boolean {
  return [files.lock, files.leases, files.verified].every(mayWrite)
}

function mayWrite(path: string): boolean {
  if (isAnothers(path)) return false
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch (error) {
    return isAbsent(error) && mayWrite(dirname(path))
  }
}
