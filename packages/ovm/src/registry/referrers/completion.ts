import type { Descriptor } from "../../content/descriptor.ts"
import { OvmError } from "../../errors.ts"

/** Manifests that are read to make up for what one list does not say. */
const READ_LIMIT = 1000
/** The type of an empty config: no artifact's type, but what some registries give for one. */
const EMPTY = "application/vnd.oci.empty.v1+json"

/**
 * Makes up for entries of a list of referrers that say less than the specification wants, by reading the manifests
 * themselves. `read` gives what the manifest says, or undefined if it is gone or belongs to another subject.
 */
export class Completion {
  #reads = 0
  /** Whether this registry leaves annotations out; not known until one entry without them was read. */
  #omits: boolean | undefined

  constructor(
    private readonly read: (entry: Descriptor) => Promise<Descriptor | undefined>,
    private readonly what: string,
  ) {}

  /** An entry that the registry made: all of them are alike, so the first one tells about annotations. */
  async *listed(entry: Descriptor): AsyncIterable<Descriptor> {
    if (!hasOwnType(entry)) return yield* this.#needed(entry)
    if (entry.annotations !== undefined || this.#omits === false) return yield entry
    const found = await this.#manifest(entry)
    this.#omits ??= found?.annotations !== undefined
    if (found) yield found
  }

  /** An entry that some client wrote. */
  async *written(entry: Descriptor): AsyncIterable<Descriptor> {
    if (!hasOwnType(entry)) return yield* this.#needed(entry)
    if (entry.annotations !== undefined || this.#reads >= READ_LIMIT) return yield entry
    const found = await this.#manifest(entry)
    if (found) yield found
  }

  // Without its type an entry would be left out by a filter, which is worse than an error.
  async *#needed(entry: Descriptor): AsyncIterable<Descriptor> {
    if (this.#reads >= READ_LIMIT)
      throw new OvmError(
        "OVM_TOO_LARGE",
        `${this.what}: more than ${READ_LIMIT} entries have no artifactType`,
      )
    const found = await this.#manifest(entry)
    if (found) yield found
  }

  #manifest(entry: Descriptor): Promise<Descriptor | undefined> {
    this.#reads++
    return this.read(entry)
  }
}

/** True if the entry says of which type the artifact is. */
export function hasOwnType({ artifactType }: Descriptor): boolean {
  return artifactType !== undefined && artifactType !== EMPTY
}
