import { stat } from "node:fs/promises"
import { resolve as absolute, basename } from "node:path"
import { OvmError } from "../../errors.ts"
import { guarded } from "../../files/guarded.ts"
import { ifPresent } from "../../files/present.ts"
import { type Lock, lock } from "../../host/lock.ts"
import { isObject } from "../../objects.ts"
import { exists, makeDirectory, namesInFolder, textOf } from "./files.ts"
import { Folder } from "./folder.ts"
import { walk } from "./repositories.ts"
import { sweep } from "./sweep.ts"
import type { UploadLimits } from "./uploads.ts"

export interface FolderOptions {
  /** Nothing is written, not even swept. */
  readonly readOnly?: boolean
  /** How long an upload lives that nobody goes on with, in ms; five minutes unless told. */
  readonly uploadExpiryMs?: number
  /** And a blob that no manifest names; 24 hours unless told. */
  readonly blobExpiryMs?: number
  readonly uploads?: UploadLimits
}

export interface OpenFolder extends AsyncDisposable {
  readonly folder: Folder
  /** Takes away what nobody needs, as at the opening. */
  sweep(): Promise<void>
  /** Only ends uploads that nobody went on with. */
  expire(): Promise<void>
}

const UPLOAD_MS = 5 * 60 * 1000
const DAY = 24 * 60 * 60 * 1000
const VERSION = 1

/**
 * Opens the registry's folder `root`, made if there is none. Many may read it; one process writes to it, alone. Throws
 * OVM_STORE_BUSY if another one has it, OVM_STORE_CORRUPT if it is of an unknown version, OVM_FILE_UNREADABLE if it is
 * absent and not to be written to or is the folder of something else.
 */
export function openFolder(root: string, options: FolderOptions = {}): Promise<OpenFolder> {
  return guarded(async () => {
    const folder = new Folder(absolute(root), options.uploads)
    const { files } = folder
    if (options.readOnly) await checkMarker(folder)
    else await makeDirectory(await ownedOrEmpty(folder))
    const held = await hold(folder, options.readOnly ? "shared" : "exclusive")
    const uploadMs = options.uploadExpiryMs ?? UPLOAD_MS
    const sweepNow = () => guarded(() => sweep(folder, uploadMs, options.blobExpiryMs ?? DAY))
    const expire = () => guarded(() => folder.uploads.expire(uploadMs))
    try {
      if (!options.readOnly) {
        await makeDirectory(files.temporary)
        await makeDirectory(files.repositories)
        if (!(await exists(files.marker)))
          await files.write(files.marker, `${JSON.stringify({ registryVersion: VERSION })}\n`)
        await checkMarker(folder)
        await walk(files, "", (repository) => folder.adopt(repository))
        await sweepNow()
      }
    } catch (error) {
      held.release()
      throw error
    }
    const close = async () => {
      for (const upload of folder.uploads.all()) await upload.release()
      held.release()
    }
    return { folder, sweep: sweepNow, expire, [Symbol.asyncDispose]: close }
  })
}

/** A wrong --root must not end in a registry between somebody's files. */
async function ownedOrEmpty({ files }: Folder): Promise<string> {
  if ((await ifPresent(stat(files.root)))?.isDirectory() === false)
    throw new OvmError("OVM_FILE_UNREADABLE", `${files.root} is not a folder`)
  const names = (await namesInFolder(files.root)) ?? []
  const ours = [files.marker, files.lock, files.temporary, files.repositories].map((path) => basename(path))
  if (names.includes(basename(files.marker)) || names.every((name) => ours.includes(name))) return files.root
  throw new OvmError("OVM_FILE_UNREADABLE", `${files.root} is not empty and is not a registry's folder`, {
    hint: "choose an empty or a new folder",
  })
}

async function checkMarker({ files }: Folder): Promise<void> {
  const text = await textOf(files.marker)
  if (text === undefined)
    throw new OvmError(
      "OVM_FILE_UNREADABLE",
      `${files.root} is not a registry's folder: it has no ${files.marker}`,
    )
  let version: unknown
  try {
    const value: unknown = JSON.parse(text)
    version = isObject(value) ? value.registryVersion : undefined
  } catch {
    // Told below.
  }
  if (version === VERSION) return
  throw new OvmError("OVM_STORE_CORRUPT", `${files.marker} does not have registryVersion ${VERSION}`)
}

async function hold({ files }: Folder, mode: "shared" | "exclusive"): Promise<Lock> {
  try {
    return await lock(files.lock, mode, { timeoutMs: 0 })
  } catch (cause) {
    if (!(cause instanceof OvmError && cause.code === "OVM_STORE_BUSY")) throw cause
    throw new OvmError("OVM_STORE_BUSY", `another registry has ${files.root}`, {
      cause,
      hint: "choose another --root",
    })
  }
}
