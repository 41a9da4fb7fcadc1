import type { Descriptor } from "../content/descriptor.ts"
import type { Call, Fetcher, ReferrerFilter, ReferrerLister, Resolver } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { EvidenceSource } from "./interfaces.ts"

/**
 * A store or repository as a place to look for evidence. `prefix` makes names of tags: "" where names are tags, as in a
 * repository or a plain layout, and `HOST/REPOSITORY:` in this host's store.
 */
export function evidenceIn(store: Fetcher & ReferrerLister & Resolver, prefix = ""): EvidenceSource {
  return {
    fetch: (target: Descriptor, call?: Call) => store.fetch(target, call),
    referrers: (subject: Descriptor, filter?: ReferrerFilter) => store.referrers(subject, filter),
    tagged: async (tag: string, call?: Call) => {
      try {
        return await store.resolve(`${prefix}${tag}`, call)
      } catch (error) {
        if (error instanceof OvmError && error.code === "OVM_NAME_UNKNOWN") return undefined
        throw error
      }
    },
  }
}
