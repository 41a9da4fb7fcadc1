import { renameSync, unlinkSync, writeFileSync } from "node:fs"
import type { FileHandle } from "node:fs/promises"
import { dirname, isAbsolute } from "node:path"
import { append } from "./append.ts"
import { asyncFs } from "./async.ts"
import { batches } from "./batch.ts"
import { syncDirectory } from "./sync.ts"
import { temporaryIn } from "./temporary.ts"
import { named, writing } from "./writing.ts"

/**
 * A file is replaced by a temporary one of a name that nobody else has, and one rename: whoever reads sees the old or
 * the new.
 */
export interface Replacing {
  /** Of the new file, less the umask. 0600 unless told. */
  readonly mode?: number
  /** Folder of the temporary file, on the same file system: that of the file unless told. */
  readonly by?: string
}

export interface ReplacingSlowly extends Replacing {
  /** Both the file and its name survive a crash of the host. */
  readonly durable?: boolean
  /** A symbolic link at the path stays, and what it points to is replaced, which need not be there yet. */
  readonly through?: boolean
}

/**
 * Replaces the small file `path` synchronously, not durably: handing it to a thread four times over takes longer than
 * writing a few hundred bytes. Throws the system's error with `path` in it, and leaves nothing behind then.
 */
export function replaceAtOnce(path: string, content: string | Uint8Array, options: Replacing = {}): void {
  const temporary = temporaryFor(path, options)
  try {
    writeFileSync(temporary, content, { mode: options.mode ?? 0o600, flag: "wx" })
    renameSync(temporary, path)
  } catch (thrown) {
    try {
      unlinkSync(temporary)
    } catch {
      // It was not made, or is left for a sweep: what went wrong first is what is said.
    }
    throw named(path, thrown)
  }
}

/**
 * Replaces the file `path` with `content`, of any size. Throws the system's error with `path` in it, and what `content`
 * throws; nothing is left behind then.
 */
export async function replaceFile(
  path: string,
  content: string | Uint8Array | AsyncIterable<Uint8Array>,
  options: ReplacingSlowly = {},
): Promise<void> {
  await writing(path, async () => {
    const target = options.through ? await targetOf(path) : path
    const temporary = temporaryFor(target, options)
    const { open, rename, unlink } = asyncFs()
    try {
      await fill(await open(temporary, "wx", options.mode ?? 0o600), content, options.durable ?? false)
      await rename(temporary, target)
    } catch (thrown) {
      // What cannot be removed is left for a sweep: what went wrong first is what is said.
      await unlink(temporary).catch(() => {})
      throw thrown
    }
    if (options.durable) await syncDirectory(dirname(target))
  })
}

/** Writes `content` to the open file, which is empty, and closes it. */
export async function fill(
  handle: FileHandle,
  content: string | Uint8Array | AsyncIterable<Uint8Array>,
  durable: boolean,
): Promise<void> {
  try {
    if (typeof content === "string" || content instanceof Uint8Array) await handle.writeFile(content)
    else if ((await handle.stat()).isFile()) await fillSparse(handle, content)
    else await pour(handle, content)
    if (durable) await handle.sync()
  } finally {
    await handle.close()
  }
}

async function fillSparse(handle: FileHandle, content: AsyncIterable<Uint8Array>): Promise<void> {
  let at = 0
  for await (const { chunks, size } of batches(content)) {
    await append(handle.fd, chunks, at)
    at += size
  }
}

/** Writes to what is no regular file, such as a pipe: all bytes in order, since it has neither positions nor holes. */
async function pour(handle: FileHandle, content: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const { chunks } of batches(content)) {
    const bytes = Buffer.concat(chunks)
    for (let at = 0; at < bytes.byteLength; ) at += (await handle.write(bytes, at)).bytesWritten
  }
}

function temporaryFor(path: string, { by }: Replacing): string {
  return temporaryIn(by ?? dirname(path))
}

const HOPS = 40

/** Where the symbolic links that begin at `path` end. */
async function targetOf(path: string): Promise<string> {
  const { readlink, realpath } = asyncFs()
  let at = path
  for (let hop = 0; hop < HOPS; hop++) {
    const to = await readlink(at).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code === "EINVAL" || thrown.code === "ENOENT") return undefined
      throw thrown
    })
    if (to === undefined) return at
    // Not normalised: `..` after a link is the kernel's to follow.
    at = isAbsolute(to) ? to : `${await realpath(dirname(at))}/${to}`
  }
  throw Object.assign(new Error(`${path}: too many symbolic links`), { code: "ELOOP" })
}
