import { existsSync } from "node:fs"
import type { Source } from "../../content/copy.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, ReferrerLister, Resolver } from "../../content/interfaces.ts"
import { type LayoutReader, readLayout } from "../../content/layout/reader.ts"
import { paths } from "../../host/paths.ts"
import type { Reference } from "../../registry/reference.ts"
import { isUnknown, unknownHere } from "../names.ts"
import type { RegistryOptions } from "../registry.ts"
import type { Where } from "./where.ts"

// What opens a place is loaded with the place: looking at what is here should cost no more than reading it, and
// verifying in a
// registry no more than asking it.

/** An artifact where it is. Dispose of it when nothing more is read. */
export interface Opened extends AsyncDisposable {
  /** Its name or path in full. */
  readonly name: string
  readonly target: Descriptor
  readonly source: Source & Resolver & ReferrerLister
  /** `source`, where the content lies in files of this host. */
  readonly files?: LayoutReader
  /** Put before a tag of the artifact's repository, it makes a name of `source`. */
  readonly prefix: string
  readonly tag?: string
  /** Undefined in a layout or archive, and of a digest. */
  readonly reference?: Reference
}

export interface OpenOptions extends RegistryOptions, Call {
  /** Holds content of this host's store against `ovm rmi`: for those who read more than manifests. */
  readonly hold?: boolean
  /** Asks a registry for each document, list and tag but once: for those who read the whole graph. */
  readonly once?: boolean
}

/**
 * Opens an artifact for reading. Throws OVM_NAME_UNKNOWN, OVM_FILE_UNREADABLE, OVM_ARTIFACT_INVALID, and what a
 * registry fails with.
 */
export async function open(where: Where, options: OpenOptions): Promise<Opened> {
  if (where.kind === "registry") return openInRegistry(where.reference, options)
  if (where.kind !== "store") return openPath(where.text, options)
  const { reference } = where
  const found = await openHere(reference.toString(), { ...options, hold: true })
  if (!found) throw unknownHere(reference.toString())
  return { ...found, ...namesOf(reference), prefix: `${reference.name}:` }
}

/** The artifact of a registry, perhaps of one of its mirrors. */
export async function openInRegistry(
  reference: Reference,
  { once, signal, ...options }: OpenOptions,
): Promise<Opened> {
  const { openRemote } = await import("../registry.ts")
  const remote = await openRemote(reference, { ...options, pulling: true })
  const source = once ? new (await import("../../content/remembered.ts")).Remembered(remote) : remote
  const target = await source.resolve(reference.target, signal && { signal })
  const name = reference.toString()
  return { name, target, source, prefix: "", ...namesOf(reference), [Symbol.asyncDispose]: nothing }
}

/** The artifact that `name`, or a digest, stands for in this host's store; undefined if nothing. */
export async function openHere(name: string, { hold, signal }: OpenOptions): Promise<Opened | undefined> {
  const { store } = paths()
  if (!existsSync(store)) return undefined
  const layout = hold ? await held(store) : await readLayout(store)
  const close = () => layout.close()
  try {
    const target = await layout.resolve(name, signal && { signal })
    return { name, target, source: layout, files: layout, prefix: "", [Symbol.asyncDispose]: close }
  } catch (thrown) {
    await close()
    if (isUnknown(thrown)) return undefined
    throw thrown
  }
}

async function held(root: string): Promise<LayoutReader> {
  const { openToRead } = await import("../../content/layout/reading.ts")
  return openToRead(root)
}

/** The artifact in the OCI layout, or in the archive of one, at `PATH` or `PATH:TAG`. */
export async function openPath(text: string, { signal }: OpenOptions): Promise<Opened> {
  const { openPlace, rootAt, splitPlace } = await import("../../content/place.ts")
  const call = signal ? { signal } : {}
  const place = await splitPlace(text)
  const source = await openPlace(place, call)
  return {
    name: text,
    target: await rootAt(source, place, call),
    source,
    prefix: "",
    ...("path" in source && { files: source }),
    ...(place.tag !== undefined && { tag: place.tag }),
    [Symbol.asyncDispose]: nothing,
  }
}

function namesOf(reference: Reference): Pick<Opened, "reference" | "tag"> {
  return { reference, ...(reference.tag !== undefined && { tag: reference.tag }) }
}

async function nothing(): Promise<void> {}
