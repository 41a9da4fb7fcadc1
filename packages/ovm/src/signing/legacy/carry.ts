import { copyGraph, type Destination } from "../../content/copy.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Digest } from "../../content/digest.ts"
import type { Call, Fetcher, ReferrerLister, Resolver, Tagger } from "../../content/interfaces.ts"
import { evidenceIn } from "../source.ts"
import { legacyTag } from "./tags.ts"

/** A store, and what before a tag makes a name of it (evidenceIn). */
export interface Prefixed<S> {
  readonly store: S
  readonly prefix: string
}

type From = Prefixed<Fetcher & ReferrerLister & Resolver>

/** What the tags of the older form mean for `subject`: they are no referrers, so nothing leads to them. */
export async function legacyTargets(
  { store, prefix }: From,
  subject: Digest,
  call: Call,
): Promise<readonly { readonly name: string; readonly target: Descriptor }[]> {
  const found: { name: string; target: Descriptor }[] = []
  for (const kind of ["signature", "attestation"] as const) {
    const name = legacyTag(subject, kind)
    const target = await evidenceIn(store, prefix).tagged(name, call)
    if (target) found.push({ name, target })
  }
  return found
}

/** Copies all that, with its tags. A tag that is there already is replaced, as any name is by a push. */
export async function carryLegacy(
  from: From,
  to: Prefixed<Destination & Tagger>,
  subject: Digest,
  call: Call,
): Promise<void> {
  for (const { name, target } of await legacyTargets(from, subject, call)) {
    await copyGraph(from.store, target, to.store, call)
    await to.store.tag(target, `${to.prefix}${name}`, call)
  }
}
