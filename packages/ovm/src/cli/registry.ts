import { paths } from "../host/paths.ts"
import { connectRepository } from "../registry/connect.ts"
import type { HttpStore } from "../registry/http-store.ts"
import type { Reference } from "../registry/reference.ts"

export interface RegistryOptions {
  readonly plainHttp?: boolean
  /** Reads may come from the registry's mirrors. */
  readonly pulling?: boolean
}

/**
 * The repository of `reference` with this user's credentials and settings. Throws OVM_REFERENCE_INVALID if it has no
 * host, OVM_SETTINGS_INVALID.
 */
export function openRemote(reference: Reference, options: RegistryOptions): Promise<HttpStore> {
  return connectRepository(reference, {
    settings: paths().registries,
    ...(options.plainHttp && { plainHttp: true }),
    ...(options.pulling && { pulling: true }),
  })
}
