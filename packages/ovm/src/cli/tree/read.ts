import { createWriteStream } from "node:fs"
import { chmod, lstat, mkdir, rename, rm, stat } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import { pipeline } from "node:stream/promises"
import { StreamInput } from "../../content/archive/input.ts"
import { readTar } from "../../content/archive/tar.ts"
import type { Bytes } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { sweepTemporaries, temporaryIn } from "../../files/temporary.ts"
import { warn } from "../output.ts"

/**
 * Writes what a guest sent, files and folders of one tree and nothing else, to `to`, or into it if that is a folder.
 * All of it is made in a folder of its own beside, which nobody else can write to, and renamed into place at the end:
 * no link is followed, and nothing is half there. Throws OVM_ARTIFACT_INVALID for paths that lead out and an archive
 * that is cut short, OVM_STATE_CONFLICT where something is in the way, OVM_FILE_UNREADABLE, OVM_NO_SPACE.
 */
export async function tarToTree(bytes: Bytes, to: string, what: string): Promise<void> {
  const into = await isFolder(to)
  const parent = into ? resolve(to) : dirname(resolve(to))
  let beside: string | undefined
  try {
    await sweepTemporaries(parent)
    beside = temporaryIn(parent)
    await mkdir(beside, { mode: 0o700 })
    const name = await unpack(bytes, beside, what)
    const target = join(parent, into ? name : basename(resolve(to)))
    await assertReplaceable(target)
    if (await isFolder(join(beside, name))) await assertFree(target)
    await rename(join(beside, name), target)
  } catch (thrown) {
    const error = toOvmError(thrown)
    if (error.code !== "OVM_NO_SPACE") throw error
    // The file that it was written to has a name that says nothing.
    throw new OvmError(error.code, `${to}: no space left on device`, {
      cause: thrown,
      hint: "make room there, or name another place",
    })
  } finally {
    if (beside !== undefined) await rm(beside, { recursive: true, force: true })
  }
}

/** The name of the one thing at the top. */
async function unpack(bytes: Bytes, folder: string, what: string): Promise<string> {
  let top: string | undefined
  const modes: [string, number][] = []
  for await (const { name, directory, mode, content } of readTar(new StreamInput(bytes), what, warn)) {
    const [first = ""] = name.split("/")
    top ??= first
    if (first === "" || first !== top)
      throw new OvmError("OVM_ARTIFACT_INVALID", `${what}: it has more than one thing at its top`)
    const path = join(folder, name)
    await mkdir(directory ? path : dirname(path), { recursive: true })
    if (!directory) await pipeline(content(), createWriteStream(path, { flags: "wx" }))
    modes.unshift([path, mode])
  }
  if (top === undefined) throw new OvmError("OVM_FILE_UNREADABLE", `${what}: no file came`)
  // A folder that cannot be written to is one only once all is in it; its owner can always get rid of it.
  for (const [path, mode] of modes) await chmod(path, mode | 0o600)
  return top
}

async function isFolder(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isDirectory() ?? false
}

/**
 * A file takes the place of a file or a link. What else is there stays, also behind a link as /dev/stdout is one: a
 * folder has what somebody may want, and a device or a pipe has others who use it. Throws OVM_STATE_CONFLICT.
 */
export async function assertReplaceable(target: string): Promise<void> {
  const there = await lstat(target).catch(() => undefined)
  const link = there?.isSymbolicLink() ?? false
  const meant = link ? await stat(target).catch(() => undefined) : there
  if (meant && !meant.isFile() && !(link && meant.isDirectory())) throw inTheWay(target)
}

/** A folder takes nothing's place. */
async function assertFree(target: string): Promise<void> {
  if (await lstat(target).catch(() => undefined)) throw inTheWay(target)
}

function inTheWay(target: string): OvmError {
  return new OvmError("OVM_STATE_CONFLICT", `${target} is there already, and would have to go`, {
    hint: "name another place",
  })
}
