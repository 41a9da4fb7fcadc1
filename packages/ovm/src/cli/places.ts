import { writeArchive } from "../content/archive/write.ts"
import { type CopyOptions, copyGraph, copyNamed, type Destination, type Source } from "../content/copy.ts"
import type { Descriptor } from "../content/descriptor.ts"
import { graphOf } from "../content/graph.ts"
import type { Call, ReferrerLister, Resolver, Tagger } from "../content/interfaces.ts"
import { withExported } from "../content/layout/export.ts"
import { openPlace, rootAt, splitPlace } from "../content/place.ts"
import { Remembered } from "../content/remembered.ts"
import { digestMismatch } from "../content/verify.ts"
import { paths } from "../host/paths.ts"
import { baseIn, enterSnapshots } from "../images/along.ts"
import { takeIn } from "../images/take-in.ts"
import type { Reference } from "../registry/reference.ts"
import { explainUnknown } from "./names.ts"
import { writeOutput } from "./output-file.ts"
import { openRemote, type RegistryOptions } from "./registry.ts"
import { openStoreToRead } from "./store.ts"
import type { Where } from "./where.ts"

/** What is to be copied. Dispose of it when it was. */
export interface Origin extends AsyncDisposable {
  readonly source: Source & Resolver & ReferrerLister
  /** Put before a tag of the origin's repository, it makes a name of `source`. */
  readonly prefix: string
  readonly root: Descriptor
  /** Tag, and repository if it is in a registry. */
  readonly tag: string | undefined
  readonly reference: Reference | undefined
}

/** Throws OVM_NAME_UNKNOWN, OVM_FILE_UNREADABLE, OVM_ARTIFACT_INVALID, and what a registry fails with. */
export async function openOrigin(where: Where, options: RegistryOptions & Call): Promise<Origin> {
  const call = options.signal ? { signal: options.signal } : {}
  if (where.kind === "registry") {
    const { reference } = where
    const source = new Remembered(await openRemote(reference, { ...options, pulling: true }))
    const root = await source.resolve(reference.target, call)
    return { source, prefix: "", root, tag: reference.tag, reference, [Symbol.asyncDispose]: async () => {} }
  }
  if (where.kind === "store") {
    const { reference } = where
    const source = await openStoreToRead()
    try {
      const root = await source.resolve(reference.toString(), call)
      const prefix = `${reference.name}:`
      return {
        source,
        prefix,
        root,
        tag: reference.tag,
        reference,
        [Symbol.asyncDispose]: () => source.close(),
      }
    } catch (thrown) {
      await source.close()
      throw explainUnknown(thrown, reference.toString())
    }
  }
  const place = await splitPlace(where.text)
  const source = await openPlace(place, call)
  const root = await rootAt(source, place, call)
  return {
    source,
    prefix: "",
    root,
    tag: place.tag,
    reference: undefined,
    [Symbol.asyncDispose]: async () => {},
  }
}

/** Copies `origin` there and names it. Returns the name that it has now. */
export async function copyTo(
  where: Where,
  origin: Origin,
  options: RegistryOptions & CopyOptions,
): Promise<string> {
  const { root } = origin
  if (where.kind === "registry" || where.kind === "store") {
    const { reference } = where
    if (reference.digest !== undefined && reference.digest !== root.digest)
      throw digestMismatch({ digest: reference.digest, size: root.size }, root.digest, `the origin`)
  }
  if (where.kind === "registry") return toRegistry(where.reference, origin, options)
  if (where.kind === "store") {
    const { reference } = where
    return await takeIn(paths(), { durable: true }, async (store) => {
      const name = await into(store, reference.toString(), origin, options, `${reference.name}:`)
      if (options.includeReferrers) await enterSnapshots(store, [root], options)
      return name
    })
  }
  const { path, tag = origin.tag ?? "latest" } = splitTarget(where.text)
  if (where.kind === "archive" || (where.kind === "path" && /\.tar$/.test(path))) {
    const legacy = options.includeReferrers ? await legacyNames(origin, options) : []
    const base = await baseIn(origin.source, root, options)
    const roots = [{ target: root, name: tag }, ...(base ? [{ target: base }] : []), ...legacy]
    await writeOutput(path, writeArchive(origin.source, roots, options))
    return `oci-archive:${path}:${tag}`
  }
  await withExported(path, async (layout) => {
    await into(layout, tag, origin, options)
    if (!options.includeReferrers) return
    const call = options.signal ? { signal: options.signal } : {}
    const { referrers } = await graphOf(layout, [root], { ...call, includeReferrers: true })
    for (const referrer of referrers) await layout.enter(referrer, call)
  })
  return `oci:${path}:${tag}`
}

async function toRegistry(
  reference: Reference,
  origin: Origin,
  options: RegistryOptions & CopyOptions,
): Promise<string> {
  const registry = await openRemote(reference, options)
  // Blobs of another repository of the same registry need not pass through here.
  const sibling = origin.reference?.host === reference.host ? origin.reference?.repository : undefined
  const copying = {
    ...options,
    ...(sibling !== undefined && sibling !== reference.repository && { mountFrom: sibling }),
    ...(registry.maxConcurrency && { concurrency: registry.maxConcurrency }),
  }
  const base = await baseIn(origin.source, origin.root, options)
  if (base) await copyGraph(origin.source, base, registry, copying)
  if (reference.tag === undefined) await copyGraph(origin.source, origin.root, registry, copying)
  else await copyNamed(origin.source, origin.root, registry, { ...copying, name: reference.tag })
  if (options.includeReferrers) await carry(origin, registry, "", options)
  return reference.toString()
}

async function into(
  store: Destination & Tagger,
  name: string,
  origin: Origin,
  options: CopyOptions,
  prefix = "",
): Promise<string> {
  const base = await baseIn(origin.source, origin.root, options)
  if (base) await copyGraph(origin.source, base, store, options)
  await copyNamed(origin.source, origin.root, store, { ...options, name })
  if (options.includeReferrers) await carry(origin, store, prefix, options)
  return name
}

/** Signatures of the older form, which no referrer leads to. */
async function carry(
  { source, prefix, root }: Origin,
  store: Destination & Tagger,
  into: string,
  options: Call,
): Promise<void> {
  const { carryLegacy } = await import("../signing/legacy/carry.ts")
  await carryLegacy({ store: source, prefix }, { store, prefix: into }, root.digest, call(options))
}

async function legacyNames({ source, prefix, root }: Origin, options: Call) {
  const { legacyTargets } = await import("../signing/legacy/carry.ts")
  return legacyTargets({ store: source, prefix }, root.digest, call(options))
}

function call({ signal }: Call): Call {
  return signal ? { signal } : {}
}

/** The first colon ends the path, as other tools have it: what is to be written need not be there yet. */
function splitTarget(text: string): { path: string; tag?: string } {
  const colon = text.indexOf(":")
  return colon < 0 ? { path: text } : { path: text.slice(0, colon), tag: text.slice(colon + 1) }
}
