import type { Dirent, Stats } from "node:fs"
import { readdir, stat } from "node:fs/promises"
import { basename, join, posix, resolve } from "node:path"
import { OvmError } from "../../errors.ts"
import { readRegular } from "../../files/regular.ts"
import type { SandboxFile } from "../../runtime/interfaces.ts"
import { warn } from "../output.ts"

/** What one request takes of files, in bytes: three quarters of its body (spec/limits.md), and room for the rest. */
export const MOST_FILES = 23 << 20

/** Something of this host and its place in a guest. */
export interface FileIn {
  readonly path: string
  readonly guest: string
}

/**
 * `IN` or `IN:GUEST`, of `--file`; without a place, or with one that does not begin with a slash, it is below `folder`.
 * Throws OVM_USAGE.
 */
export function parseFileIn(text: string, folder: string): FileIn {
  const [, path = text, guest = basename(resolve(text))] = /^(.+?):(.*)$/s.exec(text) ?? []
  if (path === "" || guest === "")
    throw new OvmError("OVM_USAGE", `--file: ${JSON.stringify(text)} is not PATH or PATH:GUEST`)
  return { path, guest: posix.resolve("/", folder, guest) }
}

/**
 * The files that are meant, and of folders all that is in them. Links that are found there, and what is neither file
 * nor folder, are left out with a warning. Throws OVM_FILE_UNREADABLE, OVM_REQUEST_TOO_LARGE.
 */
export async function readFilesIn(wanted: readonly FileIn[]): Promise<SandboxFile[]> {
  const files: SandboxFile[] = []
  let left = MOST_FILES
  for (const { path, guest } of wanted)
    for await (const one of filesBelow(path, guest)) {
      left -= one.size
      if (left < 0) throw tooMuch()
      const bytes = await readRegular(one.path, left + one.size)
      files.push({ path: one.guest, content: Buffer.from(bytes).toString("base64"), mode: one.mode })
    }
  return files
}

interface Found extends FileIn {
  readonly size: number
  readonly mode: number
}

/** `entry`: as its folder has it; absent for what was named itself. */
async function* filesBelow(path: string, guest: string, entry?: Dirent): AsyncGenerator<Found> {
  if (entry && !entry.isFile() && !entry.isDirectory())
    return warn(`${path} is neither a file nor a folder, and is left out`)
  const found = await lookAt(path)
  if (!found.isDirectory()) return yield { path, guest, size: found.size, mode: found.mode & 0o777 }
  const entries = await readdir(path, { withFileTypes: true }).catch(unreadable(path))
  for (const below of entries.sort((a, b) => (a.name < b.name ? -1 : 1)))
    yield* filesBelow(join(path, below.name), posix.join(guest, below.name), below)
}

async function lookAt(path: string): Promise<Stats> {
  return await stat(path).catch(unreadable(path))
}

function unreadable(path: string): (cause: unknown) => never {
  return (cause) => {
    throw new OvmError("OVM_FILE_UNREADABLE", `${path}: it cannot be read`, { cause })
  }
}

function tooMuch(): OvmError {
  return new OvmError("OVM_REQUEST_TOO_LARGE", `the files are more than ${MOST_FILES >> 20} MiB`, {
    hint: "a machine that stays takes any number: ovm run -d --agent, ovm cp, ovm exec",
  })
}
