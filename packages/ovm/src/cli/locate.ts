import { existsSync } from "node:fs"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call, Fetcher, ReferrerLister, Resolver } from "../content/interfaces.ts"
import { type LayoutReader, readLayout } from "../content/layout/reader.ts"
import { paths } from "../host/paths.ts"
import { isPath, parseReference } from "../registry/reference.ts"
import { digested } from "./digits.ts"
import { isUnknown, unknownHere } from "./names.ts"
import type { RegistryOptions } from "./registry.ts"

/** An image, and where its content can be read. Dispose of it when nothing more is read. */
export interface Located extends AsyncDisposable {
  readonly reference: string
  readonly target: Descriptor
  readonly source: Fetcher & ReferrerLister & Resolver
  /** The same, where the content lies in files of this host. */
  readonly files?: LayoutReader
}

export interface LocateOptions extends RegistryOptions, Call {
  /** Holds the content of an image on this host against `ovm rmi`: for those who read more than its manifests. */
  readonly hold?: boolean
}

/**
 * Finds an image without copying anything: the OCI layout, or the archive of one, at a path (`PATH` or `PATH:TAG`), this host's store, else
 * the registry in the name. Throws OVM_NAME_UNKNOWN, OVM_FILE_UNREADABLE, OVM_ARTIFACT_INVALID, and what a registry fails with.
 */
export async function locate(text: string, options: LocateOptions = {}): Promise<Located> {
  if (isPath(text)) return locatePlace(text, options)
  const known = await digested(text)
  const found = known && (await locateHere(known.names[0] ?? known.digest, options))
  if (found) return found
  const reference = parseReference(text)
  const here = await locateHere(reference.toString(), options)
  if (here) return here
  if (reference.host === undefined) throw unknownHere(text)
  // Loaded only where it is wanted: looking at what is here should cost no more than reading it.
  const { openRemote } = await import("./registry.ts")
  const source = await openRemote(reference, { ...options, pulling: true })
  const target = await source.resolve(reference.target, options)
  return { reference: reference.toString(), target, source, [Symbol.asyncDispose]: nothing }
}

async function locateHere(name: string, options: LocateOptions): Promise<Located | undefined> {
  const { store } = paths()
  if (!existsSync(store)) return undefined
  const layout = options.hold ? await held(store) : await readLayout(store)
  const close = () => layout.close()
  try {
    const target = await layout.resolve(name, options)
    return { reference: name, target, source: layout, files: layout, [Symbol.asyncDispose]: close }
  } catch (thrown) {
    await close()
    if (isUnknown(thrown)) return undefined
    throw thrown
  }
}

async function held(root: string): Promise<LayoutReader> {
  const { openToRead } = await import("../content/layout/reading.ts")
  return openToRead(root)
}

async function nothing(): Promise<void> {}

async function locatePlace(path: string, call: Call): Promise<Located> {
  const { openPlace, rootAt, splitPlace } = await import("../content/place.ts")
  const place = await splitPlace(path)
  const reader = await openPlace(place, call)
  return {
    reference: path,
    target: await rootAt(reader, place, call),
    source: reader,
    ...("path" in reader && { files: reader }),
    [Symbol.asyncDispose]: nothing,
  }
}
