import { StreamInput } from "../../content/archive/input.ts"
import { tarMember } from "../../content/archive/member.ts"
import { padding, readTar, TAR_END } from "../../content/archive/tar.ts"
import type { Bytes, Call } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { readFiles, writeFiles } from "../files.ts"
import { entryOf, type Instance } from "../instance.ts"
import type { SandboxFailure, SandboxFile } from "../interfaces.ts"

/** Permissions of a file of which nothing is said. */
const MODE = 0o644

/** What came of outputs, and what did not. */
export interface Outputs {
  readonly files: SandboxFile[]
  readonly failed: SandboxFailure[]
}

/** Writes files into a guest, and the folders that they are in. Throws what writeFiles throws. */
export async function filesIn(instance: Instance, files: readonly SandboxFile[], call: Call): Promise<void> {
  if (files.length > 0) await writeFiles(instance, { path: "/", content: archiveOf(files), ...call })
}

async function* archiveOf(files: readonly SandboxFile[]): Bytes {
  for (const { path, content, mode = MODE } of files) {
    const bytes = Buffer.from(content, "base64")
    yield Buffer.concat([
      tarMember(path.slice(1), bytes.length, { mode, time: Math.floor(Date.now() / 1000) }),
      bytes,
      new Uint8Array(padding(bytes.length)),
    ])
  }
  yield TAR_END
}

/**
 * All files at each of `paths` of a guest. `limit`: bytes of all archives together. Throws only what takes the agent
 * away, or the call.
 */
export async function filesOut(
  instance: Instance,
  paths: readonly string[],
  { limit, ...call }: Call & { readonly limit: number },
): Promise<Outputs> {
  const found: Outputs = { files: [], failed: [] }
  let left = limit
  for (const path of paths) {
    const bytes = await readFiles(instance, { path, ...call }).catch(failure)
    if (bytes instanceof OvmError) {
      found.failed.push({ path, error: entryOf(bytes) })
      continue
    }
    const before = left
    const counted = within(bytes, (size) => {
      left -= size
      if (left < 0) throw new OvmError("OVM_TOO_LARGE", `${path}: the outputs are more than ${limit} bytes`)
    })
    const files = await filesOf(counted, path)
      .catch(failure)
      .finally(() => counted.return())
    if (files instanceof OvmError) {
      found.failed.push({ path, error: entryOf(files) })
      left = before
    } else found.files.push(...files)
  }
  return found
}

/** What is wrong with one output is said of it; the rest ends the whole. */
function failure(thrown: unknown): OvmError {
  const error = toOvmError(thrown)
  if (["OVM_FILE_UNREADABLE", "OVM_TOO_LARGE", "OVM_ARTIFACT_INVALID"].includes(error.code)) return error
  throw error
}

async function* within(bytes: Bytes, count: (size: number) => void): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of bytes) {
    count(chunk.length)
    yield chunk
  }
}

/**
 * The files of a stranger's archive, whose one entry at the top is what is at `path`. Throws OVM_ARTIFACT_INVALID, and
 * OVM_FILE_UNREADABLE where nothing in it is a file or a folder.
 */
export async function filesOf(bytes: Bytes, path: string): Promise<SandboxFile[]> {
  const files: SandboxFile[] = []
  const input = new StreamInput(bytes)
  let some = false
  for await (const { name, directory, mode, content } of readTar(input, path, () => {})) {
    some = true
    if (directory) continue
    const [, ...below] = name.split("/")
    const pieces = await Array.fromAsync(content())
    files.push({
      path: [path.replace(/\/+$/, ""), ...below].join("/"),
      mode,
      content: Buffer.concat(pieces).toString("base64"),
    })
  }
  // What fails behind its last entry is told by its end.
  for await (const _ of input.content(Number.MAX_SAFE_INTEGER));
  if (some) return files
  throw new OvmError("OVM_FILE_UNREADABLE", `in the guest: ${path}: it is neither a file nor a folder`)
}
