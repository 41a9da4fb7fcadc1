import { stat } from "node:fs/promises"
import { OvmError } from "../errors.ts"
import { isAbsent } from "../files/present.ts"
import { unreadable } from "../files/regular.ts"
import { type ArchiveReader, openArchive } from "./archive/reader.ts"
import type { Descriptor } from "./descriptor.ts"
import { dockerName } from "./docker-name.ts"
import type { Call } from "./interfaces.ts"
import { type LayoutReader, readForeignLayout } from "./layout/reader.ts"
import { savedAs } from "./saved.ts"

/** A path, and which artifact in what is there. */
export interface ArtifactPlace {
  readonly path: string
  readonly directory: boolean
  readonly tag?: string
}

export type PlaceReader = LayoutReader | ArchiveReader

/**
 * `PATH` or `PATH:TAG`. What is there wins; else the first colon after something that is: names in a layout may have
 * colons and slashes themselves. Throws OVM_FILE_UNREADABLE.
 */
export async function splitPlace(text: string): Promise<ArtifactPlace> {
  const whole = await kindOf(text)
  if (whole) return { path: text, directory: whole === "directory" }
  for (let colon = text.indexOf(":"); colon > 0; colon = text.indexOf(":", colon + 1)) {
    const path = text.slice(0, colon)
    const kind = await kindOf(path)
    if (kind) return { path, directory: kind === "directory", tag: text.slice(colon + 1) }
  }
  throw new OvmError("OVM_FILE_UNREADABLE", `${text}: there is no such file or layout`)
}

async function kindOf(path: string): Promise<"file" | "directory" | undefined> {
  try {
    return (await stat(path)).isDirectory() ? "directory" : "file"
  } catch (thrown) {
    // A whole text may be too long for a path where its part before a colon is none too long.
    if (isAbsent(thrown) || (thrown as NodeJS.ErrnoException).code === "ENAMETOOLONG") return undefined
    throw unreadable(path, thrown)
  }
}

/** The layout or archive at a place, for reading. Throws what opening it can throw. */
export function openPlace({ path, directory }: ArtifactPlace, call: Call = {}): Promise<PlaceReader> {
  return directory ? readForeignLayout(path) : openArchive(path, call)
}

/** Tags by which tools find what belongs to an artifact: its referrers, its signatures. */
const BELONGING = /^sha256-[0-9a-f]{64}(?:\.\w+)?$/

/** An entry's name in full, as containerd and Docker with it say it: its `ref.name` is a tag that others may have. */
const FULL_NAME = "io.containerd.image.name"

/**
 * The artifact that a place means: that of its tag, or the only one there. Referrers, which have no name where others
 * have one, and what has a tag of those that belong to an artifact, or is said to by `cosign save`, do not count.
 * Throws OVM_NAME_UNKNOWN, and OVM_ARTIFACT_INVALID if there are several or none.
 */
export async function rootAt(
  reader: PlaceReader,
  { path, tag }: ArtifactPlace,
  call: Call = {},
): Promise<Descriptor> {
  const all = await Array.fromAsync(reader.list(call))
  if (tag !== undefined) return await tagged(reader, { path, tag, all }, call)
  const listed = all.filter(({ reference, target }) => !BELONGING.test(reference) && !savedAs(target))
  const every =
    listed.length > 0
      ? listed
      : (await reader.roots()).map((target) => ({ reference: target.digest as string, target }))
  const roots = every.filter(({ target }) => !savedAs(target))
  const [only, ...others] = [...new Map(roots.map(({ target }) => [target.digest, target])).values()]
  if (only && others.length === 0) return only
  throw severalAt({ path }, only ? others.length + 1 : 0, roots)
}

type Named = { readonly reference: string; readonly target: Descriptor }

async function tagged(
  reader: PlaceReader,
  { path, tag, all }: { readonly path: string; readonly tag: string; readonly all: readonly Named[] },
  call: Call,
): Promise<Descriptor> {
  const full = all.findLast(({ target }) => fullName(target) === dockerName(tag))
  if (full) return full.target
  const found = all.filter(({ reference }) => reference === tag)
  const images = new Set(found.filter(({ target }) => fullName(target)).map(({ target }) => target.digest))
  if (images.size > 1) throw severalAt({ path, tag }, images.size, found)
  return await reader.resolve(tag, call)
}

function fullName({ annotations }: Descriptor): string | undefined {
  const name = annotations?.[FULL_NAME]
  return name === undefined ? undefined : dockerName(name)
}

function severalAt(
  { path, tag }: Pick<ArtifactPlace, "path" | "tag">,
  count: number,
  found: readonly Named[],
): OvmError {
  const what = tag === undefined ? path : `${path}:${tag}`
  const names = found.map(({ reference, target }) => fullName(target) ?? reference)
  return new OvmError("OVM_ARTIFACT_INVALID", `${what} has ${count} artifacts, not one`, {
    detail: { names },
    ...(names.length > 0 && { hint: `say which: ${path}:${names[0]}` }),
  })
}
