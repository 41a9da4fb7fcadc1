import type { Descriptor } from "../../content/descriptor.ts"
import { OvmError } from "../../errors.ts"
import { isRepository, parseReference, type Reference } from "../../registry/reference.ts"

export interface Named {
  readonly reference: string
  readonly target: Descriptor
}

/** A repository as it is served: its tags, and everything that some name makes a part of it. */
export interface NamedRepository {
  readonly tags: ReadonlyMap<string, Descriptor>
  readonly roots: readonly Descriptor[]
}

interface Draft extends NamedRepository {
  readonly tags: Map<string, Descriptor>
  readonly roots: Descriptor[]
  /** Tags that several hosts have, each for something else. */
  readonly doubtful: Set<string>
}

/**
 * What the names of a store are in a registry (docs/registry.md). `HOST/REPO:TAG` is served as `REPO:TAG`, and also as
 * `HOST/REPO:TAG` with the port after `_`. A name without a host comes before those with one; where only hosts have
 * `REPO:TAG` and mean different content by it, nobody gets the wrong one: it has the long names alone.
 */
export function repositoriesOf(names: readonly Named[]): Map<string, NamedRepository> {
  const found = new Map<string, Draft>()
  const repository = (name: string): Draft => {
    const draft: Draft = found.get(name) ?? { tags: new Map(), roots: [], doubtful: new Set() }
    found.set(name, draft)
    return draft
  }
  const parsed = names.flatMap(({ reference, target }) => {
    const parsed = parse(reference)
    return parsed ? [{ ...parsed, target }] : []
  })
  for (const { host, name, tag, target } of parsed) {
    const long = host === undefined ? name : `${host.replace(":", "_")}/${name}`
    if (!isRepository(long)) continue
    const { tags, roots } = repository(long)
    roots.push(target)
    if (tag) tags.set(tag, target)
  }
  const local = new Set(
    parsed.filter(({ host }) => host === undefined).map(({ name, tag }) => `${name}:${tag}`),
  )
  for (const { host, name, tag, target } of parsed) {
    if (host === undefined) continue
    const { tags, roots, doubtful } = repository(name)
    roots.push(target)
    if (!tag || local.has(`${name}:${tag}`)) continue
    const other = tags.get(tag)
    if (other && other.digest !== target.digest) doubtful.add(tag)
    tags.set(tag, target)
  }
  for (const { tags, doubtful } of found.values()) for (const tag of doubtful) tags.delete(tag)
  return found
}

function parse(text: string): Pick<Reference, "host" | "name" | "tag"> | undefined {
  try {
    const { host, repository, tag } = parseReference(text)
    return { host, name: repository, tag }
  } catch (error) {
    // Another tool named it, in a way that no registry can.
    if (error instanceof OvmError) return undefined
    throw error
  }
}
