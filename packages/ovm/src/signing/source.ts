import type { Descriptor } from "../content/descriptor.ts"
import type { Call, Fetcher, ReferrerFilter, ReferrerLister, Resolver } from "../content/interfaces.ts"
import { savedAs } from "../content/saved.ts"
import { OvmError } from "../errors.ts"
import type { EvidenceSource } from "./interfaces.ts"
import { parseLegacyTag } from "./legacy/tags.ts"

/** A layout also lists what it has no name for. */
type Listed = Fetcher & ReferrerLister & Resolver & { roots?(): Promise<readonly Descriptor[]> }

/**
 * A store or repository as a place to look for evidence. `prefix` makes names of tags: "" where names are tags, as in a
 * repository or a plain layout, and `HOST/REPOSITORY:` in this host's store. In a layout without the tag, what `cosign
 * save` put there is taken for it (OVMS-SIG-061).
 */
export function evidenceIn(store: Listed, prefix = ""): EvidenceSource {
  return {
    fetch: (target: Descriptor, call?: Call) => store.fetch(target, call),
    referrers: (subject: Descriptor, filter?: ReferrerFilter) => store.referrers(subject, filter),
    tagged: async (tag: string, call?: Call) => {
      try {
        return await store.resolve(`${prefix}${tag}`, call)
      } catch (error) {
        if (!(error instanceof OvmError) || error.code !== "OVM_NAME_UNKNOWN") throw error
        return prefix === "" ? saved(store, tag) : undefined
      }
    },
  }
}

async function saved(store: Listed, tag: string): Promise<Descriptor | undefined> {
  const kind = parseLegacyTag(tag)?.kind
  const roots = (kind && (await store.roots?.())) ?? []
  // Whom it is about is in what is signed, and is held against the subject there.
  return roots.findLast((root) => savedAs(root) === kind)
}
