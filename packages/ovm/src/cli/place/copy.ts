import { writeArchive } from "../../content/archive/write.ts"
import { type CopyOptions, copyGraph, copyNamed, type Destination } from "../../content/copy.ts"
import { graphOf } from "../../content/graph.ts"
import type { Call, Tagger } from "../../content/interfaces.ts"
import { withExported } from "../../content/layout/export.ts"
import { digestMismatch } from "../../content/verify.ts"
import { paths } from "../../host/paths.ts"
import { baseIn, enterSnapshots, subjectsOf } from "../../images/along.ts"
import { takeIn } from "../../images/take-in.ts"
import type { Reference } from "../../registry/reference.ts"
import { writeOutput } from "../output-file.ts"
import { openRemote, type RegistryOptions } from "../registry.ts"
import type { Opened } from "./open.ts"
import type { Where } from "./where.ts"

/** Copies `origin` there and names it. Returns the name that it has now. */
export async function copyTo(
  where: Where,
  origin: Opened,
  options: RegistryOptions & CopyOptions,
): Promise<string> {
  const { target: root } = origin
  if (where.kind === "registry" || where.kind === "store") {
    const { reference } = where
    if (reference.digest !== undefined && reference.digest !== root.digest)
      throw digestMismatch({ digest: reference.digest, size: root.size }, root.digest, `the origin`)
  }
  if (where.kind === "registry") return toRegistry(where.reference, origin, options)
  if (where.kind === "store") {
    const { reference } = where
    return await takeIn(paths(), { durable: true }, async (store) => {
      const named = { name: reference.toString(), prefix: `${reference.name}:` }
      const name = await into(store, named, origin, options)
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
    await into(layout, { name: tag, prefix: "" }, origin, options)
    if (!options.includeReferrers) return
    const call = options.signal ? { signal: options.signal } : {}
    const { referrers } = await graphOf(layout, [root], { ...call, includeReferrers: true })
    for (const referrer of referrers) await layout.enter(referrer, call)
  })
  return `oci:${path}:${tag}`
}

async function toRegistry(
  reference: Reference,
  origin: Opened,
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
  const base = await baseIn(origin.source, origin.target, options)
  if (base) await copyGraph(origin.source, base, registry, copying)
  if (reference.tag === undefined) await copyGraph(origin.source, origin.target, registry, copying)
  else await copyNamed(origin.source, origin.target, registry, { ...copying, name: reference.tag })
  if (options.includeReferrers) await carry(origin, registry, "", options)
  return reference.toString()
}

/** `prefix` makes names of tags in `store`. */
async function into(
  store: Destination & Tagger,
  { name, prefix }: { readonly name: string; readonly prefix: string },
  origin: Opened,
  options: CopyOptions,
): Promise<string> {
  const base = await baseIn(origin.source, origin.target, options)
  if (base) await copyGraph(origin.source, base, store, options)
  await copyNamed(origin.source, origin.target, store, { ...options, name })
  if (options.includeReferrers) await carry(origin, store, prefix, options)
  return name
}

/** Signatures of the older form, which no referrer leads to. */
async function carry(
  { source, prefix, target }: Opened,
  store: Destination & Tagger,
  into: string,
  options: Call,
): Promise<void> {
  const { carryLegacy } = await import("../../signing/legacy/carry.ts")
  for (const subject of await subjectsOf(source, target, call(options)))
    await carryLegacy({ store: source, prefix }, { store, prefix: into }, subject, call(options))
}

async function legacyNames({ source, prefix, target }: Opened, options: Call) {
  const { legacyTargets } = await import("../../signing/legacy/carry.ts")
  const subjects = await subjectsOf(source, target, call(options))
  const named = subjects.map((one) => legacyTargets({ store: source, prefix }, one, call(options)))
  return (await Promise.all(named)).flat()
}

function call({ signal }: Call): Call {
  return signal ? { signal } : {}
}

/** The first colon ends the path, as other tools have it: what is to be written need not be there yet. */
function splitTarget(text: string): { path: string; tag?: string } {
  const colon = text.indexOf(":")
  return colon < 0 ? { path: text } : { path: text.slice(0, colon), tag: text.slice(colon + 1) }
}
