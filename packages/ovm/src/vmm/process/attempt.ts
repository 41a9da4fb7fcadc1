import { readFile, rm, stat } from "node:fs/promises"
import { basename, join } from "node:path"
import { OvmError } from "../../errors.ts"
import { replaceFile } from "../../files/replace.ts"
import { ATTEMPT_FILE } from "./traces.ts"

/** Names of an overlay's nodes in QEMU's block layer. They are no part of a snapshot, so each attempt has its own. */
export interface OverlayNodes {
  readonly file: string
  readonly format: string
  /** The node that it goes on top of. */
  readonly below: string
}

/** What is made to go on top of a disk. */
export interface NewOverlay {
  readonly path: string
  readonly nodes: OverlayNodes
}

/** Where an overlay is that is taken back, once all that is in it is in the layer below as well. */
export function spent(path: string): string {
  return `${path}.spent`
}

/** A snapshot that is not complete. */
export interface Attempt {
  readonly directory: string
  /** Files to remove. */
  readonly files: readonly string[]
  /** Of the first disk. */
  readonly overlay?: NewOverlay
  /** Of further disks. */
  readonly further?: readonly NewOverlay[]
  /** The guest ran before. */
  readonly running: boolean
}

/** All that are made. */
export function overlaysOf({ overlay, further = [] }: Pick<Attempt, "overlay" | "further">): NewOverlay[] {
  return [...(overlay ? [overlay] : []), ...further]
}

/** Notes an attempt before it changes anything. A reader sees all of it or nothing. */
export async function noteAttempt(attempt: Attempt): Promise<void> {
  await replaceFile(join(attempt.directory, ATTEMPT_FILE), JSON.stringify(attempt))
}

/**
 * What an earlier process began and did not end; undefined also if that cannot be understood. Whatever the note says,
 * it means files in `directory`: they are going to be removed.
 */
export async function readAttempt(directory: string): Promise<Attempt | undefined> {
  const note = await readFile(join(directory, ATTEMPT_FILE), "utf8")
    .then(JSON.parse)
    .catch(() => undefined)
  if (!isAttempt(note)) return undefined
  const { files, overlay, further, running } = note
  const inside = (path: string) => join(directory, basename(path))
  const here = (one: NewOverlay) => ({ ...one, path: inside(one.path) })
  return {
    directory,
    files: files.map(inside),
    ...(overlay && { overlay: here(overlay) }),
    ...(further && { further: further.map(here) }),
    running,
  }
}

function isAttempt(value: unknown): value is Omit<Attempt, "directory"> {
  const { files, overlay, further = [], running } = (value ?? {}) as Partial<Attempt>
  if (!Array.isArray(files) || !Array.isArray(further)) return false
  const words = [
    ...files,
    ...[...(overlay ? [overlay] : []), ...further].flatMap((one: NewOverlay | null) => [
      one?.path,
      one?.nodes?.file,
      one?.nodes?.format,
      one?.nodes?.below,
    ]),
  ]
  return typeof running === "boolean" && words.every((word) => typeof word === "string")
}

/** The attempt is complete, or taken back. */
export async function forgetAttempt(directory: string): Promise<void> {
  await rm(join(directory, ATTEMPT_FILE), { force: true })
}

/** What is large, and of no use any more; what cannot be removed stays. */
export async function removeFilesOf({ files }: Pick<Attempt, "files">): Promise<void> {
  for (const path of files) await rm(path, { force: true }).catch(() => {})
}

/** Throws OVM_STATE_CONFLICT: nothing is written over. */
export async function refuseExisting(path: string | undefined): Promise<void> {
  if (path === undefined || !(await stat(path).catch(() => undefined))) return
  throw new OvmError("OVM_STATE_CONFLICT", `${path} exists already`)
}
