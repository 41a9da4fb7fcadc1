import { readdir, stat } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import type { Call } from "../../content/interfaces.ts"
import { toOvmError } from "../../errors.ts"
import { type ArchivedFile, contentIn } from "../archive/files.ts"
import type { PackagedFiles } from "./files.ts"

/**
 * The package whose descriptor is the file `path`, by its path or where that leads: what lies in its folder, but for
 * other descriptors and their checksums. A link is no part of it, whatever it leads to (OVMS-IMP-083).
 */
export async function filesBeside(path: string, call: Call): Promise<PackagedFiles> {
  const [folder, own] = [dirname(path), basename(path)]
  const checksums = own.replace(/\.ovf$/i, ".mf")
  const files = new Map<string, ArchivedFile>([[own, await fileAt(path)]])
  for (const one of await readdir(folder, { withFileTypes: true })) {
    const other = /\.(?:ovf|mf)$/i.test(one.name) && one.name !== checksums
    if (one.isFile() && !other && one.name !== own) files.set(one.name, await fileAt(join(folder, one.name)))
  }
  return {
    files,
    descriptors: [own],
    content: (file) => contentIn(join(folder, file.name), file, call),
  }
}

async function fileAt(path: string): Promise<ArchivedFile> {
  try {
    return { name: basename(path), size: (await stat(path)).size, offset: 0 }
  } catch (thrown) {
    throw toOvmError(thrown)
  }
}
