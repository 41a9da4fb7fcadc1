import type { Stats } from "node:fs"
import { lstat, readdir, readlink, stat } from "node:fs/promises"
import { join } from "node:path"
import { tarMember } from "../../content/archive/member.ts"
import { padding, TAR_END } from "../../content/archive/tar.ts"
import type { Bytes } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import { readChunks } from "../../files/chunks.ts"
import { warn } from "../output.ts"

/**
 * A file or folder of this host as a tar archive whose one entry at the top is called `name`. Links stay links, and
 * what is neither file, folder nor link is left out with a warning. Throws OVM_FILE_UNREADABLE, also where `path` is
 * such a thing itself.
 */
export async function* treeAsTar(path: string, name: string): Bytes {
  // What was named itself may be a link to what is meant.
  const found = await factsOf(path, stat)
  if (!found.isFile() && !found.isDirectory())
    throw new OvmError("OVM_FILE_UNREADABLE", `${path}: it is neither a file nor a folder`)
  yield* member(path, name, found)
  yield TAR_END
}

async function factsOf(path: string, look: (path: string) => Promise<Stats>): Promise<Stats> {
  return await look(path).catch((cause) => {
    throw new OvmError("OVM_FILE_UNREADABLE", `${path}: it cannot be read`, { cause })
  })
}

async function* member(path: string, name: string, found: Stats): Bytes {
  const facts = { mode: found.mode & 0o7777, time: Math.max(0, Math.floor(found.mtimeMs / 1000)) }
  if (found.isSymbolicLink()) yield tarMember(name, 0, { ...facts, type: "2", link: await readlink(path) })
  else if (found.isDirectory()) {
    yield tarMember(`${name}/`, 0, facts)
    for (const below of (await readdir(path)).sort()) {
      const at = join(path, below)
      yield* member(at, `${name}/${below}`, await factsOf(at, lstat))
    }
  } else if (found.isFile()) {
    yield tarMember(name, found.size, facts)
    yield* exactly(path, found.size)
    yield new Uint8Array(padding(found.size))
  } else warn(`${path} is neither a file nor a folder, and is left out`)
}

/** As many bytes as the header says: a file that grows meanwhile is cut, one that shrinks is a failure. */
async function* exactly(path: string, size: number): Bytes {
  if (size === 0) return
  let left = size
  for await (const chunk of readChunks(path)) {
    yield chunk.subarray(0, left)
    left -= Math.min(left, chunk.length)
    if (left === 0) return
  }
  throw new OvmError("OVM_FILE_UNREADABLE", `${path}: it became shorter while it was read`)
}
