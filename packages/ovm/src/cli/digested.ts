import type { Digest } from "../content/digest.ts"
import type { LayoutReader } from "../content/layout/reader.ts"
import { OvmError } from "../errors.ts"
import { parseReference } from "../registry/reference.ts"
import { parseLegacyTag } from "../signing/legacy/tags.ts"
import { shortDigest } from "./format.ts"
import { storeName } from "./names.ts"
import { digestOfName, openStoreToRead } from "./store.ts"
import { summarize } from "./summary.ts"

/** An image on this host that was named by its digest. */
export interface Digested {
  readonly digest: Digest
  /** In the order of the alphabet. */
  readonly names: readonly string[]
}

/** So many candidates are listed. */
const SHOWN = 8

/** As `digested` says. `full`: nothing is missing of the digest, so what has no name is found too. */
export async function findDigested(text: string, full: boolean): Promise<Digested | undefined> {
  await using store = await openStoreToRead()
  if (!full && (await digestOfName(store, storeName(text)))) return undefined
  const start = text.startsWith("sha256:") ? text : `sha256:${text}`
  const names = await namesByDigest(store)
  const named = startingWith(start, names.keys())
  const found = named.length > 0 ? named : await unnamed(store, start, names.keys(), full)
  const [only, ...others] = found
  if (others.length > 0) throw ambiguous(text, found, names)
  if (only) return { digest: only, names: names.get(only) ?? [] }
  if (text === start) throw new OvmError("OVM_NAME_UNKNOWN", `no image on this host has the digest ${text}`)
  return undefined
}

export function firstName({ digest, names }: Digested): string {
  const [first] = names
  if (first !== undefined) return first
  throw new OvmError("OVM_NAME_UNKNOWN", `${digest} has no name on this host`, {
    hint: `ovm tag ${digest} NAME`,
  })
}

export function onlyName(found: Digested): string {
  const name = firstName(found)
  const { digest, names } = found
  if (names.length === 1) return name
  throw new OvmError("OVM_USAGE", `${shortDigest(digest)} has ${names.length} names: ${names.join(", ")}`, {
    hint: "say which",
  })
}

/** What `ovm images` lists. */
async function namesByDigest(store: LayoutReader): Promise<Map<Digest, string[]>> {
  const names = new Map<Digest, string[]>()
  for await (const { reference, target } of store.list()) {
    if (!isImageName(reference)) continue
    const others = names.get(target.digest) ?? []
    names.set(target.digest, [...others, reference].toSorted())
  }
  return names
}

/**
 * Signatures of the older form have names of their own, and other tools may have put names into the layout that are
 * no references.
 */
function isImageName(name: string): boolean {
  try {
    const { tag } = parseReference(name)
    return tag === undefined || !parseLegacyTag(tag)
  } catch {
    return false
  }
}

/** The base that came with a snapshot needs no name; of what else has none all digits have to be given. */
async function unnamed(
  store: LayoutReader,
  start: string,
  named: Iterable<Digest>,
  full: boolean,
): Promise<Digest[]> {
  if (full) return [await digestOfName(store, start)].filter((digest) => digest !== undefined)
  const bases = new Set<Digest>()
  for (const digest of named) {
    const { snapshotOf } = await summarize(store, await store.resolve(digest))
    if (snapshotOf) bases.add(snapshotOf)
  }
  return startingWith(start, bases)
}

function startingWith(start: string, digests: Iterable<Digest>): Digest[] {
  return [...digests].filter((digest) => digest.startsWith(start))
}

function ambiguous(
  text: string,
  found: readonly Digest[],
  names: ReadonlyMap<Digest, readonly string[]>,
): OvmError {
  const candidates = found.map((digest) => {
    const [name] = names.get(digest) ?? []
    return name === undefined ? digest : `${digest} (${name})`
  })
  const rest = found.length > SHOWN ? ", …" : ""
  return new OvmError("OVM_USAGE", `${text} is the start of ${found.length} digests`, {
    detail: { digests: found },
    hint: `${candidates.slice(0, SHOWN).join(", ")}${rest}`,
  })
}
