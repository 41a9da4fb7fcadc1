import { closeSync, fstatSync, statSync } from "node:fs"
import { OvmError } from "../../errors.ts"
import { isAbsent } from "../../files/present.ts"
import { openRegularSync, readOpenSync } from "../../files/regular.ts"
import { replaceFile } from "../../files/replace.ts"
import { named } from "../../files/writing.ts"
import { isObject } from "../../objects.ts"
import type { Descriptor } from "../descriptor.ts"
import { isDigest } from "../digest.ts"
import type { LayoutFiles } from "./files.ts"

/** The annotation that names an entry of index.json (image-spec: annotations.md, image-layout.md). */
export const NAME = "org.opencontainers.image.ref.name"

const LIMIT = 64 * 1024 * 1024

/** index.json as it was found: entries and fields of other tools are kept as they are. */
export interface Index {
  readonly manifests: readonly IndexEntry[]
  readonly [field: string]: unknown
}

export interface IndexEntry extends Omit<Descriptor, "digest"> {
  /** Other tools may use other algorithms than sha256. */
  readonly digest: string
}

export const EMPTY_INDEX = {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json",
  manifests: [],
}

/** The index that was read last, and the file that it was. */
let last: { readonly file: string; readonly index: Index } | undefined
/** The times of a file that was written to so shortly ago do not tell whether it is written to again. */
const SETTLED_MS = 100

/**
 * Throws OVM_STORE_CORRUPT, naming the file and the fault. A daemon asks for the same one at each start: it is parsed
 * once.
 */
export async function readIndex(files: LayoutFiles): Promise<Index> {
  const fd = openedIndex(files.index)
  if (fd === undefined) throw corrupt(files, "it is missing")
  try {
    const found = fstatSync(fd, { bigint: true })
    if (found.size > LIMIT) throw new OvmError("OVM_STORE_CORRUPT", `${files.index} is above ${LIMIT} bytes`)
    const { dev, ino, size, mtimeNs, ctimeNs } = found
    const file = [files.index, dev, ino, size, mtimeNs, ctimeNs].join(" ")
    if (last?.file === file) return last.index
    const index = parseIndex(
      new TextDecoder().decode(readOpenSync(files.index, fd, LIMIT)),
      (reason, cause) => corrupt(files, reason, cause),
    )
    if (Date.now() - Number(found.ctimeMs) > SETTLED_MS) last = { file, index }
    return index
  } catch (error) {
    throw named(files.index, error)
  } finally {
    closeSync(fd)
  }
}

function openedIndex(path: string): number | undefined {
  try {
    return openRegularSync(path)
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

/** The text of an index.json; what it breaks is told to `fault`, which makes the error. */
export function parseIndex(text: string, fault: (reason: string, cause?: unknown) => OvmError): Index {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw fault("it is not JSON", cause)
  }
  if (!isObject(value) || value.schemaVersion !== 2) throw fault("schemaVersion is not 2")
  // Go tools write null for an empty list.
  const manifests = value.manifests ?? []
  if (!Array.isArray(manifests)) throw fault("manifests is not an array")
  const bad = manifests.findIndex((entry) => !isEntry(entry))
  if (bad >= 0) throw fault(`manifests[${bad}] is not a descriptor`)
  return { ...value, manifests }
}

function isEntry(value: unknown): value is IndexEntry {
  return (
    isObject(value) &&
    typeof value.digest === "string" &&
    typeof value.mediaType === "string" &&
    Number.isSafeInteger(value.size) &&
    (value.annotations === undefined || value.annotations === null || isObject(value.annotations))
  )
}

function corrupt(files: LayoutFiles, reason: string, cause?: unknown): OvmError {
  return new OvmError("OVM_STORE_CORRUPT", `${files.index} cannot be understood: ${reason}`, {
    cause,
    hint: `move ${files.root} away and pull or pack again`,
  })
}

/** Replaces index.json in one step that survives a crash. Only under the exclusive lock. */
export async function writeIndex(files: LayoutFiles, index: Index): Promise<void> {
  const text = `${JSON.stringify(index, undefined, 2)}\n`
  // One that its owner lets others read stays so.
  const mode = (statSync(files.index, { throwIfNoEntry: false })?.mode ?? 0o600) & 0o666
  await replaceFile(files.index, text, { mode, durable: true, by: files.ingest })
}

export function nameOf(entry: IndexEntry): string | undefined {
  const name = entry.annotations?.[NAME]
  return typeof name === "string" ? name : undefined
}

/** What `name` stands for; the last entry wins where another tool left two. */
export function findName(index: Index, name: string): Descriptor | undefined {
  const found = index.manifests.findLast((entry) => nameOf(entry) === name)
  return found && toDescriptor(found)
}

export function findDigest(index: Index, digest: string): Descriptor | undefined {
  const found = index.manifests.findLast((entry) => entry.digest === digest)
  return found && toDescriptor(found)
}

/** The descriptor without its name, which belongs to the index; undefined for digests that OVMS does not take. */
export function toDescriptor(entry: IndexEntry): Descriptor | undefined {
  const { digest, annotations, ...rest } = entry
  if (!isDigest(digest)) return undefined
  const others = Object.entries(annotations ?? {}).filter(([key]) => key !== NAME)
  return { ...rest, digest, ...(others.length > 0 && { annotations: Object.fromEntries(others) }) }
}

/** All entries, named or not. */
export function rootsOf(index: Index): Descriptor[] {
  return index.manifests.flatMap((entry) => toDescriptor(entry) ?? [])
}

/** All names with what they stand for. */
export function* namesIn(index: Index): Iterable<{ reference: string; target: Descriptor }> {
  for (const entry of index.manifests) {
    const reference = nameOf(entry)
    const target = toDescriptor(entry)
    if (reference !== undefined && target) yield { reference, target }
  }
}

/** The index with `name` for `target`; undefined if it says so already. */
export function withName(index: Index, name: string, target: Descriptor): Index | undefined {
  if (findName(index, name)?.digest === target.digest) return undefined
  const { data: _, ...rest } = target
  const entry = { ...rest, annotations: { ...target.annotations, [NAME]: name } }
  return { ...index, manifests: [...index.manifests.filter((other) => nameOf(other) !== name), entry] }
}

/** The index with an entry for `target` that has no name; undefined if it has one for it, named or not. */
export function withRoot(index: Index, target: Descriptor): Index | undefined {
  if (index.manifests.some(({ digest }) => digest === target.digest)) return undefined
  const { data: _, ...entry } = target
  return { ...index, manifests: [...index.manifests, entry] }
}

/** The index without `name`; undefined if it has no such name. */
export function withoutName(index: Index, name: string): Index | undefined {
  const manifests = index.manifests.filter((entry) => nameOf(entry) !== name)
  return manifests.length === index.manifests.length ? undefined : { ...index, manifests }
}
